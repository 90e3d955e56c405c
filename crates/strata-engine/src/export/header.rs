//! Headers of a POSIX tar: a ustar block, before it PAX records for what the block cannot say (pax(1), "pax Header Block"
//! and "ustar Interchange Format").

use strata_layer::{Inode, Kind, Timestamp};

/// Length of a block in bytes.
pub(crate) const BLOCK: usize = 512;

const NAME: usize = 100;
const PREFIX: usize = 155;
/// Largest number in 7 octal digits (owners, devices).
const MAX_SHORT: u64 = 0o7_777_777;
/// Largest number in 11 octal digits (sizes, times).
const MAX_LONG: u64 = 0o77_777_777_777;

/// One member of a tar, without its content.
pub(crate) struct Header<'a> {
    path: Vec<u8>,
    flag: u8,
    link: &'a [u8],
    inode: &'a Inode<'a>,
    size: u64,
}

impl<'a> Header<'a> {
    /// The first name of an inode; the empty path is the root.
    pub(crate) fn of(path: &[u8], inode: &'a Inode<'a>) -> Header<'a> {
        let flag = match inode.kind {
            Kind::Regular | Kind::HardLink => b'0',
            Kind::Symlink => b'2',
            Kind::CharDevice => b'3',
            Kind::BlockDevice => b'4',
            Kind::Directory => b'5',
            Kind::Fifo => b'6',
        };
        let mut path = if path.is_empty() { b".".to_vec() } else { path.to_vec() };
        if inode.kind == Kind::Directory && !path.ends_with(b"/") {
            path.push(b'/');
        }
        Header { path, flag, link: inode.target, inode, size: inode.content.map_or(0, |content| content.size) }
    }

    /// The same for a file whose content is of this length.
    pub(crate) fn with_size(self, size: u64) -> Header<'a> {
        Header { size, ..self }
    }

    /// Another name of a file that came before.
    pub(crate) fn hard_link(path: &[u8], first: &'a [u8], inode: &'a Inode<'a>) -> Header<'a> {
        Header { path: path.to_vec(), flag: b'1', link: first, inode, size: 0 }
    }

    /// The blocks before the content.
    pub(crate) fn blocks(&self) -> Vec<u8> {
        let records = self.records();
        let mut blocks = Vec::with_capacity(BLOCK);
        if !records.is_empty() {
            blocks.extend_from_slice(&extended_header(&self.path, records.len() as u64));
            blocks.extend_from_slice(&records);
            blocks.resize(blocks.len().next_multiple_of(BLOCK), 0);
        }
        blocks.extend_from_slice(&self.ustar());
        blocks
    }

    /// The PAX records, sorted by keyword; empty when the block says it all.
    fn records(&self) -> Vec<u8> {
        let mut records: Vec<(Vec<u8>, Vec<u8>)> = Vec::new();
        let mut add = |keyword: &[u8], value: Vec<u8>| records.push((keyword.to_vec(), value));
        let metadata = &self.inode.metadata;
        if self.flag != b'1' {
            for (name, value) in self.inode.xattrs {
                add(&xattr_keyword(name), value.clone());
            }
        }
        if split_path(&self.path).is_none() {
            add(b"path", self.path.clone());
        }
        if self.link.len() > NAME {
            add(b"linkpath", self.link.to_vec());
        }
        for (keyword, number, limit) in [
            (&b"uid"[..], u64::from(metadata.uid), MAX_SHORT),
            (b"gid", u64::from(metadata.gid), MAX_SHORT),
            (b"size", self.size, MAX_LONG),
        ] {
            if number > limit {
                add(keyword, number.to_string().into_bytes());
            }
        }
        let time_fits = u64::try_from(metadata.mtime.seconds).is_ok_and(|seconds| seconds <= MAX_LONG);
        if !time_fits || (!records.is_empty() && metadata.mtime.nanoseconds > 0) {
            records.push((b"mtime".to_vec(), pax_time(metadata.mtime)));
        }
        records.sort();
        records.iter().flat_map(|(keyword, value)| record(keyword, value)).collect()
    }

    fn ustar(&self) -> [u8; BLOCK] {
        let mut block = [0; BLOCK];
        let metadata = &self.inode.metadata;
        let (prefix, name) = split_path(&self.path).unwrap_or((b"", &self.path[..NAME.min(self.path.len())]));
        put(&mut block, 0, name);
        put(&mut block, 345, prefix);
        octal(&mut block[100..108], u64::from(metadata.mode & 0o7777));
        octal(&mut block[108..116], fitting(u64::from(metadata.uid), MAX_SHORT));
        octal(&mut block[116..124], fitting(u64::from(metadata.gid), MAX_SHORT));
        octal(&mut block[124..136], fitting(self.size, MAX_LONG));
        octal(&mut block[136..148], fitting(u64::try_from(metadata.mtime.seconds).unwrap_or(0), MAX_LONG));
        block[156] = self.flag;
        put(&mut block, 157, &self.link[..NAME.min(self.link.len())]);
        if matches!(self.inode.kind, Kind::CharDevice | Kind::BlockDevice) && self.flag != b'1' {
            device_number(&mut block[329..337], self.inode.device.0);
            device_number(&mut block[337..345], self.inode.device.1);
        }
        seal(&mut block);
        block
    }
}

/// The header block of PAX records; its name is for old readers only.
fn extended_header(path: &[u8], length: u64) -> [u8; BLOCK] {
    let mut block = [0; BLOCK];
    let trimmed = path.strip_suffix(b"/").unwrap_or(path);
    let base = trimmed.rsplit(|byte| *byte == b'/').next().unwrap_or_default();
    let mut name = b"PaxHeaders.0/".to_vec();
    name.extend_from_slice(base);
    name.truncate(NAME);
    put(&mut block, 0, &name);
    octal(&mut block[100..108], 0o644);
    octal(&mut block[108..116], 0);
    octal(&mut block[116..124], 0);
    octal(&mut block[124..136], length);
    octal(&mut block[136..148], 0);
    block[156] = b'x';
    seal(&mut block);
    block
}

fn seal(block: &mut [u8; BLOCK]) {
    put(block, 257, b"ustar\x0000");
    block[148..156].fill(b' ');
    let sum: u64 = block.iter().map(|byte| u64::from(*byte)).sum();
    octal(&mut block[148..155], sum);
}

/// Prefix and name of a path that fits into the two fields.
fn split_path(path: &[u8]) -> Option<(&[u8], &[u8])> {
    if path.len() <= NAME {
        return Some((b"", path));
    }
    // The slash of a directory belongs to its name.
    let slashes = (0..path.len() - 1).filter(|position| path[*position] == b'/');
    let slash = slashes.rev().find(|position| *position <= PREFIX && *position > 0)?;
    (path.len() - slash - 1 <= NAME).then(|| (&path[..slash], &path[slash + 1..]))
}

fn put(block: &mut [u8], at: usize, bytes: &[u8]) {
    block[at..at + bytes.len()].copy_from_slice(bytes);
}

/// A number in octal digits that fill the field but for the NUL at its end.
fn octal(field: &mut [u8], number: u64) {
    let digits = format!("{number:0width$o}", width = field.len() - 1);
    field[..digits.len()].copy_from_slice(digits.as_bytes());
}

/// The number, or 0 where a PAX record has it.
fn fitting(number: u64, limit: u64) -> u64 {
    if number > limit { 0 } else { number }
}

/// Device numbers have no PAX record: what octal digits cannot say is binary, as GNU tar writes it.
fn device_number(field: &mut [u8], number: u32) {
    if u64::from(number) <= MAX_SHORT {
        return octal(field, u64::from(number));
    }
    field.fill(0);
    field[0] = 0x80;
    field[4..].copy_from_slice(&number.to_be_bytes());
}

/// GNU tar's keyword: the two characters that have a meaning in records are written as it writes them.
fn xattr_keyword(name: &[u8]) -> Vec<u8> {
    let mut keyword = b"SCHILY.xattr.".to_vec();
    if !name.contains(&b'=') {
        keyword.extend_from_slice(name);
        return keyword;
    }
    for byte in name {
        match byte {
            b'=' => keyword.extend_from_slice(b"%3D"),
            b'%' => keyword.extend_from_slice(b"%25"),
            other => keyword.push(*other),
        }
    }
    keyword
}

/// `length keyword=value\n`, where the length counts its own digits.
fn record(keyword: &[u8], value: &[u8]) -> Vec<u8> {
    let rest = keyword.len() + value.len() + 3;
    let mut length = rest + 1;
    while length != rest + length.to_string().len() {
        length = rest + length.to_string().len();
    }
    let mut record = format!("{length} ").into_bytes();
    record.extend_from_slice(keyword);
    record.push(b'=');
    record.extend_from_slice(value);
    record.push(b'\n');
    record
}

/// Seconds with as many decimals as are needed.
fn pax_time(time: Timestamp) -> Vec<u8> {
    let nanoseconds = i128::from(time.seconds) * 1_000_000_000 + i128::from(time.nanoseconds);
    let (sign, absolute) = if nanoseconds < 0 { ("-", -nanoseconds) } else { ("", nanoseconds) };
    let text = format!("{sign}{}.{:09}", absolute / 1_000_000_000, absolute % 1_000_000_000);
    text.trim_end_matches('0').trim_end_matches('.').as_bytes().to_vec()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn records_count_their_own_length() {
        for length in [1, 4, 5, 6, 7, 90, 91, 92, 93, 94, 980, 990, 991, 992] {
            let bytes = record(b"k", &vec![b'v'; length]);
            let (count, _) = std::str::from_utf8(&bytes).unwrap().split_once(' ').unwrap();
            assert_eq!(count.parse::<usize>().unwrap(), bytes.len());
        }
    }

    #[test]
    fn times_before_and_after_1970() {
        for (seconds, nanoseconds, text) in
            [(0, 0, "0"), (1, 500_000_000, "1.5"), (-1, 0, "-1"), (-2, 500_000_000, "-1.5"), (10, 1, "10.000000001")]
        {
            assert_eq!(pax_time(Timestamp { seconds, nanoseconds }), text.as_bytes(), "{seconds} {nanoseconds}");
        }
    }

    #[test]
    fn paths_are_split_where_both_parts_fit() {
        let deep = |first: usize, second: usize| [vec![b'a'; first], vec![b'/'], vec![b'b'; second]].concat();
        assert_eq!(split_path(&[b'a'; 100]).unwrap().0, b"");
        assert!(split_path(&[b'a'; 101]).is_none());
        let path = deep(155, 100);
        let (prefix, name) = split_path(&path).unwrap();
        assert_eq!((prefix.len(), name.len()), (155, 100));
        assert!(split_path(&deep(156, 100)).is_none());
        assert!(split_path(&deep(155, 101)).is_none());
        let directory = [vec![b'a'; 120], b"/bin/".to_vec()].concat();
        assert_eq!(split_path(&directory).unwrap().1, b"bin/");
    }
}
