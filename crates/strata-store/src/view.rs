//! Derived images of merged views: a cache, keyed by chain ID.
//!
//! The file is the image that the caller made, whose length is a multiple of 512, and one block of our own behind it:
//! magic `STRAVIEW`, BLAKE3 of the image, zeros. The kernel reads the image alone; fsck reads both.

use strata_layer::ContentDigest;
use strata_model::ChainId;

use crate::{BlobBytes, BlobKind, Durability, Ingest, Location, Result, Store};

const MAGIC: &[u8; 8] = b"STRAVIEW";
const BLOCK: usize = 512;
const CHUNK: usize = 1 << 20;

/// A view being written.
pub struct NewView {
    ingest: Box<dyn Ingest>,
    hasher: strata_layer::ContentHasher,
}

impl NewView {
    /// Appends bytes of the image.
    ///
    /// # Errors
    /// What blob storage reports.
    pub async fn write(&mut self, bytes: &[u8]) -> Result<()> {
        self.hasher.update(bytes);
        self.ingest.write(bytes).await
    }
}

impl Store {
    /// Where the view of a stack of layers lies, if it was made and is there.
    ///
    /// # Errors
    /// When the catalog cannot be read.
    pub async fn view(&self, chain: &ChainId) -> Result<Option<std::sync::Arc<dyn BlobBytes>>> {
        let Some(location) = self.read().await?.view(chain).await? else { return Ok(None) };
        match self.inner.blobs.open(&location).await {
            Ok(bytes) => Ok(Some(bytes)),
            Err(error) if crate::store::is_not_found(&error) => Ok(None),
            Err(error) => Err(error),
        }
    }

    /// Starts a view.
    ///
    /// # Errors
    /// What blob storage reports.
    pub async fn begin_view(&self) -> Result<NewView> {
        Ok(NewView { ingest: self.inner.blobs.begin(BlobKind::View).await?, hasher: ContentDigest::hasher() })
    }

    /// Publishes a view. It is a cache, so it is not synced: a power cut may lose it, and fsck finds it torn.
    ///
    /// # Errors
    /// When catalog or blob storage fail.
    pub async fn publish_view(&self, chain: &ChainId, view: NewView) -> Result<()> {
        let NewView { mut ingest, hasher } = view;
        let mut trailer = [0; BLOCK];
        trailer[..8].copy_from_slice(MAGIC);
        trailer[8..40].copy_from_slice(&hasher.finish().0);
        ingest.write(&trailer).await?;
        let location: Location = ingest.seal(Durability::Unsynced).await?;
        ingest.finish().await?;
        let mut txn = self.write("publishing a view").await?;
        let former = txn.put_view(chain, &location).await?;
        txn.commit().await?;
        self.remove_blobs(former.into_iter().collect()).await
    }

    /// Removes a view.
    ///
    /// # Errors
    /// When catalog or blob storage fail.
    pub async fn forget_view(&self, chain: &ChainId) -> Result<()> {
        let mut txn = self.write("forgetting a view").await?;
        let former = txn.delete_view(chain).await?;
        txn.commit().await?;
        self.remove_blobs(former.into_iter().collect()).await
    }
}

/// Whether a view's bytes are those that were published.
pub(crate) fn view_is_intact(bytes: &dyn BlobBytes) -> bool {
    let Some(length) = bytes.size().checked_sub(BLOCK as u64) else { return false };
    let mut hasher = ContentDigest::hasher();
    let mut buffer = vec![0; CHUNK];
    let mut offset = 0;
    while offset < length {
        let wanted = CHUNK.min((length - offset) as usize);
        match bytes.read_at(offset, &mut buffer[..wanted]) {
            Ok(count) if count > 0 => {
                hasher.update(&buffer[..count]);
                offset += count as u64;
            }
            _ => return false,
        }
    }
    let mut trailer = [0; BLOCK];
    matches!(bytes.read_at(length, &mut trailer), Ok(BLOCK))
        && trailer[..8] == *MAGIC
        && trailer[8..40] == hasher.finish().0
}
