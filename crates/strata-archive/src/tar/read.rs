//! One pass over the members of a tar.

use std::io::{self, Read};

use super::{BLOCK, padding};
use crate::ArchiveError;

/// Largest extended header or long name that is read, in bytes (what Go's reader takes).
const EXTENSION_LIMIT: u64 = 1 << 20;

/// What a member is.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Kind {
    /// A file, whose bytes follow.
    File,
    /// Target relative to the root of the archive.
    HardLink(String),
    /// Target relative to the member's directory.
    SymbolicLink(String),
    /// Directories, devices and what else carries no bytes.
    Other,
}

/// The head of a member; its bytes are read from the [`TarReader`].
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Entry {
    /// As written; bytes that are no UTF-8 are replaced, since documents name members in UTF-8.
    pub path: String,
    /// What it is.
    pub kind: Kind,
    /// Bytes of data.
    pub size: u64,
}

/// Reads members one after the other. Between two calls of [`TarReader::next_entry`] it is the data of the member.
pub struct TarReader<R> {
    input: R,
    offset: u64,
    remaining: u64,
    padding: u64,
    /// Set when the input itself failed or ended within data, so that it can be told from a sink's failure.
    failure: Option<ArchiveError>,
}

/// Fields that an extension gives to the next header.
#[derive(Default)]
struct Extensions {
    path: Option<Vec<u8>>,
    link: Option<Vec<u8>>,
    size: Option<u64>,
    sparse: bool,
}

impl<R: Read> TarReader<R> {
    /// Reads the tar that `input` gives, uncompressed.
    pub fn new(input: R) -> TarReader<R> {
        TarReader { input, offset: 0, remaining: 0, padding: 0, failure: None }
    }

    /// Goes to the next member, past what is left of this one; `None` at the end of the archive.
    ///
    /// # Errors
    /// `Tar`, `Truncated`, `Unsupported`, `Read`.
    pub fn next_entry(&mut self) -> Result<Option<Entry>, ArchiveError> {
        self.skip_rest()?;
        let mut extensions = Extensions::default();
        loop {
            let Some(block) = self.header_block()? else {
                return Ok(None);
            };
            let size = self.header_size(&block)?;
            match block[156] {
                b'x' => {
                    let data = self.extension(size)?;
                    self.pax(&data, &mut extensions)?;
                }
                b'g' => drop(self.extension(size)?),
                b'L' => extensions.path = Some(until_nul(&self.extension(size)?).to_vec()),
                b'K' => extensions.link = Some(until_nul(&self.extension(size)?).to_vec()),
                flag => return self.entry(&block, flag, size, extensions).map(Some),
            }
        }
    }

    /// The failure of the input while a member's data was read, if that is what stopped a reader of it.
    pub fn take_failure(&mut self) -> Option<ArchiveError> {
        self.failure.take()
    }

    fn entry(
        &mut self,
        block: &[u8; BLOCK as usize],
        flag: u8,
        size: u64,
        extensions: Extensions,
    ) -> Result<Entry, ArchiveError> {
        let text = |bytes: &[u8]| String::from_utf8_lossy(bytes).into_owned();
        let path = text(&extensions.path.unwrap_or_else(|| header_path(block)));
        let link = || text(&extensions.link.clone().unwrap_or_else(|| until_nul(&block[157..257]).to_vec()));
        if flag == b'S' || extensions.sparse {
            return Err(ArchiveError::Unsupported { path, feature: "a sparse file" });
        }
        let kind = match flag {
            b'0' | 0 | b'7' if path.ends_with('/') => Kind::Other,
            b'0' | 0 | b'7' => Kind::File,
            b'1' => Kind::HardLink(link()),
            b'2' => Kind::SymbolicLink(link()),
            _ => Kind::Other,
        };
        // Links, devices, directories and pipes have no data, whatever their size field says (as in Go).
        let size = if matches!(flag, b'1'..=b'6') { 0 } else { extensions.size.unwrap_or(size) };
        self.remaining = size;
        self.padding = padding(size);
        Ok(Entry { path, kind, size })
    }

    /// The next header, or `None` after the end mark or at a clean end of the input.
    fn header_block(&mut self) -> Result<Option<[u8; BLOCK as usize]>, ArchiveError> {
        let mut block = [0; BLOCK as usize];
        if !self.fill_block(&mut block)? {
            return Ok(None);
        }
        if block.iter().all(|&byte| byte == 0) {
            return match self.fill_block(&mut block)? {
                true if block.iter().any(|&byte| byte != 0) => Err(self.malformed("data after a zero block")),
                _ => Ok(None),
            };
        }
        let sum = |value: fn(u8) -> i64| -> i64 {
            block.iter().enumerate().map(|(at, &byte)| value(if (148..156).contains(&at) { b' ' } else { byte })).sum()
        };
        let expected = octal(&block[148..156]).and_then(|sum| i64::try_from(sum).ok());
        // Historical tars summed signed bytes.
        if expected != Some(sum(i64::from)) && expected != Some(sum(|byte| i64::from(byte as i8))) {
            return Err(self.malformed("invalid tar header"));
        }
        Ok(Some(block))
    }

    /// Fills a block; `false` when the input ends before its first byte.
    fn fill_block(&mut self, block: &mut [u8]) -> Result<bool, ArchiveError> {
        let mut filled = 0;
        while filled < block.len() {
            match self.input.read(&mut block[filled..]) {
                Ok(0) if filled == 0 => return Ok(false),
                Ok(0) => return Err(ArchiveError::Truncated { offset: self.offset }),
                Ok(count) => {
                    filled += count;
                    self.offset += count as u64;
                }
                Err(error) if error.kind() == io::ErrorKind::Interrupted => {}
                Err(error) => return Err(ArchiveError::Read(error)),
            }
        }
        Ok(true)
    }

    fn header_size(&self, block: &[u8; BLOCK as usize]) -> Result<u64, ArchiveError> {
        let field = &block[124..136];
        let size = if field[0] & 0x80 != 0 { base_256(field) } else { octal(field) };
        size.filter(|&size| size <= i64::MAX as u64).ok_or_else(|| self.malformed("invalid size field"))
    }

    fn extension(&mut self, size: u64) -> Result<Vec<u8>, ArchiveError> {
        if size > EXTENSION_LIMIT {
            return Err(self.malformed("extended header is larger than 1 MiB"));
        }
        self.remaining = size;
        self.padding = padding(size);
        let mut data = Vec::new();
        match self.read_to_end(&mut data) {
            Ok(_) => {}
            Err(error) => return Err(self.take_failure().unwrap_or(ArchiveError::Read(error))),
        }
        self.skip_rest()?;
        Ok(data)
    }

    fn pax(&self, mut data: &[u8], extensions: &mut Extensions) -> Result<(), ArchiveError> {
        while !data.is_empty() {
            let (key, value, rest) = pax_record(data).ok_or_else(|| self.malformed("malformed PAX record"))?;
            data = rest;
            let own = (!value.is_empty()).then(|| value.to_vec());
            match key {
                b"path" => extensions.path = own,
                b"linkpath" => extensions.link = own,
                b"size" if !value.is_empty() => {
                    let size = decimal(value).ok_or_else(|| self.malformed("malformed PAX size"))?;
                    extensions.size = Some(size);
                }
                _ if key.starts_with(b"GNU.sparse.") => extensions.sparse = true,
                _ => {}
            }
        }
        Ok(())
    }

    /// Reads past what is left of the current member and its padding.
    fn skip_rest(&mut self) -> Result<(), ArchiveError> {
        let mut scratch = [0; 16 << 10];
        while self.remaining > 0 {
            if let Err(error) = self.read(&mut scratch)
                && error.kind() != io::ErrorKind::Interrupted
            {
                return Err(self.take_failure().unwrap_or(ArchiveError::Read(error)));
            }
        }
        let count = std::mem::take(&mut self.padding) as usize;
        match self.fill_block(&mut scratch[..count])? {
            false if count > 0 => Err(ArchiveError::Truncated { offset: self.offset }),
            _ => Ok(()),
        }
    }

    fn malformed(&self, problem: &'static str) -> ArchiveError {
        ArchiveError::Tar { offset: self.offset.saturating_sub(BLOCK), problem }
    }
}

impl<R: Read> Read for TarReader<R> {
    fn read(&mut self, buffer: &mut [u8]) -> io::Result<usize> {
        let wanted = buffer.len().min(usize::try_from(self.remaining).unwrap_or(usize::MAX));
        if wanted == 0 {
            return Ok(0);
        }
        match self.input.read(&mut buffer[..wanted]) {
            Ok(0) => {
                self.failure = Some(ArchiveError::Truncated { offset: self.offset });
                Err(io::ErrorKind::UnexpectedEof.into())
            }
            Ok(count) => {
                self.remaining -= count as u64;
                self.offset += count as u64;
                Ok(count)
            }
            Err(error) => {
                if error.kind() != io::ErrorKind::Interrupted {
                    let copy = io::Error::new(error.kind(), error.to_string());
                    self.failure = Some(ArchiveError::Read(copy));
                }
                Err(error)
            }
        }
    }
}

fn until_nul(field: &[u8]) -> &[u8] {
    field.split(|&byte| byte == 0).next().unwrap_or_default()
}

fn header_path(block: &[u8; BLOCK as usize]) -> Vec<u8> {
    let name = until_nul(&block[..100]);
    // Only POSIX headers have a prefix; GNU ones have times there.
    let prefix = if &block[257..263] == b"ustar\0" { until_nul(&block[345..500]) } else { &[] };
    if prefix.is_empty() { name.to_vec() } else { [prefix, b"/", name].concat() }
}

fn octal(field: &[u8]) -> Option<u64> {
    let digits = field.trim_ascii_start();
    let digits = digits.split(|byte| matches!(byte, 0 | b' ')).find(|part| !part.is_empty()).unwrap_or_default();
    digits.iter().try_fold(0u64, |value, digit| match digit {
        b'0'..=b'7' if value < 1 << 60 => Some(value << 3 | u64::from(digit - b'0')),
        _ => None,
    })
}

/// A positive number in base 256; the first bit is only the mark.
fn base_256(field: &[u8]) -> Option<u64> {
    let first = u64::from(field[0] & 0x7f);
    field[1..].iter().try_fold(first, |value, &byte| value.checked_mul(256)?.checked_add(u64::from(byte)))
}

fn decimal(digits: &[u8]) -> Option<u64> {
    let value: u64 = std::str::from_utf8(digits).ok()?.parse().ok()?;
    (value <= i64::MAX as u64).then_some(value)
}

/// Splits off the record `length key=value\n`: key, value, rest.
fn pax_record(data: &[u8]) -> Option<(&[u8], &[u8], &[u8])> {
    let space = data.iter().take(20).position(|&byte| byte == b' ')?;
    let length = usize::try_from(decimal(&data[..space])?).ok()?;
    if length <= space + 1 || length > data.len() || data[length - 1] != b'\n' {
        return None;
    }
    let record = &data[space + 1..length - 1];
    let equals = record.iter().position(|&byte| byte == b'=')?;
    Some((&record[..equals], &record[equals + 1..], &data[length..]))
}
