//! Compressed layers as streams: what compression it is, and the bytes inside.
//!
//! A layer's media type is a claim; the first bytes decide. Every decoder reads all members, frames or streams of its
//! input to the end, refuses trailing garbage, and has a bound on its memory. How much comes out is not bounded here:
//! see [`Bounded`].

use std::io::{self, BufRead, BufReader, Read};

use strata_model::Compression;

use crate::gzip::Inflater;

/// Largest window of a zstd frame, as a power of two: 128 MiB.
const ZSTD_WINDOW_LOG: u32 = 27;
/// Memory that the xz decoder may take, in bytes.
const XZ_MEMORY: u64 = 256 << 20;
/// Bytes of compressed input read at once.
const INPUT_BUFFER: usize = 128 << 10;
/// Number of bytes that [`sniff`] wants to see.
pub const SNIFF_LENGTH: usize = 6;

/// Tells the compression by the first bytes of a stream ([`SNIFF_LENGTH`] of them, fewer only if it is shorter).
/// Skippable zstd frames, which zstd:chunked has, count as zstd. Anything unknown is taken for a plain tar.
pub fn sniff(start: &[u8]) -> Compression {
    match start {
        [0x1f, 0x8b, 0x08, ..] => Compression::Gzip,
        [0x28, 0xb5, 0x2f, 0xfd, ..] | [0x50..=0x5f, 0x2a, 0x4d, 0x18, ..] => Compression::Zstd,
        [b'B', b'Z', b'h', ..] => Compression::Bzip2,
        [0xfd, b'7', b'z', b'X', b'Z', 0, ..] => Compression::Xz,
        _ => Compression::None,
    }
}

/// Reads the start of `reader`, tells its compression and gives the uncompressed stream.
///
/// # Errors
/// What `reader` fails with. The returned reader fails with `InvalidData`, `InvalidInput` or `UnexpectedEof` when the
/// compressed bytes are malformed, truncated, or want more memory than a layer's decoder gets.
pub fn decompressor<'a>(reader: impl Read + Send + 'a) -> io::Result<(Compression, Box<dyn Read + Send + 'a>)> {
    open(BufReader::with_capacity(INPUT_BUFFER, reader), Checksums::Checked)
}

/// Like [`decompressor`], but leaves gzip's CRC-32 unchecked: for layers, whose bytes are compared with SHA-256 digests
/// before and after.
///
/// # Errors
/// As [`decompressor`].
pub fn layer_decompressor<'a>(
    reader: impl BufRead + Send + 'a,
) -> io::Result<(Compression, Box<dyn Read + Send + 'a>)> {
    open(reader, Checksums::Ignored)
}

#[derive(Clone, Copy)]
enum Checksums {
    Checked,
    Ignored,
}

fn open<'a>(
    mut reader: impl BufRead + Send + 'a,
    checksums: Checksums,
) -> io::Result<(Compression, Box<dyn Read + Send + 'a>)> {
    let mut start = Vec::with_capacity(SNIFF_LENGTH);
    reader.by_ref().take(SNIFF_LENGTH as u64).read_to_end(&mut start)?;
    let compression = sniff(&start);
    let whole = io::Cursor::new(start).chain(reader);
    let plain: Box<dyn Read + Send + 'a> = match compression {
        Compression::None => Box::new(whole),
        Compression::Gzip => match checksums {
            Checksums::Checked => Box::new(flate2::bufread::MultiGzDecoder::new(whole)),
            Checksums::Ignored => Box::new(Inflater::new(whole)),
        },
        Compression::Zstd => {
            let mut decoder = zstd::stream::read::Decoder::with_buffer(whole)?;
            decoder.window_log_max(ZSTD_WINDOW_LOG)?;
            Box::new(decoder)
        }
        Compression::Bzip2 => Box::new(bzip2::bufread::MultiBzDecoder::new(whole)),
        Compression::Xz => {
            let stream = liblzma::stream::Stream::new_stream_decoder(XZ_MEMORY, liblzma::stream::CONCATENATED)?;
            Box::new(liblzma::bufread::XzDecoder::new_stream(whole, stream))
        }
    };
    Ok((compression, plain))
}

/// A reader that fails once more than its limit has come out of it, against decompression bombs.
pub struct Bounded<R> {
    reader: R,
    limit: u64,
    left: u64,
}

impl<R: Read> Bounded<R> {
    /// Lets `limit` bytes pass.
    pub fn new(reader: R, limit: u64) -> Bounded<R> {
        Bounded { reader, limit, left: limit }
    }
}

impl<R: Read> Read for Bounded<R> {
    /// Like the inner reader's; `InvalidData` when a byte beyond the limit was about to be returned.
    fn read(&mut self, buffer: &mut [u8]) -> io::Result<usize> {
        if buffer.is_empty() {
            return Ok(0);
        }
        if self.left == 0 {
            return match self.reader.read(&mut [0])? {
                0 => Ok(0),
                _ => Err(io::Error::new(
                    io::ErrorKind::InvalidData,
                    format!("uncompressed stream exceeds the limit of {} bytes", self.limit),
                )),
            };
        }
        let wanted = buffer.len().min(usize::try_from(self.left).unwrap_or(usize::MAX));
        let count = self.reader.read(&mut buffer[..wanted])?;
        self.left -= count as u64;
        Ok(count)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::io::Write as _;

    fn fixture(name: &str) -> Vec<u8> {
        let path = format!("{}/../../testdata/compression/{name}", env!("CARGO_MANIFEST_DIR"));
        std::fs::read(&path).unwrap_or_else(|cause| panic!("{path}: {cause}"))
    }

    fn inflate(bytes: &[u8]) -> io::Result<(Compression, Vec<u8>)> {
        let (compression, mut reader) = decompressor(bytes)?;
        let mut plain = Vec::new();
        reader.read_to_end(&mut plain)?;
        Ok((compression, plain))
    }

    const ALL: [(&str, Compression); 5] = [
        ("Hello.uncompressed", Compression::None),
        ("Hello.gz", Compression::Gzip),
        ("Hello.bz2", Compression::Bzip2),
        ("Hello.xz", Compression::Xz),
        ("Hello.zst", Compression::Zstd),
    ];

    #[test]
    fn every_compression_is_told_and_undone() {
        for (name, compression) in ALL {
            assert_eq!(inflate(&fixture(name)).unwrap(), (compression, b"Hello".to_vec()), "{name}");
        }
        assert_eq!(inflate(b"").unwrap(), (Compression::None, vec![]));
        assert_eq!(inflate(b"\x1f\x8b").unwrap(), (Compression::None, b"\x1f\x8b".to_vec()));
    }

    #[test]
    fn all_members_frames_and_streams_are_read() {
        for (name, _) in &ALL[1..] {
            let twice = fixture(name).repeat(2);
            assert_eq!(inflate(&twice).unwrap().1, b"HelloHello", "{name}");
        }
    }

    #[test]
    fn skippable_frames_are_skipped() {
        let frame = fixture("Hello.zst");
        let mut skippable = vec![0x5e, 0x2a, 0x4d, 0x18, 4, 0, 0, 0];
        skippable.extend_from_slice(b"TOC!");
        let all = [&skippable[..], &frame, &skippable, &frame, &skippable].concat();
        assert_eq!(inflate(&all).unwrap(), (Compression::Zstd, b"HelloHello".to_vec()));
    }

    #[test]
    fn truncated_and_trailing_bytes_are_refused() {
        for (name, _) in &ALL[1..] {
            let whole = fixture(name);
            assert!(inflate(&whole[..whole.len() - 1]).is_err(), "{name}");
            assert!(inflate(&[&whole[..], b"garbage beyond the end"].concat()).is_err(), "{name}");
        }
    }

    #[test]
    fn a_window_beyond_the_limit_is_refused() {
        let mut encoder = zstd::stream::write::Encoder::new(Vec::new(), 1).unwrap();
        encoder.window_log(28).unwrap();
        encoder.write_all(&[7; 1000]).unwrap();
        let frame = encoder.finish().unwrap();
        assert!(inflate(&frame).is_err());
    }

    #[test]
    fn a_bomb_ends_with_an_error() {
        let bomb = zstd::encode_all(&vec![0; 1 << 20][..], 1).unwrap();
        let read = |limit| {
            let mut plain = Vec::new();
            Bounded::new(decompressor(&bomb[..]).unwrap().1, limit).read_to_end(&mut plain).map(|_| plain.len())
        };
        assert_eq!(read(1 << 20).unwrap(), 1 << 20);
        assert_eq!(read((1 << 20) - 1).unwrap_err().kind(), io::ErrorKind::InvalidData);
    }
}
