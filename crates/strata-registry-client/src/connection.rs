//! Failures to connect, in the words that scripts know from docker.

use std::error::Error;
use std::io;

use http::Method;
use strata_model::ErrorKind;
use strata_transfer::TransferError;
use url::Url;

use crate::failure::{Failure, display_url, request_line};

/// The failure that an HTTP error without an answer is.
///
/// Docker asks for `/v2/` first, so failures to connect name that address, whatever was asked for.
pub(crate) fn connection_failure(method: &Method, url: &Url, error: &reqwest::Error) -> Box<Failure> {
    let (cause, retryable, hint) = describe(url, error);
    let line =
        if error.is_connect() { format!("Get \"{}\"", display_url(&ping_url(url))) } else { request_line(method, url) };
    let mut failure = Failure::new(TransferError {
        kind: ErrorKind::Unavailable,
        message: format!("{line}: {cause}"),
        hint,
        retryable,
    });
    failure.unreachable = error.is_connect();
    failure
}

/// The failure that silence is.
pub(crate) fn silence(method: &Method, url: &Url, patience: std::time::Duration) -> Box<Failure> {
    let message = format!(
        "{}: net/http: timeout awaiting response headers (after {} s)",
        request_line(method, url),
        patience.as_secs_f32()
    );
    Failure::new(TransferError::retryable(ErrorKind::Unavailable, message))
}

fn ping_url(url: &Url) -> Url {
    let mut url = url.clone();
    url.set_path("/v2/");
    url.set_query(None);
    url
}

fn describe(url: &Url, error: &reqwest::Error) -> (String, bool, Option<String>) {
    let host = url.host_str().unwrap_or_default();
    let authority = format!("{host}:{}", url.port_or_known_default().unwrap_or_default());
    let texts: Vec<String> = sources(error).map(ToString::to_string).collect();
    let last = texts.last().cloned().unwrap_or_else(|| "unknown error".into());
    if texts.iter().any(|text| text == "dns error") {
        return if last.contains("Temporary failure") {
            (format!("dial tcp: lookup {host}: Temporary failure in name resolution"), true, None)
        } else {
            (format!("dial tcp: lookup {host}: no such host"), false, None)
        };
    }
    if let Some(tls) = sources(error).find_map(tls_error) {
        return describe_tls(url, tls);
    }
    if error.is_timeout() {
        return (format!("dial tcp {authority}: i/o timeout"), true, None);
    }
    if !error.is_connect() {
        return (last, true, None);
    }
    let cause = match sources(error).find_map(|source| source.downcast_ref::<io::Error>()).map(io::Error::kind) {
        Some(io::ErrorKind::ConnectionRefused) => "connect: connection refused".into(),
        Some(io::ErrorKind::ConnectionReset) => "read: connection reset by peer".into(),
        Some(io::ErrorKind::HostUnreachable) => "connect: no route to host".into(),
        Some(io::ErrorKind::NetworkUnreachable) => "connect: network is unreachable".into(),
        _ => last,
    };
    (format!("dial tcp {authority}: {cause}"), true, None)
}

fn describe_tls(url: &Url, error: &rustls::Error) -> (String, bool, Option<String>) {
    let host = url.host_str().unwrap_or_default();
    let host = url.port().map_or_else(|| host.to_owned(), |port| format!("{host}:{port}"));
    match error {
        rustls::Error::InvalidCertificate(certificate) => {
            let cause = match certificate {
                rustls::CertificateError::UnknownIssuer => "x509: certificate signed by unknown authority".to_owned(),
                rustls::CertificateError::NotValidForName | rustls::CertificateError::NotValidForNameContext { .. } => {
                    format!("x509: certificate is not valid for {}", url.host_str().unwrap_or_default())
                }
                rustls::CertificateError::Expired | rustls::CertificateError::ExpiredContext { .. } => {
                    "x509: certificate has expired or is not yet valid".to_owned()
                }
                other => format!("x509: {other}"),
            };
            let hint = format!(
                "put the certificate of the registry's authority into /etc/docker/certs.d/{host}/ca.crt, or list {host} in insecure-registries"
            );
            (format!("tls: failed to verify certificate: {cause}"), false, Some(hint))
        }
        rustls::Error::InvalidMessage(rustls::InvalidMessage::InvalidContentType) => {
            let hint = format!("if this registry has no TLS, list {host} in insecure-registries");
            ("http: server gave HTTP response to HTTPS client".into(), false, Some(hint))
        }
        rustls::Error::AlertReceived(_) | rustls::Error::NoCertificatesPresented => {
            (format!("remote error: tls: {error}"), false, None)
        }
        other => (format!("tls: {other}"), true, None),
    }
}

/// The error and what caused it, outermost first. An IO error's inner error is a cause too.
fn sources(error: &reqwest::Error) -> impl Iterator<Item = &(dyn Error + 'static)> {
    std::iter::successors(Some(error as &(dyn Error + 'static)), |error| cause(*error))
}

fn cause<'a>(error: &'a (dyn Error + 'static)) -> Option<&'a (dyn Error + 'static)> {
    let inner = error.downcast_ref::<io::Error>().and_then(io::Error::get_ref);
    inner.map(|inner| inner as &(dyn Error + 'static)).or_else(|| error.source())
}

fn tls_error<'a>(error: &'a (dyn Error + 'static)) -> Option<&'a rustls::Error> {
    error.downcast_ref::<rustls::Error>()
}

/// The innermost cause of an error, without addresses: those can hold secrets.
pub(crate) fn innermost(error: &reqwest::Error) -> String {
    sources(error).last().map_or_else(|| "unknown error".into(), ToString::to_string)
}
