//! The entries of a layer in memory: compact records over one arena of names.
//!
//! 100,000 entries take about 9 MB: a record is at most 96 bytes, names and link targets lie in one arena, contents and
//! attribute sets in tables of their own (most entries of a layer share a handful of attribute sets).

use std::fmt;

use strata_model::DiffId;

/// BLAKE3 digest of the content of a regular file (its logical bytes, holes read as zeros). Local to packs and
/// indexes; it never leaves the store, where SHA-256 is what everybody agrees on.
#[derive(Clone, Copy, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub struct ContentDigest(pub [u8; 32]);

impl ContentDigest {
    /// The digest of `bytes`.
    pub fn of(bytes: &[u8]) -> ContentDigest {
        ContentDigest(*blake3::hash(bytes).as_bytes())
    }

    /// A hasher for contents that pass in pieces.
    pub fn hasher() -> ContentHasher {
        ContentHasher(blake3::Hasher::new())
    }
}

/// Hashes the bytes of a content as they pass.
pub struct ContentHasher(blake3::Hasher);

impl ContentHasher {
    /// Adds bytes.
    pub fn update(&mut self, bytes: &[u8]) {
        self.0.update(bytes);
    }

    /// The digest of all bytes added.
    pub fn finish(&self) -> ContentDigest {
        ContentDigest(*self.0.finalize().as_bytes())
    }
}

impl fmt::Debug for ContentDigest {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.0[..6].iter().try_for_each(|byte| write!(f, "{byte:02x}"))
    }
}

/// Identity of a pack file: random, never used twice.
#[derive(Clone, Copy, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub struct PackId(pub [u8; 16]);

impl fmt::Display for PackId {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.0.iter().try_for_each(|byte| write!(f, "{byte:02x}"))
    }
}

impl fmt::Debug for PackId {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        fmt::Display::fmt(self, f)
    }
}

/// What an entry of a tar is.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
#[repr(u8)]
pub enum Kind {
    /// A regular file (also contiguous and sparse ones).
    Regular = 0,
    /// A directory.
    Directory = 1,
    /// A symbolic link; its target is in [`EntryRef::link`].
    Symlink = 2,
    /// Another name for the file at [`EntryRef::link`], a path in this layer or a lower one.
    HardLink = 3,
    /// A character device.
    CharDevice = 4,
    /// A block device.
    BlockDevice = 5,
    /// A named pipe.
    Fifo = 6,
}

impl Kind {
    /// The kind with this number in an index file.
    pub fn from_number(number: u8) -> Option<Kind> {
        [Kind::Regular, Kind::Directory, Kind::Symlink, Kind::HardLink, Kind::CharDevice, Kind::BlockDevice, Kind::Fifo]
            .get(usize::from(number))
            .copied()
    }
}

/// A time in seconds and nanoseconds since 1970, before it when negative; `nanoseconds` is below 1,000,000,000.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, PartialOrd, Ord)]
pub struct Timestamp {
    /// Whole seconds, rounded down.
    pub seconds: i64,
    /// The rest.
    pub nanoseconds: u32,
}

/// What `stat` shows of a file besides its type, size and link count.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Metadata {
    /// Permission bits, 07777.
    pub mode: u16,
    /// Owner.
    pub uid: u32,
    /// Group.
    pub gid: u32,
    /// Time of last change.
    pub mtime: Timestamp,
}

/// Extended attributes: full name (`user.x`, `security.capability`) and value, sorted by name, no name twice.
pub type Xattrs = Vec<(Vec<u8>, Vec<u8>)>;

/// The content of a regular file that is not empty: which pack holds it, under which digest, how long it is.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Content {
    /// Digest of the logical bytes; the pack's footer tells the place.
    pub digest: ContentDigest,
    /// Position of the pack in [`LayerIndex::packs`].
    pub pack: u16,
    /// Logical length in bytes, holes included.
    pub size: u64,
}

/// One entry of a layer, borrowed from its index.
#[derive(Clone, Copy, Debug)]
pub struct EntryRef<'a> {
    /// Path without leading or trailing slash and without `.` and `..` components; empty for the root.
    pub path: &'a [u8],
    /// What it is.
    pub kind: Kind,
    /// Target of a symbolic link as written; of a hard link cleaned like [`EntryRef::path`].
    pub link: &'a [u8],
    /// Mode, owner, time.
    pub metadata: Metadata,
    /// Major and minor number of a device.
    pub device: (u32, u32),
    /// The content; `None` for everything but regular files, and for empty ones.
    pub content: Option<Content>,
    /// Extended attributes.
    pub xattrs: &'a [(Vec<u8>, Vec<u8>)],
}

/// An entry to be added to an index under construction.
#[derive(Clone, Copy, Debug)]
pub struct NewEntry<'a> {
    /// See [`EntryRef::path`].
    pub path: &'a [u8],
    /// See [`EntryRef::kind`].
    pub kind: Kind,
    /// See [`EntryRef::link`].
    pub link: &'a [u8],
    /// See [`EntryRef::metadata`].
    pub metadata: Metadata,
    /// See [`EntryRef::device`].
    pub device: (u32, u32),
    /// See [`EntryRef::content`].
    pub content: Option<Content>,
}

#[derive(Clone, Copy)]
struct Record {
    name: u32,
    name_length: u32,
    link_length: u32,
    kind: Kind,
    mode: u16,
    uid: u32,
    gid: u32,
    nanoseconds: u32,
    seconds: i64,
    device: (u32, u32),
    content: u32,
    xattrs: u32,
}

const NONE: u32 = u32::MAX;

/// Everything that is in a layer, in tar order, without the tar's raw bytes.
pub struct LayerIndex {
    /// Digest of the uncompressed tar.
    pub diff_id: DiffId,
    /// Length of the uncompressed tar in bytes.
    pub tar_size: u64,
    /// Sum of the lengths of its regular files, each hard link's content once: the layer's part of an image's SIZE.
    pub content_size: u64,
    /// Packs that hold the contents: the layer's own (if it has one) and foreign ones.
    pub packs: Vec<PackId>,
    arena: Vec<u8>,
    records: Vec<Record>,
    contents: Vec<Content>,
    xattrs: Vec<Xattrs>,
}

impl LayerIndex {
    /// Number of entries.
    pub fn len(&self) -> usize {
        self.records.len()
    }

    /// Whether there are no entries.
    pub fn is_empty(&self) -> bool {
        self.records.is_empty()
    }

    /// The entry at `position` in tar order.
    ///
    /// # Panics
    /// When `position` is not below [`LayerIndex::len`].
    pub fn entry(&self, position: usize) -> EntryRef<'_> {
        let record = &self.records[position];
        let link = record.name as usize + record.name_length as usize;
        EntryRef {
            path: &self.arena[record.name as usize..link],
            kind: record.kind,
            link: &self.arena[link..link + record.link_length as usize],
            metadata: Metadata {
                mode: record.mode,
                uid: record.uid,
                gid: record.gid,
                mtime: Timestamp { seconds: record.seconds, nanoseconds: record.nanoseconds },
            },
            device: record.device,
            content: (record.content != NONE).then(|| self.contents[record.content as usize]),
            xattrs: if record.xattrs == NONE { &[] } else { &self.xattrs[record.xattrs as usize] },
        }
    }

    /// All entries in tar order.
    pub fn entries(&self) -> impl ExactSizeIterator<Item = EntryRef<'_>> {
        (0..self.len()).map(|position| self.entry(position))
    }
}

/// Makes a [`LayerIndex`] entry by entry.
#[derive(Default)]
pub struct IndexBuilder {
    arena: Vec<u8>,
    records: Vec<Record>,
    contents: Vec<Content>,
    xattrs: Vec<Xattrs>,
}

impl IndexBuilder {
    /// A builder with room for so many entries, bytes of names and link targets, and contents.
    pub fn with_capacity(entries: usize, names: usize, contents: usize) -> IndexBuilder {
        IndexBuilder {
            arena: Vec::with_capacity(names),
            records: Vec::with_capacity(entries),
            contents: Vec::with_capacity(contents),
            xattrs: Vec::new(),
        }
    }

    /// Adds an entry. Attribute sets equal to the one added last share its place.
    ///
    /// Returns `false`, and adds nothing, when names exceed 4 GiB or entries 2³² − 1: no honest layer does.
    #[must_use]
    pub fn push(&mut self, entry: NewEntry<'_>, xattrs: Xattrs) -> bool {
        let is_new = !xattrs.is_empty() && self.xattrs.last() != Some(&xattrs);
        let set = match (xattrs.is_empty(), is_new) {
            (true, _) => NONE,
            (false, true) => self.xattrs.len() as u32,
            (false, false) => self.xattrs.len() as u32 - 1,
        };
        let added = self.add(entry, set);
        if added && is_new {
            self.xattrs.push(xattrs);
        }
        added
    }

    /// Adds an entry that has the attributes of the last one that has any. Returns `false`, and adds nothing, when
    /// there was none, or as [`IndexBuilder::push`].
    #[must_use]
    pub fn push_with_last_xattrs(&mut self, entry: NewEntry<'_>) -> bool {
        match self.xattrs.len().checked_sub(1) {
            Some(set) => self.add(entry, set as u32),
            None => false,
        }
    }

    fn add(&mut self, entry: NewEntry<'_>, xattrs: u32) -> bool {
        let end = self.arena.len() + entry.path.len() + entry.link.len();
        if end >= NONE as usize || self.records.len() >= NONE as usize {
            return false;
        }
        let name = self.arena.len() as u32;
        self.arena.extend_from_slice(entry.path);
        self.arena.extend_from_slice(entry.link);
        let content = entry.content.map_or(NONE, |content| {
            self.contents.push(content);
            self.contents.len() as u32 - 1
        });
        self.records.push(Record {
            name,
            name_length: entry.path.len() as u32,
            link_length: entry.link.len() as u32,
            kind: entry.kind,
            mode: entry.metadata.mode,
            uid: entry.metadata.uid,
            gid: entry.metadata.gid,
            nanoseconds: entry.metadata.mtime.nanoseconds,
            seconds: entry.metadata.mtime.seconds,
            device: entry.device,
            content,
            xattrs,
        });
        true
    }

    /// The finished index.
    pub fn finish(self, diff_id: DiffId, tar_size: u64, content_size: u64, packs: Vec<PackId>) -> LayerIndex {
        LayerIndex {
            diff_id,
            tar_size,
            content_size,
            packs,
            arena: self.arena,
            records: self.records,
            contents: self.contents,
            xattrs: self.xattrs,
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_record_stays_small() {
        assert!(size_of::<Record>() <= 96, "{} bytes", size_of::<Record>());
    }
}
