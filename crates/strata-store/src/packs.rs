//! The contract of pack storage: one file per layer with the contents that the store did not have yet.
//!
//! Packs are always local files, whatever holds the blobs: a kernel mounts them. A pack is immutable once sealed; a smaller
//! version of it (after compaction) is another file with the same identity.

use std::fs::File;
use std::io;
use std::path::PathBuf;
use std::sync::Arc;

use strata_layer::{ContentDigest, PackId, PackSink};

use crate::{Durability, Location, Result, Scanned, Usage};

/// A pack being written. Dropping it leaves nothing behind.
pub trait NewPack: PackSink + Send {
    /// Its identity.
    fn id(&self) -> PackId;

    /// Makes it durable as asked, at a location that nobody knows yet. Blocks.
    fn seal(self: Box<Self>, durability: Durability) -> Result<Location>;
}

/// A sealed pack, opened: its file and its footer mapped into memory.
pub trait PackFile: Send + Sync {
    /// The file; contents are mounted from it.
    fn file(&self) -> &File;

    /// Length of the file in bytes, a multiple of 512.
    fn length(&self) -> u64;

    /// Offset and length of a content.
    fn place(&self, digest: &ContentDigest) -> Option<(u64, u64)>;

    /// All contents: digest, offset, length; in digest order.
    fn contents(&self) -> Vec<(ContentDigest, u64, u64)>;

    /// Whether the footer has the digest that it was sealed with.
    fn footer_is_intact(&self) -> bool;

    /// Reads exactly `buffer.len()` bytes at `offset`.
    ///
    /// # Errors
    /// `UnexpectedEof` when the pack is shorter.
    fn read_exact_at(&self, offset: u64, buffer: &mut [u8]) -> io::Result<()>;
}

/// Pack storage. All methods block: they are called where layers are unpacked, never on an async thread.
pub trait Packs: Send + Sync {
    /// Starts a pack under a fresh identity.
    fn create(&self) -> Result<Box<dyn NewPack>>;

    /// Starts another version of a pack, for compaction and repair.
    fn create_version(&self, id: PackId) -> Result<Box<dyn NewPack>>;

    /// Opens a pack. The footer's shape is checked, its digest is not.
    fn open(&self, at: &Location) -> Result<Arc<dyn PackFile>>;

    /// The path by which the kernel finds a pack, whether it is there or not.
    fn path(&self, at: &Location) -> Result<PathBuf>;

    /// What a pack takes; `None` when it is not there.
    fn usage(&self, at: &Location) -> Result<Option<Usage>>;

    /// Removes. `Ok` means "not there now". Mounts that use it keep their bytes.
    fn remove(&self, at: &Location) -> Result<()>;

    /// Every pack file, known or not. For sweep and fsck only.
    fn scan(&self) -> Result<Vec<Scanned>>;
}
