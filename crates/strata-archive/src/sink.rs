//! Where the members of an archive go while it is read.

use std::io::Read;

use strata_model::{Compression, DiffId, Digest};

use crate::SinkError;

/// What the first bytes of a member tell.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum MemberContent {
    /// JSON, as it seems: a configuration, a manifest, or another document.
    Document,
    /// A tar, or something compressed that may be one.
    Layer(Compression),
    /// No bytes at all. Incremental savers write this for a layer that the receiver has.
    Empty,
    /// Anything else.
    Other,
}

impl MemberContent {
    /// Judges by the first bytes (512 are enough) of a member of `size` bytes.
    pub(crate) fn sniff(start: &[u8], size: u64) -> MemberContent {
        if size == 0 {
            return MemberContent::Empty;
        }
        if matches!(start.trim_ascii_start().first(), Some(b'{' | b'[')) && start.get(257..262) != Some(b"ustar") {
            return MemberContent::Document;
        }
        match compression_of(start) {
            Compression::None if !is_tar(start) => MemberContent::Other,
            compression => MemberContent::Layer(compression),
        }
    }
}

/// The compression by magic number (spec section "Docker archive").
fn compression_of(start: &[u8]) -> Compression {
    match start {
        [0x1f, 0x8b, 0x08, ..] => Compression::Gzip,
        [0x28, 0xb5, 0x2f, 0xfd, ..] => Compression::Zstd,
        // A skippable frame of zstd may come first.
        [0x50..=0x5f, 0x2a, 0x4d, 0x18, ..] => Compression::Zstd,
        [b'B', b'Z', b'h', b'1'..=b'9', ..] => Compression::Bzip2,
        [0xfd, b'7', b'z', b'X', b'Z', 0, ..] => Compression::Xz,
        _ => Compression::None,
    }
}

fn is_tar(start: &[u8]) -> bool {
    if start.len() < 512 {
        return false;
    }
    let block = &start[..512];
    // An empty layer is nothing but zero blocks; a tar older than POSIX has only its checksum to show.
    let sum: u64 =
        block.iter().enumerate().map(|(at, &byte)| u64::from(if (148..156).contains(&at) { b' ' } else { byte })).sum();
    let text = std::str::from_utf8(&block[148..156]).unwrap_or_default();
    let declared = u64::from_str_radix(text.trim_matches(['\0', ' ']), 8);
    &block[257..262] == b"ustar" || block.iter().all(|&byte| byte == 0) || declared == Ok(sum)
}

/// A member that is about to be delivered.
#[derive(Clone, Copy, Debug)]
pub struct Member<'a> {
    /// Path in the archive, cleaned: no `./`, no `..`, no leading slash.
    pub path: &'a str,
    /// Length in bytes as the archive declares it; not to be trusted for allocation.
    pub size: u64,
    /// What its bytes seem to be.
    pub content: MemberContent,
    /// The digest in a path like `blobs/sha256/<hex>`; the member is to be hashed with the same algorithm.
    pub expected: Option<Digest>,
}

/// What became of a member.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Stored {
    /// Digest of the bytes as stored. SHA-256, unless [`Member::expected`] named another algorithm.
    pub digest: Digest,
    /// Length of the bytes as stored.
    pub size: u64,
    /// How the bytes are compressed as stored. A sink may decompress what it gets (bzip2 and xz have no media type for
    /// layers, so it had better); blobs of an OCI layout must stay as they are.
    pub compression: Compression,
    /// Digest of the uncompressed bytes, when the sink unpacked a layer. Without it a compressed layer's diff ID is
    /// taken from the configuration unchecked.
    pub diff_id: Option<DiffId>,
}

impl Stored {
    /// The diff ID as far as it is known: told by the sink, or the digest itself of what is not compressed.
    pub fn known_diff_id(&self) -> Option<DiffId> {
        self.diff_id.or((self.compression == Compression::None).then_some(DiffId(self.digest)))
    }
}

/// Takes the members of an archive as they come.
pub trait ArchiveSink {
    /// Stores one member whose bytes are `data`, and says what it is. Called in the order of the archive, before it is
    /// known which members belong to images; what is not needed in the end is the sink's to drop. Bytes that are left
    /// unread are skipped.
    ///
    /// # Errors
    /// Whatever goes wrong; the reading of the archive ends with it. An error of `data` may be passed on as it is.
    fn store(&mut self, member: &Member<'_>, data: &mut dyn Read) -> Result<Stored, SinkError>;
}
