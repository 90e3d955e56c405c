//! Credentials: what they are, and the places where they are kept.
//!
//! They are looked up in this order; the first place that has some wins:
//! 1. the environment variable `DOCKER_AUTH_CONFIG` (a document like `config.json`);
//! 2. docker's `config.json`: `credHelpers`, `credsStore`, `auths`;
//! 3. the file that `REGISTRY_AUTH_FILE` names (podman, skopeo).
//!
//! They are written to docker's `config.json` or the program it names, and nowhere else.

use std::collections::BTreeMap;
use std::path::PathBuf;

use strata_model::{ErrorKind, Host};
use strata_transfer::{Result, TransferError};

use crate::credential_program::CredentialProgram;
use crate::docker_config::DockerConfig;
use crate::secret::Secret;

/// The key that docker keeps Docker Hub's credentials under.
pub const DOCKER_HUB_KEY: &str = "https://index.docker.io/v1/";
const DOCKER_HUB_NAMES: [&str; 3] = ["docker.io", "index.docker.io", "registry-1.docker.io"];

/// What proves to a registry who asks.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Credentials {
    /// A user name and a password or access token.
    Password {
        /// The user.
        username: String,
        /// The password.
        password: Secret,
    },
    /// A refresh token from an earlier login.
    IdentityToken {
        /// The user, when it is known.
        username: String,
        /// The token.
        token: Secret,
    },
    /// A token that is sent as it is.
    RegistryToken(Secret),
}

impl Credentials {
    /// The user name, if there is one.
    pub fn username(&self) -> Option<&str> {
        match self {
            Credentials::Password { username, .. } | Credentials::IdentityToken { username, .. } => {
                Some(username.as_str()).filter(|username| !username.is_empty())
            }
            Credentials::RegistryToken(_) => None,
        }
    }
}

/// Where credentials were put.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum StoredIn {
    /// In a file, readable to everyone who can read the file.
    File(PathBuf),
    /// By a credential helper; this is the program's name.
    Program(String),
}

/// The places where credentials are kept.
#[derive(Clone, Debug, Default)]
pub struct CredentialFiles {
    /// The text of a document that comes before all files; `DOCKER_AUTH_CONFIG`.
    pub document: Option<Secret>,
    /// Docker's `config.json`.
    pub docker_config: Option<PathBuf>,
    /// A file that is asked last and never written; `REGISTRY_AUTH_FILE`.
    pub fallback: Option<PathBuf>,
}

impl CredentialFiles {
    /// As the environment says: `DOCKER_AUTH_CONFIG`, `DOCKER_CONFIG` (else `~/.docker`), `REGISTRY_AUTH_FILE`.
    pub fn from_environment() -> CredentialFiles {
        let set = |name: &str| std::env::var_os(name).filter(|value| !value.is_empty());
        let directory = set("DOCKER_CONFIG")
            .map(PathBuf::from)
            .or_else(|| set("HOME").map(|home| PathBuf::from(home).join(".docker")));
        CredentialFiles {
            document: set("DOCKER_AUTH_CONFIG").and_then(|text| text.into_string().ok()).map(Secret::from),
            docker_config: directory.map(|directory| directory.join("config.json")),
            fallback: set("REGISTRY_AUTH_FILE").map(PathBuf::from),
        }
    }

    /// The credentials for a repository on a registry; `repository` may be empty.
    ///
    /// # Errors
    /// When a file is malformed or a credential helper fails.
    pub async fn find(&self, host: &Host, repository: &str) -> Result<Option<Credentials>> {
        let keys = lookup_keys(host, repository);
        if let Some(document) = &self.document {
            let config = DockerConfig::parse(document.expose(), "DOCKER_AUTH_CONFIG")?;
            if let Some(found) = find_in(&config, &keys).await? {
                return Ok(Some(found));
            }
        }
        for path in [&self.docker_config, &self.fallback].into_iter().flatten() {
            if let Some(found) = find_in(&DockerConfig::read(path)?, &keys).await? {
                return Ok(Some(found));
            }
        }
        Ok(None)
    }

    /// The credentials kept under exactly this server, as `docker login` names it.
    ///
    /// # Errors
    /// As [`CredentialFiles::find`].
    pub async fn find_for_server(&self, server: &str) -> Result<Option<Credentials>> {
        let (_, host) = server_key(server)?;
        self.find(&host, "").await
    }

    /// Keeps credentials under a key of [`server_key`].
    ///
    /// # Errors
    /// When the file or the credential helper fails.
    pub async fn store(&self, key: &str, credentials: &Credentials) -> Result<StoredIn> {
        let path = self.writable()?;
        let mut config = DockerConfig::read(path)?;
        if let Some(name) = config.program_for(key) {
            let program = CredentialProgram::new(name)?;
            program.store(key, credentials).await?;
            if config.set_elsewhere(key) {
                config.write(path)?;
            }
            return Ok(StoredIn::Program(program.name()));
        }
        config.set(key, credentials);
        config.write(path)?;
        Ok(StoredIn::File(path.clone()))
    }

    /// Forgets the credentials under a key. Tells whether there were any.
    ///
    /// # Errors
    /// When the file or the credential helper fails.
    pub async fn erase(&self, key: &str) -> Result<bool> {
        let path = self.writable()?;
        let mut config = DockerConfig::read(path)?;
        let program = config.program_for(key).map(CredentialProgram::new).transpose()?;
        let in_file = config.remove(key);
        if in_file {
            config.write(path)?;
        }
        let in_program = match program {
            Some(program) => program.erase(key).await?,
            None => false,
        };
        Ok(in_file || in_program)
    }

    /// Every key with credentials, and its user name (empty when unknown).
    ///
    /// # Errors
    /// As [`CredentialFiles::find`].
    pub async fn list(&self) -> Result<BTreeMap<String, String>> {
        let mut all = BTreeMap::new();
        for path in [&self.fallback, &self.docker_config].into_iter().flatten() {
            let config = DockerConfig::read(path)?;
            for key in config.keys() {
                if let Some(found) = config.credentials(key) {
                    all.insert(key.to_owned(), found.username().unwrap_or_default().to_owned());
                }
            }
            if let Some(name) = config.program_for_all() {
                all.extend(CredentialProgram::new(name)?.list().await?);
            }
            for (key, name) in config.own_programs() {
                if let Some(found) = CredentialProgram::new(name)?.get(key).await? {
                    all.insert(key.to_owned(), found.username().unwrap_or_default().to_owned());
                }
            }
        }
        Ok(all)
    }

    fn writable(&self) -> Result<&PathBuf> {
        self.docker_config.as_ref().ok_or_else(|| {
            TransferError::new(
                ErrorKind::Invalid,
                "no place to keep credentials: neither DOCKER_CONFIG nor HOME is set",
            )
        })
    }
}

/// The first key with credentials. A helper is asked under the registry's own keys only.
async fn find_in(config: &DockerConfig, keys: &Keys) -> Result<Option<Credentials>> {
    for key in &keys.registry {
        if let Some(name) = config.program_for(key)
            && let Some(found) = CredentialProgram::new(name)?.get(key).await?
        {
            return Ok(Some(found));
        }
        // Docker asks the store for the main spelling only; each further one would start the program again.
        if config.program_for_all().is_some() {
            break;
        }
    }
    let direct = keys.paths.iter().chain(&keys.registry).find_map(|key| config.credentials(key));
    let by_host = || {
        let same = |key: &&str| keys.registry.iter().any(|wanted| host_of_key(key) == wanted.as_str());
        config.keys().filter(same).find_map(|key| config.credentials(key))
    };
    Ok(direct.or_else(by_host))
}

struct Keys {
    /// `host/a/b`, `host/a`: podman keeps credentials for parts of a registry.
    paths: Vec<String>,
    /// The registry, its usual spelling first.
    registry: Vec<String>,
}

fn lookup_keys(host: &Host, repository: &str) -> Keys {
    let registry: Vec<String> = if host.is_docker_hub() {
        std::iter::once(DOCKER_HUB_KEY).chain(DOCKER_HUB_NAMES).map(str::to_owned).collect()
    } else {
        vec![host.to_string()]
    };
    let mut paths = Vec::new();
    let mut path = repository;
    while !path.is_empty() {
        paths.push(format!("{host}/{path}"));
        path = path.rsplit_once('/').map_or("", |(parent, _)| parent);
    }
    Keys { paths, registry }
}

/// The host of a key in one of its old spellings, such as `https://host/v1/`.
fn host_of_key(key: &str) -> &str {
    let without_scheme = key.strip_prefix("https://").or_else(|| key.strip_prefix("http://")).unwrap_or(key);
    match without_scheme.split_once('/') {
        None => without_scheme,
        Some((host, "" | "v1" | "v1/" | "v2" | "v2/")) => host,
        Some(_) => "",
    }
}

/// What `docker login SERVER` means: the key that credentials are kept under, and the registry.
///
/// Scheme and path are cut off; nothing, `docker.io` and its other names mean Docker Hub.
///
/// # Errors
/// `Invalid` when it is no host.
pub fn server_key(server: &str) -> Result<(String, Host)> {
    let text = server.trim();
    let text = text.strip_prefix("https://").or_else(|| text.strip_prefix("http://")).unwrap_or(text);
    let name = text.split('/').next().unwrap_or_default();
    let name = if name.is_empty() { "docker.io" } else { name };
    let host: Host = name
        .parse()
        .map_err(|_| TransferError::new(ErrorKind::Invalid, format!("registry {name:?}: not a host, or host:port")))?;
    let key = if host.is_docker_hub() { DOCKER_HUB_KEY.to_owned() } else { host.to_string() };
    Ok((key, host))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn files(directory: &tempfile::TempDir, text: &str) -> CredentialFiles {
        let path = directory.path().join("config.json");
        std::fs::write(&path, text).unwrap();
        CredentialFiles { docker_config: Some(path), ..CredentialFiles::default() }
    }

    fn user(found: Option<Credentials>) -> Option<String> {
        found.and_then(|credentials| credentials.username().map(str::to_owned))
    }

    fn auth(name: &str) -> String {
        use base64::Engine;
        base64::engine::general_purpose::STANDARD.encode(format!("{name}:secret"))
    }

    #[tokio::test]
    async fn keys_in_their_spellings() {
        let directory = tempfile::tempdir().unwrap();
        let text = format!(
            r#"{{"auths":{{"https://index.docker.io/v1/":{{"auth":"{}"}},"https://old.lan/v1/":{{"auth":"{}"}},
                "h.lan:5000":{{"auth":"{}"}},"h.lan:5000/team":{{"auth":"{}"}}}}}}"#,
            auth("hub"),
            auth("old"),
            auth("host"),
            auth("team")
        );
        let files = files(&directory, &text);
        for (host, repository, expected) in [
            ("docker.io", "library/nginx", Some("hub")),
            ("registry-1.docker.io", "", Some("hub")),
            ("old.lan", "a", Some("old")),
            ("h.lan:5000", "a", Some("host")),
            ("h.lan:5000", "team/a/b", Some("team")),
            ("h.lan:5000", "teams", Some("host")),
            ("h.lan", "a", None),
        ] {
            let found = files.find(&host.parse().unwrap(), repository).await.unwrap();
            assert_eq!(user(found).as_deref(), expected, "{host} {repository}");
        }
        assert_eq!(files.list().await.unwrap().len(), 4);
    }

    #[tokio::test]
    async fn the_environment_comes_first_and_the_fallback_last() {
        let directory = tempfile::tempdir().unwrap();
        let entry = |host: &str, name: &str| format!(r#"{{"auths":{{"{host}":{{"auth":"{}"}}}}}}"#, auth(name));
        let mut files = files(&directory, &entry("a", "file"));
        let fallback = directory.path().join("auth.json");
        std::fs::write(&fallback, entry("b", "fallback")).unwrap();
        files.fallback = Some(fallback);
        let find =
            async |files: &CredentialFiles, host: &str| user(files.find(&host.parse().unwrap(), "").await.unwrap());
        assert_eq!(find(&files, "a").await.as_deref(), Some("file"));
        assert_eq!(find(&files, "b").await.as_deref(), Some("fallback"));
        files.document = Some(entry("a", "environment").into());
        assert_eq!(find(&files, "a").await.as_deref(), Some("environment"));
        assert_eq!(find(&files, "b").await.as_deref(), Some("fallback"));
    }

    #[tokio::test]
    async fn stored_and_erased() {
        let directory = tempfile::tempdir().unwrap();
        let files = files(&directory, r#"{"HttpHeaders":{"X":"y"}}"#);
        let credentials = Credentials::Password { username: "u".into(), password: "p".into() };
        let stored = files.store("h.lan", &credentials).await.unwrap();
        assert_eq!(stored, StoredIn::File(directory.path().join("config.json")));
        assert_eq!(files.find_for_server("https://h.lan/v2/").await.unwrap(), Some(credentials));
        assert!(files.erase("h.lan").await.unwrap());
        assert!(!files.erase("h.lan").await.unwrap());
        let text = std::fs::read_to_string(directory.path().join("config.json")).unwrap();
        assert!(text.contains("HttpHeaders"));
    }

    #[test]
    fn servers() {
        for (server, key, host) in [
            ("", DOCKER_HUB_KEY, "docker.io"),
            ("docker.io", DOCKER_HUB_KEY, "docker.io"),
            ("https://index.docker.io/v1/", DOCKER_HUB_KEY, "docker.io"),
            ("https://ghcr.io/v2/", "ghcr.io", "ghcr.io"),
            ("localhost:5000", "localhost:5000", "localhost:5000"),
        ] {
            let (found_key, found_host) = server_key(server).unwrap();
            assert_eq!((found_key.as_str(), found_host.as_str()), (key, host), "{server}");
        }
        assert!(server_key("a b").is_err());
    }

    #[test]
    fn debug_shows_no_secret() {
        let credentials = Credentials::Password { username: "u".into(), password: "hunter2".into() };
        assert!(!format!("{credentials:?}").contains("hunter2"));
    }
}
