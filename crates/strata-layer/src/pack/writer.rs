//! Writing a pack in one pass.

use std::collections::HashMap;
use std::io;

use super::{BLOCK, Place, RECORD, TRAILER_LENGTH, aligned, footer::PackTrailer};
use crate::entry::{ContentDigest, PackId};

/// Bytes gathered before they go to the sink.
const BUFFER: usize = 1 << 20;
/// Bytes from this number on go to the sink as they are: a copy costs more than a call.
const LARGE: usize = 256 << 10;
/// Holes shorter than this are written as zeros: smaller ones save no block worth its extent.
const SHORTEST_HOLE: u64 = 64 << 10;

/// Where the bytes of a pack go: a new, empty file.
pub trait PackSink {
    /// Writes all of `bytes` at `offset`. Calls come in ascending order, large and sequential, but for the rare content
    /// that is taken back; what lies between is a hole, which reads as zeros.
    fn write_at(&mut self, offset: u64, bytes: &[u8]) -> io::Result<()>;
    /// Called once, at the end: cuts or extends the file.
    fn set_len(&mut self, length: u64) -> io::Result<()>;
}

/// What a finished pack is.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct PackSummary {
    /// Its identity.
    pub id: PackId,
    /// Number of contents; a pack without any need not be kept.
    pub count: u64,
    /// Length of the file in bytes, a multiple of 512.
    pub file_length: u64,
    /// Bytes before the footer: contents with their padding.
    pub data_length: u64,
    /// BLAKE3 of the footer, for whoever keeps the record of the pack.
    pub footer_digest: [u8; 32],
}

/// Writes contents one after the other, each digest once. After an error the pack is worthless.
pub struct PackWriter<S> {
    id: PackId,
    sink: S,
    places: HashMap<ContentDigest, Place>,
    /// Bytes that the sink has not seen yet, from `flushed` on.
    buffer: Vec<u8>,
    flushed: u64,
    /// Highest offset that the sink was given bytes for. Below it there may be remains of contents taken back, so that
    /// a hole there has to be written.
    written: u64,
}

impl<S: PackSink> PackWriter<S> {
    /// An empty pack with this identity.
    pub fn new(id: PackId, sink: S) -> PackWriter<S> {
        let buffer = Vec::with_capacity(BUFFER);
        PackWriter { id, sink, places: HashMap::new(), buffer, flushed: 0, written: 0 }
    }

    /// The pack's identity.
    pub fn id(&self) -> PackId {
        self.id
    }

    /// Whether nothing was stored yet.
    pub fn is_empty(&self) -> bool {
        self.places.is_empty()
    }

    /// Where the content with this digest was stored, if it was.
    pub fn find(&self, digest: &ContentDigest) -> Option<Place> {
        self.places.get(digest).copied()
    }

    /// Stores `bytes`, whose digest is `digest`, unless it is there already.
    pub fn store(&mut self, digest: ContentDigest, bytes: &[u8]) -> io::Result<Place> {
        if let Some(place) = self.find(&digest) {
            return Ok(place);
        }
        let mut appending = self.append(bytes.len() as u64)?;
        appending.put(bytes)?;
        Ok(appending.record(digest))
    }

    /// Stores `length` bytes of `content`, whose digest is `digest` and is not checked, in pieces: for moving a content
    /// from another pack.
    ///
    /// # Errors
    /// `UnexpectedEof` when `content` is shorter; what it or the sink fail with.
    pub fn copy(&mut self, digest: ContentDigest, length: u64, mut content: impl io::Read) -> io::Result<Place> {
        if let Some(place) = self.find(&digest) {
            return Ok(place);
        }
        let mut piece = vec![0; BUFFER.min(length as usize)];
        let mut appending = self.append(length)?;
        let mut left = length;
        while left > 0 {
            let count = piece.len().min(left as usize);
            content.read_exact(&mut piece[..count])?;
            appending.put(&piece[..count])?;
            left -= count as u64;
        }
        Ok(appending.record(digest))
    }

    /// Starts a content that is too large to be looked at before it is written. Its length is `length`.
    pub(crate) fn append(&mut self, length: u64) -> io::Result<Appending<'_, S>> {
        let start = aligned(self.position(), length);
        self.zeros(start - self.position())?;
        Ok(Appending { pack: self, start })
    }

    /// Writes footer and trailer. The caller makes the file durable, then publishes it.
    pub fn finish(mut self) -> io::Result<(PackSummary, S)> {
        self.zeros(self.position().next_multiple_of(BLOCK) - self.position())?;
        let data_length = self.position();
        let footer = sorted_footer(&self.places);
        let trailer = PackTrailer {
            count: self.places.len() as u64,
            footer_offset: data_length,
            footer_digest: *blake3::hash(&footer).as_bytes(),
        };
        self.put(&footer)?;
        let end = self.position() + TRAILER_LENGTH as u64;
        self.zeros(end.next_multiple_of(BLOCK) - end)?;
        self.put(&trailer.encode())?;
        self.flush()?;
        let file_length = self.position();
        self.sink.set_len(file_length)?;
        let summary = PackSummary {
            id: self.id,
            count: trailer.count,
            file_length,
            data_length,
            footer_digest: trailer.footer_digest,
        };
        Ok((summary, self.sink))
    }

    fn position(&self) -> u64 {
        self.flushed + self.buffer.len() as u64
    }

    fn put(&mut self, mut bytes: &[u8]) -> io::Result<()> {
        if bytes.len() >= LARGE {
            self.flush()?;
            return self.write(bytes);
        }
        while !bytes.is_empty() {
            let (now, later) = bytes.split_at(bytes.len().min(BUFFER - self.buffer.len()));
            self.buffer.extend_from_slice(now);
            bytes = later;
            if self.buffer.len() == BUFFER {
                self.flush()?;
            }
        }
        Ok(())
    }

    fn flush(&mut self) -> io::Result<()> {
        if self.buffer.is_empty() {
            return Ok(());
        }
        let mut buffer = std::mem::take(&mut self.buffer);
        let result = self.write(&buffer);
        buffer.clear();
        self.buffer = buffer;
        result
    }

    fn write(&mut self, bytes: &[u8]) -> io::Result<()> {
        self.sink.write_at(self.flushed, bytes)?;
        self.flushed += bytes.len() as u64;
        self.written = self.written.max(self.flushed);
        Ok(())
    }

    /// Appends zeros: as a hole where that pays and the sink has nothing yet.
    fn zeros(&mut self, count: u64) -> io::Result<()> {
        const ZEROS: [u8; 4096] = [0; 4096];
        let end = self.position() + count;
        if count >= SHORTEST_HOLE && end > self.written {
            let stale = self.written.saturating_sub(self.position());
            self.zeros_written(stale, &ZEROS)?;
            self.flush()?;
            self.flushed = end;
            return Ok(());
        }
        self.zeros_written(count, &ZEROS)
    }

    fn zeros_written(&mut self, mut count: u64, zeros: &[u8]) -> io::Result<()> {
        while count > 0 {
            let now = count.min(zeros.len() as u64);
            self.put(&zeros[..now as usize])?;
            count -= now;
        }
        Ok(())
    }

    /// Goes back to `start`, forgetting what was appended since.
    fn rewind(&mut self, start: u64) {
        if start >= self.flushed {
            self.buffer.truncate((start - self.flushed) as usize);
        } else {
            self.buffer.clear();
            self.flushed = start;
        }
    }
}

fn sorted_footer(places: &HashMap<ContentDigest, Place>) -> Vec<u8> {
    let mut sorted: Vec<_> = places.iter().collect();
    sorted.sort_unstable_by_key(|(digest, _)| **digest);
    let mut footer = Vec::with_capacity(sorted.len() * RECORD);
    for (digest, place) in sorted {
        footer.extend_from_slice(&digest.0);
        footer.extend_from_slice(&place.offset.to_le_bytes());
        footer.extend_from_slice(&place.length.to_le_bytes());
    }
    footer
}

/// A content being appended; dropped without [`Appending::record`] it stays in the pack as unnamed bytes, so call
/// [`Appending::take_back`] instead.
pub(crate) struct Appending<'a, S> {
    pack: &'a mut PackWriter<S>,
    start: u64,
}

impl<S: PackSink> Appending<'_, S> {
    /// Appends bytes of the content.
    pub(crate) fn put(&mut self, bytes: &[u8]) -> io::Result<()> {
        self.pack.put(bytes)
    }

    /// Appends a hole.
    pub(crate) fn hole(&mut self, length: u64) -> io::Result<()> {
        self.pack.zeros(length)
    }

    /// Whether the pack has a content with this digest.
    pub(crate) fn is_known(&self, digest: &ContentDigest) -> bool {
        self.pack.find(digest).is_some()
    }

    /// Keeps the content under its digest. If the pack has it already, the new copy is taken back.
    pub(crate) fn record(self, digest: ContentDigest) -> Place {
        if let Some(place) = self.pack.find(&digest) {
            self.take_back();
            return place;
        }
        let place = Place { offset: self.start, length: self.pack.position() - self.start };
        self.pack.places.insert(digest, place);
        place
    }

    /// Removes the content again.
    pub(crate) fn take_back(self) {
        self.pack.rewind(self.start);
    }
}

#[cfg(test)]
mod tests {
    use super::super::{PackFooter, TRAILER_LENGTH};
    use super::*;

    /// A file in memory that knows which bytes were written.
    #[derive(Default)]
    struct File {
        bytes: Vec<u8>,
        touched: u64,
    }

    impl PackSink for File {
        fn write_at(&mut self, offset: u64, bytes: &[u8]) -> io::Result<()> {
            let end = offset as usize + bytes.len();
            self.bytes.resize(self.bytes.len().max(end), 0);
            self.bytes[offset as usize..end].copy_from_slice(bytes);
            self.touched += bytes.len() as u64;
            Ok(())
        }

        fn set_len(&mut self, length: u64) -> io::Result<()> {
            self.bytes.resize(length as usize, 0);
            Ok(())
        }
    }

    fn content(number: u32, length: usize) -> Vec<u8> {
        number.to_le_bytes().iter().copied().cycle().take(length).collect()
    }

    #[test]
    fn contents_are_found_where_the_footer_says() {
        let mut pack = PackWriter::new(PackId([1; 16]), File::default());
        let contents: Vec<_> = (0..3000).map(|number| content(number + 1, 1 + number as usize * 41)).collect();
        for content in contents.iter().chain(&contents[..50]) {
            pack.store(ContentDigest::of(content), content).unwrap();
        }
        let (summary, file) = pack.finish().unwrap();
        assert_eq!((summary.count, summary.file_length), (3000, file.bytes.len() as u64));
        assert_eq!(summary.file_length % 512, 0);
        let footer = PackFooter::parse(summary.file_length, &file.bytes[summary.data_length as usize..]).unwrap();
        footer.verify().unwrap();
        assert_eq!(footer.trailer().footer_digest, summary.footer_digest);
        for content in &contents {
            let place = footer.find(&ContentDigest::of(content)).unwrap();
            assert_eq!(place.offset % if content.len() >= 64 << 10 { 4096 } else { 512 }, 0);
            assert!(&file.bytes[place.offset as usize..][..place.length as usize] == content);
        }
        assert_eq!(footer.find(&ContentDigest::of(b"no such content")), None);
        assert_eq!(footer.find(&ContentDigest([0; 32])), None);
        assert_eq!(footer.find(&ContentDigest([255; 32])), None);
        assert_eq!(footer.iter().count(), 3000);
    }

    #[test]
    fn holes_stay_holes_but_never_show_what_was_taken_back() {
        let mut pack = PackWriter::new(PackId([1; 16]), File::default());
        let taken = content(7, 5 << 20);
        let mut appending = pack.append(taken.len() as u64).unwrap();
        appending.put(&taken).unwrap();
        appending.take_back();
        let mut appending = pack.append(64 << 20).unwrap();
        appending.put(b"start").unwrap();
        appending.hole((64 << 20) - 8).unwrap();
        appending.put(b"end").unwrap();
        let place = appending.record(ContentDigest([5; 32]));
        assert_eq!(place, Place { offset: 0, length: 64 << 20 });
        let (summary, file) = pack.finish().unwrap();
        let mut expected = vec![0; 64 << 20];
        expected[..5].copy_from_slice(b"start");
        expected[(64 << 20) - 3..].copy_from_slice(b"end");
        assert!(file.bytes[..64 << 20] == expected);
        assert!(file.touched < 12 << 20, "{} bytes written", file.touched);
        assert_eq!(summary.count, 1);
    }

    #[test]
    fn the_end_of_a_pack_is_cut_where_content_was_taken_back() {
        let mut pack = PackWriter::new(PackId([1; 16]), File::default());
        let mut appending = pack.append(3 << 20).unwrap();
        appending.put(&content(7, 3 << 20)).unwrap();
        appending.take_back();
        let (summary, file) = pack.finish().unwrap();
        assert_eq!((summary.count, summary.data_length, file.bytes.len()), (0, 0, 512));
        let footer = PackFooter::parse(512, &file.bytes).unwrap();
        footer.verify().unwrap();
        assert!(footer.is_empty() && footer.find(&ContentDigest([0; 32])).is_none());
    }

    #[test]
    fn damaged_packs_are_refused() {
        let mut pack = PackWriter::new(PackId([1; 16]), File::default());
        pack.store(ContentDigest::of(b"a"), b"a").unwrap();
        pack.store(ContentDigest::of(b"b"), b"b").unwrap();
        let (summary, file) = pack.finish().unwrap();
        let (length, bytes) = (summary.file_length, file.bytes);
        assert!(PackFooter::parse(length, &bytes).unwrap().verify().is_ok());
        assert!(PackFooter::parse(length - 512, &bytes[..bytes.len() - 512]).is_err());
        assert!(PackFooter::parse(length + 512, &bytes).is_err());
        assert!(PackFooter::parse(length, &bytes[bytes.len() - TRAILER_LENGTH..]).is_err());
        assert!(PackFooter::parse(length, &[]).is_err());
        for position in summary.data_length as usize..bytes.len() {
            let mut damaged = bytes.clone();
            damaged[position] ^= 1;
            let verified = PackFooter::parse(length, &damaged).and_then(|footer| footer.verify());
            let padding = (summary.data_length as usize + 96..bytes.len() - TRAILER_LENGTH).contains(&position);
            assert_eq!(verified.is_ok(), padding, "byte {position}");
        }
    }
}
