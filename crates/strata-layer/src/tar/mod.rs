//! Tar as bytes: header blocks, PAX records and sparse maps. Only parsing of bytes that were already read; what follows
//! what in the stream is decided in [`crate::read`].
//!
//! Layout: POSIX.1-1988 (ustar), POSIX.1-2001 (PAX), the GNU tar manual ("Basic Tar Format", "Storing Sparse Files").
//! Where these leave a choice the behaviour of Go's `archive/tar` is followed, since that is what layers were accepted
//! by so far.

pub(crate) mod header;
pub(crate) mod number;
pub(crate) mod pax;
pub(crate) mod sparse;

/// Unit of a tar: headers are one block, data is padded to whole blocks.
pub(crate) const BLOCK: usize = 512;
/// Largest extended header or sparse map, in bytes (what Go's reader takes).
pub(crate) const EXTENSION_LIMIT: u64 = 1 << 20;
/// Largest GNU long name or long link, in bytes.
pub(crate) const NAME_LIMIT: u64 = 64 << 10;

/// Number of bytes between data of this size and the next block.
pub(crate) fn padding(size: u64) -> usize {
    (size.wrapping_neg() % BLOCK as u64) as usize
}
