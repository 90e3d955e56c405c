//! Packs: the contents of a layer's regular files, one after the other, with a sorted footer.
//!
//! ```text
//! contents   each from a multiple of 512 bytes (of 4096 if it has 64 KiB or more), zeros in between
//! footer     from a multiple of 512: per content, sorted by digest: digest 32, offset u64, length u64
//! zeros
//! trailer    the last 64 bytes of the file, whose length is a multiple of 512:
//!            magic "STRAPACK", version u32, zero u32, count u64, footer offset u64, BLAKE3 of the footer 32
//! ```
//! All numbers are little-endian. Contents lie on 512-byte blocks so that an EROFS image can point at them. A pack never
//! changes once it is finished; reading it needs no lock.

mod footer;
mod writer;

pub use footer::{PackFooter, PackTrailer};
pub(crate) use writer::Appending;
pub use writer::{PackSink, PackSummary, PackWriter};

const MAGIC: &[u8; 8] = b"STRAPACK";
const VERSION: u32 = 1;
/// Unit of everything in a pack.
const BLOCK: u64 = 512;
/// Contents of this size and more start on a page.
const LARGE: u64 = 64 << 10;
const PAGE: u64 = 4096;
const RECORD: usize = 48;

/// Length of the trailer in bytes.
pub const TRAILER_LENGTH: usize = 64;

/// Where a content lies in its pack, in bytes.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Place {
    /// Start of the content; a multiple of 512.
    pub offset: u64,
    /// Logical length of the content, holes included.
    pub length: u64,
}

fn aligned(offset: u64, length: u64) -> u64 {
    offset.next_multiple_of(if length >= LARGE { PAGE } else { BLOCK })
}
