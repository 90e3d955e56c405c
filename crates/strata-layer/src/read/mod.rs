//! One pass over an uncompressed tar: diff ID, index, skeleton, and contents to the pack.
//!
//! The pass runs on the caller's thread and holds one buffer of 1.25 MiB, one of the pack's of 1 MiB, the index under
//! construction and the compressed skeleton. It is meant to run beside the decompressor on another thread.

mod content;
mod entry;

pub(crate) use entry::{kind, metadata, xattr_problem};

use std::io::{self, Read};

use strata_model::DiffId;

use crate::entry::{IndexBuilder, LayerIndex};
use crate::error::{LayerError, TarProblem};
use crate::input::Input;
use crate::pack::{PackSink, PackWriter};
use crate::placement::{KnownContents, PackFailure, PackTable};
use crate::skeleton::{Skeleton, SkeletonWriter};
use crate::tar::header::Header;
use crate::tar::pax::{self, Pax};
use crate::tar::{BLOCK, EXTENSION_LIMIT, NAME_LIMIT, number, padding};

/// What a layer may be; hostile ones end with [`LayerError::Limit`]. The defaults are far beyond honest layers.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct LayerLimits {
    /// Number of entries.
    pub entries: u64,
    /// Logical size of one file in bytes, holes included.
    pub file_size: u64,
    /// Sum of the holes of all sparse files in bytes: a few bytes of tar can claim any number of them, and all are
    /// hashed.
    pub holes: u64,
    /// Size of the uncompressed tar in bytes.
    pub tar_size: u64,
    /// Bytes of names, attributes and compressed skeleton, which are held in memory.
    pub metadata_size: u64,
}

impl Default for LayerLimits {
    fn default() -> LayerLimits {
        LayerLimits {
            entries: 4_000_000,
            file_size: 512 << 30,
            holes: 64 << 30,
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
    holes: u64,
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
            holes: 0,
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

    fn stored_metadata(&self) -> u64 {
        self.metadata_size + self.skeleton.stored_size()
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

impl From<PackFailure> for LayerError {
    fn from(failure: PackFailure) -> LayerError {
        LayerError::WritePack(failure.0)
    }
}

fn compress_failure(_: io::Error) -> LayerError {
    LayerError::WriteIndex("the skeleton cannot be compressed")
}
