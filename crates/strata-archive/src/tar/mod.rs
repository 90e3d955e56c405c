//! The subset of tar that image archives use: members with a name, a size and perhaps a link.
//!
//! Layout: POSIX.1-1988 (ustar), POSIX.1-2001 (PAX `path`, `linkpath`, `size`), GNU long names and base-256 numbers.
//! Owners, times and modes of members mean nothing in an archive and are not read.

mod read;
mod write;

pub use read::{Entry, Kind, TarReader};
pub use write::Header;

/// Headers are one block, data is padded to whole blocks.
pub const BLOCK: u64 = 512;

/// What an archive ends with.
pub const END: [u8; 1024] = [0; 1024];

/// Bytes between data of this size and the next block.
pub fn padding(size: u64) -> u64 {
    size.wrapping_neg() % BLOCK
}
