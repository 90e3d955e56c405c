//! The members of a tar one after the other, with what is needed to make files of them.
//!
//! For archives that are unpacked as they come (`cp`), not for layers: nothing is hashed, kept or checked against other
//! members. Names stand as they were written; whoever makes files of them resolves them safely.

use std::io::{self, Read};

use crate::entry::{Kind, Metadata, Xattrs};
use crate::error::{LayerError, TarProblem};
use crate::read::{kind, metadata, xattr_problem};
use crate::tar::header::Header;
use crate::tar::pax::{self, Pax};
use crate::tar::{BLOCK, EXTENSION_LIMIT, NAME_LIMIT, number, padding};

/// One member. Its bytes are read from the [`Members`].
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Member {
    /// Its name as written.
    pub path: Vec<u8>,
    /// What it is.
    pub kind: Kind,
    /// Target of a symbolic link, or name of the member that a hard link is another name of.
    pub link: Vec<u8>,
    /// Owner, mode, time.
    pub metadata: Metadata,
    /// Numbers of a device.
    pub device: (u32, u32),
    /// Extended attributes.
    pub xattrs: Xattrs,
    /// Number of bytes.
    pub size: u64,
}

/// Reads members one after the other; between two calls of [`Members::next_member`] it is the data of the member.
pub struct Members<R> {
    tar: R,
    offset: u64,
    /// Bytes of the member that were not read yet, and of the padding behind them.
    left: u64,
    padding: u64,
}

impl<R: Read> Members<R> {
    /// The members of an uncompressed tar.
    pub fn new(tar: R) -> Members<R> {
        Members { tar, offset: 0, left: 0, padding: 0 }
    }

    /// Goes to the next member, past what is left of this one; `None` at the end of the archive.
    ///
    /// # Errors
    /// [`LayerError::Read`], [`LayerError::Tar`]; sparse files are refused.
    pub fn next_member(&mut self) -> Result<Option<Member>, LayerError> {
        self.skip(self.left + self.padding)?;
        (self.left, self.padding) = (0, 0);
        let (mut long_name, mut long_link, mut pax) = (None, None, Pax::default());
        loop {
            let start = self.offset;
            let at = |problem| LayerError::Tar { offset: start, problem };
            let mut block = [0; BLOCK];
            if !self.block(&mut block)? || block == [0; BLOCK] {
                return Ok(None);
            }
            let header = Header::parse(&block).map_err(at)?;
            let size = header.size().map_err(at)?;
            match header.type_flag() {
                b'L' => long_name = Some(self.name(size, "long name")?),
                b'K' => long_link = Some(self.name(size, "long link name")?),
                b'x' => pax = pax::parse(&self.extension(size, EXTENSION_LIMIT, "extended header")?).map_err(at)?,
                b'g' => drop(self.extension(size, EXTENSION_LIMIT, "global extended header")?),
                _ => return self.member(&header, long_name, long_link, pax).map(Some).map_err(at),
            }
        }
    }

    /// Reads past the end, so that who writes the archive is not cut off.
    ///
    /// # Errors
    /// When the archive cannot be read.
    pub fn drain(&mut self) -> io::Result<()> {
        io::copy(&mut self.tar, &mut io::sink()).map(drop)
    }

    fn member(
        &mut self,
        header: &Header,
        long_name: Option<Vec<u8>>,
        long_link: Option<Vec<u8>>,
        pax: Pax,
    ) -> Result<Member, TarProblem> {
        let path = long_name.or(pax.path.clone()).unwrap_or_else(|| {
            let mut name = Vec::new();
            header.name(&mut name);
            name
        });
        let kind = kind(header.type_flag(), &path)?;
        if header.type_flag() == b'S' || pax.sparse != pax::SparseKeys::default() {
            return Err(TarProblem::Sparse("sparse files are not unpacked"));
        }
        let metadata = metadata(header, &pax)?;
        for (name, value) in &pax.xattrs {
            if let Some(reason) = xattr_problem(name, value) {
                return Err(TarProblem::Xattr { path: String::from_utf8_lossy(&path).into_owned(), reason });
            }
        }
        let size = match kind {
            Kind::Regular => pax.size.map_or_else(|| header.size(), Ok)?,
            _ => 0,
        };
        (self.left, self.padding) = (size, padding(size) as u64);
        let device = match kind {
            Kind::CharDevice | Kind::BlockDevice => header.device()?,
            _ => (0, 0),
        };
        let link = long_link.or(pax.link).unwrap_or_else(|| header.link().to_vec());
        Ok(Member { path, kind, link, metadata, device, xattrs: pax.xattrs, size })
    }

    fn name(&mut self, size: u64, what: &'static str) -> Result<Vec<u8>, LayerError> {
        let mut name = self.extension(size, NAME_LIMIT, what)?;
        name.truncate(number::text(&name).len());
        Ok(name)
    }

    fn extension(&mut self, size: u64, limit: u64, what: &'static str) -> Result<Vec<u8>, LayerError> {
        if size > limit {
            return Err(LayerError::Tar { offset: self.offset, problem: TarProblem::TooLong { what, size, limit } });
        }
        let mut data = vec![0; size as usize];
        if self.fill(&mut data)? < data.len() {
            return Err(self.truncated());
        }
        self.skip(padding(size) as u64)?;
        Ok(data)
    }

    /// Fills a block; `false` when the input ends before its first byte.
    fn block(&mut self, block: &mut [u8; BLOCK]) -> Result<bool, LayerError> {
        match self.fill(block)? {
            0 => Ok(false),
            BLOCK => Ok(true),
            _ => Err(self.truncated()),
        }
    }

    fn fill(&mut self, buffer: &mut [u8]) -> Result<usize, LayerError> {
        let mut filled = 0;
        while filled < buffer.len() {
            match self.tar.read(&mut buffer[filled..]) {
                Ok(0) => break,
                Ok(count) => {
                    filled += count;
                    self.offset += count as u64;
                }
                Err(cause) if cause.kind() == io::ErrorKind::Interrupted => {}
                Err(cause) => return Err(LayerError::Read { offset: self.offset, cause }),
            }
        }
        Ok(filled)
    }

    fn skip(&mut self, count: u64) -> Result<(), LayerError> {
        let skipped = io::copy(&mut self.tar.by_ref().take(count), &mut io::sink())
            .map_err(|cause| LayerError::Read { offset: self.offset, cause })?;
        self.offset += skipped;
        // The last padding may be missing.
        if skipped < count.saturating_sub(self.padding) { Err(self.truncated()) } else { Ok(()) }
    }

    fn truncated(&self) -> LayerError {
        LayerError::Tar { offset: self.offset, problem: TarProblem::Truncated }
    }
}

/// The data of the member.
impl<R: Read> Read for Members<R> {
    fn read(&mut self, buffer: &mut [u8]) -> io::Result<usize> {
        let wanted = self.left.min(buffer.len() as u64) as usize;
        if wanted == 0 {
            return Ok(0);
        }
        let count = self.tar.read(&mut buffer[..wanted])?;
        if count == 0 {
            return Err(io::Error::new(io::ErrorKind::UnexpectedEof, "the archive ends within a file"));
        }
        self.left -= count as u64;
        self.offset += count as u64;
        Ok(count)
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    fn header(name: &[u8], flag: u8, size: u64, link: &[u8]) -> Vec<u8> {
        let mut block = vec![0; BLOCK];
        block[..name.len()].copy_from_slice(name);
        block[100..107].copy_from_slice(b"0000640");
        block[108..115].copy_from_slice(b"0000007");
        block[124..135].copy_from_slice(format!("{size:011o}").as_bytes());
        block[156] = flag;
        block[157..157 + link.len()].copy_from_slice(link);
        block[257..263].copy_from_slice(b"ustar\0");
        block[148..156].fill(b' ');
        let sum: u32 = block.iter().map(|&byte| u32::from(byte)).sum();
        block[148..156].copy_from_slice(format!("{sum:06o}\0 ").as_bytes());
        block
    }

    fn padded(bytes: &[u8]) -> Vec<u8> {
        let mut block = bytes.to_vec();
        block.resize(bytes.len().next_multiple_of(BLOCK), 0);
        block
    }

    #[test]
    fn members_come_with_their_data() {
        let long = "d/".repeat(90) + "f";
        let pax = format!("{} path={long}\n", "191 path=\n".len() + long.len());
        let tar = [
            header(b"d/", b'5', 0, b""),
            header(b"d/one", b'0', 3, b""),
            padded(b"abc"),
            header(b"skipped", b'0', 700, b""),
            padded(&[7; 700]),
            header(b"x", b'x', pax.len() as u64, b""),
            padded(pax.as_bytes()),
            header(b"short", b'0', 1, b""),
            padded(b"z"),
            header(b"link", b'2', 0, b"../x"),
            vec![0; 2 * BLOCK],
        ]
        .concat();
        let mut members = Members::new(tar.as_slice());
        let mut found = Vec::new();
        while let Some(member) = members.next_member().unwrap() {
            let mut data = Vec::new();
            if member.path != b"skipped" {
                members.read_to_end(&mut data).unwrap();
            }
            assert_eq!((member.metadata.mode, member.metadata.uid), (0o640, 7));
            found.push((String::from_utf8(member.path).unwrap(), member.kind, member.link, data));
        }
        let expected = [
            ("d/", Kind::Directory, &b""[..], &b""[..]),
            ("d/one", Kind::Regular, b"", b"abc"),
            ("skipped", Kind::Regular, b"", b""),
            (&long, Kind::Regular, b"", b"z"),
            ("link", Kind::Symlink, b"../x", b""),
        ];
        let expected = expected.map(|(path, kind, link, data)| (path.to_owned(), kind, link.to_vec(), data.to_vec()));
        assert_eq!(found, expected);
    }

    #[test]
    fn what_is_cut_off_is_told() {
        let whole = [header(b"f", b'0', 600, b""), padded(&[1; 600]), header(b"g", b'0', 0, b"")].concat();
        for (length, reads) in [(100, false), (BLOCK, false), (BLOCK + 599, false), (BLOCK + 600, true), (1700, false)]
        {
            let mut members = Members::new(&whole[..length]);
            let outcome = (|| {
                while members.next_member()?.is_some() {}
                Ok::<_, LayerError>(())
            })();
            assert_eq!(outcome.is_ok(), reads, "{length}: {outcome:?}");
        }
    }

    proptest! {
        #![proptest_config(ProptestConfig::with_cases(64))]
        #[test]
        fn any_bytes_end(bytes in proptest::collection::vec(any::<u8>(), 0..4096), flag in any::<u8>(), size in any::<u16>()) {
            let tar = [header(b"name", flag, size.into(), b"link"), bytes].concat();
            let mut members = Members::new(tar.as_slice());
            for _ in 0..32 {
                if !matches!(members.next_member(), Ok(Some(_))) {
                    break;
                }
            }
        }
    }
}
