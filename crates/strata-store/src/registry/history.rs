//! The history of repositories: who changed which manifest or tag when. Written in the transaction of the change itself, so
//! that whoever follows it misses nothing; forgotten after a while.

use strata_model::{Digest, Repository};

use super::reviews::nanoseconds;
use super::{Registry, Result};
use crate::{RegistryAction, RegistryHistoryRow, WriteTxn};

/// Entries that are kept of a tag that is there, however old.
const KEPT: usize = 20;
/// Entries that are looked at in a transaction, which keeps pushes waiting.
const BATCH: usize = 1000;

/// Who made a change and when: the same for all entries of a transaction, by which a reader knows what belongs together.
#[derive(Clone, Copy)]
pub(super) struct By<'a> {
    pub(super) actor: &'a str,
    pub(super) time: i64,
}

/// What the history keeps of a change, besides where, when and by whom.
pub(super) struct Change<'a> {
    pub(super) action: RegistryAction,
    pub(super) tag: &'a str,
    pub(super) digest: Option<Digest>,
    pub(super) previous: Option<Digest>,
}

impl Change<'_> {
    /// Of a manifest.
    pub(super) fn of(action: RegistryAction, digest: &Digest) -> Change<'static> {
        Change { action, tag: "", digest: Some(*digest), previous: None }
    }
}

impl Registry {
    /// Appends to the history, in the transaction of the change.
    pub(super) async fn note(
        &self,
        txn: &mut dyn WriteTxn,
        repository: &Repository,
        by: By<'_>,
        change: Change<'_>,
    ) -> Result<()> {
        let row = RegistryHistoryRow {
            sequence: 0,
            repository: repository.to_string(),
            tag: change.tag.to_owned(),
            digest: change.digest,
            previous: change.previous,
            action: change.action,
            actor: by.actor.to_owned(),
            time: by.time,
        };
        Ok(txn.insert_registry_history(&row).await?)
    }

    /// Who acts, now.
    pub(super) fn by<'a>(&self, actor: &'a str) -> By<'a> {
        By { actor, time: self.store.now() }
    }

    /// Forgets what is older than the rules say, but for the newest entries of each tag that is there; returns how many
    /// entries went. Entries from `unread` on stay for those who follow the history.
    ///
    /// # Errors
    /// When the catalog fails. What was not forgotten is the next time.
    pub async fn forget_history(&self, unread: Option<i64>) -> Result<u64> {
        let before = self.store.now().saturating_sub(nanoseconds(self.rules.keep_history));
        let (mut last, mut forgotten) = (0, 0);
        loop {
            let entries = self.store.read().await?.registry_history(last, BATCH).await?;
            let is_old = |entry: &&RegistryHistoryRow| {
                entry.time < before && unread.is_none_or(|unread| entry.sequence < unread)
            };
            let first = last + 1;
            match entries.iter().take_while(is_old).last() {
                Some(entry) => last = entry.sequence,
                None => return Ok(forgotten),
            }
            let mut txn = self.store.write("forgetting old history").await?;
            forgotten += txn.prune_registry_history(first, last, KEPT).await?;
            txn.commit().await?;
        }
    }
}
