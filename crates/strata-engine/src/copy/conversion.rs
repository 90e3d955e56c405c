//! Docker's manifests as OCI ones, on their way: other media types around the same configuration and layers.

use std::collections::HashMap;
use std::sync::{Mutex, PoisonError};

use async_trait::async_trait;
use serde_json::Value;
use strata_model::{Descriptor, Digest, ErrorKind, Manifest, MediaType, Raw, Target};
use strata_transfer::{BlobStream, ImageSource, Origin, PlatformChoice, Result, TransferError, choose_platform};

/// Most indexes within indexes that are followed.
const MAX_DEPTH: usize = 4;

/// A source whose manifests are OCI ones, whatever they are at their place. Blobs keep their digests; a manifest that had
/// Docker's types gets another one.
pub(super) struct OciSource<'a> {
    place: &'a dyn ImageSource,
    platforms: &'a PlatformChoice,
    converted: Mutex<HashMap<Digest, Raw<Manifest>>>,
}

impl<'a> OciSource<'a> {
    pub(super) fn new(place: &'a dyn ImageSource, platforms: &'a PlatformChoice) -> OciSource<'a> {
        OciSource { place, platforms, converted: Mutex::default() }
    }

    /// Converts a manifest and all below it; of an index only what is wanted.
    async fn convert(&self, descriptor: &Descriptor, depth: usize) -> Result<Descriptor> {
        if depth > MAX_DEPTH {
            let message = format!("index {}: indexes are nested more than {MAX_DEPTH} deep", descriptor.digest);
            return Err(TransferError::new(ErrorKind::Invalid, message));
        }
        let manifest = self.place.manifest(descriptor).await?;
        let children = match manifest.value() {
            Manifest::Image(_) => &[][..],
            Manifest::Index(index) => &index.manifests,
        };
        if !children.is_empty() && !matches!(self.platforms, PlatformChoice::All) {
            let child = choose_platform(children, self.platforms)?;
            return Box::pin(self.convert(child, depth + 1)).await;
        }
        let mut document: Value =
            serde_json::from_slice(manifest.bytes()).map_err(|cause| malformed(&manifest, &cause))?;
        rename_types(&mut document);
        for (position, child) in children.iter().enumerate().filter(|(_, child)| child.media_type.is_manifest()) {
            let child = Box::pin(self.convert(child, depth + 1)).await?;
            let entry = &mut document["manifests"][position];
            entry["mediaType"] = child.media_type.as_str().into();
            entry["digest"] = child.digest.to_string().into();
            entry["size"] = child.size.into();
        }
        self.keep(descriptor, manifest, &document)
    }

    /// Keeps a converted manifest; one that did not change keeps its bytes.
    fn keep(&self, descriptor: &Descriptor, manifest: Raw<Manifest>, document: &Value) -> Result<Descriptor> {
        let former: Value = serde_json::from_slice(manifest.bytes()).map_err(|cause| malformed(&manifest, &cause))?;
        let converted = if former == *document {
            manifest
        } else {
            let bytes = serde_json::to_vec(document).map_err(|cause| malformed(&manifest, &cause))?;
            Raw::parse(bytes, |bytes| Manifest::parse(bytes, None)).map_err(|cause| malformed(&manifest, &cause))?
        };
        let plain = Descriptor::new(converted.value().media_type(), converted.digest(), converted.size());
        let result = Descriptor { platform: descriptor.platform.clone(), ..plain };
        self.converted.lock().unwrap_or_else(PoisonError::into_inner).insert(result.digest, converted);
        Ok(result)
    }
}

#[async_trait]
impl ImageSource for OciSource<'_> {
    fn origin(&self) -> Origin {
        self.place.origin()
    }

    async fn resolve(&self, target: &Target) -> Result<Descriptor> {
        let resolved = self.place.resolve(target).await?;
        self.convert(&resolved, 0).await
    }

    async fn manifest(&self, descriptor: &Descriptor) -> Result<Raw<Manifest>> {
        let converted = self.converted.lock().unwrap_or_else(PoisonError::into_inner).get(&descriptor.digest).cloned();
        match converted {
            Some(manifest) => Ok(manifest),
            None => self.place.manifest(descriptor).await,
        }
    }

    async fn blob(&self, descriptor: &Descriptor, from: u64) -> Result<BlobStream> {
        self.place.blob(descriptor, from).await
    }
}

/// Replaces Docker's media types in a manifest and its descriptors.
fn rename_types(document: &mut Value) {
    let rename = |object: &mut Value| {
        if let Some(renamed) = object.get("mediaType").and_then(Value::as_str).and_then(oci_type) {
            object["mediaType"] = renamed.as_str().into();
        }
    };
    rename(document);
    if let Some(config) = document.get_mut("config") {
        rename(config);
    }
    document.get_mut("layers").and_then(Value::as_array_mut).into_iter().flatten().for_each(rename);
}

fn oci_type(docker: &str) -> Option<MediaType> {
    const FOREIGN: MediaType =
        MediaType(std::borrow::Cow::Borrowed("application/vnd.oci.image.layer.nondistributable.v1.tar+gzip"));
    let pairs = [
        (MediaType::DOCKER_MANIFEST, MediaType::OCI_MANIFEST),
        (MediaType::DOCKER_LIST, MediaType::OCI_INDEX),
        (MediaType::DOCKER_CONFIG, MediaType::OCI_CONFIG),
        (MediaType::DOCKER_LAYER, MediaType::OCI_LAYER),
        (MediaType::DOCKER_LAYER_GZIP, MediaType::OCI_LAYER_GZIP),
        (MediaType::DOCKER_LAYER_ZSTD, MediaType::OCI_LAYER_ZSTD),
        (MediaType::DOCKER_FOREIGN_LAYER, FOREIGN),
    ];
    pairs.into_iter().find(|(from, _)| from.as_str() == docker).map(|(_, to)| to)
}

fn malformed(manifest: &Raw<Manifest>, cause: &dyn std::fmt::Display) -> TransferError {
    TransferError::new(ErrorKind::Invalid, format!("manifest {}: {cause}", manifest.digest()))
}
