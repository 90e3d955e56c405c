//! The store as a place that images are copied from and to.

use std::sync::Mutex;

use async_trait::async_trait;
use strata_model::{Descriptor, Digest, Manifest, Raw, Target};
use strata_transfer::{
    BlobOutcome, BlobSpec, BlobStream, ImageSink, ImageSource, Origin, Progress, Result, TransferError, check_manifest,
};

use crate::{EventRow, Lease, NewImage, PublishedImage, Store};

/// One manifest of the store, and all that it refers to, to be read.
pub struct StoreSource {
    store: Store,
    manifest: Digest,
}

impl StoreSource {
    /// Reads `manifest`, whatever target is asked for.
    pub fn new(store: &Store, manifest: Digest) -> StoreSource {
        StoreSource { store: store.clone(), manifest }
    }
}

#[async_trait]
impl ImageSource for StoreSource {
    fn origin(&self) -> Origin {
        Origin::Store
    }

    async fn resolve(&self, _target: &Target) -> Result<Descriptor> {
        let row = self.store.object(&self.manifest).await?;
        Ok(Descriptor::new(row.media_type, row.digest, row.size))
    }

    async fn manifest(&self, descriptor: &Descriptor) -> Result<Raw<Manifest>> {
        let bytes = self.store.small_object(&descriptor.digest, strata_model::MAX_MANIFEST_SIZE as u64).await?;
        check_manifest(bytes, descriptor, Some(&descriptor.media_type))
    }

    async fn blob(&self, descriptor: &Descriptor, from: u64) -> Result<BlobStream> {
        Ok(self.store.open_reader(&descriptor.digest).await?.stream(from))
    }
}

/// Looks at an image whose blobs are here before it becomes visible.
#[async_trait]
pub trait Acceptance: Send + Sync {
    /// An error refuses it: nothing is published.
    async fn accept(&self, manifest: &Raw<Manifest>) -> Result<()>;
}

/// The store, taking one image (or all platforms of one) under local names.
pub struct StoreSink<'a> {
    store: &'a Store,
    lease: &'a Lease,
    names: Vec<(String, String)>,
    repository: Option<String>,
    event: Option<EventRow>,
    acceptance: Option<&'a dyn Acceptance>,
    manifests: Mutex<Vec<Raw<Manifest>>>,
    published: Mutex<Vec<PublishedImage>>,
}

impl<'a> StoreSink<'a> {
    /// Takes an image; `names` (repository and tag) are set on it, and the digest it resolved to is noted for `repository`.
    pub fn new(
        store: &'a Store,
        lease: &'a Lease,
        names: Vec<(String, String)>,
        repository: Option<String>,
        event: Option<EventRow>,
    ) -> StoreSink<'a> {
        let (manifests, published) = (Mutex::default(), Mutex::default());
        StoreSink { store, lease, names, repository, event, acceptance: None, manifests, published }
    }

    /// Asks `acceptance` about each image before it is published.
    #[must_use]
    pub fn with_acceptance(self, acceptance: &'a dyn Acceptance) -> StoreSink<'a> {
        StoreSink { acceptance: Some(acceptance), ..self }
    }

    /// What was published, once the copy is finished.
    pub fn published(self) -> Vec<PublishedImage> {
        self.published.into_inner().unwrap_or_else(std::sync::PoisonError::into_inner)
    }
}

#[async_trait]
impl ImageSink for StoreSink<'_> {
    async fn missing(&self, wanted: &[BlobSpec]) -> Result<Vec<BlobSpec>> {
        Ok(self.store.missing(wanted).await?)
    }

    async fn put_blob(
        &self,
        source: &dyn ImageSource,
        blob: &BlobSpec,
        progress: &dyn Progress,
    ) -> Result<BlobOutcome> {
        self.store.fetch(self.lease, source, blob, progress).await
    }

    async fn put_manifest(&self, manifest: &Raw<Manifest>, _descriptor: &Descriptor) -> Result<()> {
        lock(&self.manifests).push(manifest.clone());
        Ok(())
    }

    fn keeps_sparse_indexes(&self) -> bool {
        true
    }

    async fn finish(&self, resolved: &Descriptor, _image: &Descriptor) -> Result<()> {
        let manifests = std::mem::take(&mut *lock(&self.manifests));
        let digest_names: Vec<_> =
            self.repository.iter().map(|repository| (repository.clone(), resolved.digest)).collect();
        let is_image = |manifest: &&Raw<Manifest>| match manifest.value() {
            // Attestations have an image configuration, but no file system.
            Manifest::Image(image) => {
                image.config.media_type.is_image_config()
                    && image.layers.iter().all(|layer| layer.media_type.is_layer())
            }
            Manifest::Index(_) => false,
        };
        let images: Vec<NewImage> = manifests
            .iter()
            .filter(is_image)
            .map(|manifest| NewImage {
                manifest: manifest.digest(),
                digest_names: digest_names.clone(),
                names: self.names.clone(),
            })
            .collect();
        if images.is_empty() {
            return Err(TransferError::new(
                strata_model::ErrorKind::Unsupported,
                format!(
                    "{} holds no container image: artifacts can be copied between registries, not pulled",
                    resolved.digest
                ),
            ));
        }
        if let Some(acceptance) = self.acceptance {
            for manifest in manifests.iter().filter(is_image) {
                acceptance.accept(manifest).await?;
            }
        }
        let events: Vec<EventRow> = self.event.iter().cloned().collect();
        let published = self.store.publish_images(self.lease, &manifests, &images, &events).await?;
        *lock(&self.published) = published;
        Ok(())
    }
}

fn lock<T>(mutex: &Mutex<T>) -> std::sync::MutexGuard<'_, T> {
    mutex.lock().unwrap_or_else(std::sync::PoisonError::into_inner)
}
