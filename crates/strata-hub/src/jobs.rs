//! Layer indexes of pushed images, made one after the other by a queue that is never in the way of a push. The same worker
//! looks through the images afterwards (`images/jobs.rs`).
//!
//! A pushed blob is only stored. Pages that show what is in an image need its layers' indexes: every layer of a pushed
//! image is queued when the history is followed, and unpacked here into pack and index as the engine does. Jobs survive a
//! restart; a layer is worked on once; what cannot be unpacked is noted with its reason.

use std::time::Duration;

use serde::{Deserialize, Serialize};
use strata_model::{Digest, EdgeRole, ErrorKind, Manifest};
use strata_store::{RegistryAction, RegistryHistoryRow, StoreError};

use crate::records::{IndexJobRow, QueueLengths};
use crate::{Hub, HubWrite, Result};

/// Tries until a job is given up.
const TRIES: u64 = 3;
/// Pause before a job is tried again, times the number of tries, in nanoseconds.
const DELAY: i64 = 60_000_000_000;
/// How often the queue is looked at when it is empty.
const PAUSE: Duration = Duration::from_millis(500);

/// Section `[indexing]` of the configuration.
#[derive(Clone, Debug, Deserialize, Serialize)]
#[serde(default, deny_unknown_fields)]
pub struct IndexingSettings {
    /// Whether the layers of pushed images are indexed. Indexes come with the contents of their files, so that a layer
    /// takes about its uncompressed size on disk besides what was pushed, less what layers share.
    pub enabled: bool,
    /// Largest layer, in bytes as pushed, that is indexed.
    pub max_layer_size: u64,
}

impl Default for IndexingSettings {
    fn default() -> IndexingSettings {
        IndexingSettings { enabled: true, max_layer_size: 10 << 30 }
    }
}

/// A layer of a pushed image that has no index yet.
pub(crate) struct LayerToIndex {
    pub(crate) blob: Digest,
    pub(crate) repository: String,
}

impl Hub {
    /// The layers without index of the images that these entries say were pushed.
    pub(crate) async fn layers_to_index(&self, history: &[RegistryHistoryRow]) -> Result<Vec<LayerToIndex>> {
        let settings = &self.settings().indexing;
        if !settings.enabled {
            return Ok(Vec::new());
        }
        let txn = self.registry().store().read().await?;
        let mut layers: Vec<LayerToIndex> = Vec::new();
        for entry in history.iter().filter(|entry| entry.action == RegistryAction::Push) {
            let Some(bytes) = entry.digest else { continue };
            let Some(bytes) = txn.object(&bytes).await?.and_then(|row| row.bytes) else { continue };
            let Ok(Manifest::Image(image)) = Manifest::parse(&bytes, None) else { continue };
            if !image.config.media_type.is_image_config() {
                continue; // an artifact: its blobs are no layers
            }
            for edge in Manifest::Image(image).edges().filter(|edge| edge.role == EdgeRole::Layer) {
                let (blob, size) = (edge.descriptor.digest, edge.descriptor.size);
                let is_queued = layers.iter().any(|layer| layer.blob == blob);
                if !is_queued && size <= settings.max_layer_size && txn.layer_of_blob(&blob).await?.is_none() {
                    layers.push(LayerToIndex { blob, repository: entry.repository.clone() });
                }
            }
        }
        Ok(layers)
    }

    /// Queues what is not waiting yet. What failed before is tried again when it is pushed again.
    pub(crate) async fn queue_index_jobs(
        &self,
        txn: &mut dyn HubWrite,
        layers: Vec<LayerToIndex>,
        now: i64,
    ) -> Result<()> {
        for LayerToIndex { blob, repository } in layers {
            if txn.index_job(&blob).await?.is_some_and(|job| job.due.is_some()) {
                continue;
            }
            let job = IndexJobRow { blob, repository, created: now, due: Some(now), attempts: 0, error: String::new() };
            txn.put_index_job(&job).await?;
        }
        Ok(())
    }

    /// Makes the index of the layer that has waited longest; `false` when none is due.
    ///
    /// # Errors
    /// When the records fail. What is wrong with the layer is noted in its job.
    pub async fn index_next_layer(&self) -> Result<bool> {
        let due = self.read().await?.due_index_jobs(self.now(), 1).await?;
        let Some(mut job) = due.into_iter().next() else { return Ok(false) };
        let outcome = self.registry().store().unpack_object(&job.blob).await;
        let mut txn = self.write("noting how the indexing of a layer went").await?;
        match outcome {
            // Gone meanwhile: nothing is left to index.
            Ok(_) | Err(StoreError::UnknownObject(_)) => txn.delete_index_job(&job.blob).await?,
            Err(error) => {
                job.attempts += 1;
                let is_hopeless =
                    matches!(error.kind(), ErrorKind::Invalid | ErrorKind::Corrupt | ErrorKind::Unsupported);
                let gives_up = is_hopeless || job.attempts >= TRIES;
                job.due = (!gives_up).then(|| self.now() + DELAY * job.attempts as i64);
                job.error = error.to_string();
                tracing::warn!(blob = %job.blob, repository = job.repository, %error, gives_up, "a layer was not indexed");
                txn.put_index_job(&job).await?;
            }
        }
        txn.commit().await?;
        Ok(true)
    }

    /// One layer, and one image.
    async fn index_next(&self) -> Result<bool> {
        let layer = self.index_next_layer().await?;
        Ok(self.look_through_next_image().await? || layer)
    }

    /// How long the hub's queues are.
    ///
    /// # Errors
    /// When the records fail.
    pub async fn queue_lengths(&self) -> Result<QueueLengths> {
        Ok(self.read().await?.queue_lengths().await?)
    }

    /// Works the queues of layers and images for as long as it is polled.
    pub async fn keep_indexing(self) {
        if !self.settings().indexing.enabled {
            return std::future::pending().await;
        }
        loop {
            match self.index_next().await {
                Ok(true) => {}
                Ok(false) => tokio::time::sleep(PAUSE).await,
                Err(error) => {
                    tracing::warn!(%error, "the queue of layers to index could not be read");
                    tokio::time::sleep(PAUSE * 10).await;
                }
            }
        }
    }
}
