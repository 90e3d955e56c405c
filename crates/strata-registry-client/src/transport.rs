//! One HTTP exchange: the right connection for a host, redirects, and an end to waiting.
//!
//! Redirects are followed here and not by the HTTP library, because each hop may need another certificate, and the
//! `Authorization` header must not go to another host. Every wait is bounded: for an answer, and for each further piece
//! of its body, so that a registry that hangs ends in an error whatever the size of the blob.

use std::collections::HashMap;
use std::sync::{Mutex, MutexGuard, PoisonError};

use bytes::{Bytes, BytesMut};
use http::header::{ACCEPT_ENCODING, AUTHORIZATION, LOCATION};
use http::{HeaderMap, HeaderValue, Method, StatusCode};
use reqwest::Response;
use strata_model::{ErrorKind, Host};
use strata_transfer::TransferError;
use url::Url;

use crate::certificates::{HostCertificates, system_authorities};
use crate::config::{ClientConfig, host_part, is_loopback};
use crate::connection::{connection_failure, innermost, silence};
use crate::endpoint::{api_authority, authority};
use crate::failure::{Failure, Outcome, display_url, request_line};
use crate::rate_limit::RateLimit;

const USER_AGENT: &str = concat!("strata/", env!("CARGO_PKG_VERSION"));
const MAX_REDIRECTS: usize = 10;
/// Largest error body that is read, in bytes.
const MAX_ERROR_BODY: usize = 64 << 10;

/// A request whose body is in memory, so that it can be made again.
#[derive(Clone, Debug)]
pub(crate) struct Message {
    pub(crate) method: Method,
    pub(crate) url: Url,
    pub(crate) headers: HeaderMap,
    pub(crate) body: Bytes,
}

impl Message {
    /// A request without a body.
    pub(crate) fn new(method: Method, url: Url) -> Message {
        Message { method, url, headers: HeaderMap::new(), body: Bytes::new() }
    }

    /// The same request with a header.
    pub(crate) fn with(mut self, name: http::HeaderName, value: HeaderValue) -> Message {
        self.headers.append(name, value);
        self
    }
}

/// The HTTP clients, and what has been learnt about hosts. Shared by all tasks; no lock is held across an await.
pub(crate) struct Transport {
    pub(crate) config: ClientConfig,
    /// By authority; hosts with nothing special share the client under the empty name.
    clients: Mutex<HashMap<String, reqwest::Client>>,
    /// Scheme and authority of hosts that may be insecure, once it is known what they speak.
    origins: Mutex<HashMap<Host, Url>>,
    limits: Mutex<HashMap<Host, RateLimit>>,
}

pub(crate) fn lock<T>(mutex: &Mutex<T>) -> MutexGuard<'_, T> {
    mutex.lock().unwrap_or_else(PoisonError::into_inner)
}

impl Transport {
    pub(crate) fn new(config: ClientConfig) -> Transport {
        Transport {
            config,
            clients: Mutex::new(HashMap::new()),
            origins: Mutex::new(HashMap::new()),
            limits: Mutex::new(HashMap::new()),
        }
    }

    /// Scheme and authority of a registry. For one that may be insecure it is tried out what it speaks, as docker does:
    /// HTTPS first, whatever its certificate, then HTTP.
    pub(crate) async fn origin(&self, host: &Host) -> Outcome<Url> {
        let authority = api_authority(host);
        let origin = |scheme: &str| {
            format!("{scheme}://{authority}/").parse::<Url>().map_err(|error| {
                Failure::new(TransferError::new(
                    ErrorKind::Invalid,
                    format!("registry {authority}: not a usable host: {error}"),
                ))
            })
        };
        let secure = origin("https")?;
        if !self.config.is_insecure(authority) {
            return Ok(secure);
        }
        if let Some(known) = lock(&self.origins).get(host) {
            return Ok(known.clone());
        }
        let mut ping = secure.clone();
        ping.set_path("/v2/");
        let found = match self.send(&Message::new(Method::GET, ping)).await {
            Ok(_) => secure,
            // Nothing listens there now: that may change, and then it may speak TLS.
            Err(failure) if failure.unreachable && failure.error.message.ends_with("connection refused") => {
                return origin("http");
            }
            Err(_) => origin("http")?,
        };
        lock(&self.origins).insert(host.clone(), found.clone());
        Ok(found)
    }

    /// Makes a request and follows redirects. Any final status is an answer.
    pub(crate) async fn follow(&self, message: &Message) -> Outcome<Response> {
        let mut message = message.clone();
        for _ in 0..=MAX_REDIRECTS {
            let response = self.send(&message).await?;
            let Some(next) = redirect(&message, &response)? else { return Ok(response) };
            self.check_redirect(&message, &next)?;
            if message.url.origin() != next.origin() {
                message.headers.remove(AUTHORIZATION);
            }
            message.url = next;
        }
        Err(Failure::new(TransferError::new(
            ErrorKind::Unavailable,
            format!("{}: stopped after {MAX_REDIRECTS} redirects", request_line(&message.method, &message.url)),
        )))
    }

    /// What was asked for over TLS is not fetched without it, unless that host is trusted without proof.
    fn check_redirect(&self, message: &Message, next: &Url) -> Outcome<()> {
        let downgrade = message.url.scheme() == "https" && next.scheme() != "https";
        if downgrade && !self.config.is_insecure(&authority(next)) {
            return Err(Failure::new(TransferError::new(
                ErrorKind::Denied,
                format!(
                    "{}: refused a redirect from HTTPS to {}",
                    request_line(&message.method, &message.url),
                    display_url(next)
                ),
            )));
        }
        Ok(())
    }

    /// Makes one request; waits for the head of its answer as long as the configuration says.
    pub(crate) async fn send(&self, message: &Message) -> Outcome<Response> {
        let patience = self.config.timeouts.idle;
        let sending = self.send_stream(message, reqwest::Body::from(message.body.clone()));
        match tokio::time::timeout(patience, sending).await {
            Ok(answer) => answer,
            Err(_) => Err(silence(&message.method, &message.url, patience)),
        }
    }

    /// Makes one request with a body that is being made. The caller bounds the time.
    pub(crate) async fn send_stream(&self, message: &Message, body: reqwest::Body) -> Outcome<Response> {
        let client = self.client_for(&message.url)?;
        tracing::debug!(method = %message.method, url = %display_url(&message.url), "request");
        client
            .request(message.method.clone(), message.url.clone())
            .headers(message.headers.clone())
            .header(ACCEPT_ENCODING, "identity")
            .body(body)
            .send()
            .await
            .map_err(|error| connection_failure(&message.method, &message.url, &error))
    }

    /// Reads a whole body of at most `limit` bytes.
    pub(crate) async fn body(&self, mut response: Response, limit: usize) -> Outcome<Bytes> {
        let url = response.url().clone();
        let mut body = BytesMut::new();
        while let Some(chunk) = self.chunk(&mut response).await.map_err(Failure::new)? {
            if body.len() + chunk.len() > limit {
                return Err(Failure::new(TransferError::new(
                    ErrorKind::Invalid,
                    format!("{}: answer is larger than the limit of {limit} bytes", request_line(&Method::GET, &url)),
                )));
            }
            body.extend_from_slice(&chunk);
        }
        Ok(body.freeze())
    }

    /// The next piece of a body, waited for as long as the configuration says; errors may be retried.
    pub(crate) async fn chunk(&self, response: &mut Response) -> Result<Option<Bytes>, TransferError> {
        let patience = self.config.timeouts.idle;
        let url = response.url().clone();
        let broken = |cause: String| {
            TransferError::retryable(
                ErrorKind::Unavailable,
                format!("{}: reading the answer: {cause}", request_line(&Method::GET, &url)),
            )
        };
        match tokio::time::timeout(patience, response.chunk()).await {
            Ok(Ok(chunk)) => Ok(chunk),
            Ok(Err(error)) => Err(broken(innermost(&error))),
            Err(_) => Err(broken(format!("no data for {} s", patience.as_secs_f32()))),
        }
    }

    /// The failure that an answer with an error status is.
    pub(crate) async fn failure(&self, method: &Method, url: &Url, response: Response) -> Box<Failure> {
        let (status, headers) = (response.status(), response.headers().clone());
        let body = self.body(response, MAX_ERROR_BODY).await.unwrap_or_default();
        Failure::from_answer(method, url, status, &headers, &body)
    }

    pub(crate) fn note_rate_limit(&self, host: &Host, headers: &HeaderMap) {
        if let Some(limit) = RateLimit::from_headers(headers) {
            lock(&self.limits).insert(host.clone(), limit);
        }
    }

    pub(crate) fn rate_limit(&self, host: &Host) -> Option<RateLimit> {
        lock(&self.limits).get(host).cloned()
    }

    fn client_for(&self, url: &Url) -> Outcome<reqwest::Client> {
        let authority = authority(url);
        if let Some(client) = lock(&self.clients).get(&authority) {
            return Ok(client.clone());
        }
        let certificates =
            HostCertificates::read(&self.config.certificate_directories, &authority).map_err(Failure::new)?;
        let special = !certificates.is_empty() || self.config.is_insecure(&authority);
        let shared = lock(&self.clients).get("").cloned();
        let client = match shared {
            Some(client) if !special => client,
            _ => self.build_client(&authority, certificates)?,
        };
        let mut clients = lock(&self.clients);
        if !special {
            clients.insert(String::new(), client.clone());
        }
        clients.insert(authority, client.clone());
        Ok(client)
    }

    fn build_client(&self, authority: &str, certificates: HostCertificates) -> Outcome<reqwest::Client> {
        let is_insecure = self.config.is_insecure(authority);
        // Reading the system's takes longer than most answers of a registry near by.
        let authorities = if is_insecure { Vec::new() } else { system_authorities() };
        let mut builder = reqwest::Client::builder()
            .user_agent(USER_AGENT)
            .connect_timeout(self.config.timeouts.connect)
            .redirect(reqwest::redirect::Policy::none())
            .referer(false)
            .http2_adaptive_window(true)
            .tcp_nodelay(true)
            .tls_certs_only(authorities.into_iter().chain(certificates.authorities));
        if let Some(identity) = certificates.identity {
            builder = builder.identity(identity);
        }
        if is_insecure {
            builder = builder.tls_danger_accept_invalid_certs(true);
        }
        // As Go's clients do: a proxy is never asked for this machine itself.
        if is_loopback(host_part(authority)) {
            builder = builder.no_proxy();
        }
        builder.build().map_err(|error| {
            let message = format!("registry {authority}: setting up HTTP: {}", innermost(&error));
            Failure::new(TransferError::new(ErrorKind::Internal, message))
        })
    }
}

/// Where an answer sends the client, if it does.
fn redirect(message: &Message, response: &Response) -> Outcome<Option<Url>> {
    let reading = matches!(message.method, Method::GET | Method::HEAD);
    let follow = match response.status() {
        StatusCode::TEMPORARY_REDIRECT | StatusCode::PERMANENT_REDIRECT => true,
        StatusCode::MOVED_PERMANENTLY | StatusCode::FOUND | StatusCode::SEE_OTHER => reading,
        _ => false,
    };
    let Some(location) = response.headers().get(LOCATION).filter(|_| follow) else { return Ok(None) };
    location_url(&message.url, location).map(Some)
}

/// The address in a `Location` header, which may be relative.
///
/// A registry behind a proxy that ends TLS often writes `http` and means itself; then the scheme and port in use stay.
pub(crate) fn location_url(base: &Url, location: &HeaderValue) -> Outcome<Url> {
    let malformed = || {
        let message = format!("{}: its Location header is no address", request_line(&Method::GET, base));
        Failure::new(TransferError::new(ErrorKind::Unavailable, message))
    };
    let text = std::str::from_utf8(location.as_bytes()).map_err(|_| malformed())?;
    let mut url = base.join(text).map_err(|_| malformed())?;
    if !matches!(url.scheme(), "http" | "https") || url.host_str().is_none() {
        return Err(malformed());
    }
    let same_server = url.host_str() == base.host_str() && (url.port() == base.port() || url.port().is_none());
    if same_server && base.scheme() == "https" && url.scheme() == "http" {
        let _ = url.set_scheme("https");
        let _ = url.set_port(base.port());
    }
    Ok(url)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn locations() {
        for (base, location, expected) in [
            ("https://h/v2/a/blobs/uploads/", "/v2/a/x?s=1", "https://h/v2/a/x?s=1"),
            ("https://h/v2/", "http://h/x", "https://h/x"),
            ("https://h:8443/v2/", "http://h/x", "https://h:8443/x"),
            ("https://h/v2/", "http://h:5000/x", "http://h:5000/x"),
            ("http://h:5000/v2/", "http://cdn/x", "http://cdn/x"),
        ] {
            let url = location_url(&base.parse().unwrap(), &HeaderValue::from_static(location)).unwrap();
            assert_eq!(url.as_str(), expected);
        }
        for location in ["file:///etc/passwd", "https://", "http://[x"] {
            assert!(location_url(&"https://h/".parse().unwrap(), &HeaderValue::from_static(location)).is_err());
        }
    }
}
