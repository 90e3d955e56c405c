//! A little room that stays free for the catalog when the disk is full, so that images can still be listed and removed.
//!
//! SQLite needs blocks to be opened at all (its shared memory is a file) and to remove anything (its log). The file
//! `reserve` holds as many; it is given up while the disk has less than that, and made again when it has.

use std::fs::{self, File};
use std::io::{self, Write as _};
use std::path::Path;

const NAME: &str = "reserve";
const SIZE: usize = 512 << 10;

/// Gives the reserve up, or makes it, as the free space below `root` asks for. What fails here shows in what follows.
pub(crate) fn adjust(root: &Path) {
    let path = root.join(NAME);
    let Ok(disk) = rustix::fs::statvfs(root) else { return };
    let free = disk.f_bavail.saturating_mul(disk.f_frsize);
    let is_tight = free < SIZE as u64;
    let could_be_made = || path.exists() || free <= 8 * SIZE as u64 || make(&path).is_ok();
    if is_tight || !could_be_made() {
        let _ = fs::remove_file(&path);
    }
}

fn make(path: &Path) -> io::Result<()> {
    // Written, not allocated: some file systems take allocation for a promise only.
    File::create_new(path)?.write_all(&vec![0; SIZE])
}
