//! `tags`: what a repository offers, without pulling anything.

use futures_util::{StreamExt as _, TryStreamExt as _};
use strata_model::{
    Descriptor, Digest, ImageConfig, ImageManifest, MAX_MANIFEST_SIZE, Manifest, Platform, Reference, Tag, Target,
};
use strata_registry_client::RegistryClient;
use strata_transfer::{ImageSource, Result as TransferResult, read_small_blob};

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
    /// Its platforms and the compressed size of each; artifacts have none.
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
        Manifest::Image(image) => vec![(config_platform(source, &image.config).await?, image_size(image))],
        Manifest::Index(index) => {
            let mut platforms = Vec::new();
            let is_image = |entry: &&Descriptor| !entry.is_attestation();
            for entry in index.manifests.iter().filter(is_image) {
                let child = source.manifest(entry).await?;
                let size = match child.value() {
                    Manifest::Image(image) => image_size(image),
                    Manifest::Index(_) => 0,
                };
                platforms.push((entry.platform.clone(), size));
            }
            platforms
        }
    };
    Ok(TagInfo { tag, digest: resolved.digest, platforms })
}

/// What the configuration of an image says that it runs on; `None` for artifacts.
async fn config_platform(source: &dyn ImageSource, config: &Descriptor) -> TransferResult<Option<Platform>> {
    if !config.media_type.is_image_config() {
        return Ok(None);
    }
    let bytes = read_small_blob(source, config, MAX_MANIFEST_SIZE as u64).await?;
    Ok(ImageConfig::parse(&bytes).ok().map(|config| config.platform()))
}

/// Compressed bytes of an image.
fn image_size(image: &ImageManifest) -> u64 {
    image.config.size + image.layers.iter().map(|layer| layer.size).sum::<u64>()
}
