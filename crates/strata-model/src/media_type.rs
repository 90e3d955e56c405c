//! Media types of manifests, configurations and layers (OCI image-spec media-types.md; Docker image manifest v2.2).

use std::fmt;

use serde::{Deserialize, Serialize};

/// How a layer's tar is compressed.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum Compression {
    /// A plain tar.
    None,
    /// RFC 1952, one or more members.
    Gzip,
    /// RFC 8878, one or more frames.
    Zstd,
    /// bzip2 (archives only; no registry media type).
    Bzip2,
    /// xz (archives only; no registry media type).
    Xz,
}

/// A media type as text, kept exactly as it was read.
#[derive(Clone, Debug, PartialEq, Eq, Hash, PartialOrd, Ord, Serialize, Deserialize)]
#[serde(transparent)]
pub struct MediaType(pub std::borrow::Cow<'static, str>);

macro_rules! known {
    ($($(#[$doc:meta])* $name:ident = $text:literal;)*) => {
        impl MediaType {
            $($(#[$doc])* pub const $name: MediaType = MediaType(std::borrow::Cow::Borrowed($text));)*
        }
    };
}

known! {
    /// OCI image manifest.
    OCI_MANIFEST = "application/vnd.oci.image.manifest.v1+json";
    /// OCI image index.
    OCI_INDEX = "application/vnd.oci.image.index.v1+json";
    /// OCI image configuration.
    OCI_CONFIG = "application/vnd.oci.image.config.v1+json";
    /// OCI layer, plain tar.
    OCI_LAYER = "application/vnd.oci.image.layer.v1.tar";
    /// OCI layer, gzip.
    OCI_LAYER_GZIP = "application/vnd.oci.image.layer.v1.tar+gzip";
    /// OCI layer, zstd.
    OCI_LAYER_ZSTD = "application/vnd.oci.image.layer.v1.tar+zstd";
    /// The two bytes `{}`.
    OCI_EMPTY = "application/vnd.oci.empty.v1+json";
    /// Docker schema 2 manifest.
    DOCKER_MANIFEST = "application/vnd.docker.distribution.manifest.v2+json";
    /// Docker manifest list.
    DOCKER_LIST = "application/vnd.docker.distribution.manifest.list.v2+json";
    /// Docker image configuration.
    DOCKER_CONFIG = "application/vnd.docker.container.image.v1+json";
    /// Docker layer, plain tar.
    DOCKER_LAYER = "application/vnd.docker.image.rootfs.diff.tar";
    /// Docker layer, gzip.
    DOCKER_LAYER_GZIP = "application/vnd.docker.image.rootfs.diff.tar.gzip";
    /// Docker layer, zstd (rare).
    DOCKER_LAYER_ZSTD = "application/vnd.docker.image.rootfs.diff.tar.zstd";
    /// Docker foreign layer: fetched from its URLs, never pushed.
    DOCKER_FOREIGN_LAYER = "application/vnd.docker.image.rootfs.foreign.diff.tar.gzip";
    /// Docker schema 1, unsigned; refused.
    DOCKER_SCHEMA1 = "application/vnd.docker.distribution.manifest.v1+json";
    /// Docker schema 1, signed; refused.
    DOCKER_SCHEMA1_SIGNED = "application/vnd.docker.distribution.manifest.v1+prettyjws";
    /// Bytes of unknown meaning.
    OCTET_STREAM = "application/octet-stream";
}

impl MediaType {
    /// A media type from a header or document; parameters after `;` are cut off.
    pub fn parse(text: &str) -> MediaType {
        let essence = text.split(';').next().unwrap_or_default().trim();
        MediaType(std::borrow::Cow::Owned(essence.to_owned()))
    }

    /// The text.
    pub fn as_str(&self) -> &str {
        &self.0
    }

    /// An OCI index or a Docker manifest list.
    pub fn is_index(&self) -> bool {
        *self == MediaType::OCI_INDEX || *self == MediaType::DOCKER_LIST
    }

    /// An OCI or Docker schema 2 image manifest.
    pub fn is_image_manifest(&self) -> bool {
        *self == MediaType::OCI_MANIFEST || *self == MediaType::DOCKER_MANIFEST
    }

    /// Any manifest or index that Strata can read.
    pub fn is_manifest(&self) -> bool {
        self.is_index() || self.is_image_manifest()
    }

    /// Docker schema 1, which is refused.
    pub fn is_schema1(&self) -> bool {
        *self == MediaType::DOCKER_SCHEMA1 || *self == MediaType::DOCKER_SCHEMA1_SIGNED
    }

    /// A configuration of a container image (and not of some other artifact).
    pub fn is_image_config(&self) -> bool {
        *self == MediaType::OCI_CONFIG || *self == MediaType::DOCKER_CONFIG
    }

    /// A layer whose bytes are to be fetched from elsewhere and never pushed.
    pub fn is_foreign_layer(&self) -> bool {
        self.0.contains("nondistributable") || self.0.contains(".foreign.")
    }

    /// A layer of a container image: a tar, whatever its compression.
    pub fn is_layer(&self) -> bool {
        self.0.starts_with("application/vnd.oci.image.layer.")
            || self.0.starts_with("application/vnd.docker.image.rootfs.")
    }
}

impl fmt::Display for MediaType {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.0)
    }
}
