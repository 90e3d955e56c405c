//! Mapping the end of a sealed file into memory.
#![allow(unsafe_code)]

use std::fs::File;
use std::io;

use memmap2::{Mmap, MmapOptions};

/// The end of a sealed file in memory.
pub(crate) struct MappedTail(Mmap);

impl MappedTail {
    /// Maps `file` from `offset` to its end at `length`, which lies after `offset`.
    pub(crate) fn new(file: &File, offset: u64, length: u64) -> io::Result<MappedTail> {
        let size = usize::try_from(length - offset).map_err(|_| io::ErrorKind::FileTooLarge)?;
        // SAFETY: a sealed pack is never written or truncated, only unlinked, which leaves the mapped pages in place. Only
        // this crate opens packs for writing, and only before they have a name.
        let map = unsafe { MmapOptions::new().offset(offset).len(size).map(file)? };
        Ok(MappedTail(map))
    }

    pub(crate) fn bytes(&self) -> &[u8] {
        &self.0
    }
}
