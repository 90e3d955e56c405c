//! An image as a stack of layers, and who else has each of them.

use std::collections::{BTreeMap, BTreeSet};

use strata_model::{DiffId, Digest, Manifest, Repository, Target};

use super::ImageParts;
use crate::dockerfile::{parsed, steps};
use crate::records::{RepositoryRow, RepositoryStatus, TagFilter};
use crate::roles::Reach;
use crate::{Hub, HubRead, Identity, Result};

/// Repositories with a layer that are looked at; whoever may see none of the first of them is told of none.
const MAX_REPOSITORIES: usize = 200;
/// The newest tags of the same repository whose layers are looked at.
const TAGS: u64 = 25;

/// A layer of an image.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct StackLayer {
    /// Its number, from 1 for the lowest.
    pub number: usize,
    /// The layer as it is pulled.
    pub digest: Digest,
    /// What it unpacks to: of its index, else as the configuration says.
    pub diff_id: Option<DiffId>,
    /// Its compressed bytes.
    pub size: u64,
    /// Bytes of its files, once it has an index.
    pub content_size: Option<u64>,
    /// Entries of its tar, once it has an index.
    pub entries: Option<u64>,
    /// The instruction that made it, as far as the history tells.
    pub instruction: String,
    /// When that was, as the history says (RFC 3339).
    pub created: Option<String>,
    /// Other repositories that have it and may be seen, by full name.
    pub repositories: Vec<String>,
    /// Other tags of the same repository, of the newest ones, whose images have it.
    pub tags: Vec<String>,
}

/// A step of the history that made no layer.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct StackStep {
    /// The number of the layer below it; 0 for none.
    pub above: usize,
    /// The instruction.
    pub instruction: String,
}

/// An image's layers, lowest first.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct ImageStack {
    /// The layers.
    pub layers: Vec<StackLayer>,
    /// What the history has besides, oldest first.
    pub steps: Vec<StackStep>,
}

impl Hub {
    /// The layers of an image as `viewer` may know them: nobody is told of repositories that they may not read.
    ///
    /// # Errors
    /// When the store or the records fail.
    pub async fn image_stack(
        &self,
        repository: &RepositoryRow,
        image: &ImageParts,
        tag: &str,
        viewer: Option<&Identity>,
    ) -> Result<ImageStack> {
        let mut stack = self.plain_stack(image).await?;
        let owners = self.repositories_with_layers(repository, &stack.layers, viewer).await?;
        let tags = self.tags_with_layers(repository, tag).await?;
        for layer in &mut stack.layers {
            layer.repositories = owners.get(&layer.digest).cloned().unwrap_or_default();
            layer.tags = tags.get(&layer.digest).cloned().unwrap_or_default();
        }
        Ok(stack)
    }

    /// The layers of an image, without who else has them.
    ///
    /// # Errors
    /// When the catalog cannot be read.
    pub async fn plain_stack(&self, image: &ImageParts) -> Result<ImageStack> {
        let txn = self.registry().store().read().await?;
        let claimed = &image.config.rootfs.diff_ids;
        let times = image.config.history.iter().map(|step| step.created.clone()).chain(std::iter::repeat(None));
        let mut stack = ImageStack::default();
        for (step, created) in steps(&image.config, &image.manifest.layers).into_iter().zip(times) {
            let position = stack.layers.len();
            let Some(digest) = step.digest else {
                stack.steps.push(StackStep { above: position, instruction: step.instruction });
                continue;
            };
            let unpacked = txn.layer_of_blob(&digest).await?;
            let row = match &unpacked {
                Some(diff_id) => txn.layer(diff_id).await?,
                None => None,
            };
            stack.layers.push(StackLayer {
                number: position + 1,
                digest,
                diff_id: unpacked.or_else(|| claimed.get(position).copied()),
                size: step.size,
                content_size: row.as_ref().map(|row| row.content_size),
                entries: row.as_ref().map(|row| row.entries),
                instruction: step.instruction,
                created,
                repositories: Vec::new(),
                tags: Vec::new(),
            });
        }
        Ok(stack)
    }

    async fn repositories_with_layers(
        &self,
        repository: &RepositoryRow,
        layers: &[StackLayer],
        viewer: Option<&Identity>,
    ) -> Result<BTreeMap<Digest, Vec<String>>> {
        let own = repository.full_name();
        let mut owners: BTreeMap<Digest, Vec<String>> = BTreeMap::new();
        let store = self.registry().store().read().await?;
        for layer in layers {
            let mut names = store.registry_repositories_with(&layer.digest, MAX_REPOSITORIES).await?;
            names.retain(|name| *name != own);
            owners.insert(layer.digest, names);
        }
        let records = self.read().await?;
        let reach = Reach::of(&*records, viewer).await?;
        let all: BTreeSet<&String> = owners.values().flatten().collect();
        let visible = visible(&*records, &reach, all).await?;
        for names in owners.values_mut() {
            names.retain(|name| visible.contains(name));
        }
        Ok(owners)
    }

    /// Other tags of the repository, the newest of them, by the layers that their images have.
    async fn tags_with_layers(&self, repository: &RepositoryRow, tag: &str) -> Result<BTreeMap<Digest, Vec<String>>> {
        let mut found: BTreeMap<Digest, Vec<String>> = BTreeMap::new();
        let Ok(name) = repository.full_name().parse::<Repository>() else { return Ok(found) };
        let filter = TagFilter { of_cosign: Some(false), limit: TAGS, ..TagFilter::default() };
        let tags = self.read().await?.tags(repository.id, &filter).await?;
        for other in tags.iter().filter(|other| other.tag != tag) {
            for layer in self.layers_of_images(&name, other.manifest.images.iter().map(|image| image.digest)).await? {
                found.entry(layer).or_default().push(other.tag.clone());
            }
        }
        Ok(found)
    }

    /// The layers of some images of a repository, each once.
    async fn layers_of_images(
        &self,
        name: &Repository,
        images: impl Iterator<Item = Digest>,
    ) -> Result<BTreeSet<Digest>> {
        let mut layers = BTreeSet::new();
        for image in images.take(2) {
            if let Some(found) = self.layers_of_image(name, &image).await? {
                layers.extend(found);
            }
        }
        Ok(layers)
    }

    /// The layers of an image of a repository, lowest first; `None` when it is not there.
    pub(super) async fn layers_of_image(&self, name: &Repository, image: &Digest) -> Result<Option<Vec<Digest>>> {
        let Ok(stored) = self.registry().manifest(name, &Target::Digest(*image)).await else { return Ok(None) };
        match parsed(&stored) {
            Ok(Manifest::Image(image)) => Ok(Some(image.layers.iter().map(|layer| layer.digest).collect())),
            _ => Ok(None),
        }
    }
}

/// Those of these repositories that may be read.
pub(super) async fn visible(
    records: &dyn HubRead,
    reach: &Reach,
    names: impl IntoIterator<Item = &String>,
) -> Result<BTreeSet<String>> {
    let mut visible = BTreeSet::new();
    for name in names {
        let row = records.repository(name).await?.filter(|row| row.status == RepositoryStatus::Active);
        if row.is_some_and(|row| reach.role(name, !row.is_private).is_some()) {
            visible.insert(name.clone());
        }
    }
    Ok(visible)
}
