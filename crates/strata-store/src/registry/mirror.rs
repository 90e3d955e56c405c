//! Repositories that mirror those of another registry: what was fetched is kept in them, and goes when it was not used.
//!
//! Their manifests are taken before what they refer to, which is fetched when a client asks for it: every reference that is
//! not here is noted as absent. Uses of manifests are rows of the catalog. An image (a manifest that no other one of its
//! repository refers to, with all below it) was last used when one of its manifests was. Nothing is noted in the history:
//! nobody pushed anything.

use std::collections::HashSet;
use std::sync::Arc;

use bytes::Bytes;
use strata_model::{Algorithm, Digest, MAX_MANIFEST_SIZE, Manifest, MediaType, Repository, Tag};

use super::manifests::{check_media_type, digest_of, insert_edges};
use super::uploads::Upload;
use super::{Registry, RegistryError, Result, StoredManifest};
use crate::{BlobBytes, BlobKind, LinkKind, ReadTxn, StageName};

/// An image that a mirror keeps.
#[derive(Clone, Debug)]
pub struct MirroredImage {
    /// Its topmost manifest.
    pub digest: Digest,
    /// When one of its manifests was last used, nanoseconds since 1970.
    pub used: i64,
    /// Everything of it that its repository links, itself included, and how many bytes each has.
    pub parts: Vec<(Digest, u64)>,
}

impl Registry {
    /// Takes a manifest that was fetched, whether what it refers to is here or not, and sets a tag on it. Survives a power
    /// cut once it returns.
    ///
    /// # Errors
    /// `ManifestMalformed`, `MediaType`, `DigestMismatch`, or what the store reports.
    pub async fn keep_manifest(
        &self,
        mirror: &Repository,
        bytes: Bytes,
        media_type: MediaType,
        digest: Digest,
        tag: Option<&Tag>,
    ) -> Result<StoredManifest> {
        if bytes.len() > MAX_MANIFEST_SIZE {
            return Err(RegistryError::ManifestMalformed(strata_model::ManifestError::TooLarge(bytes.len())));
        }
        let sent = Some(media_type).filter(MediaType::is_manifest);
        let manifest = Manifest::parse(&bytes, sent.as_ref())?;
        let media_type = check_media_type(&manifest, sent)?;
        digest_of(&bytes, Some(digest))?;
        let row = self.store.small_object_row(&media_type, digest, bytes.clone()).await?;

        let mut txn = self.store.write("keeping a mirrored manifest").await?;
        let unused = self.store.insert_or_heal_object(&mut *txn, &row).await?;
        insert_edges(&mut *txn, &digest, &manifest).await?;
        txn.promote_sparse(&digest).await?;
        txn.put_registry_link(mirror.as_str(), &digest, LinkKind::Manifest).await?;
        txn.put_registry_use(mirror.as_str(), &digest, self.store.now()).await?;
        if let Some(tag) = tag {
            txn.put_registry_tag(mirror.as_str(), tag.as_str(), &digest, self.store.now()).await?;
        }
        txn.commit().await?;
        self.store.remove_blobs(unused.into_iter().collect()).await?;
        Ok(StoredManifest { digest, media_type, bytes })
    }

    /// Points a tag to a manifest that is kept, or removes it. What it pointed to stays as long as it is used.
    ///
    /// # Errors
    /// When the catalog fails.
    pub async fn keep_tag(&self, mirror: &Repository, tag: &Tag, digest: Option<&Digest>) -> Result<()> {
        let mut txn = self.store.write("setting a mirrored tag").await?;
        match digest {
            Some(digest) => {
                txn.put_registry_tag(mirror.as_str(), tag.as_str(), digest, self.store.now()).await?;
            }
            None => drop(txn.delete_registry_tag(mirror.as_str(), tag.as_str()).await?),
        }
        Ok(txn.commit().await?)
    }

    /// Makes a mirror show a blob that the store has for another reason; `false` when it is not here whole. Only for a blob
    /// that the mirrored repository is known to have.
    ///
    /// # Errors
    /// When the catalog fails.
    pub async fn keep_blob(&self, mirror: &Repository, digest: &Digest) -> Result<bool> {
        let mut txn = self.store.write("linking a mirrored blob").await?;
        let Some(row) = txn.object(digest).await? else { return Ok(false) };
        if row.damaged || !self.store.object_file_is_there(&row).await? {
            return Ok(false);
        }
        self.link_blob(&mut *txn, mirror, digest).await?;
        txn.commit().await?;
        Ok(true)
    }

    /// Whether the store has an object, for whatever reason.
    ///
    /// # Errors
    /// When the catalog cannot be read.
    pub async fn store_has(&self, digest: &Digest) -> Result<bool> {
        let txn = self.store.read().await?;
        let Some(row) = txn.object(digest).await? else { return Ok(false) };
        Ok(!row.damaged && self.store.object_file_is_there(&row).await?)
    }

    /// Starts to take in a blob from the mirrored registry, or goes on with what an earlier try left: what arrived stays
    /// staged until [`Upload::finish`] or [`Upload::cancel`]. When another process takes in the same blob, this one starts
    /// anew and leaves nothing.
    ///
    /// # Errors
    /// What the backend reports.
    pub async fn receive_blob(&self, mirror: &Repository, digest: &Digest) -> Result<Upload> {
        let staged = match self.store.inner.blobs.stage(&StageName::Download(*digest)).await? {
            Some(staged) => staged,
            None => self.store.inner.blobs.begin(BlobKind::Object).await?,
        };
        Ok(Upload::without_session(self, mirror, staged, digest.algorithm()))
    }

    /// Notes that a manifest was used; nothing when it is not there any more.
    ///
    /// # Errors
    /// When the catalog fails.
    pub async fn note_use(&self, mirror: &Repository, digest: &Digest) -> Result<()> {
        let mut txn = self.store.write("noting the use of a mirrored manifest").await?;
        if txn.registry_link(mirror.as_str(), digest).await? != Some(LinkKind::Manifest) {
            return Ok(());
        }
        txn.put_registry_use(mirror.as_str(), digest, self.store.now()).await?;
        Ok(txn.commit().await?)
    }

    /// The images that a mirror keeps.
    ///
    /// # Errors
    /// When the catalog cannot be read.
    pub async fn mirrored_images(&self, mirror: &Repository) -> Result<Vec<MirroredImage>> {
        let txn = self.store.read().await?;
        let uses: std::collections::HashMap<Digest, i64> =
            txn.registry_uses(mirror.as_str()).await?.into_iter().collect();
        let mut images = Vec::new();
        for digest in txn.registry_links(mirror.as_str(), LinkKind::Manifest).await? {
            if txn.registry_parent(mirror.as_str(), &digest).await?.is_some() {
                continue;
            }
            let (mut used, mut parts) = (0, Vec::new());
            for part in family(&*txn, mirror, digest).await? {
                used = used.max(uses.get(&part).copied().unwrap_or(0));
                parts.push((part, txn.object(&part).await?.map_or(0, |row| row.size)));
            }
            images.push(MirroredImage { digest, used, parts });
        }
        Ok(images)
    }

    /// Takes an image out of a mirror, with its tags and all that no other image of the mirror needs, unless it was used
    /// after `used`; returns the bytes that the disk got back.
    ///
    /// # Errors
    /// When catalog or backends fail.
    pub async fn evict(&self, mirror: &Repository, image: &Digest, used: i64) -> Result<u64> {
        let mut txn = self.store.write("evicting a mirrored image").await?;
        let family = family(&*txn, mirror, *image).await?;
        let uses = txn.registry_uses(mirror.as_str()).await?;
        if uses.iter().any(|(digest, at)| *at > used && family.contains(digest)) {
            return Ok(0);
        }
        let mut evicted = Vec::new();
        // From the top: what is below is needed by whatever was not evicted.
        for part in family {
            if txn.registry_parent(mirror.as_str(), &part).await?.is_none() {
                txn.delete_registry_link(mirror.as_str(), &part).await?;
                evicted.push(part);
            }
        }
        if txn.registry_links(mirror.as_str(), LinkKind::Manifest).await?.is_empty()
            && txn.registry_links(mirror.as_str(), LinkKind::Blob).await?.is_empty()
        {
            txn.delete_registry_repository(mirror.as_str()).await?;
        }
        let collection = self.store.review(&mut *txn, evicted).await?;
        txn.commit().await?;
        Ok(self.store.remove_doomed(&collection).await?)
    }
}

impl Upload {
    /// What arrived so far, for reading beside whoever writes.
    ///
    /// # Errors
    /// What the backend reports.
    pub fn stored(&self) -> Result<Arc<dyn BlobBytes>> {
        Ok(self.staged.staged()?)
    }

    /// Forgets what arrived so far.
    ///
    /// # Errors
    /// What the backend reports.
    pub async fn restart(&mut self, algorithm: Algorithm) -> Result<()> {
        self.staged.restart().await?;
        self.hash_anew(algorithm);
        Ok(())
    }
}

/// A manifest and all that it refers to and its repository links, every manifest before what it refers to.
async fn family(txn: &dyn ReadTxn, mirror: &Repository, top: Digest) -> Result<Vec<Digest>> {
    let mut found = vec![top];
    let mut known = HashSet::from([top]);
    let mut next = 0;
    while let Some(digest) = found.get(next).copied() {
        next += 1;
        for child in txn.children(&digest).await? {
            if known.insert(child) && txn.registry_link(mirror.as_str(), &child).await?.is_some() {
                found.push(child);
            }
        }
    }
    Ok(found)
}
