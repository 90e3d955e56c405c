//! Archives of Docker before 1.10: each layer is an image of its own, in a directory named by its v1 ID, and names its
//! parent. The configuration that Docker made of such a chain when loading it is composed here.

use std::collections::{BTreeMap, BTreeSet, HashMap, HashSet};

use serde::{Deserialize, Serialize};
use serde_json::value::RawValue;
use strata_model::{DiffId, Reference};

use super::{Budget, REPOSITORIES, docker, parse};
use crate::inventory::Inventory;
use crate::synthesis::{json, layer_descriptor};
use crate::{ArchiveError, ArchiveImage, ArchiveLayer, names};

/// What matters of `<id>/json`.
#[derive(Deserialize)]
struct V1Image {
    #[serde(default)]
    parent: Option<String>,
    #[serde(default)]
    created: Option<String>,
    #[serde(default)]
    author: Option<String>,
    #[serde(default)]
    comment: Option<String>,
    #[serde(default)]
    container_config: Option<V1Container>,
    #[serde(default)]
    docker_version: Option<String>,
}

#[derive(Deserialize)]
struct V1Container {
    #[serde(default, rename = "Cmd")]
    cmd: Option<Words>,
}

#[derive(Deserialize)]
#[serde(untagged)]
enum Words {
    One(String),
    Many(Vec<String>),
}

#[derive(Serialize)]
struct RootFs<'a> {
    #[serde(rename = "type")]
    kind: &'static str,
    diff_ids: &'a [DiffId],
}

/// A step of the history, in the order of keys that Go writes.
#[derive(Clone, Serialize)]
struct Step {
    #[serde(skip_serializing_if = "Option::is_none")]
    created: Option<String>,
    #[serde(skip_serializing_if = "String::is_empty")]
    author: String,
    #[serde(skip_serializing_if = "String::is_empty")]
    created_by: String,
    #[serde(skip_serializing_if = "String::is_empty")]
    comment: String,
}

/// The tagged images, and those that are no other image's parent.
pub(super) fn images(inventory: &Inventory, budget: &mut Budget) -> Result<Vec<ArchiveImage>, ArchiveError> {
    let chain = read_chain(inventory)?;
    let mut tips = tagged_images(inventory, &chain)?;
    let parents: HashSet<&str> = chain.values().filter_map(|image| image.parent.as_deref()).collect();
    for id in chain.keys().filter(|id| !parents.contains(id.as_str())) {
        tips.entry(id.clone()).or_default();
    }
    tips.into_iter().map(|(id, names)| image(inventory, budget, &chain, &id, names)).collect()
}

/// All v1 images by ID.
fn read_chain(inventory: &Inventory) -> Result<BTreeMap<String, V1Image>, ArchiveError> {
    let mut chain = BTreeMap::new();
    for path in inventory.document_paths() {
        let Some(id) = path.strip_suffix("/json").filter(|id| !id.contains('/')) else {
            continue;
        };
        let bytes = inventory.needed_document(path, "the archive")?;
        chain.insert(id.to_owned(), parse(path, bytes)?);
    }
    if chain.is_empty() {
        return Err(ArchiveError::NotAnArchive);
    }
    Ok(chain)
}

/// The names in `repositories`, by image. Images without a name were saved without that file.
fn tagged_images(
    inventory: &Inventory,
    chain: &BTreeMap<String, V1Image>,
) -> Result<BTreeMap<String, Vec<Reference>>, ArchiveError> {
    let mut tagged: BTreeMap<String, Vec<Reference>> = BTreeMap::new();
    let Some(bytes) = inventory.document(REPOSITORIES)? else {
        return Ok(tagged);
    };
    let repositories: BTreeMap<String, BTreeMap<String, String>> = parse(REPOSITORIES, bytes)?;
    for (repository, tags) in repositories {
        for (tag, id) in tags {
            if !chain.contains_key(&id) {
                return Err(ArchiveError::Missing { document: REPOSITORIES.into(), path: format!("{id}/json") });
            }
            tagged.entry(id).or_default().push(names::tagged(&format!("{repository}:{tag}"))?);
        }
    }
    Ok(tagged)
}

fn image(
    inventory: &Inventory,
    budget: &mut Budget,
    chain: &BTreeMap<String, V1Image>,
    tip: &str,
    names: Vec<Reference>,
) -> Result<ArchiveImage, ArchiveError> {
    let mut layers = Vec::new();
    let mut history = Vec::new();
    for id in ancestry(chain, tip, budget)? {
        let (layer, step) = layer(inventory, id, &chain[id])?;
        layers.push(layer);
        history.push(step);
    }
    let path = format!("{tip}/json");
    let bytes = inventory.needed_document(&path, REPOSITORIES)?;
    let diff_ids: Vec<DiffId> = layers.iter().filter_map(|layer: &ArchiveLayer| layer.diff_id).collect();
    let config = compose_config(&path, bytes, &chain[tip], &diff_ids, &history)?;
    let parsed = parse(&path, &config)?;
    Ok(docker::synthesized(names, config.into(), &parsed, layers))
}

/// The IDs from the lowest ancestor up to `tip`.
fn ancestry<'a>(
    chain: &'a BTreeMap<String, V1Image>,
    tip: &'a str,
    budget: &mut Budget,
) -> Result<Vec<&'a str>, ArchiveError> {
    let mut ids = vec![tip];
    let mut seen = BTreeSet::from([tip]);
    let mut current = tip;
    while let Some(parent) = chain[current].parent.as_deref().filter(|parent| !parent.is_empty()) {
        budget.spend(1)?;
        if !chain.contains_key(parent) {
            return Err(ArchiveError::Missing { document: format!("{current}/json"), path: format!("{parent}/json") });
        }
        if !seen.insert(parent) {
            return Err(ArchiveError::Cycle(parent.to_owned()));
        }
        ids.push(parent);
        current = parent;
    }
    ids.reverse();
    Ok(ids)
}

fn layer(inventory: &Inventory, id: &str, image: &V1Image) -> Result<(ArchiveLayer, Step), ArchiveError> {
    let path = format!("{id}/layer.tar");
    let member = inventory.find(&path, &format!("{id}/json"))?;
    let unknown = |feature| ArchiveError::Unsupported { path: path.clone(), feature };
    let stored = inventory.stored(&member).ok_or_else(|| unknown("a layer that describes the archive"))?;
    // Docker before 1.10 knew no compressed layers; without unpacking one there is nothing to compose.
    let diff_id = stored.known_diff_id().ok_or_else(|| unknown("a compressed layer of unknown diff ID"))?;
    let words = image.container_config.as_ref().and_then(|container| container.cmd.as_ref());
    let step = Step {
        created: image.created.clone(),
        author: image.author.clone().unwrap_or_default(),
        created_by: match words {
            None => String::new(),
            Some(Words::One(word)) => word.clone(),
            Some(Words::Many(words)) => words.join(" "),
        },
        comment: image.comment.clone().unwrap_or_default(),
    };
    let layer = ArchiveLayer {
        descriptor: layer_descriptor(&stored),
        path: member,
        diff_id: Some(diff_id),
        stored: Some(stored),
        source: None,
    };
    Ok((layer, step))
}

/// The configuration that docker makes of a v1 image: its JSON with sorted keys, without what only v1 had, and with the
/// layers and the history. Images of Docker before 1.8.3 lose unknown and empty keys as well.
fn compose_config(
    path: &str,
    bytes: &[u8],
    image: &V1Image,
    diff_ids: &[DiffId],
    history: &[Step],
) -> Result<Vec<u8>, ArchiveError> {
    const DROPPED: [&str; 6] = ["id", "parent", "Size", "parent_id", "layer_id", "throwaway"];
    const KNOWN: [&str; 9] = [
        "comment",
        "created",
        "container",
        "container_config",
        "docker_version",
        "author",
        "config",
        "architecture",
        "os",
    ];
    let document: HashMap<&str, &RawValue> = parse(path, bytes)?;
    let is_old = is_before_1_8_3(image.docker_version.as_deref().unwrap_or_default());
    let mut config: BTreeMap<&str, &RawValue> = document
        .into_iter()
        .filter(|(key, value)| {
            let kept = KNOWN.contains(key) && !matches!(value.get(), "\"\"" | "null");
            !DROPPED.contains(key) && (kept || !is_old)
        })
        .collect();
    let raw = |bytes: Vec<u8>| {
        let text = String::from_utf8_lossy(&bytes).into_owned();
        RawValue::from_string(text)
            .map_err(|cause| ArchiveError::Document { path: path.to_owned(), cause: cause.to_string() })
    };
    let rootfs = raw(json(&RootFs { kind: "layers", diff_ids }))?;
    let history = raw(json(&history))?;
    config.insert("rootfs", &rootfs);
    config.insert("history", &history);
    Ok(json(&config))
}

fn is_before_1_8_3(version: &str) -> bool {
    let mut numbers = version.split(['.', '-', '+']).map(|part| part.parse::<u32>().unwrap_or(0));
    let mut next = || numbers.next().unwrap_or(0);
    (next(), next(), next()) < (1, 8, 3)
}
