//! `system df`: what the store takes, and what sharing saves.

use std::collections::{HashMap, HashSet};
use std::path::Path;

use strata_model::{ChainId, DiffId, ImageId};
use strata_store::{ReadTxn, Store, layers_left_behind};

use crate::container::{ContainerFilter, ContainerSummary, container_size, directory_size, list_containers};
use crate::list::{ImageFilter, ImageSummary, summaries};
use crate::mount_record::MountedImage;
use crate::volume::{VolumeFilter, VolumeInfo, list_volumes};
use crate::{Result, load_documents};

/// An image with what it shares.
#[derive(Clone, Debug)]
pub struct ImageUsage {
    /// The image and its names.
    pub summary: ImageSummary,
    /// Sum of the sizes of its layers that another image has too.
    pub shared: u64,
    /// The rest.
    pub unique: u64,
}

/// What the store takes, in bytes.
#[derive(Clone, Debug, Default)]
pub struct StoreUsage {
    /// Every image, in the order of `images`.
    pub images: Vec<ImageUsage>,
    /// Sizes of all layers that images have, each chain once: docker's SIZE.
    pub layers_size: u64,
    /// How many containers each image has.
    pub containers: HashMap<ImageId, usize>,
    /// How many images are mounted or have a container.
    pub active: usize,
    /// Sizes of the layers of those images, each chain once.
    pub in_use: u64,
    /// Sizes of layers that no image has: what failed transfers finished, until it is pruned or taken up.
    pub left_behind: u64,
    /// Sizes of all images as if nothing were shared.
    pub plain_sum: u64,
    /// What sharing whole layers saves.
    pub layer_sharing: u64,
    /// What sharing equal files between layers saves.
    pub content_sharing: u64,
    /// Blocks of compressed layers, configurations and manifests.
    pub blobs_on_disk: u64,
    /// Blocks of packs.
    pub packs_on_disk: u64,
    /// Blocks of layer indexes.
    pub indexes_on_disk: u64,
    /// Blocks of prepared views, a cache.
    pub views_on_disk: u64,
}

impl StoreUsage {
    /// Blocks of everything.
    pub fn on_disk(&self) -> u64 {
        self.blobs_on_disk + self.packs_on_disk + self.indexes_on_disk + self.views_on_disk
    }
}

/// A container with what it wrote.
#[derive(Clone, Debug)]
pub struct ContainerUsage {
    /// The container.
    pub summary: ContainerSummary,
    /// Bytes that it wrote.
    pub written: u64,
}

/// Every container, the newest first.
///
/// # Errors
/// When the catalog or the files of a container cannot be read.
pub async fn container_usage(store: &Store, root: &Path) -> Result<Vec<ContainerUsage>> {
    let found = list_containers(store, root, &ContainerFilter::default()).await?.into_iter();
    let measured = found.map(|summary| Ok(ContainerUsage { written: container_size(root, &summary.row.id)?, summary }));
    measured.collect()
}

/// A volume with what is in it.
#[derive(Clone, Debug)]
pub struct VolumeUsage {
    /// The volume.
    pub volume: VolumeInfo,
    /// Bytes of its files.
    pub size: u64,
}

/// Every volume, sorted by name.
///
/// # Errors
/// When the catalog or the files of a volume cannot be read.
pub async fn volume_usage(store: &Store, root: &Path) -> Result<Vec<VolumeUsage>> {
    let found = list_volumes(store, root, &VolumeFilter::default()).await?.into_iter();
    let measured = found.map(|volume| Ok(VolumeUsage { size: directory_size(&volume.mountpoint)?, volume }));
    measured.collect()
}

/// Measures the store; `mounted` is what is in use.
///
/// # Errors
/// When catalog or backends cannot be read.
pub async fn usage(store: &Store, mounted: &[MountedImage]) -> Result<StoreUsage> {
    let txn = store.read().await?;
    let mut usage = StoreUsage::default();
    let found = summaries(&*txn, &ImageFilter::default()).await?;
    let sizes: HashMap<DiffId, u64> =
        txn.layers().await?.into_iter().map(|row| (row.diff_id, row.content_size)).collect();
    let chains = image_chains(&*txn, &found).await?;
    let mut users: HashMap<ChainId, (u64, usize)> = HashMap::new();
    for layers in chains.values() {
        for (chain, diff_id) in layers {
            let entry = users.entry(*chain).or_insert((sizes.get(diff_id).copied().unwrap_or(0), 0));
            entry.1 += 1;
        }
    }
    usage.layers_size = users.values().map(|(size, _)| size).sum();
    let mut active: HashSet<ImageId> = mounted.iter().map(|mounted| mounted.image).collect();
    for container in txn.containers().await? {
        *usage.containers.entry(container.image).or_default() += 1;
        active.insert(container.image);
    }
    let chains_in_use: HashSet<ChainId> =
        active.iter().filter_map(|id| chains.get(id)).flatten().map(|(chain, _)| *chain).collect();
    usage.active = active.iter().filter(|id| chains.contains_key(*id)).count();
    usage.in_use = chains_in_use.iter().filter_map(|chain| users.get(chain)).map(|(size, _)| size).sum();
    for summary in found {
        let layers = chains.get(&summary.row.id).map(Vec::as_slice).unwrap_or_default();
        let shared = layers
            .iter()
            .filter_map(|(chain, _)| users.get(chain))
            .filter(|(_, count)| *count > 1)
            .map(|(size, _)| size)
            .sum::<u64>();
        usage.plain_sum += summary.row.size;
        usage.images.push(ImageUsage { shared, unique: summary.row.size.saturating_sub(shared), summary });
    }
    let left = layers_left_behind(&*txn, store.now()).await?;
    usage.left_behind = left.iter().filter_map(|layer| sizes.get(layer)).sum();
    // One layer under different parents is stored once, too.
    let stored = sizes.values().sum::<u64>() - usage.left_behind;
    usage.layer_sharing = usage.plain_sum.saturating_sub(stored);
    usage.content_sharing = txn.layers().await?.iter().map(|row| row.shared_size).sum();
    measure_files(store, &*txn, &mut usage).await?;
    Ok(usage)
}

/// The chains of each image, lowest first, with the layer on top of each.
async fn image_chains(txn: &dyn ReadTxn, images: &[ImageSummary]) -> Result<HashMap<ImageId, Vec<(ChainId, DiffId)>>> {
    let mut chains = HashMap::new();
    for summary in images {
        let documents = load_documents(txn, &summary.row).await?;
        let layers = &documents.config.value().rootfs.diff_ids;
        let mut below: Option<ChainId> = None;
        let mut stack = Vec::with_capacity(layers.len());
        for layer in layers {
            let chain = below.map_or(ChainId(layer.0), |below| below.with(*layer));
            stack.push((chain, *layer));
            below = Some(chain);
        }
        chains.insert(summary.row.id, stack);
    }
    Ok(chains)
}

async fn measure_files(store: &Store, txn: &dyn ReadTxn, usage: &mut StoreUsage) -> Result<()> {
    let blobs = store.blobs();
    for location in txn.objects().await?.into_iter().filter_map(|row| row.location) {
        usage.blobs_on_disk += blobs.usage(&location).await?.map_or(0, |usage| usage.allocated);
    }
    for layer in txn.layers().await? {
        usage.indexes_on_disk += blobs.usage(&layer.index).await?.map_or(0, |usage| usage.allocated);
    }
    for (_, location) in txn.views().await? {
        usage.views_on_disk += blobs.usage(&location).await?.map_or(0, |usage| usage.allocated);
    }
    for pack in txn.packs().await? {
        usage.packs_on_disk += store.packs().usage(&pack.location)?.map_or(0, |usage| usage.allocated);
    }
    Ok(())
}
