//! Pull-through of other registries: what is pulled through here is kept, and served from here while it is fresh.
//!
//! [`Mirror`] implements the registry's port [`Upstream`]. Each registry that is mirrored is a `remote`: chosen by the
//! query's `ns`, by a prefix of the path, or because it is the default one. What it has is kept in repositories of its own,
//! `mirror/<registry>/<repository>` (`mirror/docker.io/library/nginx`; a port's colon becomes `_`), which are only read.
//!
//! | module | what it has |
//! |---|---|
//! | `settings` | what the administrator writes |
//! | `remote` | one registry: which names mean it, and the client that asks it |
//! | `manifests` | a tag is asked for by `HEAD` when it is not fresh any more; a digest never again |
//! | `lists` | tags and referrers, of the remote and of what is kept here |
//! | `blobs` | where a blob comes from |
//! | `fetch` | one blob on its way, and those who wait for it |
//! | `evict` | what was not used for long goes |
//!
//! Concurrency: what is asked of a remote is asked once, however many clients want it. Manifests take turns by name; blobs
//! have one task, which writes, and any number of followers, which read what it has written. What is durable is in the
//! store; memory holds only what saves work (when a tag was checked, who follows), so that a crash loses nothing but that.
//!
//! Clients' credentials never go to a remote. What is fetched with the mirror's own credentials is only for callers who
//! signed in.

mod blobs;
mod error;
mod evict;
mod fetch;
mod lists;
mod manifests;
mod remote;
mod settings;
mod turns;

use std::sync::Arc;
use std::sync::atomic::Ordering::Relaxed;

use async_trait::async_trait;
use strata_model::{Descriptor, Digest, Repository, Target};
use strata_store::registry::{
    Listed, MirroredBlob, MirroredManifest, Page, Place, ReferrersPage, Registry, RegistryError, Result, Upstream,
};

pub use error::MirrorError;
pub use settings::{ByteSize, MirrorSettings, Span, UpstreamSettings};

use evict::Uses;
use fetch::Fetches;
use lists::Lists;
use manifests::CheckedTags;
use remote::Remote;
use turns::Turns;

/// Other registries, pulled through. Cheap to clone; all clones are one mirror.
///
/// It needs the process to have a TLS provider installed (`rustls::crypto::CryptoProvider::install_default`).
#[derive(Clone)]
pub struct Mirror {
    inner: Arc<Inner>,
}

struct Inner {
    registry: Registry,
    /// Those with longer prefixes first.
    remotes: Vec<Arc<Remote>>,
    max_size: Option<u64>,
    tags: CheckedTags,
    tag_lists: Lists<String>,
    referrer_lists: Lists<Descriptor>,
    turns: Turns,
    fetches: Arc<Fetches>,
    uses: Uses,
}

/// How often manifests of one registry were wanted.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct MirrorUse {
    /// The registry, as clients know it.
    pub name: String,
    /// How often one was served.
    pub served: u64,
    /// How often the registry was asked for it.
    pub asked: u64,
    /// How often it had none, or gave no answer.
    pub failed: u64,
}

impl MirrorUse {
    fn of(remote: &Remote) -> MirrorUse {
        let counts = &remote.counts;
        MirrorUse {
            name: remote.name().to_owned(),
            served: counts.served.load(Relaxed),
            asked: counts.asked.load(Relaxed),
            failed: counts.failed.load(Relaxed),
        }
    }
}

impl Mirror {
    /// A mirror as `settings` say, that keeps what it fetches in `registry`. Reads the files of passwords; makes no
    /// connection.
    ///
    /// # Errors
    /// When a setting is of no use, or a file cannot be read.
    pub fn new(registry: Registry, settings: &MirrorSettings) -> Result<Mirror, MirrorError> {
        let mut remotes = Vec::new();
        for (name, upstream) in &settings.upstream {
            remotes.push(Arc::new(Remote::new(name, upstream)?));
        }
        settings::check_together(&remotes)?;
        remotes.sort_by_key(|remote| std::cmp::Reverse(remote.prefix.as_deref().map_or(0, str::len)));
        let max_size = settings.max_size.map(|size| size.0);
        let (tags, turns, uses) = (CheckedTags::default(), Turns::default(), Uses::default());
        let (tag_lists, referrer_lists, fetches) = (Lists::default(), Lists::default(), Arc::default());
        let inner = Inner { registry, remotes, max_size, tags, tag_lists, referrer_lists, turns, fetches, uses };
        Ok(Mirror { inner: Arc::new(inner) })
    }

    /// How often manifests of each registry were wanted since this value was made, by its name.
    pub fn uses(&self) -> Vec<MirrorUse> {
        let mut uses: Vec<MirrorUse> = self.inner.remotes.iter().map(|remote| MirrorUse::of(remote)).collect();
        uses.sort_by(|one, other| one.name.cmp(&other.name));
        uses
    }

    /// The remote that a mirror's repository is of.
    fn remote_of(&self, mirror: &Repository) -> Result<&Arc<Remote>> {
        let remote = self.inner.remotes.iter().find(|remote| remote.name_in(mirror).is_some());
        remote.ok_or_else(|| RegistryError::RepositoryUnknown(mirror.to_string()))
    }
}

#[async_trait]
impl Upstream for Mirror {
    fn place(&self, written: &Repository, namespace: Option<&str>) -> Place {
        remote::place(&self.inner.remotes, written, namespace)
    }

    async fn manifest(&self, mirror: &Repository, target: &Target) -> Result<MirroredManifest> {
        let remote = self.remote_of(mirror)?;
        let found = match target {
            Target::Tag(tag) => self.manifest_by_tag(remote, mirror, tag).await?,
            Target::Digest(digest) => self.manifest_by_digest(remote, mirror, digest).await?,
        };
        remote.counts.served.fetch_add(1, Relaxed);
        self.used(remote, mirror, &found.manifest.digest).await;
        Ok(found)
    }

    async fn blob(&self, mirror: &Repository, digest: &Digest, offset: u64) -> Result<MirroredBlob> {
        self.open_blob(self.remote_of(mirror)?, mirror, digest, offset).await
    }

    async fn blob_size(&self, mirror: &Repository, digest: &Digest) -> Result<u64> {
        self.find_blob_size(self.remote_of(mirror)?, mirror, digest).await
    }

    async fn tags(&self, mirror: &Repository, last: Option<&str>, limit: usize) -> Result<Listed<Page>> {
        self.list_tags(self.remote_of(mirror)?, mirror, last, limit).await
    }

    async fn referrers(
        &self,
        mirror: &Repository,
        subject: &Digest,
        artifact_type: Option<&str>,
        last: Option<&Digest>,
    ) -> Result<Listed<ReferrersPage>> {
        self.list_referrers(self.remote_of(mirror)?, mirror, subject, artifact_type, last).await
    }
}
