//! The skeleton of a tar: all its bytes that are not content of files, and where the contents were cut out.

use std::io::{self, Write as _};

use crate::varint::{self, Bytes};

/// Headers, padding and everything behind the end compress so well that the fastest level is enough.
const LEVEL: i32 = 1;

/// What an index adds to packs so that the exact tar can be written again, see [`write_tar`](crate::write_tar).
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Skeleton {
    /// Per cut: number of raw bytes before it, 2 × (entry − entry of the cut before) + 1 if only a range of the
    /// content follows, then in this case offset and length of the range. Numbers as in [`varint`].
    pub(crate) cuts: Vec<u8>,
    /// The raw bytes, zstd.
    pub(crate) compressed: Vec<u8>,
    /// Number of raw bytes before compression.
    pub(crate) raw_size: u64,
}

impl Skeleton {
    /// Number of bytes of the tar that are not content.
    pub fn raw_size(&self) -> u64 {
        self.raw_size
    }

    /// Bytes it takes in memory and in an index file.
    pub fn stored_size(&self) -> u64 {
        (self.cuts.len() + self.compressed.len()) as u64
    }
}

/// Collects a skeleton in the order of the tar.
pub(crate) struct SkeletonWriter {
    encoder: zstd::stream::write::Encoder<'static, Vec<u8>>,
    cuts: Vec<u8>,
    raw_size: u64,
    raw_size_at_cut: u64,
    entry_at_cut: u64,
}

impl SkeletonWriter {
    pub(crate) fn new() -> io::Result<SkeletonWriter> {
        let encoder = zstd::stream::write::Encoder::new(Vec::new(), LEVEL)?;
        Ok(SkeletonWriter { encoder, cuts: Vec::new(), raw_size: 0, raw_size_at_cut: 0, entry_at_cut: 0 })
    }

    /// Adds bytes that are not content.
    pub(crate) fn raw(&mut self, bytes: &[u8]) -> io::Result<()> {
        self.raw_size += bytes.len() as u64;
        self.encoder.write_all(bytes)
    }

    /// Notes that here the content of an entry stands in the tar: all of it, or a range (offset, length).
    pub(crate) fn cut(&mut self, entry: u64, range: Option<(u64, u64)>) {
        varint::put(&mut self.cuts, self.raw_size - self.raw_size_at_cut);
        varint::put(&mut self.cuts, (entry - self.entry_at_cut) << 1 | u64::from(range.is_some()));
        if let Some((offset, length)) = range {
            varint::put(&mut self.cuts, offset);
            varint::put(&mut self.cuts, length);
        }
        self.raw_size_at_cut = self.raw_size;
        self.entry_at_cut = entry;
    }

    /// Memory in use, in bytes.
    pub(crate) fn stored_size(&self) -> u64 {
        (self.cuts.len() + self.encoder.get_ref().len()) as u64
    }

    pub(crate) fn finish(self) -> io::Result<Skeleton> {
        Ok(Skeleton { cuts: self.cuts, compressed: self.encoder.finish()?, raw_size: self.raw_size })
    }
}

/// A place where content was cut out of the tar.
pub(crate) struct Cut {
    /// Raw bytes between the cut before and this one.
    pub(crate) raw: u64,
    /// Position of the entry in the index.
    pub(crate) entry: u64,
    /// Offset and length of the part of its content, all of it if `None`.
    pub(crate) range: Option<(u64, u64)>,
}

/// Reads cuts in order.
pub(crate) struct Cuts<'a> {
    bytes: Bytes<'a>,
    entry: u64,
}

impl Skeleton {
    pub(crate) fn cuts(&self) -> Cuts<'_> {
        Cuts { bytes: Bytes(&self.cuts), entry: 0 }
    }
}

impl Cuts<'_> {
    /// The next cut, `None` after the last one.
    ///
    /// # Errors
    /// When the bytes are not a list of cuts.
    pub(crate) fn next(&mut self) -> Result<Option<Cut>, &'static str> {
        if self.bytes.is_empty() {
            return Ok(None);
        }
        self.parse().map(Some).ok_or("the skeleton's cuts are malformed")
    }

    fn parse(&mut self) -> Option<Cut> {
        let raw = self.bytes.number()?;
        let step = self.bytes.number()?;
        self.entry = self.entry.checked_add(step >> 1)?;
        let range = match step & 1 {
            0 => None,
            _ => Some((self.bytes.number()?, self.bytes.number()?)),
        };
        Some(Cut { raw, entry: self.entry, range })
    }
}
