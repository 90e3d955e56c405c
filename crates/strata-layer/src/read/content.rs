//! The data of an entry: contents as they stand, and sparse ones in all their forms.

use std::io::Read;

use super::Pass;
use crate::entry::{Content, Kind};
use crate::error::{LayerError, TarProblem};
use crate::input::{Input, WINDOW};
use crate::pack::PackSink;
use crate::placement::Stream;
use crate::tar::header::{Format, Header};
use crate::tar::pax::Pax;
use crate::tar::sparse::{self, SparseMap};
use crate::tar::{BLOCK, EXTENSION_LIMIT};

/// The ways a tar says that its data is ranges of a file.
pub(super) enum SparseForm {
    /// Old GNU: map in the header and in blocks behind it.
    Old,
    /// PAX 0.0 and 0.1: map in the extended header.
    Pairs(Vec<u64>),
    /// PAX 1.0: map before the data.
    Before,
}

impl<R: Read, S: PackSink> Pass<'_, R, S> {
    /// How the data of an entry is to be read; sets the name where a sparse form says it.
    pub(super) fn sparse_form(
        &mut self,
        header: &Header,
        pax: &mut Pax,
        kind: Kind,
    ) -> Result<Option<SparseForm>, LayerError> {
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
    pub(super) fn content(
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

    fn count_content(&mut self, size: u64) -> Result<(), LayerError> {
        self.check("size of a file", size, self.limits.file_size)?;
        self.content_size = self.content_size.saturating_add(size);
        Ok(())
    }

    /// Data that is the content as it stands.
    fn plain(&mut self, size: u64) -> Result<Option<Content>, LayerError> {
        if size == 0 {
            return Ok(None);
        }
        self.count_content(size)?;
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
        self.count_content(map.size)?;
        self.holes = self.holes.saturating_add(map.holes());
        self.check("size of all holes", self.holes, self.limits.holes)?;
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
