//! Certificates: the system's authorities, and those for single registries (docker's `certs.d`).
//!
//! `<directory>/<host[:port]>/*.crt` are authorities, `x.cert` with `x.key` a client certificate.

use std::path::{Path, PathBuf};
use std::sync::OnceLock;

use reqwest::{Certificate, Identity};
use strata_model::ErrorKind;
use strata_transfer::{Result, TransferError};

/// What is special about one host.
#[derive(Default)]
pub(crate) struct HostCertificates {
    pub(crate) authorities: Vec<Certificate>,
    pub(crate) identity: Option<Identity>,
}

impl HostCertificates {
    /// Whether there is nothing special.
    pub(crate) fn is_empty(&self) -> bool {
        self.authorities.is_empty() && self.identity.is_none()
    }

    /// Reads the certificates for `authority` (host, with port if one is written) from all directories.
    ///
    /// # Errors
    /// When a file is there and cannot be used.
    pub(crate) fn read(directories: &[PathBuf], authority: &str) -> Result<HostCertificates> {
        let mut found = HostCertificates::default();
        for directory in directories {
            let directory = directory.join(authority);
            let Ok(entries) = std::fs::read_dir(&directory) else { continue };
            let mut paths: Vec<PathBuf> = entries.filter_map(|entry| Some(entry.ok()?.path())).collect();
            paths.sort();
            for path in paths {
                match path.extension().and_then(|extension| extension.to_str()) {
                    Some("crt") => found.authorities.extend(read_authorities(&path)?),
                    Some("cert") if found.identity.is_none() => found.identity = Some(read_identity(&path)?),
                    _ => {}
                }
            }
        }
        Ok(found)
    }
}

fn read_authorities(path: &Path) -> Result<Vec<Certificate>> {
    Certificate::from_pem_bundle(&read(path)?).map_err(|_| unusable(path, "not a certificate in PEM form"))
}

fn read_identity(path: &Path) -> Result<Identity> {
    let mut pem = read(path)?;
    pem.push(b'\n');
    pem.extend(read(&path.with_extension("key"))?);
    Identity::from_pem(&pem).map_err(|_| unusable(path, "not a certificate with its key in PEM form"))
}

fn read(path: &Path) -> Result<Vec<u8>> {
    std::fs::read(path).map_err(|error| unusable(path, &error.to_string()))
}

fn unusable(path: &Path, cause: &str) -> TransferError {
    TransferError::new(ErrorKind::Invalid, format!("reading certificate {}: {cause}", path.display()))
}

/// The authorities this machine trusts, read once. None at all is no error: plain HTTP needs none.
pub(crate) fn system_authorities() -> Vec<Certificate> {
    static AUTHORITIES: OnceLock<Vec<Vec<u8>>> = OnceLock::new();
    let ders = AUTHORITIES.get_or_init(|| {
        let loaded = rustls_native_certs::load_native_certs();
        for error in &loaded.errors {
            tracing::debug!(%error, "reading the system's certificates");
        }
        // One odd certificate in the system's store must not make all the others useless.
        let usable =
            |der: &rustls::pki_types::CertificateDer<'_>| rustls::RootCertStore::empty().add(der.clone()).is_ok();
        loaded.certs.iter().filter(|der| usable(der)).map(|der| der.to_vec()).collect()
    });
    ders.iter().filter_map(|der| Certificate::from_der(der).ok()).collect()
}
