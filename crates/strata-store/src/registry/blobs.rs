//! Blobs of a repository: looked up by its links, linked from another repository, unlinked.

use strata_model::{Digest, Repository};

use super::{Registry, RegistryError, Result};
use crate::{LinkKind, ObjectReader, ReadTxn, StoreError, fault};

impl Registry {
    /// The size in bytes of a blob that this repository shows and whose bytes are here.
    ///
    /// # Errors
    /// `BlobUnknown`, also for a blob that is damaged, so that a client pushes it again.
    pub async fn blob_size(&self, repository: &Repository, digest: &Digest) -> Result<u64> {
        let txn = self.store.read().await?;
        match self.linked_size(&*txn, repository, digest).await? {
            Some(size) => Ok(size),
            None => Err(blob_unknown(repository, digest)),
        }
    }

    /// Opens a blob that this repository shows; also returns its size in bytes. What it opened stays readable when the blob
    /// is deleted meanwhile.
    ///
    /// # Errors
    /// `BlobUnknown`, or what the store reports.
    pub async fn open_blob(&self, repository: &Repository, digest: &Digest) -> Result<(ObjectReader, u64)> {
        let size = self.blob_size(repository, digest).await?;
        match self.store.open_reader(digest).await {
            Ok(reader) => Ok((reader, size)),
            Err(StoreError::UnknownObject(_) | StoreError::DamagedObject { .. }) => {
                Err(blob_unknown(repository, digest))
            }
            Err(error) => Err(error.into()),
        }
    }

    /// As [`Registry::blob_size`], for a client that will count on the blob: it stays for an hour at least, whatever is
    /// deleted meanwhile.
    ///
    /// # Errors
    /// As [`Registry::blob_size`].
    pub async fn promise_blob(&self, repository: &Repository, digest: &Digest) -> Result<u64> {
        let size = self.blob_size(repository, digest).await?;
        self.promise(repository, digest).await;
        Ok(size)
    }

    /// Makes `repository` show a blob that `from` shows; `false` when that does not. Survives a crash once it returns.
    ///
    /// # Errors
    /// When the catalog fails.
    pub async fn mount(&self, repository: &Repository, digest: &Digest, from: &Repository) -> Result<bool> {
        let mut txn = self.store.write("mounting a blob").await?;
        if self.linked_size(&*txn, from, digest).await?.is_none() {
            return Ok(false);
        }
        self.link_blob(&mut *txn, repository, digest).await?;
        txn.commit().await?;
        fault::point("blob-mounted");
        Ok(true)
    }

    /// Repositories that show a blob, at most `limit`: where a client may mount it from.
    ///
    /// # Errors
    /// When the catalog cannot be read.
    pub async fn repositories_with(&self, digest: &Digest, limit: usize) -> Result<Vec<String>> {
        Ok(self.store.read().await?.registry_repositories_with(digest, limit).await?)
    }

    /// Takes a blob out of this repository, and removes it when nothing else holds it. A manifest that refers to it is left
    /// incomplete, as the distribution specification has it; `tags` must be all that need it.
    ///
    /// # Errors
    /// `BlobUnknown`; `TagMoved` when another tag needs it.
    pub async fn delete_blob(&self, repository: &Repository, digest: &Digest, tags: &[String]) -> Result<()> {
        let mut txn = self.store.write("deleting a blob from a repository").await?;
        if txn.registry_link(repository.as_str(), digest).await? != Some(LinkKind::Blob) {
            return Err(blob_unknown(repository, digest));
        }
        let needing = txn.registry_tags_needing(repository.as_str(), digest).await?;
        if let Some(tag) = needing.into_iter().find(|tag| !tags.contains(tag)) {
            return Err(RegistryError::TagMoved { repository: repository.to_string(), tag });
        }
        txn.delete_registry_link(repository.as_str(), digest).await?;
        let collection = self.store.review(&mut *txn, vec![*digest]).await?;
        txn.commit().await?;
        self.store.remove_doomed(&collection).await?;
        Ok(())
    }

    /// The size of an object that a repository links, if the object is whole as far as its row and its file's length say.
    pub(super) async fn linked_size(
        &self,
        txn: &dyn ReadTxn,
        repository: &Repository,
        digest: &Digest,
    ) -> Result<Option<u64>> {
        if txn.registry_link(repository.as_str(), digest).await?.is_none() {
            return Ok(None);
        }
        let Some(row) = txn.object(digest).await? else { return Ok(None) };
        let is_whole = !row.damaged && self.store.object_file_is_there(&row).await?;
        Ok(is_whole.then_some(row.size))
    }
}

fn blob_unknown(repository: &Repository, digest: &Digest) -> RegistryError {
    RegistryError::BlobUnknown { repository: repository.to_string(), digest: *digest }
}
