//! The index file: all that is known of a layer besides its contents.
//!
//! ```text
//! header      224 bytes, see below
//! entries     zstd (or plain): packs, then every entry; form: module `records`
//! skeleton    number of bytes of the cuts, cuts, zstd of the raw bytes; form: module `skeleton`
//!
//! header:     magic "STRALAYR" · version u32 · algorithm of the diff ID u32 · diff ID 64, zero padded
//!             · size of the tar u64 · size of the contents u64
//!             · per section: stored length u64, length before compression u64, BLAKE3 of the stored bytes 32
//!             · BLAKE3 of the header up to here 32
//! ```
//! All numbers are little-endian. The skeleton comes last, so that whoever only wants entries need not read it. A file
//! never changes once it is written. Decoding allocates at most in proportion to the file: a section that compresses
//! better than 256 to 1 is stored as it is.

use strata_model::{Algorithm, DiffId, Digest};

use crate::entry::LayerIndex;
use crate::error::LayerError;
use crate::records;
use crate::skeleton::Skeleton;
use crate::varint::{self, Bytes};

/// First bytes of an index file.
pub const INDEX_MAGIC: &[u8; 8] = b"STRALAYR";
const VERSION: u32 = 1;
/// Length of the header in bytes.
pub const INDEX_HEADER_LENGTH: usize = 224;
/// Largest entries section before compression, in bytes.
const ENTRIES_LIMIT: u64 = 4 << 30;
/// Most that an entries section may grow by decompression.
const RATIO: u64 = 256;
const LEVEL: i32 = 3;

/// The bytes of an index file.
///
/// # Errors
/// [`LayerError::WriteIndex`] when there are more entries than the format takes (4 GiB of records).
pub fn encode_index(index: &LayerIndex, skeleton: &Skeleton) -> Result<Vec<u8>, LayerError> {
    let plain = records::encode(index);
    if plain.len() as u64 > ENTRIES_LIMIT {
        return Err(LayerError::WriteIndex("the entries exceed 4 GiB"));
    }
    let compressed =
        zstd::bulk::compress(&plain, LEVEL).map_err(|_| LayerError::WriteIndex("the entries cannot be compressed"))?;
    let pays = compressed.len() < plain.len() && plain.len() as u64 <= compressed.len() as u64 * RATIO;
    let entries = if pays { &compressed } else { &plain };

    let mut cuts_length = Vec::new();
    varint::put(&mut cuts_length, skeleton.cuts.len() as u64);
    let skeleton_length = cuts_length.len() + skeleton.cuts.len() + skeleton.compressed.len();

    let mut file = Vec::with_capacity(INDEX_HEADER_LENGTH + entries.len() + skeleton_length);
    file.resize(INDEX_HEADER_LENGTH, 0);
    file.extend_from_slice(entries);
    file.extend_from_slice(&cuts_length);
    file.extend_from_slice(&skeleton.cuts);
    file.extend_from_slice(&skeleton.compressed);

    let (stored_entries, stored_skeleton) = file[INDEX_HEADER_LENGTH..].split_at(entries.len());
    let header = Header {
        diff_id: index.diff_id,
        tar_size: index.tar_size,
        content_size: index.content_size,
        entries: Section::of(stored_entries, plain.len() as u64),
        skeleton: Section::of(stored_skeleton, skeleton.raw_size),
    };
    let header = header.encode();
    file[..INDEX_HEADER_LENGTH].copy_from_slice(&header);
    Ok(file)
}

/// The entries in an index file. `file` may end before the skeleton, see [`length_without_skeleton`].
///
/// # Errors
/// [`LayerError::Index`] when it is damaged or malformed, [`LayerError::IndexVersion`] when it is of another time.
pub fn decode_index(file: &[u8]) -> Result<LayerIndex, LayerError> {
    let header = Header::parse(file)?;
    let stored = header.entries.slice(&file[INDEX_HEADER_LENGTH..])?;
    let (length, stored_length) = (header.entries.length, header.entries.stored_length);
    if length == stored_length {
        return records::decode(stored, &header);
    }
    if length > ENTRIES_LIMIT || length > stored_length.saturating_mul(RATIO) {
        return Err(LayerError::Index("the entries grow too much by decompression"));
    }
    match zstd::bulk::decompress(stored, length as usize) {
        Ok(plain) if plain.len() as u64 == length => records::decode(&plain, &header),
        _ => Err(LayerError::Index("the entries cannot be decompressed")),
    }
}

/// The skeleton in an index file.
///
/// # Errors
/// Like [`decode_index`].
pub fn decode_skeleton(file: &[u8]) -> Result<Skeleton, LayerError> {
    const MALFORMED: LayerError = LayerError::Index("the skeleton is malformed");
    let header = Header::parse(file)?;
    let start = header.skeleton_start().and_then(|start| usize::try_from(start).ok());
    let rest = start.and_then(|start| file.get(start..)).ok_or(TOO_SHORT)?;
    let stored = header.skeleton.slice(rest)?;
    if stored.len() != rest.len() {
        return Err(LayerError::Index("bytes follow the end"));
    }
    let mut bytes = Bytes(stored);
    let cuts_length = bytes.narrow().ok_or(MALFORMED)?;
    let cuts = bytes.take(cuts_length).ok_or(MALFORMED)?.to_vec();
    Ok(Skeleton { cuts, compressed: bytes.0.to_vec(), raw_size: header.skeleton.length })
}

/// How many bytes at the start of an index file [`decode_index`] needs, from its first [`INDEX_HEADER_LENGTH`].
///
/// # Errors
/// Like [`decode_index`].
pub fn length_without_skeleton(header: &[u8]) -> Result<u64, LayerError> {
    Header::parse(header)?.skeleton_start().ok_or(TOO_SHORT)
}

const TOO_SHORT: LayerError = LayerError::Index("it is cut off");

pub(crate) struct Header {
    pub(crate) diff_id: DiffId,
    pub(crate) tar_size: u64,
    pub(crate) content_size: u64,
    entries: Section,
    skeleton: Section,
}

impl Header {
    fn encode(&self) -> Vec<u8> {
        let mut header = Vec::with_capacity(INDEX_HEADER_LENGTH);
        header.extend_from_slice(INDEX_MAGIC);
        header.extend_from_slice(&VERSION.to_le_bytes());
        header.extend_from_slice(&algorithm_number(self.diff_id.0.algorithm()).to_le_bytes());
        header.extend_from_slice(self.diff_id.0.raw());
        header.resize(16 + 64, 0);
        header.extend_from_slice(&self.tar_size.to_le_bytes());
        header.extend_from_slice(&self.content_size.to_le_bytes());
        for section in [&self.entries, &self.skeleton] {
            header.extend_from_slice(&section.stored_length.to_le_bytes());
            header.extend_from_slice(&section.length.to_le_bytes());
            header.extend_from_slice(&section.digest);
        }
        let digest = blake3::hash(&header);
        header.extend_from_slice(digest.as_bytes());
        header
    }

    fn parse(file: &[u8]) -> Result<Header, LayerError> {
        let mut bytes = Bytes(file.get(..INDEX_HEADER_LENGTH).ok_or(TOO_SHORT)?);
        if bytes.take(8) != Some(INDEX_MAGIC) {
            return Err(LayerError::Index("it does not start like an index"));
        }
        let version = bytes.u32_le().ok_or(TOO_SHORT)?;
        if version != VERSION {
            return Err(LayerError::IndexVersion(version));
        }
        let (signed, digest) = file[..INDEX_HEADER_LENGTH].split_at(INDEX_HEADER_LENGTH - 32);
        if blake3::hash(signed).as_bytes() != digest {
            return Err(LayerError::Index("the header does not match its checksum"));
        }
        Header::fields(&mut bytes).ok_or(LayerError::Index("the header is malformed"))
    }

    fn fields(bytes: &mut Bytes<'_>) -> Option<Header> {
        let number = bytes.u32_le()?;
        let algorithms = [Algorithm::Sha256, Algorithm::Sha384, Algorithm::Sha512];
        let algorithm = algorithms.into_iter().find(|&algorithm| algorithm_number(algorithm) == number)?;
        let raw = bytes.take(64)?;
        let diff_id = DiffId(Digest::from_raw(algorithm, &raw[..algorithm.length()])?);
        let (tar_size, content_size) = (bytes.u64_le()?, bytes.u64_le()?);
        Some(Header {
            diff_id,
            tar_size,
            content_size,
            entries: Section::parse(bytes)?,
            skeleton: Section::parse(bytes)?,
        })
    }

    fn skeleton_start(&self) -> Option<u64> {
        self.entries.stored_length.checked_add(INDEX_HEADER_LENGTH as u64)
    }
}

fn algorithm_number(algorithm: Algorithm) -> u32 {
    match algorithm {
        Algorithm::Sha256 => 1,
        Algorithm::Sha384 => 2,
        Algorithm::Sha512 => 3,
    }
}

struct Section {
    stored_length: u64,
    length: u64,
    digest: [u8; 32],
}

impl Section {
    fn of(stored: &[u8], length: u64) -> Section {
        Section { stored_length: stored.len() as u64, length, digest: *blake3::hash(stored).as_bytes() }
    }

    fn parse(bytes: &mut Bytes<'_>) -> Option<Section> {
        Some(Section { stored_length: bytes.u64_le()?, length: bytes.u64_le()?, digest: bytes.array()? })
    }

    /// The section at the start of `bytes`, checked.
    fn slice<'a>(&self, bytes: &'a [u8]) -> Result<&'a [u8], LayerError> {
        let stored = usize::try_from(self.stored_length).ok().and_then(|length| bytes.get(..length));
        let stored = stored.ok_or(TOO_SHORT)?;
        if blake3::hash(stored).as_bytes() != &self.digest {
            return Err(LayerError::Index("a section does not match its checksum"));
        }
        Ok(stored)
    }
}
