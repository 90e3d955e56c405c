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

/// An error of the system in Go's words: `no such file or directory`, without its number. Scripts and clients of docker look
/// for them.
pub fn system_words(cause: &std::io::Error) -> String {
    let text = cause.to_string();
    match (cause.raw_os_error(), text.split_once(" (os error")) {
        (Some(_), Some((words, _))) => words.to_lowercase(),
        // What we say ourselves may name a path.
        _ => text,
    }
}
