//! The exact tar of a layer, out of index, skeleton and packs.

use std::io::{self, Read, Write};

use strata_model::DiffId;

use crate::entry::{ContentDigest, LayerIndex, PackId};
use crate::error::LayerError;
use crate::skeleton::{Cut, Skeleton};

/// Bytes moved at once.
const BUFFER: usize = 256 << 10;

/// The contents of packs.
pub trait Contents {
    /// Fills `buffer` with the bytes at `offset` of the content with this digest in this pack. What is asked for lies
    /// within the content, holes read as zeros.
    fn read(&self, pack: PackId, digest: &ContentDigest, offset: u64, buffer: &mut [u8]) -> io::Result<()>;
}

/// Writes the tar that index and skeleton were read from, byte for byte, and returns its length.
///
/// # Errors
/// [`LayerError::DiffIdMismatch`] at the end when what was written does not have the layer's diff ID, so that a caller
/// who streams must be able to take it back; [`LayerError::Content`] when a pack cannot be read,
/// [`LayerError::WriteTar`] when `out` fails, [`LayerError::Index`] when skeleton and index do not belong together.
pub fn write_tar(
    index: &LayerIndex,
    skeleton: &Skeleton,
    contents: &impl Contents,
    out: impl Write,
) -> Result<u64, LayerError> {
    let raw = zstd::stream::read::Decoder::with_buffer(&skeleton.compressed[..])
        .map_err(|_| LayerError::Index("the skeleton cannot be decompressed"))?;
    let hasher = index.diff_id.0.hasher();
    let mut tar = TarWriter { index, contents, raw, out, hasher, written: 0, buffer: vec![0; BUFFER] };
    let mut raw_left = skeleton.raw_size;
    let mut cuts = skeleton.cuts();
    while let Some(cut) = cuts.next().map_err(LayerError::Index)? {
        raw_left = raw_left.checked_sub(cut.raw).ok_or(LayerError::Index("the skeleton is too short"))?;
        tar.raw(cut.raw)?;
        tar.content(&cut)?;
    }
    tar.raw(raw_left)?;
    tar.finish()
}

struct TarWriter<'a, C, R, W> {
    index: &'a LayerIndex,
    contents: &'a C,
    raw: R,
    out: W,
    hasher: strata_model::Hasher,
    written: u64,
    buffer: Vec<u8>,
}

impl<C: Contents, R: Read, W: Write> TarWriter<'_, C, R, W> {
    /// Writes the next `count` bytes of the skeleton.
    fn raw(&mut self, count: u64) -> Result<(), LayerError> {
        self.reserve(count)?;
        let mut left = count;
        while left > 0 {
            let now = left.min(BUFFER as u64) as usize;
            self.raw
                .read_exact(&mut self.buffer[..now])
                .map_err(|_| LayerError::Index("the skeleton cannot be decompressed"))?;
            self.emit(now)?;
            left -= now as u64;
        }
        Ok(())
    }

    /// Writes the content that was cut out here.
    fn content(&mut self, cut: &Cut) -> Result<(), LayerError> {
        const FOREIGN: LayerError = LayerError::Index("the skeleton belongs to another index");
        let position =
            usize::try_from(cut.entry).ok().filter(|&position| position < self.index.len()).ok_or(FOREIGN)?;
        let entry = self.index.entry(position);
        let content = entry.content.ok_or(FOREIGN)?;
        let pack = *self.index.packs.get(usize::from(content.pack)).ok_or(FOREIGN)?;
        let (start, length) = cut.range.unwrap_or((0, content.size));
        let end = start.checked_add(length).filter(|&end| end <= content.size).ok_or(FOREIGN)?;
        self.reserve(length)?;
        let mut offset = start;
        while offset < end {
            let now = (end - offset).min(BUFFER as u64) as usize;
            self.contents.read(pack, &content.digest, offset, &mut self.buffer[..now]).map_err(|cause| {
                let path = String::from_utf8_lossy(entry.path).into_owned();
                LayerError::Content { diff_id: self.index.diff_id, path, cause }
            })?;
            self.emit(now)?;
            offset += now as u64;
        }
        Ok(())
    }

    /// Refuses to write more than the tar is long, whatever a damaged skeleton says.
    fn reserve(&self, count: u64) -> Result<(), LayerError> {
        match self.written.checked_add(count) {
            Some(end) if end <= self.index.tar_size => Ok(()),
            _ => Err(LayerError::Index("skeleton and contents exceed the size of the tar")),
        }
    }

    fn emit(&mut self, count: usize) -> Result<(), LayerError> {
        let bytes = &self.buffer[..count];
        self.hasher.update(bytes);
        self.written += count as u64;
        self.out.write_all(bytes).map_err(|cause| LayerError::WriteTar { diff_id: self.index.diff_id, cause })
    }

    fn finish(mut self) -> Result<u64, LayerError> {
        let (expected, actual) = (self.index.diff_id, DiffId(self.hasher.finish()));
        if actual != expected {
            return Err(LayerError::DiffIdMismatch { expected, actual: Box::new(actual) });
        }
        self.out.flush().map_err(|cause| LayerError::WriteTar { diff_id: expected, cause })?;
        Ok(self.written)
    }
}
