//! The one error type of the crate. Texts are those that docker prints.

use strata_model::ErrorKind;

/// Why a text could not be understood or a template not be executed.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[non_exhaustive]
pub enum Error {
    /// A template is malformed. `docker inspect` exits with status 64 for it, other commands with 1.
    #[error("template parsing error: {0}")]
    TemplateSyntax(String),
    /// A well-formed template failed on the data given to it; exit status 1.
    #[error("template parsing error: {0}")]
    TemplateExecution(String),
    /// A pattern is malformed.
    #[error("syntax error in pattern")]
    Pattern,
    /// A size such as `10MB` is malformed; the text is docker's.
    #[error("{0}")]
    Size(String),
    /// A duration such as `1h30m` is malformed; the text is Go's.
    #[error("{0}")]
    Duration(String),
    /// A point in time is neither a date, a duration nor seconds since the epoch.
    #[error("failed to parse value as time or duration: {0}")]
    Timestamp(String),
    /// A text is not JSON.
    #[error("unable to read inspect data: {0}")]
    Json(String),
}

impl Error {
    /// All errors of this crate are about what the user wrote.
    pub fn kind(&self) -> ErrorKind {
        ErrorKind::Invalid
    }

    /// The exit status of `docker inspect --format` and `docker version --format` for this error.
    pub fn exit_status(&self) -> u8 {
        match self {
            Error::TemplateSyntax(_) => 64,
            _ => 1,
        }
    }
}
