//! An image as a stack of layers, drawn to scale.

use askama::Template;
use strata_hub::records::RepositoryRow;
use strata_hub::{Findings, FindingsState, FoundFile, ImageStack, IndexState, StackLayer};

use super::image::{Shown, encode};
use super::repository::Head;
use crate::failure::{Failure, Result};
use crate::site::{Frame, Visit, page};
use crate::views::{Badge, Step, colour, named_path};
use crate::words;

/// The height of the drawing, and the least of a slice, in its own units.
const HEIGHT: u64 = 1000;
const LEAST: u64 = 12;
/// Repositories and tags named beside a layer.
const NAMED: usize = 5;

/// A slice of the drawing.
struct Slice {
    number: usize,
    colour: String,
    y: u64,
    height: u64,
    title: String,
}

/// A layer as it is listed.
struct LayerView {
    number: usize,
    address: String,
    colour: String,
    digest: String,
    short_digest: String,
    diff_id: String,
    instruction: String,
    size: String,
    unpacked: Option<String>,
    files: Option<String>,
    wasted: Option<String>,
    created: Option<String>,
    repositories: Vec<Step>,
    tags: Vec<Step>,
    /// How many more there are.
    more: usize,
    /// What the history has above it without a layer, newest first.
    steps: Vec<String>,
}

/// A file in a list of the largest.
pub(super) struct FileLine {
    pub(super) path: String,
    pub(super) address: String,
    pub(super) size: String,
    pub(super) layer: u32,
}

/// What is known once all files were looked through.
struct Known {
    system: Option<String>,
    files: String,
    bytes: String,
    wasted_bytes: Option<String>,
    largest: Vec<FileLine>,
    wasted: Vec<FileLine>,
}

/// The image itself, or nothing when the tag is none.
struct Stack {
    tag: String,
    platform: String,
    platforms: Vec<Step>,
    files: String,
    compare: String,
    trust: String,
    size: String,
    slices: Vec<Slice>,
    layers: Vec<LayerView>,
    /// Below the lowest layer.
    first_steps: Vec<String>,
    state: IndexState,
    known: Option<Known>,
}

#[derive(Template)]
#[template(path = "layers.html")]
struct Layers {
    frame: Frame,
    head: Head,
    stack: Option<Stack>,
}

/// `GET …/layers` and `GET …/tags/{tag}/layers?platform=`.
pub(super) async fn layers(visit: &Visit, row: &RepositoryRow, head: Head, tag: Option<String>) -> Result {
    let stack = match Shown::of(visit, row, &head, tag.as_deref()).await? {
        Some(shown) => Some(stack(visit, row, &head, &shown).await?),
        None => None,
    };
    Ok(page(Layers { frame: visit.frame(""), head, stack }))
}

async fn stack(visit: &Visit, row: &RepositoryRow, head: &Head, shown: &Shown) -> Result<Stack> {
    let failed = |error| Failure::of(visit, error);
    let hub = &visit.hub;
    let stack = hub.image_stack(row, &shown.parts, &shown.tag.tag, visit.identity.as_ref()).await.map_err(failed)?;
    let state = hub.index_state(row, &shown.parts).await.map_err(failed)?;
    let findings = match hub.findings(row, &shown.parts).await.map_err(failed)? {
        FindingsState::Ready(findings) => Some(*findings),
        FindingsState::Waiting | FindingsState::Failed(_) => None,
    };
    let total = stack.layers.iter().map(|layer| layer.size).sum();
    let view = |layer: &StackLayer| layer_view(shown, &head.card.path, &stack, layer, findings.as_ref());
    Ok(Stack {
        tag: shown.tag.tag.clone(),
        platform: shown.platform.clone(),
        platforms: shown.platforms("layers"),
        files: shown.address("files", ""),
        compare: format!("{}/compare?from={}", head.card.path, encode(shown.tag.tag.as_bytes())),
        trust: shown.address("trust", ""),
        size: words::size(total),
        slices: slices(&stack.layers, total),
        layers: stack.layers.iter().rev().map(view).collect(),
        first_steps: steps_above(&stack, 0),
        known: findings.as_ref().map(|findings| known(shown, findings)),
        state,
    })
}

/// The uppermost layer on top. Slices are as high as their part of the compressed bytes, but high enough to be seen and hit.
fn slices(layers: &[StackLayer], total: u64) -> Vec<Slice> {
    let spare = HEIGHT.saturating_sub(LEAST * layers.len() as u64);
    let mut y = 0;
    let mut slices = Vec::with_capacity(layers.len());
    for layer in layers.iter().rev() {
        let share = u128::from(layer.size) * u128::from(spare) / u128::from(total.max(1));
        let height = LEAST + share as u64;
        slices.push(Slice {
            number: layer.number,
            colour: colour_of(layer),
            y,
            height,
            title: format!("Layer {}: {}, {}", layer.number, words::size(layer.size), layer.instruction),
        });
        y += height;
    }
    // What rounding left goes to the lowest, so that the drawing ends where its frame does.
    if let Some(last) = slices.last_mut() {
        last.height += HEIGHT.saturating_sub(y);
    }
    slices
}

fn layer_view(
    shown: &Shown,
    repository: &str,
    stack: &ImageStack,
    layer: &StackLayer,
    findings: Option<&Findings>,
) -> LayerView {
    let found = findings.and_then(|findings| findings.layers.get(layer.number - 1));
    let repositories: Vec<Step> = layer
        .repositories
        .iter()
        .map(|name| Step::to(name.strip_prefix("library/").unwrap_or(name), named_path(name)))
        .collect();
    let tags: Vec<Step> =
        layer.tags.iter().map(|tag| Step::to(tag.clone(), format!("{repository}/tags/{tag}/layers"))).collect();
    let more = repositories.len().saturating_sub(NAMED) + tags.len().saturating_sub(NAMED);
    let digest = layer.digest.to_string();
    LayerView {
        number: layer.number,
        address: shown.address(&format!("layers/{}", layer.number), ""),
        colour: colour_of(layer),
        short_digest: words::short(&digest).to_owned(),
        digest,
        diff_id: layer.diff_id.map(|diff_id| diff_id.to_string()).unwrap_or_default(),
        instruction: layer.instruction.clone(),
        size: words::size(layer.size),
        unpacked: layer.content_size.map(words::size),
        files: match (found, layer.entries) {
            (Some(found), _) => Some(words::exactly(found.files, "file")),
            (None, entries) => entries.map(|entries| words::exactly(entries, "entry")),
        },
        wasted: found.filter(|found| found.wasted_bytes > 0).map(|found| words::size(found.wasted_bytes)),
        created: layer.created.as_deref().map(words::stated),
        repositories: repositories.into_iter().take(NAMED).collect(),
        tags: tags.into_iter().take(NAMED).collect(),
        more,
        steps: steps_above(stack, layer.number),
    }
}

/// By what it unpacks to: how it was compressed makes no difference.
fn colour_of(layer: &StackLayer) -> String {
    colour(&layer.diff_id.map_or(layer.digest, |diff_id| diff_id.0))
}

fn steps_above(stack: &ImageStack, number: usize) -> Vec<String> {
    let above = stack.steps.iter().rev().filter(|step| step.above == number && !step.instruction.is_empty());
    above.map(|step| step.instruction.clone()).collect()
}

fn known(shown: &Shown, findings: &Findings) -> Known {
    let lines = |files: &[FoundFile]| files.iter().take(15).map(|file| file_line(shown, file)).collect();
    Known {
        system: findings.system.clone(),
        files: words::exactly(findings.files, "file"),
        bytes: words::size(findings.bytes),
        wasted_bytes: (findings.wasted_bytes > 0).then(|| words::size(findings.wasted_bytes)),
        largest: lines(&findings.largest),
        wasted: lines(&findings.wasted),
    }
}

fn file_line(shown: &Shown, file: &FoundFile) -> FileLine {
    FileLine {
        path: format!("/{}", file.path),
        address: shown.address("files", &format!("find={}", encode(format!("/{}", file.path).as_bytes()))),
        size: words::size(file.size),
        layer: file.layer + 1,
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use strata_model::Digest;

    fn layer(number: usize, size: u64) -> StackLayer {
        StackLayer {
            number,
            digest: Digest::of(&size.to_be_bytes()),
            diff_id: None,
            size,
            content_size: None,
            entries: None,
            instruction: String::new(),
            created: None,
            repositories: Vec::new(),
            tags: Vec::new(),
        }
    }

    #[test]
    fn slices_are_to_scale_and_fill_the_drawing() {
        for sizes in [vec![1], vec![100, 100], vec![1, 1_000_000_000, 0], vec![0, 0], (1..=60).collect()] {
            let layers: Vec<StackLayer> =
                sizes.iter().enumerate().map(|(position, size)| layer(position + 1, *size)).collect();
            let slices = slices(&layers, sizes.iter().sum());
            assert_eq!(slices.iter().map(|slice| slice.height).sum::<u64>(), HEIGHT, "{sizes:?}");
            assert!(slices.iter().all(|slice| slice.height >= LEAST));
            assert_eq!(slices.last().map(|slice| slice.number), Some(1), "the lowest is at the bottom");
        }
        let halves = slices(&[layer(1, 300), layer(2, 100)], 400);
        assert_eq!(halves.iter().map(|slice| slice.height).collect::<Vec<_>>(), [256, 744]);
    }
}
