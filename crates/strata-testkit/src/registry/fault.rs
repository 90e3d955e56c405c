//! What can be made to go wrong.

use super::http::Request;

/// How a request goes wrong.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Fault {
    /// The answer stops after so many bytes of its body; the connection stays open until the client gives up.
    HangAfter(usize),
    /// The connection is closed after so many bytes of the body.
    DropAfter(usize),
    /// The request is read and the connection closed without an answer.
    NoAnswer,
    /// The body is another one of the same length.
    WrongBytes,
    /// `Content-Length` is larger than the body by so many bytes; then the connection is closed.
    Longer(usize),
    /// The body ends so many bytes early, and `Content-Length` says so too.
    Shorter(usize),
    /// `Docker-Content-Digest` names another digest.
    WrongDigestHeader,
    /// `Range` is ignored: the whole body comes with 200.
    IgnoreRange,
    /// The answer comes after so many milliseconds.
    Delay(u64),
    /// An answer with this status, these further headers and a body in the format of OCI errors.
    Status(u16, Vec<(&'static str, String)>),
}

/// Which requests go wrong, and how often.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct FaultRule {
    pub(super) method: Option<&'static str>,
    pub(super) path_part: String,
    pub(super) skipped: usize,
    pub(super) left: usize,
    pub(super) fault: Fault,
}

impl FaultRule {
    /// Every request goes wrong whose path contains `path_part` (a digest, `/manifests/`, …).
    pub fn new(path_part: impl Into<String>, fault: Fault) -> FaultRule {
        FaultRule { method: None, path_part: path_part.into(), skipped: 0, left: usize::MAX, fault }
    }

    /// Too many requests, with `Retry-After` in seconds.
    pub fn too_many_requests(path_part: impl Into<String>, retry_after: u64) -> FaultRule {
        FaultRule::new(path_part, Fault::Status(429, vec![("Retry-After", retry_after.to_string())]))
    }

    /// Only with this method.
    pub fn method(self, method: &'static str) -> FaultRule {
        FaultRule { method: Some(method), ..self }
    }

    /// Only the first so many.
    pub fn times(self, times: usize) -> FaultRule {
        FaultRule { left: times, ..self }
    }

    /// Only after so many have gone well.
    pub fn after(self, requests: usize) -> FaultRule {
        FaultRule { skipped: requests, ..self }
    }

    /// The fault for a request, if it is due.
    pub(super) fn apply(&mut self, request: &Request) -> Option<Fault> {
        let matches =
            self.method.is_none_or(|method| method == request.method) && request.target.contains(&self.path_part);
        if !matches || self.left == 0 {
            return None;
        }
        if self.skipped > 0 {
            self.skipped -= 1;
            return None;
        }
        self.left = self.left.saturating_sub(usize::from(self.left != usize::MAX));
        Some(self.fault.clone())
    }
}
