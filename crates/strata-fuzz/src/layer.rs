//! Layers: the tar as received, and the three files that a store keeps of it.

use std::io::{self, Read, Write};

use strata_layer::{
    ContentDigest, Contents, ImageView, LayerIndex, LayerLimits, NothingKnown, PackFooter, PackId, PackSink,
    PackWriter, decode_index, decode_skeleton, decompressor, encode_index, layer_decompressor, merge, read_layer,
    write_tar,
};

use crate::mend;

/// Most that is taken of what a few bytes may claim to be.
const LIMIT: u64 = 8 << 20;

/// A layer's tar. What is read is written again to the byte, through the index file, and makes a file system.
pub fn layer_tar(bytes: &[u8]) {
    take_apart(bytes);
    take_apart(&mend::tar(bytes));
}

fn take_apart(tar: &[u8]) {
    const ID: PackId = PackId([1; 16]);
    let limits = LayerLimits { entries: 10_000, file_size: LIMIT, holes: LIMIT, tar_size: LIMIT, metadata_size: LIMIT };
    let mut pack = PackWriter::new(ID, MemoryFile::default());
    let Ok(layer) = read_layer(tar, &mut pack, &NothingKnown, &limits) else { return };
    let (summary, file) = pack.finish().expect("a pack in memory is finished");
    assert_eq!(summary.file_length, file.0.len() as u64);
    let pack = MemoryPack(&file.0);
    pack.footer().verify().expect("the footer of a pack just written");

    let file = encode_index(&layer.index, &layer.skeleton).expect("a small index is written");
    let index = decode_index(&file).expect("an index just written is read");
    let skeleton = decode_skeleton(&file).expect("a skeleton just written is read");
    let mut written = Vec::new();
    write_tar(&index, &skeleton, &pack, &mut written).expect("a tar just read is written");
    assert!(written == tar, "the tar differs");
    file_system(&index, &pack);
}

/// Merges the layer with itself, and writes and reads the view as a file system.
fn file_system(index: &LayerIndex, pack: &MemoryPack<'_>) {
    let Ok(view) = merge(&[index, index]) else { return };
    if let Ok(image) = written(&view, pack) {
        assert!(walk(&image).expect("an image just written is read") >= view.len());
    }
}

fn written(view: &ImageView, pack: &MemoryPack<'_>) -> Result<Vec<u8>, strata_erofs::WriteError> {
    let mut image = Vec::new();
    strata_erofs::write_image(view, &Places { view, pack }, &mut image).map(|_| image)
}

/// An index file: entries and skeleton.
pub fn layer_index(bytes: &[u8]) {
    open_index(bytes);
    if let Some(mended) = mend::index(bytes) {
        open_index(&mended);
    }
}

fn open_index(file: &[u8]) {
    let index = decode_index(file);
    let skeleton = decode_skeleton(file);
    if let Ok(index) = &index {
        for entry in index.entries() {
            assert!(!format!("{entry:?}").is_empty());
        }
        if let Ok(view) = merge(&[index]) {
            assert!(view.walk().count() >= view.len());
        }
    }
    if let (Ok(index), Ok(skeleton)) = (index, skeleton) {
        let _ = write_tar(&index, &skeleton, &Zeros, Limited(LIMIT));
    }
}

/// The footer at the end of a pack.
pub fn pack_footer(bytes: &[u8]) {
    open_pack(bytes);
    if let Some(mended) = mend::pack(bytes) {
        open_pack(&mended);
    }
}

fn open_pack(file: &[u8]) {
    let length = file.len() as u64;
    let Ok(footer) = PackFooter::parse(length, file) else { return };
    let sound = footer.verify().is_ok();
    for (digest, place) in footer.iter() {
        let found = footer.find(&digest);
        if sound {
            assert_eq!(found, Some(place));
            assert!(place.offset + place.length <= length);
        }
    }
    footer.find(&ContentDigest([0xff; 32]));
}

/// A file system image.
pub fn erofs_image(bytes: &[u8]) {
    let _ = walk(bytes);
}

/// The file system of a layer that is sound.
pub(crate) fn image_of(tar: &[u8]) -> Vec<u8> {
    let mut pack = PackWriter::new(PackId([1; 16]), MemoryFile::default());
    let layer = read_layer(tar, &mut pack, &NothingKnown, &LayerLimits::default()).expect("a sound layer is read");
    let (_, file) = pack.finish().expect("a pack in memory is finished");
    let view = merge(&[&layer.index]).expect("a sound layer makes a view");
    written(&view, &MemoryPack(&file.0)).expect("a sound view is written")
}

/// Reads all there is in an image; returns how many names it has.
fn walk(bytes: &[u8]) -> Result<usize, strata_erofs::reader::ReadError> {
    let image = strata_erofs::reader::Image::open(bytes)?;
    image.devices()?;
    let names = image.walk()?;
    for (_, number) in &names {
        let inode = image.inode(*number)?;
        image.xattrs(&inode)?;
        match inode.kind {
            strata_layer::Kind::Regular => drop(image.extents(&inode)?),
            strata_layer::Kind::Symlink => drop(image.target(&inode)?),
            _ => {}
        }
    }
    Ok(names.len())
}

/// A stream of any compression. The decoder that leaves checksums to others gives the same bytes.
pub fn compression(bytes: &[u8]) {
    let inflated = |layer: bool| -> io::Result<Vec<u8>> {
        let (_, reader) = if layer { layer_decompressor(bytes)? } else { decompressor(bytes)? };
        let mut plain = Vec::new();
        reader.take(LIMIT).read_to_end(&mut plain)?;
        Ok(plain)
    };
    let (checked, unchecked) = (inflated(false), inflated(true));
    if let Ok(checked) = checked {
        assert!(unchecked.expect("what passes with checksums passes without") == checked);
    }
}

/// A pack in memory.
#[derive(Default)]
pub(crate) struct MemoryFile(pub(crate) Vec<u8>);

impl PackSink for MemoryFile {
    fn write_at(&mut self, offset: u64, bytes: &[u8]) -> io::Result<()> {
        let (start, end) = (offset as usize, offset as usize + bytes.len());
        self.0.resize(self.0.len().max(end), 0);
        self.0[start..end].copy_from_slice(bytes);
        Ok(())
    }

    fn set_len(&mut self, length: u64) -> io::Result<()> {
        self.0.resize(length as usize, 0);
        Ok(())
    }
}

/// The one pack that a layer was read into.
struct MemoryPack<'a>(&'a [u8]);

impl<'a> MemoryPack<'a> {
    fn footer(&self) -> PackFooter<'a> {
        PackFooter::parse(self.0.len() as u64, self.0).expect("a pack just written has a footer")
    }
}

impl Contents for MemoryPack<'_> {
    fn read(&self, _: PackId, digest: &ContentDigest, offset: u64, buffer: &mut [u8]) -> io::Result<()> {
        let place = self.footer().find(digest).ok_or(io::ErrorKind::NotFound)?;
        let start = (place.offset + offset) as usize;
        buffer.copy_from_slice(&self.0[start..start + buffer.len()]);
        Ok(())
    }
}

struct Places<'a> {
    view: &'a ImageView,
    pack: &'a MemoryPack<'a>,
}

impl strata_erofs::Places for Places<'_> {
    fn place(&self, pack: usize, digest: &ContentDigest) -> Option<u64> {
        assert!(pack < self.view.packs().len());
        self.pack.footer().find(digest).map(|place| place.offset)
    }

    fn length(&self, _: usize) -> u64 {
        self.pack.0.len() as u64
    }
}

/// Contents of any pack: zeros, for what an index claims without a pack to prove it.
struct Zeros;

impl Contents for Zeros {
    fn read(&self, _: PackId, _: &ContentDigest, _: u64, buffer: &mut [u8]) -> io::Result<()> {
        buffer.fill(0);
        Ok(())
    }
}

/// Takes so many bytes and then fails.
struct Limited(u64);

impl Write for Limited {
    fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
        self.0 = self.0.checked_sub(bytes.len() as u64).ok_or(io::ErrorKind::StorageFull)?;
        Ok(bytes.len())
    }

    fn flush(&mut self) -> io::Result<()> {
        Ok(())
    }
}
