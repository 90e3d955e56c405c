//! Garbage of repositories: what is not needed any more is unlinked, after a delay and beside everything else.
//!
//! A review is a note that a link may not be needed, and a time before which nobody looks. Whoever takes a reference away
//! (a tag, a manifest) leaves reviews of what it held; so does an upload, since its manifest may never come; and whoever
//! tells a client "that blob is here" moves the time on. A background worker takes what is due, some at a time, decides
//! inside one short transaction, and unlinks what nothing needs:
//!
//! * a blob is needed by a manifest of its repository;
//! * a manifest is needed by its tags, by an index of its repository, and, when it is about another manifest (a
//!   signature), by that one. One that never had a tag is not reviewed, except with the index or subject that it came with.
//!
//! What loses its last link goes as everywhere in the store. Reviews are rows of the catalog: a crash loses none.

use std::time::Duration;

use strata_model::{Digest, Repository};

use super::history::Change;
use super::{Registry, RegistryError, Result, UntaggedManifests};
use crate::{LeaseItem, LeaseRow, LinkKind, ReadTxn, RegistryAction, RegistryReviewRow, WriteTxn, fault};

/// How long a client may count on a blob that it was told is here, in nanoseconds.
const PROMISE: i64 = 3_600_000_000_000;
/// How long a blob without manifest stays.
const UPLOADED: i64 = 24 * PROMISE;
/// Reviews in a transaction, which keeps pushes waiting.
const BATCH: usize = 64;

impl Registry {
    /// Unlinks what is not needed any more and is due, and removes what nothing holds; returns the bytes that the disk got
    /// back. With `idle_for`, what nobody touched for that long is due, whatever was promised to clients: after zero, a push
    /// that is under way may be told to send a blob again.
    ///
    /// # Errors
    /// When catalog or backends fail. What was not done is done the next time.
    pub async fn collect(&self, idle_for: Option<Duration>) -> Result<u64> {
        let now = self.store.now();
        let (due, touched) = match idle_for {
            None => (now, now),
            Some(idle) => (i64::MAX, now.saturating_sub(nanoseconds(idle))),
        };
        let mut freed = 0;
        while let Some(more) = self.collect_some(due, touched).await? {
            freed += more;
        }
        Ok(freed + self.store.collect_expired().await?)
    }

    /// One batch of what is due at `due` and was not touched after `touched`; `None` when there is nothing.
    async fn collect_some(&self, due: i64, touched: i64) -> Result<Option<u64>> {
        if self.store.read().await?.registry_reviews(due, touched, 1).await?.is_empty() {
            return Ok(None);
        }
        let mut txn = self.store.write("reviewing links of repositories").await?;
        let mut unlinked = Vec::new();
        for review in txn.registry_reviews(due, touched, BATCH).await? {
            txn.delete_registry_review(&review.repository, &review.digest).await?;
            if self.unlink_if_unneeded(&mut *txn, &review).await? {
                unlinked.push(review.digest);
            }
        }
        let collection = self.store.review(&mut *txn, unlinked).await?;
        txn.commit().await?;
        fault::point("links-reviewed");
        Ok(Some(self.store.remove_doomed(&collection).await?))
    }

    pub(super) async fn unlink_if_unneeded(&self, txn: &mut dyn WriteTxn, review: &RegistryReviewRow) -> Result<bool> {
        let RegistryReviewRow { repository, digest, .. } = review;
        let Some(kind) = txn.registry_link(repository, digest).await? else { return Ok(false) };
        let is_needed = match kind {
            LinkKind::Blob => txn.registry_parent(repository, digest).await?.is_some(),
            LinkKind::Manifest => self.manifest_is_needed(&*txn, repository, digest).await?,
        };
        if is_needed {
            return Ok(false);
        }
        if kind == LinkKind::Manifest {
            // What it held waited as long as it did.
            review_what_it_held(txn, review).await?;
            if let Ok(repository) = repository.parse() {
                self.note(txn, &repository, self.by(""), Change::of(RegistryAction::Collect, digest)).await?;
            }
        }
        txn.delete_registry_link(repository, digest).await?;
        Ok(true)
    }

    async fn manifest_is_needed(&self, txn: &dyn ReadTxn, repository: &str, digest: &Digest) -> Result<bool> {
        if self.rules.untagged == UntaggedManifests::Kept
            || !txn.registry_tags_of(repository, digest).await?.is_empty()
            || txn.registry_parent(repository, digest).await?.is_some()
        {
            return Ok(true);
        }
        match txn.subject(digest).await? {
            Some(subject) => Ok(txn.registry_link(repository, &subject).await?.is_some()),
            None => Ok(false),
        }
    }

    /// Leaves a review of a link that lost a reference.
    pub(super) async fn review_link(
        &self,
        txn: &mut dyn WriteTxn,
        repository: &Repository,
        digest: &Digest,
    ) -> Result<()> {
        let now = self.store.now();
        let due = now.saturating_add(nanoseconds(self.rules.review_after));
        let row = RegistryReviewRow { repository: repository.to_string(), digest: *digest, touched: now, due };
        Ok(txn.put_registry_review(&row).await?)
    }

    /// Leaves reviews of what a manifest that is about to lose its link held.
    pub(super) async fn review_manifest(
        &self,
        txn: &mut dyn WriteTxn,
        repository: &Repository,
        manifest: &Digest,
    ) -> Result<()> {
        let touched = self.store.now();
        let due = touched.saturating_add(nanoseconds(self.rules.review_after));
        let of = RegistryReviewRow { repository: repository.to_string(), digest: *manifest, touched, due };
        review_what_it_held(txn, &of).await
    }

    /// Links a blob that came by a push: if no manifest refers to it within a day, it goes.
    pub(super) async fn link_blob(
        &self,
        txn: &mut dyn WriteTxn,
        repository: &Repository,
        digest: &Digest,
    ) -> Result<()> {
        txn.put_registry_link(repository.as_str(), digest, LinkKind::Blob).await?;
        let touched = self.store.now();
        let due = touched.saturating_add(UPLOADED);
        let row = RegistryReviewRow { repository: repository.to_string(), digest: *digest, touched, due };
        Ok(txn.put_registry_review(&row).await?)
    }

    /// Lets a link stay for a while, whatever is deleted. Written at most twice an hour for each link. When it cannot be
    /// written, a client that counts on it may have to push again.
    pub(super) async fn promise(&self, repository: &Repository, digest: &Digest) {
        if let Err(error) = self.try_to_promise(repository, digest).await {
            tracing::warn!(%error, %repository, %digest, "a blob could not be kept for a client");
        }
    }

    async fn try_to_promise(&self, repository: &Repository, digest: &Digest) -> Result<()> {
        let now = self.store.now();
        let review = self.store.read().await?.registry_review(repository.as_str(), digest).await?;
        if review.is_some_and(|review| review.due > now.saturating_add(PROMISE / 2)) {
            return Ok(());
        }
        let mut txn = self.store.write("keeping a blob for a client").await?;
        if txn.registry_link(repository.as_str(), digest).await?.is_some() {
            let due = now.saturating_add(PROMISE);
            let row = RegistryReviewRow { repository: repository.to_string(), digest: *digest, touched: now, due };
            txn.put_registry_review(&row).await?;
            txn.commit().await?;
        }
        Ok(())
    }

    /// Removes a repository with all it links, in one transaction; what nothing else holds is removed by the next collection.
    ///
    /// # Errors
    /// `RepositoryUnknown`.
    pub async fn delete_repository(&self, repository: &Repository, actor: &str) -> Result<()> {
        let mut txn = self.store.write("deleting a repository").await?;
        let mut items = Vec::new();
        for kind in [LinkKind::Manifest, LinkKind::Blob] {
            let linked = txn.registry_links(repository.as_str(), kind).await?;
            items.extend(linked.into_iter().map(LeaseItem::Object));
        }
        if !txn.delete_registry_repository(repository.as_str()).await? {
            return Err(RegistryError::RepositoryUnknown(repository.to_string()));
        }
        // Leases that ended hand the objects over to the collection of what expired, some in each transaction.
        for (number, items) in items.chunks(BATCH).enumerate() {
            let id = format!("registry-deletion-{:x}-{number}-{repository}", self.store.now());
            let purpose = format!("deletion of {repository}");
            txn.put_lease(&LeaseRow { id: id.clone(), purpose, expires: self.store.now() }).await?;
            txn.add_lease_items(&id, items).await?;
        }
        let change = Change { action: RegistryAction::Delete, tag: "", digest: None, previous: None };
        self.note(&mut *txn, repository, self.by(actor), change).await?;
        Ok(txn.commit().await?)
    }
}

/// Reviews of what a manifest refers to and of what is about it, as due as the manifest itself.
async fn review_what_it_held(txn: &mut dyn WriteTxn, manifest: &RegistryReviewRow) -> Result<()> {
    let mut held = txn.children(&manifest.digest).await?;
    held.extend(txn.referrers(&manifest.digest).await?);
    for digest in held {
        if txn.registry_link(&manifest.repository, &digest).await?.is_some() {
            txn.put_registry_review(&RegistryReviewRow { digest, ..manifest.clone() }).await?;
        }
    }
    Ok(())
}

pub(super) fn nanoseconds(duration: Duration) -> i64 {
    i64::try_from(duration.as_nanos()).unwrap_or(i64::MAX)
}
