//! Names, written through to blob storage: what a rebuild of a lost catalog cannot tell from manifests alone.
//!
//! The snapshot is an object like any other, of a media type of our own; a newer one replaces it. It is not synced: a power
//! cut may lose the last one, which matters only if the catalog is lost as well.

use serde::{Deserialize, Serialize};
use strata_model::{Digest, ImageId, MediaType};

use crate::gc::Collection;
use crate::publish::doomed;
use crate::{DigestNameRow, DoomedKind, NameRow, Result, Store};

/// Media type of the snapshot.
pub(crate) const NAMES: &str = "application/vnd.strata.names.v1+json";

/// All local names at one moment.
#[derive(Debug, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub(crate) struct NamesSnapshot {
    pub(crate) media_type: String,
    pub(crate) time: i64,
    pub(crate) names: Vec<SnapshotName>,
    pub(crate) digests: Vec<SnapshotDigest>,
}

#[derive(Debug, Serialize, Deserialize)]
pub(crate) struct SnapshotName {
    pub(crate) repository: String,
    pub(crate) tag: String,
    pub(crate) platform: String,
    pub(crate) image: ImageId,
}

#[derive(Debug, Serialize, Deserialize)]
pub(crate) struct SnapshotDigest {
    pub(crate) repository: String,
    pub(crate) digest: Digest,
    pub(crate) image: ImageId,
}

impl Store {
    /// Writes all local names to blob storage and removes the former snapshot.
    ///
    /// # Errors
    /// When catalog or blob storage fail; names are not affected.
    pub async fn snapshot_names(&self) -> Result<()> {
        let txn = self.read().await?;
        let (names, digests) = (txn.names().await?, txn.digest_names().await?);
        drop(txn);
        let snapshot = NamesSnapshot {
            media_type: NAMES.to_owned(),
            time: self.now(),
            names: names.into_iter().map(SnapshotName::from).collect(),
            digests: digests.into_iter().map(SnapshotDigest::from).collect(),
        };
        let bytes: bytes::Bytes = serde_json::to_vec(&snapshot).unwrap_or_default().into();
        let media_type = MediaType::parse(NAMES);
        let row = self.small_object_row(&media_type, Digest::of(&bytes), bytes).await?;
        let mut txn = self.write("noting a snapshot of names").await?;
        let mut collection = Collection::default();
        for former in txn.objects_of_type(&media_type).await? {
            txn.delete_object(&former.digest).await?;
            collection.doomed.extend(former.location.map(|location| doomed(DoomedKind::Blob, location)));
        }
        for row in &collection.doomed {
            txn.insert_doomed(row).await?;
        }
        txn.insert_object(&row).await?;
        txn.commit().await?;
        self.remove_doomed(&collection).await?;
        Ok(())
    }
}

impl From<NameRow> for SnapshotName {
    fn from(row: NameRow) -> SnapshotName {
        SnapshotName { repository: row.repository, tag: row.tag, platform: row.platform, image: row.image }
    }
}

impl From<DigestNameRow> for SnapshotDigest {
    fn from(row: DigestNameRow) -> SnapshotDigest {
        SnapshotDigest { repository: row.repository, digest: row.digest, image: row.image }
    }
}
