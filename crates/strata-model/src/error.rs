//! The kinds of error that every crate maps its own errors to.

/// What went wrong, as far as a surface needs to know to choose an exit code, an HTTP status or a registry code.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum ErrorKind {
    /// The named thing does not exist.
    NotFound,
    /// It exists already and may not be replaced.
    AlreadyExists,
    /// The state of the thing forbids the action (in use, referenced, has children).
    Conflict,
    /// The input is malformed or out of range.
    Invalid,
    /// No or wrong credentials.
    Unauthenticated,
    /// Known, but not allowed.
    Denied,
    /// The other side cannot be reached or cannot answer now.
    Unavailable,
    /// The other side limits the rate of requests.
    RateLimited,
    /// Bytes do not match their digest or their format.
    Corrupt,
    /// Valid, but not something Strata can do.
    Unsupported,
    /// Given up because the caller went away.
    Cancelled,
    /// No space, no permission, or another failure of this machine's files.
    Storage,
    /// Anything else: a defect.
    Internal,
}
