//! What the client is told: mirrors, insecure registries, times and retries; and the file they are written in.
//!
//! ```toml
//! default-registry = "docker.io"
//! insecure-registries = ["registry.lan:5000", "10.0.0.0/8"]
//!
//! [registry."docker.io"]
//! mirrors = ["https://mirror.gcr.io", "https://cache.lan/hub"]
//!
//! [network]
//! connect-timeout = 10 # seconds
//! idle-timeout = 30 # seconds without a byte
//! tries = 5
//! ```
//!
//! Other keys at the top belong to other parts of Strata and are left alone.

use std::collections::BTreeMap;
use std::net::IpAddr;
use std::num::NonZeroU32;
use std::path::{Path, PathBuf};
use std::time::Duration;

use serde::Deserialize;
use strata_model::{ErrorKind, Host};
use strata_transfer::{Result, TransferError};
use url::Url;

use crate::credentials::CredentialFiles;

/// Everything that a [`crate::RegistryClient`] needs to know.
#[derive(Clone, Debug)]
pub struct ClientConfig {
    /// The registry that names without a host belong to, when it is not Docker Hub.
    pub default_registry: Option<Host>,
    /// Hosts that may be spoken to over plain HTTP or with a certificate that nobody vouches for.
    pub insecure_registries: Vec<InsecureRegistry>,
    /// Mirrors of a registry, in the order they are asked. The registry itself is asked last.
    pub mirrors: BTreeMap<Host, Vec<Mirror>>,
    /// Where credentials are kept.
    pub credentials: CredentialFiles,
    /// Directories with one directory for each host: `*.crt` are authorities, `*.cert` with `*.key` a client certificate.
    pub certificate_directories: Vec<PathBuf>,
    /// How often and how fast failed requests are made again.
    pub retry: RetryPolicy,
    /// How long is waited.
    pub timeouts: Timeouts,
    /// Requests at once where the client itself makes many.
    pub concurrency: usize,
}

/// How often and how fast failed requests are made again.
#[derive(Clone, Copy, Debug)]
pub struct RetryPolicy {
    /// Tries in all, at least 1.
    pub tries: u32,
    /// Pause after the first try; doubled after each further one, shortened at random by up to half.
    pub first_delay: Duration,
    /// Longest pause.
    pub max_delay: Duration,
    /// Longest `Retry-After` that is waited for; beyond it the failure is reported at once.
    pub max_retry_after: Duration,
}

impl Default for RetryPolicy {
    fn default() -> RetryPolicy {
        RetryPolicy {
            tries: 5,
            first_delay: Duration::from_millis(500),
            max_delay: Duration::from_secs(10),
            max_retry_after: Duration::from_secs(60),
        }
    }
}

/// How long is waited.
#[derive(Clone, Copy, Debug)]
pub struct Timeouts {
    /// For a connection, TLS included.
    pub connect: Duration,
    /// For an answer, and for each further piece of its body.
    pub idle: Duration,
    /// For a registry to check and keep an uploaded blob after its last byte.
    pub commit: Duration,
}

impl Default for Timeouts {
    fn default() -> Timeouts {
        Timeouts { connect: Duration::from_secs(10), idle: Duration::from_secs(30), commit: Duration::from_secs(300) }
    }
}

/// A host, or a range of addresses such as `10.0.0.0/8`, that is trusted without proof.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum InsecureRegistry {
    /// A host with its port, if one is written; without one it stands for every port.
    Host(String),
    /// All addresses whose first bits are these.
    Network(IpAddr, u8),
}

/// A mirror: an origin, and a path that is put before the repository's name.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Mirror {
    pub(crate) origin: Url,
    pub(crate) prefix: String,
}

impl Default for ClientConfig {
    fn default() -> ClientConfig {
        let mut certificate_directories = vec![PathBuf::from("/etc/docker/certs.d")];
        certificate_directories.extend(user_config_directory().map(|directory| directory.join("strata/certs.d")));
        ClientConfig {
            default_registry: None,
            insecure_registries: Vec::new(),
            mirrors: BTreeMap::new(),
            credentials: CredentialFiles::from_environment(),
            certificate_directories,
            retry: RetryPolicy::default(),
            timeouts: Timeouts::default(),
            concurrency: 8,
        }
    }
}

/// `$XDG_CONFIG_HOME`, else `~/.config`.
fn user_config_directory() -> Option<PathBuf> {
    let set = |name: &str| std::env::var_os(name).filter(|value| !value.is_empty()).map(PathBuf::from);
    set("XDG_CONFIG_HOME").or_else(|| set("HOME").map(|home| home.join(".config")))
}

#[derive(Deserialize)]
#[serde(rename_all = "kebab-case")]
struct File {
    default_registry: Option<String>,
    #[serde(default)]
    insecure_registries: Vec<String>,
    #[serde(default)]
    registry: BTreeMap<String, RegistryTable>,
    #[serde(default)]
    network: NetworkTable,
}

#[derive(Default, Deserialize)]
#[serde(rename_all = "kebab-case", deny_unknown_fields)]
struct NetworkTable {
    connect_timeout: Option<NonZeroU32>,
    idle_timeout: Option<NonZeroU32>,
    tries: Option<NonZeroU32>,
}

#[derive(Deserialize)]
#[serde(rename_all = "kebab-case", deny_unknown_fields)]
struct RegistryTable {
    #[serde(default)]
    mirrors: Vec<String>,
    #[serde(default)]
    insecure: bool,
}

impl ClientConfig {
    /// Reads a file; one that does not exist gives the defaults.
    ///
    /// # Errors
    /// `Storage` when it cannot be read, `Invalid` when it is malformed.
    pub fn load(path: &Path) -> Result<ClientConfig> {
        match std::fs::read_to_string(path) {
            Ok(text) => ClientConfig::parse(&text)
                .map_err(|error| error.while_doing(format_args!("reading configuration {}", path.display()))),
            Err(error) if error.kind() == std::io::ErrorKind::NotFound => Ok(ClientConfig::default()),
            Err(error) => Err(TransferError::new(
                ErrorKind::Storage,
                format!("reading configuration {}: {error}", path.display()),
            )),
        }
    }

    /// Parses the text of a configuration file; what it does not say is as in the defaults.
    ///
    /// # Errors
    /// `Invalid`, with what is wrong and where.
    pub fn parse(text: &str) -> Result<ClientConfig> {
        let file: File = toml::from_str(text).map_err(|error| invalid(error.to_string().trim_end()))?;
        let default_registry = file.default_registry.as_deref().map(parse_host).transpose()?;
        let mut config = ClientConfig { default_registry, ..ClientConfig::default() };
        for entry in &file.insecure_registries {
            config.insecure_registries.push(InsecureRegistry::parse(entry)?);
        }
        for (name, table) in &file.registry {
            let host = parse_host(name)?;
            if table.insecure {
                config.insecure_registries.push(InsecureRegistry::Host(host.to_string()));
            }
            let mirrors = table.mirrors.iter().map(|mirror| Mirror::parse(mirror)).collect::<Result<Vec<_>>>()?;
            config.mirrors.entry(host).or_default().extend(mirrors);
        }
        config.apply(&file.network);
        Ok(config)
    }

    fn apply(&mut self, network: &NetworkTable) {
        let seconds = |text: Option<NonZeroU32>| text.map(|seconds| Duration::from_secs(u64::from(seconds.get())));
        self.timeouts.connect = seconds(network.connect_timeout).unwrap_or(self.timeouts.connect);
        self.timeouts.idle = seconds(network.idle_timeout).unwrap_or(self.timeouts.idle);
        self.retry.tries = network.tries.map_or(self.retry.tries, NonZeroU32::get);
    }

    /// Whether `authority` (host, with port if one is written) may be spoken to without proof of who it is.
    pub(crate) fn is_insecure(&self, authority: &str) -> bool {
        let host = host_part(authority);
        is_loopback(host) || self.insecure_registries.iter().any(|entry| entry.matches(authority, host))
    }
}

fn invalid(message: impl Into<String>) -> TransferError {
    TransferError::new(ErrorKind::Invalid, message)
}

fn parse_host(text: &str) -> Result<Host> {
    text.parse().map_err(|_| invalid(format!("registry {text:?}: not a host, or host:port")))
}

/// The host of `host:port` or `[address]:port`, without brackets.
pub(crate) fn host_part(authority: &str) -> &str {
    if let Some(rest) = authority.strip_prefix('[') {
        return rest.split(']').next().unwrap_or(rest);
    }
    authority.split(':').next().unwrap_or(authority)
}

/// `localhost`, `127.0.0.0/8` and `::1`.
pub(crate) fn is_loopback(host: &str) -> bool {
    host.eq_ignore_ascii_case("localhost") || host.parse::<IpAddr>().is_ok_and(|address| address.is_loopback())
}

impl InsecureRegistry {
    /// Reads a host, `host:port`, or a range of addresses.
    ///
    /// # Errors
    /// `Invalid` for anything else.
    pub fn parse(text: &str) -> Result<InsecureRegistry> {
        let text = text.trim().trim_start_matches("http://").trim_start_matches("https://").trim_end_matches('/');
        if let Some((address, bits)) = text.split_once('/') {
            let network = address.parse::<IpAddr>().ok().zip(bits.parse::<u8>().ok());
            return match network {
                Some((address, bits)) if bits <= if address.is_ipv4() { 32 } else { 128 } => {
                    Ok(InsecureRegistry::Network(address, bits))
                }
                _ => Err(invalid(format!("insecure registry {text:?}: neither a host nor a range of addresses"))),
            };
        }
        Ok(InsecureRegistry::Host(parse_host(text)?.to_string()))
    }

    fn matches(&self, authority: &str, host: &str) -> bool {
        match self {
            InsecureRegistry::Host(name) => {
                let every_port = host_part(name) == name.as_str() && host.eq_ignore_ascii_case(name);
                every_port || authority.eq_ignore_ascii_case(name)
            }
            InsecureRegistry::Network(network, bits) => {
                host.parse().is_ok_and(|address| in_network(address, *network, *bits))
            }
        }
    }
}

fn in_network(address: IpAddr, network: IpAddr, bits: u8) -> bool {
    let (address, network, width) = match (address, network) {
        (IpAddr::V4(address), IpAddr::V4(network)) => {
            (u128::from(u32::from(address)), u128::from(u32::from(network)), 32)
        }
        (IpAddr::V6(address), IpAddr::V6(network)) => (u128::from(address), u128::from(network), 128),
        _ => return false,
    };
    let unused = width - u32::from(bits);
    address.checked_shr(unused).unwrap_or(0) == network.checked_shr(unused).unwrap_or(0)
}

impl Mirror {
    /// Reads a mirror's address: `https://mirror.gcr.io`, `cache.lan:5000`, `https://harbor.lan/hub`.
    ///
    /// A path is put before the repository's name: `https://harbor.lan/hub` answers for `library/nginx` at
    /// `/v2/hub/library/nginx`. Without a scheme HTTPS is meant.
    ///
    /// # Errors
    /// `Invalid` when it is no HTTP address, or has a user, a query or a fragment.
    pub fn parse(text: &str) -> Result<Mirror> {
        let with_scheme = if text.contains("://") { text.to_owned() } else { format!("https://{text}") };
        let mut origin: Url =
            with_scheme.parse().map_err(|error| invalid(format!("mirror {text:?}: not an address: {error}")))?;
        let plain = matches!(origin.scheme(), "http" | "https")
            && origin.host_str().is_some()
            && origin.username().is_empty()
            && origin.password().is_none()
            && origin.query().is_none()
            && origin.fragment().is_none();
        if !plain {
            return Err(invalid(format!(
                "mirror {:?}: must be an http or https address without user and query",
                origin.host_str().unwrap_or_default()
            )));
        }
        let path = origin.path().trim_matches('/');
        let path = path.strip_prefix("v2").filter(|rest| rest.is_empty() || rest.starts_with('/')).unwrap_or(path);
        let prefix = match path.trim_matches('/') {
            "" => String::new(),
            path => format!("{path}/"),
        };
        origin.set_path("/");
        Ok(Mirror { origin, prefix })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_file_is_read() {
        let config = ClientConfig::parse(
            r#"
            default-registry = "registry.lan"
            insecure-registries = ["registry.lan:5000", "10.0.0.0/8", "plain.lan"]
            [registry."docker.io"]
            mirrors = ["https://mirror.gcr.io", "http://cache.lan:5000/v2/hub/"]
            [registry."index.docker.io"]
            [network]
            idle-timeout = 2
            tries = 3
            [other]
            key = 1
            "#,
        );
        let config = config.unwrap();
        assert_eq!((config.timeouts.idle, config.timeouts.connect), (Duration::from_secs(2), Duration::from_secs(10)));
        assert_eq!(config.retry.tries, 3);
        assert_eq!(config.default_registry.unwrap().as_str(), "registry.lan");
        assert_eq!(config.mirrors[&"docker.io".parse().unwrap()].len(), 2, "two names of Docker Hub");
        let mirror = Mirror::parse("http://cache.lan:5000/v2/hub/").unwrap();
        assert_eq!((mirror.origin.as_str(), mirror.prefix.as_str()), ("http://cache.lan:5000/", "hub/"));
        let mirror = Mirror::parse("mirror.gcr.io").unwrap();
        assert_eq!((mirror.origin.as_str(), mirror.prefix.as_str()), ("https://mirror.gcr.io/", ""));
    }

    #[test]
    fn what_is_malformed_is_named() {
        for (text, part) in [
            ("insecure-registries = [\"10.0.0.0/40\"]", "10.0.0.0/40"),
            ("[registry.\"docker.io\"]\nmirrors = [\"ftp://x\"]", "mirror"),
            ("[registry.\"docker.io\"]\nmirror = [\"x\"]", "mirror"),
            ("[registry.\"a b\"]", "a b"),
            ("default-registry = 3", "default-registry"),
            ("[network]\ntries = 0", "tries"),
        ] {
            let error = ClientConfig::parse(text).unwrap_err();
            assert_eq!(error.kind, ErrorKind::Invalid);
            assert!(error.message.contains(part), "{}", error.message);
        }
        let error = Mirror::parse("https://user:hunter2@mirror").unwrap_err();
        assert!(!error.message.contains("hunter2"));
    }

    #[test]
    fn who_may_be_spoken_to_without_proof() {
        let config = ClientConfig::parse(r#"insecure-registries = ["a.lan:5000", "b.lan", "10.1.0.0/16", "fd00::/8"]"#);
        let config = config.unwrap();
        for (authority, expected) in [
            ("localhost", true),
            ("localhost:5000", true),
            ("127.8.9.1:80", true),
            ("[::1]:5000", true),
            ("a.lan:5000", true),
            ("a.lan", false),
            ("b.lan:77", true),
            ("b.lan", true),
            ("10.1.2.3:5000", true),
            ("10.2.2.3", false),
            ("[fd12::1]", true),
            ("[fe80::1]", false),
            ("docker.io", false),
            ("localhost.evil.example", false),
        ] {
            assert_eq!(config.is_insecure(authority), expected, "{authority}");
        }
    }
}
