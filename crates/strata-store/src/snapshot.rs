//! Names, local ones and those of the registry's repositories, written through to blob storage: what a rebuild of a lost
//! catalog cannot tell from manifests alone.
//!
//! The snapshot is an object like any other, of a media type of our own; a newer one replaces it. It is not synced: a power
//! cut may lose the last one, which matters only if the catalog is lost as well.

use std::time::Duration;

use serde::{Deserialize, Serialize};
use strata_model::{Digest, ImageId, MediaType};

use crate::gc::Collection;
use crate::publish::doomed;
use crate::{DigestNameRow, DoomedKind, LinkKind, NameRow, ReadTxn, Result, Store, StoreError};

/// Media type of the snapshot.
pub(crate) const NAMES: &str = "application/vnd.strata.names.v1+json";

/// How often a server writes them.
const SNAPSHOT: Duration = Duration::from_secs(300);

/// How many repositories or tags are read at once.
const PAGE: usize = 1_000;

/// All names at one moment.
#[derive(Debug, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub(crate) struct NamesSnapshot {
    pub(crate) media_type: String,
    pub(crate) time: i64,
    pub(crate) names: Vec<SnapshotName>,
    pub(crate) digests: Vec<SnapshotDigest>,
    /// Snapshots of the first stores do not have it.
    #[serde(default)]
    pub(crate) registry: Vec<SnapshotRepository>,
}

/// A repository that the registry serves.
#[derive(Debug, PartialEq, Serialize, Deserialize)]
pub(crate) struct SnapshotRepository {
    pub(crate) name: String,
    pub(crate) manifests: Vec<Digest>,
    pub(crate) blobs: Vec<Digest>,
    /// Tags, what they point to, and when they were set.
    pub(crate) tags: Vec<(String, Digest, i64)>,
}

#[derive(Debug, PartialEq, Serialize, Deserialize)]
pub(crate) struct SnapshotName {
    pub(crate) repository: String,
    pub(crate) tag: String,
    pub(crate) platform: String,
    pub(crate) image: ImageId,
}

#[derive(Debug, PartialEq, Serialize, Deserialize)]
pub(crate) struct SnapshotDigest {
    pub(crate) repository: String,
    pub(crate) digest: Digest,
    pub(crate) image: ImageId,
}

impl Store {
    /// Writes all names to blob storage and removes the former snapshot.
    ///
    /// # Errors
    /// When catalog or blob storage fail; names are not affected.
    pub async fn snapshot_names(&self) -> Result<()> {
        let txn = self.read().await?;
        let (names, digests) = (txn.names().await?, txn.digest_names().await?);
        let registry = registry_names(&*txn).await?;
        drop(txn);
        let snapshot = NamesSnapshot {
            media_type: NAMES.to_owned(),
            time: self.now(),
            names: names.into_iter().map(SnapshotName::from).collect(),
            digests: digests.into_iter().map(SnapshotDigest::from).collect(),
            registry,
        };
        let media_type = MediaType::parse(NAMES);
        if self.is_news(&media_type, &snapshot).await? {
            self.write_snapshot(media_type, &snapshot).await?;
        }
        Ok(())
    }

    /// Writes the names every few minutes for as long as it is polled. A failure is told to `failed`, and the next try comes
    /// at its time.
    pub async fn keep_snapshots(&self, failed: impl Fn(&StoreError)) {
        loop {
            tokio::time::sleep(SNAPSHOT).await;
            if let Err(error) = self.snapshot_names().await {
                failed(&error);
            }
        }
    }

    /// Whether the last snapshot says anything else.
    async fn is_news(&self, media_type: &MediaType, snapshot: &NamesSnapshot) -> Result<bool> {
        let former = self.read().await?.objects_of_type(media_type).await?;
        let [former] = &former[..] else { return Ok(true) };
        let bytes = self.small_object(&former.digest, former.size).await?;
        let former = serde_json::from_slice::<NamesSnapshot>(&bytes);
        Ok(former.map_or(true, |former| NamesSnapshot { time: snapshot.time, ..former } != *snapshot))
    }

    async fn write_snapshot(&self, media_type: MediaType, snapshot: &NamesSnapshot) -> Result<()> {
        let bytes: bytes::Bytes = serde_json::to_vec(snapshot).unwrap_or_default().into();
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

async fn registry_names(txn: &dyn ReadTxn) -> Result<Vec<SnapshotRepository>> {
    let mut repositories: Vec<SnapshotRepository> = Vec::new();
    loop {
        let last = repositories.last().map(|repository| repository.name.clone());
        let names = txn.registry_repositories(last.as_deref(), PAGE).await?;
        if names.is_empty() {
            return Ok(repositories);
        }
        for name in names {
            let manifests = txn.registry_links(&name, LinkKind::Manifest).await?;
            let blobs = txn.registry_links(&name, LinkKind::Blob).await?;
            let tags = registry_tags(txn, &name).await?;
            repositories.push(SnapshotRepository { name, manifests, blobs, tags });
        }
    }
}

async fn registry_tags(txn: &dyn ReadTxn, repository: &str) -> Result<Vec<(String, Digest, i64)>> {
    let mut tags: Vec<(String, Digest, i64)> = Vec::new();
    loop {
        let last = tags.last().map(|(tag, ..)| tag.clone());
        let rows = txn.registry_tags(repository, last.as_deref(), PAGE).await?;
        if rows.is_empty() {
            return Ok(tags);
        }
        tags.extend(rows.into_iter().map(|row| (row.tag, row.digest, row.updated)));
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
