//! Image archives of every age.

use std::collections::BTreeMap;
use std::io::{Read, Write};

use strata_archive::{
    ArchiveError, ArchiveImages, ArchiveSink, ArchiveWriter, BlobSource, Limits, Member, MemberContent, SavedImage,
    SavedVariant, SinkError, Stored, read_archive_with,
};
use strata_layer::decompressor;
use strata_model::{Compression, Descriptor, DiffId, Digest};

use crate::mend;

/// Most that a blob or a document may have here.
const LIMIT: u64 = 1 << 20;

/// An archive, compressed or not. What is read can be written, and is read again as the same images.
pub fn archive(bytes: &[u8]) {
    let mut tar = Vec::new();
    let inflated = decompressor(bytes).and_then(|(_, reader)| reader.take(4 * LIMIT).read_to_end(&mut tar));
    if inflated.is_ok() {
        load_and_save(&tar);
        load_and_save(&mend::tar(&tar));
    }
}

fn load_and_save(tar: &[u8]) {
    let mut memory = Memory::default();
    let Ok(images) = read(tar, &mut memory) else { return };
    let saved = saved(&images);
    let Ok(writer) = ArchiveWriter::oci(&saved) else { return };
    let mut written = Vec::new();
    // A blob that the archive did not have cannot be written.
    if writer.write(&mut written, &mut memory).is_ok() {
        let again = read(&written, &mut Memory::default()).expect("an archive just written is read");
        assert_eq!(writer.length(), written.len() as u64);
        assert!(again.images.len() <= images.images.len());
    }
}

fn read(tar: &[u8], memory: &mut Memory) -> Result<ArchiveImages, ArchiveError> {
    let limits =
        Limits { document: LIMIT, directory: LIMIT, documents: 4 * LIMIT, members: 10_000, descriptors: 10_000 };
    read_archive_with(limits, tar, memory)
}

fn saved(images: &ArchiveImages) -> Vec<SavedImage> {
    let variant = |variant: &strata_archive::ImageVariant| SavedVariant {
        manifest: variant.manifest.clone(),
        config: variant.config.clone(),
        layer_sizes: variant.layers.iter().map(|layer| layer.stored.map_or(0, |stored| stored.size)).collect(),
    };
    let image = |image: &strata_archive::ArchiveImage| SavedImage {
        names: image.names.clone(),
        indexes: image.indexes.clone(),
        variants: image.variants.iter().map(variant).collect(),
    };
    images.images.iter().map(image).collect()
}

/// Keeps every member by digest, and unpacks what is compressed to know diff IDs.
#[derive(Default)]
struct Memory(BTreeMap<Digest, Vec<u8>>);

impl ArchiveSink for Memory {
    fn store(&mut self, member: &Member<'_>, data: &mut dyn Read) -> Result<Stored, SinkError> {
        let mut bytes = Vec::new();
        data.read_to_end(&mut bytes)?;
        let compression = match member.content {
            MemberContent::Layer(compression) => compression,
            _ => Compression::None,
        };
        let mut diff_id = None;
        if compression != Compression::None {
            let mut tar = Vec::new();
            decompressor(&bytes[..])?.1.take(LIMIT).read_to_end(&mut tar)?;
            diff_id = Some(DiffId(Digest::of(&tar)));
        }
        let mut hasher = member.expected.map_or_else(|| Digest::of(b"").hasher(), |digest| digest.hasher());
        hasher.update(&bytes);
        let (digest, size) = (hasher.finish(), bytes.len() as u64);
        self.0.insert(digest, bytes);
        Ok(Stored { digest, size, compression, diff_id })
    }
}

impl BlobSource for Memory {
    fn write_blob(&mut self, descriptor: &Descriptor, out: &mut dyn Write) -> Result<(), SinkError> {
        let blob = self.0.get(&descriptor.digest).ok_or_else(|| format!("no blob {}", descriptor.digest))?;
        if blob.len() as u64 != descriptor.size {
            return Err("the size differs".into());
        }
        Ok(out.write_all(blob)?)
    }
}
