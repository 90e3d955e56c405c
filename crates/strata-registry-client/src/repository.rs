//! One repository of a registry, and the words for what goes wrong with it.

use std::collections::HashMap;
use std::sync::{Arc, Mutex};

use bytes::Bytes;
use http::header::ACCEPT;
use http::{HeaderValue, StatusCode};
use strata_model::{Digest, ErrorKind, Host, MediaType, Reference, Repository, Target};
use strata_transfer::TransferError;

use crate::client::RegistryClient;
use crate::failure::{Failure, Outcome};
use crate::transport::Message;

/// A repository of a registry: a place that images are read from, and, with a target, written to.
///
/// Reading asks the registry's mirrors first. Clones share everything.
#[derive(Clone)]
pub struct RepositoryClient {
    pub(crate) client: RegistryClient,
    pub(crate) host: Host,
    pub(crate) repository: Repository,
    /// What a pushed image is to be called.
    pub(crate) target: Option<Target>,
    /// Repositories on this registry that may have the blobs of a push.
    pub(crate) mount_candidates: Vec<Repository>,
    /// Manifests whose bytes passed by, so that they need not be fetched (and counted) again.
    pub(crate) manifests: Arc<Mutex<HashMap<Digest, (Bytes, MediaType)>>>,
}

impl RepositoryClient {
    pub(crate) fn new(client: RegistryClient, host: Host, repository: Repository) -> RepositoryClient {
        RepositoryClient {
            client,
            host,
            repository,
            target: None,
            mount_candidates: Vec::new(),
            manifests: Arc::default(),
        }
    }

    /// The same repository; what is pushed to it gets this tag, or must have this digest.
    #[must_use]
    pub fn with_target(mut self, target: Target) -> RepositoryClient {
        self.target = Some(target);
        self
    }

    /// The same repository; pushes try to link blobs from these repositories of the registry before uploading them.
    #[must_use]
    pub fn with_mount_candidates(mut self, repositories: Vec<Repository>) -> RepositoryClient {
        self.mount_candidates = repositories;
        self
    }

    /// The registry.
    pub fn host(&self) -> &Host {
        &self.host
    }

    /// The repository.
    pub fn repository(&self) -> &Repository {
        &self.repository
    }

    /// The repository, or an image in it, as people write it.
    pub(crate) fn familiar(&self, target: Option<&Target>) -> String {
        Reference::new(self.host.clone(), self.repository.clone(), target.cloned()).familiar()
    }

    /// Says of a failure what it means to someone who wants to read `target` (docker's wording).
    pub(crate) fn reading_error(&self, failure: Box<Failure>, target: Option<&Target>) -> TransferError {
        if failure.credentials_refused {
            return failure.error;
        }
        let said = failure.said();
        let unknown_name = failure.has_code("NAME_UNKNOWN");
        match failure.status {
            Some(StatusCode::UNAUTHORIZED | StatusCode::FORBIDDEN) => self.access_denied(&failure),
            Some(StatusCode::NOT_FOUND) if unknown_name || target.is_none() => {
                let cause = said.unwrap_or_else(|| "name unknown: repository name not known to registry".into());
                let name = self.familiar(None);
                TransferError::new(ErrorKind::NotFound, format!("repository {name} not found: {cause}"))
            }
            Some(StatusCode::NOT_FOUND) => {
                let cause = said.unwrap_or_else(|| "manifest unknown: manifest unknown".into());
                let name = self.familiar(target);
                TransferError::new(ErrorKind::NotFound, format!("manifest for {name} not found: {cause}"))
            }
            _ => failure.error,
        }
    }

    fn access_denied(&self, failure: &Failure) -> TransferError {
        let name = self.familiar(None);
        let cause = failure.said().unwrap_or_else(|| "denied: requested access to the resource is denied".into());
        TransferError::new(
            failure.error.kind,
            format!("pull access denied for {name}, repository does not exist or may require 'docker login': {cause}"),
        )
        .with_hint(format!("check the name; for a private repository, log in with `strata login {}`", self.host))
    }

    /// Says of a failure what it means to someone who wants to change the repository.
    pub(crate) fn writing_error(&self, failure: Failure) -> TransferError {
        match failure.status {
            Some(StatusCode::UNAUTHORIZED | StatusCode::FORBIDDEN) if !failure.credentials_refused => {
                let cause =
                    failure.said().unwrap_or_else(|| "denied: requested access to the resource is denied".into());
                TransferError { retryable: failure.error.retryable, ..TransferError::new(failure.error.kind, cause) }
                    .with_hint(format!(
                        "log in with `strata login {}` as a user who may push to {}",
                        self.host,
                        self.familiar(None)
                    ))
            }
            _ => failure.error,
        }
    }

    /// Keeps the bytes of a manifest that passed by.
    pub(crate) fn remember(&self, digest: Digest, bytes: Bytes, media_type: MediaType) {
        crate::transport::lock(&self.manifests).insert(digest, (bytes, media_type));
    }

    pub(crate) fn remembered(&self, digest: &Digest) -> Option<(Bytes, MediaType)> {
        crate::transport::lock(&self.manifests).get(digest).cloned()
    }

    /// The registry's own endpoint, for everything that mirrors must not answer.
    pub(crate) async fn own_endpoint(&self) -> Outcome<crate::endpoint::Endpoint> {
        self.client.endpoint(&self.host).await
    }
}

/// Says that every type of manifest is welcome; schema 1 is listed last so that a registry that has nothing else
/// delivers it, and the error can say so.
pub(crate) fn accept_manifests(mut message: Message) -> Message {
    for media_type in [
        MediaType::OCI_INDEX,
        MediaType::DOCKER_LIST,
        MediaType::OCI_MANIFEST,
        MediaType::DOCKER_MANIFEST,
        MediaType::DOCKER_SCHEMA1_SIGNED,
    ] {
        let value = HeaderValue::from_str(media_type.as_str()).expect("a media type is a legal header");
        message.headers.append(ACCEPT, value);
    }
    message
}
