//! What a removal would give back, without removing anything.
//!
//! The removal is done inside a write transaction that is then dropped, so that the answer comes from the rules that a real
//! removal follows. Other writers wait meanwhile, as they do for the removal itself. Delays are passed over: what would go
//! in an hour counts as gone.

use std::collections::BTreeSet;

use strata_model::{Digest, Repository, Tag, Target};

use super::manifests::manifest_unknown;
use super::{Registry, RegistryError, Result};
use crate::{LinkKind, ReadTxn, RegistryReviewRow, WriteTxn};

/// Repositories that are named for one object at most.
const SHARERS: usize = 20;
/// Objects whose sharers are looked up, the largest first.
const LOOKED_UP: usize = 100;

/// What a removal would do to the disk.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct RemovalPreview {
    /// Bytes of blocks that the disk would get back, in the end.
    pub freed: u64,
    /// Bytes of blobs and manifests that would leave the repository and stay in the store, each counted once.
    pub kept: u64,
    /// Other repositories that hold some of what stays, by name. Whoever shows them must leave out what may not be seen.
    pub sharers: Vec<String>,
}

impl Registry {
    /// What removing a whole repository would give back.
    ///
    /// # Errors
    /// `RepositoryUnknown`.
    pub async fn preview_deletion(&self, repository: &Repository) -> Result<RemovalPreview> {
        let mut txn = self.store.write("looking what a deletion would free").await?;
        let mut unlinked = Vec::new();
        for kind in [LinkKind::Manifest, LinkKind::Blob] {
            unlinked.extend(txn.registry_links(repository.as_str(), kind).await?);
        }
        if !txn.delete_registry_repository(repository.as_str()).await? {
            return Err(RegistryError::RepositoryUnknown(repository.to_string()));
        }
        self.preview(txn, repository, unlinked).await
    }

    /// What removing these tags would give back.
    ///
    /// # Errors
    /// `ManifestUnknown` for a tag that is not there.
    pub async fn preview_untagging(&self, repository: &Repository, tags: &[Tag]) -> Result<RemovalPreview> {
        let mut txn = self.store.write("looking what removing tags would free").await?;
        let mut waiting = Vec::new();
        for tag in tags {
            let digest = txn.registry_tag(repository.as_str(), tag.as_str()).await?;
            waiting.push(digest.ok_or_else(|| manifest_unknown(repository, &Target::Tag(tag.clone())))?);
            txn.delete_registry_tag(repository.as_str(), tag.as_str()).await?;
        }
        let mut unlinked = Vec::new();
        while let Some(digest) = waiting.pop() {
            let mut held = txn.children(&digest).await?;
            held.extend(txn.referrers(&digest).await?);
            let at_once = RegistryReviewRow { repository: repository.to_string(), digest, touched: 0, due: 0 };
            if self.unlink_if_unneeded(&mut *txn, &at_once).await? {
                unlinked.push(digest);
                waiting.extend(held);
            }
        }
        self.preview(txn, repository, unlinked).await
    }

    /// Decides what goes of what lost its link, and gives the transaction up.
    async fn preview(
        &self,
        mut txn: Box<dyn WriteTxn>,
        repository: &Repository,
        unlinked: Vec<Digest>,
    ) -> Result<RemovalPreview> {
        let collection = self.store.review(&mut *txn, unlinked.clone()).await?;
        let mut kept = Vec::new();
        for digest in unlinked {
            if let Some(row) = txn.object(&digest).await? {
                kept.push((row.size, digest));
            }
        }
        kept.sort();
        kept.reverse();
        let sharers = sharers(&*txn, repository, &kept).await?;
        drop(txn);
        let freed = self.store.doomed_size(&collection).await?;
        Ok(RemovalPreview { freed, kept: kept.iter().map(|(size, _)| size).sum(), sharers })
    }
}

async fn sharers(txn: &dyn ReadTxn, repository: &Repository, kept: &[(u64, Digest)]) -> Result<Vec<String>> {
    let mut sharers = BTreeSet::new();
    for (_, digest) in kept.iter().take(LOOKED_UP) {
        sharers.extend(txn.registry_repositories_with(digest, SHARERS).await?);
    }
    sharers.remove(repository.as_str());
    Ok(sharers.into_iter().collect())
}
