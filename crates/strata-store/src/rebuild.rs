//! The catalog made again from what blob and pack storage hold, when the database is lost.
//!
//! Blobs tell their digests by being hashed, manifests and configurations by being parsed, layers by their indexes, packs
//! by the identity in their location. Names, and what the registry's repositories show, come from the newest snapshot: what
//! was pushed after it is not shown. Leases and events are not kept anywhere else and are lost. The new catalog must be empty. Nothing is removed: what cannot be placed stays for
//! `fsck --repair`, which removes it after a day.

use std::collections::{HashMap, HashSet};

use strata_layer::{LayerIndex, PackId};
use strata_model::{Digest, ImageConfig, ImageManifest, MAX_MANIFEST_SIZE, Manifest, MediaType, Raw};

use crate::publish::{insert_edges, pack_uses};
use crate::snapshot::{NAMES, NamesSnapshot};
use crate::store::read_whole;
use crate::{
    BlobBytes, DigestNameRow, LayerRow, LinkKind, Location, NameRow, NewImage, ObjectRow, PackRow, Result, Store,
    StoreError, WriteTxn, layer_media_type,
};

const CHUNK: usize = 1 << 20;
/// How many bytes tell what a file is.
const START: usize = 64;
/// How a snapshot of names begins, which may be larger than any manifest.
const SNAPSHOT_START: &[u8] = br#"{"mediaType":"application/vnd.strata.names.v1+json""#;

/// What a rebuild found.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Rebuilt {
    /// Images that are whole again.
    pub images: usize,
    /// Names on them.
    pub names: usize,
    /// Layers.
    pub layers: usize,
}

impl Store {
    /// Fills an empty catalog from storage.
    ///
    /// # Errors
    /// When storage cannot be read or the catalog not be written. A rebuild that failed is started again with a fresh
    /// catalog.
    pub async fn rebuild(&self) -> Result<Rebuilt> {
        let found = self.inventory().await?;
        let lease = self.lease("rebuild").await?;
        let mut rebuilt = Rebuilt { layers: self.insert_layers(&found).await?, ..Rebuilt::default() };
        self.insert_objects(&found).await?;
        let only_in_registry = found.only_in_registry();
        for (manifest, _) in found.images().filter(|(manifest, _)| !only_in_registry.contains(*manifest)) {
            if self.link_layers(&found, manifest).await.is_err() {
                continue;
            }
            rebuilt.images += usize::from(self.publish_found(&lease, &found, manifest).await?);
        }
        rebuilt.names = self.restore_names(&found).await?;
        self.restore_registry(&found).await?;
        self.release(lease).await?;
        Ok(rebuilt)
    }

    async fn inventory(&self) -> Result<Inventory> {
        let mut found = Inventory::default();
        for scanned in self.inner.packs.scan()? {
            let row = (scanned.location.clone(), scanned.usage.length);
            found.packs.push(row);
        }
        for scanned in self.inner.blobs.scan().await? {
            let bytes = self.inner.blobs.open(&scanned.location).await?;
            let location = scanned.location;
            let item =
                tokio::task::spawn_blocking(move || classify(&*bytes)).await.map_err(crate::publish::panicked)?;
            match item {
                Ok(item) => found.add(location, item),
                Err(error) => tracing::warn!(location = location.0, %error, "a file is left out of the rebuild"),
            }
        }
        Ok(found)
    }

    async fn insert_layers(&self, found: &Inventory) -> Result<usize> {
        let mut txn = self.write("rebuilding layers").await?;
        let mut inserted: HashSet<PackId> = HashSet::new();
        let mut layers = 0;
        for (location, index) in &found.indexes {
            let mut whole = true;
            for id in &index.packs {
                let Some((pack, length)) = found.pack(id) else {
                    whole = false;
                    continue;
                };
                if inserted.insert(*id) {
                    txn.insert_pack(&PackRow { id: *id, location: pack.clone(), length, damaged: false }).await?;
                }
            }
            if !whole {
                continue;
            }
            let row = LayerRow {
                diff_id: index.diff_id,
                index: location.clone(),
                tar_size: index.tar_size,
                content_size: index.content_size,
                entries: index.len() as u64,
                shared_size: 0,
                damaged: false,
            };
            layers += usize::from(txn.insert_layer(&row, &pack_uses(index)).await?);
        }
        txn.commit().await?;
        Ok(layers)
    }

    async fn insert_objects(&self, found: &Inventory) -> Result<()> {
        let mut txn = self.write("rebuilding objects").await?;
        for (digest, blob) in &found.blobs {
            let row = ObjectRow {
                digest: *digest,
                media_type: found.media_type(digest, blob),
                size: blob.size,
                location: Some(blob.location.clone()),
                bytes: blob.document.clone(),
                created: self.now(),
                damaged: false,
            };
            txn.insert_object(&row).await?;
        }
        for (_, index) in &found.indexes {
            // A plain tar has no blob of its own: its pack and index hold it.
            let digest = index.diff_id.0;
            if !found.blobs.contains_key(&digest) && found.is_named(&digest) {
                let row = ObjectRow {
                    digest,
                    media_type: MediaType::OCI_LAYER,
                    size: index.tar_size,
                    location: None,
                    bytes: None,
                    created: self.now(),
                    damaged: false,
                };
                txn.insert_object(&row).await?;
            }
        }
        txn.commit().await
    }

    /// Notes which blob is which layer, as manifest and configuration say.
    async fn link_layers(&self, found: &Inventory, manifest: &Digest) -> Result<()> {
        let unknown = || StoreError::UnknownObject(*manifest);
        let (image, config) = found.images.get(manifest).ok_or_else(unknown)?;
        let config = found.configs.get(config).ok_or_else(unknown)?;
        let mut txn = self.write("rebuilding layers of an image").await?;
        for (layer, diff_id) in image.layers.iter().zip(&config.rootfs.diff_ids) {
            if txn.object(&layer.digest).await?.is_none() || txn.layer(diff_id).await?.is_none() {
                return Err(StoreError::UnknownLayer(*diff_id));
            }
            txn.link_layer_blob(&layer.digest, diff_id).await?;
        }
        txn.commit().await
    }

    async fn publish_found(&self, lease: &crate::Lease, found: &Inventory, manifest: &Digest) -> Result<bool> {
        let Some(document) = found.blobs.get(manifest).and_then(|blob| blob.document.clone()) else { return Ok(false) };
        let Ok(raw) = Raw::parse(document, |bytes| Manifest::parse(bytes, None)) else { return Ok(false) };
        let image = NewImage { manifest: *manifest, digest_names: Vec::new(), names: Vec::new() };
        Ok(self.publish_images(lease, &[raw], &[image], &[]).await.is_ok())
    }

    async fn restore_names(&self, found: &Inventory) -> Result<usize> {
        let mut txn = self.write("rebuilding names").await?;
        for (digest, blob) in &found.blobs {
            // Indexes refer to what is here; images have their edges already.
            let Some(document) = blob.document.clone() else { continue };
            if let Ok(raw) = Raw::parse(document, |bytes| Manifest::parse(bytes, None))
                && matches!(raw.value(), Manifest::Index(_))
                && raw.digest() == *digest
            {
                insert_edges(&mut *txn, &raw).await?;
            }
        }
        let mut names = 0;
        let Some(snapshot) = &found.snapshot else {
            txn.commit().await?;
            return Ok(0);
        };
        for name in &snapshot.names {
            if txn.image(&name.image).await?.is_some() {
                let row = NameRow {
                    repository: name.repository.clone(),
                    tag: name.tag.clone(),
                    platform: name.platform.clone(),
                    image: name.image,
                    updated: snapshot.time,
                };
                txn.put_name(&row).await?;
                names += 1;
            }
        }
        for name in &snapshot.digests {
            if txn.image(&name.image).await?.is_some() && txn.object(&name.digest).await?.is_some() {
                let row = DigestNameRow { repository: name.repository.clone(), digest: name.digest, image: name.image };
                txn.put_digest_name(&row).await?;
            }
        }
        txn.commit().await?;
        Ok(names)
    }

    /// Links what the registry's repositories showed and what is here.
    async fn restore_registry(&self, found: &Inventory) -> Result<()> {
        let Some(snapshot) = &found.snapshot else { return Ok(()) };
        let mut txn = self.write("rebuilding the registry's repositories").await?;
        for repository in &snapshot.registry {
            for manifest in &repository.manifests {
                restore_manifest(&mut *txn, found, manifest).await?;
            }
            let manifests = repository.manifests.iter().map(|digest| (digest, LinkKind::Manifest));
            for (digest, kind) in manifests.chain(repository.blobs.iter().map(|digest| (digest, LinkKind::Blob))) {
                if txn.object(digest).await?.is_some() {
                    txn.put_registry_link(&repository.name, digest, kind).await?;
                }
            }
            for (tag, digest, updated) in &repository.tags {
                if txn.registry_link(&repository.name, digest).await? == Some(LinkKind::Manifest) {
                    txn.put_registry_tag(&repository.name, tag, digest, *updated).await?;
                }
            }
        }
        txn.commit().await
    }
}

/// The edges of a manifest, if all that it must refer to is here.
async fn restore_manifest(txn: &mut dyn WriteTxn, found: &Inventory, digest: &Digest) -> Result<()> {
    let Some(document) = found.blobs.get(digest).and_then(|blob| blob.document.clone()) else { return Ok(()) };
    let Ok(raw) = Raw::parse(document, |bytes| Manifest::parse(bytes, None)) else { return Ok(()) };
    match insert_edges(txn, &raw).await {
        Err(StoreError::MissingReference { .. }) => Ok(()),
        inserted => inserted,
    }
}

struct FoundBlob {
    location: Location,
    size: u64,
    document: Option<bytes::Bytes>,
    compression: strata_model::Compression,
}

/// What storage holds.
#[derive(Default)]
struct Inventory {
    packs: Vec<(Location, u64)>,
    blobs: HashMap<Digest, FoundBlob>,
    indexes: Vec<(Location, LayerIndex)>,
    images: HashMap<Digest, (ImageManifest, Digest)>,
    configs: HashMap<Digest, ImageConfig>,
    snapshot: Option<NamesSnapshot>,
}

enum Item {
    Index(Box<LayerIndex>),
    Blob { digest: Digest, size: u64, document: Option<bytes::Bytes>, compression: strata_model::Compression },
}

impl Inventory {
    fn add(&mut self, location: Location, item: Item) {
        let (digest, size, document, compression) = match item {
            Item::Index(index) => {
                self.indexes.push((location, *index));
                return;
            }
            Item::Blob { digest, size, document, compression } => (digest, size, document, compression),
        };
        if let Some(document) = &document {
            match serde_json::from_slice::<NamesSnapshot>(document) {
                Ok(snapshot) if snapshot.media_type == NAMES => {
                    if self.snapshot.as_ref().is_none_or(|known| known.time < snapshot.time) {
                        self.snapshot = Some(snapshot);
                    }
                }
                _ => match Manifest::parse(document, None) {
                    Ok(Manifest::Image(image)) => {
                        let config = image.config.digest;
                        self.images.insert(digest, (image, config));
                    }
                    Ok(Manifest::Index(_)) => {}
                    Err(_) => {
                        if let Ok(config) = ImageConfig::parse(document) {
                            self.configs.insert(digest, config);
                        }
                    }
                },
            }
        }
        self.blobs.insert(digest, FoundBlob { location, size, document, compression });
    }

    /// Manifests that a repository of the registry shows and no local name means: they were no local images.
    fn only_in_registry(&self) -> HashSet<Digest> {
        let Some(snapshot) = &self.snapshot else { return HashSet::new() };
        let named = snapshot.names.iter().map(|name| name.image).chain(snapshot.digests.iter().map(|name| name.image));
        let named: HashSet<Digest> = named.map(|image| image.0).collect();
        let shown = snapshot.registry.iter().flat_map(|repository| &repository.manifests);
        let is_local = |digest: &Digest| self.images.get(digest).is_some_and(|(_, config)| named.contains(config));
        shown.filter(|digest| !is_local(digest)).copied().collect()
    }

    fn images(&self) -> impl Iterator<Item = (&Digest, &ImageManifest)> {
        self.images.iter().map(|(digest, (image, _))| (digest, image))
    }

    /// A pack by its identity, which is part of its location.
    fn pack(&self, id: &PackId) -> Option<(&Location, u64)> {
        let hex = id.to_string();
        self.packs.iter().find(|(location, _)| location.0.contains(&hex)).map(|(location, length)| (location, *length))
    }

    /// Whether an image has this digest as a layer.
    fn is_named(&self, digest: &Digest) -> bool {
        self.images.values().any(|(image, _)| image.layers.iter().any(|layer| layer.digest == *digest))
    }

    /// As the manifest that names it says, else as its bytes look.
    fn media_type(&self, digest: &Digest, blob: &FoundBlob) -> MediaType {
        for (image, config) in self.images.values() {
            if config == digest {
                return image.config.media_type.clone();
            }
            if let Some(layer) = image.layers.iter().find(|layer| layer.digest == *digest) {
                return layer.media_type.clone();
            }
        }
        match &blob.document {
            Some(document) => match Manifest::parse(document, None) {
                Ok(manifest) => manifest.media_type(),
                Err(_) if self.snapshot_is(document) => MediaType::parse(NAMES),
                Err(_) => MediaType::OCTET_STREAM,
            },
            None => layer_media_type(blob.compression),
        }
    }

    fn snapshot_is(&self, document: &[u8]) -> bool {
        serde_json::from_slice::<NamesSnapshot>(document).is_ok_and(|snapshot| snapshot.media_type == NAMES)
    }
}

/// What a stored file is, by its bytes.
fn classify(bytes: &dyn BlobBytes) -> std::io::Result<Item> {
    let size = bytes.size();
    let mut hasher = strata_model::Hasher::new(strata_model::Algorithm::Sha256);
    let mut buffer = vec![0; CHUNK.min(size.max(1) as usize)];
    let mut start = Vec::new();
    let mut offset = 0;
    loop {
        match bytes.read_at(offset, &mut buffer)? {
            0 => break,
            count => {
                if offset == 0 {
                    start = buffer[..count.min(START)].to_vec();
                }
                hasher.update(&buffer[..count]);
                offset += count as u64;
            }
        }
    }
    let compression = strata_layer::sniff(&start);
    let is_small = size <= MAX_MANIFEST_SIZE as u64 && compression == strata_model::Compression::None;
    let is_read = is_small || start.starts_with(strata_layer::INDEX_MAGIC) || start.starts_with(SNAPSHOT_START);
    let whole = if is_read { Some(read_whole(bytes)?) } else { None };
    if let Some(index) = whole.as_deref().and_then(|whole| strata_layer::decode_index(whole).ok()) {
        return Ok(Item::Index(Box::new(index)));
    }
    let document = whole.filter(|whole| matches!(whole.trim_ascii_start().first(), Some(b'{'))).map(bytes::Bytes::from);
    Ok(Item::Blob { digest: hasher.finish(), size, document, compression })
}
