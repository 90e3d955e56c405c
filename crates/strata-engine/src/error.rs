//! Errors of the use cases, in docker's words where scripts read them.

use strata_model::{ErrorKind, ReferenceError};
use strata_store::StoreError;
use strata_transfer::TransferError;

/// Result of a use case.
pub type Result<T, E = EngineError> = std::result::Result<T, E>;

/// Why a use case failed.
#[derive(Debug, thiserror::Error)]
pub enum EngineError {
    /// No local image answers to this text.
    #[error("No such image: {0}")]
    NoSuchImage(String),
    /// No container, volume or network answers to a text.
    #[error("{message}")]
    NotFound {
        /// Docker's words.
        message: String,
    },
    /// Something that does not go together with the state of a container, volume or network.
    #[error("{message}")]
    Refused {
        /// Docker's words.
        message: String,
    },
    /// Something that nobody may do.
    #[error("{message}")]
    Forbidden {
        /// Docker's words.
        message: String,
    },
    /// A container's process could not be looked at or changed.
    #[error(transparent)]
    Runtime(#[from] strata_runtime::RuntimeError),
    /// A container's network could not be looked at or changed.
    #[error(transparent)]
    Network(#[from] strata_network::NetworkError),
    /// A name that may not be pulled.
    #[error("'{0}' is a reserved name")]
    ReservedName(String),
    /// A malformed reference.
    #[error(transparent)]
    Reference(#[from] ReferenceError),
    /// A removal that the state of the image forbids.
    #[error("conflict: {message}")]
    Conflict {
        /// Docker's words after `conflict: `.
        message: String,
    },
    /// A removal of an image that `image mount` shows.
    #[error("conflict: {message}")]
    Mounted {
        /// What cannot be removed, in docker's words, and where the image is mounted.
        message: String,
        /// Where.
        target: std::path::PathBuf,
    },
    /// Malformed input: a filter, a platform, an archive.
    #[error("{message}")]
    Invalid {
        /// What is wrong with which input.
        message: String,
    },
    /// Something that Strata cannot do here.
    #[error("{message}")]
    Unsupported {
        /// What, and why.
        message: String,
        /// What to do instead.
        hint: Option<String>,
    },
    /// A file of the user, not of the store.
    #[error("{doing} {path}: {source}")]
    File {
        /// What was being done.
        doing: &'static str,
        /// To which file.
        path: String,
        /// The cause.
        source: std::io::Error,
    },
    /// The store failed.
    #[error(transparent)]
    Store(#[from] StoreError),
    /// A transfer failed.
    #[error(transparent)]
    Transfer(#[from] TransferError),
    /// An archive could not be read or written.
    #[error(transparent)]
    Archive(strata_archive::ArchiveError),
    /// A mount or the directory fallback failed.
    #[error(transparent)]
    Rootfs(#[from] strata_rootfs::RootfsError),
}

impl EngineError {
    /// What kind of failure it is.
    pub fn kind(&self) -> ErrorKind {
        match self {
            EngineError::NoSuchImage(_) | EngineError::NotFound { .. } => ErrorKind::NotFound,
            EngineError::Runtime(error) => error.kind(),
            EngineError::Network(error) => error.kind(),
            EngineError::ReservedName(_) | EngineError::Forbidden { .. } => ErrorKind::Denied,
            EngineError::Reference(_) | EngineError::Invalid { .. } => ErrorKind::Invalid,
            EngineError::Conflict { .. } | EngineError::Mounted { .. } | EngineError::Refused { .. } => {
                ErrorKind::Conflict
            }
            EngineError::Unsupported { .. } => ErrorKind::Unsupported,
            EngineError::File { .. } => ErrorKind::Storage,
            EngineError::Store(error) => error.kind(),
            EngineError::Transfer(error) => error.kind(),
            EngineError::Archive(error) => error.kind(),
            EngineError::Rootfs(error) => error.kind(),
        }
    }

    /// What the user can do about it.
    pub fn hint(&self) -> Option<String> {
        match self {
            EngineError::Unsupported { hint, .. } => hint.clone(),
            EngineError::Mounted { target, .. } => Some(format!("image unmount {} first", target.display())),
            EngineError::Store(error) => error.hint(),
            EngineError::Transfer(error) => error.hint.clone(),
            _ => None,
        }
    }

    /// The same with what was being done before docker's words.
    pub(crate) fn after(self, what: &str) -> EngineError {
        let after = |message: &str| format!("{what}: {message}");
        match self {
            EngineError::NotFound { message } => EngineError::NotFound { message: after(&message) },
            EngineError::Refused { message } => EngineError::Refused { message: after(&message) },
            EngineError::Invalid { message } => EngineError::Invalid { message: after(&message) },
            other => other,
        }
    }

    /// Malformed input.
    pub fn invalid(message: impl Into<String>) -> EngineError {
        EngineError::Invalid { message: message.into() }
    }

    /// A failed file operation of the user's.
    pub fn file(doing: &'static str, path: impl AsRef<std::path::Path>, source: std::io::Error) -> EngineError {
        EngineError::File { doing, path: path.as_ref().display().to_string(), source }
    }
}
