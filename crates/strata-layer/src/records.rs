//! The entries of an index as bytes.
//!
//! ```text
//! number of packs · packs, 16 bytes each
//! number of entries · number of contents
//! length of the names · names: path and link target of every entry
//! digests of the contents, 32 bytes each
//! per entry: flags u8 · length of path · length of link target (links only)
//!            · mode, uid, gid, seconds minus those of the entry before, nanoseconds (unless flagged as the same)
//!            · major, minor (devices only) · pack, size (files that are not empty)
//!            · number of attributes, per attribute length of name, length of value, name, value (new sets only)
//! ```
//! Numbers are those of [`varint`]. Columns of like data compress better and decode faster than whole records.

use crate::entry::{Content, ContentDigest, EntryRef, IndexBuilder, Kind, LayerIndex, Metadata, NewEntry, PackId};
use crate::entry::{Timestamp, Xattrs};
use crate::error::LayerError;
use crate::file::Header;
use crate::path;
use crate::placement::FOREIGN_PACKS;
use crate::read::xattr_problem;
use crate::varint::{self, Bytes};

const KIND: u8 = 0b111;
const HAS_CONTENT: u8 = 1 << 3;
const SAME_METADATA: u8 = 1 << 4;
/// The attributes are those of the last entry that has any.
const SAME_XATTRS: u8 = 1 << 5;
const NEW_XATTRS: u8 = 1 << 6;
/// Fewest bytes that an entry takes: flags and length of the path.
const SMALLEST: usize = 2;

pub(crate) fn encode(index: &LayerIndex) -> Vec<u8> {
    let mut names = Vec::new();
    let mut digests = Vec::new();
    let mut rows = Vec::with_capacity(index.len() * 16);
    let mut before = Before::default();
    for entry in index.entries() {
        names.extend_from_slice(entry.path);
        names.extend_from_slice(entry.link);
        if let Some(content) = &entry.content {
            digests.extend_from_slice(&content.digest.0);
        }
        before.put(&entry, &mut rows);
    }
    let mut out = Vec::with_capacity(names.len() + digests.len() + rows.len() + 64);
    varint::put(&mut out, index.packs.len() as u64);
    index.packs.iter().for_each(|pack| out.extend_from_slice(&pack.0));
    varint::put(&mut out, index.len() as u64);
    varint::put(&mut out, digests.len() as u64 / 32);
    varint::put(&mut out, names.len() as u64);
    for column in [names, digests, rows] {
        out.extend_from_slice(&column);
    }
    out
}

/// What an entry may refer to of the ones before it.
#[derive(Default)]
struct Before<'a> {
    metadata: Metadata,
    xattrs: &'a [(Vec<u8>, Vec<u8>)],
}

impl<'a> Before<'a> {
    fn put(&mut self, entry: &EntryRef<'a>, out: &mut Vec<u8>) {
        let metadata = entry.metadata;
        let mut flags = entry.kind as u8;
        if entry.content.is_some() {
            flags |= HAS_CONTENT;
        }
        if metadata == self.metadata {
            flags |= SAME_METADATA;
        }
        if !entry.xattrs.is_empty() {
            flags |= if entry.xattrs == self.xattrs { SAME_XATTRS } else { NEW_XATTRS };
        }
        out.push(flags);
        varint::put(out, entry.path.len() as u64);
        if has_link(entry.kind) {
            varint::put(out, entry.link.len() as u64);
        }
        if flags & SAME_METADATA == 0 {
            varint::put(out, u64::from(metadata.mode));
            varint::put(out, u64::from(metadata.uid));
            varint::put(out, u64::from(metadata.gid));
            varint::put_signed(out, metadata.mtime.seconds.wrapping_sub(self.metadata.mtime.seconds));
            varint::put(out, u64::from(metadata.mtime.nanoseconds));
            self.metadata = metadata;
        }
        if is_device(entry.kind) {
            varint::put(out, u64::from(entry.device.0));
            varint::put(out, u64::from(entry.device.1));
        }
        if let Some(content) = &entry.content {
            varint::put(out, u64::from(content.pack));
            varint::put(out, content.size);
        }
        if flags & NEW_XATTRS != 0 {
            put_xattrs(entry.xattrs, out);
            self.xattrs = entry.xattrs;
        }
    }
}

fn put_xattrs(xattrs: &[(Vec<u8>, Vec<u8>)], out: &mut Vec<u8>) {
    varint::put(out, xattrs.len() as u64);
    for (name, value) in xattrs {
        varint::put(out, name.len() as u64);
        varint::put(out, value.len() as u64);
        out.extend_from_slice(name);
        out.extend_from_slice(value);
    }
}

fn has_link(kind: Kind) -> bool {
    matches!(kind, Kind::Symlink | Kind::HardLink)
}

fn is_device(kind: Kind) -> bool {
    matches!(kind, Kind::CharDevice | Kind::BlockDevice)
}

/// Reads what [`encode`] wrote and checks all that [`EntryRef`] promises.
pub(crate) fn decode(bytes: &[u8], header: &Header) -> Result<LayerIndex, LayerError> {
    let mut columns = columns(bytes).ok_or(LayerError::Index("the entries are malformed"))?;
    let (entries, names_length) = (columns.entries, columns.names.0.len());
    let mut builder = IndexBuilder::with_capacity(entries, names_length, columns.digests.len());
    let mut metadata = Metadata::default();
    for _ in 0..entries {
        columns.entry(&mut metadata, &mut builder).ok_or(LayerError::Index("an entry is malformed"))?;
    }
    if !columns.rows.is_empty() || !columns.names.is_empty() || !columns.digests.is_empty() {
        return Err(LayerError::Index("the entries are malformed"));
    }
    Ok(builder.finish(header.diff_id, header.tar_size, header.content_size, columns.packs))
}

struct Columns<'a> {
    packs: Vec<PackId>,
    entries: usize,
    names: Bytes<'a>,
    digests: &'a [[u8; 32]],
    rows: Bytes<'a>,
}

fn columns(bytes: &[u8]) -> Option<Columns<'_>> {
    let mut bytes = Bytes(bytes);
    let packs = bytes.narrow().filter(|&count: &usize| count <= FOREIGN_PACKS + 1)?;
    let packs = (0..packs).map(|_| bytes.array().map(PackId)).collect::<Option<_>>()?;
    let entries: usize = bytes.narrow()?;
    let contents: usize = bytes.narrow()?;
    let names_length = bytes.narrow()?;
    let names = Bytes(bytes.take(names_length)?);
    let (digests, _) = bytes.take(contents.checked_mul(32)?)?.as_chunks();
    if entries > bytes.0.len() / SMALLEST {
        return None;
    }
    Some(Columns { packs, entries, names, digests, rows: bytes })
}

impl Columns<'_> {
    /// Moves the next entry into `builder`; `None` when it is malformed.
    fn entry(&mut self, metadata: &mut Metadata, builder: &mut IndexBuilder) -> Option<()> {
        let flags = self.rows.byte()?;
        let kind = Kind::from_number(flags & KIND)?;
        let path_length = self.rows.narrow()?;
        let link_length = if has_link(kind) { self.rows.narrow()? } else { 0 };
        if flags & SAME_METADATA == 0 {
            *metadata = self.metadata(metadata.mtime.seconds)?;
        }
        let device = if is_device(kind) { (self.rows.narrow()?, self.rows.narrow()?) } else { (0, 0) };
        let content = if flags & HAS_CONTENT != 0 { Some(self.content()?) } else { None };
        let path = self.names.take(path_length)?;
        let link = self.names.take(link_length)?;
        let link_is_valid = match kind {
            Kind::HardLink => !link.is_empty() && path::is_clean(link),
            Kind::Symlink => path::check_symlink_target(link).is_ok(),
            _ => true,
        };
        let root_is_directory = !path.is_empty() || kind == Kind::Directory;
        let content_is_of_file = content.is_none() || kind == Kind::Regular;
        if !path::is_clean(path) || !link_is_valid || !root_is_directory || !content_is_of_file {
            return None;
        }
        let entry = NewEntry { path, kind, link, metadata: *metadata, device, content };
        let added = match flags & (SAME_XATTRS | NEW_XATTRS) {
            0 => builder.push(entry, Xattrs::new()),
            SAME_XATTRS => builder.push_with_last_xattrs(entry),
            NEW_XATTRS => builder.push(entry, self.xattrs()?),
            _ => false,
        };
        added.then_some(())
    }

    fn metadata(&mut self, seconds_before: i64) -> Option<Metadata> {
        let mode = self.rows.narrow().filter(|&mode: &u16| mode <= 0o7777)?;
        let (uid, gid) = (self.rows.narrow()?, self.rows.narrow()?);
        let seconds = seconds_before.wrapping_add(self.rows.signed()?);
        let nanoseconds = self.rows.narrow().filter(|&nanoseconds: &u32| nanoseconds < 1_000_000_000)?;
        Some(Metadata { mode, uid, gid, mtime: Timestamp { seconds, nanoseconds } })
    }

    fn content(&mut self) -> Option<Content> {
        let pack = self.rows.narrow().filter(|&pack: &u16| usize::from(pack) < self.packs.len())?;
        let size = self.rows.number().filter(|&size| size > 0)?;
        let (digest, rest) = self.digests.split_first()?;
        self.digests = rest;
        Some(Content { digest: ContentDigest(*digest), pack, size })
    }

    fn xattrs(&mut self) -> Option<Xattrs> {
        let count: usize = self.rows.narrow()?;
        let mut xattrs = Xattrs::new();
        for _ in 0..count {
            let (name_length, value_length) = (self.rows.narrow()?, self.rows.narrow()?);
            let (name, value) = (self.rows.take(name_length)?, self.rows.take(value_length)?);
            let in_order = xattrs.last().is_none_or(|(before, _)| before.as_slice() < name);
            if !in_order || xattr_problem(name, value).is_some() {
                return None;
            }
            xattrs.push((name.to_vec(), value.to_vec()));
        }
        (!xattrs.is_empty()).then_some(xattrs)
    }
}
