//! The registry's second question: does another registry have this? Asked where a repository mirrors another one.

use async_trait::async_trait;
use bytes::Bytes;
use futures_util::stream::BoxStream;
use strata_model::{Digest, Repository, Target};

use super::{Result, StoredManifest};

/// A manifest from a mirror.
#[derive(Clone, Debug)]
pub struct MirroredManifest {
    /// The manifest.
    pub manifest: StoredManifest,
    /// Said to the client as a warning, when the upstream could not be asked and what is served may be old.
    pub stale: Option<String>,
    /// The namespace (`ns=`) that chose the upstream, to be answered as `OCI-Namespace`.
    pub namespace: Option<String>,
}

/// A blob from a mirror, while it is stored.
pub struct MirroredBlob {
    /// Its size in bytes.
    pub size: u64,
    /// Its bytes from the offset that was asked for. Unverified: the connection is broken off when the digest is wrong.
    pub stream: BoxStream<'static, std::io::Result<Bytes>>,
}

/// Where a repository's content comes from when it is not pushed here.
#[async_trait]
pub trait Upstream: Send + Sync {
    /// The repository of this store that mirrors `written` (`namespace` is the query's `ns`); `None` when nothing is
    /// mirrored under this name, so that it is an ordinary repository.
    fn mirrors(&self, written: &Repository, namespace: Option<&str>) -> Option<Repository>;

    /// The manifest, from here as long as it is fresh, else from the upstream.
    ///
    /// # Errors
    /// `ManifestUnknown`, also when the upstream cannot be asked and nothing is here.
    async fn manifest(&self, mirror: &Repository, target: &Target) -> Result<MirroredManifest>;

    /// A blob that is not here yet, from `offset`: fetched once however many ask, and kept.
    ///
    /// # Errors
    /// `BlobUnknown`.
    async fn blob(&self, mirror: &Repository, digest: &Digest, offset: u64) -> Result<MirroredBlob>;

    /// The size of a blob in bytes, asked for by HEAD.
    ///
    /// # Errors
    /// `BlobUnknown`.
    async fn blob_size(&self, mirror: &Repository, digest: &Digest) -> Result<u64>;
}
