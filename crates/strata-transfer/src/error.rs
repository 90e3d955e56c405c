//! The error of every place: what was being done to which thing, the cause, and what to do.

use strata_model::ErrorKind;

/// Result of a transfer.
pub type Result<T, E = TransferError> = std::result::Result<T, E>;

/// A failure while reading from or writing to a place.
///
/// One struct rather than an enum: places are open-ended, and callers act on the kind alone.
#[derive(Debug, thiserror::Error)]
#[error("{message}")]
pub struct TransferError {
    /// What kind of failure it is.
    pub kind: ErrorKind,
    /// What was being done to which thing, and the cause.
    pub message: String,
    /// What the user can do about it; shown after the message.
    pub hint: Option<String>,
    /// Whether the same request may succeed when it is made again.
    pub retryable: bool,
}

impl TransferError {
    /// An error that another try does not mend.
    pub fn new(kind: ErrorKind, message: impl Into<String>) -> TransferError {
        TransferError { kind, message: message.into(), hint: None, retryable: false }
    }

    /// An error that another try may mend.
    pub fn retryable(kind: ErrorKind, message: impl Into<String>) -> TransferError {
        TransferError { retryable: true, ..TransferError::new(kind, message) }
    }

    /// The same error with advice.
    #[must_use]
    pub fn with_hint(mut self, hint: impl Into<String>) -> TransferError {
        self.hint = Some(hint.into());
        self
    }

    /// The same error with what was being done in front.
    #[must_use]
    pub fn while_doing(mut self, what: impl std::fmt::Display) -> TransferError {
        self.message = format!("{what}: {}", self.message);
        self
    }

    /// The kind, as every error of this project tells it.
    pub fn kind(&self) -> ErrorKind {
        self.kind
    }
}
