//! A sink and a source in memory.
#![allow(dead_code, unreachable_pub, reason = "each test file uses a part")]

use std::collections::BTreeMap;
use std::io::{Read, Write};

use strata_archive::{
    ArchiveError, ArchiveImages, ArchiveSink, BlobSource, Member, MemberContent, SavedImage, SavedVariant, SinkError,
    Stored, read_archive,
};
use strata_model::{Compression, Descriptor, DiffId, Digest};

/// Keeps every member by digest, and unpacks gzip to know diff IDs.
#[derive(Default)]
pub struct Memory {
    pub blobs: BTreeMap<Digest, Vec<u8>>,
    pub paths: Vec<String>,
    pub largest: usize,
}

impl ArchiveSink for Memory {
    fn store(&mut self, member: &Member<'_>, data: &mut dyn Read) -> Result<Stored, SinkError> {
        let mut bytes = Vec::new();
        data.read_to_end(&mut bytes)?;
        self.paths.push(member.path.to_owned());
        self.largest = self.largest.max(bytes.len());
        let compression = match member.content {
            MemberContent::Layer(compression) => compression,
            _ => Compression::None,
        };
        let diff_id = match compression {
            Compression::Gzip => {
                let mut tar = Vec::new();
                flate2::read::MultiGzDecoder::new(&bytes[..]).read_to_end(&mut tar)?;
                Some(DiffId(Digest::of(&tar)))
            }
            _ => None,
        };
        let mut hasher = member.expected.map_or_else(|| Digest::of(b"").hasher(), |digest| digest.hasher());
        hasher.update(&bytes);
        let digest = hasher.finish();
        let size = bytes.len() as u64;
        self.blobs.insert(digest, bytes);
        Ok(Stored { digest, size, compression, diff_id })
    }
}

impl BlobSource for Memory {
    fn write_blob(&mut self, descriptor: &Descriptor, out: &mut dyn Write) -> Result<(), SinkError> {
        let blob = self.blobs.get(&descriptor.digest).ok_or_else(|| format!("no blob {}", descriptor.digest))?;
        Ok(out.write_all(blob)?)
    }
}

pub fn read(tar: &[u8]) -> Result<(ArchiveImages, Memory), ArchiveError> {
    let mut memory = Memory::default();
    let images = read_archive(tar, &mut memory)?;
    Ok((images, memory))
}

/// What was read, as it is written again.
pub fn saved(images: &ArchiveImages) -> Vec<SavedImage> {
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

/// The names of each image, familiar, with the number of its variants' layers.
pub fn summary(images: &ArchiveImages) -> Vec<(Vec<String>, Vec<usize>)> {
    let names = |image: &strata_archive::ArchiveImage| image.names.iter().map(|name| name.familiar()).collect();
    let layers =
        |image: &strata_archive::ArchiveImage| image.variants.iter().map(|variant| variant.layers.len()).collect();
    images.images.iter().map(|image| (names(image), layers(image))).collect()
}
