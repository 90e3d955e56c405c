//! One registry that is mirrored: which names mean it, under which its content is kept, and the client that asks it.

use std::sync::Arc;
use std::sync::atomic::AtomicU64;
use std::time::Duration;

use strata_model::{Host, Repository};
use strata_registry_client::{
    ClientConfig, CredentialFiles, Credentials, InsecureRegistry, Mirror as OtherAddress, RegistryClient,
    RepositoryClient, RetryPolicy, Secret, Timeouts,
};
use strata_store::registry::{MirrorName, Place};
use url::Url;

use crate::{MirrorError, UpstreamSettings};

/// What all repositories of mirrors lie below.
pub(crate) const ROOT: &str = "mirror/";

const FRESH_FOR: Duration = Duration::from_secs(600);
const KEEP_FOR: Duration = Duration::from_secs(30 * 86_400);

/// A client waits while we ask: little patience, and what is not here any more may be here old.
const RETRY: RetryPolicy = RetryPolicy {
    tries: 3,
    first_delay: Duration::from_millis(200),
    max_delay: Duration::from_secs(2),
    max_retry_after: Duration::from_secs(2),
};
const CONNECT_TIMEOUT: Duration = Duration::from_secs(5);

/// A registry that is mirrored.
pub(crate) struct Remote {
    namespace: Host,
    /// `mirror/docker.io/`
    pub(crate) root: String,
    /// `hub/`
    pub(crate) prefix: Option<String>,
    pub(crate) is_default: bool,
    host: Host,
    /// What is put before a repository's name at the remote: empty, or ending in a slash.
    path: String,
    client: RegistryClient,
    requires_sign_in: bool,
    pub(crate) fresh_for: Duration,
    pub(crate) keep_for: Duration,
    pub(crate) counts: Counts,
}

/// How often manifests of a remote were wanted since the program started.
#[derive(Default)]
pub(crate) struct Counts {
    pub(crate) served: AtomicU64,
    pub(crate) asked: AtomicU64,
    pub(crate) failed: AtomicU64,
}

impl Remote {
    pub(crate) fn new(name: &str, settings: &UpstreamSettings) -> Result<Remote, MirrorError> {
        let namespace: Host = name.parse().map_err(|_| MirrorError::Name(name.to_owned()))?;
        let root = format!("{ROOT}{}", namespace.as_str().to_ascii_lowercase().replace(':', "_"));
        root.parse::<Repository>().map_err(|_| MirrorError::Name(name.to_owned()))?;
        let prefix = settings.prefix.as_deref().map(|prefix| parse_prefix(name, prefix)).transpose()?;
        let Address { host, path, is_plain } = match &settings.url {
            Some(url) => parse_url(name, url)?,
            None => Address { host: namespace.clone(), path: String::new(), is_plain: false },
        };
        let credentials = credentials(name, settings)?;
        let mut client = RegistryClient::new(client_config(name, settings, &host, is_plain)?);
        let requires_sign_in = credentials.is_some();
        if let Some(credentials) = credentials {
            client = client.with_credentials(&host, credentials);
        }
        Ok(Remote {
            namespace,
            root: format!("{root}/"),
            prefix,
            is_default: settings.default,
            host,
            path,
            client,
            requires_sign_in,
            fresh_for: settings.fresh_for.map_or(FRESH_FOR, |span| span.0),
            keep_for: settings.keep_for.map_or(KEEP_FOR, |span| span.0),
            counts: Counts::default(),
        })
    }

    /// The name that clients know it under.
    pub(crate) fn name(&self) -> &str {
        self.namespace.as_str()
    }

    /// The name at the remote of a repository that is kept here, if it is one of this remote.
    pub(crate) fn name_in<'a>(&self, mirror: &'a Repository) -> Option<&'a str> {
        mirror.as_str().strip_prefix(&self.root)
    }

    /// The repository that `mirror` mirrors, to be asked. What it remembers goes with the value.
    pub(crate) fn repository(&self, mirror: &Repository) -> Option<RepositoryClient> {
        let name = format!("{}{}", self.path, self.name_in(mirror)?);
        Some(self.client.repository(&self.host, &name.parse().ok()?))
    }

    /// How `name` is kept here; Docker Hub's own images have short names.
    fn mirror_of(&self, name: &str, namespace: Option<&str>) -> Option<MirrorName> {
        let library = if self.namespace.is_docker_hub() && !name.contains('/') { "library/" } else { "" };
        let repository = format!("{}{library}{name}", self.root).parse().ok()?;
        let namespace = namespace.map(str::to_owned);
        Some(MirrorName { repository, namespace, requires_sign_in: self.requires_sign_in })
    }

    /// What comes after this remote's prefix.
    fn after_prefix<'a>(&self, written: &'a str) -> Option<&'a str> {
        written.strip_prefix(self.prefix.as_deref()?)
    }
}

/// What a name means; see [`Place`].
pub(crate) fn place(remotes: &[Arc<Remote>], written: &Repository, namespace: Option<&str>) -> Place {
    let name = written.as_str();
    let mirror = |found: Option<MirrorName>| found.map_or(Place::Nowhere, Place::Mirror);
    if let Some(namespace) = namespace {
        let host = namespace.parse::<Host>().ok();
        let remote = remotes.iter().find(|remote| Some(&remote.namespace) == host.as_ref());
        let Some(remote) = remote else { return Place::Nowhere };
        // A client that knows our address with the prefix names the registry too. Nothing on Docker Hub has three parts.
        let below = remote.after_prefix(name).filter(|rest| remote.namespace.is_docker_hub() && rest.contains('/'));
        return mirror(remote.mirror_of(below.unwrap_or(name), Some(namespace)));
    }
    if name.starts_with(ROOT) {
        let found = remotes.iter().find_map(|remote| remote.mirror_of(remote.name_in(written)?, None));
        return mirror(found);
    }
    if let Some((remote, rest)) = remotes.iter().find_map(|remote| Some((remote, remote.after_prefix(name)?))) {
        return mirror(remote.mirror_of(rest, None));
    }
    match remotes.iter().find(|remote| remote.is_default) {
        Some(remote) => remote.mirror_of(name, None).map_or(Place::Here, Place::MirrorUnlessHere),
        None => Place::Here,
    }
}

struct Address {
    host: Host,
    path: String,
    is_plain: bool,
}

fn parse_url(name: &str, text: &str) -> Result<Address, MirrorError> {
    let wrong = |cause: &str| MirrorError::setting(name, "url", cause);
    let url: Url = text.parse().map_err(|cause| MirrorError::setting(name, "url", cause))?;
    if !matches!(url.scheme(), "http" | "https") {
        return Err(wrong("must start with http:// or https://"));
    }
    // An address is shown in messages; a password must not be.
    if !url.username().is_empty() || url.password().is_some() || url.query().is_some() || url.fragment().is_some() {
        return Err(wrong("must have no user, query or fragment; see username and password_file"));
    }
    let host = url.host_str().unwrap_or_default();
    let authority = url.port().map_or_else(|| host.to_owned(), |port| format!("{host}:{port}"));
    let path = url.path().trim_matches('/');
    if !path.is_empty() && path.parse::<Repository>().is_err() {
        return Err(wrong("its path cannot be part of a repository's name"));
    }
    Ok(Address {
        host: authority.parse().map_err(|_| wrong("its host is not one of a registry"))?,
        path: if path.is_empty() { String::new() } else { format!("{path}/") },
        is_plain: url.scheme() == "http",
    })
}

fn parse_prefix(name: &str, prefix: &str) -> Result<String, MirrorError> {
    let prefix = prefix.trim_matches('/');
    if prefix.parse::<Repository>().is_err() || format!("{prefix}/").starts_with(ROOT) {
        return Err(MirrorError::setting(name, "prefix", "cannot be the first part of a repository's name"));
    }
    Ok(format!("{prefix}/"))
}

fn credentials(name: &str, settings: &UpstreamSettings) -> Result<Option<Credentials>, MirrorError> {
    match (&settings.username, &settings.password_file) {
        (None, None) => Ok(None),
        (Some(username), Some(path)) => {
            let text = std::fs::read_to_string(path).map_err(|cause| MirrorError::PasswordFile {
                name: name.to_owned(),
                path: path.display().to_string(),
                cause,
            })?;
            let password = Secret::from(text.trim_end_matches(['\r', '\n']));
            Ok(Some(Credentials::Password { username: username.clone(), password }))
        }
        _ => Err(MirrorError::setting(name, "username", "needs password_file, and the other way round")),
    }
}

fn client_config(
    name: &str,
    settings: &UpstreamSettings,
    host: &Host,
    is_plain: bool,
) -> Result<ClientConfig, MirrorError> {
    let mut config = ClientConfig {
        // Nothing that was meant for another program: only what the settings name.
        credentials: CredentialFiles::default(),
        retry: RETRY,
        timeouts: Timeouts { connect: CONNECT_TIMEOUT, ..Timeouts::default() },
        ..ClientConfig::default()
    };
    if is_plain {
        config.insecure_registries.push(InsecureRegistry::Host(host.to_string()));
    }
    let mirrors = settings.mirrors.iter().map(|mirror| OtherAddress::parse(mirror));
    let mirrors =
        mirrors.collect::<Result<Vec<_>, _>>().map_err(|cause| MirrorError::setting(name, "mirrors", cause))?;
    config.mirrors.insert(host.clone(), mirrors);
    Ok(config)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn remotes() -> Vec<Arc<Remote>> {
        let hub = UpstreamSettings { default: true, prefix: Some("hub".into()), ..UpstreamSettings::default() };
        let lan = UpstreamSettings { url: Some("http://10.1.2.3:5000/cache".into()), ..UpstreamSettings::default() };
        let quay = UpstreamSettings { prefix: Some("quay".into()), ..UpstreamSettings::default() };
        [("docker.io", hub), ("registry.lan:5000", lan), ("quay.io", quay)]
            .iter()
            .map(|(name, settings)| Arc::new(Remote::new(name, settings).unwrap()))
            .collect()
    }

    #[test]
    fn names_and_what_they_mean() {
        let remotes = remotes();
        let cases = [
            ("library/nginx", None, "unless mirror/docker.io/library/nginx"),
            ("nginx", None, "unless mirror/docker.io/library/nginx"),
            ("acme/app", None, "unless mirror/docker.io/acme/app"),
            ("hub/nginx", None, "mirror/docker.io/library/nginx"),
            ("hub/acme/app", None, "mirror/docker.io/acme/app"),
            ("hub", None, "unless mirror/docker.io/library/hub"),
            ("quay/nginx", None, "mirror/quay.io/nginx"),
            ("nginx", Some("docker.io"), "mirror/docker.io/library/nginx"),
            ("library/nginx", Some("registry-1.docker.io"), "mirror/docker.io/library/nginx"),
            ("hub/library/nginx", Some("docker.io"), "mirror/docker.io/library/nginx"),
            ("hub/nginx", Some("docker.io"), "mirror/docker.io/hub/nginx"),
            ("quay/a/b", Some("quay.io"), "mirror/quay.io/quay/a/b"),
            ("team/app", Some("registry.lan:5000"), "mirror/registry.lan_5000/team/app"),
            ("library/nginx", Some("ghcr.io"), "nowhere"),
            ("library/nginx", Some("a b"), "nowhere"),
            ("mirror/docker.io/library/nginx", None, "mirror/docker.io/library/nginx"),
            ("mirror/registry.lan_5000/a", None, "mirror/registry.lan_5000/a"),
            ("mirror/elsewhere/a", None, "nowhere"),
        ];
        for (written, namespace, expected) in cases {
            let found = match place(&remotes, &written.parse().unwrap(), namespace) {
                Place::Here => "here".to_owned(),
                Place::Nowhere => "nowhere".to_owned(),
                Place::Mirror(name) => name.repository.to_string(),
                Place::MirrorUnlessHere(name) => format!("unless {}", name.repository),
            };
            assert_eq!(found, expected, "{written} {namespace:?}");
        }
        assert_eq!(place(&remotes[1..], &"nginx".parse().unwrap(), None), Place::Here);
        let lan = remotes[1].repository(&"mirror/registry.lan_5000/a/b".parse().unwrap()).unwrap();
        assert_eq!((lan.host().as_str(), lan.repository().as_str()), ("10.1.2.3:5000", "cache/a/b"));
    }

    #[test]
    fn settings_that_are_of_no_use() {
        let with = |change: fn(&mut UpstreamSettings)| {
            let mut settings = UpstreamSettings::default();
            change(&mut settings);
            settings
        };
        let cases = [
            ("a b", with(|_| {}), "not the name"),
            ("[::1]:5000", with(|_| {}), "not the name"),
            ("x.io", with(|settings| settings.url = Some("ftp://x.io".into())), "url"),
            ("x.io", with(|settings| settings.url = Some("https://me:secret@x.io".into())), "username"),
            ("x.io", with(|settings| settings.prefix = Some("Hub".into())), "prefix"),
            ("x.io", with(|settings| settings.prefix = Some("mirror".into())), "prefix"),
            ("x.io", with(|settings| settings.username = Some("me".into())), "password_file"),
            ("x.io", with(|settings| settings.mirrors = vec!["ftp://x".into()]), "mirrors"),
        ];
        for (name, settings, part) in cases {
            let error = Remote::new(name, &settings).err().unwrap().to_string();
            assert!(error.contains(part) && !error.contains("secret"), "{error}");
        }
    }
}
