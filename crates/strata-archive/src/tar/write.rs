//! Headers of members, computed before anything is written.

use super::{BLOCK, padding};

/// Largest size that twelve octal digits of a ustar header hold.
const LARGEST_OCTAL: u64 = (8 << 30) - 1;

/// What a member's header says; owner and group are always 0.
pub struct Header<'a> {
    /// The member's name.
    pub path: &'a str,
    /// Bytes of data; 0 for directories.
    pub size: u64,
    /// Whether it is a directory.
    pub directory: bool,
    /// Seconds since 1970.
    pub modified: u64,
}

impl Header<'_> {
    /// The header's blocks: ustar, with a PAX header before it when the path or the size does not fit.
    pub fn blocks(&self) -> Vec<u8> {
        let mut records = Vec::new();
        if self.path.len() > 100 {
            pax_record(&mut records, "path", self.path);
        }
        if self.size > LARGEST_OCTAL {
            pax_record(&mut records, "size", &self.size.to_string());
        }
        let mut blocks = Vec::new();
        if !records.is_empty() {
            blocks.extend(block("PaxHeaders.0/member", records.len() as u64, b'x', 0));
            blocks.extend(&records);
            blocks.resize(blocks.len() + padding(records.len() as u64) as usize, 0);
        }
        // A reader that knows no PAX sees a shortened name and, for huge members, an invalid size: never another file.
        let mut end = self.path.len().min(100);
        while !self.path.is_char_boundary(end) {
            end -= 1;
        }
        let flag = if self.directory { b'5' } else { b'0' };
        blocks.extend(block(&self.path[..end], self.size.min(LARGEST_OCTAL), flag, self.modified));
        blocks
    }
}

fn block(name: &str, size: u64, flag: u8, modified: u64) -> [u8; BLOCK as usize] {
    let mut block = [0; BLOCK as usize];
    let mut put = |at: usize, text: &str| block[at..at + text.len()].copy_from_slice(text.as_bytes());
    put(0, name);
    put(100, if flag == b'5' { "0000755" } else { "0000644" });
    put(108, "0000000");
    put(116, "0000000");
    put(124, &format!("{size:011o}"));
    put(136, &format!("{:011o}", modified.min(LARGEST_OCTAL)));
    put(148, "        ");
    put(257, "ustar\x0000");
    put(329, "0000000");
    put(337, "0000000");
    block[156] = flag;
    let sum: u32 = block.iter().map(|&byte| u32::from(byte)).sum();
    block[148..156].copy_from_slice(format!("{sum:06o}\0 ").as_bytes());
    block
}

/// Appends `length key=value\n`, whose length counts itself.
fn pax_record(records: &mut Vec<u8>, key: &str, value: &str) {
    let body = key.len() + value.len() + 3;
    let mut length = body + 1;
    while length != body + length.to_string().len() {
        length = body + length.to_string().len();
    }
    records.extend(format!("{length} {key}={value}\n").as_bytes());
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::tar::{Kind, TarReader};

    #[test]
    fn long_paths_and_huge_sizes_survive() {
        let long = format!("blobs/sha512/{}", "a".repeat(128));
        for (path, size) in [("index.json", 7), (long.as_str(), 0), (long.as_str(), 9 << 30), ("big", u64::MAX >> 1)] {
            let blocks = Header { path, size, directory: false, modified: 0 }.blocks();
            assert_eq!(blocks.len() % BLOCK as usize, 0);
            let entry = TarReader::new(&blocks[..]).next_entry().unwrap().unwrap();
            assert_eq!((entry.path.as_str(), entry.size, entry.kind), (path, size, Kind::File));
        }
    }
}
