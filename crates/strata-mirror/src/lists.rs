//! Lists: tags and referrers, of the remote together with what is kept here.
//!
//! What the remote lists is remembered for half a minute, or as long as a tag is fresh if that is less, so that a client that
//! reads page by page asks it once. When it cannot be asked, what is kept here is the answer, said to be old.

use std::collections::{BTreeMap, BTreeSet, HashMap};
use std::sync::atomic::Ordering::Relaxed;
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Instant;

use strata_model::{Descriptor, Digest, ErrorKind, Repository};
use strata_store::registry::{Listed, Page, REFERRERS, ReferrersPage, RegistryError, Result};
use strata_transfer::TransferError;

use crate::Mirror;
use crate::error::is_refusal;
use crate::manifests::{PATIENCE, PAUSE, client, note_refusal, remote_failure, stale_warning};
use crate::remote::Remote;

/// Lists of each kind that are remembered.
const LISTS: usize = 256;

/// Lists that remotes gave a short while ago, by what was asked for.
pub(crate) struct Lists<T>(Mutex<HashMap<String, Known<T>>>);

struct Known<T> {
    until: Instant,
    list: RemoteList<T>,
}

/// What a remote lists.
#[derive(Clone)]
struct RemoteList<T> {
    entries: Arc<Vec<T>>,
    /// Why the remote was not asked.
    stale: Option<String>,
}

/// Which list is wanted.
struct Question<'a> {
    remote: &'a Remote,
    mirror: &'a Repository,
    /// What it is remembered under.
    key: String,
    /// Whether something is here to be listed.
    is_kept: bool,
}

impl<T> Default for Lists<T> {
    fn default() -> Lists<T> {
        Lists(Mutex::default())
    }
}

impl<T: Clone> Lists<T> {
    fn get(&self, key: &str) -> Option<RemoteList<T>> {
        let lists = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        lists.get(key).filter(|known| Instant::now() < known.until).map(|known| known.list.clone())
    }

    fn put(&self, key: String, until: Instant, list: &RemoteList<T>) {
        let mut lists = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        if lists.len() >= LISTS {
            let now = Instant::now();
            lists.retain(|_, known| now < known.until);
        }
        if lists.len() < LISTS {
            lists.insert(key, Known { until, list: list.clone() });
        }
    }
}

impl Mirror {
    pub(crate) async fn list_tags(
        &self,
        remote: &Remote,
        mirror: &Repository,
        last: Option<&str>,
        limit: usize,
    ) -> Result<Listed<Page>> {
        let kept = match self.inner.registry.tags(mirror, last, limit).await {
            Ok(page) => Some(page),
            Err(RegistryError::RepositoryUnknown(_)) => None,
            Err(error) => return Err(error),
        };
        let client = client(remote, mirror)?;
        let ask = async move { Ok(client.tags().await?.into_iter().map(|tag| tag.to_string()).collect()) };
        let question = Question { remote, mirror, key: mirror.to_string(), is_kept: kept.is_some() };
        let found = self.remote_list(&self.inner.tag_lists, question, ask).await?;
        let kept = kept.unwrap_or_else(|| Page { entries: Vec::new(), more: false });
        let more_kept = kept.more;
        let after = found.entries.iter().filter(|tag| last.is_none_or(|last| tag.as_str() > last)).cloned();
        let all: BTreeSet<String> = kept.entries.into_iter().chain(after).collect();
        let more = limit > 0 && (more_kept || all.len() > limit);
        let entries = all.into_iter().take(limit).collect();
        Ok(Listed { list: Page { entries, more }, stale: found.stale })
    }

    pub(crate) async fn list_referrers(
        &self,
        remote: &Remote,
        mirror: &Repository,
        subject: &Digest,
        artifact_type: Option<&str>,
        last: Option<&Digest>,
    ) -> Result<Listed<ReferrersPage>> {
        let kept = self.inner.registry.referrers(mirror, subject, artifact_type, last).await?;
        let (client, about) = (client(remote, mirror)?, *subject);
        let ask = async move { client.referrers(&about, None).await };
        // An empty list is an answer, too.
        let question = Question { remote, mirror, key: format!("{mirror}@{subject}"), is_kept: true };
        let found = self.remote_list(&self.inner.referrer_lists, question, ask).await?;
        let wanted = |entry: &&Descriptor| {
            artifact_type.is_none_or(|wanted| entry.artifact_type.as_deref() == Some(wanted))
                && last.is_none_or(|last| entry.digest > *last)
                && kept.next.is_none_or(|next| entry.digest <= next)
        };
        let mut all: BTreeMap<Digest, Descriptor> =
            found.entries.iter().filter(wanted).map(|entry| (entry.digest, entry.clone())).collect();
        all.extend(kept.manifests.into_iter().map(|entry| (entry.digest, entry)));
        let is_cut = all.len() > REFERRERS;
        let manifests: Vec<Descriptor> = all.into_values().take(REFERRERS).collect();
        let next = if is_cut { manifests.last().map(|entry| entry.digest) } else { kept.next };
        Ok(Listed { list: ReferrersPage { manifests, next }, stale: found.stale })
    }

    /// What the remote lists, by `ask`; nothing where it refuses or cannot be asked while something is kept here.
    async fn remote_list<T: Clone>(
        &self,
        lists: &Lists<T>,
        Question { remote, mirror, key, is_kept }: Question<'_>,
        ask: impl Future<Output = Result<Vec<T>, TransferError>> + Send,
    ) -> Result<RemoteList<T>> {
        let usable = |list: &RemoteList<T>| is_kept || list.stale.is_none() && !list.entries.is_empty();
        if let Some(list) = lists.get(&key).filter(usable) {
            return Ok(list);
        }
        let _turn = self.inner.turns.take(format!("list {key}")).await;
        if let Some(list) = lists.get(&key).filter(usable) {
            return Ok(list);
        }
        remote.counts.asked.fetch_add(1, Relaxed);
        let answer = match is_kept {
            false => ask.await,
            true => tokio::time::timeout(PATIENCE, ask).await.unwrap_or_else(|_| {
                let message = format!("no answer within {} seconds", PATIENCE.as_secs());
                Err(TransferError::new(ErrorKind::Unavailable, message))
            }),
        };
        let now = Instant::now();
        let failure = match answer {
            Ok(entries) => {
                let list = RemoteList { entries: Arc::new(entries), stale: None };
                lists.put(key, now + remote.fresh_for.min(PAUSE), &list);
                return Ok(list);
            }
            Err(failure) => failure,
        };
        remote.counts.failed.fetch_add(1, Relaxed);
        let is_refused = is_refusal(&failure);
        if is_refused {
            note_refusal(&failure);
        }
        if !is_kept {
            return Err(match is_refused {
                true => RegistryError::RepositoryUnknown(mirror.to_string()),
                false => remote_failure(remote, failure.kind, failure.message),
            });
        }
        // Whoever is refused is told that there is no more, and the reader's next page asks no more than after a list.
        let stale = (!is_refused).then(|| {
            tracing::warn!(error = %failure, %mirror, "only what is kept here is listed");
            stale_warning(remote, failure.kind, "list")
        });
        let list = RemoteList { entries: Arc::default(), stale };
        lists.put(key, now + remote.fresh_for.min(PAUSE), &list);
        Ok(list)
    }
}
