//! The contract of blob storage: bytes at opaque places.
//!
//! A backend holds bytes and nothing else: what exists, under which digest and for how long, the catalog says. Nothing is
//! ever replaced in place; a location is used once.

use std::fs::File;
use std::io;
use std::sync::Arc;

use async_trait::async_trait;
use strata_model::Digest;

use crate::Result;

/// Where bytes lie. Opaque: only the backend that made it understands it.
#[derive(Clone, Debug, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub struct Location(pub String);

/// What kind of bytes a location is for.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum BlobKind {
    /// Objects that have a digest: compressed layers, configurations, manifests.
    Object,
    /// Layer indexes.
    Index,
    /// Derived images of merged views; a cache.
    View,
}

/// Whether bytes must survive a power cut once sealed.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Durability {
    /// `fdatasync` before anything refers to them.
    Synced,
    /// Left to the kernel: for machines that are thrown away (`--no-sync`).
    Unsynced,
}

/// Name under which bytes are staged so that another process, or a later one, can go on with them.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum StageName {
    /// A download of an object.
    Download(Digest),
    /// A registry upload session.
    Upload(String),
}

/// What a location takes on disk.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Usage {
    /// Length in bytes.
    pub length: u64,
    /// Bytes of the blocks allocated for it; what removing it gives back.
    pub allocated: u64,
}

/// A location found by [`Blobs::scan`].
#[derive(Clone, Debug)]
pub struct Scanned {
    /// The location.
    pub location: Location,
    /// When it was last written, nanoseconds since 1970.
    pub modified: i64,
    /// What it takes.
    pub usage: Usage,
}

/// Sealed bytes, readable at any position by several threads at once.
pub trait BlobBytes: Send + Sync {
    /// Length in bytes.
    fn size(&self) -> u64;

    /// Reads up to `buffer.len()` bytes at `offset`; 0 only at the end.
    ///
    /// # Errors
    /// What the backend reports.
    fn read_at(&self, offset: u64, buffer: &mut [u8]) -> io::Result<usize>;

    /// The file behind it, where there is one: lets callers use `sendfile` and `copy_file_range`.
    fn file(&self) -> Option<&File>;
}

/// Bytes being staged. Dropping it keeps what a [`StageName`] stages, unlocked; anonymous bytes vanish.
#[async_trait]
pub trait Ingest: Send {
    /// Bytes staged so far, those of an earlier owner included.
    fn length(&self) -> u64;

    /// What is staged so far, for reading.
    fn staged(&self) -> Result<Arc<dyn BlobBytes>>;

    /// Appends.
    async fn write(&mut self, bytes: &[u8]) -> Result<()>;

    /// Forgets all bytes staged; the lock stays.
    async fn restart(&mut self) -> Result<()>;

    /// Makes the bytes durable (as asked) at a final location that nobody knows yet. The staged name stays until
    /// [`Ingest::finish`], so that a crash before the row is published loses no bytes.
    async fn seal(&mut self, durability: Durability) -> Result<Location>;

    /// Removes the staged name and its lock, after the row was published.
    async fn finish(self: Box<Self>) -> Result<()>;
}

/// Blob storage. Implementations pass `conformance::blobs_suite`.
#[async_trait]
pub trait Blobs: Send + Sync {
    /// Starts anonymous bytes: nothing remains of them after a crash.
    async fn begin(&self, kind: BlobKind) -> Result<Box<dyn Ingest>>;

    /// Starts or resumes named bytes, and owns them until dropped. `None` when another owner, in this process or another,
    /// is alive.
    async fn stage(&self, name: &StageName) -> Result<Option<Box<dyn Ingest>>>;

    /// Opens sealed bytes.
    async fn open(&self, at: &Location) -> Result<Arc<dyn BlobBytes>>;

    /// What sealed bytes take; `None` when they are not there.
    async fn usage(&self, at: &Location) -> Result<Option<Usage>>;

    /// Removes. `Ok` means "not there now". Readers that have it open keep their bytes.
    async fn remove(&self, at: &Location) -> Result<()>;

    /// Everything sealed, known or not. For sweep and fsck only.
    async fn scan(&self) -> Result<Vec<Scanned>>;

    /// Removes staged names that nobody owns and that were last written before `older_than` (nanoseconds since 1970).
    /// Returns the bytes given back.
    async fn sweep_staged(&self, older_than: i64) -> Result<u64>;
}
