//! The documents of an archive, from values: `index.json`'s entries, `manifest.json`, `repositories`.

use std::collections::{BTreeMap, HashMap};

use serde::Serialize;
use strata_model::{Descriptor, Digest, ImageManifest, Reference};

use super::{SavedImage, SavedVariant};
use crate::ArchiveError;
use crate::layout::with_name;
use crate::synthesis::json;

/// One image in `manifest.json`, in the order of keys that docker writes.
#[derive(Debug, Serialize)]
#[serde(rename_all = "PascalCase")]
pub(super) struct Item {
    config: String,
    repo_tags: Option<Vec<String>>,
    layers: Option<Vec<String>>,
}

/// What `manifest.json` says of each image that is for a platform; images of the same manifest become one.
/// `paths` tells where configuration and layers are.
pub(super) fn items(
    images: &[SavedImage],
    mut paths: impl FnMut(&SavedVariant, &ImageManifest) -> Result<(String, Vec<String>), ArchiveError>,
) -> Result<Vec<Item>, ArchiveError> {
    let mut items: Vec<Item> = Vec::new();
    let mut positions: HashMap<Digest, usize> = HashMap::new();
    for image in images {
        let Some(variant) = image.described()? else {
            continue;
        };
        let names = image.tagged_names().map(Reference::familiar);
        let digest = variant.manifest.digest();
        let position = match positions.get(&digest) {
            Some(&position) => position,
            None => {
                let (config, layers) = paths(variant, variant.image()?)?;
                let layers = (!layers.is_empty()).then_some(layers);
                items.push(Item { config, repo_tags: None, layers });
                positions.insert(digest, items.len() - 1);
                items.len() - 1
            }
        };
        for name in names {
            let repo_tags = items[position].repo_tags.get_or_insert_default();
            if !repo_tags.contains(&name) {
                repo_tags.push(name);
            }
        }
    }
    Ok(items)
}

/// The bytes of `manifest.json`, with the newline that docker ends it with.
pub(super) fn manifest(items: &[Item]) -> Vec<u8> {
    line(&items)
}

/// The bytes of `repositories`: for each name the top layer. `None` when there are no names.
pub(super) fn repositories(images: &[SavedImage]) -> Result<Option<Vec<u8>>, ArchiveError> {
    let mut repositories: BTreeMap<String, BTreeMap<String, String>> = BTreeMap::new();
    for image in images {
        let Some(variant) = image.described()? else {
            continue;
        };
        let Some(top) = variant.image()?.layers.last() else {
            continue;
        };
        for name in image.tagged_names() {
            let tag = name.target().to_string();
            repositories.entry(name.familiar_name()).or_default().insert(tag, top.digest.hex());
        }
    }
    Ok((!repositories.is_empty()).then(|| line(&repositories)))
}

/// The entries of `index.json` for an image: one for each name, or one without a name.
pub(super) fn index_entries(image: &SavedImage) -> Result<Vec<Descriptor>, ArchiveError> {
    let root = match (image.indexes.first(), image.variants.first()) {
        (Some(index), _) => Descriptor::new(index.value().media_type(), index.digest(), index.size()),
        (None, Some(variant)) => {
            let manifest = &variant.manifest;
            let descriptor = Descriptor::new(manifest.value().media_type(), manifest.digest(), manifest.size());
            Descriptor { platform: variant.platform()?, ..descriptor }
        }
        (None, None) => return Ok(Vec::new()),
    };
    let named: Vec<Descriptor> = image.tagged_names().map(|name| with_name(root.clone(), name)).collect();
    Ok(if named.is_empty() { vec![root] } else { named })
}

impl SavedImage {
    /// The variant that `manifest.json` describes: the first that is for a platform.
    fn described(&self) -> Result<Option<&SavedVariant>, ArchiveError> {
        for variant in &self.variants {
            if variant.platform()?.is_some() {
                return Ok(Some(variant));
            }
        }
        Ok(None)
    }

    fn tagged_names(&self) -> impl Iterator<Item = &Reference> {
        self.names.iter().filter(|name| name.tag().is_some() && name.digest().is_none())
    }
}

fn line(value: &impl Serialize) -> Vec<u8> {
    let mut bytes = json(value);
    bytes.push(b'\n');
    bytes
}
