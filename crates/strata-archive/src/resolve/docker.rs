//! Docker archives since 1.10: `manifest.json` names configuration and layers of each image by path.

use std::collections::HashMap;

use bytes::Bytes;
use serde::Deserialize;
use strata_model::{Descriptor, Digest, ImageConfig, MediaType, Reference};

use super::{Budget, MANIFEST, check_diff_id, parse};
use crate::inventory::Inventory;
use crate::synthesis::{layer_descriptor, synthesize_manifest};
use crate::{ArchiveError, ArchiveImage, ArchiveLayer, ImageVariant, names};

/// One image in `manifest.json`. Writers put `null` where a list is empty.
#[derive(Deserialize)]
#[serde(rename_all = "PascalCase")]
struct Item {
    config: String,
    repo_tags: Option<Vec<String>>,
    layers: Option<Vec<String>>,
    /// Descriptors by diff ID; kept as they are, since they only add to what is known otherwise.
    layer_sources: Option<HashMap<String, serde_json::Value>>,
}

impl Item {
    fn names(&self) -> Result<Vec<Reference>, ArchiveError> {
        self.repo_tags.iter().flatten().map(|tag| names::tagged(tag)).collect()
    }

    /// Where a layer comes from, if it is not to be distributed with the image.
    fn foreign_source(&self, diff_id: &str) -> Option<Descriptor> {
        let value = self.layer_sources.as_ref()?.get(diff_id)?;
        let source: Descriptor = serde_json::from_value(value.clone()).ok()?;
        (source.media_type.is_foreign_layer() || !source.urls.is_empty()).then_some(source)
    }
}

fn items(inventory: &Inventory) -> Result<Vec<Item>, ArchiveError> {
    let bytes = inventory.needed_document(MANIFEST, "the archive")?;
    parse::<Option<Vec<Item>>>(MANIFEST, bytes)?.ok_or(ArchiveError::NullManifest)
}

/// The images of `manifest.json`.
pub(super) fn images(inventory: &Inventory, budget: &mut Budget) -> Result<Vec<ArchiveImage>, ArchiveError> {
    let mut images: Vec<ArchiveImage> = Vec::new();
    let mut positions: HashMap<Digest, usize> = HashMap::new();
    for item in items(inventory)? {
        let mut found = image(inventory, budget, &item)?;
        match positions.get(&found.root.digest) {
            Some(&position) => images[position].names.append(&mut found.names),
            None => {
                positions.insert(found.root.digest, images.len());
                images.push(found);
            }
        }
    }
    Ok(images)
}

/// Gives the images of an OCI layout the names that only `manifest.json` has for them.
pub(super) fn add_names(inventory: &Inventory, images: &mut [ArchiveImage]) -> Result<(), ArchiveError> {
    let mut positions = HashMap::new();
    for (position, image) in images.iter().enumerate() {
        for config in image.variants.iter().filter_map(|variant| variant.config.as_ref()) {
            positions.entry(config.clone()).or_insert(position);
        }
    }
    for item in items(inventory)? {
        let position = inventory.document(&item.config)?.and_then(|config| positions.get(config));
        if let Some(&position) = position {
            for name in item.names()? {
                if !images.iter().any(|image| image.names.contains(&name)) {
                    images[position].names.push(name);
                }
            }
        }
    }
    Ok(())
}

fn image(inventory: &Inventory, budget: &mut Budget, item: &Item) -> Result<ArchiveImage, ArchiveError> {
    let config = inventory.needed_document(&item.config, MANIFEST)?;
    let parsed: ImageConfig = parse(&item.config, config)?;
    let paths = item.layers.as_deref().unwrap_or_default();
    let diff_ids = &parsed.rootfs.diff_ids;
    if paths.len() != diff_ids.len() {
        return Err(ArchiveError::LayersMismatch { expected: paths.len(), got: diff_ids.len() });
    }
    budget.spend(1 + paths.len())?;
    let mut layers = Vec::with_capacity(paths.len());
    for (position, (path, diff_id)) in paths.iter().zip(diff_ids).enumerate() {
        let member = inventory.find(path, MANIFEST)?;
        let stored = inventory.stored(&member).ok_or_else(|| ArchiveError::Document {
            path: path.clone(),
            cause: "it is listed as a layer, but describes the archive".into(),
        })?;
        check_diff_id(position, *diff_id, &stored)?;
        layers.push(ArchiveLayer {
            descriptor: layer_descriptor(&stored),
            path: member,
            diff_id: Some(*diff_id),
            stored: Some(stored),
            source: item.foreign_source(&diff_id.to_string()),
        });
    }
    Ok(synthesized(item.names()?, config.clone(), &parsed, layers))
}

/// An image without a manifest of its own.
pub(super) fn synthesized(
    names: Vec<Reference>,
    config: Bytes,
    parsed: &ImageConfig,
    layers: Vec<ArchiveLayer>,
) -> ArchiveImage {
    let descriptors: Vec<Descriptor> = layers.iter().map(|layer| layer.descriptor.clone()).collect();
    let manifest = synthesize_manifest(&config, &descriptors);
    let root = Descriptor::new(MediaType::DOCKER_MANIFEST, manifest.digest(), manifest.size());
    let mut platform = parsed.platform();
    // Old configurations leave it out; docker takes it for the system that it runs on.
    if platform.os.is_empty() {
        platform.os = "linux".into();
    }
    let variant = ImageVariant {
        descriptor: Descriptor { platform: Some(platform.clone()), ..root.clone() },
        manifest,
        synthesized: true,
        config: Some(config),
        platform: Some(platform),
        layers,
    };
    ArchiveImage { names, root, indexes: Vec::new(), variants: vec![variant], absent: Vec::new() }
}
