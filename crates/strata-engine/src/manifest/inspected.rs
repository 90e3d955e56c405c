//! A manifest as `manifest inspect` shows it.

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use bytes::Bytes;
use serde::{Deserialize, Serialize};
use serde_json::value::RawValue;
use serde_json::{Map, Value};
use strata_model::{Descriptor, Manifest, MediaType, Raw};

/// What a name points at on its registry.
#[derive(Clone, Debug)]
pub enum ManifestInspection {
    /// One image or artifact. Docker prints its bytes indented with tabs.
    Single(Box<InspectedManifest>),
    /// Several. Docker prints the list indented with three spaces.
    List {
        /// The list's exact bytes.
        raw: Bytes,
        /// Its manifests, when they were asked for.
        manifests: Vec<InspectedManifest>,
    },
}

impl ManifestInspection {
    /// What `--verbose` prints: an object for a single manifest, a list of such for several.
    pub fn verbose(&self) -> Value {
        match self {
            ManifestInspection::Single(manifest) => manifest.to_json(),
            ManifestInspection::List { manifests, .. } => manifests.iter().map(InspectedManifest::to_json).collect(),
        }
    }
}

/// A manifest and what is known about it.
#[derive(Clone, Debug)]
pub struct InspectedManifest {
    /// The canonical reference; within a list tag and digest.
    pub reference: String,
    /// Type, digest, size and platform.
    pub descriptor: Descriptor,
    /// The manifest.
    pub manifest: Raw<Manifest>,
}

/// As docker stores and prints it.
#[derive(Serialize, Deserialize)]
#[serde(rename_all = "PascalCase")]
struct Document<'a> {
    #[serde(rename = "Ref")]
    reference: String,
    descriptor: Descriptor,
    raw: String,
    #[serde(rename = "SchemaV2Manifest", borrow, default, skip_serializing_if = "Option::is_none")]
    docker: Option<&'a RawValue>,
    #[serde(rename = "OCIManifest", borrow, default, skip_serializing_if = "Option::is_none")]
    oci: Option<&'a RawValue>,
}

impl InspectedManifest {
    /// As docker prints it: `Ref`, `Descriptor`, `Raw` in base64, `SchemaV2Manifest` or `OCIManifest`.
    pub fn to_json(&self) -> Value {
        let plain = || Value::Object(Map::new());
        serde_json::from_slice(&self.to_bytes()).unwrap_or_else(|_| plain())
    }

    pub(super) fn to_bytes(&self) -> Vec<u8> {
        let manifest: Option<&RawValue> = serde_json::from_slice(self.manifest.bytes()).ok();
        let is_docker = self.manifest.value().media_type() == MediaType::DOCKER_MANIFEST;
        let document = Document {
            reference: self.reference.clone(),
            descriptor: self.descriptor.clone(),
            raw: STANDARD.encode(self.manifest.bytes()),
            docker: manifest.filter(|_| is_docker),
            oci: manifest.filter(|_| !is_docker),
        };
        // A structure with text keys can always be written.
        serde_json::to_vec(&document).unwrap_or_default()
    }

    pub(super) fn from_bytes(bytes: &[u8]) -> Result<InspectedManifest, String> {
        let Document { reference, descriptor, raw, .. } =
            serde_json::from_slice(bytes).map_err(|cause| cause.to_string())?;
        let raw = STANDARD.decode(raw).map_err(|cause| cause.to_string())?;
        let manifest = Raw::parse(raw, |bytes| Manifest::parse(bytes, None)).map_err(|cause| cause.to_string())?;
        Ok(InspectedManifest { reference, descriptor, manifest })
    }
}
