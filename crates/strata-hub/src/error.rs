//! What can go wrong with a rule of the hub.

use strata_model::ErrorKind;
use strata_store::StoreError;
use strata_store::registry::RegistryError;

/// Result of a rule.
pub type Result<T, E = HubError> = std::result::Result<T, E>;

/// A rule that could not be followed.
#[derive(Debug, thiserror::Error)]
pub enum HubError {
    /// There is no such thing, or the caller may not know of it.
    #[error("{0} not found")]
    NotFound(String),
    /// What was given cannot be: which value, and why.
    #[error("{what}: {why}")]
    Invalid {
        /// The value's name.
        what: &'static str,
        /// What is wrong with it.
        why: String,
    },
    /// It clashes with what is there.
    #[error("{0}")]
    Conflict(String),
    /// Whoever asks is not known.
    #[error("{0}")]
    Unauthenticated(String),
    /// Whoever asks may not.
    #[error("{0}")]
    Denied(String),
    /// Too many attempts.
    #[error("too many attempts, try again in {retry_after} seconds")]
    RateLimited {
        /// Seconds to wait.
        retry_after: u64,
    },
    /// A rule of the registry.
    #[error(transparent)]
    Registry(#[from] RegistryError),
    /// The records or the store.
    #[error(transparent)]
    Store(#[from] StoreError),
    /// Something that does not happen on a sound machine.
    #[error("{0}")]
    Internal(String),
}

impl HubError {
    /// The kind that surfaces map to statuses and exit codes.
    pub fn kind(&self) -> ErrorKind {
        match self {
            HubError::NotFound(_) => ErrorKind::NotFound,
            HubError::Invalid { .. } => ErrorKind::Invalid,
            HubError::Conflict(_) => ErrorKind::Conflict,
            HubError::Unauthenticated(_) => ErrorKind::Unauthenticated,
            HubError::Denied(_) => ErrorKind::Denied,
            HubError::RateLimited { .. } => ErrorKind::RateLimited,
            HubError::Registry(error) => error.kind(),
            HubError::Store(error) => error.kind(),
            HubError::Internal(_) => ErrorKind::Internal,
        }
    }
}
