//! Garbage collection of the registry, and a record of what it gave back on each day.
//!
//! The record is written after the bytes are gone: a crash in between loses a figure, and nothing else.

use std::time::Duration;

use crate::{Hub, Result};

/// How often links that are due are looked for.
const REVIEW: Duration = Duration::from_secs(30);
/// How often all leftovers are looked for, in reviews.
const LEFTOVERS: u32 = 120;
const DAY: i64 = 86_400_000_000_000;

impl Hub {
    /// Removes what is not needed any more and is due, as [`strata_store::registry::Registry::collect`] does, and what
    /// earlier processes left; returns the bytes that the disk got back.
    ///
    /// # Errors
    /// When the store or the records fail. What was not done is done the next time.
    pub async fn collect(&self, idle_for: Option<Duration>) -> Result<u64> {
        let freed = self.registry().collect(idle_for).await?;
        let freed = freed + self.registry().store().collect_leftovers().await?;
        self.note_freed(freed).await?;
        Ok(freed)
    }

    /// Collects what is due, for as long as it is polled.
    pub async fn keep_collecting(self) {
        let mut interval = tokio::time::interval(REVIEW);
        for round in 0_u32.. {
            interval.tick().await;
            let collected =
                if round.is_multiple_of(LEFTOVERS) { self.collect(None).await } else { self.collect_due().await };
            match collected {
                Ok(0) => {}
                Ok(freed) => tracing::info!(freed, "collected what is not needed any more"),
                Err(error) => tracing::warn!(%error, "what is not needed any more could not be collected"),
            }
        }
    }

    async fn collect_due(&self) -> Result<u64> {
        let freed = self.registry().collect(None).await?;
        self.note_freed(freed).await?;
        Ok(freed)
    }

    /// Adds to what was given back today.
    ///
    /// # Errors
    /// When the records fail.
    pub async fn note_freed(&self, bytes: u64) -> Result<()> {
        if bytes > 0 {
            let mut txn = self.write("noting what collection gave back").await?;
            txn.add_freed(self.now().div_euclid(DAY), bytes).await?;
            txn.commit().await?;
        }
        Ok(())
    }

    /// Bytes that collection gave back on each of the last days (days since 1970, UTC), the last first; days without are
    /// left out.
    ///
    /// # Errors
    /// When the records fail.
    pub async fn freed_by_day(&self, days: u32) -> Result<Vec<(i64, u64)>> {
        Ok(self.read().await?.freed_by_day(self.first_of_days(days)).await?)
    }
}
