//! The merged view of an image, and its EROFS image in the store's cache.

use std::convert::Infallible;
use std::io::Write as _;
use std::sync::Arc;

use async_trait::async_trait;
use strata_erofs::{Places, write_image};
use strata_layer::ContentDigest;
use strata_model::{ChainId, DiffId, ImageConfig, ImageId, MAX_MANIFEST_SIZE, Manifest, Raw};
use strata_store::{Acceptance, BlobBytes, ChunkWriter, ImageRow, OpenedView, PackFile, Store, StoreError};
use strata_transfer::TransferError;

use crate::{Result, load_documents};

/// Whether a pull or load prepares images for mounting.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum ViewPolicy {
    /// The EROFS image is made at once, so that the first mount finds it.
    Prepare,
    /// It is made when it is first wanted: for users who cannot mount.
    Skip,
}

/// Merges the layers of a local image.
///
/// # Errors
/// When a layer's index is damaged or the layers contradict each other.
pub async fn image_view(store: &Store, image: &ImageRow) -> Result<OpenedView> {
    let layers = image_layers(store, image).await?;
    Ok(store.open_view(&image.id.to_string(), &layers).await?)
}

async fn image_layers(store: &Store, image: &ImageRow) -> Result<Vec<DiffId>> {
    let txn = store.read().await?;
    Ok(load_documents(&*txn, image).await?.config.value().rootfs.diff_ids.clone())
}

/// Merges the layers of an image whose manifest is about to be published, so that none becomes visible that has no files
/// to show; its EROFS image is made at the same time if the policy asks for it. Artifacts have no layers to merge.
///
/// # Errors
/// As [`image_view`].
pub(crate) async fn accept_image(store: &Store, manifest: &Manifest, policy: ViewPolicy) -> Result<()> {
    let Manifest::Image(image) = manifest else { return Ok(()) };
    if !image.config.media_type.is_image_config() || image.layers.iter().any(|layer| !layer.media_type.is_layer()) {
        return Ok(());
    }
    let bytes = store.small_object(&image.config.digest, MAX_MANIFEST_SIZE as u64).await?;
    let config = ImageConfig::parse(&bytes).map_err(|cause| StoreError::Malformed {
        what: format!("image configuration {}", image.config.digest),
        cause: cause.to_string(),
    })?;
    let layers = config.rootfs.diff_ids;
    let Some(chain) = ChainId::of(&layers) else { return Ok(()) };
    if store.view(&chain).await?.is_some() {
        return Ok(());
    }
    let opened = store.open_view(&image.config.digest.to_string(), &layers).await?;
    match policy {
        ViewPolicy::Prepare => write_view(store, &chain, opened).await,
        ViewPolicy::Skip => Ok(()),
    }
}

/// Makes the EROFS image of an image if the policy asks for it and the store does not have it.
///
/// # Errors
/// As [`image_view`].
pub async fn prepare_view(store: &Store, image: &ImageRow, policy: ViewPolicy) -> Result<()> {
    if policy == ViewPolicy::Prepare {
        erofs_image(store, image).await?;
    }
    Ok(())
}

/// The EROFS image of an image and the packs it needs, in device order; `None` for an image without layers.
///
/// # Errors
/// As [`image_view`].
pub(crate) async fn erofs_image(store: &Store, image: &ImageRow) -> Result<Option<Arc<dyn BlobBytes>>> {
    erofs_image_of_layers(store, &image.id, &image_layers(store, image).await?).await
}

/// The same for an image by its layers; its ID names it in errors.
pub(crate) async fn erofs_image_of_layers(
    store: &Store,
    image: &ImageId,
    layers: &[DiffId],
) -> Result<Option<Arc<dyn BlobBytes>>> {
    let Some(chain) = ChainId::of(layers) else { return Ok(None) };
    if let Some(existing) = store.view(&chain).await? {
        return Ok(Some(existing));
    }
    let opened = store.open_view(&image.to_string(), layers).await?;
    write_view(store, &chain, opened).await?;
    Ok(store.view(&chain).await?)
}

/// Accepts images for the store's sink.
pub(crate) struct ViewAcceptance<'a> {
    pub(crate) store: &'a Store,
    pub(crate) policy: ViewPolicy,
}

#[async_trait]
impl Acceptance for ViewAcceptance<'_> {
    async fn accept(&self, manifest: &Raw<Manifest>) -> strata_transfer::Result<()> {
        accept_image(self.store, manifest.value(), self.policy).await.map_err(|error| TransferError {
            kind: error.kind(),
            hint: error.hint(),
            message: error.to_string(),
            retryable: false,
        })
    }
}

async fn write_view(store: &Store, chain: &ChainId, opened: OpenedView) -> Result<()> {
    let mut target = store.begin_view().await?;
    let (sender, mut receiver) = tokio::sync::mpsc::channel::<Result<_, Infallible>>(4);
    let writer = tokio::task::spawn_blocking(move || {
        let places = PackPlaces(&opened.packs);
        let mut out = ChunkWriter::new(sender);
        write_image(&opened.view, &places, &mut out)?;
        out.flush().map_err(strata_erofs::WriteError::from)
    });
    while let Some(Ok(chunk)) = receiver.recv().await {
        target.write(&chunk).await?;
    }
    writer
        .await
        .map_err(|cause| cause.to_string())
        .and_then(|result| result.map_err(|cause| cause.to_string()))
        .map_err(|cause| StoreError::Malformed { what: format!("the view of {chain}"), cause })?;
    store.publish_view(chain, target).await?;
    Ok(())
}

pub(crate) struct PackPlaces<'a>(pub(crate) &'a [Arc<dyn PackFile>]);

impl Places for PackPlaces<'_> {
    fn place(&self, pack: usize, digest: &ContentDigest) -> Option<u64> {
        self.0.get(pack)?.place(digest).map(|(offset, _)| offset)
    }

    fn length(&self, pack: usize) -> u64 {
        self.0.get(pack).map_or(0, |pack| pack.length())
    }
}
