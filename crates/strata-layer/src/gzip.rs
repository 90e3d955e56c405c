//! gzip (RFC 1952) without its CRC-32, for streams that are hashed anyway.
//!
//! The checksum costs a tenth of inflating; a layer's bytes are compared with two SHA-256 digests. Every member of the
//! stream is read, as a decoder of layers must.

use std::io::{self, BufRead, Read};

use flate2::{Decompress, FlushDecompress, Status};

const EXTRA: u8 = 4;
const NAME: u8 = 8;
const COMMENT: u8 = 16;
const HEADER_CHECKSUM: u8 = 2;
const RESERVED: u8 = 0xe0;
/// CRC-32 and length of what a member holds.
const TRAILER_LENGTH: usize = 8;

/// Inflates a gzip stream.
pub(crate) struct Inflater<R> {
    reader: R,
    inflate: Decompress,
    /// Whether a member is being inflated.
    inside: bool,
    ended: bool,
}

impl<R: BufRead> Inflater<R> {
    pub(crate) fn new(reader: R) -> Inflater<R> {
        Inflater { reader, inflate: Decompress::new(false), inside: false, ended: false }
    }

    fn byte(&mut self) -> io::Result<u8> {
        let mut byte = [0];
        self.reader.read_exact(&mut byte)?;
        Ok(byte[0])
    }

    fn skip_text(&mut self) -> io::Result<()> {
        while self.byte()? != 0 {}
        Ok(())
    }

    fn read_header(&mut self) -> io::Result<()> {
        let mut fixed = [0; 10];
        self.reader.read_exact(&mut fixed)?;
        let flags = fixed[3];
        if fixed[..3] != [0x1f, 0x8b, 8] || flags & RESERVED != 0 {
            return Err(io::Error::new(io::ErrorKind::InvalidInput, "invalid gzip header"));
        }
        if flags & EXTRA != 0 {
            let length = u64::from(u16::from_le_bytes([self.byte()?, self.byte()?]));
            if io::copy(&mut self.reader.by_ref().take(length), &mut io::sink())? != length {
                return Err(io::ErrorKind::UnexpectedEof.into());
            }
        }
        if flags & NAME != 0 {
            self.skip_text()?;
        }
        if flags & COMMENT != 0 {
            self.skip_text()?;
        }
        if flags & HEADER_CHECKSUM != 0 {
            self.reader.read_exact(&mut [0; 2])?;
        }
        Ok(())
    }

    /// Inflates into `buffer`; 0 when the member gave nothing more, which may be its end.
    fn inflate_some(&mut self, buffer: &mut [u8]) -> io::Result<usize> {
        loop {
            let input = self.reader.fill_buf()?;
            let at_end = input.is_empty();
            let (read_before, written_before) = (self.inflate.total_in(), self.inflate.total_out());
            let status = self
                .inflate
                .decompress(input, buffer, FlushDecompress::None)
                .map_err(|_| io::Error::new(io::ErrorKind::InvalidData, "corrupt deflate stream"))?;
            let read = (self.inflate.total_in() - read_before) as usize;
            let written = (self.inflate.total_out() - written_before) as usize;
            self.reader.consume(read);
            match status {
                Status::StreamEnd => {
                    self.reader.read_exact(&mut [0; TRAILER_LENGTH])?;
                    self.inside = false;
                    return Ok(written);
                }
                Status::Ok | Status::BufError if written > 0 => return Ok(written),
                Status::Ok | Status::BufError if at_end => return Err(io::ErrorKind::UnexpectedEof.into()),
                Status::Ok | Status::BufError if read == 0 => {
                    return Err(io::Error::new(io::ErrorKind::InvalidData, "corrupt deflate stream"));
                }
                Status::Ok | Status::BufError => {}
            }
        }
    }
}

impl<R: BufRead> Read for Inflater<R> {
    fn read(&mut self, buffer: &mut [u8]) -> io::Result<usize> {
        if buffer.is_empty() {
            return Ok(0);
        }
        while !self.ended {
            if !self.inside {
                if self.reader.fill_buf()?.is_empty() {
                    self.ended = true;
                    break;
                }
                self.read_header()?;
                self.inflate.reset(false);
                self.inside = true;
            }
            let count = self.inflate_some(buffer)?;
            if count > 0 {
                return Ok(count);
            }
        }
        Ok(0)
    }
}

#[cfg(test)]
mod tests {
    use std::io::Write as _;

    use flate2::{Compression, GzBuilder};
    use proptest::prelude::*;

    use super::*;

    fn member(plain: &[u8], level: u32) -> Vec<u8> {
        let mut encoder = GzBuilder::new()
            .filename("a name")
            .comment("a comment")
            .extra(vec![1, 2, 3])
            .write(Vec::new(), Compression::new(level));
        encoder.write_all(plain).unwrap();
        encoder.finish().unwrap()
    }

    fn inflate(compressed: &[u8], buffer: usize) -> io::Result<Vec<u8>> {
        let mut plain = Vec::new();
        Inflater::new(io::BufReader::with_capacity(buffer, compressed)).read_to_end(&mut plain)?;
        Ok(plain)
    }

    #[test]
    fn an_empty_stream_is_empty_and_garbage_is_refused() {
        assert_eq!(inflate(&[], 64).unwrap(), b"");
        assert!(inflate(b"not gzip at all", 64).is_err());
        let mut trailing = member(b"x", 6);
        trailing.extend_from_slice(b"garbage after the end");
        assert!(inflate(&trailing, 64).is_err());
    }

    proptest! {
        #[test]
        fn all_members_come_out(parts in prop::collection::vec((prop::collection::vec(any::<u8>(), 0..3000), 0u32..10), 1..4),
                                buffer in 1usize..200) {
            let compressed: Vec<u8> = parts.iter().flat_map(|(plain, level)| member(plain, *level)).collect();
            let plain: Vec<u8> = parts.iter().flat_map(|(plain, _)| plain.clone()).collect();
            prop_assert_eq!(inflate(&compressed, buffer).unwrap(), plain);
        }

        #[test]
        fn a_stream_that_ends_early_is_an_error(plain in prop::collection::vec(any::<u8>(), 1..3000), cut in 1usize..40) {
            let compressed = member(&plain, 6);
            let kept = compressed.len().saturating_sub(cut).max(1);
            prop_assert!(inflate(&compressed[..kept], 64).is_err());
        }

        #[test]
        fn any_bytes_are_answered(bytes in prop::collection::vec(any::<u8>(), 0..400)) {
            let mut stream = vec![0x1f, 0x8b, 8];
            stream.extend(bytes);
            let _ = inflate(&stream, 32);
        }
    }
}
