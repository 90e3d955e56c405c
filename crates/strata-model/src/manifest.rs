//! Image manifests and indexes, and what they refer to (OCI image-spec manifest.md and image-index.md; Docker schema 2).

use serde::{Deserialize, Serialize};

use crate::descriptor::null_is_default;
use crate::{Annotations, Descriptor, MediaType};

/// Largest manifest that is read, in bytes: what registries accept.
pub const MAX_MANIFEST_SIZE: usize = 4 << 20;

/// A manifest of one image (or artifact): a configuration and layers.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct ImageManifest {
    /// Always 2.
    pub schema_version: u32,
    /// Absent in some OCI manifests.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub media_type: Option<MediaType>,
    /// Type of an artifact that is no container image.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub artifact_type: Option<String>,
    /// The image configuration.
    pub config: Descriptor,
    /// Layers, lowest first.
    #[serde(default, deserialize_with = "null_is_default")]
    pub layers: Vec<Descriptor>,
    /// The manifest that this one is about (signatures, attestations).
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub subject: Option<Descriptor>,
    /// Free annotations.
    #[serde(default, skip_serializing_if = "Annotations::is_empty", deserialize_with = "null_is_default")]
    pub annotations: Annotations,
}

/// An index: manifests for several platforms, or of several artifacts.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct ImageIndex {
    /// Always 2.
    pub schema_version: u32,
    /// Absent in some OCI indexes.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub media_type: Option<MediaType>,
    /// Type of an artifact.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub artifact_type: Option<String>,
    /// The entries in the order written.
    #[serde(default, deserialize_with = "null_is_default")]
    pub manifests: Vec<Descriptor>,
    /// The manifest that this one is about.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub subject: Option<Descriptor>,
    /// Free annotations.
    #[serde(default, skip_serializing_if = "Annotations::is_empty", deserialize_with = "null_is_default")]
    pub annotations: Annotations,
}

/// A manifest of either kind.
#[derive(Clone, Debug, PartialEq)]
#[expect(clippy::large_enum_variant, reason = "there are a handful at a time, and nearly all of them are images")]
pub enum Manifest {
    /// One image or artifact.
    Image(ImageManifest),
    /// Several.
    Index(ImageIndex),
}

/// In what role a manifest refers to something.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum EdgeRole {
    /// The configuration of an image.
    Config,
    /// A layer or another blob of an artifact.
    Layer,
    /// A manifest named by an index.
    Manifest,
    /// What this manifest is about; it need not exist.
    Subject,
}

/// One reference from a manifest to other content.
#[derive(Clone, Debug)]
pub struct Edge<'a> {
    /// The role.
    pub role: EdgeRole,
    /// What is referred to.
    pub descriptor: &'a Descriptor,
}

/// Why bytes are not a manifest.
#[derive(Debug, thiserror::Error)]
pub enum ManifestError {
    /// Not JSON, or JSON of another shape.
    #[error("malformed manifest: {0}")]
    Json(#[from] serde_json::Error),
    /// Both an image and an index: ambiguous on purpose (CVE-2021-41190).
    #[error("malformed manifest: both `manifests` and `layers` or `config` are present")]
    Ambiguous,
    /// Neither an image nor an index.
    #[error("malformed manifest: neither an image manifest nor an index")]
    NeitherShape,
    /// Docker schema 1.
    #[error(
        "Docker image manifest schema 1 is not supported: push the image again with a current client to convert it to schema 2 or OCI"
    )]
    Schema1,
    /// The `mediaType` inside contradicts the one it was delivered with, or its shape.
    #[error("manifest says it is {inside}, but was delivered as {outside}")]
    MediaTypeMismatch {
        /// What the document says.
        inside: MediaType,
        /// What came with it.
        outside: MediaType,
    },
    /// The schema version is not 2.
    #[error("unsupported manifest schema version {0}")]
    SchemaVersion(u64),
    /// More than [`MAX_MANIFEST_SIZE`] bytes.
    #[error("manifest of {0} bytes is larger than the limit of {MAX_MANIFEST_SIZE} bytes")]
    TooLarge(usize),
}

/// The keys that decide which shape a document has.
#[derive(Deserialize)]
#[serde(rename_all = "camelCase")]
struct Shape {
    schema_version: Option<u64>,
    media_type: Option<MediaType>,
    config: Option<serde::de::IgnoredAny>,
    layers: Option<serde::de::IgnoredAny>,
    manifests: Option<serde::de::IgnoredAny>,
    fs_layers: Option<serde::de::IgnoredAny>,
}

impl Manifest {
    /// Parses a manifest. `delivered` is the media type that came with it (HTTP header, descriptor), if any.
    ///
    /// # Errors
    /// When the bytes are no manifest, are ambiguous, are schema 1, or contradict `delivered`.
    pub fn parse(bytes: &[u8], delivered: Option<&MediaType>) -> Result<Manifest, ManifestError> {
        if bytes.len() > MAX_MANIFEST_SIZE {
            return Err(ManifestError::TooLarge(bytes.len()));
        }
        let shape: Shape = serde_json::from_slice(bytes)?;
        let delivered = delivered.filter(|media_type| media_type.is_manifest() || media_type.is_schema1());
        let is_schema1 = |media_type: &MediaType| media_type.is_schema1();
        if shape.fs_layers.is_some()
            || shape.schema_version == Some(1)
            || shape.media_type.as_ref().is_some_and(is_schema1)
            || delivered.is_some_and(is_schema1)
        {
            return Err(ManifestError::Schema1);
        }
        match shape.schema_version {
            Some(2) => {}
            Some(version) => return Err(ManifestError::SchemaVersion(version)),
            None => return Err(ManifestError::NeitherShape),
        }
        let image = shape.layers.is_some() || shape.config.is_some();
        if image && shape.manifests.is_some() {
            return Err(ManifestError::Ambiguous);
        }
        if let (Some(inside), Some(outside)) = (&shape.media_type, delivered)
            && inside != outside
        {
            return Err(ManifestError::MediaTypeMismatch { inside: inside.clone(), outside: outside.clone() });
        }
        let declared = shape.media_type.as_ref().or(delivered);
        let manifest = if image {
            Manifest::Image(serde_json::from_slice(bytes)?)
        } else if shape.manifests.is_some() {
            Manifest::Index(serde_json::from_slice(bytes)?)
        } else {
            return Err(ManifestError::NeitherShape);
        };
        match declared {
            Some(declared) if declared.is_manifest() && declared.is_index() == image => {
                Err(ManifestError::MediaTypeMismatch { inside: manifest.media_type(), outside: declared.clone() })
            }
            _ => Ok(manifest),
        }
    }

    /// The media type written inside, or the OCI one of the shape.
    pub fn media_type(&self) -> MediaType {
        match self {
            Manifest::Image(image) => image.media_type.clone().unwrap_or(MediaType::OCI_MANIFEST),
            Manifest::Index(index) => index.media_type.clone().unwrap_or(MediaType::OCI_INDEX),
        }
    }

    /// Everything this manifest refers to, in the order written. The only place that knows what refers to what.
    pub fn edges(&self) -> impl Iterator<Item = Edge<'_>> {
        let (config, layers, children, subject) = match self {
            Manifest::Image(image) => (Some(&image.config), &image.layers[..], &[][..], image.subject.as_ref()),
            Manifest::Index(index) => (None, &[][..], &index.manifests[..], index.subject.as_ref()),
        };
        let edge = |role| move |descriptor| Edge { role, descriptor };
        config
            .into_iter()
            .map(edge(EdgeRole::Config))
            .chain(layers.iter().map(edge(EdgeRole::Layer)))
            .chain(children.iter().map(edge(EdgeRole::Manifest)))
            .chain(subject.into_iter().map(edge(EdgeRole::Subject)))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const DIGEST: &str = "sha256:e3b0c44298fc1c149afbf4c8996fb92427ae41e4649b934ca495991b7852b855";

    #[test]
    fn an_image_refers_to_config_layers_and_subject() {
        let text = format!(
            r#"{{"schemaVersion":2,"config":{{"mediaType":"x","digest":"{DIGEST}","size":1}},
               "layers":[{{"mediaType":"y","digest":"{DIGEST}","size":2}}],"annotations":null}}"#
        );
        let manifest = Manifest::parse(text.as_bytes(), None).unwrap();
        let roles: Vec<EdgeRole> = manifest.edges().map(|edge| edge.role).collect();
        assert_eq!(roles, [EdgeRole::Config, EdgeRole::Layer]);
        assert_eq!(manifest.media_type(), MediaType::OCI_MANIFEST);
    }

    #[test]
    fn ambiguous_old_and_contradicting_documents_are_refused() {
        let parse = |text: &str| Manifest::parse(text.as_bytes(), None);
        assert!(matches!(parse(r#"{"schemaVersion":2,"layers":[],"manifests":[]}"#), Err(ManifestError::Ambiguous)));
        assert!(matches!(parse(r#"{"schemaVersion":1,"fsLayers":[]}"#), Err(ManifestError::Schema1)));
        assert!(matches!(parse(r#"{"schemaVersion":2}"#), Err(ManifestError::NeitherShape)));
        assert!(matches!(parse("[]"), Err(ManifestError::Json(_))));
        let index = format!(r#"{{"schemaVersion":2,"mediaType":"{}","manifests":[]}}"#, MediaType::OCI_INDEX);
        let outside = MediaType::OCI_MANIFEST;
        let mismatch = Manifest::parse(index.as_bytes(), Some(&outside));
        assert!(matches!(mismatch, Err(ManifestError::MediaTypeMismatch { .. })));
        let lying = format!(r#"{{"schemaVersion":2,"mediaType":"{}","manifests":[]}}"#, MediaType::OCI_MANIFEST);
        assert!(matches!(parse(&lying), Err(ManifestError::MediaTypeMismatch { .. })));
    }
}
