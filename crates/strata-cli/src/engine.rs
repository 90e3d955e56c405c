//! What `serve` asks of the program: plain data, so that this crate knows no HTTP.

use std::path::PathBuf;

use strata_engine::ViewPolicy;
use strata_registry_client::RegistryClient;
use strata_store::Store;
use strata_transfer::CopyLimits;

/// An engine to be served.
pub struct EngineServing {
    /// The store.
    pub store: Store,
    /// Its directory.
    pub root: PathBuf,
    /// The registry client, without credentials of its own.
    pub client: RegistryClient,
    /// Addresses of Docker Hub's mirrors, as `info` tells them.
    pub mirrors: Vec<String>,
    /// Registries that are trusted without proof, as `info` tells them.
    pub insecure: Vec<String>,
    /// Whether pulled images are prepared for mounting.
    pub view: ViewPolicy,
    /// How much is transferred at once.
    pub limits: CopyLimits,
    /// Whether clients may only look at things.
    pub is_read_only: bool,
    /// Where to listen.
    pub listen: Vec<ListenAddress>,
    /// The group whose members may connect to the socket.
    pub group: Option<String>,
    /// What TCP needs.
    pub tls: Option<TlsFiles>,
    /// The program's version.
    pub version: &'static str,
}

/// Where to listen.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum ListenAddress {
    /// A socket in the file system.
    Unix(PathBuf),
    /// An address, for clients that show a certificate.
    Tcp(String),
    /// The sockets that systemd passes.
    Systemd,
}

/// Files in PEM.
#[derive(Clone, Debug)]
pub struct TlsFiles {
    /// Authorities that vouch for clients.
    pub authority: PathBuf,
    /// The server's certificate chain.
    pub certificate: PathBuf,
    /// Its private key.
    pub key: PathBuf,
}
