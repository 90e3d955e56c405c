//! What a manifest is, as lists of tags show it: its kind, its platforms, how many bytes a pull moves.

use std::collections::BTreeSet;

use strata_model::{Descriptor, Digest, ImageConfig, ImageIndex, ImageManifest, Manifest, MediaType, Platform};
use strata_store::ReadTxn;

use crate::Result;
use crate::records::{ManifestRow, TagImage};

/// Longest word that is taken from a document into a list.
const LENGTH: usize = 100;

/// Kinds by the artifact's type or that of its configuration. Whatever is not here is an `artifact`.
const KINDS: [(&str, &str); 13] = [
    ("application/vnd.cncf.helm.config.v1+json", "helm"),
    ("application/vnd.docker.plugin.v1+json", "plugin"),
    ("application/vnd.docker.compose.project", "compose"),
    ("application/vnd.docker.ai.model.config.v0.1+json", "model"),
    ("application/vnd.cncf.model.config.v1+json", "model"),
    ("application/vnd.wasm.config.v0+json", "wasm"),
    ("application/vnd.wasm.config.v1+json", "wasm"),
    ("application/vnd.dev.cosign.artifact.sig.v1+json", "signature"),
    ("application/vnd.dev.sigstore.bundle.v0.3+json", "signature"),
    ("application/vnd.cncf.notary.signature", "signature"),
    ("application/vnd.in-toto+json", "attestation"),
    ("application/spdx+json", "sbom"),
    ("application/vnd.cyclonedx+json", "sbom"),
];

/// Reads a manifest and, of an index, its entries. `None` when it is not in the store.
pub(crate) async fn describe(txn: &dyn ReadTxn, digest: &Digest) -> Result<Option<ManifestRow>> {
    let Some((media_type, manifest)) = manifest(txn, digest).await? else { return Ok(None) };
    let (kind, images) = match &manifest {
        Manifest::Image(image) => (kind(image.artifact_type.as_deref(), &image.config.media_type), {
            vec![tag_image(*digest, &platform_of_config(txn, image).await?, size(image))]
        }),
        Manifest::Index(index) => entries(txn, index).await?,
    };
    Ok(Some(ManifestRow {
        digest: *digest,
        media_type: plain(media_type.as_str()),
        size: images.first().map_or(0, |image| image.size),
        // What runs nowhere has no platform to show.
        images: if kind == "image" { images } else { Vec::new() },
        kind: kind.to_owned(),
    }))
}

/// A manifest of the store. What is there but is none counts as missing.
pub(crate) async fn manifest(txn: &dyn ReadTxn, digest: &Digest) -> Result<Option<(MediaType, Manifest)>> {
    let Some(row) = txn.object(digest).await? else { return Ok(None) };
    let Some(bytes) = row.bytes else { return Ok(None) };
    let Ok(manifest) = Manifest::parse(&bytes, None) else { return Ok(None) };
    let media_type = if row.media_type.is_manifest() { row.media_type } else { manifest.media_type() };
    Ok(Some((media_type, manifest)))
}

/// The kind of an index is that of its first entry that is no attestation.
async fn entries(txn: &dyn ReadTxn, index: &ImageIndex) -> Result<(&'static str, Vec<TagImage>)> {
    let mut images = Vec::new();
    let mut first = None;
    for entry in index.manifests.iter().filter(|entry| !entry.is_attestation()) {
        let image = match manifest(txn, &entry.digest).await? {
            Some((_, Manifest::Image(image))) => Some(image),
            _ => None,
        };
        if let Some(image) = &image {
            first.get_or_insert(kind(image.artifact_type.as_deref(), &image.config.media_type));
        }
        let platform = match (&entry.platform, &image) {
            (Some(platform), _) => platform.clone(),
            (None, Some(image)) => platform_of_config(txn, image).await?,
            (None, None) => continue,
        };
        if !platform.is_unknown() {
            images.push(tag_image(entry.digest, &platform, image.as_ref().map_or(0, size)));
        }
    }
    let of_index = index.artifact_type.as_deref().map(|artifact| kind(Some(artifact), &MediaType::OCI_EMPTY));
    let default = if images.is_empty() { "artifact" } else { "image" };
    Ok((of_index.or(first).unwrap_or(default), images))
}

fn kind(artifact_type: Option<&str>, config: &MediaType) -> &'static str {
    let artifact_type = artifact_type.filter(|text| !text.is_empty());
    if artifact_type.is_none() && config.is_image_config() {
        return "image";
    }
    kind_of(artifact_type.unwrap_or(config.as_str()))
}

/// The kind of an artifact of this type.
pub(crate) fn kind_of(artifact_type: &str) -> &'static str {
    KINDS.iter().find(|(known, _)| *known == artifact_type).map_or("artifact", |(_, kind)| kind)
}

/// Compressed bytes of the layers.
fn size(image: &ImageManifest) -> u64 {
    image.layers.iter().map(|layer: &Descriptor| layer.size).fold(0, u64::saturating_add)
}

async fn platform_of_config(txn: &dyn ReadTxn, image: &ImageManifest) -> Result<Platform> {
    let bytes = match image.config.media_type.is_image_config() {
        true => txn.object(&image.config.digest).await?.and_then(|row| row.bytes),
        false => None,
    };
    Ok(bytes.and_then(|bytes| ImageConfig::parse(&bytes).ok()).map(|config| config.platform()).unwrap_or_default())
}

fn tag_image(digest: Digest, platform: &Platform, size: u64) -> TagImage {
    TagImage {
        digest,
        os: plain(&platform.os),
        architecture: plain(&platform.architecture),
        variant: platform.variant.as_deref().filter(|variant| !variant.is_empty()).map(plain),
        os_version: platform.os_version.as_deref().filter(|version| !version.is_empty()).map(plain),
        os_features: platform.os_features.iter().map(|feature| plain(feature)).collect(),
        size,
    }
}

/// A word from outside as a list can hold it: without blanks, not too long, never empty.
fn plain(text: &str) -> String {
    let word: String = text.chars().filter(char::is_ascii_graphic).take(LENGTH).collect();
    if word.is_empty() { "unknown".to_owned() } else { word }
}

/// What all tags of a repository are together.
#[derive(Default)]
pub(crate) struct Summary {
    pub(crate) kinds: BTreeSet<String>,
    pub(crate) media_types: BTreeSet<String>,
    pub(crate) platforms: BTreeSet<String>,
}

impl Summary {
    pub(crate) fn of(manifests: &[ManifestRow]) -> Summary {
        let mut summary = Summary::default();
        for manifest in manifests {
            summary.kinds.insert(manifest.kind.clone());
            summary.media_types.insert(manifest.media_type.clone());
            summary.platforms.extend(manifest.images.iter().map(|image| image.platform()));
        }
        summary
    }
}
