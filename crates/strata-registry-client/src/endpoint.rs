//! Where a registry's API is: the registry itself, or a mirror of it.

use strata_model::{Host, Repository};
use url::Url;

use crate::config::Mirror;

/// Where Docker Hub's API is.
const DOCKER_HUB_API: &str = "registry-1.docker.io";

/// An address that answers for a registry.
#[derive(Clone, Debug)]
pub(crate) struct Endpoint {
    /// The host that credentials and rate limits are of.
    pub(crate) host: Host,
    /// Scheme and authority, path `/`.
    pub(crate) origin: Url,
    /// What is put before a repository's name: empty, or ending in a slash.
    prefix: String,
    /// The registry that a mirror answers for, told to it as `ns`.
    namespace: Option<Host>,
}

impl Endpoint {
    /// The registry itself.
    pub(crate) fn registry(host: &Host, origin: Url) -> Endpoint {
        Endpoint { host: host.clone(), origin, prefix: String::new(), namespace: None }
    }

    /// A mirror of `registry`. `None` when its address is no host that a registry can have.
    pub(crate) fn mirror(registry: &Host, mirror: &Mirror) -> Option<Endpoint> {
        Some(Endpoint {
            host: authority(&mirror.origin).parse().ok()?,
            origin: mirror.origin.clone(),
            prefix: mirror.prefix.clone(),
            namespace: Some(registry.clone()),
        })
    }

    /// Whether this is a mirror.
    pub(crate) fn is_mirror(&self) -> bool {
        self.namespace.is_some()
    }

    /// The repository's name at this address.
    pub(crate) fn repository(&self, repository: &Repository) -> String {
        format!("{}{repository}", self.prefix)
    }

    /// The address of `rest` (`manifests/latest`) in a repository.
    pub(crate) fn url(&self, repository: &Repository, rest: &str) -> Url {
        let mut url = self.plain_url(&format!("v2/{}/{rest}", self.repository(repository)));
        if let Some(namespace) = &self.namespace {
            url.query_pairs_mut().append_pair("ns", namespace.as_str());
        }
        url
    }

    /// An address below the origin. `path` holds nothing that needs escaping.
    pub(crate) fn plain_url(&self, path: &str) -> Url {
        let mut url = self.origin.clone();
        url.set_path(path);
        url
    }
}

/// Host, and port if it is not the scheme's own.
pub(crate) fn authority(url: &Url) -> String {
    let host = url.host_str().unwrap_or_default();
    url.port().map_or_else(|| host.to_owned(), |port| format!("{host}:{port}"))
}

/// The host name that a registry's API is reached under.
pub(crate) fn api_authority(host: &Host) -> &str {
    if host.is_docker_hub() { DOCKER_HUB_API } else { host.as_str() }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn addresses() {
        let repository: Repository = "library/nginx".parse().unwrap();
        let hub: Host = "docker.io".parse().unwrap();
        let registry = Endpoint::registry(&hub, "https://registry-1.docker.io".parse().unwrap());
        let url = registry.url(&repository, "manifests/latest");
        assert_eq!(url.as_str(), "https://registry-1.docker.io/v2/library/nginx/manifests/latest");
        let mirror = Endpoint::mirror(&hub, &Mirror::parse("https://h.lan:5000/hub").unwrap()).unwrap();
        let url = mirror.url(&repository, "manifests/latest");
        assert_eq!(url.as_str(), "https://h.lan:5000/v2/hub/library/nginx/manifests/latest?ns=docker.io");
        assert_eq!(mirror.host.as_str(), "h.lan:5000");
    }
}
