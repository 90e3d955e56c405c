//! System calls that std and rustix do not offer: mapping part of a file, and asking what of it is in memory.
#![allow(unsafe_code)]

use std::fs::File;
use std::io;

use memmap2::{Mmap, MmapOptions};

/// Part of a file in memory, to be sent rather than read.
pub(crate) struct MappedFile(Mmap);

impl MappedFile {
    /// Maps `length` bytes of `file` from `offset` on, which must lie within it.
    pub(crate) fn new(file: &File, offset: u64, length: u64) -> io::Result<MappedFile> {
        let size = usize::try_from(length).map_err(|_| io::ErrorKind::FileTooLarge)?;
        // SAFETY: the files of blobs are never truncated, nor is what lies within their length written again; one that is
        // unlinked keeps its pages while it is mapped.
        let map = unsafe { MmapOptions::new().offset(offset).len(size).map(file)? };
        Ok(MappedFile(map))
    }
}

impl AsRef<[u8]> for MappedFile {
    fn as_ref(&self) -> &[u8] {
        &self.0
    }
}

/// Whether the kernel has all of this memory at hand, without touching it. `false` also when it does not say.
pub(crate) fn is_resident(memory: &[u8]) -> bool {
    let page = rustix::param::page_size();
    let lead = memory.as_ptr().addr() % page;
    let mut pages = vec![0u8; (lead + memory.len()).div_ceil(page)];
    // SAFETY: the pages that `memory` lies in are mapped while it is borrowed, and `pages` has a byte for each of them, which
    // is all that the call writes.
    let answer = unsafe {
        libc::mincore(memory.as_ptr().wrapping_sub(lead).cast_mut().cast(), lead + memory.len(), pages.as_mut_ptr())
    };
    answer == 0 && pages.iter().all(|page| page & 1 == 1)
}
