//! Manifests: by digest from here if they are here; by tag after the remote said, not too long ago, what the tag points to.
//!
//! When a tag was checked is known to this process only: after a restart every tag costs one `HEAD`.

use std::collections::HashMap;
use std::sync::atomic::Ordering::Relaxed;
use std::sync::{Mutex, PoisonError};
use std::time::{Duration, Instant};

use strata_model::{Descriptor, Digest, ErrorKind, Repository, Tag, Target};
use strata_registry_client::RepositoryClient;
use strata_store::registry::{MirroredManifest, RegistryError, Result, StoredManifest};
use strata_transfer::TransferError;

use crate::Mirror;
use crate::error::is_refusal;
use crate::remote::Remote;

/// How long a remote may take to say what a tag points to when there is something old to serve.
pub(crate) const PATIENCE: Duration = Duration::from_secs(5);
/// After a remote could not be asked, for so long what is old is served without asking again.
pub(crate) const PAUSE: Duration = Duration::from_secs(30);
/// Tags of which is remembered when they were checked.
const TAGS: usize = 65_536;

/// When tags were checked.
#[derive(Default)]
pub(crate) struct CheckedTags(Mutex<HashMap<(Repository, Tag), Checked>>);

#[derive(Clone)]
struct Checked {
    /// Until then it is not asked again.
    until: Instant,
    /// The warning, if what is served may be old.
    stale: Option<String>,
}

impl CheckedTags {
    /// What is known of a tag that need not be asked for now.
    fn get(&self, mirror: &Repository, tag: &Tag) -> Option<Checked> {
        let tags = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        tags.get(&(mirror.clone(), tag.clone())).filter(|checked| Instant::now() < checked.until).cloned()
    }

    fn put(&self, mirror: &Repository, tag: &Tag, lasts: Duration, stale: Option<String>) {
        let now = Instant::now();
        let mut tags = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        if tags.len() >= TAGS {
            tags.retain(|_, checked| now < checked.until);
        }
        if tags.len() < TAGS {
            let until = now.checked_add(lasts).unwrap_or(now + Duration::from_secs(86_400));
            tags.insert((mirror.clone(), tag.clone()), Checked { until, stale });
        }
    }
}

impl Mirror {
    pub(crate) async fn manifest_by_digest(
        &self,
        remote: &Remote,
        mirror: &Repository,
        digest: &Digest,
    ) -> Result<MirroredManifest> {
        let target = Target::Digest(*digest);
        if let Some(manifest) = self.kept_manifest(mirror, &target).await? {
            return Ok(fresh(manifest));
        }
        let _turn = self.inner.turns.take(format!("{mirror}@{digest}")).await;
        if let Some(manifest) = self.kept_manifest(mirror, &target).await? {
            return Ok(fresh(manifest));
        }
        remote.counts.asked.fetch_add(1, Relaxed);
        let client = client(remote, mirror)?;
        self.fetch_manifest(&client, mirror, &target, None).await.map(fresh).map_err(|failure| {
            remote.counts.failed.fetch_add(1, Relaxed);
            let failure = failure.into_error(remote, mirror, &target);
            tracing::debug!(error = %failure, "a manifest could not be fetched");
            failure
        })
    }

    pub(crate) async fn manifest_by_tag(
        &self,
        remote: &Remote,
        mirror: &Repository,
        tag: &Tag,
    ) -> Result<MirroredManifest> {
        if let Some(found) = self.checked_manifest(mirror, tag).await? {
            return Ok(found);
        }
        let _turn = self.inner.turns.take(format!("{mirror}:{tag}")).await;
        if let Some(found) = self.checked_manifest(mirror, tag).await? {
            return Ok(found);
        }
        let target = Target::Tag(tag.clone());
        let kept = self.kept_manifest(mirror, &target).await?;
        remote.counts.asked.fetch_add(1, Relaxed);
        let failure = match self.revalidate(remote, mirror, tag, kept.as_ref()).await {
            Ok(manifest) => {
                self.inner.tags.put(mirror, tag, remote.fresh_for, None);
                return Ok(fresh(manifest));
            }
            Err(Failure::Store(error)) => return Err(error),
            Err(Failure::Remote(error)) => error,
        };
        remote.counts.failed.fetch_add(1, Relaxed);
        if is_refusal(&failure) {
            if failure.kind == ErrorKind::NotFound && kept.is_some() {
                self.inner.registry.keep_tag(mirror, tag, None).await?;
            }
            return Err(Failure::Remote(failure).into_error(remote, mirror, &target));
        }
        let Some(manifest) = kept else { return Err(Failure::Remote(failure).into_error(remote, mirror, &target)) };
        tracing::warn!(error = %failure, %mirror, %tag, "an old copy is served");
        let stale = stale_warning(remote, failure.kind, "copy");
        self.inner.tags.put(mirror, tag, PAUSE.min(remote.fresh_for), Some(stale.clone()));
        Ok(MirroredManifest { manifest, stale: Some(stale) })
    }

    /// The manifest of a tag that need not be asked for now.
    async fn checked_manifest(&self, mirror: &Repository, tag: &Tag) -> Result<Option<MirroredManifest>> {
        let Some(Checked { stale, .. }) = self.inner.tags.get(mirror, tag) else { return Ok(None) };
        let manifest = self.kept_manifest(mirror, &Target::Tag(tag.clone())).await?;
        Ok(manifest.map(|manifest| MirroredManifest { manifest, stale }))
    }

    async fn kept_manifest(&self, mirror: &Repository, target: &Target) -> Result<Option<StoredManifest>> {
        match self.inner.registry.manifest(mirror, target).await {
            Ok(manifest) => Ok(Some(manifest)),
            Err(RegistryError::ManifestUnknown { .. }) => Ok(None),
            Err(error) => Err(error),
        }
    }

    /// What a tag points to at the remote. `kept` is what it points to here.
    async fn revalidate(
        &self,
        remote: &Remote,
        mirror: &Repository,
        tag: &Tag,
        kept: Option<&StoredManifest>,
    ) -> Result<StoredManifest, Failure> {
        let client = client(remote, mirror)?;
        let target = Target::Tag(tag.clone());
        let described = match kept {
            None => client.describe(&target).await?,
            Some(_) => tokio::time::timeout(PATIENCE, client.describe(&target)).await.map_err(|_| {
                let message = format!("no answer within {} seconds", PATIENCE.as_secs());
                TransferError::new(ErrorKind::Unavailable, message)
            })??,
        };
        let Some(Descriptor { digest, .. }) = described else {
            return self.fetch_manifest(&client, mirror, &target, Some(tag)).await;
        };
        if let Some(kept) = kept.filter(|kept| kept.digest == digest) {
            return Ok(kept.clone());
        }
        let by_digest = Target::Digest(digest);
        match self.kept_manifest(mirror, &by_digest).await? {
            Some(manifest) => {
                self.inner.registry.keep_tag(mirror, tag, Some(&digest)).await?;
                Ok(manifest)
            }
            None => self.fetch_manifest(&client, mirror, &by_digest, Some(tag)).await,
        }
    }

    async fn fetch_manifest(
        &self,
        client: &RepositoryClient,
        mirror: &Repository,
        target: &Target,
        tag: Option<&Tag>,
    ) -> Result<StoredManifest, Failure> {
        let (bytes, media_type, digest) = client.get_manifest_bytes(target).await?;
        let manifest = self.inner.registry.keep_manifest(mirror, bytes, media_type, digest, tag).await?;
        self.fetched(mirror, &digest);
        Ok(manifest)
    }
}

/// Why a manifest did not come.
enum Failure {
    Remote(TransferError),
    Store(RegistryError),
}

impl From<TransferError> for Failure {
    fn from(error: TransferError) -> Failure {
        Failure::Remote(error)
    }
}

impl From<RegistryError> for Failure {
    fn from(error: RegistryError) -> Failure {
        Failure::Store(error)
    }
}

impl Failure {
    fn into_error(self, remote: &Remote, mirror: &Repository, target: &Target) -> RegistryError {
        match self {
            Failure::Store(error) => error,
            Failure::Remote(error) if is_refusal(&error) => {
                note_refusal(&error);
                RegistryError::ManifestUnknown { repository: mirror.to_string(), target: target.to_string() }
            }
            Failure::Remote(error) => remote_failure(remote, error.kind, error.message),
        }
    }
}

/// The client of what `mirror` mirrors.
pub(crate) fn client(remote: &Remote, mirror: &Repository) -> Result<RepositoryClient> {
    remote.repository(mirror).ok_or_else(|| RegistryError::RepositoryUnknown(mirror.to_string()))
}

pub(crate) fn remote_failure(remote: &Remote, kind: ErrorKind, message: String) -> RegistryError {
    RegistryError::Upstream { registry: remote.name().to_owned(), kind, message }
}

/// To a client, what is forbidden to us does not exist; whoever runs the mirror should see the difference.
pub(crate) fn note_refusal(error: &TransferError) {
    if error.kind != ErrorKind::NotFound {
        tracing::warn!(%error, "the mirrored registry refuses us");
    }
}

fn fresh(manifest: StoredManifest) -> MirroredManifest {
    MirroredManifest { manifest, stale: None }
}

/// What a client is told when it gets what is here without the remote having been asked.
pub(crate) fn stale_warning(remote: &Remote, kind: ErrorKind, what: &str) -> String {
    let why = match kind {
        ErrorKind::RateLimited => "limits the rate of requests",
        _ => "cannot be reached",
    };
    format!("registry {} {why}: this {what} may be out of date", remote.name())
}
