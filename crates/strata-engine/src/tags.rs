//! `tags`: what a repository offers, without pulling anything.

use futures_util::{StreamExt as _, TryStreamExt as _};
use strata_model::{Descriptor, Digest, Manifest, Platform, Reference, Tag, Target};
use strata_registry_client::RegistryClient;
use strata_transfer::{ImageSource, Result as TransferResult};

use crate::Result;

/// Manifests asked for at once.
const CONCURRENT: usize = 8;

/// One tag.
#[derive(Clone, Debug)]
pub struct TagInfo {
    /// The tag.
    pub tag: Tag,
    /// What it points to.
    pub digest: Digest,
    /// Its platforms and the compressed size of each; the platform of a single image that no index describes is unknown.
    pub platforms: Vec<(Option<Platform>, u64)>,
}

/// Lists the tags of a repository with the compressed size of each platform, in the registry's order.
///
/// # Errors
/// What the registry refuses.
pub async fn tags(client: &RegistryClient, reference: &Reference) -> Result<Vec<TagInfo>> {
    let source = client.repository(reference.host(), reference.repository());
    let names = source.tags().await?;
    let source = &source;
    let infos: Vec<TagInfo> = futures_util::stream::iter(names)
        .map(|tag| async move { tag_info(source, tag).await })
        .buffered(CONCURRENT)
        .try_collect()
        .await?;
    Ok(infos)
}

async fn tag_info(source: &dyn ImageSource, tag: Tag) -> TransferResult<TagInfo> {
    let resolved = source.resolve(&Target::Tag(tag.clone())).await?;
    let manifest = source.manifest(&resolved).await?;
    let platforms = match manifest.value() {
        Manifest::Image(image) => vec![(None, image.config.size + sum(&image.layers))],
        Manifest::Index(index) => {
            let mut platforms = Vec::new();
            let is_image = |entry: &&Descriptor| !entry.is_attestation();
            for entry in index.manifests.iter().filter(is_image) {
                let child = source.manifest(entry).await?;
                let size = match child.value() {
                    Manifest::Image(image) => image.config.size + sum(&image.layers),
                    Manifest::Index(_) => 0,
                };
                platforms.push((entry.platform.clone(), size));
            }
            platforms
        }
    };
    Ok(TagInfo { tag, digest: resolved.digest, platforms })
}

fn sum(layers: &[Descriptor]) -> u64 {
    layers.iter().map(|layer| layer.size).sum()
}
