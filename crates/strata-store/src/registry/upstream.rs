//! The registry's second question: does another registry have this? Asked where a repository mirrors another one.
//!
//! A surface asks [`Upstream::place`] first. Whatever is a mirror is only read through here: what it keeps lies in
//! repositories of its own, which take no pushes and no deletions and may vanish when they are not used.

use async_trait::async_trait;
use bytes::Bytes;
use futures_util::stream::BoxStream;
use strata_model::{Digest, Repository, Target};

use super::{Page, ReferrersPage, Result, StoredManifest};

/// What a name means that a client wrote.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Place {
    /// A repository that is pushed to this server.
    Here,
    /// A mirror, whatever was pushed here under this name. It is only read.
    Mirror(MirrorName),
    /// A mirror for reading, unless a repository of this name was pushed here. Writes mean the repository here.
    MirrorUnlessHere(MirrorName),
    /// Nothing: it is of a registry that is not mirrored (404).
    Nowhere,
}

/// A repository that mirrors one of another registry.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct MirrorName {
    /// The repository of this store that keeps what was fetched.
    pub repository: Repository,
    /// The registry, if the query's `ns` chose it: to be answered as `OCI-Namespace`.
    pub namespace: Option<String>,
    /// Whether only callers with an account may read it: it is fetched with the mirror's own credentials, and so may be
    /// private. Never with the client's.
    pub requires_sign_in: bool,
}

/// A manifest from a mirror.
#[derive(Clone, Debug)]
pub struct MirroredManifest {
    /// The manifest.
    pub manifest: StoredManifest,
    /// Said to the client as a warning, when the upstream could not be asked and what is served may be old.
    pub stale: Option<String>,
}

/// A list of a mirror.
#[derive(Clone, Debug)]
pub struct Listed<T> {
    /// The list, or a page of it.
    pub list: T,
    /// Said to the client as a warning, when the upstream could not be asked and only what is here is listed.
    pub stale: Option<String>,
}

/// A blob from a mirror, perhaps while it is stored.
pub struct MirroredBlob {
    /// Its size in bytes.
    pub size: u64,
    /// Its bytes from the offset that was asked for. It fails when the content turns out to be wrong; the last byte comes
    /// only after the whole was verified.
    pub stream: BoxStream<'static, std::io::Result<Bytes>>,
}

/// Where a repository's content comes from when it is not pushed here.
#[async_trait]
pub trait Upstream: Send + Sync {
    /// What is meant by `written`; `namespace` is the query's `ns`. Looks at the settings only.
    fn place(&self, written: &Repository, namespace: Option<&str>) -> Place;

    /// The manifest, from here as long as it is fresh, else from the upstream. Counts as a use of what is kept.
    ///
    /// # Errors
    /// `ManifestUnknown`; `Upstream` when it cannot be asked and nothing is here.
    async fn manifest(&self, mirror: &Repository, target: &Target) -> Result<MirroredManifest>;

    /// A blob from `offset`: from here if it is here, else fetched once however many ask, and kept. An offset beyond its
    /// end is an empty stream.
    ///
    /// # Errors
    /// `BlobUnknown`; `Upstream` when it cannot be asked.
    async fn blob(&self, mirror: &Repository, digest: &Digest, offset: u64) -> Result<MirroredBlob>;

    /// The size of a blob in bytes; asked for by `HEAD` when the blob is not here.
    ///
    /// # Errors
    /// As [`Upstream::blob`].
    async fn blob_size(&self, mirror: &Repository, digest: &Digest) -> Result<u64>;

    /// At most `limit` tags after `last`: those of the upstream and those that are kept here.
    ///
    /// # Errors
    /// `RepositoryUnknown`; `Upstream` when it cannot be asked and nothing is here.
    async fn tags(&self, mirror: &Repository, last: Option<&str>, limit: usize) -> Result<Listed<Page>>;

    /// The manifests that are about `subject`, of the upstream and of what is kept here; see [`super::Registry::referrers`].
    ///
    /// # Errors
    /// When what is here cannot be read.
    async fn referrers(
        &self,
        mirror: &Repository,
        subject: &Digest,
        artifact_type: Option<&str>,
        last: Option<&Digest>,
    ) -> Result<Listed<ReferrersPage>>;
}
