//! Why a mirror cannot be made as its settings say.

use strata_model::ErrorKind;
use strata_transfer::TransferError;

/// A setting that is of no use.
#[derive(Debug, thiserror::Error)]
pub enum MirrorError {
    /// The name of a registry that is mirrored cannot be part of a repository's name.
    #[error("upstream {0:?}: not the name of a registry that can be mirrored (a host, with its port if it has one)")]
    Name(String),
    /// A setting of an upstream.
    #[error("upstream {name:?}: {setting}: {cause}")]
    Setting {
        /// The upstream.
        name: String,
        /// The setting.
        setting: &'static str,
        /// What is wrong.
        cause: String,
    },
    /// Two upstreams cannot both have this.
    #[error("upstreams {first:?} and {second:?}: {what}")]
    Clash {
        /// One.
        first: String,
        /// The other.
        second: String,
        /// What they both have.
        what: &'static str,
    },
    /// The file with an upstream's password cannot be read.
    #[error("upstream {name:?}: reading password file {path}: {cause}")]
    PasswordFile {
        /// The upstream.
        name: String,
        /// The file.
        path: String,
        /// Why.
        cause: std::io::Error,
    },
}

impl MirrorError {
    /// What kind of failure it is.
    pub fn kind(&self) -> ErrorKind {
        match self {
            MirrorError::PasswordFile { .. } => ErrorKind::Storage,
            _ => ErrorKind::Invalid,
        }
    }

    pub(crate) fn setting(name: &str, setting: &'static str, cause: impl ToString) -> MirrorError {
        MirrorError::Setting { name: name.to_owned(), setting, cause: cause.to_string() }
    }
}

/// Whether a remote said that there is no such thing, or that it is not for us: the same to a client.
pub(crate) fn is_refusal(error: &TransferError) -> bool {
    matches!(error.kind, ErrorKind::NotFound | ErrorKind::Unauthenticated | ErrorKind::Denied)
}
