//! Seal and publish: from private bytes to rows that exist.
//!
//! What is visible is durable: blob, pack and index are synced (three `fdatasync` a layer) before the transaction that
//! names them. Two that publish the same thing both succeed; the loser removes its own bytes afterwards.

use std::collections::{BTreeMap, HashMap, HashSet};

use strata_layer::{LayerIndex, PackId, encode_index};
use strata_model::{DiffId, Digest, EdgeRole, ImageConfig, ImageId, Manifest, ManifestError, MediaType, Raw};
use strata_transfer::{BlobRole, BlobSpec};

use crate::unpack::Unpacked;
use crate::{
    BlobKind, DigestNameRow, DoomedKind, DoomedRow, EventRow, ImageRow, Ingest, LayerRow, Lease, LeaseItem, Location,
    NameRow, ObjectRow, PackRow, ReadTxn, Result, Store, StoreError, WriteTxn, fault,
};

/// A verified blob that is staged and not yet published. `bytes` is `None` for a plain tar that its pack holds.
pub(crate) struct NewBlob {
    pub(crate) digest: Digest,
    pub(crate) size: u64,
    pub(crate) media_type: MediaType,
    pub(crate) bytes: Option<Box<dyn Ingest>>,
}

/// An image to be published: its manifest and configuration are objects already, or among the manifests published with it.
#[derive(Clone, Debug)]
pub struct NewImage {
    /// Digest of the manifest.
    pub manifest: Digest,
    /// Repository digests to note.
    pub digest_names: Vec<(String, Digest)>,
    /// Names to set: repository and tag.
    pub names: Vec<(String, String)>,
}

/// What an image publication did.
#[derive(Clone, Debug)]
pub struct PublishedImage {
    /// The image.
    pub row: ImageRow,
    /// Names that pointed to other images before: name and former image.
    pub moved: Vec<(NameRow, ImageId)>,
    /// Whether the image was not here before.
    pub is_new: bool,
}

impl Store {
    /// Which of these blobs are not here whole: objects that are absent, damaged or of another length on disk, and layers
    /// that were not unpacked. What is found wrong is marked, so that it heals.
    ///
    /// # Errors
    /// When the catalog cannot be read.
    pub async fn missing(&self, wanted: &[BlobSpec]) -> Result<Vec<BlobSpec>> {
        let txn = self.read().await?;
        let mut missing = Vec::new();
        for spec in wanted {
            if !self.blob_is_whole(&*txn, spec).await? {
                missing.push(spec.clone());
            }
        }
        Ok(missing)
    }

    async fn blob_is_whole(&self, txn: &dyn ReadTxn, spec: &BlobSpec) -> Result<bool> {
        let Some(object) = txn.object(&spec.descriptor.digest).await? else { return Ok(false) };
        if object.damaged || !self.object_file_is_there(&object).await? {
            return Ok(false);
        }
        match spec.role {
            BlobRole::Plain => Ok(true),
            BlobRole::Layer { diff_id } => match txn.layer_of_blob(&object.digest).await? {
                // A claim that contradicts what was found is looked at again, and refused.
                Some(found) if diff_id.is_none_or(|claimed| claimed == found) => self.layer_is_whole(txn, &found).await,
                _ => Ok(false),
            },
        }
    }

    pub(crate) async fn object_file_is_there(&self, object: &ObjectRow) -> Result<bool> {
        let Some(location) = object.location.as_ref().filter(|_| object.bytes.is_none()) else { return Ok(true) };
        Ok(self.inner.blobs.usage(location).await?.is_some_and(|usage| usage.length == object.size))
    }

    /// Whether a layer's index and packs are on disk with the right lengths and not marked as damaged.
    pub(crate) async fn layer_is_whole(&self, txn: &dyn ReadTxn, diff_id: &DiffId) -> Result<bool> {
        let Some(layer) = txn.layer(diff_id).await? else { return Ok(false) };
        if layer.damaged || self.inner.blobs.usage(&layer.index).await?.is_none() {
            return Ok(false);
        }
        for (id, _) in txn.packs_of_layer(diff_id).await? {
            let Some(pack) = txn.pack(&id).await? else { return Ok(false) };
            let whole = self.inner.packs.usage(&pack.location)?.is_some_and(|usage| usage.length == pack.length);
            if pack.damaged || !whole {
                return Ok(false);
            }
        }
        Ok(true)
    }

    /// Adds an object, or gives a damaged one its bytes back. Returns the location that nobody needs: ours when the object
    /// was here, the damaged one's when it was healed.
    pub(crate) async fn insert_or_heal_object(
        &self,
        txn: &mut dyn WriteTxn,
        row: &ObjectRow,
    ) -> Result<Option<Location>> {
        if txn.insert_object(row).await? {
            return Ok(None);
        }
        let Some(existing) = txn.object(&row.digest).await? else { return Ok(row.location.clone()) };
        let is_whole = !existing.damaged
            && self.object_file_is_there(&existing).await?
            && (row.bytes.is_none() || existing.bytes.is_some());
        if is_whole {
            return Ok(row.location.clone());
        }
        txn.heal_object(&row.digest, row.location.as_ref(), row.bytes.as_ref()).await?;
        Ok(existing.location)
    }

    /// Publishes an object whose row is complete.
    pub(crate) async fn publish_object(&self, lease: &Lease, row: &ObjectRow) -> Result<()> {
        let mut txn = self.write("publishing an object").await?;
        let unused = self.insert_or_heal_object(&mut *txn, row).await?;
        txn.add_lease_items(lease.id(), &[LeaseItem::Object(row.digest)]).await?;
        txn.promote_sparse(&row.digest).await?;
        txn.commit().await?;
        self.remove_blobs(unused.into_iter().collect()).await
    }

    /// Seals and publishes a blob that is no layer.
    pub(crate) async fn publish_blob(&self, lease: &Lease, mut blob: NewBlob) -> Result<()> {
        let location = self.seal_blob(&mut blob).await?;
        self.publish_object(lease, &self.object_row(&blob, location)).await?;
        finish_staging(blob).await
    }

    /// Seals and publishes a layer: blob, pack, index, and the rows that make them exist.
    pub(crate) async fn publish_layer(&self, lease: &Lease, mut blob: NewBlob, unpacked: Unpacked) -> Result<()> {
        let diff_id = unpacked.index().diff_id;
        let keeps_layer = !{
            let txn = self.read().await?;
            self.layer_is_whole(&*txn, &diff_id).await?
        };
        let layer = async {
            match keeps_layer {
                true => self.seal_layer(unpacked).await.map(Some),
                false => Ok(None),
            }
        };
        // The layer first: it hands its pack to a thread, so that both are synced at the same time.
        let (sealed, location) = tokio::join!(layer, self.seal_blob(&mut blob));
        let (sealed, location) = (sealed?, location?);
        let object = self.object_row(&blob, location);
        let mut txn = self.write("publishing a layer").await?;
        let mut unused = Unused::default();
        unused.blobs.extend(self.insert_or_heal_object(&mut *txn, &object).await?);
        if let Some(sealed) = &sealed {
            self.insert_or_heal_layer(&mut *txn, sealed, &mut unused).await?;
        }
        txn.link_layer_blob(&object.digest, &diff_id).await?;
        txn.add_lease_items(lease.id(), &[LeaseItem::Object(object.digest), LeaseItem::Layer(diff_id)]).await?;
        txn.promote_sparse(&object.digest).await?;
        txn.commit().await?;
        fault::point("layer-published");
        finish_staging(blob).await?;
        fault::point("staging-removed");
        self.remove_unused(unused).await
    }

    async fn remove_unused(&self, unused: Unused) -> Result<()> {
        self.remove_blobs(unused.blobs).await?;
        for pack in unused.packs {
            self.inner.packs.remove(&pack)?;
        }
        Ok(())
    }

    /// Adds another blob of a layer that is here: the same tar in another compression, as `chunks` brings it.
    ///
    /// # Errors
    /// What `chunks` or the backends report.
    pub async fn add_layer_blob(
        &self,
        lease: &Lease,
        diff_id: &DiffId,
        media_type: MediaType,
        mut chunks: tokio::sync::mpsc::Receiver<std::io::Result<bytes::Bytes>>,
    ) -> Result<(Digest, u64)> {
        let mut bytes = self.inner.blobs.begin(BlobKind::Object).await?;
        let mut hasher = strata_model::Hasher::new(strata_model::Algorithm::Sha256);
        let mut size = 0;
        while let Some(chunk) = chunks.recv().await {
            let chunk = chunk.map_err(|source| StoreError::file("compressing layer", diff_id.to_string(), source))?;
            hasher.update(&chunk);
            size += chunk.len() as u64;
            bytes.write(&chunk).await?;
        }
        let digest = hasher.finish();
        let mut blob = NewBlob { digest, size, media_type, bytes: Some(bytes) };
        let location = self.seal_blob(&mut blob).await?;
        let object = self.object_row(&blob, location);
        let mut txn = self.write("publishing a compressed layer").await?;
        let unused = self.insert_or_heal_object(&mut *txn, &object).await?;
        txn.link_layer_blob(&digest, diff_id).await?;
        txn.add_lease_items(lease.id(), &[LeaseItem::Object(digest), LeaseItem::Layer(*diff_id)]).await?;
        txn.commit().await?;
        finish_staging(blob).await?;
        self.remove_blobs(unused.into_iter().collect()).await?;
        Ok((digest, size))
    }

    async fn seal_blob(&self, blob: &mut NewBlob) -> Result<Option<Location>> {
        let location = match &mut blob.bytes {
            Some(bytes) => Some(bytes.seal(self.inner.options.durability).await?),
            None => None,
        };
        fault::point("blob-sealed");
        Ok(location)
    }

    fn object_row(&self, blob: &NewBlob, location: Option<Location>) -> ObjectRow {
        ObjectRow {
            digest: blob.digest,
            media_type: blob.media_type.clone(),
            size: blob.size,
            location,
            bytes: None,
            created: self.now(),
            damaged: false,
        }
    }

    /// Makes pack and index durable.
    pub(crate) async fn seal_layer(&self, unpacked: Unpacked) -> Result<SealedLayer> {
        let durability = self.inner.options.durability;
        let Unpacked { layer, pack, pack_length, .. } = unpacked;
        // The pack is synced on a thread of its own while the index is written.
        let pack = pack.map(|(id, pack)| (id, tokio::task::spawn_blocking(move || pack.seal(durability))));
        let bytes = encode_index(&layer.index, &layer.skeleton).map_err(|cause| StoreError::DamagedLayer {
            diff_id: layer.index.diff_id,
            cause: format!("its index: {cause}"),
        })?;
        let mut ingest = self.inner.blobs.begin(BlobKind::Index).await?;
        ingest.write(&bytes).await?;
        let index = ingest.seal(durability).await?;
        ingest.finish().await?;
        fault::point("index-sealed");
        let pack_row = match pack {
            None => None,
            Some((id, sealing)) => {
                let location = sealing.await.map_err(panicked)??;
                Some(PackRow { id, location, length: pack_length, damaged: false })
            }
        };
        fault::point("pack-sealed");
        let own = pack_row.as_ref().map(|row| row.id);
        let uses = pack_uses(&layer.index);
        let shared_size = uses.iter().filter(|(id, _)| Some(*id) != own).map(|(_, bytes)| bytes).sum();
        let row = LayerRow {
            diff_id: layer.index.diff_id,
            index,
            tar_size: layer.index.tar_size,
            content_size: layer.index.content_size,
            entries: layer.index.len() as u64,
            shared_size,
            damaged: false,
        };
        Ok(SealedLayer { row, pack: pack_row, uses })
    }

    async fn insert_or_heal_layer(
        &self,
        txn: &mut dyn WriteTxn,
        sealed: &SealedLayer,
        unused: &mut Unused,
    ) -> Result<()> {
        let existing = txn.layer(&sealed.row.diff_id).await?;
        let replace = match &existing {
            None => false,
            Some(_) if self.layer_is_whole(&*txn, &sealed.row.diff_id).await? => {
                // Another process published it meanwhile.
                unused.blobs.push(sealed.row.index.clone());
                unused.packs.extend(sealed.pack.iter().map(|pack| pack.location.clone()));
                return Ok(());
            }
            Some(_) => true,
        };
        if let Some(pack) = &sealed.pack {
            txn.insert_pack(pack).await?;
        }
        if !replace {
            txn.insert_layer(&sealed.row, &sealed.uses).await?;
            return Ok(());
        }
        let former = txn.packs_of_layer(&sealed.row.diff_id).await?;
        unused.blobs.extend(existing.map(|row| row.index));
        txn.heal_layer(&sealed.row, &sealed.uses).await?;
        for (chain, location) in txn.views().await? {
            txn.delete_view(&chain).await?;
            unused.blobs.push(location);
        }
        for (id, _) in former {
            if !txn.pack_is_held(&id, self.now()).await?
                && let Some(row) = txn.pack(&id).await?
            {
                txn.delete_pack(&id).await?;
                unused.packs.push(row.location);
            }
        }
        Ok(())
    }

    /// Publishes the layer of a blob that is an object already.
    pub(crate) async fn publish_unpacked(&self, lease: &Lease, blob: &Digest, unpacked: Unpacked) -> Result<()> {
        let sealed = self.seal_layer(unpacked).await?;
        let diff_id = sealed.row.diff_id;
        let mut txn = self.write("publishing the layer of a blob").await?;
        let mut unused = Unused::default();
        self.insert_or_heal_layer(&mut *txn, &sealed, &mut unused).await?;
        txn.link_layer_blob(blob, &diff_id).await?;
        txn.add_lease_items(lease.id(), &[LeaseItem::Layer(diff_id)]).await?;
        txn.commit().await?;
        self.remove_unused(unused).await
    }

    /// Puts a layer that was made again from its blob in the place of a damaged one.
    pub(crate) async fn replace_layer(&self, lease: &Lease, unpacked: Unpacked) -> Result<()> {
        let sealed = self.seal_layer(unpacked).await?;
        let mut txn = self.write("repairing a layer").await?;
        let mut unused = Unused::default();
        self.insert_or_heal_layer(&mut *txn, &sealed, &mut unused).await?;
        txn.add_lease_items(lease.id(), &[LeaseItem::Layer(sealed.row.diff_id)]).await?;
        txn.commit().await?;
        self.remove_unused(unused).await
    }

    /// Publishes manifests, children before parents, and images with their names, in one transaction.
    ///
    /// What an image manifest refers to must be here; entries of an index and subjects that are not are noted as absent.
    ///
    /// # Errors
    /// `MissingReference` when something was collected or never came.
    pub async fn publish_images(
        &self,
        lease: &Lease,
        manifests: &[Raw<Manifest>],
        images: &[NewImage],
        events: &[EventRow],
    ) -> Result<Vec<PublishedImage>> {
        let mut rows = Vec::with_capacity(manifests.len());
        for manifest in manifests {
            let media_type = manifest.value().media_type();
            rows.push(self.small_object_row(&media_type, manifest.digest(), manifest.bytes().clone()).await?);
        }
        let mut txn = self.write("publishing an image").await?;
        let mut unused = Vec::new();
        for (manifest, row) in manifests.iter().zip(&rows) {
            unused.extend(self.insert_or_heal_object(&mut *txn, row).await?);
            insert_edges(&mut *txn, manifest).await?;
            txn.promote_sparse(&row.digest).await?;
        }
        let mut published = Vec::with_capacity(images.len());
        for image in images {
            published.push(self.publish_image(&mut *txn, image).await?);
        }
        for event in events {
            txn.insert_event(event).await?;
        }
        let items: Vec<LeaseItem> = rows.iter().map(|row| LeaseItem::Object(row.digest)).collect();
        txn.add_lease_items(lease.id(), &items).await?;
        txn.commit().await?;
        fault::point("manifests-published");
        self.remove_blobs(unused).await?;
        Ok(published)
    }

    async fn publish_image(&self, txn: &mut dyn WriteTxn, image: &NewImage) -> Result<PublishedImage> {
        let now = self.now();
        let described = describe_image(&*txn, &image.manifest).await?;
        let former = txn.image(&described.id).await?;
        let tagged = if image.names.is_empty() { former.as_ref().map_or(0, |row| row.tagged) } else { now };
        let row = ImageRow {
            id: described.id,
            manifest: image.manifest,
            platform: described.platform,
            created: described.created,
            size: described.size,
            added: former.as_ref().map_or(now, |row| row.added),
            used: now,
            tagged,
        };
        txn.put_image(&row).await?;
        let mut moved = Vec::new();
        for (repository, tag) in &image.names {
            let name = NameRow {
                repository: repository.clone(),
                tag: tag.clone(),
                platform: row.platform.clone(),
                image: row.id,
                updated: now,
            };
            moved.extend(set_name(txn, &name).await?.map(|former| (name, former)));
        }
        for (repository, digest) in &image.digest_names {
            let row = DigestNameRow { repository: repository.clone(), digest: *digest, image: row.id };
            txn.put_digest_name(&row).await?;
        }
        Ok(PublishedImage { row, moved, is_new: former.is_none() })
    }

    /// Removes blobs that lost a race, or that were replaced.
    pub(crate) async fn remove_blobs(&self, locations: Vec<Location>) -> Result<()> {
        for location in locations {
            self.inner.blobs.remove(&location).await?;
        }
        Ok(())
    }
}

/// Sets a name; returns the other image that it named before.
///
/// # Errors
/// When the catalog cannot be written.
pub async fn set_name(txn: &mut dyn WriteTxn, name: &NameRow) -> Result<Option<ImageId>> {
    let former = txn.names_of_repository(&name.repository).await?;
    txn.put_name(name).await?;
    Ok(former
        .into_iter()
        .find(|row| row.tag == name.tag && row.platform == name.platform && row.image != name.image)
        .map(|row| row.image))
}

/// A layer whose pack and index are durable and that nobody knows yet.
pub(crate) struct SealedLayer {
    pub(crate) row: LayerRow,
    pub(crate) pack: Option<PackRow>,
    pub(crate) uses: Vec<(PackId, u64)>,
}

/// Locations that are to be removed once the transaction is committed.
#[derive(Default)]
struct Unused {
    blobs: Vec<Location>,
    packs: Vec<Location>,
}

/// How many bytes of each pack a layer uses, each content once.
pub(crate) fn pack_uses(index: &LayerIndex) -> Vec<(PackId, u64)> {
    let mut seen = HashSet::new();
    let mut bytes: HashMap<u16, u64> = HashMap::new();
    for content in index.entries().filter_map(|entry| entry.content) {
        if seen.insert(content.digest) {
            *bytes.entry(content.pack).or_default() += content.size;
        }
    }
    let uses: BTreeMap<PackId, u64> =
        bytes.into_iter().filter_map(|(pack, bytes)| Some((*index.packs.get(usize::from(pack))?, bytes))).collect();
    uses.into_iter().collect()
}

/// Adds the edges of a manifest.
pub(crate) async fn insert_edges(txn: &mut dyn WriteTxn, manifest: &Raw<Manifest>) -> Result<()> {
    let parent = manifest.digest();
    for edge in manifest.value().edges() {
        let child = edge.descriptor.digest;
        let (role, may_be_absent) = match edge.role {
            EdgeRole::Config => ("config", false),
            EdgeRole::Layer => ("layer", edge.descriptor.media_type.is_foreign_layer()),
            EdgeRole::Manifest => ("manifest", true),
            EdgeRole::Subject => ("subject", true),
        };
        if txn.object(&child).await?.is_some() {
            txn.insert_edge(&parent, &child, role).await?;
        } else if may_be_absent {
            txn.insert_sparse(&parent, &child, role).await?;
        } else {
            return Err(StoreError::MissingReference { manifest: parent, child });
        }
    }
    Ok(())
}

struct DescribedImage {
    id: ImageId,
    platform: String,
    created: i64,
    size: u64,
}

/// What the catalog can tell of an image whose manifest, configuration and layers are here.
async fn describe_image(txn: &dyn ReadTxn, manifest: &Digest) -> Result<DescribedImage> {
    let unknown = || StoreError::UnknownObject(*manifest);
    let bytes = txn.object(manifest).await?.and_then(|row| row.bytes).ok_or_else(unknown)?;
    let malformed = |cause: String| StoreError::Malformed { what: format!("manifest {manifest}"), cause };
    let Manifest::Image(image) =
        Manifest::parse(&bytes, None).map_err(|error: ManifestError| malformed(error.to_string()))?
    else {
        return Err(malformed("it is an index, not an image".into()));
    };
    let id = ImageId(image.config.digest);
    let config = txn.object(&id.0).await?.and_then(|row| row.bytes).ok_or(StoreError::UnknownObject(id.0))?;
    if !image.config.media_type.is_image_config() {
        return Ok(DescribedImage { id, platform: "unknown/unknown".into(), created: 0, size: 0 });
    }
    let config = ImageConfig::parse(&config).map_err(|cause| StoreError::Malformed {
        what: format!("image configuration {id}"),
        cause: cause.to_string(),
    })?;
    let mut size = 0;
    for diff_id in &config.rootfs.diff_ids {
        size += txn.layer(diff_id).await?.ok_or(StoreError::UnknownLayer(*diff_id))?.content_size;
    }
    let created = config.created.as_deref().and_then(parse_time).unwrap_or(0);
    Ok(DescribedImage { id, platform: config.platform().normalized().to_string(), created, size })
}

/// Nanoseconds since 1970 of an RFC 3339 time.
fn parse_time(text: &str) -> Option<i64> {
    let timestamp: jiff::Timestamp = text.parse().ok()?;
    i64::try_from(timestamp.as_nanosecond()).ok()
}

async fn finish_staging(blob: NewBlob) -> Result<()> {
    match blob.bytes {
        Some(bytes) => bytes.finish().await,
        None => Ok(()),
    }
}

pub(crate) fn panicked(error: tokio::task::JoinError) -> StoreError {
    StoreError::Malformed { what: "a worker thread".into(), cause: error.to_string() }
}

/// A row for bytes that are to be removed.
pub(crate) fn doomed(kind: DoomedKind, location: Location) -> DoomedRow {
    DoomedRow { location, kind }
}
