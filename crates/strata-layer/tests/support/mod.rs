//! A tiny store in memory and a maker of odd tars, for the tests of this crate.
#![allow(dead_code)]

use std::collections::HashMap;
use std::io;

use strata_layer::{
    Content, ContentDigest, Contents, KnownContents, LayerError, LayerIndex, LayerLimits, NothingKnown, PackFooter,
    PackId, PackSink, PackWriter, ReadLayer, decode_index, decode_skeleton, encode_index, read_layer, write_tar,
};

/// A file in memory. Writes far behind its end are refused by tests that should not make any.
#[derive(Default)]
pub(crate) struct MemoryFile(pub(crate) Vec<u8>);

impl PackSink for MemoryFile {
    fn write_at(&mut self, offset: u64, bytes: &[u8]) -> io::Result<()> {
        let end = offset as usize + bytes.len();
        self.0.resize(self.0.len().max(end), 0);
        self.0[offset as usize..end].copy_from_slice(bytes);
        Ok(())
    }

    fn set_len(&mut self, length: u64) -> io::Result<()> {
        self.0.resize(length as usize, 0);
        Ok(())
    }
}

/// Packs by identity.
#[derive(Default)]
pub(crate) struct MemoryPacks(pub(crate) HashMap<PackId, Vec<u8>>);

impl MemoryPacks {
    fn footer(&self, pack: PackId) -> io::Result<PackFooter<'_>> {
        let file = self.0.get(&pack).ok_or(io::ErrorKind::NotFound)?;
        PackFooter::parse(file.len() as u64, file).map_err(io::Error::other)
    }
}

impl Contents for MemoryPacks {
    fn read(&self, pack: PackId, digest: &ContentDigest, offset: u64, buffer: &mut [u8]) -> io::Result<()> {
        let place = self.footer(pack)?.find(digest).ok_or(io::ErrorKind::NotFound)?;
        assert!(offset + buffer.len() as u64 <= place.length);
        let start = (place.offset + offset) as usize;
        buffer.copy_from_slice(&self.0[&pack][start..start + buffer.len()]);
        Ok(())
    }
}

impl KnownContents for MemoryPacks {
    fn find(&self, digest: &ContentDigest, size: u64) -> Option<PackId> {
        let holds =
            |pack: &&PackId| self.footer(**pack).unwrap().find(digest).is_some_and(|place| place.length == size);
        self.0.keys().find(holds).copied()
    }
}

/// Reads a tar into a new pack, which is added to `packs`.
pub(crate) fn read(tar: &[u8], packs: &mut MemoryPacks, known: bool) -> Result<ReadLayer, LayerError> {
    let id = PackId([packs.0.len() as u8 + 1; 16]);
    let mut pack = PackWriter::new(id, MemoryFile::default());
    let known: &dyn KnownContents = if known { packs } else { &NothingKnown };
    let layer = read_layer(tar, &mut pack, known, &LayerLimits { file_size: 1 << 30, ..LayerLimits::default() })?;
    let (summary, file) = pack.finish().unwrap();
    assert_eq!(summary.file_length, file.0.len() as u64);
    PackFooter::parse(summary.file_length, &file.0).unwrap().verify().unwrap();
    packs.0.insert(id, file.0);
    Ok(layer)
}

/// Reads a tar, through the index file and back to the tar, which must be the same. Checks that every content has its
/// digest.
pub(crate) fn round_trip(tar: &[u8], name: &str) -> LayerIndex {
    let mut packs = MemoryPacks::default();
    let layer = read(tar, &mut packs, false).unwrap_or_else(|error| panic!("{name}: {error}"));
    let file = encode_index(&layer.index, &layer.skeleton).unwrap();
    let index = decode_index(&file).unwrap_or_else(|error| panic!("{name}: {error}"));
    let skeleton = decode_skeleton(&file).unwrap();
    assert!(skeleton == layer.skeleton, "{name}");
    assert_same(&index, &layer.index);
    assert_eq!(index.diff_id.0, strata_model::Digest::of(tar), "{name}");
    assert_eq!(index.tar_size, tar.len() as u64, "{name}");
    let mut written = Vec::new();
    let length = write_tar(&index, &skeleton, &packs, &mut written).unwrap_or_else(|error| panic!("{name}: {error}"));
    assert_eq!(length, tar.len() as u64, "{name}");
    assert!(written == tar, "{name}: the tar differs");
    let mut content_size = 0;
    for entry in index.entries() {
        if let Some(content) = entry.content {
            content_size += content.size;
            assert_eq!(ContentDigest::of(&bytes_of(&index, &packs, content)), content.digest, "{name}");
        }
    }
    assert_eq!(index.content_size, content_size, "{name}");
    index
}

/// The content of the last entry with this path.
pub(crate) fn content_of(index: &LayerIndex, packs: &MemoryPacks, path: &[u8]) -> Vec<u8> {
    let entry = index.entries().filter(|entry| entry.path == path).last().expect("the entry");
    entry.content.map_or_else(Vec::new, |content| bytes_of(index, packs, content))
}

fn bytes_of(index: &LayerIndex, packs: &MemoryPacks, content: Content) -> Vec<u8> {
    let mut bytes = vec![0; content.size as usize];
    packs.read(index.packs[usize::from(content.pack)], &content.digest, 0, &mut bytes).unwrap();
    bytes
}

fn assert_same(one: &LayerIndex, other: &LayerIndex) {
    assert_eq!(one.packs, other.packs);
    assert_eq!(one.len(), other.len());
    for (one, other) in one.entries().zip(other.entries()) {
        assert_eq!(format!("{one:?}"), format!("{other:?}"));
    }
}

/// A header block, ustar unless changed by `adjust`, with a valid checksum.
pub(crate) fn header(name: &[u8], type_flag: u8, size: u64, adjust: impl FnOnce(&mut [u8; 512])) -> Vec<u8> {
    let mut block = [0; 512];
    block[..name.len()].copy_from_slice(name);
    block[100..107].copy_from_slice(b"0000644");
    block[108..115].copy_from_slice(b"0000000");
    block[116..123].copy_from_slice(b"0000000");
    block[124..136].copy_from_slice(format!("{size:011o}\0").as_bytes());
    block[136..147].copy_from_slice(b"14712345670");
    block[156] = type_flag;
    block[257..265].copy_from_slice(b"ustar\x0000");
    adjust(&mut block);
    block[148..156].fill(b' ');
    let sum: u32 = block.iter().map(|&byte| u32::from(byte)).sum();
    block[148..156].copy_from_slice(format!("{sum:06o}\0 ").as_bytes());
    block.to_vec()
}

/// Data, padded to whole blocks.
pub(crate) fn padded(data: &[u8]) -> Vec<u8> {
    let mut blocks = data.to_vec();
    blocks.resize(data.len().next_multiple_of(512), 0);
    blocks
}

/// An entry with data.
pub(crate) fn member(name: &str, type_flag: u8, data: &[u8]) -> Vec<u8> {
    [header(name.as_bytes(), type_flag, data.len() as u64, |_| {}), padded(data)].concat()
}

/// An entry whose link name is set.
pub(crate) fn link(name: &str, type_flag: u8, target: &str) -> Vec<u8> {
    header(name.as_bytes(), type_flag, 0, |block| block[157..157 + target.len()].copy_from_slice(target.as_bytes()))
}

/// A PAX extended header of these records.
pub(crate) fn pax(records: &[(&str, &[u8])]) -> Vec<u8> {
    let mut data = Vec::new();
    for (key, value) in records {
        let body = key.len() + value.len() + 3;
        let length = (1..20).map(|digits| body + digits).find(|length| body + length.to_string().len() == *length);
        data.extend_from_slice(format!("{} {key}=", length.unwrap()).as_bytes());
        data.extend_from_slice(value);
        data.push(b'\n');
    }
    member("PaxHeaders/x", b'x', &data)
}

/// The end of a tar.
pub(crate) const END: [u8; 1024] = [0; 1024];
