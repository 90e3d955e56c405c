//! Why a root file system could not be made or taken away.

use std::io;
use std::path::{Path, PathBuf};

use rustix::io::Errno;
use strata_model::ErrorKind;

/// A failure of this crate.
#[derive(Debug, thiserror::Error)]
pub enum RootfsError {
    /// A system call on a path failed.
    #[error("{action} {}: {cause}", path.display())]
    System {
        /// What was being done, as in "creating directory".
        action: &'static str,
        /// To what.
        path: PathBuf,
        /// The kernel's answer.
        cause: io::Error,
    },
    /// The kernel refused to mount.
    #[error("mounting {filesystem} on {}: {cause}{log}", target.display())]
    Mount {
        /// Type of the file system.
        filesystem: &'static str,
        /// Where it was to appear.
        target: PathBuf,
        /// The kernel's answer.
        cause: io::Error,
        /// What the file system said about it, with a leading `; `, or nothing.
        log: String,
    },
    /// A content is not where it should be.
    #[error("reading the content of \"{path}\": it is not in its pack")]
    ContentMissing {
        /// The file in the image.
        path: String,
    },
    /// The image for the kernel could not be written.
    #[error(transparent)]
    Image(#[from] strata_erofs::WriteError),
}

impl RootfsError {
    pub(crate) fn system(action: &'static str, path: impl AsRef<Path>, cause: impl Into<io::Error>) -> RootfsError {
        RootfsError::System { action, path: path.as_ref().to_owned(), cause: cause.into() }
    }

    /// What sort of failure it is.
    pub fn kind(&self) -> ErrorKind {
        match self {
            RootfsError::System { cause, .. } => match errno(cause) {
                Some(Errno::NOENT | Errno::INVAL) if self.is_unmount() => ErrorKind::NotFound,
                Some(Errno::NOENT) => ErrorKind::NotFound,
                Some(Errno::EXIST) => ErrorKind::AlreadyExists,
                Some(Errno::BUSY) => ErrorKind::Conflict,
                Some(Errno::PERM) => ErrorKind::Denied,
                _ => ErrorKind::Storage,
            },
            RootfsError::Mount { cause, .. } => match errno(cause) {
                Some(Errno::PERM | Errno::ACCESS) => ErrorKind::Denied,
                Some(Errno::NOENT) => ErrorKind::NotFound,
                Some(Errno::IO | Errno::UCLEAN | Errno::BADMSG) => ErrorKind::Corrupt,
                _ => ErrorKind::Unsupported,
            },
            RootfsError::ContentMissing { .. } => ErrorKind::Corrupt,
            RootfsError::Image(error) => error.kind(),
        }
    }

    fn is_unmount(&self) -> bool {
        matches!(self, RootfsError::System { action: "unmounting", .. })
    }
}

fn errno(error: &io::Error) -> Option<Errno> {
    Errno::from_io_error(error)
}
