//! The tar being read, as one buffer that slides over the stream.

use std::io::{self, Read};

use strata_model::{Algorithm, Digest, Hasher};

use crate::error::LayerError;

/// Largest number of bytes that can be looked at in one piece.
pub(crate) const WINDOW: usize = 1 << 20;
/// Bytes asked of the reader at once: hashed while they are still in the processor's cache.
const READ_SIZE: usize = 256 << 10;

/// Buffers a stream, counts and hashes it, and shows its next bytes without copying them.
pub(crate) struct Input<R> {
    reader: R,
    buffer: Vec<u8>,
    start: usize,
    end: usize,
    /// Offset in the stream of the byte at `start`.
    offset: u64,
    limit: u64,
    hasher: Option<Hasher>,
    ended: bool,
}

impl<R: Read> Input<R> {
    /// Reads at most `limit` bytes; hashes them if `hashed`.
    pub(crate) fn new(reader: R, limit: u64, hashed: bool) -> Input<R> {
        let hasher = hashed.then(|| Hasher::new(Algorithm::Sha256));
        let buffer = vec![0; WINDOW + READ_SIZE];
        Input { reader, buffer, start: 0, end: 0, offset: 0, limit, hasher, ended: false }
    }

    /// Offset in the stream of the next byte.
    pub(crate) fn offset(&self) -> u64 {
        self.offset
    }

    /// The next bytes: at least `wanted` (at most [`WINDOW`]), or all that are left.
    pub(crate) fn peek(&mut self, wanted: usize) -> Result<&[u8], LayerError> {
        debug_assert!(wanted <= WINDOW);
        while self.end - self.start < wanted && !self.ended {
            self.fill(wanted)?;
        }
        Ok(&self.buffer[self.start..self.end])
    }

    /// The next bytes, as they are in the buffer, without a read; see [`Input::peek`].
    pub(crate) fn buffered(&self) -> &[u8] {
        &self.buffer[self.start..self.end]
    }

    /// Steps over bytes that were seen.
    pub(crate) fn consume(&mut self, count: usize) {
        debug_assert!(count <= self.end - self.start);
        self.start += count;
        self.offset += count as u64;
    }

    /// The digest of the whole stream, if it was to be hashed; call at the end.
    pub(crate) fn finish(self) -> Option<Digest> {
        self.hasher.map(Hasher::finish)
    }

    fn fill(&mut self, wanted: usize) -> Result<(), LayerError> {
        if self.start == self.end {
            (self.start, self.end) = (0, 0);
        } else if self.buffer.len() - self.start < wanted {
            self.buffer.copy_within(self.start..self.end, 0);
            (self.start, self.end) = (0, self.end - self.start);
        }
        let room = (self.end + READ_SIZE).min(self.buffer.len());
        let count = match self.reader.read(&mut self.buffer[self.end..room]) {
            Ok(count) => count,
            Err(cause) if cause.kind() == io::ErrorKind::Interrupted => return Ok(()),
            Err(cause) => return Err(LayerError::Read { offset: self.read_so_far(), cause }),
        };
        if let Some(hasher) = &mut self.hasher {
            hasher.update(&self.buffer[self.end..self.end + count]);
        }
        self.end += count;
        self.ended = count == 0;
        if self.read_so_far() > self.limit {
            return Err(LayerError::Limit { offset: self.offset, what: "size of the tar", limit: self.limit });
        }
        Ok(())
    }

    fn read_so_far(&self) -> u64 {
        self.offset + (self.end - self.start) as u64
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Gives a few bytes at a time.
    struct Trickle<'a>(&'a [u8]);

    impl Read for Trickle<'_> {
        fn read(&mut self, buffer: &mut [u8]) -> io::Result<usize> {
            let count = self.0.len().min(buffer.len()).min(7);
            let (now, later) = self.0.split_at(count);
            buffer[..count].copy_from_slice(now);
            self.0 = later;
            Ok(count)
        }
    }

    #[test]
    fn the_window_slides_over_the_stream() {
        let stream: Vec<u8> = (0..3_000_000u32).map(|number| (number * 7 % 251) as u8).collect();
        let mut input = Input::new(&stream[..], u64::MAX, true);
        let mut seen = Vec::new();
        for step in [1, 512, WINDOW, 100, WINDOW, 3, WINDOW] {
            let bytes = input.peek(step).unwrap();
            let count = step.min(bytes.len());
            seen.extend_from_slice(&bytes[..count]);
            input.consume(count);
            assert_eq!(input.offset(), seen.len() as u64);
        }
        assert!(input.peek(1).unwrap().is_empty());
        assert!(seen == stream);
        assert_eq!(input.finish(), Some(Digest::of(&stream)));
    }

    #[test]
    fn short_reads_are_gathered_and_the_limit_holds() {
        let mut input = Input::new(Trickle(&[1; 1000]), 1000, false);
        assert_eq!(input.peek(512).unwrap().len(), 518);
        assert_eq!(input.peek(1001).unwrap().len(), 1000);
        let mut input = Input::new(Trickle(&[1; 1001]), 1000, false);
        assert!(matches!(input.peek(1001), Err(LayerError::Limit { .. })));
    }
}
