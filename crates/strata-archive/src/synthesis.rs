//! Documents that an archive lacks and that are made for it: the manifest of a docker archive.

use std::convert::Infallible;

use strata_model::{Annotations, Compression, Descriptor, Digest, ImageManifest, Manifest, MediaType, Raw};

use crate::Stored;

/// The Docker schema 2 manifest for a configuration and layers; the same bytes for the same arguments.
pub fn synthesize_manifest(config: &[u8], layers: &[Descriptor]) -> Raw<Manifest> {
    let manifest = ImageManifest {
        schema_version: 2,
        media_type: Some(MediaType::DOCKER_MANIFEST),
        artifact_type: None,
        config: Descriptor::new(MediaType::DOCKER_CONFIG, Digest::of(config), config.len() as u64),
        layers: layers.to_vec(),
        subject: None,
        annotations: Annotations::new(),
    };
    let bytes = json(&manifest);
    match Raw::parse(bytes, |_| Ok::<_, Infallible>(Manifest::Image(manifest))) {
        Ok(raw) => raw,
        Err(never) => match never {},
    }
}

/// The descriptor of a stored layer in a Docker manifest.
pub(crate) fn layer_descriptor(stored: &Stored) -> Descriptor {
    let media_type = match stored.compression {
        Compression::None => MediaType::DOCKER_LAYER,
        Compression::Gzip => MediaType::DOCKER_LAYER_GZIP,
        Compression::Zstd => MediaType::DOCKER_LAYER_ZSTD,
        // Nobody defines these two; a true name is better than a wrong one.
        Compression::Bzip2 => MediaType::parse(&format!("{}.bzip2", MediaType::DOCKER_LAYER)),
        Compression::Xz => MediaType::parse(&format!("{}.xz", MediaType::DOCKER_LAYER)),
    };
    Descriptor::new(media_type, stored.digest, stored.size)
}

/// The bytes of a value whose maps have text keys and that therefore always has some.
pub(crate) fn json(value: &impl serde::Serialize) -> Vec<u8> {
    serde_json::to_vec(value).unwrap_or_default()
}
