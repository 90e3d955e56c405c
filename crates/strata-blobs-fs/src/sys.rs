//! System calls that std and rustix do not offer: mapping the end of a sealed file, and early write-back.
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

/// Lets the kernel begin to write `length` bytes at `offset` to disk, without waiting. A hint: durability comes from the
/// sync that follows, so what the kernel answers does not matter.
pub(crate) fn start_write_back(file: &File, offset: u64, length: u64) {
    use std::os::fd::AsRawFd as _;
    let (Ok(offset), Ok(length)) = (i64::try_from(offset), i64::try_from(length)) else { return };
    // SAFETY: the descriptor is open while `file` is borrowed; the call takes numbers only and touches no memory of ours.
    unsafe { libc::sync_file_range(file.as_raw_fd(), offset, length, libc::SYNC_FILE_RANGE_WRITE) };
}
