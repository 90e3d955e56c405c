//! Sparse maps: which ranges of a file the tar holds, in the old GNU form and the PAX forms 0.0, 0.1 and 1.0.

use super::number::{decimal, parse as header_number};
use super::{BLOCK, EXTENSION_LIMIT};
use crate::error::TarProblem;

/// A range of a file's logical bytes.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Range {
    pub(crate) offset: u64,
    pub(crate) length: u64,
}

/// The ranges with data, in order, without overlap; all else up to `size` is a hole.
#[derive(Debug, PartialEq, Eq)]
pub(crate) struct SparseMap {
    pub(crate) ranges: Vec<Range>,
    /// Logical size of the file in bytes.
    pub(crate) size: u64,
}

impl SparseMap {
    /// Checks that the ranges are in order, lie within `size`, and sum up to the bytes that the tar holds.
    pub(crate) fn new(mut ranges: Vec<Range>, size: u64, stored: u64) -> Result<SparseMap, TarProblem> {
        let mut end = 0;
        let mut sum = 0;
        for range in &ranges {
            if range.offset < end {
                return Err(TarProblem::Sparse("ranges overlap or are out of order"));
            }
            end = range.offset.saturating_add(range.length);
            if end > size {
                return Err(TarProblem::Sparse("a range lies beyond the end of the file"));
            }
            sum += range.length;
        }
        if sum != stored {
            return Err(TarProblem::Sparse("ranges do not match the stored size"));
        }
        ranges.retain(|range| range.length > 0);
        Ok(SparseMap { ranges, size })
    }

    /// Bytes that the tar does not hold.
    pub(crate) fn holes(&self) -> u64 {
        self.size - self.ranges.iter().map(|range| range.length).sum::<u64>()
    }

    /// From offsets and lengths in turn (PAX 0.0 and 0.1).
    pub(crate) fn from_pairs(numbers: &[u64], size: u64, stored: u64) -> Result<SparseMap, TarProblem> {
        if !numbers.len().is_multiple_of(2) {
            return Err(TarProblem::Sparse("an offset without a length"));
        }
        let ranges = numbers.chunks_exact(2).map(|pair| Range { offset: pair[0], length: pair[1] }).collect();
        SparseMap::new(ranges, size, stored)
    }
}

/// Adds the entries of an old GNU map: 24 bytes each, ended by one that is all zero.
pub(crate) fn old_entries(fields: &[u8], ranges: &mut Vec<Range>) -> Result<(), TarProblem> {
    const MALFORMED: TarProblem = TarProblem::Sparse("malformed number");
    for entry in fields.chunks_exact(24) {
        if entry[0] == 0 {
            break;
        }
        let number = |field| header_number(field).and_then(|value| u64::try_from(value).ok()).ok_or(MALFORMED);
        ranges.push(Range { offset: number(&entry[..12])?, length: number(&entry[12..])? });
    }
    Ok(())
}

/// Splits a block that continues an old GNU map into its 21 entries and whether another one follows.
pub(crate) fn continuation(block: &[u8; BLOCK]) -> (&[u8], bool) {
    (&block[..504], block[504] != 0)
}

/// Reads a map of format 1.0, which stands before the data, block by block: decimal lines, first the number of entries,
/// then offset and length of each.
#[derive(Default)]
pub(crate) struct MapReader {
    digits: Vec<u8>,
    expected: Option<u64>,
    numbers: Vec<u64>,
    blocks: u64,
}

impl MapReader {
    /// Adds the next block; returns the offsets and lengths in turn once the map is complete (the rest of that block
    /// is padding).
    pub(crate) fn block(&mut self, block: &[u8]) -> Result<Option<Vec<u64>>, TarProblem> {
        self.blocks += 1;
        if self.blocks * BLOCK as u64 > EXTENSION_LIMIT {
            let size = self.blocks * BLOCK as u64;
            return Err(TarProblem::TooLong { what: "sparse map", size, limit: EXTENSION_LIMIT });
        }
        for &byte in block {
            if byte != b'\n' {
                if self.digits.len() == 20 {
                    return Err(TarProblem::Sparse("malformed number"));
                }
                self.digits.push(byte);
                continue;
            }
            let number = decimal(&self.digits).ok_or(TarProblem::Sparse("malformed number"))?;
            self.digits.clear();
            match self.expected {
                None => self.expected = Some(number.checked_mul(2).ok_or(TarProblem::Sparse("malformed number"))?),
                Some(_) => self.numbers.push(number),
            }
            if self.expected == Some(self.numbers.len() as u64) {
                return Ok(Some(std::mem::take(&mut self.numbers)));
            }
        }
        Ok(None)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn maps_are_checked() {
        assert!(SparseMap::from_pairs(&[0, 4, 8, 4], 16, 8).is_ok());
        let map = SparseMap::from_pairs(&[0, 0, 8, 4, 16, 0], 16, 4).unwrap();
        assert_eq!(map.ranges, [Range { offset: 8, length: 4 }]);
        for (numbers, size, stored) in [
            (&[0, 4, 2, 4][..], 16, 8),
            (&[8, 4, 0, 4], 16, 8),
            (&[0, 17], 16, 17),
            (&[u64::MAX, u64::MAX], 16, 0),
            (&[0, 4], 16, 5),
            (&[0, 4, 8], 16, 4),
        ] {
            assert!(SparseMap::from_pairs(numbers, size, stored).is_err(), "{numbers:?}");
        }
    }

    #[test]
    fn a_map_before_the_data_is_read_over_blocks() {
        let mut reader = MapReader::default();
        assert_eq!(reader.block(b"2\n0\n51"), Ok(None));
        assert_eq!(reader.block(b"2\n1024\n512\n\0\0\0"), Ok(Some(vec![0, 512, 1024, 512])));
        assert_eq!(MapReader::default().block(b"0\n\0\0"), Ok(Some(vec![])));
        assert!(MapReader::default().block(b"x\n").is_err());
        assert!(MapReader::default().block(b"111111111111111111111111").is_err());
    }
}
