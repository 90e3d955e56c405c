//! What a request can come to other than success, before it is known what the request was for.

use std::fmt;
use std::time::Duration;

use http::{HeaderMap, Method, StatusCode};
use serde::Deserialize;
use strata_model::ErrorKind;
use strata_transfer::TransferError;
use url::Url;

/// Longest piece of an error body that is shown, in characters.
const MAX_SHOWN: usize = 300;

/// A failed request: an error ready to be shown, and the facts that the caller may word a better one from.
#[derive(Debug)]
pub(crate) struct Failure {
    /// The status, if there was an answer.
    pub(crate) status: Option<StatusCode>,
    /// The errors that the registry's answer listed.
    pub(crate) entries: Vec<ErrorEntry>,
    /// How long the registry asks to wait.
    pub(crate) retry_after: Option<Duration>,
    /// The registry could not be reached at all; more than a few quick tries are of no use.
    pub(crate) unreachable: bool,
    /// The token service refused the user's name and password: the error says so, and no other words fit better.
    pub(crate) credentials_refused: bool,
    /// The error in general terms.
    pub(crate) error: TransferError,
}

pub(crate) type Outcome<T> = Result<T, Box<Failure>>;

/// One error of a registry's answer (OCI distribution-spec, "Error codes").
#[derive(Clone, Debug, Default, Deserialize)]
pub(crate) struct ErrorEntry {
    #[serde(default)]
    pub(crate) code: String,
    #[serde(default)]
    pub(crate) message: String,
}

impl fmt::Display for ErrorEntry {
    /// As docker prints it: the code in words, then the message.
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let code = self.code.to_lowercase().replace('_', " ");
        let message = shown(&self.message);
        match (code.as_str(), message.as_str()) {
            ("", "") => f.write_str("unknown error"),
            ("", message) => f.write_str(message),
            (code, "") => f.write_str(code),
            (code, message) => write!(f, "{code}: {message}"),
        }
    }
}

impl Failure {
    pub(crate) fn new(error: TransferError) -> Box<Failure> {
        Box::new(Failure {
            status: None,
            entries: Vec::new(),
            retry_after: None,
            unreachable: false,
            credentials_refused: false,
            error,
        })
    }

    /// The failure that an answer with an error status is.
    pub(crate) fn from_answer(
        method: &Method,
        url: &Url,
        status: StatusCode,
        headers: &HeaderMap,
        body: &[u8],
    ) -> Box<Failure> {
        let entries = parse_entries(body);
        let kind = kind_of(status);
        let said = match (entries.is_empty(), plain_text(headers, body)) {
            (false, _) => entries.iter().map(ToString::to_string).collect::<Vec<_>>().join(", "),
            (true, Some(text)) => format!("unexpected status code {status}: {text}"),
            (true, None) => format!("unexpected status code {status}"),
        };
        let message = match kind {
            ErrorKind::RateLimited => format!("toomanyrequests: {}", rate_limit_message(&entries, &said)),
            _ => format!("{}: {said}", request_line(method, url)),
        };
        let mut error = TransferError::new(kind, message);
        error.retryable = status == StatusCode::REQUEST_TIMEOUT
            || (status.is_server_error() && status != StatusCode::NOT_IMPLEMENTED)
            || (status == StatusCode::TOO_MANY_REQUESTS && !limit_used_up(headers));
        let retry_after =
            headers.get(http::header::RETRY_AFTER).and_then(|value| parse_retry_after(value.to_str().ok()?));
        Box::new(Failure { status: Some(status), entries, retry_after, ..*Failure::new(error) })
    }

    /// Whether the registry lists this error code.
    pub(crate) fn has_code(&self, code: &str) -> bool {
        self.entries.iter().any(|entry| entry.code.eq_ignore_ascii_case(code))
    }

    /// The registry's own words, if it said any.
    pub(crate) fn said(&self) -> Option<String> {
        (!self.entries.is_empty()).then(|| self.entries.iter().map(ToString::to_string).collect::<Vec<_>>().join(", "))
    }
}

impl From<Box<Failure>> for TransferError {
    fn from(failure: Box<Failure>) -> TransferError {
        failure.error
    }
}

fn kind_of(status: StatusCode) -> ErrorKind {
    match status.as_u16() {
        401 => ErrorKind::Unauthenticated,
        403 => ErrorKind::Denied,
        404 | 410 => ErrorKind::NotFound,
        405 | 501 => ErrorKind::Unsupported,
        409 => ErrorKind::Conflict,
        429 => ErrorKind::RateLimited,
        408 | 500..=599 => ErrorKind::Unavailable,
        _ => ErrorKind::Invalid,
    }
}

/// Reads `{"errors":[…]}`, and the shapes that token services and proxies use instead.
pub(crate) fn parse_entries(body: &[u8]) -> Vec<ErrorEntry> {
    #[derive(Deserialize)]
    struct Body {
        #[serde(default)]
        errors: Vec<ErrorEntry>,
        details: Option<serde_json::Value>,
        message: Option<String>,
        detail: Option<serde_json::Value>,
        error_description: Option<String>,
        error: Option<serde_json::Value>,
    }
    let Ok(body) = serde_json::from_slice::<Body>(body) else { return Vec::new() };
    if !body.errors.is_empty() {
        return body.errors;
    }
    let text = |value: Option<serde_json::Value>| value.and_then(|value| value.as_str().map(str::to_owned));
    let message =
        text(body.details).or(body.error_description).or(body.message).or(text(body.detail)).or(text(body.error));
    message.map(|message| vec![ErrorEntry { code: String::new(), message }]).unwrap_or_default()
}

fn rate_limit_message(entries: &[ErrorEntry], said: &str) -> String {
    match entries.iter().find(|entry| !entry.message.is_empty()) {
        Some(entry) => shown(&entry.message),
        None => said.to_owned(),
    }
}

/// A limit over hours is used up: asking again soon is of no use.
fn limit_used_up(headers: &HeaderMap) -> bool {
    let remaining = headers.get("ratelimit-remaining").and_then(|value| value.to_str().ok());
    remaining.is_some_and(|value| value.split(';').next().is_some_and(|count| count.trim() == "0"))
}

pub(crate) fn parse_retry_after(text: &str) -> Option<Duration> {
    // A date is legal too, but no registry known sends one; then the usual pauses apply.
    text.trim().parse().ok().map(Duration::from_secs)
}

/// A short text body; pages of HTML say nothing that helps.
pub(crate) fn plain_text(headers: &HeaderMap, body: &[u8]) -> Option<String> {
    let content_type =
        headers.get(http::header::CONTENT_TYPE).and_then(|value| value.to_str().ok()).unwrap_or_default();
    let text = shown(std::str::from_utf8(body).ok()?.trim());
    (!content_type.contains("html") && !text.starts_with('<') && !text.is_empty()).then_some(text)
}

/// Text of the other side made safe to print: one line, no control characters, not too long.
pub(crate) fn shown(text: &str) -> String {
    text.chars().map(|c| if c.is_control() { ' ' } else { c }).take(MAX_SHOWN).collect()
}

/// `Get "https://host/path"`, as docker writes it.
pub(crate) fn request_line(method: &Method, url: &Url) -> String {
    let name = method.as_str().to_ascii_lowercase();
    let name = name[..1].to_uppercase() + &name[1..];
    format!("{name} \"{}\"", display_url(url))
}

/// An address without what may be secret: user, password, and the values of a query (signed addresses, tokens).
pub(crate) fn display_url(url: &Url) -> String {
    let mut url = url.clone();
    let _ = url.set_username("");
    let _ = url.set_password(None);
    url.set_fragment(None);
    let has_query = url.query().is_some();
    url.set_query(None);
    if has_query { format!("{url}?…") } else { url.into() }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn failure(status: u16, body: &str) -> Box<Failure> {
        let url = "https://user:hunter2@h/v2/a?sig=hunter2#x".parse().unwrap();
        let status = StatusCode::from_u16(status).unwrap();
        Failure::from_answer(&Method::GET, &url, status, &HeaderMap::new(), body.as_bytes())
    }

    #[test]
    fn answers_in_words() {
        let line = "Get \"https://h/v2/a?…\": ";
        for (status, body, kind, expected) in [
            (
                401,
                r#"{"errors":[{"code":"UNAUTHORIZED","message":"authentication required"}]}"#,
                ErrorKind::Unauthenticated,
                "unauthorized: authentication required",
            ),
            (
                404,
                r#"{"errors":[{"code":"MANIFEST_UNKNOWN","message":"manifest unknown"}]}"#,
                ErrorKind::NotFound,
                "manifest unknown: manifest unknown",
            ),
            (
                401,
                r#"{"details":"incorrect username or password"}"#,
                ErrorKind::Unauthenticated,
                "incorrect username or password",
            ),
            (403, r#"{"error":"no"}"#, ErrorKind::Denied, "no"),
            (502, "<html>oops</html>", ErrorKind::Unavailable, "unexpected status code 502 Bad Gateway"),
            (
                500,
                "bad\x1b[31m thing\n",
                ErrorKind::Unavailable,
                "unexpected status code 500 Internal Server Error: bad [31m thing",
            ),
            (400, "", ErrorKind::Invalid, "unexpected status code 400 Bad Request"),
        ] {
            let failure = failure(status, body);
            assert_eq!(failure.error.kind, kind);
            assert_eq!(failure.error.message, format!("{line}{expected}"));
            assert_eq!(failure.error.retryable, status >= 500);
        }
        let limited =
            failure(429, r#"{"errors":[{"code":"TOOMANYREQUESTS","message":"You have reached your limit."}]}"#);
        assert_eq!(limited.error.message, "toomanyrequests: You have reached your limit.");
        assert!(limited.error.retryable);
    }
}
