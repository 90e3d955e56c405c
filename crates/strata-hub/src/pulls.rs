//! Counts of pulls: gathered in memory, written every few seconds.
//!
//! Serving a manifest never waits for a count. What was gathered since the last time is lost when the process dies without
//! [`Hub::flush_pulls`]: at most a few seconds. Memory is bounded: beyond so many different tags and digests, new ones are
//! not counted until the next write.
//!
//! A pull of an image with several platforms reads an index and a manifest; it counts as one for the repository, whatever
//! of it came by tag.

use std::collections::HashMap;
use std::sync::{Mutex, PoisonError};
use std::time::Duration;

use strata_model::{Digest, MediaType};
use strata_store::registry::Pull;

use crate::records::PullCounts;
use crate::{Hub, HubWrite, Result, search};

/// Different tags and digests that are held between two writes.
const ENTRIES: usize = 50_000;
/// Time between two writes.
const INTERVAL: Duration = Duration::from_secs(5);

/// Pulls that are not written yet.
#[derive(Default)]
pub(crate) struct PullQueue {
    pending: Mutex<Pending>,
}

#[derive(Default)]
struct Pending {
    repositories: HashMap<String, PendingRepository>,
    entries: usize,
    dropped: u64,
}

#[derive(Default)]
struct PendingRepository {
    last: i64,
    tags: HashMap<String, Count>,
    digests: HashMap<Digest, Count>,
}

#[derive(Default)]
struct Count {
    pulls: u64,
    last: i64,
}

impl Count {
    fn add(&mut self, pulls: u64, last: i64) {
        self.pulls += pulls;
        self.last = self.last.max(last);
    }
}

impl Pending {
    fn add(&mut self, pull: Pull, now: i64) {
        if self.entries >= ENTRIES {
            self.dropped += 1;
            return;
        }
        let repository = self.repositories.entry(pull.repository.to_string()).or_default();
        let before = repository.tags.len() + repository.digests.len();
        repository.last = repository.last.max(now);
        repository.digests.entry(pull.digest).or_default().add(1, now);
        if let Some(tag) = pull.tag {
            repository.tags.entry(tag).or_default().add(1, now);
        }
        self.entries += repository.tags.len() + repository.digests.len() - before;
    }

    /// Takes back what could not be written.
    fn restore(&mut self, other: HashMap<String, PendingRepository>) {
        for (name, counts) in other {
            let repository = self.repositories.entry(name).or_default();
            repository.last = repository.last.max(counts.last);
            for (tag, count) in counts.tags {
                repository.tags.entry(tag).or_default().add(count.pulls, count.last);
            }
            for (digest, count) in counts.digests {
                repository.digests.entry(digest).or_default().add(count.pulls, count.last);
            }
        }
        self.entries = self.repositories.values().map(|counts| counts.tags.len() + counts.digests.len()).sum();
    }
}

impl PullQueue {
    fn locked(&self) -> std::sync::MutexGuard<'_, Pending> {
        self.pending.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl Hub {
    /// Counts a manifest that was served. Does not wait.
    pub fn count_pull(&self, pull: Pull) {
        self.inner.pulls.locked().add(pull, self.now());
    }

    /// Writes the counts gathered so far; returns of how many repositories. To be called at shutdown, too.
    ///
    /// # Errors
    /// When the records cannot be written; the counts are kept for the next time.
    pub async fn flush_pulls(&self) -> Result<usize> {
        let pending = std::mem::take(&mut *self.inner.pulls.locked());
        if pending.dropped > 0 {
            tracing::warn!(dropped = pending.dropped, "more was pulled than can be counted");
        }
        if pending.repositories.is_empty() {
            return Ok(0);
        }
        let written = self.write_pulls(&pending.repositories).await;
        if written.is_err() {
            self.inner.pulls.locked().restore(pending.repositories);
        }
        written
    }

    async fn write_pulls(&self, repositories: &HashMap<String, PendingRepository>) -> Result<usize> {
        let mut txn = self.write("counting pulls").await?;
        for (name, pending) in repositories {
            let Some(row) = txn.repository(name).await? else { continue };
            let counts = counts(&*txn, name, row.id, pending).await?;
            txn.add_pulls(std::slice::from_ref(&counts)).await?;
            if let Some(row) = txn.repository(name).await? {
                search::index_counts(&mut *txn, &row).await?;
            }
        }
        txn.commit().await?;
        Ok(repositories.len())
    }

    /// Writes counts every few seconds for as long as it is polled.
    pub async fn keep_counting_pulls(self) {
        loop {
            tokio::time::sleep(INTERVAL).await;
            if let Err(error) = self.flush_pulls().await {
                tracing::warn!(%error, "pulls could not be counted");
            }
        }
    }

    /// Pulls of a repository on each of the last days (days since 1970, UTC), oldest first; days without are left out.
    ///
    /// # Errors
    /// When the records cannot be read.
    pub async fn pulls_by_day(&self, repository: i64, days: u32) -> Result<Vec<(i64, u64)>> {
        Ok(self.read().await?.pulls_by_day(repository, self.first_of_days(days)).await?)
    }

    /// Stars of a repository at the end of each of the last days (days since 1970, UTC) on which they changed, oldest first;
    /// the first entry may be older, and tells how many there were until then.
    ///
    /// # Errors
    /// When the records cannot be read.
    pub async fn stars_by_day(&self, repository: i64, days: u32) -> Result<Vec<(i64, u64)>> {
        Ok(self.read().await?.stars_by_day(repository, self.first_of_days(days)).await?)
    }

    fn first_of_days(&self, days: u32) -> i64 {
        const DAY: i64 = 86_400_000_000_000;
        self.now().div_euclid(DAY) - i64::from(days) + 1
    }
}

async fn counts(txn: &dyn HubWrite, name: &str, id: i64, pending: &PendingRepository) -> Result<PullCounts> {
    let mut pulls = 0;
    for (digest, count) in &pending.digests {
        let known = txn.described_manifest(id, digest).await?;
        let is_index = known.is_some_and(|manifest| MediaType::parse(&manifest.media_type).is_index());
        pulls += if is_index { 0 } else { count.pulls };
    }
    Ok(PullCounts {
        repository: name.to_owned(),
        pulls,
        last: pending.last,
        tags: pending.tags.iter().map(|(tag, count)| (tag.clone(), count.pulls, count.last)).collect(),
        digests: pending.digests.iter().map(|(digest, count)| (*digest, count.last)).collect(),
    })
}
