//! Posting webhooks: the only HTTP that the hub sends.
//!
//! A host is resolved once, and the connection goes to one of the addresses found, so that a name that answers differently
//! the second time reaches nothing else. Addresses of this machine and of private networks are refused unless the host is
//! allowed by name. Redirects are not followed, the answer's body is not read.

use std::net::{IpAddr, Ipv4Addr, Ipv6Addr, SocketAddr};
use std::sync::{Arc, OnceLock};
use std::time::Duration;

use async_trait::async_trait;
use bytes::Bytes;
use http::header::{CONTENT_TYPE, HOST, HeaderName, USER_AGENT};
use http::{HeaderValue, Request};
use http_body_util::Full;
use hyper_util::rt::TokioIo;
use rustls::pki_types::ServerName;
use rustls::{ClientConfig, RootCertStore};
use strata_hub::{Courier, WebhookSettings};
use tokio::io::{AsyncRead, AsyncWrite};
use tokio::net::TcpStream;
use tokio_rustls::TlsConnector;
use url::{Host, Url};

use crate::tls::provider;

/// How long a receiver may take from the look-up of its name to its status.
const TIME: Duration = Duration::from_secs(10);

/// Posts over HTTP and HTTPS.
pub struct HttpCourier {
    settings: WebhookSettings,
    tls: OnceLock<Result<TlsConnector, String>>,
}

impl HttpCourier {
    /// One that calls whom the settings allow.
    pub fn new(settings: WebhookSettings) -> HttpCourier {
        HttpCourier { settings, tls: OnceLock::new() }
    }

    async fn send(&self, url: &str, headers: &[(&'static str, String)], body: &str) -> Result<u16, String> {
        let url: Url = url.parse().map_err(|cause| format!("the URL: {cause}"))?;
        let host = url.host().ok_or("the URL names no host")?;
        let port = url.port_or_known_default().ok_or("the URL names no port")?;
        let stream = self.connect(&host, port).await?;
        let request = request(&url, headers, body)?;
        if url.scheme() != "https" {
            return exchange(stream, request).await;
        }
        let name = match &host {
            Host::Domain(name) => ServerName::try_from((*name).to_owned()).map_err(|cause| cause.to_string())?,
            Host::Ipv4(address) => IpAddr::V4(*address).into(),
            Host::Ipv6(address) => IpAddr::V6(*address).into(),
        };
        let tls = self.tls.get_or_init(connector).clone()?;
        let stream = tls.connect(name, stream).await.map_err(|cause| format!("TLS: {cause}"))?;
        exchange(stream, request).await
    }

    async fn connect(&self, host: &Host<&str>, port: u16) -> Result<TcpStream, String> {
        let shown = host.to_string();
        let addresses: Vec<SocketAddr> = match host {
            Host::Ipv4(address) => vec![(*address, port).into()],
            Host::Ipv6(address) => vec![(*address, port).into()],
            Host::Domain(name) => {
                let found = tokio::net::lookup_host((*name, port)).await;
                found.map_err(|cause| format!("looking {name} up: {cause}"))?.collect()
            }
        };
        let is_trusted = self.settings.allowed_private_hosts.iter().any(|allowed| {
            allowed.eq_ignore_ascii_case(&shown) || allowed == shown.trim_start_matches('[').trim_end_matches(']')
        });
        let mut failure = format!("{shown} has no address that may be called: its addresses are private");
        for address in addresses.into_iter().filter(|address| is_trusted || is_public(address.ip())) {
            match TcpStream::connect(address).await {
                Ok(stream) => return Ok(stream),
                Err(cause) => failure = format!("connecting to {shown}: {cause}"),
            }
        }
        Err(failure)
    }
}

#[async_trait]
impl Courier for HttpCourier {
    async fn post(&self, url: &str, headers: &[(&'static str, String)], body: &str) -> Result<u16, String> {
        let sent = tokio::time::timeout(TIME, self.send(url, headers, body)).await;
        sent.unwrap_or_else(|_| Err(format!("no answer for {} seconds", TIME.as_secs())))
    }
}

fn request(url: &Url, headers: &[(&'static str, String)], body: &str) -> Result<Request<Full<Bytes>>, String> {
    let target = match url.query() {
        Some(query) => format!("{}?{query}", url.path()),
        None => url.path().to_owned(),
    };
    let authority = match (url.host_str().unwrap_or_default(), url.port()) {
        (host, Some(port)) => format!("{host}:{port}"),
        (host, None) => host.to_owned(),
    };
    let mut request = Request::post(target)
        .header(HOST, authority)
        .header(CONTENT_TYPE, "application/json")
        .header(USER_AGENT, concat!("strata-hub/", env!("CARGO_PKG_VERSION")));
    for (name, value) in headers {
        let value = HeaderValue::try_from(value).map_err(|cause| cause.to_string())?;
        request = request.header(HeaderName::from_static(name), value);
    }
    request.body(Full::new(Bytes::copy_from_slice(body.as_bytes()))).map_err(|cause| cause.to_string())
}

async fn exchange(
    stream: impl AsyncRead + AsyncWrite + Unpin + Send + 'static,
    request: Request<Full<Bytes>>,
) -> Result<u16, String> {
    let failed = |cause: hyper::Error| format!("sending: {cause}");
    let (mut sender, connection) = hyper::client::conn::http1::handshake(TokioIo::new(stream)).await.map_err(failed)?;
    let connection = tokio::spawn(connection);
    let answer = sender.send_request(request).await.map_err(failed);
    connection.abort();
    Ok(answer?.status().as_u16())
}

fn connector() -> Result<TlsConnector, String> {
    let mut roots = RootCertStore::empty();
    for certificate in rustls_native_certs::load_native_certs().certs {
        // One that cannot be read trusts nobody.
        let _ = roots.add(certificate);
    }
    let config = ClientConfig::builder_with_provider(provider())
        .with_safe_default_protocol_versions()
        .map_err(|cause| format!("TLS: {cause}"))?
        .with_root_certificates(roots)
        .with_no_client_auth();
    Ok(TlsConnector::from(Arc::new(config)))
}

/// Whether an address belongs to the public internet, as far as its number tells (IANA's special-purpose registries).
fn is_public(address: IpAddr) -> bool {
    match address {
        IpAddr::V4(address) => is_public_v4(address),
        IpAddr::V6(address) => is_public_v6(address),
    }
}

fn is_public_v4(address: Ipv4Addr) -> bool {
    let [a, b, c, _] = address.octets();
    let is_special = match (a, b, c) {
        (0 | 10 | 127, ..) => true,
        (100, 64..=127, _) => true, // carriers' NAT
        (169, 254, _) => true,      // link-local, among them the clouds' metadata
        (172, 16..=31, _) => true,
        (192, 168, _) | (192, 0, 0 | 2) | (192, 88, 99) => true,
        (198, 18..=19, _) | (198, 51, 100) | (203, 0, 113) => true,
        (224..=255, ..) => true,
        _ => false,
    };
    !is_special
}

fn is_public_v6(address: Ipv6Addr) -> bool {
    if let Some(inside) = address.to_ipv4_mapped() {
        return is_public_v4(inside);
    }
    let [a, b, c, d, _, _, g, h] = address.segments();
    let v4 = |high: u16, low: u16| Ipv4Addr::from(u32::from(high) << 16 | u32::from(low));
    match (a, b) {
        (0x64, 0xff9b) => c == 0 && d == 0 && is_public_v4(v4(g, h)), // NAT64
        (0x2002, high) => is_public_v4(v4(high, c)),                  // 6to4
        (0x2001, 0..=0x1ff | 0xdb8) => false,
        // Only 2000::/3 is given out.
        _ => a & 0xe000 == 0x2000,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_is_public() {
        for (address, expected) in [
            ("93.184.215.14", true),
            ("2606:4700::6810:84e5", true),
            ("127.0.0.1", false),
            ("10.1.2.3", false),
            ("172.16.0.1", false),
            ("172.32.0.1", true),
            ("192.168.1.1", false),
            ("169.254.169.254", false),
            ("100.64.0.1", false),
            ("0.0.0.0", false),
            ("255.255.255.255", false),
            ("224.0.0.1", false),
            ("::1", false),
            ("::", false),
            ("::ffff:10.0.0.1", false),
            ("::ffff:93.184.215.14", true),
            ("fe80::1", false),
            ("fd00::1", false),
            ("64:ff9b::a00:1", false),
            ("2002:a00:1::", false),
            ("2001:db8::1", false),
            ("ff02::1", false),
        ] {
            assert_eq!(is_public(address.parse().unwrap()), expected, "{address}");
        }
    }

    /// A receiver that answers one request with this status and hands back what it got.
    async fn receiver(status: &'static str) -> (u16, tokio::task::JoinHandle<String>) {
        use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _};
        let listener = tokio::net::TcpListener::bind("127.0.0.1:0").await.unwrap();
        let port = listener.local_addr().unwrap().port();
        let got = tokio::spawn(async move {
            let (mut stream, _) = listener.accept().await.unwrap();
            let mut buffer = Vec::new();
            while !buffer.ends_with(b"{\"a\":1}") {
                assert_ne!(stream.read_buf(&mut buffer).await.unwrap(), 0);
            }
            let answer = format!("HTTP/1.1 {status}\r\ncontent-length: 0\r\nlocation: http://127.0.0.1:1/\r\n\r\n");
            stream.write_all(answer.as_bytes()).await.unwrap();
            String::from_utf8(buffer).unwrap()
        });
        (port, got)
    }

    #[tokio::test]
    async fn private_hosts_are_called_only_when_they_are_allowed() {
        let courier = HttpCourier::new(WebhookSettings::default());
        for host in ["127.0.0.1", "localhost", "[::1]", "169.254.169.254", "0x7f.1", "2130706433"] {
            let refused = courier.post(&format!("http://{host}:1/"), &[], "{}").await.unwrap_err();
            assert!(refused.contains("private"), "{host}: {refused}");
        }
        let allowed = WebhookSettings { allowed_private_hosts: vec!["127.0.0.1".into()] };
        let (port, got) = receiver("200 OK").await;
        let headers = [("x-strata-event", "push".to_owned())];
        let url = format!("http://127.0.0.1:{port}/hook?x=1");
        let status = HttpCourier::new(allowed).post(&url, &headers, "{\"a\":1}").await.unwrap();
        let got = got.await.unwrap();
        assert_eq!(status, 200);
        assert!(got.starts_with("POST /hook?x=1 HTTP/1.1\r\n") && got.contains("x-strata-event: push"), "{got}");
    }

    #[tokio::test]
    async fn redirects_are_not_followed() {
        let allowed = WebhookSettings { allowed_private_hosts: vec!["localhost".into()] };
        let (port, got) = receiver("302 Found").await;
        let url = format!("http://localhost:{port}/");
        assert_eq!(HttpCourier::new(allowed).post(&url, &[], "{\"a\":1}").await, Ok(302));
        got.await.unwrap();
    }
}
