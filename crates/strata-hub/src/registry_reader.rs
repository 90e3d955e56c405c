//! Keeps the hub's rows of repositories and tags as the registry has them, by reading the registry's history.
//!
//! An entry of the history only says where to look: what is written here is what the registry holds now. So an entry may be
//! taken in twice, and the order within a step does not matter. How far the history was read is written in the transaction
//! that takes it in. Where entries are missing (the first start, a history that was pruned, a catalog that was restored),
//! everything is read anew.

use std::collections::{BTreeMap, BTreeSet};
use std::time::Duration;

use strata_model::Digest;
use strata_store::{ReadTxn, RegistryAction, RegistryHistoryRow};

use crate::contents::{Summary, describe};
use crate::records::{RepositoryRow, TagFilter, TagRow};
use crate::repositories::{add, forget, fresh, save};
use crate::roles::namespace;
use crate::tags::natural_key;
use crate::{Hub, HubError, HubWrite, Result};

/// This reader's place in the history.
pub(crate) const READER: &str = "repositories";
/// Where a history that is still empty was read to the end.
const BEGINNING: i64 = -1;
/// Entries of one step.
const BATCH: usize = 256;
/// Rows that are read at once when everything is.
const PAGE: usize = 500;
/// How often the history is looked at when nothing happens.
const PAUSE: Duration = Duration::from_millis(250);
/// Pause after a failure.
const PAUSE_AFTER_FAILURE: Duration = Duration::from_secs(5);

/// What is to be looked at in one repository.
#[derive(Default)]
struct Touched {
    tags: BTreeMap<String, Option<Author>>,
    pushed: Option<Author>,
    /// When the repository itself was removed, if it was.
    removed: Option<i64>,
    /// Manifests that went.
    gone: Vec<Digest>,
    /// When something last changed.
    last: i64,
}

/// Who set something, and when.
#[derive(Clone, Debug)]
struct Author {
    name: String,
    time: i64,
}

/// What the registry holds of a repository, as far as it was looked at.
struct Found {
    name: String,
    touched: Touched,
    exists: bool,
    /// Tags that were looked at; `None` for those that are not there.
    tags: Vec<(String, Option<TagRow>)>,
    /// Whether these are all.
    is_whole: bool,
}

impl Hub {
    /// Takes in what was done to repositories since the last call, at most a few hundred entries, or everything; returns how
    /// many entries or repositories. Zero: there is nothing more to do for now.
    ///
    /// # Errors
    /// When the catalog or the records fail. What was not committed is done again by the next call.
    pub async fn follow_registry(&self) -> Result<usize> {
        let position = self.read().await?.history_position(READER).await?;
        let store = self.registry().store().read().await?;
        let Some(history) = following(&*store, position).await? else { return self.read_everything().await };
        let Some(last) = history.last().map(|entry| entry.sequence) else { return Ok(0) };
        let mut found = Vec::new();
        for (name, touched) in touched(&history) {
            found.push(look(&*store, name, touched).await?);
        }
        drop(store);

        let mut txn = self.write("taking in what was pushed").await?;
        if txn.history_position(READER).await? != position {
            return Ok(0); // another process was faster
        }
        for found in found {
            self.take_in(&mut *txn, found).await?;
        }
        txn.set_history_position(READER, last).await?;
        txn.commit().await?;
        Ok(history.len())
    }

    /// Finishes removals that were interrupted, then follows the registry for as long as it is polled.
    pub async fn keep_repositories(self) {
        if let Err(error) = self.finish_deletions().await {
            tracing::warn!(%error, "repositories that were being removed are still there");
        }
        loop {
            let pause = match self.follow_registry().await {
                Ok(0) => PAUSE,
                Ok(_) => Duration::ZERO,
                Err(error) => {
                    tracing::warn!(%error, "what was pushed could not be taken in");
                    PAUSE_AFTER_FAILURE
                }
            };
            tokio::time::sleep(pause).await;
        }
    }

    /// Reads all repositories and tags. The place in the history is set to where it ended before: what happens meanwhile is
    /// taken in afterwards.
    async fn read_everything(&self) -> Result<usize> {
        let end = end_of_history(&*self.registry().store().read().await?).await?;
        let mut last: Option<String> = None;
        let mut count = 0;
        loop {
            let store = self.registry().store().read().await?;
            let names = store.registry_repositories(last.as_deref(), PAGE).await?;
            let Some(name) = names.last().cloned() else { break };
            last = Some(name);
            for name in names {
                let found = look_at_all(&*store, name).await?;
                let mut txn = self.write("reading a repository anew").await?;
                self.take_in(&mut *txn, found).await?;
                txn.commit().await?;
                count += 1;
            }
        }
        self.clear_vanished().await?;
        let mut txn = self.write("noting that everything was read").await?;
        txn.set_history_position(READER, end).await?;
        txn.commit().await?;
        tracing::info!(repositories = count, "read all repositories of the registry");
        Ok(count)
    }

    /// Takes the tags of repositories that the registry does not have any more. The rows stay: the registry may have been
    /// restored from an older copy, and what people wrote is nowhere else.
    async fn clear_vanished(&self) -> Result<()> {
        let mut last = String::new();
        loop {
            let rows = self.read().await?.repositories_after(&last, PAGE).await?;
            let Some(row) = rows.last() else { return Ok(()) };
            last = row.full_name();
            for row in rows {
                let name = row.full_name();
                if !self.registry().store().read().await?.registry_has_repository(&name).await? {
                    let touched = Touched::default();
                    let mut txn = self.write("clearing a repository that vanished").await?;
                    let gone = Found { name, touched, exists: false, tags: Vec::new(), is_whole: true };
                    self.take_in(&mut *txn, gone).await?;
                    txn.commit().await?;
                }
            }
        }
    }

    async fn take_in(&self, txn: &mut dyn HubWrite, found: Found) -> Result<()> {
        // A registry without a hub may have made it; a hub has no name for it.
        if !found.name.contains('/') {
            return Ok(());
        }
        let mut row = txn.repository(&found.name).await?;
        if let (Some(old), Some(removed)) = (&row, found.touched.removed)
            && old.registered <= removed
        {
            forget(txn, old, removed).await?;
            row = None;
        }
        let row = match row {
            Some(row) => row,
            None if !found.exists => return Ok(()),
            None => {
                let account = txn.account(namespace(&found.name)).await?;
                let since = found.touched.pushed.as_ref().map_or_else(|| self.now(), |author| author.time);
                add(txn, fresh(&found.name, account.as_ref(), since)).await?
            }
        };
        if found.is_whole {
            delete_others(txn, &row, &found.tags).await?;
        }
        for (name, tag) in &found.tags {
            match tag {
                Some(tag) => txn.put_tag(row.id, tag, &natural_key(name)).await?,
                None => drop(txn.delete_tag(row.id, name).await?),
            }
        }
        txn.delete_untagged(row.id).await?;
        for digest in &found.touched.gone {
            txn.delete_last_pulled(row.id, digest).await?;
        }
        let row = summarized(txn, row, &found.touched).await?;
        save(txn, &row).await
    }
}

/// The entries after a position; `None` when some are missing.
async fn following(store: &dyn ReadTxn, position: i64) -> Result<Option<Vec<RegistryHistoryRow>>> {
    if position == 0 {
        return Ok(None);
    }
    let mut history = store.registry_history(position - 1, BATCH + 1).await?;
    let first = history.first().map(|entry| entry.sequence);
    // What was forgotten between two entries leaves a gap in their numbers.
    if history.windows(2).any(|pair| pair[1].sequence != pair[0].sequence + 1) {
        return Ok(None);
    }
    match position {
        BEGINNING => Ok((first.is_none() || first == Some(1)).then_some(history)),
        _ if first == Some(position) => Ok(Some(history.split_off(1))),
        _ => Ok(None),
    }
}

async fn end_of_history(store: &dyn ReadTxn) -> Result<i64> {
    const ENTRIES: usize = 10_000;
    let mut end = BEGINNING;
    loop {
        match store.registry_history(end.max(0), ENTRIES).await?.last() {
            Some(last) => end = last.sequence,
            None => return Ok(end),
        }
    }
}

fn touched(history: &[RegistryHistoryRow]) -> BTreeMap<String, Touched> {
    let mut repositories: BTreeMap<String, Touched> = BTreeMap::new();
    for entry in history {
        let touched = repositories.entry(entry.repository.clone()).or_default();
        let author = Author { name: entry.actor.clone(), time: entry.time };
        touched.last = entry.time;
        match (entry.action, entry.digest) {
            (RegistryAction::Tag, _) => {
                touched.tags.insert(entry.tag.clone(), Some(author.clone()));
                touched.pushed = Some(author);
            }
            (RegistryAction::Untag, _) => drop(touched.tags.insert(entry.tag.clone(), None)),
            (RegistryAction::Push, _) => touched.pushed = Some(author),
            (RegistryAction::Delete, None) => {
                *touched = Touched { removed: Some(entry.time), last: entry.time, ..Touched::default() };
            }
            (RegistryAction::Delete | RegistryAction::Collect, Some(digest)) => touched.gone.push(digest),
            (RegistryAction::Collect, None) => {}
        }
    }
    repositories
}

async fn look(store: &dyn ReadTxn, name: String, touched: Touched) -> Result<Found> {
    let exists = store.registry_has_repository(&name).await?;
    let mut tags = Vec::new();
    for (tag, author) in &touched.tags {
        let row = match store.registry_tag(&name, tag).await? {
            Some(digest) => look_at_tag(store, &name, tag, digest, author.clone()).await?,
            None => None,
        };
        tags.push((tag.clone(), row));
    }
    Ok(Found { name, touched, exists, tags, is_whole: false })
}

async fn look_at_all(store: &dyn ReadTxn, name: String) -> Result<Found> {
    let mut tags: Vec<(String, Option<TagRow>)> = Vec::new();
    loop {
        let last = tags.last().map(|(tag, _)| tag.clone());
        let rows = store.registry_tags(&name, last.as_deref(), PAGE).await?;
        if rows.is_empty() {
            break;
        }
        for row in rows {
            let author = Author { name: String::new(), time: row.updated };
            let history = store.registry_tag_history(&name, &row.tag, 1).await?;
            let author = history.first().map_or(author, |entry| Author { name: entry.actor.clone(), time: entry.time });
            let found = look_at_tag(store, &name, &row.tag, row.digest, Some(author)).await?;
            tags.push((row.tag, found));
        }
    }
    let newest = tags.iter().filter_map(|(_, tag)| tag.as_ref()).max_by_key(|tag| tag.pushed);
    let pushed = newest.map(|tag| Author { name: tag.pushed_by.clone(), time: tag.pushed });
    let last = pushed.as_ref().map_or(0, |author| author.time);
    let touched = Touched { pushed, last, ..Touched::default() };
    Ok(Found { name, touched, exists: true, tags, is_whole: true })
}

async fn look_at_tag(
    store: &dyn ReadTxn,
    repository: &str,
    tag: &str,
    digest: Digest,
    author: Option<Author>,
) -> Result<Option<TagRow>> {
    let Some(manifest) = describe(store, &digest).await? else { return Ok(None) };
    let author = match author {
        Some(author) => author,
        None => {
            let history = store.registry_tag_history(repository, tag, 1).await?;
            let entry = history.into_iter().next();
            entry
                .map_or(Author { name: String::new(), time: 0 }, |entry| Author { name: entry.actor, time: entry.time })
        }
    };
    let (pushed, pushed_by) = (author.time, author.name);
    Ok(Some(TagRow { tag: tag.to_owned(), manifest, pushed, pushed_by, last_pulled: None, pulls: 0 }))
}

async fn delete_others(txn: &mut dyn HubWrite, row: &RepositoryRow, tags: &[(String, Option<TagRow>)]) -> Result<()> {
    let known: BTreeSet<&str> = tags.iter().map(|(tag, _)| tag.as_str()).collect();
    for tag in txn.tags(row.id, &TagFilter { limit: u64::MAX, ..TagFilter::default() }).await? {
        if !known.contains(tag.tag.as_str()) {
            txn.delete_tag(row.id, &tag.tag).await?;
        }
    }
    Ok(())
}

/// The row with what all its tags are together.
async fn summarized(txn: &dyn HubWrite, row: RepositoryRow, touched: &Touched) -> Result<RepositoryRow, HubError> {
    let Summary { kinds, media_types, platforms } = Summary::of(&txn.described_manifests(row.id).await?);
    let pushed = touched.pushed.as_ref();
    Ok(RepositoryRow {
        kinds,
        media_types,
        platforms,
        last_pushed: pushed.map(|author| author.time).max(row.last_pushed),
        last_pusher: pushed.map(|author| author.name.clone()).or(row.last_pusher),
        last_updated: row.last_updated.max(touched.last),
        ..row
    })
}
