//! Tars written byte by byte, so that tests can have any that exist in the wild and any that should not.

/// How names, numbers and extras are written.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum TarFormat {
    /// Before POSIX: no magic, names up to 100 bytes.
    V7,
    /// POSIX.1-1988: a prefix for names up to 255 bytes.
    Ustar,
    /// GNU: `L` and `K` members for long names, base-256 for large numbers.
    Gnu,
    /// POSIX.1-2001: extended headers for whatever does not fit ustar, and for extended attributes.
    #[default]
    Pax,
}

impl TarFormat {
    /// All formats.
    pub const ALL: [TarFormat; 4] = [TarFormat::V7, TarFormat::Ustar, TarFormat::Gnu, TarFormat::Pax];
}

/// One member of a tar.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct TarEntry {
    /// Path, any bytes.
    pub path: Vec<u8>,
    /// Type flag, such as `b'0'` for a regular file.
    pub flag: u8,
    /// Target of a link.
    pub link: Vec<u8>,
    /// Permission bits with setuid, setgid and sticky.
    pub mode: u32,
    /// Owner.
    pub uid: u64,
    /// Group.
    pub gid: u64,
    /// Modification time in seconds since 1970.
    pub mtime: u64,
    /// Major and minor number of a device.
    pub device: (u32, u32),
    /// Extended attributes; written in PAX format only.
    pub xattrs: Vec<(String, Vec<u8>)>,
    /// Data that follows the header.
    pub data: Vec<u8>,
    /// The size in the header, when it is not that of the data.
    pub declared_size: Option<u64>,
}

impl TarEntry {
    /// A member of any type, mode 0644, owned by 0:0, of 2020-01-01.
    pub fn new(flag: u8, path: impl AsRef<[u8]>) -> TarEntry {
        TarEntry {
            path: path.as_ref().to_vec(),
            flag,
            link: Vec::new(),
            mode: 0o644,
            uid: 0,
            gid: 0,
            mtime: 1_577_836_800,
            device: (0, 0),
            xattrs: Vec::new(),
            data: Vec::new(),
            declared_size: None,
        }
    }

    /// A regular file.
    pub fn file(path: impl AsRef<[u8]>, data: impl AsRef<[u8]>) -> TarEntry {
        TarEntry { data: data.as_ref().to_vec(), ..TarEntry::new(b'0', path) }
    }

    /// A directory; give the path a trailing slash as writers do.
    pub fn directory(path: impl AsRef<[u8]>) -> TarEntry {
        TarEntry { mode: 0o755, ..TarEntry::new(b'5', path) }
    }

    /// A symbolic link.
    pub fn symbolic_link(path: impl AsRef<[u8]>, target: impl AsRef<[u8]>) -> TarEntry {
        TarEntry { link: target.as_ref().to_vec(), mode: 0o777, ..TarEntry::new(b'2', path) }
    }

    /// A hard link.
    pub fn hard_link(path: impl AsRef<[u8]>, target: impl AsRef<[u8]>) -> TarEntry {
        TarEntry { link: target.as_ref().to_vec(), ..TarEntry::new(b'1', path) }
    }

    /// A character device.
    pub fn character_device(path: impl AsRef<[u8]>, major: u32, minor: u32) -> TarEntry {
        TarEntry { device: (major, minor), ..TarEntry::new(b'3', path) }
    }

    /// A block device.
    pub fn block_device(path: impl AsRef<[u8]>, major: u32, minor: u32) -> TarEntry {
        TarEntry { device: (major, minor), ..TarEntry::new(b'4', path) }
    }

    /// A named pipe.
    pub fn fifo(path: impl AsRef<[u8]>) -> TarEntry {
        TarEntry::new(b'6', path)
    }

    /// A whiteout: `path` is deleted from lower layers.
    pub fn whiteout(path: &str) -> TarEntry {
        let (directory, name) = path.rsplit_once('/').map_or(("", path), |(directory, name)| (directory, name));
        let slash = if directory.is_empty() { "" } else { "/" };
        TarEntry::file(format!("{directory}{slash}.wh.{name}"), "")
    }

    /// An opaque mark: the content that lower layers have in `directory` is hidden.
    pub fn opaque(directory: &str) -> TarEntry {
        TarEntry::file(format!("{}/.wh..wh..opq", directory.trim_end_matches('/')), "")
    }

    /// The same with another mode.
    pub fn mode(self, mode: u32) -> TarEntry {
        TarEntry { mode, ..self }
    }

    /// The same with another owner and group.
    pub fn owner(self, uid: u64, gid: u64) -> TarEntry {
        TarEntry { uid, gid, ..self }
    }

    /// The same with another modification time, in seconds since 1970.
    pub fn mtime(self, mtime: u64) -> TarEntry {
        TarEntry { mtime, ..self }
    }

    /// The same with one more extended attribute.
    pub fn xattr(mut self, name: &str, value: impl AsRef<[u8]>) -> TarEntry {
        self.xattrs.push((name.to_owned(), value.as_ref().to_vec()));
        self
    }

    /// The same with a lie in the size field.
    pub fn declared_size(self, size: u64) -> TarEntry {
        TarEntry { declared_size: Some(size), ..self }
    }
}

/// Writes a tar into memory.
#[derive(Clone, Debug, Default)]
pub struct TarBuilder {
    format: TarFormat,
    bytes: Vec<u8>,
}

impl TarBuilder {
    /// An empty tar.
    pub fn new(format: TarFormat) -> TarBuilder {
        TarBuilder { format, bytes: Vec::new() }
    }

    /// Appends a member.
    ///
    /// # Panics
    /// When the format cannot hold it.
    pub fn entry(mut self, entry: &TarEntry) -> TarBuilder {
        self.append(entry);
        self
    }

    /// Appends members.
    pub fn entries<'a>(mut self, entries: impl IntoIterator<Item = &'a TarEntry>) -> TarBuilder {
        entries.into_iter().for_each(|entry| self.append(entry));
        self
    }

    /// Appends a PAX header (`x` for the next member, `g` for all that follow) with these records.
    pub fn pax(mut self, flag: u8, records: &[(&str, &[u8])]) -> TarBuilder {
        let data: Vec<u8> = records.iter().flat_map(|(key, value)| pax_record(key, value)).collect();
        self.extension(flag, "PaxHeaders.0/entry", &data);
        self
    }

    /// Appends bytes as they are.
    pub fn raw(mut self, bytes: &[u8]) -> TarBuilder {
        self.bytes.extend(bytes);
        self
    }

    /// The tar with its two zero blocks.
    pub fn finish(mut self) -> Vec<u8> {
        self.bytes.resize(self.bytes.len() + 1024, 0);
        self.bytes
    }

    /// The tar without an end.
    pub fn unfinished(self) -> Vec<u8> {
        self.bytes
    }

    fn append(&mut self, entry: &TarEntry) {
        let size = entry.declared_size.unwrap_or(entry.data.len() as u64);
        let (prefix, name) = self.split_name(&entry.path);
        match self.format {
            TarFormat::Gnu => {
                if entry.path.len() > 100 {
                    self.extension(b'L', "././@LongLink", &[&entry.path, &b"\0"[..]].concat());
                }
                if entry.link.len() > 100 {
                    self.extension(b'K', "././@LongLink", &[&entry.link, &b"\0"[..]].concat());
                }
            }
            TarFormat::Pax => self.append_pax_header(entry, size, prefix.len() + name.len() < entry.path.len()),
            TarFormat::V7 | TarFormat::Ustar => {
                assert!(entry.link.len() <= 100 && entry.xattrs.is_empty(), "{:?} cannot hold {entry:?}", self.format);
            }
        }
        let block = self.block(entry, &prefix, &name, size);
        self.bytes.extend(block);
        self.data(&entry.data);
    }

    fn append_pax_header(&mut self, entry: &TarEntry, size: u64, is_long: bool) {
        let mut records = Vec::new();
        if is_long {
            records.extend(pax_record("path", &entry.path));
        }
        if entry.link.len() > 100 {
            records.extend(pax_record("linkpath", &entry.link));
        }
        for (key, value, digits) in [("size", size, 11), ("uid", entry.uid, 7), ("gid", entry.gid, 7)] {
            if value >= 8u64.pow(digits) {
                records.extend(pax_record(key, value.to_string().as_bytes()));
            }
        }
        for (name, value) in &entry.xattrs {
            records.extend(pax_record(&format!("SCHILY.xattr.{name}"), value));
        }
        if !records.is_empty() {
            self.extension(b'x', "PaxHeaders.0/entry", &records);
        }
    }

    /// Prefix and name as they go into the header; cut where an extension has the whole.
    fn split_name(&self, path: &[u8]) -> (Vec<u8>, Vec<u8>) {
        if path.len() <= 100 {
            return (Vec::new(), path.to_vec());
        }
        if self.format == TarFormat::Ustar {
            let fits = |at: &usize| path[*at] == b'/' && *at <= 155 && path.len() - at - 1 <= 100;
            let at = (1..path.len() - 1).find(fits).expect("a path that ustar can split");
            return (path[..at].to_vec(), path[at + 1..].to_vec());
        }
        assert!(self.format != TarFormat::V7, "a path of {} bytes in a V7 tar", path.len());
        (Vec::new(), path[..100].to_vec())
    }

    fn extension(&mut self, flag: u8, name: &str, data: &[u8]) {
        let entry = TarEntry { mtime: 0, ..TarEntry::new(flag, name) };
        let block = self.block(&entry, b"", name.as_bytes(), data.len() as u64);
        self.bytes.extend(block);
        self.data(data);
    }

    fn data(&mut self, data: &[u8]) {
        self.bytes.extend(data);
        self.bytes.resize(self.bytes.len().next_multiple_of(512), 0);
    }

    fn block(&self, entry: &TarEntry, prefix: &[u8], name: &[u8], size: u64) -> [u8; 512] {
        let mut block = [0; 512];
        block[..name.len()].copy_from_slice(name);
        self.number(&mut block[100..108], u64::from(entry.mode));
        self.number(&mut block[108..116], entry.uid);
        self.number(&mut block[116..124], entry.gid);
        self.number(&mut block[124..136], size);
        self.number(&mut block[136..148], entry.mtime);
        block[156] = entry.flag;
        let link = &entry.link[..entry.link.len().min(100)];
        block[157..157 + link.len()].copy_from_slice(link);
        match self.format {
            TarFormat::V7 => {}
            TarFormat::Gnu => block[257..265].copy_from_slice(b"ustar  \0"),
            TarFormat::Ustar | TarFormat::Pax => block[257..265].copy_from_slice(b"ustar\x0000"),
        }
        if self.format != TarFormat::V7 {
            self.number(&mut block[329..337], u64::from(entry.device.0));
            self.number(&mut block[337..345], u64::from(entry.device.1));
        }
        block[345..345 + prefix.len()].copy_from_slice(prefix);
        seal(&mut block);
        block
    }

    /// Octal where it fits; else base-256 in GNU format, and 0 where a PAX record has the value.
    fn number(&self, field: &mut [u8], value: u64) {
        let digits = field.len() - 1;
        let text = format!("{value:0digits$o}");
        if text.len() == digits {
            field[..digits].copy_from_slice(text.as_bytes());
        } else if self.format == TarFormat::Gnu {
            let bytes = value.to_be_bytes();
            let start = field.len() - bytes.len().min(field.len());
            let skip = bytes.len() - bytes.len().min(field.len());
            field[start..].copy_from_slice(&bytes[skip..]);
            field[0] |= 0x80;
        } else {
            field[..digits].fill(b'0');
        }
    }
}

/// Sets the checksum of a header block.
pub fn seal(block: &mut [u8; 512]) {
    block[148..156].fill(b' ');
    let sum: u32 = block.iter().map(|&byte| u32::from(byte)).sum();
    block[148..156].copy_from_slice(format!("{sum:06o}\0 ").as_bytes());
}

/// `length key=value\n`, whose length counts itself.
fn pax_record(key: &str, value: &[u8]) -> Vec<u8> {
    let body = key.len() + value.len() + 3;
    let length = (1..20).map(|digits| body + digits).find(|length| body + length.to_string().len() == *length);
    let mut record = format!("{} {key}=", length.expect("a length below 10^20")).into_bytes();
    record.extend(value);
    record.push(b'\n');
    record
}
