//! What an archive turned out to hold.

use bytes::Bytes;
use strata_model::{Descriptor, DiffId, Manifest, Platform, Raw, Reference};

use crate::Stored;

/// The family of an archive.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum ArchiveFormat {
    /// Before Docker 1.10: a directory for each layer, `repositories`.
    DockerV1,
    /// `manifest.json`.
    Docker,
    /// `oci-layout` and `index.json`, perhaps with `manifest.json` beside them (Docker 25 and later, containerd).
    Oci,
}

/// The images of an archive.
#[derive(Clone, Debug)]
pub struct ArchiveImages {
    /// Which documents they were found by.
    pub format: ArchiveFormat,
    /// In the archive's order. An image that several names point at is there once.
    pub images: Vec<ArchiveImage>,
    /// Entries of `index.json` of types that are no manifests.
    pub skipped: Vec<Descriptor>,
}

/// What names point at: a single image, or an index of several.
#[derive(Clone, Debug)]
pub struct ArchiveImage {
    /// Canonical, each with a tag or a digest. Of a name that the archive uses twice, the last use counts.
    pub names: Vec<Reference>,
    /// The manifest or index that the names point at.
    pub root: Descriptor,
    /// The root, if it is an index, and the indexes within it, outer ones first.
    pub indexes: Vec<Raw<Manifest>>,
    /// The images that are complete in the archive, in the order of the index; at least one.
    pub variants: Vec<ImageVariant>,
    /// Entries of the indexes whose content is not, or not completely, in the archive.
    pub absent: Vec<Descriptor>,
}

/// One image: a manifest, its configuration and layers.
#[derive(Clone, Debug)]
pub struct ImageVariant {
    /// The manifest's descriptor as its index has it, with platform and annotations.
    pub descriptor: Descriptor,
    /// The manifest; always of [`Manifest::Image`].
    pub manifest: Raw<Manifest>,
    /// Whether the manifest was made here, because the archive has none (everything but OCI).
    pub synthesized: bool,
    /// The configuration's exact bytes; `None` only for artifacts whose configuration is no JSON. In v1 archives it is
    /// composed as docker does.
    pub config: Option<Bytes>,
    /// The platform in the configuration; `None` for artifacts.
    pub platform: Option<Platform>,
    /// Lowest first.
    pub layers: Vec<ArchiveLayer>,
}

/// A layer of an image in an archive.
#[derive(Clone, Debug)]
pub struct ArchiveLayer {
    /// As the manifest has it: media type, digest and size of the stored bytes.
    pub descriptor: Descriptor,
    /// The member, after links were followed.
    pub path: String,
    /// Digest of the uncompressed layer as the configuration says; checked where [`Stored::known_diff_id`] knows it.
    /// `None` for blobs of artifacts.
    pub diff_id: Option<DiffId>,
    /// What the sink said of the member; `None` for foreign layers that the archive leaves out.
    ///
    /// A size of 0 in a docker archive stands for a layer that the receiver is expected to have: look it up by
    /// `diff_id` and make the manifest anew with [`crate::synthesize_manifest`].
    pub stored: Option<Stored>,
    /// Where a foreign layer comes from (`LayerSources`).
    pub source: Option<Descriptor>,
}
