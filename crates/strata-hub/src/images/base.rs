//! What an image is built on: what its documents say, else an image here whose layers are all at its bottom. Of several
//! with the same layers an official one gives the name.

use std::collections::BTreeSet;

use strata_model::{Digest, Repository};

use super::ImageParts;
use super::stack::visible;
use super::trust::{BaseImage, BaseOrigin};
use crate::records::{RepositoryRow, TagFilter};
use crate::roles::{OFFICIAL, Reach};
use crate::{Hub, Identity, Result};

/// What a build writes down (OCI image-spec, annotations).
const NAME: &str = "org.opencontainers.image.base.name";
const DIGEST: &str = "org.opencontainers.image.base.digest";
/// Repositories that have a layer, of which those that may be seen are looked at.
const MAX_REPOSITORIES: usize = 50;
/// Of them so many in all, the newest tags of each.
const MAX_CANDIDATES: usize = 6;
const TAGS: u64 = 8;

impl Hub {
    /// What an image is built on, as `viewer` may know it.
    ///
    /// # Errors
    /// When the store or the records fail.
    pub async fn base_image(
        &self,
        repository: &RepositoryRow,
        image: &ImageParts,
        viewer: Option<&Identity>,
    ) -> Result<Option<BaseImage>> {
        let labels = image.config.config.labels.as_ref();
        let said = |key: &str| image.manifest.annotations.get(key).or_else(|| labels?.get(key)).cloned();
        if let Some(name) = said(NAME) {
            let base = BaseImage { name, digest: said(DIGEST), origin: BaseOrigin::Annotated, layers: 0, pushed: None };
            return Ok(Some(base));
        }
        self.base_by_layers(repository, image, viewer).await
    }

    /// Goes down from the layer below the top; the first that is the top of another image tells the longest base.
    async fn base_by_layers(
        &self,
        repository: &RepositoryRow,
        image: &ImageParts,
        viewer: Option<&Identity>,
    ) -> Result<Option<BaseImage>> {
        let layers: Vec<Digest> = image.manifest.layers.iter().map(|layer| layer.digest).collect();
        let own = repository.full_name();
        let records = self.read().await?;
        let reach = Reach::of(&*records, viewer).await?;
        let mut seen: BTreeSet<String> = BTreeSet::new();
        let mut best: Option<BaseImage> = None;
        for length in (1..layers.len()).rev() {
            if best.as_ref().is_some_and(|best| best.layers >= length) || seen.len() >= MAX_CANDIDATES {
                break;
            }
            let store = self.registry().store().read().await?;
            let layer = &layers[length - 1];
            let mut names = store.registry_repositories_below(OFFICIAL, layer, MAX_REPOSITORIES).await?;
            names.extend(store.registry_repositories_with(layer, MAX_REPOSITORIES).await?);
            let new: Vec<String> = names.into_iter().filter(|name| *name != own && !seen.contains(name)).collect();
            let visible = visible(&*records, &reach, &new).await?;
            for name in new.into_iter().filter(|name| visible.contains(name)) {
                if seen.len() < MAX_CANDIDATES && !seen.contains(&name) {
                    // Official ones come first; of the same length the first one stays.
                    let found = self.longest_prefix(&name, &layers).await?;
                    let is_better = |found: &BaseImage| best.as_ref().is_none_or(|best| found.layers > best.layers);
                    best = found.filter(is_better).or(best);
                    seen.insert(name);
                }
            }
        }
        Ok(best)
    }

    /// The tag of a repository whose image is the longest beginning of these layers, but not all of them.
    async fn longest_prefix(&self, repository: &str, layers: &[Digest]) -> Result<Option<BaseImage>> {
        let Ok(name) = repository.parse::<Repository>() else { return Ok(None) };
        let records = self.read().await?;
        let Some(row) = records.repository(repository).await? else { return Ok(None) };
        let newest = TagFilter { of_cosign: Some(false), limit: TAGS, ..TagFilter::default() };
        let tags = records.tags(row.id, &newest).await?;
        let mut best: Option<BaseImage> = None;
        for tag in tags {
            for candidate in &tag.manifest.images {
                let Some(found) = self.layers_of_image(&name, &candidate.digest).await? else { continue };
                let is_longer = best.as_ref().is_none_or(|best| found.len() > best.layers);
                if !found.is_empty() && found.len() < layers.len() && layers.starts_with(&found) && is_longer {
                    best = Some(BaseImage {
                        name: format!("{}:{}", row.familiar_name(), tag.tag),
                        digest: Some(candidate.digest.to_string()),
                        origin: BaseOrigin::Layers(row.full_name(), tag.tag.clone()),
                        layers: found.len(),
                        pushed: Some(tag.pushed),
                    });
                }
            }
        }
        Ok(best)
    }
}
