//! What a request carries: query, filters, JSON, credentials, platform.

use std::io::{self, Read};
use std::path::Path;
use std::str::FromStr as _;
use std::sync::{Arc, Mutex, PoisonError};

use axum::body::{Body, BodyDataStream, HttpBody as _};
use base64::Engine as _;
use base64::engine::general_purpose::{GeneralPurpose, GeneralPurposeConfig, STANDARD};
use base64::engine::{DecodePaddingMode, general_purpose};
use bytes::{Buf as _, Bytes};
use futures_util::StreamExt as _;
use http::{HeaderMap, Method, StatusCode, header};
use hyper::upgrade::OnUpgrade;
use serde::Deserialize;
use serde::de::DeserializeOwned;
use serde_json::Value;
use strata_model::{Host, Platform, Reference};
use strata_registry_client::{Credentials, RegistryClient, Secret};
use strata_store::Store;
use tokio::sync::mpsc;

use crate::service::EngineService;
use crate::status::Failure;
use crate::version::ApiVersion;

/// Largest JSON body in bytes.
const MAX_JSON: usize = 16 << 20;
/// Chunks of a body that wait for whoever reads it.
const CHUNKS_AHEAD: usize = 4;
/// How much is read of a body that nobody wants, in bytes.
const DRAINED: usize = 256 << 10;

/// A request, and the engine that it is for.
pub(crate) struct Call {
    pub(crate) engine: Arc<EngineService>,
    pub(crate) version: ApiVersion,
    pub(crate) method: Method,
    pub(crate) query: Query,
    pub(crate) headers: HeaderMap,
    /// Behind a lock only so that what looks at the rest of the call may move between threads.
    pub(crate) body: Mutex<Unread>,
    /// The connection itself, if the client wants it for other than HTTP.
    pub(crate) upgrade: Option<OnUpgrade>,
}

impl Call {
    pub(crate) fn store(&self) -> &Store {
        &self.engine.store
    }

    pub(crate) fn root(&self) -> &Path {
        &self.engine.root
    }

    fn take_body(&mut self) -> Body {
        std::mem::take(&mut self.body.get_mut().unwrap_or_else(PoisonError::into_inner).0)
    }

    /// The body as JSON; fields that nobody knows are left alone.
    pub(crate) async fn json<T: DeserializeOwned>(&mut self) -> Result<T, Failure> {
        match self.optional_json().await? {
            Some(value) => Ok(value),
            None => Err(Failure::bad_request("invalid JSON: got EOF while reading request body")),
        }
    }

    /// The same for a body that may be left out, or `null`.
    pub(crate) async fn optional_json<T: DeserializeOwned>(&mut self) -> Result<Option<T>, Failure> {
        let bytes = axum::body::to_bytes(self.take_body(), MAX_JSON)
            .await
            .map_err(|cause| Failure::bad_request(format!("reading the request's body: {cause}")))?;
        if bytes.iter().all(u8::is_ascii_whitespace) {
            return Ok(None);
        }
        let given = self.headers.get(header::CONTENT_TYPE).and_then(|value| value.to_str().ok()).unwrap_or_default();
        let media_type = given.split(';').next().unwrap_or_default().trim();
        if !media_type.is_empty() && !media_type.eq_ignore_ascii_case("application/json") {
            return Err(Failure::bad_request(format!(
                "unsupported Content-Type header ({given}): must be 'application/json'"
            )));
        }
        // Serde would take a list for the fields of a structure in their order; no body of this API is a list.
        if bytes.trim_ascii_start().starts_with(b"[") {
            return Err(Failure::bad_request("invalid JSON: json: cannot unmarshal array into an object"));
        }
        serde_json::from_slice(&bytes).map_err(|cause| Failure::bad_request(format!("invalid JSON: {cause}")))
    }

    /// The body, to be read on a blocking thread.
    pub(crate) fn reader(&mut self) -> BodyReader {
        let mut chunks = self.take_body().into_data_stream();
        let (sender, receiver) = mpsc::channel(CHUNKS_AHEAD);
        tokio::spawn(async move {
            while let Some(chunk) = chunks.next().await {
                if sender.send(chunk.map_err(io::Error::other)).await.is_err() {
                    return drain(chunks).await;
                }
            }
        });
        BodyReader { chunks: receiver, current: Bytes::new() }
    }

    /// The client for a registry with the credentials that the request brings. The server's own are never used.
    pub(crate) fn client(&self, host: &Host) -> RegistryClient {
        match self.headers.get("x-registry-auth").and_then(|value| decode_credentials(value.as_bytes())) {
            Some(credentials) => self.engine.client.with_credentials(host, credentials),
            None => self.engine.client.clone(),
        }
    }
}

/// A request's body. One that nobody wanted is read all the same when it is not long, as by docker: a client that still sends
/// does not look for the answer, and finds the connection broken when it is closed.
#[derive(Default)]
pub(crate) struct Unread(pub(crate) Body);

impl Drop for Unread {
    fn drop(&mut self) {
        let body = std::mem::take(&mut self.0);
        if !body.is_end_stream() {
            tokio::spawn(drain(body.into_data_stream()));
        }
    }
}

/// Reads the rest of a body, up to [`DRAINED`].
async fn drain(mut chunks: BodyDataStream) {
    let mut left = DRAINED;
    while let Some(Ok(chunk)) = chunks.next().await {
        left = left.saturating_sub(chunk.len());
        if left == 0 {
            return;
        }
    }
}

/// Reads a body that async code receives.
pub(crate) struct BodyReader {
    chunks: mpsc::Receiver<io::Result<Bytes>>,
    current: Bytes,
}

impl Read for BodyReader {
    fn read(&mut self, buffer: &mut [u8]) -> io::Result<usize> {
        while self.current.is_empty() {
            match self.chunks.blocking_recv() {
                Some(chunk) => self.current = chunk?,
                None => return Ok(0),
            }
        }
        let count = buffer.len().min(self.current.len());
        self.current.copy_to_slice(&mut buffer[..count]);
        Ok(count)
    }
}

/// What `X-Registry-Auth` and `/auth` carry.
#[derive(Clone, Debug, Default, Deserialize)]
#[serde(default)]
pub(crate) struct AuthConfig {
    username: Option<String>,
    password: Option<String>,
    auth: Option<String>,
    pub(crate) serveraddress: Option<String>,
    identitytoken: Option<String>,
    registrytoken: Option<String>,
}

impl AuthConfig {
    /// The credentials in it, if there are any.
    pub(crate) fn credentials(self) -> Option<Credentials> {
        let some = |text: Option<String>| text.filter(|text| !text.is_empty());
        let username = some(self.username);
        if let Some(token) = some(self.registrytoken) {
            return Some(Credentials::RegistryToken(Secret::new(token)));
        }
        if let Some(token) = some(self.identitytoken) {
            let username = username.unwrap_or_default();
            return Some(Credentials::IdentityToken { username, token: Secret::new(token) });
        }
        let (username, password) = match (username, some(self.password), some(self.auth)) {
            (Some(username), password, _) => (username, password.unwrap_or_default()),
            (None, _, Some(auth)) => {
                let text = String::from_utf8(STANDARD.decode(auth).ok()?).ok()?;
                let (username, password) = text.split_once(':')?;
                (username.to_owned(), password.to_owned())
            }
            _ => return None,
        };
        Some(Credentials::Password { username, password: Secret::new(password) })
    }
}

/// Base64 with the characters for URLs, padded or not; what cannot be decoded is as good as nothing, as in docker.
fn decode_credentials(text: &[u8]) -> Option<Credentials> {
    const LENIENT: GeneralPurposeConfig = general_purpose::PAD.with_decode_padding_mode(DecodePaddingMode::Indifferent);
    let url_safe = GeneralPurpose::new(&base64::alphabet::URL_SAFE, LENIENT);
    let bytes = url_safe.decode(text).ok()?;
    let config: AuthConfig = serde_json::from_slice(&bytes).ok()?;
    config.credentials()
}

/// Bytes in the form of headers that docker's clients decode.
pub(crate) fn encode_header(bytes: &[u8]) -> String {
    STANDARD.encode(bytes)
}

/// The parameters of a query; a name may come several times.
#[derive(Clone, Debug, Default)]
pub(crate) struct Query(Vec<(String, String)>);

impl Query {
    pub(crate) fn parse(text: &str) -> Query {
        Query(url::form_urlencoded::parse(text.as_bytes()).into_owned().collect())
    }

    /// The first value of a parameter, if it is not empty.
    pub(crate) fn text(&self, name: &str) -> Option<&str> {
        self.given(name).filter(|value| !value.is_empty())
    }

    fn given(&self, name: &str) -> Option<&str> {
        self.0.iter().find(|(key, _)| key == name).map(|(_, value)| value.as_str())
    }

    /// Every value of a parameter.
    pub(crate) fn all(&self, name: &str) -> Vec<String> {
        self.0.iter().filter(|(key, _)| key == name).map(|(_, value)| value.clone()).collect()
    }

    /// Docker's truth: all but nothing, `0`, `no`, `false` and `none`.
    pub(crate) fn is_set(&self, name: &str) -> bool {
        let value = self.given(name).unwrap_or_default().trim().to_ascii_lowercase();
        !matches!(value.as_str(), "" | "0" | "no" | "false" | "none")
    }

    /// The same for one that is true unless it is given.
    pub(crate) fn is_set_or_absent(&self, name: &str) -> bool {
        self.given(name).is_none() || self.is_set(name)
    }

    /// A number.
    pub(crate) fn number(&self, name: &str) -> Result<Option<i64>, Failure> {
        let Some(text) = self.text(name) else { return Ok(None) };
        text.parse()
            .map(Some)
            .map_err(|_| Failure::bad_request(format!("strconv.Atoi: parsing {text:?}: invalid syntax")))
    }

    /// `filters`: a map of sets, or, as old clients write it, a map of lists.
    pub(crate) fn filters(&self) -> Result<Vec<(String, String)>, Failure> {
        let Some(text) = self.text("filters") else { return Ok(Vec::new()) };
        parse_filters(text).ok_or_else(|| Failure::bad_request("invalid filter"))
    }

    /// A platform as JSON (`{"os":"linux","architecture":"arm64","variant":"v8"}`).
    pub(crate) fn platform(&self) -> Result<Option<Platform>, Failure> {
        self.text("platform").map(parse_platform).transpose()
    }

    /// A platform as text (`linux/arm64/v8`).
    pub(crate) fn platform_text(&self) -> Result<Option<Platform>, Failure> {
        let parse = |text: &str| Platform::from_str(text).map_err(|cause| Failure::bad_request(cause.to_string()));
        self.text("platform").map(parse).transpose()
    }
}

fn parse_filters(text: &str) -> Option<Vec<(String, String)>> {
    let Value::Object(fields) = serde_json::from_str(text).ok()? else { return None };
    let mut filters = Vec::new();
    for (key, values) in fields {
        match values {
            Value::Object(set) => {
                for (value, is_set) in set {
                    if is_set.as_bool()? {
                        filters.push((key.clone(), value));
                    }
                }
            }
            Value::Array(list) => {
                for value in list {
                    filters.push((key.clone(), value.as_str()?.to_owned()));
                }
            }
            _ => return None,
        }
    }
    Some(filters)
}

/// Reads a platform in JSON.
pub(crate) fn parse_platform(text: &str) -> Result<Platform, Failure> {
    #[derive(Default, Deserialize)]
    #[serde(default)]
    struct Document {
        os: String,
        architecture: String,
        variant: String,
    }
    let failed = |cause: &dyn std::fmt::Display| Failure::bad_request(format!("failed to parse platform: {cause}"));
    let document: Document = serde_json::from_str(text).map_err(|cause| failed(&cause))?;
    if document.os.is_empty() {
        return Err(Failure::bad_request("platform: os is required"));
    }
    let parts = [document.os, document.architecture, document.variant];
    let given: Vec<&str> = parts.iter().map(String::as_str).filter(|part| !part.is_empty()).collect();
    given.join("/").parse().map_err(|cause: strata_model::PlatformError| failed(&cause))
}

/// A reference.
pub(crate) fn parse_reference(text: &str) -> Result<Reference, Failure> {
    Reference::parse(text).map_err(|cause| Failure::new(StatusCode::BAD_REQUEST, cause.to_string()))
}

#[cfg(test)]
mod tests {
    use base64::engine::general_purpose::URL_SAFE;

    use super::*;

    #[test]
    fn truth_in_queries() {
        let query = Query::parse("a=1&b=0&c=False&d=no&e=none&f=yes&g=&h&i=%20true");
        let set: Vec<&str> =
            ["a", "b", "c", "d", "e", "f", "g", "h", "i", "z"].into_iter().filter(|name| query.is_set(name)).collect();
        assert_eq!(set, ["a", "f", "i"]);
        assert!(query.is_set_or_absent("z") && !query.is_set_or_absent("b"));
    }

    #[test]
    fn filters_in_both_forms() {
        let filters = |text: &str| {
            let query: String =
                url::form_urlencoded::Serializer::new(String::new()).append_pair("filters", text).finish();
            Query::parse(&query).filters().map_err(|failure| failure.message)
        };
        let pair = |key: &str, value: &str| (key.to_owned(), value.to_owned());
        assert_eq!(filters(r#"{"label":{"a=b":true,"c":true}}"#), Ok(vec![pair("label", "a=b"), pair("label", "c")]));
        assert_eq!(filters(r#"{"dangling":["true"]}"#), Ok(vec![pair("dangling", "true")]));
        assert_eq!(filters("{}"), Ok(Vec::new()));
        for bad in ["x", "[]", r#"{"a":1}"#, r#"{"a":{"b":"c"}}"#, r#"{"a":[1]}"#] {
            assert_eq!(filters(bad), Err("invalid filter".to_owned()), "{bad}");
        }
    }

    #[test]
    fn credentials_in_headers() {
        let password =
            |name: &str, word: &str| Some(Credentials::Password { username: name.into(), password: Secret::new(word) });
        let json = br#"{"username":"me","password":"a?>b","serveraddress":"x"}"#;
        let padded = URL_SAFE.encode(json);
        assert_eq!(decode_credentials(padded.as_bytes()), password("me", "a?>b"));
        assert_eq!(decode_credentials(padded.trim_end_matches('=').as_bytes()), password("me", "a?>b"));
        let auth = format!(r#"{{"auth":"{}"}}"#, STANDARD.encode("you:word"));
        assert_eq!(decode_credentials(URL_SAFE.encode(auth).as_bytes()), password("you", "word"));
        for nothing in ["e30=", "", "%%%", "bnVsbA=="] {
            assert_eq!(decode_credentials(nothing.as_bytes()), None, "{nothing}");
        }
    }

    #[test]
    fn platforms_in_json() {
        let parsed = parse_platform(r#"{"os":"linux","architecture":"arm64","variant":"v8"}"#).unwrap();
        assert!(parsed.is_same(&"linux/arm64/v8".parse().unwrap()));
        assert!(parse_platform("linux/arm64").unwrap_err().message.starts_with("failed to parse platform: "));
    }
}
