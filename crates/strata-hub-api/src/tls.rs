//! TLS: a certificate and a key from files, read again when they change.

use std::fmt;
use std::path::{Path, PathBuf};
use std::sync::{Arc, PoisonError, RwLock};
use std::time::{Duration, SystemTime};

use rustls::ServerConfig;
use rustls::crypto::CryptoProvider;
use rustls::pki_types::pem::PemObject as _;
use rustls::pki_types::{CertificateDer, PrivateKeyDer};
use rustls::server::{ClientHello, ResolvesServerCert};
use rustls::sign::CertifiedKey;
use tokio_rustls::TlsAcceptor;

/// How often the files are looked at.
const LOOK: Duration = Duration::from_secs(2);

/// Why there is no TLS: which file, and what is wrong with it.
#[derive(Debug, thiserror::Error)]
#[error("{what} {path}: {cause}", path = path.display())]
pub struct TlsError {
    what: &'static str,
    path: PathBuf,
    cause: String,
}

/// A certificate and its key in PEM files: the chain, the server's own first, and a PKCS #8, PKCS #1 or SEC 1 key.
#[derive(Debug)]
pub struct Certificate {
    certificate: PathBuf,
    key: PathBuf,
    current: RwLock<Current>,
}

#[derive(Debug)]
struct Current {
    key: Arc<CertifiedKey>,
    seen: [Option<SystemTime>; 2],
}

impl Certificate {
    /// Reads the files.
    ///
    /// # Errors
    /// When they cannot be read, hold something else, or do not belong together.
    pub fn load(certificate: impl Into<PathBuf>, key: impl Into<PathBuf>) -> Result<Arc<Certificate>, TlsError> {
        let (certificate, key) = (certificate.into(), key.into());
        let seen = [modified(&certificate), modified(&key)];
        let current = Current { key: read(&certificate, &key)?, seen };
        Ok(Arc::new(Certificate { certificate, key, current: RwLock::new(current) }))
    }

    /// What encrypts connections: TLS 1.2 and 1.3, HTTP/2 or 1.1 as the client prefers.
    ///
    /// # Errors
    /// When the provider lacks what TLS needs.
    pub fn acceptor(self: &Arc<Self>) -> Result<TlsAcceptor, TlsError> {
        let config = ServerConfig::builder_with_provider(provider())
            .with_safe_default_protocol_versions()
            .map_err(|cause| self.error("using", cause))?;
        let mut config = config.with_no_client_auth().with_cert_resolver(self.clone());
        config.alpn_protocols = vec![b"h2".to_vec(), b"http/1.1".to_vec()];
        Ok(TlsAcceptor::from(Arc::new(config)))
    }

    /// Reads the files again whenever they change, for as long as it is polled. What is wrong with new ones is logged, and
    /// the old ones stay in use.
    pub async fn keep_fresh(self: Arc<Self>) {
        loop {
            tokio::time::sleep(LOOK).await;
            match self.refresh() {
                Ok(true) => tracing::info!(certificate = %self.certificate.display(), "the certificate was read again"),
                Ok(false) => {}
                Err(error) => tracing::error!(%error, "the new certificate cannot be used; the old one stays"),
            }
        }
    }

    /// Reads the files again if they changed; whether they did.
    ///
    /// # Errors
    /// As [`Certificate::load`]; it is told once for each change.
    pub fn refresh(&self) -> Result<bool, TlsError> {
        let seen = [modified(&self.certificate), modified(&self.key)];
        {
            let mut current = self.current.write().unwrap_or_else(PoisonError::into_inner);
            if current.seen == seen {
                return Ok(false);
            }
            current.seen = seen;
        }
        let key = read(&self.certificate, &self.key)?;
        self.current.write().unwrap_or_else(PoisonError::into_inner).key = key;
        Ok(true)
    }

    fn error(&self, what: &'static str, cause: impl fmt::Display) -> TlsError {
        TlsError { what, path: self.certificate.clone(), cause: cause.to_string() }
    }
}

impl ResolvesServerCert for Certificate {
    fn resolve(&self, _: ClientHello<'_>) -> Option<Arc<CertifiedKey>> {
        Some(self.current.read().unwrap_or_else(PoisonError::into_inner).key.clone())
    }
}

fn read(certificate: &Path, key: &Path) -> Result<Arc<CertifiedKey>, TlsError> {
    let failed = |what, path: &Path, cause: &dyn fmt::Display| TlsError {
        what,
        path: path.to_owned(),
        cause: cause.to_string(),
    };
    let chain: Vec<_> = CertificateDer::pem_file_iter(certificate)
        .and_then(Iterator::collect)
        .map_err(|cause| failed("reading the certificate", certificate, &cause))?;
    if chain.is_empty() {
        return Err(failed("reading the certificate", certificate, &"it holds no certificate"));
    }
    let private = PrivateKeyDer::from_pem_file(key).map_err(|cause| failed("reading the key", key, &cause))?;
    let certified = CertifiedKey::from_der(chain, private, &provider())
        .map_err(|cause| failed("using the certificate", certificate, &cause))?;
    Ok(Arc::new(certified))
}

fn modified(path: &Path) -> Option<SystemTime> {
    path.metadata().and_then(|metadata| metadata.modified()).ok()
}

pub(crate) fn provider() -> Arc<CryptoProvider> {
    Arc::new(rustls::crypto::ring::default_provider())
}
