//! Manifests of a repository: taken when what they refer to is there, served byte for byte, deleted.

use bytes::Bytes;
use strata_model::{
    Algorithm, Digest, Edge, EdgeRole, Hasher, MAX_MANIFEST_SIZE, Manifest, MediaType, Repository, Target,
};

use super::history::Change;
use super::tags::{NewTag, moved_tag, untag};
use super::{Registry, RegistryError, Result, SparseManifests};
use crate::{LinkKind, ObjectRow, ReadTxn, RegistryAction, WriteTxn, fault};

/// The blob `{}`, which clients may carry in a descriptor instead of pushing it (OCI image-spec, manifest.md).
const EMPTY: &[u8] = b"{}";
const EMPTY_IN_BASE64: &str = "e30=";

/// A manifest as a client sends it.
#[derive(Clone, Debug)]
pub struct NewManifest {
    /// Its exact bytes.
    pub bytes: Bytes,
    /// The media type that it is sent as.
    pub media_type: Option<MediaType>,
    /// The digest that it must have; without one it gets its SHA-256 digest.
    pub digest: Option<Digest>,
    /// Tags to set on it.
    pub tags: Vec<NewTag>,
}

/// What became of a manifest that was taken.
#[derive(Clone, Debug)]
pub struct PublishedManifest {
    /// Its digest.
    pub digest: Digest,
    /// What it is about; the registry lists it there.
    pub subject: Option<Digest>,
}

/// A manifest as it was pushed.
#[derive(Clone, Debug)]
pub struct StoredManifest {
    /// Its digest.
    pub digest: Digest,
    /// The media type to serve it as.
    pub media_type: MediaType,
    /// Its exact bytes.
    pub bytes: Bytes,
}

impl Registry {
    /// The manifest that a tag points to, or with a digest.
    ///
    /// # Errors
    /// `ManifestUnknown`.
    pub async fn manifest(&self, repository: &Repository, target: &Target) -> Result<StoredManifest> {
        let txn = self.store.read().await?;
        let digest = match target {
            Target::Digest(digest) => Some(*digest),
            Target::Tag(tag) => txn.registry_tag(repository.as_str(), tag.as_str()).await?,
        };
        let found = match digest {
            Some(digest) => self.linked_manifest(&*txn, repository, &digest).await?,
            None => None,
        };
        found.ok_or_else(|| manifest_unknown(repository, target))
    }

    /// As [`Registry::manifest`], for a client that may count on it: one that is about to be collected stays for an hour.
    ///
    /// # Errors
    /// As [`Registry::manifest`].
    pub async fn promise_manifest(&self, repository: &Repository, target: &Target) -> Result<StoredManifest> {
        let manifest = self.manifest(repository, target).await?;
        let txn = self.store.read().await?;
        if txn.registry_review(repository.as_str(), &manifest.digest).await?.is_some() {
            drop(txn);
            self.promise(repository, &manifest.digest).await;
        }
        Ok(manifest)
    }

    pub(super) async fn linked_manifest(
        &self,
        txn: &dyn ReadTxn,
        repository: &Repository,
        digest: &Digest,
    ) -> Result<Option<StoredManifest>> {
        if txn.registry_link(repository.as_str(), digest).await? != Some(LinkKind::Manifest) {
            return Ok(None);
        }
        let Some(ObjectRow { digest, media_type, bytes: Some(bytes), .. }) = txn.object(digest).await? else {
            return Ok(None);
        };
        let media_type = match media_type.is_manifest() {
            true => media_type,
            // Its bytes came as a blob first.
            false => Manifest::parse(&bytes, None)?.media_type(),
        };
        Ok(Some(StoredManifest { digest, media_type, bytes }))
    }

    /// Takes a manifest and sets its tags, in one transaction. Once it returns, both survive a power cut. `actor` goes into
    /// the history.
    ///
    /// # Errors
    /// `ManifestMalformed`, `MediaType`, `DigestMismatch`, `ReferencesUnknown`, `TagMoved`, or what the store reports.
    pub async fn put_manifest(
        &self,
        repository: &Repository,
        new: NewManifest,
        actor: &str,
    ) -> Result<PublishedManifest> {
        let manifest = Manifest::parse(&new.bytes, new.media_type.as_ref())?;
        let media_type = check_media_type(&manifest, new.media_type)?;
        let digest = digest_of(&new.bytes, new.digest)?;
        let row = self.store.small_object_row(&media_type, digest, new.bytes).await?;
        let empty = self.carried_empty_blob(&manifest).await?;
        let config = self.small_config(repository, &manifest).await?;

        let mut txn = self.store.write("publishing a pushed manifest").await?;
        let mut unused = Vec::new();
        if let Some(empty) = &empty {
            unused.extend(self.store.insert_or_heal_object(&mut *txn, empty).await?);
            txn.put_registry_link(repository.as_str(), &empty.digest, LinkKind::Blob).await?;
        }
        let missing = self.missing_references(&*txn, repository, &manifest).await?;
        let refused = match missing.is_empty() {
            true => moved_tag(&*txn, repository, &new.tags).await?,
            false => Some(RegistryError::ReferencesUnknown { repository: repository.to_string(), missing }),
        };
        if let Some(refused) = refused {
            drop(txn);
            let locations = [Some(row), empty].into_iter().flatten().filter_map(|row| row.location);
            self.store.remove_blobs(locations.collect()).await?;
            return Err(refused);
        }
        unused.extend(self.store.insert_or_heal_object(&mut *txn, &row).await?);
        insert_edges(&mut *txn, &digest, &manifest).await?;
        if let Some((config, bytes)) = &config
            && let Some(row) = txn.object(config).await?
        {
            txn.heal_object(config, row.location.as_ref(), Some(bytes)).await?;
        }
        txn.promote_sparse(&digest).await?;
        txn.put_registry_link(repository.as_str(), &digest, LinkKind::Manifest).await?;
        // Pushed again, it is as one that never lost a tag.
        txn.delete_registry_review(repository.as_str(), &digest).await?;
        let by = self.by(actor);
        self.note(&mut *txn, repository, by, Change::of(RegistryAction::Push, &digest)).await?;
        for new in &new.tags {
            self.put_tag(&mut *txn, repository, &new.tag, &digest, by).await?;
        }
        fault::point("manifest-unpublished");
        txn.commit().await?;
        fault::point("manifest-published");
        self.store.remove_blobs(unused).await?;
        Ok(PublishedManifest { digest, subject: subject(&manifest) })
    }

    /// The row of the empty blob, when the manifest carries it inside a descriptor.
    async fn carried_empty_blob(&self, manifest: &Manifest) -> Result<Option<ObjectRow>> {
        let digest = Digest::of(EMPTY);
        let carries = |edge: Edge<'_>| {
            edge.descriptor.digest == digest && edge.descriptor.data.as_deref() == Some(EMPTY_IN_BASE64)
        };
        if !manifest.edges().any(carries) {
            return Ok(None);
        }
        let row = self.store.small_object_row(&MediaType::OCI_EMPTY, digest, Bytes::from_static(EMPTY)).await?;
        Ok(Some(row))
    }

    /// The configuration of a container image, when the catalog does not have its bytes yet: pushed as a blob like any
    /// other, it is read as often as the manifest from now on.
    async fn small_config(&self, repository: &Repository, manifest: &Manifest) -> Result<Option<(Digest, Bytes)>> {
        let Manifest::Image(image) = manifest else { return Ok(None) };
        let config = &image.config;
        let txn = self.store.read().await?;
        let Some(size) = self.linked_size(&*txn, repository, &config.digest).await? else { return Ok(None) };
        let is_inline = txn.object(&config.digest).await?.is_some_and(|row| row.bytes.is_some());
        drop(txn);
        if !config.media_type.is_image_config() || is_inline || size > MAX_MANIFEST_SIZE as u64 {
            return Ok(None);
        }
        let bytes = self.store.small_object(&config.digest, MAX_MANIFEST_SIZE as u64).await?;
        // Rows must not be given bytes that rotted.
        let found = digest_of(&bytes, Some(config.digest));
        if found.is_err() {
            self.store.mark_damaged(&config.digest).await?;
            return Ok(None);
        }
        Ok(Some((config.digest, bytes)))
    }

    async fn missing_references(
        &self,
        txn: &dyn ReadTxn,
        repository: &Repository,
        manifest: &Manifest,
    ) -> Result<Vec<Digest>> {
        let mut missing = Vec::new();
        if self.rules.sparse_manifests == SparseManifests::Allowed {
            return Ok(missing);
        }
        for Edge { role, descriptor } in manifest.edges() {
            let may_be_absent = match role {
                EdgeRole::Config | EdgeRole::Layer => {
                    !descriptor.urls.is_empty() || descriptor.media_type.is_foreign_layer()
                }
                EdgeRole::Manifest => false,
                EdgeRole::Subject => true,
            };
            if !may_be_absent
                && !missing.contains(&descriptor.digest)
                && self.linked_size(txn, repository, &descriptor.digest).await?.is_none()
            {
                missing.push(descriptor.digest);
            }
        }
        Ok(missing)
    }

    /// Takes a manifest out of this repository, with `tags`, which must be all that it has. What it refers to and what is about it (signatures) is
    /// unlinked after the delay, unless something else needs it.
    ///
    /// # Errors
    /// `ManifestUnknown`; `InUse` for a manifest that an index of the repository names; `TagMoved` when it has another tag.
    pub async fn delete_manifest(
        &self,
        repository: &Repository,
        digest: &Digest,
        tags: &[String],
        actor: &str,
    ) -> Result<()> {
        let mut txn = self.store.write("deleting a manifest").await?;
        if txn.registry_link(repository.as_str(), digest).await? != Some(LinkKind::Manifest) {
            return Err(manifest_unknown(repository, &Target::Digest(*digest)));
        }
        if let Some(index) = txn.registry_parent(repository.as_str(), digest).await? {
            return Err(RegistryError::InUse { digest: *digest, index });
        }
        let by = self.by(actor);
        for tag in txn.registry_tags_of(repository.as_str(), digest).await? {
            if !tags.contains(&tag) {
                return Err(RegistryError::TagMoved { repository: repository.to_string(), tag });
            }
            self.note(&mut *txn, repository, by, untag(&tag, *digest)).await?;
        }
        self.note(&mut *txn, repository, by, Change::of(RegistryAction::Delete, digest)).await?;
        self.review_manifest(&mut *txn, repository, digest).await?;
        txn.delete_registry_link(repository.as_str(), digest).await?;
        let collection = self.store.review(&mut *txn, vec![*digest]).await?;
        txn.commit().await?;
        fault::point("manifest-deleted");
        self.store.remove_doomed(&collection).await?;
        Ok(())
    }
}

pub(super) async fn insert_edges(txn: &mut dyn WriteTxn, parent: &Digest, manifest: &Manifest) -> Result<()> {
    for Edge { role, descriptor } in manifest.edges() {
        let role = match role {
            EdgeRole::Config => "config",
            EdgeRole::Layer => "layer",
            EdgeRole::Manifest => "manifest",
            EdgeRole::Subject => "subject",
        };
        match txn.object(&descriptor.digest).await? {
            Some(_) => txn.insert_edge(parent, &descriptor.digest, role).await?,
            None => txn.insert_sparse(parent, &descriptor.digest, role).await?,
        }
    }
    Ok(())
}

/// The media type to keep: the one written inside, which must be the one it was sent as; else that; else that of its shape.
pub(super) fn check_media_type(manifest: &Manifest, sent: Option<MediaType>) -> Result<MediaType> {
    let inside = match manifest {
        Manifest::Image(image) => &image.media_type,
        Manifest::Index(index) => &index.media_type,
    };
    let mismatch = |inside: &MediaType, outside: &str| RegistryError::MediaType {
        inside: inside.clone(),
        outside: outside.into(),
    };
    match (inside, sent) {
        (Some(inside), _) if !inside.is_manifest() => Err(mismatch(inside, "a manifest")),
        (Some(inside), Some(sent)) if *inside != sent => Err(mismatch(inside, sent.as_str())),
        (Some(inside), _) => Ok(inside.clone()),
        (None, Some(sent)) if sent.is_manifest() => Ok(sent),
        (None, _) => Ok(manifest.media_type()),
    }
}

pub(super) fn digest_of(bytes: &[u8], expected: Option<Digest>) -> Result<Digest> {
    let mut hasher = expected.map_or_else(|| Hasher::new(Algorithm::Sha256), |expected| expected.hasher());
    hasher.update(bytes);
    let found = hasher.finish();
    match expected {
        Some(expected) if expected != found => Err(RegistryError::DigestMismatch { expected, found }),
        _ => Ok(found),
    }
}

fn subject(manifest: &Manifest) -> Option<Digest> {
    manifest.edges().find(|edge| edge.role == EdgeRole::Subject).map(|edge| edge.descriptor.digest)
}

pub(super) fn manifest_unknown(repository: &Repository, target: &Target) -> RegistryError {
    RegistryError::ManifestUnknown { repository: repository.to_string(), target: target.to_string() }
}
