//! The 512-byte header block.

use super::{BLOCK, number};
use crate::error::TarProblem;

/// How the fields after the link name are to be read.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Format {
    /// Before POSIX: none of them.
    V7,
    /// POSIX: owner names, device numbers, 155 bytes of name prefix.
    Ustar,
    /// J. Schilling's star: a prefix of 131 bytes, then times.
    Star,
    /// GNU: device numbers, times, sparse map; no prefix.
    Gnu,
}

/// A header block with a valid checksum.
pub(crate) struct Header {
    block: [u8; BLOCK],
    format: Format,
}

impl Header {
    /// Checks the checksum (historical tars summed signed bytes) and tells the format.
    pub(crate) fn parse(block: &[u8; BLOCK]) -> Result<Header, TarProblem> {
        let expected = number::octal(&block[148..156]).ok_or(TarProblem::Checksum)?;
        let outside = || block[..148].iter().chain(&block[156..]);
        let unsigned = outside().map(|&byte| u32::from(byte)).sum::<u32>() + 8 * u32::from(b' ');
        if i64::from(unsigned) != expected {
            let signed = outside().map(|&byte| i32::from(byte as i8)).sum::<i32>() + 8 * i32::from(b' ');
            if i64::from(signed) != expected {
                return Err(TarProblem::Checksum);
            }
        }
        let format = match (&block[257..263], &block[263..265]) {
            (b"ustar\0", _) if &block[508..512] == b"tar\0" => Format::Star,
            (b"ustar\0", _) => Format::Ustar,
            (b"ustar ", b" \0") => Format::Gnu,
            _ => Format::V7,
        };
        Ok(Header { block: *block, format })
    }

    pub(crate) fn format(&self) -> Format {
        self.format
    }

    pub(crate) fn type_flag(&self) -> u8 {
        self.block[156]
    }

    /// Size of the data that follows, in bytes.
    pub(crate) fn size(&self) -> Result<u64, TarProblem> {
        self.number(124..136, "size")
    }

    /// Mode with all its bits, owner, group, modification time.
    pub(crate) fn mode(&self) -> Result<i64, TarProblem> {
        self.signed(100..108, "mode")
    }

    pub(crate) fn uid(&self) -> Result<i64, TarProblem> {
        self.signed(108..116, "uid")
    }

    pub(crate) fn gid(&self) -> Result<i64, TarProblem> {
        self.signed(116..124, "gid")
    }

    pub(crate) fn mtime(&self) -> Result<i64, TarProblem> {
        self.signed(136..148, "mtime")
    }

    /// Major and minor number; 0 where the format has none.
    pub(crate) fn device(&self) -> Result<(u32, u32), TarProblem> {
        if self.format == Format::V7 {
            return Ok((0, 0));
        }
        let number = |range, field| u32::try_from(self.signed(range, field)?).map_err(|_| TarProblem::Number(field));
        Ok((number(329..337, "device major")?, number(337..345, "device minor")?))
    }

    /// Appends the name, with the prefix where the format has one.
    pub(crate) fn name(&self, out: &mut Vec<u8>) {
        let prefix = number::text(self.prefix());
        if !prefix.is_empty() {
            out.extend_from_slice(prefix);
            out.push(b'/');
        }
        out.extend_from_slice(number::text(&self.block[..100]));
    }

    fn prefix(&self) -> &[u8] {
        match self.format {
            Format::V7 => &[],
            Format::Ustar => &self.block[345..500],
            Format::Star => &self.block[345..476],
            // Go before 1.8 wrote ustar prefixes into headers with the GNU magic, over the two times that GNU has there.
            Format::Gnu => {
                let is_time = |field: &[u8]| field[0] == 0 || number::parse(field).is_some();
                let prefix = &self.block[345..500];
                let times = is_time(&prefix[..12]) && is_time(&prefix[12..24]);
                if times || !number::text(prefix).is_ascii() { &[] } else { prefix }
            }
        }
    }

    /// The link name field.
    pub(crate) fn link(&self) -> &[u8] {
        number::text(&self.block[157..257])
    }

    /// The part of an old GNU sparse map that is in the header: its 4 × 24 bytes, whether blocks with more of it
    /// follow, and the logical size.
    pub(crate) fn old_sparse(&self) -> Result<(&[u8], bool, u64), TarProblem> {
        Ok((&self.block[386..482], self.block[482] != 0, self.number(483..495, "logical size")?))
    }

    fn signed(&self, range: std::ops::Range<usize>, field: &'static str) -> Result<i64, TarProblem> {
        number::parse(&self.block[range]).ok_or(TarProblem::Number(field))
    }

    fn number(&self, range: std::ops::Range<usize>, field: &'static str) -> Result<u64, TarProblem> {
        u64::try_from(self.signed(range, field)?).map_err(|_| TarProblem::Number(field))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn block(sum: impl Fn(&[u8; BLOCK]) -> i64) -> [u8; BLOCK] {
        let mut block = [0; BLOCK];
        block[..5].copy_from_slice(b"caf\xe9/");
        block[100..107].copy_from_slice(b"0000755");
        block[156] = b'5';
        block[148..156].fill(b' ');
        let sum = format!("{:06o}\0 ", sum(&block));
        block[148..156].copy_from_slice(sum.as_bytes());
        block
    }

    #[test]
    fn both_checksums_are_taken_and_others_refused() {
        let unsigned = block(|block| block.iter().map(|&byte| i64::from(byte)).sum());
        let signed = block(|block| block.iter().map(|&byte| i64::from(byte as i8)).sum());
        for block in [unsigned, signed] {
            let header = Header::parse(&block).unwrap();
            assert_eq!((header.format(), header.mode(), header.type_flag()), (Format::V7, Ok(0o755), b'5'));
            let mut name = Vec::new();
            header.name(&mut name);
            assert_eq!(name, b"caf\xe9/");
        }
        let mut damaged = unsigned;
        damaged[0] = b'd';
        assert!(matches!(Header::parse(&damaged), Err(TarProblem::Checksum)));
        assert!(matches!(Header::parse(&[0; BLOCK]), Err(TarProblem::Checksum)));
    }
}
