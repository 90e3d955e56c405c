//! The writer: one pass over the view that gives every inode its place, then the image front to back.
//!
//! Order in the image: superblock, device table, inodes with their attributes, extents and inline data, then the full
//! blocks of directories and long link targets, all in the view's order (depth first, names bytewise). Memory: four
//! bytes an inode and the data of the largest directory.

use std::borrow::Cow;
use std::io::{BufWriter, Write};

use strata_layer::{Content, ContentDigest, ImageView, InodeId, Kind};

use crate::error::WriteError;
use crate::format::{
    BLOCK, BLOCK_BITS, CHUNK, CHUNK_BITS, CHUNK_INDEXES, CHUNKED_FILE, DEVICE_SLOT, DEVICE_TABLE, DIRENT_SIZE,
    INODE_SIZE, INODE_UNIT, InodeHeader, LAYOUT_CHUNKS, LAYOUT_INLINE, LAYOUT_PLAIN, MAGIC, MTIME, SUPERBLOCK,
    SUPERBLOCK_SIZE, dirent_type, encode_device, mode_type,
};
use crate::xattr;

/// Where contents lie in packs. Packs are named by their position in [`ImageView::packs`].
pub trait Places {
    /// The offset of a content in a pack, in bytes, a multiple of 512; `None` when the pack does not hold it.
    fn place(&self, pack: usize, digest: &ContentDigest) -> Option<u64>;

    /// The length of a pack in bytes, a multiple of 512.
    fn length(&self, pack: usize) -> u64;
}

/// What was written.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct ImageSummary {
    /// Length of the image in bytes, a multiple of 512.
    pub length: u64,
    /// Number of inodes.
    pub inodes: u64,
    /// Attributes left out because no Linux file system keeps names with their prefix (`com.apple.…`).
    pub dropped_xattrs: u64,
}

/// Largest number of packs: the root inode follows their table, and its number has 16 bits.
const MAX_DEVICES: u64 = (u16::MAX as u64 * INODE_UNIT - SUPERBLOCK - SUPERBLOCK_SIZE) / DEVICE_SLOT;

/// Writes the file system of `view` with its contents where `places` says.
///
/// Mount it with the packs as devices, in the order of [`ImageView::packs`] and exactly as many. Nothing is known of a
/// partly written image: write to a new file, sync, rename.
pub fn write_image(view: &ImageView, places: &dyn Places, out: impl Write) -> Result<ImageSummary, WriteError> {
    let plan = Plan::make(view)?;
    let mut out = Output { out: BufWriter::with_capacity(1 << 16, out), position: 0 };
    let writer = Writer { view, places, plan: &plan };
    writer.write_superblock(&mut out)?;
    writer.write_devices(&mut out)?;
    writer.write_inodes(&mut out)?;
    writer.write_blocks(&mut out)?;
    out.out.flush()?;
    Ok(ImageSummary { length: plan.length, inodes: view.len() as u64, dropped_xattrs: plan.dropped_xattrs })
}

/// The place of everything.
struct Plan {
    /// Number of each inode: its position in units of 32 bytes.
    numbers: Vec<u32>,
    /// First block after the inodes.
    first_block: u64,
    length: u64,
    dropped_xattrs: u64,
}

impl Plan {
    fn make(view: &ImageView) -> Result<Plan, WriteError> {
        let devices = view.packs().len() as u64;
        if devices > MAX_DEVICES {
            return Err(WriteError::TooLarge("too many packs"));
        }
        let mut cursor = SUPERBLOCK + SUPERBLOCK_SIZE + devices * DEVICE_SLOT;
        let mut blocks = 0;
        let mut numbers = Vec::with_capacity(view.len());
        let mut dropped_xattrs = 0;
        for id in view.inodes() {
            let inode = view.inode(id);
            let xattrs = xattr::encoded_size(inode.xattrs)
                .ok_or_else(|| WriteError::XattrsTooLarge { path: path_of(view, id) })? as u64;
            dropped_xattrs += inode.xattrs.iter().filter(|(name, _)| xattr::split_name(name).is_none()).count() as u64;
            let shape = Shape::fit(cursor, xattrs, data_length(view, id), inode.content);
            numbers
                .push(u32::try_from(shape.offset / INODE_UNIT).map_err(|_| WriteError::TooLarge("too much metadata"))?);
            cursor = shape.end;
            blocks += shape.blocks;
        }
        let first_block = cursor.div_ceil(BLOCK);
        let length = (first_block + blocks) * BLOCK;
        if length / BLOCK > u64::from(u32::MAX) {
            return Err(WriteError::TooLarge("too much metadata"));
        }
        Ok(Plan { numbers, first_block, length, dropped_xattrs })
    }

    fn offset(&self, id: InodeId) -> u64 {
        u64::from(self.numbers[id.0 as usize]) * INODE_UNIT
    }
}

/// How an inode and what follows it lie in the image.
struct Shape {
    offset: u64,
    layout: u16,
    /// Full blocks elsewhere.
    blocks: u64,
    /// Data that follows directly, in bytes.
    tail: u64,
    /// End of the inode and of all that follows it.
    end: u64,
}

impl Shape {
    /// The first place at or after `cursor`. Inline data must not cross the end of a block: an inode moves forward until
    /// it fits, and gets a whole block elsewhere when it never does.
    fn fit(cursor: u64, xattrs: u64, length: u64, content: Option<Content>) -> Shape {
        let cursor = cursor.next_multiple_of(INODE_UNIT);
        let at = |offset: u64| Shape::at(offset, xattrs, length, content);
        let fits = |shape: &Shape| length.is_multiple_of(BLOCK) || shape.layout != LAYOUT_PLAIN;
        (0..BLOCK / INODE_UNIT).map(|step| at(cursor + step * INODE_UNIT)).find(fits).unwrap_or_else(|| at(cursor))
    }

    /// The shape of an inode that lies at `offset`.
    fn at(offset: u64, xattrs: u64, length: u64, content: Option<Content>) -> Shape {
        let body = offset + INODE_SIZE + xattrs;
        if let Some(content) = content {
            let end = body.next_multiple_of(8) + 8 * content.size.div_ceil(CHUNK);
            return Shape { offset, layout: LAYOUT_CHUNKS, blocks: 0, tail: 0, end };
        }
        let tail = length % BLOCK;
        if tail != 0 && body % BLOCK + tail <= BLOCK {
            Shape { offset, layout: LAYOUT_INLINE, blocks: length / BLOCK, tail, end: body + tail }
        } else {
            Shape { offset, layout: LAYOUT_PLAIN, blocks: length.div_ceil(BLOCK), tail: 0, end: body }
        }
    }
}

/// Length of the data that lies in the image: names of a directory, target of a link.
fn data_length(view: &ImageView, id: InodeId) -> u64 {
    let inode = view.inode(id);
    match inode.kind {
        Kind::Directory => directory_length(&directory_entries(view, id)),
        _ => inode.target.len() as u64,
    }
}

/// What a directory holds with both dots, sorted bytewise (`!` comes before `.`).
fn directory_entries(view: &ImageView, id: InodeId) -> Vec<(&[u8], InodeId)> {
    let mut entries: Vec<(&[u8], InodeId)> = view.children(id).collect();
    for (name, target) in [(&b"."[..], id), (b"..", view.parent(id))] {
        entries.insert(entries.partition_point(|(other, _)| *other < name), (name, target));
    }
    entries
}

/// How many of the first entries go into one block, and how many bytes of it they take.
fn fill_block(entries: &[(&[u8], InodeId)]) -> (usize, usize) {
    let mut used = 0;
    for (count, (name, _)) in entries.iter().enumerate() {
        let more = DIRENT_SIZE + name.len();
        if used + more > BLOCK as usize {
            return (count, used);
        }
        used += more;
    }
    (entries.len(), used)
}

fn directory_length(mut entries: &[(&[u8], InodeId)]) -> u64 {
    let mut length = 0;
    loop {
        let (count, used) = fill_block(entries);
        entries = &entries[count..];
        if entries.is_empty() {
            return length + used as u64;
        }
        length += BLOCK;
    }
}

struct Writer<'a> {
    view: &'a ImageView,
    places: &'a dyn Places,
    plan: &'a Plan,
}

impl Writer<'_> {
    fn write_superblock(&self, out: &mut Output<impl Write>) -> Result<(), WriteError> {
        out.pad_to(SUPERBLOCK)?;
        let devices = self.view.packs().len() as u16;
        let mut bytes = [0; SUPERBLOCK_SIZE as usize];
        bytes[0..4].copy_from_slice(&MAGIC.to_le_bytes());
        bytes[8..12].copy_from_slice(&MTIME.to_le_bytes());
        bytes[12] = BLOCK_BITS;
        bytes[14..16].copy_from_slice(&(self.plan.numbers[0] as u16).to_le_bytes());
        bytes[16..24].copy_from_slice(&(self.view.len() as u64).to_le_bytes());
        bytes[36..40].copy_from_slice(&((self.plan.length / BLOCK) as u32).to_le_bytes());
        bytes[48..64].copy_from_slice(b"strata-rootfs-01");
        bytes[80..84].copy_from_slice(&(CHUNKED_FILE | DEVICE_TABLE).to_le_bytes());
        bytes[86..88].copy_from_slice(&devices.to_le_bytes());
        let table = (SUPERBLOCK + SUPERBLOCK_SIZE) / DEVICE_SLOT;
        bytes[88..90].copy_from_slice(&(table as u16).to_le_bytes());
        out.write(&bytes)
    }

    /// One slot for each pack: its identity as the tag, and its length.
    fn write_devices(&self, out: &mut Output<impl Write>) -> Result<(), WriteError> {
        for (position, pack) in self.view.packs().iter().enumerate() {
            let length = self.places.length(position);
            if !length.is_multiple_of(BLOCK) {
                return Err(WriteError::PackLength { pack: *pack, length });
            }
            let mut slot = [0; DEVICE_SLOT as usize];
            slot[..32].copy_from_slice(pack.to_string().as_bytes());
            slot[64..68].copy_from_slice(&u32::try_from(length / BLOCK).unwrap_or(u32::MAX).to_le_bytes());
            out.write(&slot)?;
        }
        Ok(())
    }

    fn write_inodes(&self, out: &mut Output<impl Write>) -> Result<(), WriteError> {
        let mut next_block = self.plan.first_block;
        for id in self.view.inodes() {
            let inode = self.view.inode(id);
            let xattrs = xattr::encoded_size(inode.xattrs).unwrap_or(0);
            let length = data_length(self.view, id);
            let shape = Shape::at(self.plan.offset(id), xattrs as u64, length, inode.content);
            let union = match inode.kind {
                Kind::CharDevice | Kind::BlockDevice => self.device_number(id, inode.device)?,
                _ if inode.content.is_some() => CHUNK_INDEXES | CHUNK_BITS,
                _ if shape.blocks > 0 => next_block as u32,
                _ => 0,
            };
            next_block += shape.blocks;
            let permissions = if inode.kind == Kind::Symlink { 0o777 } else { inode.metadata.mode };
            let header = InodeHeader {
                layout: shape.layout,
                xattr_count: xattr::entry_count(xattrs) as u16,
                mode: mode_type(inode.kind) | permissions,
                size: inode.content.map_or(length, |content| content.size),
                union,
                serial: id.0.wrapping_add(1),
                uid: inode.metadata.uid,
                gid: inode.metadata.gid,
                seconds: inode.metadata.mtime.seconds,
                nanoseconds: inode.metadata.mtime.nanoseconds,
                links: inode.links,
            };
            out.pad_to(shape.offset)?;
            out.write(&header.encode())?;
            if xattrs > 0 {
                out.write(&xattr::encode(inode.xattrs))?;
            }
            if let Some(content) = inode.content {
                self.write_extents(out, id, content)?;
            }
            if shape.tail > 0 {
                out.write(&self.data(id)[(length - shape.tail) as usize..])?;
            }
        }
        Ok(())
    }

    fn device_number(&self, id: InodeId, (major, minor): (u32, u32)) -> Result<u32, WriteError> {
        encode_device((major, minor)).ok_or_else(|| WriteError::DeviceNumber {
            path: path_of(self.view, id),
            major,
            minor,
        })
    }

    /// The place of a content on its device, in chunks of 1 TiB: nearly always one.
    fn write_extents(&self, out: &mut Output<impl Write>, id: InodeId, content: Content) -> Result<(), WriteError> {
        let position = usize::from(content.pack);
        let pack = self.view.packs()[position];
        let offset = self
            .places
            .place(position, &content.digest)
            .ok_or_else(|| WriteError::ContentMissing { path: path_of(self.view, id), pack })?;
        let end = offset.checked_add(content.size);
        let fits =
            end.is_some_and(|end| end <= self.places.length(position) && end.div_ceil(BLOCK) < u64::from(u32::MAX));
        if !offset.is_multiple_of(BLOCK) || !fits {
            return Err(WriteError::Misplaced { path: path_of(self.view, id), pack, offset });
        }
        out.pad_to(out.position.next_multiple_of(8))?;
        for chunk in 0..content.size.div_ceil(CHUNK) {
            let block = (offset / BLOCK + (chunk << CHUNK_BITS)) as u32;
            let mut index = [0; 8];
            index[2..4].copy_from_slice(&(content.pack + 1).to_le_bytes());
            index[4..8].copy_from_slice(&block.to_le_bytes());
            out.write(&index)?;
        }
        Ok(())
    }

    /// The full blocks of directories and links, in the order of their inodes.
    fn write_blocks(&self, out: &mut Output<impl Write>) -> Result<(), WriteError> {
        out.pad_to(self.plan.first_block * BLOCK)?;
        for id in self.view.inodes() {
            let inode = self.view.inode(id);
            let length = data_length(self.view, id);
            let xattrs = xattr::encoded_size(inode.xattrs).unwrap_or(0) as u64;
            let shape = Shape::at(self.plan.offset(id), xattrs, length, inode.content);
            if shape.blocks > 0 {
                out.write(&self.data(id)[..(length - shape.tail) as usize])?;
                out.pad_to(out.position.next_multiple_of(BLOCK))?;
            }
        }
        Ok(())
    }

    fn data(&self, id: InodeId) -> Cow<'_, [u8]> {
        let inode = self.view.inode(id);
        match inode.kind {
            Kind::Directory => Cow::Owned(self.directory_data(id)),
            _ => Cow::Borrowed(inode.target),
        }
    }

    /// Blocks of records of twelve bytes followed by their names; all but the last are padded.
    fn directory_data(&self, id: InodeId) -> Vec<u8> {
        let entries = directory_entries(self.view, id);
        let mut rest = &entries[..];
        let mut data = Vec::new();
        while !rest.is_empty() {
            data.resize(data.len().next_multiple_of(BLOCK as usize), 0);
            let (count, _) = fill_block(rest);
            let (block, tail) = rest.split_at(count);
            let mut name_offset = DIRENT_SIZE * count;
            for (name, target) in block {
                data.extend(u64::from(self.plan.numbers[target.0 as usize]).to_le_bytes());
                data.extend((name_offset as u16).to_le_bytes());
                data.extend([dirent_type(self.view.inode(*target).kind), 0]);
                name_offset += name.len();
            }
            block.iter().for_each(|(name, _)| data.extend(*name));
            rest = tail;
        }
        data
    }
}

/// The first path of an inode, for messages.
fn path_of(view: &ImageView, id: InodeId) -> String {
    let path = view.walk().find(|(_, other)| *other == id).map(|(path, _)| path);
    path.unwrap_or_default().escape_ascii().to_string()
}

/// Output that knows its position.
struct Output<W: Write> {
    out: BufWriter<W>,
    position: u64,
}

impl<W: Write> Output<W> {
    fn write(&mut self, bytes: &[u8]) -> Result<(), WriteError> {
        self.out.write_all(bytes)?;
        self.position += bytes.len() as u64;
        Ok(())
    }

    /// Writes zeros up to `position`, which is not before the current one.
    fn pad_to(&mut self, position: u64) -> Result<(), WriteError> {
        const ZEROS: [u8; 1024] = [0; 1024];
        while self.position < position {
            let count = (position - self.position).min(ZEROS.len() as u64);
            self.write(&ZEROS[..count as usize])?;
        }
        Ok(())
    }
}
