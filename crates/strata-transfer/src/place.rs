//! The two traits of a place.

use std::pin::Pin;

use async_trait::async_trait;
use bytes::Bytes;
use futures_util::Stream;
use strata_model::{Descriptor, DiffId, Host, Manifest, Raw, Repository, Target};

use crate::{Progress, Result};

/// Where a source's content lies: lets a sink mount instead of copying, or skip.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Origin {
    /// A repository on a registry.
    Registry {
        /// The registry.
        host: Host,
        /// The repository.
        repository: Repository,
    },
    /// The local store.
    Store,
    /// An archive or a layout.
    Archive,
}

/// What a blob is to the image that has it.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum BlobRole {
    /// The configuration, or a blob of an artifact that is no layer: stored as it is.
    Plain,
    /// A layer. `diff_id` is what the configuration claims; it is verified by inflating.
    Layer {
        /// Digest of the uncompressed tar, when the configuration is known.
        diff_id: Option<DiffId>,
    },
}

/// A blob to be copied.
#[derive(Clone, Debug)]
pub struct BlobSpec {
    /// Type, digest, size.
    pub descriptor: Descriptor,
    /// What it is to its image.
    pub role: BlobRole,
}

/// What became of a blob.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum BlobOutcome {
    /// Its bytes were transferred.
    Copied,
    /// The sink had it.
    Existed,
    /// The sink linked it from elsewhere on the same registry.
    Mounted,
}

/// Bytes of a blob as they arrive; nothing about them is verified yet.
pub struct BlobStream {
    /// Position of the first byte: the position asked for, or 0 when the place cannot start in the middle.
    pub from: u64,
    /// The bytes. An error is retryable when asking again from the position reached may help.
    pub stream: Pin<Box<dyn Stream<Item = Result<Bytes>> + Send>>,
}

/// A place that images can be read from.
#[async_trait]
pub trait ImageSource: Send + Sync {
    /// Where the content lies.
    fn origin(&self) -> Origin;

    /// The descriptor of what a tag or digest points at. Fails early with `NotFound` when there is nothing.
    async fn resolve(&self, target: &Target) -> Result<Descriptor>;

    /// The manifest that a descriptor names; its digest (and size, if the descriptor's is not 0) has been checked.
    async fn manifest(&self, descriptor: &Descriptor) -> Result<Raw<Manifest>>;

    /// The bytes of a blob from position `from` on.
    async fn blob(&self, descriptor: &Descriptor, from: u64) -> Result<BlobStream>;
}

/// A place that images can be written to. Every method can be repeated: doing it twice is doing it once.
#[async_trait]
pub trait ImageSink: Send + Sync {
    /// Which of these blobs are not here, in the order given. One question for all.
    async fn missing(&self, wanted: &[BlobSpec]) -> Result<Vec<BlobSpec>>;

    /// Takes a blob from `source`, verified against its descriptor. The sink decides from which position it asks.
    async fn put_blob(&self, source: &dyn ImageSource, blob: &BlobSpec, progress: &dyn Progress)
    -> Result<BlobOutcome>;

    /// Writes a manifest. What it refers to has been put before, but for the other platforms of an index when
    /// [`ImageSink::keeps_sparse_indexes`].
    async fn put_manifest(&self, manifest: &Raw<Manifest>, descriptor: &Descriptor) -> Result<()>;

    /// Whether an index may be written when only one of its platforms was copied.
    fn keeps_sparse_indexes(&self) -> bool;

    /// Makes what was copied visible under the sink's name, last of all. `resolved` is what the source's target pointed
    /// at; `image` is the topmost manifest that was copied whole (the same, or one platform of that index).
    async fn finish(&self, resolved: &Descriptor, image: &Descriptor) -> Result<()>;
}
