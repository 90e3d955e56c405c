//! Reading a pack's footer, usually from mapped memory.

use super::{BLOCK, MAGIC, Place, RECORD, TRAILER_LENGTH, VERSION};
use crate::entry::ContentDigest;
use crate::error::LayerError;
use crate::varint::Bytes;

/// The last bytes of a pack: where its footer is and which digest it has.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct PackTrailer {
    /// Number of contents.
    pub count: u64,
    /// Start of the footer, which is the end of the contents; a multiple of 512.
    pub footer_offset: u64,
    /// BLAKE3 of the footer.
    pub footer_digest: [u8; 32],
}

impl PackTrailer {
    /// Reads the trailer of a pack of `file_length` bytes from its last [`TRAILER_LENGTH`] bytes.
    ///
    /// # Errors
    /// [`LayerError::Pack`] when it is not a trailer, of another version, or does not fit the length of the file, as
    /// after a truncation.
    pub fn parse(file_length: u64, trailer: &[u8]) -> Result<PackTrailer, LayerError> {
        const SHORT: LayerError = LayerError::Pack("the trailer is too short");
        let trailer: &[u8; TRAILER_LENGTH] = trailer.try_into().map_err(|_| SHORT)?;
        let mut bytes = Bytes(trailer);
        if bytes.take(8) != Some(MAGIC) {
            return Err(LayerError::Pack("it does not end like a pack"));
        }
        if bytes.u64_le() != Some(u64::from(VERSION)) {
            return Err(LayerError::Pack("the version is not supported"));
        }
        let count = bytes.u64_le().ok_or(SHORT)?;
        let footer_offset = bytes.u64_le().ok_or(SHORT)?;
        let parsed = PackTrailer { count, footer_offset, footer_digest: bytes.array().ok_or(SHORT)? };
        if !footer_offset.is_multiple_of(BLOCK) || parsed.file_length() != Some(file_length) {
            return Err(LayerError::Pack("the trailer does not fit the length of the file"));
        }
        Ok(parsed)
    }

    /// Length of the footer in bytes.
    pub fn footer_length(&self) -> u64 {
        self.count * RECORD as u64
    }

    /// Length of the whole file; `None` for numbers that cannot be.
    pub(super) fn file_length(&self) -> Option<u64> {
        let footer = self.count.checked_mul(RECORD as u64)?;
        let end = self.footer_offset.checked_add(footer)?.checked_add(TRAILER_LENGTH as u64)?;
        end.checked_next_multiple_of(BLOCK)
    }

    pub(super) fn encode(&self) -> [u8; TRAILER_LENGTH] {
        let mut trailer = [0; TRAILER_LENGTH];
        trailer[..8].copy_from_slice(MAGIC);
        trailer[8..12].copy_from_slice(&VERSION.to_le_bytes());
        trailer[16..24].copy_from_slice(&self.count.to_le_bytes());
        trailer[24..32].copy_from_slice(&self.footer_offset.to_le_bytes());
        trailer[32..].copy_from_slice(&self.footer_digest);
        trailer
    }
}

/// A pack's sorted table of contents over borrowed bytes.
#[derive(Clone, Copy)]
pub struct PackFooter<'a> {
    records: &'a [[u8; RECORD]],
    trailer: PackTrailer,
}

impl<'a> PackFooter<'a> {
    /// The footer at the end of `tail`: the last bytes of a pack of `file_length` bytes, any number of them that reaches
    /// back to the footer's start, so also the whole file. Only the trailer is looked at: this is constant time.
    pub fn parse(file_length: u64, tail: &'a [u8]) -> Result<PackFooter<'a>, LayerError> {
        const SHORT: LayerError = LayerError::Pack("the footer is cut off");
        let trailer_start = tail.len().checked_sub(TRAILER_LENGTH).ok_or(SHORT)?;
        let trailer = PackTrailer::parse(file_length, &tail[trailer_start..])?;
        let from_end = usize::try_from(file_length - trailer.footer_offset).map_err(|_| SHORT)?;
        let start = tail.len().checked_sub(from_end).ok_or(SHORT)?;
        PackFooter::new(trailer, &tail[start..start + trailer.footer_length() as usize])
    }

    /// The footer that `trailer` speaks of; `bytes` are [`PackTrailer::footer_length`] many.
    pub fn new(trailer: PackTrailer, bytes: &'a [u8]) -> Result<PackFooter<'a>, LayerError> {
        let (records, rest) = bytes.as_chunks();
        if records.len() as u64 != trailer.count || !rest.is_empty() {
            return Err(LayerError::Pack("the footer is cut off"));
        }
        Ok(PackFooter { records, trailer })
    }

    /// The trailer.
    pub fn trailer(&self) -> PackTrailer {
        self.trailer
    }

    /// Number of contents.
    pub fn len(&self) -> usize {
        self.records.len()
    }

    /// Whether there are no contents.
    pub fn is_empty(&self) -> bool {
        self.records.is_empty()
    }

    /// Where the content with this digest lies. Digests are uniform, so that interpolation finds it in two or three
    /// probes; after a few more a binary search bounds the time against crafted digests.
    pub fn find(&self, digest: &ContentDigest) -> Option<Place> {
        let wanted = leading(&digest.0);
        let (mut low, mut low_key) = (0, 0);
        let (mut high, mut high_key) = (self.records.len(), u64::MAX);
        for probe in 0.. {
            if low >= high {
                return None;
            }
            let span = high - low;
            let step = match high_key.checked_sub(low_key) {
                Some(keys @ 1..) if probe < 8 => {
                    let ahead = u128::from(wanted.saturating_sub(low_key)) * span as u128 / u128::from(keys);
                    (ahead as usize).min(span - 1)
                }
                _ => span / 2,
            };
            let record = &self.records[low + step];
            let found: &[u8] = &record[..32];
            match found.cmp(&digest.0[..]) {
                std::cmp::Ordering::Equal => return Some(place(record)),
                std::cmp::Ordering::Less => (low, low_key) = (low + step + 1, leading(found)),
                std::cmp::Ordering::Greater => (high, high_key) = (low + step, leading(found)),
            }
        }
        None
    }

    /// All contents, by digest.
    pub fn iter(&self) -> impl ExactSizeIterator<Item = (ContentDigest, Place)> + 'a {
        self.records.iter().map(|record| {
            let mut digest = [0; 32];
            digest.copy_from_slice(&record[..32]);
            (ContentDigest(digest), place(record))
        })
    }

    /// Checks the footer against its digest, its order, and that every place lies among the contents. Does not look at
    /// the contents.
    ///
    /// # Errors
    /// [`LayerError::Pack`] when it is damaged.
    pub fn verify(&self) -> Result<(), LayerError> {
        if blake3::hash(self.records.as_flattened()).as_bytes() != &self.trailer.footer_digest {
            return Err(LayerError::Pack("the footer does not match its digest"));
        }
        if !self.records.is_sorted_by(|one, next| one[..32] < next[..32]) {
            return Err(LayerError::Pack("the footer is not sorted"));
        }
        let lies_within = |place: Place| {
            let end = place.offset.checked_add(place.length);
            place.offset.is_multiple_of(BLOCK) && end.is_some_and(|end| end <= self.trailer.footer_offset)
        };
        if !self.iter().all(|(_, place)| lies_within(place)) {
            return Err(LayerError::Pack("a content lies outside of the pack"));
        }
        Ok(())
    }
}

fn leading(digest: &[u8]) -> u64 {
    digest.first_chunk().map_or(0, |bytes| u64::from_be_bytes(*bytes))
}

fn place(record: &[u8; RECORD]) -> Place {
    let mut bytes = Bytes(&record[32..]);
    Place { offset: bytes.u64_le().unwrap_or_default(), length: bytes.u64_le().unwrap_or_default() }
}
