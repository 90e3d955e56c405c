//! TLS on both sides: whoever connects over TCP shows a certificate of the named authority.

use std::fmt;
use std::path::{Path, PathBuf};
use std::sync::Arc;

use rustls::pki_types::pem::PemObject as _;
use rustls::pki_types::{CertificateDer, PrivateKeyDer};
use rustls::server::WebPkiClientVerifier;
use rustls::{RootCertStore, ServerConfig};
use tokio_rustls::TlsAcceptor;

/// Files in PEM that TLS needs, as `dockerd --tlsverify` names them.
#[derive(Clone, Debug)]
pub struct MutualTls {
    /// Certificates of the authorities that vouch for clients.
    pub authority: PathBuf,
    /// The server's certificate chain.
    pub certificate: PathBuf,
    /// The certificate's private key.
    pub key: PathBuf,
}

/// Why there is no TLS: which file, and what is wrong with it.
#[derive(Debug, thiserror::Error)]
#[error("{what} {path}: {cause}", path = path.display())]
pub struct TlsError {
    what: &'static str,
    path: PathBuf,
    cause: String,
}

impl MutualTls {
    /// Reads the files.
    ///
    /// # Errors
    /// When they cannot be read, hold something else, or do not belong together.
    pub(crate) fn acceptor(&self) -> Result<TlsAcceptor, TlsError> {
        let provider = Arc::new(rustls::crypto::ring::default_provider());
        let mut authorities = RootCertStore::empty();
        for certificate in certificates("reading the authority", &self.authority)? {
            let added = authorities.add(certificate);
            added.map_err(|cause| failed("using the authority", &self.authority, cause))?;
        }
        let verifier = WebPkiClientVerifier::builder_with_provider(Arc::new(authorities), provider.clone())
            .build()
            .map_err(|cause| failed("using the authority", &self.authority, cause))?;
        let chain = certificates("reading the certificate", &self.certificate)?;
        let key =
            PrivateKeyDer::from_pem_file(&self.key).map_err(|cause| failed("reading the key", &self.key, cause))?;
        let mut config = ServerConfig::builder_with_provider(provider)
            .with_safe_default_protocol_versions()
            .map_err(|cause| failed("using", &self.certificate, cause))?
            .with_client_cert_verifier(verifier)
            .with_single_cert(chain, key)
            .map_err(|cause| failed("using the certificate", &self.certificate, cause))?;
        config.alpn_protocols = vec![b"http/1.1".to_vec()];
        Ok(TlsAcceptor::from(Arc::new(config)))
    }
}

fn certificates(what: &'static str, path: &Path) -> Result<Vec<CertificateDer<'static>>, TlsError> {
    let found: Vec<_> =
        CertificateDer::pem_file_iter(path).and_then(Iterator::collect).map_err(|cause| failed(what, path, cause))?;
    if found.is_empty() { Err(failed(what, path, "it holds no certificate")) } else { Ok(found) }
}

fn failed(what: &'static str, path: &Path, cause: impl fmt::Display) -> TlsError {
    TlsError { what, path: path.to_owned(), cause: cause.to_string() }
}
