//! Why a container could not be started, looked at or changed.

use std::io;
use std::path::{Path, PathBuf};

use rustix::io::Errno;
use serde::{Deserialize, Serialize};
use strata_model::ErrorKind;

/// A failure of this crate.
#[derive(Debug, thiserror::Error)]
pub enum RuntimeError {
    /// The container could not be started, or a program in it.
    #[error(transparent)]
    Start(#[from] StartError),
    /// A system call failed.
    #[error("{action}: {cause}")]
    System {
        /// What was being done to which thing, as in "writing /proc/7/uid_map".
        action: String,
        /// The kernel's answer.
        cause: io::Error,
    },
    /// A document does not say what it should.
    #[error("reading {}: {reason}", path.display())]
    Document {
        /// Where it lies.
        path: PathBuf,
        /// What is wrong with it.
        reason: String,
    },
    /// The configuration asks for something that does not exist or contradicts itself.
    #[error("{0}")]
    Invalid(String),
    /// The machine cannot do what is asked for.
    #[error("{0}")]
    Unsupported(String),
    /// Nothing of this name is here: a container without a process, a user whom the image does not know.
    #[error("{0}")]
    NotFound(String),
    /// What is asked for does not go together with what the container is doing.
    #[error("{0}")]
    Conflict(String),
}

impl RuntimeError {
    pub(crate) fn system(action: impl Into<String>, cause: impl Into<io::Error>) -> RuntimeError {
        RuntimeError::System { action: action.into(), cause: cause.into() }
    }

    pub(crate) fn document(path: &Path, reason: impl ToString) -> RuntimeError {
        RuntimeError::Document { path: path.to_owned(), reason: reason.to_string() }
    }

    /// What sort of failure it is.
    pub fn kind(&self) -> ErrorKind {
        match self {
            RuntimeError::Start(_) => ErrorKind::Storage,
            RuntimeError::System { cause, .. } => match Errno::from_io_error(cause) {
                Some(Errno::NOENT | Errno::SRCH) => ErrorKind::NotFound,
                Some(Errno::PERM | Errno::ACCESS) => ErrorKind::Denied,
                Some(Errno::NOSYS | Errno::OPNOTSUPP) => ErrorKind::Unsupported,
                _ => ErrorKind::Storage,
            },
            RuntimeError::Document { .. } => ErrorKind::Corrupt,
            RuntimeError::Invalid(_) => ErrorKind::Invalid,
            RuntimeError::Unsupported(_) => ErrorKind::Unsupported,
            RuntimeError::NotFound(_) => ErrorKind::NotFound,
            RuntimeError::Conflict(_) => ErrorKind::Conflict,
        }
    }

    /// The same failure as one of starting: exit code 125 unless it already has one.
    pub fn into_start_error(self) -> StartError {
        match self {
            RuntimeError::Start(error) => error,
            other => StartError { exit_code: 125, message: other.to_string() },
        }
    }
}

/// A container, or a program in it, did not start. Crosses process boundaries as JSON.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, thiserror::Error)]
#[error("{message}")]
pub struct StartError {
    /// As `docker run` exits: 125 when the failure is not the program's, 126 when it cannot be executed, 127 when it does
    /// not exist.
    pub exit_code: u8,
    /// What was being done, and why it failed.
    pub message: String,
}
