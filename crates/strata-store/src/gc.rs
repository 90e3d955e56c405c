//! Garbage collection without stopping writers: candidates, not scans.
//!
//! Whoever takes a reference away names what it held. One transaction decides: what no edge, image, container, repository
//! digest, registry link or lease holds loses its row (foreign keys make a wrong decision fail), and its bytes are noted as
//! doomed.
//! After the commit the bytes are removed, then the notes. Each step can be repeated; a crash in between leaves notes, which
//! the next collection works off.

use std::collections::HashSet;

use strata_layer::PackId;
use strata_model::{ChainId, DiffId, Digest, ImageConfig, ImageId};

use crate::lease::leases_left_behind;
use crate::publish::{doomed, panicked};
use crate::{ContainerRow, DoomedKind, DoomedRow, ImageRow, LeaseItem, ReadTxn, Result, Store, WriteTxn, fault};

/// What a collection decided to remove.
#[derive(Clone, Debug, Default)]
pub struct Collection {
    /// Objects whose rows are gone.
    pub objects: Vec<Digest>,
    /// Layers whose rows are gone.
    pub layers: Vec<DiffId>,
    pub(crate) doomed: Vec<DoomedRow>,
}

impl Collection {
    /// Whether nothing is to be removed.
    pub fn is_empty(&self) -> bool {
        self.objects.is_empty() && self.layers.is_empty() && self.doomed.is_empty()
    }

    /// Adds another collection's decisions.
    pub fn merge(&mut self, other: Collection) {
        self.objects.extend(other.objects);
        self.layers.extend(other.layers);
        self.doomed.extend(other.doomed);
    }
}

impl Store {
    /// Decides about objects that lost a reference, and about all that only they held, inside the caller's transaction.
    ///
    /// # Errors
    /// When the catalog fails.
    pub async fn review(&self, txn: &mut dyn WriteTxn, candidates: Vec<Digest>) -> Result<Collection> {
        self.review_items(txn, candidates.into_iter().map(LeaseItem::Object).collect()).await
    }

    pub(crate) async fn review_items(&self, txn: &mut dyn WriteTxn, items: Vec<LeaseItem>) -> Result<Collection> {
        let mut review = Review { txn, now: self.now(), collection: Collection::default() };
        let mut queue = items;
        while let Some(item) = queue.pop() {
            match item {
                LeaseItem::Object(digest) => queue.extend(review.object(digest).await?),
                LeaseItem::Layer(diff_id) => queue.extend(review.layer(diff_id).await?),
                LeaseItem::Pack(id) => review.pack(id).await?,
            }
        }
        let collection = review.collection;
        for row in &collection.doomed {
            txn.insert_doomed(row).await?;
        }
        Ok(collection)
    }

    /// Removes a container's row, and all of its image that only it held, inside the caller's transaction.
    ///
    /// # Errors
    /// When the catalog fails.
    pub async fn delete_container(&self, txn: &mut dyn WriteTxn, container: &ContainerRow) -> Result<Collection> {
        let chain = image_chain(&*txn, &container.image).await?;
        txn.delete_container(&container.id).await?;
        let mut collection = delete_unused_view(txn, chain).await?;
        collection.merge(self.review(txn, vec![container.manifest]).await?);
        Ok(collection)
    }

    /// Removes an image with its names and repository digests, its view, and all that only it held, inside the caller's
    /// transaction.
    ///
    /// # Errors
    /// When the catalog fails.
    pub async fn delete_image(&self, txn: &mut dyn WriteTxn, image: &ImageRow) -> Result<Collection> {
        let chain = image_chain(&*txn, &image.id).await?;
        let mut candidates = vec![image.manifest];
        candidates.extend(txn.digest_names_of_image(&image.id).await?.into_iter().map(|row| row.digest));
        txn.delete_image(&image.id).await?;
        let mut collection = delete_unused_view(txn, chain).await?;
        collection.merge(self.review(txn, candidates).await?);
        Ok(collection)
    }

    /// Removes the bytes that a committed collection doomed; returns how many bytes of blocks the disk got back.
    ///
    /// # Errors
    /// When bytes cannot be removed; they stay noted.
    pub async fn remove_doomed(&self, collection: &Collection) -> Result<u64> {
        self.remove_doomed_rows(&collection.doomed).await
    }

    /// How many bytes of blocks [`Store::remove_doomed`] would give back, for a collection that is not committed.
    ///
    /// # Errors
    /// When the backends cannot be asked.
    pub async fn doomed_size(&self, collection: &Collection) -> Result<u64> {
        let mut size = 0;
        for row in &collection.doomed {
            size += self.doomed_usage(row).await?;
        }
        Ok(size)
    }

    async fn doomed_usage(&self, row: &DoomedRow) -> Result<u64> {
        let usage = match row.kind {
            DoomedKind::Blob => self.inner.blobs.usage(&row.location).await?,
            DoomedKind::Pack => self.inner.packs.usage(&row.location)?,
        };
        Ok(usage.map_or(0, |usage| usage.allocated))
    }

    async fn remove_doomed_rows(&self, rows: &[DoomedRow]) -> Result<u64> {
        if rows.is_empty() {
            return Ok(0);
        }
        let mut sized = Vec::with_capacity(rows.len());
        for row in rows {
            sized.push((self.doomed_usage(row).await?, row.clone()));
        }
        let freed = sized.iter().map(|(allocated, _)| allocated).sum();
        // Giving back a large file's pages and blocks takes the kernel a while: two threads share the work, the largest
        // files first.
        sized.sort_by_key(|(allocated, _)| std::cmp::Reverse(*allocated));
        let (first, second): (Vec<_>, Vec<_>) =
            sized.into_iter().map(|(_, row)| row).enumerate().partition(|(position, _)| position % 2 == 0);
        let (first, second) = (self.remove_in_background(first), self.remove_in_background(second));
        first.await.map_err(panicked)??;
        fault::point("doomed-half");
        second.await.map_err(panicked)??;
        fault::point("doomed-removed");
        let mut txn = self.write("forgetting removed bytes").await?;
        txn.delete_doomed(rows).await?;
        txn.commit().await?;
        Ok(freed)
    }

    fn remove_in_background(&self, rows: Vec<(usize, DoomedRow)>) -> tokio::task::JoinHandle<Result<()>> {
        let (store, handle) = (self.clone(), tokio::runtime::Handle::current());
        tokio::task::spawn_blocking(move || {
            for (_, row) in rows {
                match row.kind {
                    DoomedKind::Blob => handle.block_on(store.inner.blobs.remove(&row.location))?,
                    DoomedKind::Pack => store.inner.packs.remove(&row.location)?,
                }
            }
            Ok(())
        })
    }

    /// Works off what earlier processes left: ended leases, doomed bytes, staged downloads older than a day.
    /// Returns the bytes given back.
    ///
    /// # Errors
    /// When catalog or backends fail.
    pub async fn collect_leftovers(&self) -> Result<u64> {
        const DAY: i64 = 86_400_000_000_000;
        let mut freed = self.collect_expired().await?;
        freed += self.inner.blobs.sweep_staged(self.now() - DAY).await?;
        freed += self.forget_unused_views().await?;
        Ok(freed)
    }

    /// The part of [`Store::collect_leftovers`] that is quick when there is nothing to do: ended leases and doomed bytes.
    ///
    /// # Errors
    /// When catalog or backends fail.
    pub async fn collect_expired(&self) -> Result<u64> {
        let now = self.now();
        let txn = self.read().await?;
        let (expired, doomed) = (txn.expired_leases(now).await?, txn.doomed().await?);
        drop(txn);
        let mut freed = self.remove_doomed_rows(&doomed).await?;
        for lease in expired {
            let mut txn = self.write("collecting an expired lease").await?;
            let items = txn.lease_items(&lease.id).await?;
            txn.delete_lease(&lease.id).await?;
            let collection = self.review_items(&mut *txn, items).await?;
            txn.commit().await?;
            freed += self.remove_doomed(&collection).await?;
        }
        Ok(freed)
    }

    /// Decides about all that failed work left, inside the caller's transaction: leases that ended or were given up, doomed
    /// bytes, views of no image. A prune does this; [`Store::collect_leftovers`] leaves alone what was given up a moment ago.
    ///
    /// # Errors
    /// When the catalog fails.
    pub async fn review_leftovers(&self, txn: &mut dyn WriteTxn) -> Result<Collection> {
        let mut collection = Collection { doomed: txn.doomed().await?, ..Collection::default() };
        for lease in leases_left_behind(&*txn, self.now()).await? {
            let items = txn.lease_items(&lease.id).await?;
            txn.delete_lease(&lease.id).await?;
            collection.merge(self.review_items(txn, items).await?);
        }
        collection.merge(review_views(txn).await?);
        Ok(collection)
    }

    async fn forget_unused_views(&self) -> Result<u64> {
        let mut txn = self.write("forgetting unused views").await?;
        let collection = review_views(&mut *txn).await?;
        if collection.doomed.is_empty() {
            return Ok(0);
        }
        txn.commit().await?;
        self.remove_doomed(&collection).await
    }
}

/// Forgets a view that neither an image nor a container uses any more.
async fn delete_unused_view(txn: &mut dyn WriteTxn, chain: Option<ChainId>) -> Result<Collection> {
    let mut collection = Collection::default();
    if let Some(chain) = chain
        && !chain_is_used(&*txn, &chain).await?
        && let Some(location) = txn.delete_view(&chain).await?
    {
        let row = doomed(DoomedKind::Blob, location);
        txn.insert_doomed(&row).await?;
        collection.doomed.push(row);
    }
    Ok(collection)
}

/// Forgets views whose image never came to be published, or went away with a catalog that was rebuilt.
async fn review_views(txn: &mut dyn WriteTxn) -> Result<Collection> {
    let mut collection = Collection::default();
    let views = txn.views().await?;
    let mut used = HashSet::new();
    if !views.is_empty() {
        for image in images_in_use(&*txn).await? {
            used.extend(image_chain(&*txn, &image).await?);
        }
    }
    for (chain, location) in views.into_iter().filter(|(chain, _)| !used.contains(chain)) {
        txn.delete_view(&chain).await?;
        let row = doomed(DoomedKind::Blob, location);
        txn.insert_doomed(&row).await?;
        collection.doomed.push(row);
    }
    Ok(collection)
}

/// Every image that is here or that a container stands on.
async fn images_in_use(txn: &dyn ReadTxn) -> Result<HashSet<ImageId>> {
    let mut images: HashSet<ImageId> = txn.images().await?.into_iter().map(|row| row.id).collect();
    images.extend(txn.containers().await?.into_iter().map(|row| row.image));
    Ok(images)
}

/// The chain ID of an image's layers.
async fn image_chain(txn: &dyn ReadTxn, id: &ImageId) -> Result<Option<ChainId>> {
    let Some(bytes) = txn.object(&id.0).await?.and_then(|row| row.bytes) else { return Ok(None) };
    Ok(ImageConfig::parse(&bytes).ok().and_then(|config| ChainId::of(&config.rootfs.diff_ids)))
}

async fn chain_is_used(txn: &dyn ReadTxn, chain: &ChainId) -> Result<bool> {
    if txn.view(chain).await?.is_none() {
        return Ok(false);
    }
    for image in images_in_use(txn).await? {
        if image_chain(txn, &image).await?.as_ref() == Some(chain) {
            return Ok(true);
        }
    }
    Ok(false)
}

/// One review inside one transaction.
struct Review<'a> {
    txn: &'a mut dyn WriteTxn,
    now: i64,
    collection: Collection,
}

impl Review<'_> {
    /// Removes an object that nothing holds; returns what it held.
    async fn object(&mut self, digest: Digest) -> Result<Vec<LeaseItem>> {
        let Some(row) = self.txn.object(&digest).await? else { return Ok(Vec::new()) };
        if self.txn.object_is_held(&digest, self.now).await? {
            return Ok(Vec::new());
        }
        let mut held: Vec<LeaseItem> = self.txn.children(&digest).await?.into_iter().map(LeaseItem::Object).collect();
        held.extend(self.txn.layer_of_blob(&digest).await?.map(LeaseItem::Layer));
        // What this object is about does not hold it; what is about this object stays until its own reference goes.
        self.txn.delete_object(&digest).await?;
        self.collection.objects.push(digest);
        self.collection.doomed.extend(row.location.map(|location| doomed(DoomedKind::Blob, location)));
        Ok(held)
    }

    async fn layer(&mut self, diff_id: DiffId) -> Result<Vec<LeaseItem>> {
        let Some(row) = self.txn.layer(&diff_id).await? else { return Ok(Vec::new()) };
        if self.txn.layer_is_held(&diff_id, self.now).await? {
            return Ok(Vec::new());
        }
        let packs = self.txn.packs_of_layer(&diff_id).await?;
        self.txn.delete_layer(&diff_id).await?;
        self.collection.layers.push(diff_id);
        self.collection.doomed.push(doomed(DoomedKind::Blob, row.index));
        Ok(packs.into_iter().map(|(id, _)| LeaseItem::Pack(id)).collect())
    }

    async fn pack(&mut self, id: PackId) -> Result<()> {
        let Some(row) = self.txn.pack(&id).await? else { return Ok(()) };
        if self.txn.pack_is_held(&id, self.now).await? {
            return Ok(());
        }
        self.txn.delete_pack(&id).await?;
        self.collection.doomed.push(doomed(DoomedKind::Pack, row.location));
        Ok(())
    }
}
