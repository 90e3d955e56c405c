//! One pass over an uncompressed tar: diff ID, index, skeleton, and contents to the pack.
//!
//! The pass runs on the caller's thread and holds one buffer of 1.25 MiB, one of the pack's of 1 MiB, the index under
//! construction and the compressed skeleton. It is meant to run beside the decompressor on another thread.

use std::io::{self, Read};

use strata_model::DiffId;

use crate::entry::{Content, IndexBuilder, Kind, LayerIndex, Metadata, NewEntry, Timestamp, Xattrs};
use crate::error::{LayerError, TarProblem};
use crate::input::{Input, WINDOW};
use crate::pack::{PackSink, PackWriter};
use crate::path;
use crate::placement::{KnownContents, PackFailure, PackTable, Stream};
use crate::skeleton::{Skeleton, SkeletonWriter};
use crate::tar::header::{Format, Header};
use crate::tar::pax::{self, Pax};
use crate::tar::sparse::{self, SparseMap};
use crate::tar::{BLOCK, EXTENSION_LIMIT, NAME_LIMIT, number, padding};

/// What a layer may be; hostile ones end with [`LayerError::Limit`]. The defaults are far beyond honest layers.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct LayerLimits {
    /// Number of entries.
    pub entries: u64,
    /// Logical size of one file in bytes, holes included.
    pub file_size: u64,
    /// Sum of the logical sizes of all files in bytes.
    pub content_size: u64,
    /// Size of the uncompressed tar in bytes.
    pub tar_size: u64,
    /// Bytes of names, attributes and compressed skeleton, which are held in memory.
    pub metadata_size: u64,
}

impl Default for LayerLimits {
    fn default() -> LayerLimits {
        LayerLimits {
            entries: 4_000_000,
            file_size: 256 << 30,
            content_size: 512 << 30,
            tar_size: 512 << 30,
            metadata_size: 1 << 30,
        }
    }
}

/// What [`read_layer`] makes of a tar, besides the pack.
pub struct ReadLayer {
    /// Every entry, with its content's digest and pack.
    pub index: LayerIndex,
    /// The tar's other bytes.
    pub skeleton: Skeleton,
}

/// Reads an uncompressed tar to its end: contents of regular files go to `pack` unless it or a pack of `known` has
/// them; all else is in the result. The diff ID is computed from the bytes read, to be compared by the caller with
/// what a configuration claims.
///
/// # Errors
/// [`LayerError`], with the offset in the tar. The pack is worthless then.
///
/// Source: OCI image-spec, layer.md; POSIX.1-2001 pax; GNU tar manual.
pub fn read_layer<R: Read, S: PackSink>(
    tar: R,
    pack: &mut PackWriter<S>,
    known: &dyn KnownContents,
    limits: &LayerLimits,
) -> Result<ReadLayer, LayerError> {
    let mut pass = Pass::new(tar, true, pack, known, limits)?;
    pass.run()?;
    pass.finish(|computed| computed.ok_or_else(|| io::Error::other("the stream was not hashed")))
}

/// Like [`read_layer`], for a stream that another thread hashes: `diff_id` is called at the end of the tar and gives
/// its digest.
pub fn read_layer_hashed_elsewhere<R: Read, S: PackSink>(
    tar: R,
    pack: &mut PackWriter<S>,
    known: &dyn KnownContents,
    limits: &LayerLimits,
    diff_id: impl FnOnce() -> io::Result<DiffId>,
) -> Result<ReadLayer, LayerError> {
    let mut pass = Pass::new(tar, false, pack, known, limits)?;
    pass.run()?;
    pass.finish(|_| diff_id())
}

/// What extended headers said about the entry that follows them.
#[derive(Default)]
struct Extensions {
    long_name: Option<Vec<u8>>,
    long_link: Option<Vec<u8>>,
    pax: Pax,
}

struct Pass<'a, R, S> {
    input: Input<R>,
    pack: &'a mut PackWriter<S>,
    packs: PackTable<'a>,
    limits: &'a LayerLimits,
    skeleton: SkeletonWriter,
    index: IndexBuilder,
    extensions: Extensions,
    entries: u64,
    content_size: u64,
    metadata_size: u64,
    /// Offset of the header of the current entry, for errors.
    header_offset: u64,
    /// Scratch space, kept to spare allocations.
    name: Vec<u8>,
    path: Vec<u8>,
    link: Vec<u8>,
    expanded: Vec<u8>,
}

impl<'a, R: Read, S: PackSink> Pass<'a, R, S> {
    fn new(
        tar: R,
        hashed: bool,
        pack: &'a mut PackWriter<S>,
        known: &'a dyn KnownContents,
        limits: &'a LayerLimits,
    ) -> Result<Self, LayerError> {
        Ok(Pass {
            input: Input::new(tar, limits.tar_size, hashed),
            packs: PackTable::new(pack.id(), known),
            pack,
            limits,
            skeleton: SkeletonWriter::new().map_err(compress_failure)?,
            index: IndexBuilder::default(),
            extensions: Extensions::default(),
            entries: 0,
            content_size: 0,
            metadata_size: 0,
            header_offset: 0,
            name: Vec::new(),
            path: Vec::new(),
            link: Vec::new(),
            expanded: Vec::new(),
        })
    }

    fn run(&mut self) -> Result<(), LayerError> {
        while let Some(header) = self.header()? {
            match header.type_flag() {
                b'L' => self.extensions.long_name = Some(self.long_name(&header, "long name")?),
                b'K' => self.extensions.long_link = Some(self.long_name(&header, "long link name")?),
                b'x' => {
                    let size = self.tar(header.size())?;
                    let data = self.extension(size, EXTENSION_LIMIT, "extended header")?;
                    self.extensions.pax = self.tar(pax::parse(&data))?;
                }
                // Global headers say nothing about layers (git writes its commit there); all tools ignore them.
                b'g' => {
                    let size = self.tar(header.size())?;
                    self.extension(size, EXTENSION_LIMIT, "global extended header")?;
                }
                _ => self.entry(&header)?,
            }
        }
        self.rest()
    }

    fn finish(self, diff_id: impl FnOnce(Option<DiffId>) -> io::Result<DiffId>) -> Result<ReadLayer, LayerError> {
        let tar_size = self.input.offset();
        let diff_id =
            diff_id(self.input.finish().map(DiffId)).map_err(|cause| LayerError::Read { offset: tar_size, cause })?;
        let skeleton = self.skeleton.finish().map_err(compress_failure)?;
        let index = self.index.finish(diff_id, tar_size, self.content_size, self.packs.into_packs());
        Ok(ReadLayer { index, skeleton })
    }

    /// The next header; `None` at the end: two zero blocks, one as the last, or no more bytes.
    fn header(&mut self) -> Result<Option<Header>, LayerError> {
        self.header_offset = self.input.offset();
        let Some(block) = self.input.peek(BLOCK)?.first_chunk::<BLOCK>() else {
            return match self.input.buffered() {
                [] => Ok(None),
                _ => Err(self.problem(TarProblem::Truncated)),
            };
        };
        if block == &[0; BLOCK] {
            let after = &self.input.peek(2 * BLOCK)?[BLOCK..];
            let after = &after[..after.len().min(BLOCK)];
            return match after.len() {
                0 => Ok(None),
                BLOCK if after.iter().all(|&byte| byte == 0) => Ok(None),
                BLOCK => Err(self.problem(TarProblem::LoneZeroBlock)),
                _ => Err(self.problem(TarProblem::Truncated)),
            };
        }
        let header = Header::parse(block);
        let header = self.tar(header)?;
        self.keep(BLOCK)?;
        Ok(Some(header))
    }

    /// Whatever stands after the end belongs to the diff ID.
    fn rest(&mut self) -> Result<(), LayerError> {
        loop {
            let count = self.input.peek(1)?.len();
            if count == 0 {
                return Ok(());
            }
            self.keep(count)?;
        }
    }

    /// Moves bytes that were peeked at into the skeleton.
    fn keep(&mut self, count: usize) -> Result<(), LayerError> {
        self.skeleton.raw(&self.input.buffered()[..count]).map_err(compress_failure)?;
        self.input.consume(count);
        self.check("size of names, attributes and headers", self.stored_metadata(), self.limits.metadata_size)
    }

    /// Moves the padding after data of this size into the skeleton; a tar may end within it.
    fn keep_padding(&mut self, size: u64) -> Result<(), LayerError> {
        let wanted = padding(size);
        let there = self.input.peek(wanted)?.len();
        self.keep(wanted.min(there))
    }

    /// Looks at exactly the next `count` bytes (at most [`WINDOW`]).
    fn exactly(&mut self, count: usize) -> Result<&[u8], LayerError> {
        if self.input.peek(count)?.len() < count {
            return Err(LayerError::Tar { offset: self.input.offset(), problem: TarProblem::Truncated });
        }
        Ok(&self.input.buffered()[..count])
    }

    /// The data of an extended header; it stays in the skeleton.
    fn extension(&mut self, size: u64, limit: u64, what: &'static str) -> Result<Vec<u8>, LayerError> {
        if size > limit {
            return Err(self.problem(TarProblem::TooLong { what, size, limit }));
        }
        let data = self.exactly(size as usize)?.to_vec();
        self.keep(size as usize)?;
        self.keep_padding(size)?;
        Ok(data)
    }

    fn long_name(&mut self, header: &Header, what: &'static str) -> Result<Vec<u8>, LayerError> {
        let size = self.tar(header.size())?;
        let mut name = self.extension(size, NAME_LIMIT, what)?;
        name.truncate(number::text(&name).len());
        Ok(name)
    }

    fn entry(&mut self, header: &Header) -> Result<(), LayerError> {
        let mut extensions = std::mem::take(&mut self.extensions);
        self.name.clear();
        match extensions.long_name.as_deref().or(extensions.pax.path.as_deref()) {
            Some(name) => self.name.extend_from_slice(name),
            None => header.name(&mut self.name),
        }
        let kind = self.tar(kind(header.type_flag(), &self.name))?;
        let metadata = self.tar(metadata(header, &extensions.pax))?;
        let device = match kind {
            Kind::CharDevice | Kind::BlockDevice => self.tar(header.device())?,
            _ => (0, 0),
        };
        let sparse = self.sparse_form(header, &mut extensions.pax, kind)?;
        self.clean_names(kind, extensions.long_link.as_deref().or(extensions.pax.link.as_deref()), header)?;
        let xattrs = std::mem::take(&mut extensions.pax.xattrs);
        self.admit(&xattrs)?;
        let content = match kind {
            Kind::Regular => self.content(header, &extensions.pax, sparse)?,
            _ => None,
        };
        let entry = NewEntry { path: &self.path, kind, link: &self.link, metadata, device, content };
        if !self.index.push(entry, xattrs) {
            return Err(self.over("number of entries", self.limits.entries));
        }
        self.entries += 1;
        Ok(())
    }

    /// Cleans `name` into `path` and the link target into `link`.
    fn clean_names(&mut self, kind: Kind, target: Option<&[u8]>, header: &Header) -> Result<(), LayerError> {
        if let Err(reason) = path::clean(&self.name, &mut self.path) {
            return Err(self.problem(TarProblem::Path { path: lossy(&self.name), reason }));
        }
        if self.path.is_empty() && kind != Kind::Directory {
            return Err(self.problem(TarProblem::Root));
        }
        let target = target.unwrap_or(header.link());
        self.link.clear();
        match kind {
            Kind::HardLink => {
                let cleaned = path::clean(target, &mut self.link);
                let empty = if self.link.is_empty() { Err(path::PathError::Empty) } else { Ok(()) };
                if let Err(reason) = cleaned.and(empty) {
                    let (path, target) = (lossy(&self.name), lossy(target));
                    return Err(self.problem(TarProblem::HardLink { path, target, reason }));
                }
            }
            Kind::Symlink => {
                if let Err(reason) = path::check_symlink_target(target) {
                    let (path, target) = (lossy(&self.name), lossy(target));
                    return Err(self.problem(TarProblem::Symlink { path, target, reason }));
                }
                self.link.extend_from_slice(target);
            }
            _ => {}
        }
        Ok(())
    }

    /// Checks the attributes, and the limits on number and size of entries.
    fn admit(&mut self, xattrs: &Xattrs) -> Result<(), LayerError> {
        let mut size = (self.path.len() + self.link.len()) as u64;
        for (name, value) in xattrs {
            size += (name.len() + value.len()) as u64;
            if let Some(reason) = xattr_problem(name, value) {
                return Err(self.problem(TarProblem::Xattr { path: lossy(&self.path), reason }));
            }
        }
        self.metadata_size += size;
        if self.entries >= self.limits.entries {
            return Err(self.over("number of entries", self.limits.entries));
        }
        self.check("size of names, attributes and headers", self.stored_metadata(), self.limits.metadata_size)
    }

    fn stored_metadata(&self) -> u64 {
        self.metadata_size + self.skeleton.stored_size()
    }

    /// How the data of an entry is to be read; sets the name where a sparse form says it.
    fn sparse_form(&mut self, header: &Header, pax: &mut Pax, kind: Kind) -> Result<Option<SparseForm>, LayerError> {
        let keys = &mut pax.sparse;
        let form = match (keys.major, keys.minor, &mut keys.map) {
            _ if header.type_flag() == b'S' => return Ok(Some(SparseForm::Old)),
            (Some(1), Some(0), _) => SparseForm::Before,
            (None, None, Some(map)) | (Some(0), Some(0 | 1), Some(map)) => SparseForm::Pairs(std::mem::take(map)),
            _ => return Ok(None),
        };
        if kind != Kind::Regular {
            return Err(self.problem(TarProblem::Sparse("it belongs to an entry without data")));
        }
        if let Some(name) = &keys.name {
            self.name.clone_from(name);
        }
        Ok(Some(form))
    }

    /// Reads the data of a regular file.
    fn content(
        &mut self,
        header: &Header,
        pax: &Pax,
        sparse: Option<SparseForm>,
    ) -> Result<Option<Content>, LayerError> {
        let stored = match pax.size {
            Some(size) => size,
            None => self.tar(header.size())?,
        };
        let content = match sparse {
            None => self.plain(stored)?,
            Some(SparseForm::Old) => {
                let map = self.old_sparse_map(header, stored)?;
                self.sparse(map)?
            }
            Some(SparseForm::Pairs(numbers)) => {
                let map = SparseMap::from_pairs(&numbers, pax.sparse.size.unwrap_or(stored), stored);
                let map = self.tar(map)?;
                self.sparse(map)?
            }
            Some(SparseForm::Before) => {
                let map = self.sparse_map_before_data(pax.sparse.size.unwrap_or(stored), stored)?;
                self.sparse(map)?
            }
        };
        self.keep_padding(stored)?;
        Ok(content)
    }

    fn old_sparse_map(&mut self, header: &Header, stored: u64) -> Result<SparseMap, LayerError> {
        if header.format() != Format::Gnu {
            return Err(self.problem(TarProblem::Sparse("the header is not one of GNU tar")));
        }
        let (fields, mut continued, size) = self.tar(header.old_sparse())?;
        let mut ranges = Vec::new();
        self.tar(sparse::old_entries(fields, &mut ranges))?;
        let mut blocks = 0;
        while continued {
            blocks += 1;
            self.check_sparse_map_size(blocks)?;
            let mut block = [0; BLOCK];
            block.copy_from_slice(self.exactly(BLOCK)?);
            self.keep(BLOCK)?;
            let (fields, more) = sparse::continuation(&block);
            self.tar(sparse::old_entries(fields, &mut ranges))?;
            continued = more;
        }
        self.tar(SparseMap::new(ranges, size, stored))
    }

    fn check_sparse_map_size(&self, blocks: u64) -> Result<(), LayerError> {
        let size = blocks * BLOCK as u64;
        if size > EXTENSION_LIMIT {
            return Err(self.problem(TarProblem::TooLong { what: "sparse map", size, limit: EXTENSION_LIMIT }));
        }
        Ok(())
    }

    fn sparse_map_before_data(&mut self, size: u64, stored: u64) -> Result<SparseMap, LayerError> {
        let mut reader = sparse::MapReader::default();
        let mut left = stored;
        loop {
            let Some(after) = left.checked_sub(BLOCK as u64) else {
                return Err(self.problem(TarProblem::Sparse("it exceeds the stored size")));
            };
            left = after;
            let numbers = reader.block(self.exactly(BLOCK)?);
            self.keep(BLOCK)?;
            if let Some(numbers) = self.tar(numbers)? {
                return self.tar(SparseMap::from_pairs(&numbers, size, left));
            }
        }
    }

    fn check_content_size(&mut self, size: u64) -> Result<(), LayerError> {
        self.check("size of a file", size, self.limits.file_size)?;
        self.content_size = self.content_size.saturating_add(size);
        self.check("size of all files", self.content_size, self.limits.content_size)
    }

    /// Data that is the content as it stands.
    fn plain(&mut self, size: u64) -> Result<Option<Content>, LayerError> {
        if size == 0 {
            return Ok(None);
        }
        self.check_content_size(size)?;
        self.skeleton.cut(self.entries, None);
        if size > WINDOW as u64 {
            let input = &mut self.input;
            return self.packs.place_stream(self.pack, size, |stream| pour(input, stream, size)).map(Some);
        }
        self.exactly(size as usize)?;
        let bytes = &self.input.buffered()[..size as usize];
        let content = self.packs.place(self.pack, bytes).map_err(LayerError::WritePack)?;
        self.input.consume(size as usize);
        Ok(Some(content))
    }

    /// Data that is ranges of the content; the pack gets the whole, with holes.
    fn sparse(&mut self, map: SparseMap) -> Result<Option<Content>, LayerError> {
        if map.size == 0 {
            return Ok(None);
        }
        self.check_content_size(map.size)?;
        for range in &map.ranges {
            self.skeleton.cut(self.entries, Some((range.offset, range.length)));
        }
        if map.size > WINDOW as u64 {
            let input = &mut self.input;
            let expand = |stream: &mut Stream<'_, S>| pour_ranges(input, stream, &map);
            return self.packs.place_stream(self.pack, map.size, expand).map(Some);
        }
        let mut expanded = std::mem::take(&mut self.expanded);
        expanded.clear();
        expanded.resize(map.size as usize, 0);
        for range in &map.ranges {
            let (start, length) = (range.offset as usize, range.length as usize);
            expanded[start..start + length].copy_from_slice(self.exactly(length)?);
            self.input.consume(length);
        }
        let content = self.packs.place(self.pack, &expanded).map_err(LayerError::WritePack)?;
        self.expanded = expanded;
        Ok(Some(content))
    }

    fn check(&self, what: &'static str, value: u64, limit: u64) -> Result<(), LayerError> {
        if value > limit { Err(self.over(what, limit)) } else { Ok(()) }
    }

    fn over(&self, what: &'static str, limit: u64) -> LayerError {
        LayerError::Limit { offset: self.header_offset, what, limit }
    }

    fn problem(&self, problem: TarProblem) -> LayerError {
        LayerError::Tar { offset: self.header_offset, problem }
    }

    fn tar<T>(&self, result: Result<T, TarProblem>) -> Result<T, LayerError> {
        result.map_err(|problem| self.problem(problem))
    }
}

/// The ways a tar says that its data is ranges of a file.
enum SparseForm {
    /// Old GNU: map in the header and in blocks behind it.
    Old,
    /// PAX 0.0 and 0.1: map in the extended header.
    Pairs(Vec<u64>),
    /// PAX 1.0: map before the data.
    Before,
}

impl From<PackFailure> for LayerError {
    fn from(failure: PackFailure) -> LayerError {
        LayerError::WritePack(failure.0)
    }
}

fn compress_failure(_: io::Error) -> LayerError {
    LayerError::WriteIndex("the skeleton cannot be compressed")
}

/// Moves `count` bytes of the tar into a content.
fn pour<R: Read, S: PackSink>(input: &mut Input<R>, stream: &mut Stream<'_, S>, count: u64) -> Result<(), LayerError> {
    let mut left = count;
    while left > 0 {
        let bytes = input.peek(1)?;
        let now = left.min(bytes.len() as u64) as usize;
        if now == 0 {
            return Err(LayerError::Tar { offset: input.offset(), problem: TarProblem::Truncated });
        }
        stream.put(&bytes[..now])?;
        input.consume(now);
        left -= now as u64;
    }
    Ok(())
}

fn pour_ranges<R: Read, S: PackSink>(
    input: &mut Input<R>,
    stream: &mut Stream<'_, S>,
    map: &SparseMap,
) -> Result<(), LayerError> {
    let mut position = 0;
    for range in &map.ranges {
        stream.hole(range.offset - position)?;
        pour(input, stream, range.length)?;
        position = range.offset + range.length;
    }
    stream.hole(map.size - position)?;
    Ok(())
}

fn kind(type_flag: u8, name: &[u8]) -> Result<Kind, TarProblem> {
    Ok(match type_flag {
        // Before POSIX a directory was a file whose name ends in a slash.
        0 if name.ends_with(b"/") => Kind::Directory,
        0 | b'0' | b'7' | b'S' => Kind::Regular,
        b'1' => Kind::HardLink,
        b'2' => Kind::Symlink,
        b'3' => Kind::CharDevice,
        b'4' => Kind::BlockDevice,
        b'5' => Kind::Directory,
        b'6' => Kind::Fifo,
        _ => return Err(TarProblem::Type(type_flag)),
    })
}

fn metadata(header: &Header, pax: &Pax) -> Result<Metadata, TarProblem> {
    // Some writers store owners beyond 2³¹ as negative numbers.
    let id = |value: i64, field| match value {
        0..=0xffff_ffff => Ok(value as u32),
        -0x8000_0000..0 => Ok(value as i32 as u32),
        _ => Err(TarProblem::Number(field)),
    };
    let mtime = match pax.mtime {
        Some(mtime) => mtime,
        None => Timestamp { seconds: header.mtime()?, nanoseconds: 0 },
    };
    Ok(Metadata {
        mode: (header.mode()? & 0o7777) as u16,
        uid: id(pax.uid.map_or_else(|| header.uid(), Ok)?, "uid")?,
        gid: id(pax.gid.map_or_else(|| header.gid(), Ok)?, "gid")?,
        mtime,
    })
}

/// Why Linux would not take an attribute (XATTR_NAME_MAX, XATTR_SIZE_MAX).
pub(crate) fn xattr_problem(name: &[u8], value: &[u8]) -> Option<&'static str> {
    if name.is_empty() || name.len() > 255 || name.contains(&0) {
        return Some("the name is empty, longer than 255 bytes, or contains a NUL byte");
    }
    (value.len() > 64 << 10).then_some("the value is longer than 64 KiB")
}

fn lossy(bytes: &[u8]) -> String {
    String::from_utf8_lossy(bytes).into_owned()
}
