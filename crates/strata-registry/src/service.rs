//! What a registry asks others, and what it believes of a request.

use std::net::{IpAddr, Ipv4Addr, SocketAddr};
use std::sync::Arc;

use axum::extract::ConnectInfo;
use http::header::HOST;
use http::request::Parts;
use strata_store::registry::{Access, Everybody, Upstream};

/// How a registry is served.
#[derive(Clone)]
pub struct RegistryService {
    /// Who may do what. Asked before anything else.
    pub access: Arc<dyn Access>,
    /// Where mirrored content comes from.
    pub upstream: Option<Arc<dyn Upstream>>,
    /// Whether `/v1/_ping` and `/v1/search` are answered here.
    pub search: Search,
    /// Whether a proxy in front tells where requests come from.
    pub forwarded: ForwardedHeaders,
}

impl Default for RegistryService {
    /// Everybody may do everything; nothing is mirrored.
    fn default() -> RegistryService {
        RegistryService {
            access: Arc::new(Everybody),
            upstream: None,
            search: Search::ByName,
            forwarded: ForwardedHeaders::Ignored,
        }
    }
}

/// Who answers `docker search`.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Search {
    /// The registry, by the names of repositories that the caller may know of. Reads every name.
    ByName,
    /// Another router: this one has no `/v1`.
    Elsewhere,
}

/// What the headers `X-Forwarded-For`, `-Proto` and `-Host` mean.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum ForwardedHeaders {
    /// Nothing: anybody can send them.
    Ignored,
    /// The truth: only a proxy that sets them can connect.
    Trusted,
}

/// The connection that a request came on. The server sets it as an extension of each request.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Connection {
    /// The other end.
    pub peer: SocketAddr,
    /// Whether it is encrypted.
    pub scheme: Scheme,
}

/// What a listener speaks.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Scheme {
    /// Plain HTTP.
    Http,
    /// HTTP over TLS.
    Https,
}

/// Where a request comes from, and how its sender calls this server.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Sender {
    /// Address of the client.
    pub peer: IpAddr,
    /// `http://host[:port]` or `https://…`, for challenges and absolute locations.
    pub origin: String,
}

impl Sender {
    /// From the connection, and from the headers of a trusted proxy. Of several forwarded addresses the last counts: the
    /// proxy saw that one itself.
    pub fn of(parts: &Parts, forwarded: ForwardedHeaders) -> Sender {
        let connection = parts.extensions.get::<Connection>().copied();
        let peer = connection.map(|connection| connection.peer);
        let peer = peer.or_else(|| parts.extensions.get::<ConnectInfo<SocketAddr>>().map(|info| info.0));
        let peer = peer.map_or(IpAddr::V4(Ipv4Addr::UNSPECIFIED), |peer| peer.ip().to_canonical());
        let header = |name: &str| parts.headers.get(name).and_then(|value| value.to_str().ok());
        let from_proxy = |name: &str| match forwarded {
            ForwardedHeaders::Trusted => header(name),
            ForwardedHeaders::Ignored => None,
        };
        let scheme = match from_proxy("x-forwarded-proto").map(str::trim) {
            Some("https") => "https",
            Some("http") => "http",
            _ if connection.is_some_and(|connection| connection.scheme == Scheme::Https) => "https",
            _ => "http",
        };
        let authority = parts.uri.authority().map(|authority| authority.as_str());
        let host = from_proxy("x-forwarded-host")
            .and_then(|hosts| hosts.split(',').next())
            .or_else(|| header(HOST.as_str()))
            .or(authority)
            .map(str::trim)
            .filter(|host| is_host(host))
            .unwrap_or("localhost");
        let peer = from_proxy("x-forwarded-for")
            .and_then(|addresses| addresses.rsplit(',').next())
            .and_then(|address| address.trim().parse::<IpAddr>().ok())
            .unwrap_or(peer);
        Sender { peer, origin: format!("{scheme}://{host}") }
    }
}

/// Whether a text can stand in a URL as host and port; keeps quotes and line breaks out of challenges.
fn is_host(text: &str) -> bool {
    let is_allowed = |byte: u8| byte.is_ascii_alphanumeric() || matches!(byte, b'.' | b'-' | b'_' | b':' | b'[' | b']');
    !text.is_empty() && text.len() <= 255 && text.bytes().all(is_allowed)
}

#[cfg(test)]
mod tests {
    use http::Request;

    use super::*;

    fn sender(headers: &[(&str, &str)], scheme: Scheme, forwarded: ForwardedHeaders) -> (String, String) {
        let mut request = Request::builder().uri("/v2/");
        for (name, value) in headers {
            request = request.header(*name, *value);
        }
        let connection = Connection { peer: "[::ffff:192.0.2.7]:99".parse().unwrap(), scheme };
        let (parts, ()) = request.extension(connection).body(()).unwrap().into_parts();
        let sender = Sender::of(&parts, forwarded);
        (sender.peer.to_string(), sender.origin)
    }

    #[test]
    fn a_proxy_is_believed_only_when_it_is_trusted() {
        let pair = |peer: &str, origin: &str| (peer.to_owned(), origin.to_owned());
        let headers = [
            ("host", "inner:5000"),
            ("x-forwarded-host", "hub.example"),
            ("x-forwarded-proto", "https"),
            ("x-forwarded-for", "10.9.9.9, 203.0.113.5"),
        ];
        let (ignored, trusted) = (ForwardedHeaders::Ignored, ForwardedHeaders::Trusted);
        assert_eq!(sender(&headers, Scheme::Http, ignored), pair("192.0.2.7", "http://inner:5000"));
        assert_eq!(sender(&headers, Scheme::Https, ignored), pair("192.0.2.7", "https://inner:5000"));
        assert_eq!(sender(&headers, Scheme::Http, trusted), pair("203.0.113.5", "https://hub.example"));
        assert_eq!(sender(&headers[..1], Scheme::Http, trusted), pair("192.0.2.7", "http://inner:5000"));
        let hostile = [("host", "a\", realm=\"https://evil")];
        assert_eq!(sender(&hostile, Scheme::Http, ignored), pair("192.0.2.7", "http://localhost"));
    }
}
