//! Counts of pulls: gathered in memory, written every few seconds.
//!
//! Serving a manifest never waits for a count. What was gathered since the last time is lost when the process dies without
//! [`Hub::flush_pulls`]: at most a few seconds. Memory is bounded: beyond so many different tags and digests, new ones are
//! not counted until the next write.
//!
//! Only GET counts, and an image with several platforms counts once for each platform that is pulled, as on Docker Hub: an
//! index and an image of it are one pull of the repository, whatever of it came by tag. An index that is read alone is one,
//! too: its client had the image. Since the image may come after the next write, that is decided one write later.

use std::collections::{HashMap, HashSet};
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
    /// How often indexes were read before the last write whose images did not come until then.
    waiting: HashMap<Digest, u64>,
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
            for (digest, reads) in counts.waiting {
                *repository.waiting.entry(digest).or_default() += reads;
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
        match self.write_pulls(&pending.repositories).await {
            Ok(waiting) => {
                self.inner.pulls.locked().restore(waiting);
                Ok(pending.repositories.len())
            }
            Err(error) => {
                self.inner.pulls.locked().restore(pending.repositories);
                Err(error)
            }
        }
    }

    /// Returns what is to be decided at the next write.
    async fn write_pulls(
        &self,
        repositories: &HashMap<String, PendingRepository>,
    ) -> Result<HashMap<String, PendingRepository>> {
        let mut txn = self.write("counting pulls").await?;
        let mut undecided = HashMap::new();
        for (name, pending) in repositories {
            let Some(row) = txn.repository(name).await? else { continue };
            let (counts, waiting) = counts(&*txn, name, row.id, pending).await?;
            txn.add_pulls(std::slice::from_ref(&counts)).await?;
            if !waiting.is_empty() {
                let left = PendingRepository { last: pending.last, waiting, ..PendingRepository::default() };
                undecided.insert(name.clone(), left);
            }
            if let Some(row) = txn.repository(name).await? {
                search::index_counts(&mut *txn, &row).await?;
            }
        }
        txn.commit().await?;
        Ok(undecided)
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

    pub(crate) fn first_of_days(&self, days: u32) -> i64 {
        const DAY: i64 = 86_400_000_000_000;
        self.now().div_euclid(DAY) - i64::from(days) + 1
    }
}

/// What is to be written of a repository, and the reads of indexes that are left for the next write.
async fn counts(
    txn: &dyn HubWrite,
    name: &str,
    id: i64,
    pending: &PendingRepository,
) -> Result<(PullCounts, HashMap<Digest, u64>)> {
    let (mut images, mut indexes) = (HashMap::new(), Vec::new());
    let read: HashSet<&Digest> = pending.digests.keys().chain(pending.waiting.keys()).collect();
    for digest in read {
        let reads = pending.digests.get(digest).map_or(0, |count| count.pulls);
        match txn.described_manifest(id, digest).await? {
            Some(manifest) if MediaType::parse(&manifest.media_type).is_index() => {
                indexes.push((*digest, reads, manifest.images));
            }
            _ => drop(images.insert(*digest, reads)),
        }
    }
    let mut pulls = images.values().sum();
    let mut waiting = HashMap::new();
    for (digest, reads, members) in indexes {
        // Reads of images that came with as many reads of the index; returns how many of these came without.
        let mut without_image = |mut reads: u64| {
            for member in &members {
                if let Some(left) = images.get_mut(&member.digest) {
                    let matched = reads.min(*left);
                    *left -= matched;
                    reads -= matched;
                }
            }
            reads
        };
        pulls += without_image(pending.waiting.get(&digest).copied().unwrap_or(0));
        let undecided = without_image(reads);
        if undecided > 0 {
            waiting.insert(digest, undecided);
        }
    }
    let counts = PullCounts {
        repository: name.to_owned(),
        pulls,
        last: pending.last,
        tags: pending.tags.iter().map(|(tag, count)| (tag.clone(), count.pulls, count.last)).collect(),
        digests: pending.digests.iter().map(|(digest, count)| (*digest, count.last)).collect(),
    };
    Ok((counts, waiting))
}
