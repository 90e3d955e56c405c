//! Layers: a tar, and the blob that it is packed into.

use std::io::Write;

use strata_model::{Descriptor, DiffId, Digest, MediaType};

use crate::tar::{TarBuilder, TarEntry, TarFormat};

/// How a layer's tar becomes a blob.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Packing {
    /// As it is.
    Plain,
    /// gzip without name and time.
    Gzip,
    /// One zstd frame.
    Zstd,
}

impl Packing {
    /// The bytes packed.
    pub fn pack(self, bytes: &[u8]) -> Vec<u8> {
        match self {
            Packing::Plain => bytes.to_vec(),
            Packing::Gzip => {
                let mut encoder = flate2::write::GzEncoder::new(Vec::new(), flate2::Compression::default());
                encoder.write_all(bytes).expect("writing to memory");
                encoder.finish().expect("writing to memory")
            }
            Packing::Zstd => zstd::encode_all(bytes, 1).expect("writing to memory"),
        }
    }
}

/// A layer with both of its forms.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Layer {
    /// The tar.
    pub tar: Vec<u8>,
    /// The tar, packed.
    pub blob: Vec<u8>,
    /// How it is packed.
    pub packing: Packing,
}

impl Layer {
    /// A gzip layer of these members, in PAX format.
    pub fn new(entries: &[TarEntry]) -> Layer {
        Layer::of_tar(TarBuilder::new(TarFormat::Pax).entries(entries).finish(), Packing::Gzip)
    }

    /// A gzip layer of one file.
    pub fn of_file(path: &str, data: impl AsRef<[u8]>) -> Layer {
        Layer::new(&[TarEntry::file(path, data)])
    }

    /// A layer of any bytes.
    pub fn of_tar(tar: Vec<u8>, packing: Packing) -> Layer {
        Layer { blob: packing.pack(&tar), tar, packing }
    }

    /// A layer with a file of `size` bytes that do not compress, the same for the same `seed`.
    pub fn of_noise(seed: u64, size: usize) -> Layer {
        Layer::of_file(&format!("noise-{seed}"), noise(seed, size))
    }

    /// The same tar packed in another way.
    pub fn packed(self, packing: Packing) -> Layer {
        Layer::of_tar(self.tar, packing)
    }

    /// Digest of the tar.
    pub fn diff_id(&self) -> DiffId {
        DiffId(Digest::of(&self.tar))
    }

    /// Digest of the blob.
    pub fn digest(&self) -> Digest {
        Digest::of(&self.blob)
    }

    /// What a manifest says of the blob.
    pub fn descriptor(&self, docker: bool) -> Descriptor {
        let media_type = match (docker, self.packing) {
            (false, Packing::Plain) => MediaType::OCI_LAYER,
            (false, Packing::Gzip) => MediaType::OCI_LAYER_GZIP,
            (false, Packing::Zstd) => MediaType::OCI_LAYER_ZSTD,
            (true, Packing::Plain) => MediaType::DOCKER_LAYER,
            (true, Packing::Gzip) => MediaType::DOCKER_LAYER_GZIP,
            (true, Packing::Zstd) => MediaType::DOCKER_LAYER_ZSTD,
        };
        Descriptor::new(media_type, self.digest(), self.blob.len() as u64)
    }
}

/// Bytes that do not compress (SplitMix64), the same for the same `seed`.
pub fn noise(seed: u64, size: usize) -> Vec<u8> {
    let mut state = seed;
    let mut next = || {
        state = state.wrapping_add(0x9e37_79b9_7f4a_7c15);
        let mut word = state;
        word = (word ^ (word >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
        word = (word ^ (word >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
        word ^ (word >> 31)
    };
    let mut bytes: Vec<u8> = (0..size.div_ceil(8)).flat_map(|_| next().to_le_bytes()).collect();
    bytes.truncate(size);
    bytes
}
