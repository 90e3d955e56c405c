//! A small reader of EROFS images as [`write_image`](crate::write_image) makes them, for tests and checks.
//!
//! Any bytes may come in: nothing here panics, loops or takes more memory than the image is long. It reads inodes of
//! both sizes, flat and chunk-based data and inline attributes; compressed files and shared attributes are errors.

use std::collections::HashSet;

use strata_layer::{Kind, Metadata, Timestamp, Xattrs};
use strata_model::ErrorKind;

use crate::format::{
    CHUNK_INDEXES, CHUNKED_FILE, DEVICE_SLOT, DEVICE_TABLE, DIRENT_SIZE, EXTENDED, INODE_UNIT, LAYOUT_CHUNKS,
    LAYOUT_INLINE, LAYOUT_PLAIN, MAGIC, SUPERBLOCK, XATTR_HEADER, decode_device, kind_of_mode,
};
use crate::xattr;

/// The bytes are no image, or not one that this reader knows.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
#[error("reading file system image: {0}")]
pub struct ReadError(&'static str);

impl ReadError {
    /// What sort of failure it is.
    pub fn kind(&self) -> ErrorKind {
        ErrorKind::Corrupt
    }
}

/// Number of an inode in its image.
pub type Number = u64;

/// An extra device.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Device {
    /// Its tag without trailing zeros.
    pub tag: Vec<u8>,
    /// Its length in blocks.
    pub blocks: u32,
}

/// An inode.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Inode {
    /// What it is.
    pub kind: Kind,
    /// Mode, owner, time.
    pub metadata: Metadata,
    /// Size in bytes.
    pub size: u64,
    /// Number of names.
    pub links: u32,
    /// Major and minor number of a device.
    pub device: (u32, u32),
    layout: u16,
    union: u32,
    /// Where the attributes lie, and their length.
    xattrs: (u64, usize),
}

/// A name in a directory.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Entry<'a> {
    /// The name.
    pub name: &'a [u8],
    /// The inode it names.
    pub number: Number,
}

/// A piece of a file.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Extent {
    /// Device, counted from 1; 0 is the image itself.
    pub device: u16,
    /// Offset on it in bytes; `None` is a hole.
    pub offset: Option<u64>,
    /// Length in bytes.
    pub length: u64,
}

/// An image in memory.
#[derive(Clone, Copy)]
pub struct Image<'a> {
    bytes: &'a [u8],
    block: u64,
    root: Number,
    metadata: u64,
    devices: (u64, u16),
}

impl<'a> Image<'a> {
    /// Reads the superblock.
    pub fn open(bytes: &'a [u8]) -> Result<Image<'a>, ReadError> {
        let field = |offset| SUPERBLOCK + offset;
        if u32_at(bytes, field(0))? != MAGIC {
            return Err(ReadError("no superblock"));
        }
        let [block_bits] = array_at(bytes, field(12))?;
        if !(9..=16).contains(&block_bits) {
            return Err(ReadError("unknown block size"));
        }
        if u32_at(bytes, field(80))? & !(CHUNKED_FILE | DEVICE_TABLE) != 0 {
            return Err(ReadError("unknown features"));
        }
        let block = 1 << block_bits;
        Ok(Image {
            bytes,
            block,
            root: Number::from(u16_at(bytes, field(14))?),
            metadata: u64::from(u32_at(bytes, field(40))?) * block,
            devices: (u64::from(u16_at(bytes, field(88))?) * DEVICE_SLOT, u16_at(bytes, field(86))?),
        })
    }

    /// The root directory.
    pub fn root(&self) -> Number {
        self.root
    }

    /// Where the table of extra devices ends: [`Image::devices`] reads nothing behind it.
    pub fn devices_end(&self) -> u64 {
        let (start, count) = self.devices;
        start + u64::from(count) * DEVICE_SLOT
    }

    /// The extra devices in their order.
    pub fn devices(&self) -> Result<Vec<Device>, ReadError> {
        let (start, count) = self.devices;
        (0..u64::from(count))
            .map(|position| {
                let slot: [u8; DEVICE_SLOT as usize] = array_at(self.bytes, start + position * DEVICE_SLOT)?;
                let length = slot[..64].iter().rposition(|byte| *byte != 0).map_or(0, |last| last + 1);
                Ok(Device { tag: slot[..length].to_vec(), blocks: u32_at(&slot, 64)? })
            })
            .collect()
    }

    /// An inode.
    pub fn inode(&self, number: Number) -> Result<Inode, ReadError> {
        let offset = self.offset(number)?;
        let bytes = self.bytes.get(offset as usize..).ok_or(END)?;
        let format = u16_at(bytes, 0)?;
        if format >> 4 != 0 {
            return Err(ReadError("unknown inode format"));
        }
        let extended = format & EXTENDED != 0;
        let mode = u16_at(bytes, 4)?;
        let kind = kind_of_mode(mode).ok_or(ReadError("unknown file type"))?;
        let short = |at| u16_at(bytes, at).map(u32::from);
        let (header, size, links, uid, gid, mtime) = if extended {
            let mtime = Timestamp { seconds: u64_at(bytes, 32)? as i64, nanoseconds: u32_at(bytes, 40)? };
            (64, u64_at(bytes, 8)?, u32_at(bytes, 44)?, u32_at(bytes, 24)?, u32_at(bytes, 28)?, mtime)
        } else {
            (32, u64::from(u32_at(bytes, 8)?), short(6)?, short(24)?, short(26)?, Timestamp::default())
        };
        let union = u32_at(bytes, 16)?;
        let device = if matches!(kind, Kind::CharDevice | Kind::BlockDevice) { decode_device(union) } else { (0, 0) };
        Ok(Inode {
            kind,
            metadata: Metadata { mode: mode & 0o7777, uid, gid, mtime },
            size,
            links,
            device,
            layout: format >> 1,
            union,
            xattrs: (offset + header, xattr::size_of_count(u16_at(bytes, 2)?)),
        })
    }

    /// What a directory holds, with both dots, as it lies there.
    pub fn entries(&self, directory: &Inode) -> Result<Vec<Entry<'a>>, ReadError> {
        if directory.kind != Kind::Directory {
            return Err(ReadError("not a directory"));
        }
        let mut entries = Vec::new();
        for block in self.blocks(directory)? {
            let first = usize::from(u16_at(block, 8)?);
            if first == 0 || !first.is_multiple_of(DIRENT_SIZE) || first > block.len() {
                return Err(ReadError("malformed directory"));
            }
            for record in (0..first).step_by(DIRENT_SIZE) {
                let start = usize::from(u16_at(block, record as u64 + 8)?);
                let last = record + DIRENT_SIZE == first;
                let end =
                    if last { block.len() } else { usize::from(u16_at(block, (record + DIRENT_SIZE) as u64 + 8)?) };
                let mut name = block.get(start..end).ok_or(ReadError("malformed directory"))?;
                if last {
                    name = name.split(|byte| *byte == 0).next().unwrap_or(name);
                }
                let number = u64_at(block, record as u64)?;
                entries.push(Entry { name, number });
            }
        }
        Ok(entries)
    }

    /// The inode with this name in a directory, found as the kernel does it, by halving.
    pub fn child(&self, directory: &Inode, name: &[u8]) -> Result<Option<Number>, ReadError> {
        let entries = self.entries(directory)?;
        Ok(entries.binary_search_by(|entry| entry.name.cmp(name)).ok().map(|position| entries[position].number))
    }

    /// The target of a symbolic link.
    pub fn target(&self, link: &Inode) -> Result<Vec<u8>, ReadError> {
        if link.kind != Kind::Symlink {
            return Err(ReadError("not a symbolic link"));
        }
        Ok(self.blocks(link)?.concat())
    }

    /// The attributes of an inode, in the order in which they lie there.
    pub fn xattrs(&self, inode: &Inode) -> Result<Xattrs, ReadError> {
        let (offset, length) = inode.xattrs;
        let mut xattrs = Xattrs::new();
        if length == 0 {
            return Ok(xattrs);
        }
        let bytes = slice_at(self.bytes, offset, length as u64)?;
        if bytes[4] != 0 {
            return Err(ReadError("shared attributes"));
        }
        let mut rest = &bytes[XATTR_HEADER..];
        while !rest.is_empty() {
            let [name_length, number] = array_at(rest, 0)?;
            let (name_length, value_length) = (u64::from(name_length), u64::from(u16_at(rest, 2)?));
            let prefix = xattr::prefix(number).ok_or(ReadError("unknown attribute prefix"))?;
            let name = [prefix, slice_at(rest, 4, name_length)?].concat();
            xattrs.push((name, slice_at(rest, 4 + name_length, value_length)?.to_vec()));
            let size = (4 + name_length + value_length).next_multiple_of(4);
            rest = rest.get(size as usize..).ok_or(END)?;
        }
        Ok(xattrs)
    }

    /// Where the content of a regular file lies.
    pub fn extents(&self, file: &Inode) -> Result<Vec<Extent>, ReadError> {
        match file.layout {
            LAYOUT_PLAIN if file.size == 0 => return Ok(Vec::new()),
            LAYOUT_CHUNKS if file.union & CHUNK_INDEXES != 0 => {}
            _ => return Err(ReadError("unknown data layout")),
        }
        let chunk = self.block.checked_shl(file.union & 0x1f).ok_or(ReadError("unknown chunk size"))?;
        let indexes = self.body(file).checked_next_multiple_of(8).ok_or(END)?;
        let count = file.size.div_ceil(chunk);
        let table = slice_at(self.bytes, indexes, count.checked_mul(8).ok_or(END)?)?;
        (0..count)
            .map(|position| {
                let block = u32_at(table, position * 8 + 4)?;
                Ok(Extent {
                    device: u16_at(table, position * 8 + 2)?,
                    offset: (block != u32::MAX).then_some(u64::from(block) * self.block),
                    length: chunk.min(file.size - position * chunk),
                })
            })
            .collect()
    }

    /// Every name in the image with its path, depth first, in the order of the directories. Fails when a directory has
    /// two names, a name is empty or holds a slash, or a directory lacks a dot.
    pub fn walk(&self) -> Result<Vec<(Vec<u8>, Number)>, ReadError> {
        let mut found = Vec::new();
        let mut directories = HashSet::new();
        let mut pending = vec![(Vec::new(), self.root)];
        while let Some((path, number)) = pending.pop() {
            let inode = self.inode(number)?;
            if inode.kind == Kind::Directory {
                if !directories.insert(number) {
                    return Err(ReadError("a directory with two names"));
                }
                let mut dots = 0;
                let first = pending.len();
                for Entry { name, number: child } in self.entries(&inode)? {
                    match name {
                        b"." | b".." => dots += 1,
                        _ if name.is_empty() || name.contains(&b'/') => return Err(ReadError("malformed name")),
                        _ if path.is_empty() => pending.push((name.to_vec(), child)),
                        _ => pending.push(([&path, &b"/"[..], name].concat(), child)),
                    }
                }
                if dots != 2 {
                    return Err(ReadError("a directory without dots"));
                }
                pending[first..].reverse();
            }
            found.push((path, number));
            if found.len() + pending.len() > self.bytes.len() / DIRENT_SIZE {
                return Err(ReadError("more names than bytes"));
            }
        }
        Ok(found)
    }

    fn offset(&self, number: Number) -> Result<u64, ReadError> {
        let offset = number.checked_mul(INODE_UNIT).and_then(|offset| offset.checked_add(self.metadata)).ok_or(END)?;
        if offset < self.bytes.len() as u64 { Ok(offset) } else { Err(END) }
    }

    fn body(&self, inode: &Inode) -> u64 {
        inode.xattrs.0 + inode.xattrs.1 as u64
    }

    /// The data of a directory or link, block by block, the last one as long as it is.
    fn blocks(&self, inode: &Inode) -> Result<Vec<&'a [u8]>, ReadError> {
        if !matches!(inode.layout, LAYOUT_PLAIN | LAYOUT_INLINE) {
            return Err(ReadError("unknown data layout"));
        }
        let tail = if inode.layout == LAYOUT_INLINE { (inode.size.max(1) - 1) % self.block + 1 } else { 0 };
        let elsewhere = inode.size.saturating_sub(tail);
        let data = slice_at(self.bytes, u64::from(inode.union) * self.block, elsewhere).or(if elsewhere == 0 {
            Ok(&[][..])
        } else {
            Err(END)
        })?;
        let mut blocks: Vec<&[u8]> = data.chunks(self.block as usize).collect();
        if tail > 0 && inode.size > 0 {
            let body = self.body(inode);
            if body % self.block + tail > self.block {
                return Err(ReadError("inline data crosses a block"));
            }
            blocks.push(slice_at(self.bytes, body, tail)?);
        }
        Ok(blocks)
    }
}

const END: ReadError = ReadError("unexpected end");

fn slice_at(bytes: &[u8], offset: u64, length: u64) -> Result<&[u8], ReadError> {
    let end = offset.checked_add(length).and_then(|end| usize::try_from(end).ok()).ok_or(END)?;
    bytes.get(offset as usize..end).ok_or(END)
}

fn array_at<const N: usize>(bytes: &[u8], offset: u64) -> Result<[u8; N], ReadError> {
    slice_at(bytes, offset, N as u64)?.try_into().map_err(|_| END)
}

fn u16_at(bytes: &[u8], offset: u64) -> Result<u16, ReadError> {
    array_at(bytes, offset).map(u16::from_le_bytes)
}

fn u32_at(bytes: &[u8], offset: u64) -> Result<u32, ReadError> {
    array_at(bytes, offset).map(u32::from_le_bytes)
}

fn u64_at(bytes: &[u8], offset: u64) -> Result<u64, ReadError> {
    array_at(bytes, offset).map(u64::from_le_bytes)
}
