//! Following the registry's history: what a push, a deletion or a tag sets going in the hub.
//!
//! The history is written in the transaction of the change itself; here it is read in order from where the hub last
//! stopped, and how far it was read is written in the transaction that takes it in. So nothing is lost and nothing is
//! taken in twice, whenever the process dies, and no push waits for any of it.

use std::time::Duration;

use strata_store::fault;

use crate::{Hub, Result, audit, images, registry_reader};

/// The hub's own place in the history.
const READER: &str = "hub";
/// Entries that are taken in by one transaction.
const BATCH: usize = 256;
/// How often the history is looked at when nothing happens: one indexed query.
const PAUSE: Duration = Duration::from_millis(250);
/// Pause after a failure.
const PAUSE_AFTER_FAILURE: Duration = Duration::from_secs(5);

impl Hub {
    /// Takes in what was done to repositories since the last call, at most a few hundred entries; returns how many.
    ///
    /// # Errors
    /// When the catalog or the hub's records fail; the next call begins at the same place.
    pub async fn follow_history(&self) -> Result<usize> {
        let after = self.read().await?.history_position(READER).await?;
        let history = self.registry().store().read().await?.registry_history(after, BATCH).await?;
        let Some(last) = history.last() else { return Ok(0) };
        let layers = self.layers_to_index(&history).await?;
        let images = self.images_to_find(&history).await?;

        let mut txn = self.write("taking in the registry's history").await?;
        if txn.history_position(READER).await? != after {
            return Ok(0); // another process was faster
        }
        let now = self.now();
        self.queue_deliveries(&mut *txn, &history, now).await?;
        self.queue_index_jobs(&mut *txn, layers, now).await?;
        images::queue(&mut *txn, images, now).await?;
        audit::log_history(&mut *txn, &history).await?;
        txn.set_history_position(READER, last.sequence).await?;
        txn.commit().await?;
        fault::point("deliveries-queued");
        Ok(history.len())
    }

    /// Forgets what is older than the registry's rules say and was taken in here; returns how many entries went.
    ///
    /// # Errors
    /// When catalog or records fail.
    pub async fn forget_history(&self) -> Result<u64> {
        let txn = self.read().await?;
        let read = txn.history_position(READER).await?.min(txn.history_position(registry_reader::READER).await?);
        drop(txn);
        Ok(self.registry().forget_history(Some(read)).await?)
    }

    /// Follows the history for as long as it is polled.
    pub async fn keep_following(self) {
        loop {
            let pause = match self.follow_history().await {
                Ok(0) => PAUSE,
                Ok(_) => Duration::ZERO,
                Err(error) => {
                    tracing::warn!(%error, "the registry's history could not be taken in");
                    PAUSE_AFTER_FAILURE
                }
            };
            tokio::time::sleep(pause).await;
        }
    }
}
