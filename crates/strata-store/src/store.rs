//! The store itself: its three backends, its clock, and reading from it.

use std::path::PathBuf;
use std::sync::{Arc, Mutex};
use std::time::{SystemTime, UNIX_EPOCH};

use bytes::Bytes;
use strata_layer::{LayerIndex, PackId};
use strata_model::{DiffId, Digest};

use crate::{
    BlobBytes, Blobs, Catalog, Durability, LayerRow, ObjectRow, PackFile, PackRow, Packs, ReadTxn, Result, StoreError,
    WriteTxn,
};

/// Tells the time, nanoseconds since 1970.
pub trait Clock: Send + Sync {
    /// Now.
    fn now(&self) -> i64;
}

/// The machine's clock.
pub struct SystemClock;

impl Clock for SystemClock {
    fn now(&self) -> i64 {
        SystemTime::now().duration_since(UNIX_EPOCH).map_or(0, |since| since.as_nanos() as i64)
    }
}

/// How a store behaves.
#[derive(Clone, Copy, Debug)]
pub struct StoreOptions {
    /// Whether what is published survives a power cut.
    pub durability: Durability,
    /// Largest uncompressed layer in bytes: what a decompression bomb meets.
    pub max_layer_size: u64,
}

impl Default for StoreOptions {
    fn default() -> StoreOptions {
        StoreOptions { durability: Durability::Synced, max_layer_size: 1 << 40 }
    }
}

/// The rules of the store over its backends. Cheap to clone; all clones are one store.
#[derive(Clone)]
pub struct Store {
    pub(crate) inner: Arc<Inner>,
}

pub(crate) struct Inner {
    pub(crate) blobs: Arc<dyn Blobs>,
    pub(crate) packs: Arc<dyn Packs>,
    pub(crate) catalog: Arc<dyn Catalog>,
    pub(crate) clock: Arc<dyn Clock>,
    pub(crate) options: StoreOptions,
    /// Leases that are being given up.
    pub(crate) endings: Mutex<Vec<tokio::task::JoinHandle<()>>>,
}

impl Store {
    /// A store over these backends.
    pub fn new(
        blobs: Arc<dyn Blobs>,
        packs: Arc<dyn Packs>,
        catalog: Arc<dyn Catalog>,
        options: StoreOptions,
    ) -> Store {
        Store::with_clock(blobs, packs, catalog, options, Arc::new(SystemClock))
    }

    /// The same with another clock, for tests.
    pub fn with_clock(
        blobs: Arc<dyn Blobs>,
        packs: Arc<dyn Packs>,
        catalog: Arc<dyn Catalog>,
        options: StoreOptions,
        clock: Arc<dyn Clock>,
    ) -> Store {
        Store { inner: Arc::new(Inner { blobs, packs, catalog, clock, options, endings: Mutex::default() }) }
    }

    /// Now, nanoseconds since 1970.
    pub fn now(&self) -> i64 {
        self.inner.clock.now()
    }

    /// How this store behaves.
    pub fn options(&self) -> StoreOptions {
        self.inner.options
    }

    /// Where blobs lie.
    pub fn blobs(&self) -> &dyn Blobs {
        &*self.inner.blobs
    }

    /// Where packs lie.
    pub fn packs(&self) -> &Arc<dyn Packs> {
        &self.inner.packs
    }

    /// A consistent snapshot of the catalog.
    ///
    /// # Errors
    /// When the catalog cannot be read.
    pub async fn read(&self) -> Result<Box<dyn ReadTxn>> {
        self.inner.catalog.read().await
    }

    /// A transaction for changes that no rule of this crate covers (names, events, registry links).
    ///
    /// # Errors
    /// When the catalog cannot be written.
    pub async fn write(&self, intent: &'static str) -> Result<Box<dyn WriteTxn>> {
        self.inner.catalog.write(intent).await
    }

    /// The row of an object that must be here and whole.
    ///
    /// # Errors
    /// `UnknownObject`, or `DamagedObject` when it is marked so.
    pub async fn object(&self, digest: &Digest) -> Result<ObjectRow> {
        let row = self.read().await?.object(digest).await?.ok_or(StoreError::UnknownObject(*digest))?;
        if row.damaged {
            return Err(StoreError::DamagedObject { digest: *digest, cause: "it was found damaged".into() });
        }
        Ok(row)
    }

    /// The bytes of a manifest or configuration, or of another object of at most `limit` bytes.
    ///
    /// # Errors
    /// When it is not here, damaged, or larger.
    pub async fn small_object(&self, digest: &Digest, limit: u64) -> Result<Bytes> {
        let row = self.object(digest).await?;
        if let Some(bytes) = row.bytes {
            return Ok(bytes);
        }
        if row.size > limit {
            return Err(StoreError::Malformed {
                what: format!("object {digest}"),
                cause: format!("{} bytes are more than the limit of {limit}", row.size),
            });
        }
        let bytes = self.open_object(&row).await?;
        let mut buffer = vec![0; row.size as usize];
        let mut filled = 0;
        while filled < buffer.len() {
            match bytes.read_at(filled as u64, &mut buffer[filled..]) {
                Ok(0) => break,
                Ok(count) => filled += count,
                Err(cause) => return Err(StoreError::DamagedObject { digest: *digest, cause: cause.to_string() }),
            }
        }
        if filled < buffer.len() {
            return Err(StoreError::DamagedObject { digest: *digest, cause: "it ends early".into() });
        }
        Ok(buffer.into())
    }

    /// Opens the stored bytes of an object that has a location. What is found missing or of another length is marked as
    /// damaged, so that the next pull fetches it again.
    ///
    /// # Errors
    /// `DamagedObject`; `UnknownObject` for an object that only its layer's pack holds.
    pub async fn open_object(&self, row: &ObjectRow) -> Result<Arc<dyn BlobBytes>> {
        let digest = row.digest;
        let location = row.location.as_ref().ok_or(StoreError::UnknownObject(digest))?;
        let cause = match self.inner.blobs.open(location).await {
            Ok(bytes) if bytes.size() == row.size => return Ok(bytes),
            Ok(bytes) => format!("it has {} bytes instead of {}", bytes.size(), row.size),
            Err(error) if is_not_found(&error) => "its file is missing".to_owned(),
            Err(error) => return Err(error),
        };
        self.mark_damaged(&digest).await?;
        Err(StoreError::DamagedObject { digest, cause })
    }

    /// Marks an object as damaged: it counts as missing until it is fetched again.
    ///
    /// # Errors
    /// When the catalog cannot be written.
    pub async fn mark_damaged(&self, digest: &Digest) -> Result<()> {
        let mut txn = self.write("marking an object as damaged").await?;
        txn.mark_object_damaged(digest).await?;
        txn.commit().await
    }

    /// The row of a layer that must be here.
    ///
    /// # Errors
    /// `UnknownLayer`.
    pub async fn layer(&self, diff_id: &DiffId) -> Result<LayerRow> {
        self.read().await?.layer(diff_id).await?.ok_or(StoreError::UnknownLayer(*diff_id))
    }

    /// Reads what is in a layer.
    ///
    /// # Errors
    /// `UnknownLayer`, or `DamagedLayer` when its index cannot be read.
    pub async fn layer_index(&self, diff_id: &DiffId) -> Result<LayerIndex> {
        let bytes = self.layer_index_bytes(diff_id).await?;
        strata_layer::decode_index(&bytes)
            .map_err(|cause| StoreError::DamagedLayer { diff_id: *diff_id, cause: format!("its index: {cause}") })
    }

    /// The bytes of a layer's index file.
    ///
    /// # Errors
    /// As [`Store::layer_index`].
    pub async fn layer_index_bytes(&self, diff_id: &DiffId) -> Result<Vec<u8>> {
        let row = self.layer(diff_id).await?;
        let damaged =
            |cause: String| StoreError::DamagedLayer { diff_id: *diff_id, cause: format!("its index: {cause}") };
        let file = match self.inner.blobs.open(&row.index).await {
            Ok(file) => file,
            Err(error) if is_not_found(&error) => return Err(damaged("its file is missing".into())),
            Err(error) => return Err(error),
        };
        read_whole(&*file).map_err(|cause| damaged(cause.to_string()))
    }

    /// Where packs lie, in the order given. They are not looked at.
    ///
    /// # Errors
    /// `DamagedPack` when one is unknown.
    pub async fn pack_paths(&self, ids: &[PackId]) -> Result<Vec<PathBuf>> {
        let txn = self.read().await?;
        let mut paths = Vec::with_capacity(ids.len());
        for id in ids {
            paths.push(self.inner.packs.path(&pack_row(&*txn, id).await?.location)?);
        }
        Ok(paths)
    }

    /// Opens packs, in the order given.
    ///
    /// # Errors
    /// `DamagedPack` when one is unknown, missing or malformed.
    pub async fn open_packs(&self, ids: &[PackId]) -> Result<Vec<Arc<dyn PackFile>>> {
        let txn = self.read().await?;
        let mut files = Vec::with_capacity(ids.len());
        for id in ids {
            let row = pack_row(&*txn, id).await?;
            files.push(self.inner.packs.open(&row.location).map_err(|error| match error {
                error if is_not_found(&error) => {
                    StoreError::DamagedPack { pack: *id, cause: "its file is missing".into() }
                }
                StoreError::File { source, .. } if source.kind() == std::io::ErrorKind::InvalidData => {
                    StoreError::DamagedPack { pack: *id, cause: source.to_string() }
                }
                other => other,
            })?);
        }
        Ok(files)
    }
}

async fn pack_row(txn: &dyn ReadTxn, id: &PackId) -> Result<PackRow> {
    let row = txn.pack(id).await?;
    row.ok_or_else(|| StoreError::DamagedPack { pack: *id, cause: "it is not in the catalog".into() })
}

pub(crate) fn is_not_found(error: &StoreError) -> bool {
    matches!(error, StoreError::File { source, .. } if source.kind() == std::io::ErrorKind::NotFound)
}

/// Reads all of sealed bytes that are known to be small (an index, a manifest).
pub(crate) fn read_whole(bytes: &dyn BlobBytes) -> std::io::Result<Vec<u8>> {
    let mut buffer = vec![0; bytes.size() as usize];
    let mut filled = 0;
    while filled < buffer.len() {
        match bytes.read_at(filled as u64, &mut buffer[filled..])? {
            0 => return Err(std::io::ErrorKind::UnexpectedEof.into()),
            count => filled += count,
        }
    }
    Ok(buffer)
}
