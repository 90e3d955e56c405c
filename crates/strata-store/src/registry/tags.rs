//! Tags of a repository: set, moved, removed.

use strata_model::{Digest, Repository, Tag, Target};

use super::history::{By, Change};
use super::manifests::manifest_unknown;
use super::{Registry, RegistryError, Result};
use crate::{LinkKind, ReadTxn, RegistryAction, WriteTxn, fault};

/// A tag to be set.
#[derive(Clone, Debug)]
pub struct NewTag {
    /// The tag.
    pub tag: Tag,
    /// What it may point to until then.
    pub replaces: Replaces,
}

impl From<Tag> for NewTag {
    fn from(tag: Tag) -> NewTag {
        NewTag { tag, replaces: Replaces::Anything }
    }
}

/// What a tag may point to before it is set.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Replaces {
    /// Anything, and nothing.
    Anything,
    /// Exactly this, or nothing: whoever decided about the change saw that.
    Exactly(Option<Digest>),
}

impl Registry {
    /// What tags point to, in the order given.
    ///
    /// # Errors
    /// When the catalog cannot be read.
    pub async fn tag_targets(&self, repository: &Repository, tags: &[Tag]) -> Result<Vec<Option<Digest>>> {
        let txn = self.store.read().await?;
        let mut targets = Vec::with_capacity(tags.len());
        for tag in tags {
            targets.push(txn.registry_tag(repository.as_str(), tag.as_str()).await?);
        }
        Ok(targets)
    }

    /// The tags that point to a manifest.
    ///
    /// # Errors
    /// When the catalog cannot be read.
    pub async fn tags_of(&self, repository: &Repository, digest: &Digest) -> Result<Vec<String>> {
        Ok(self.store.read().await?.registry_tags_of(repository.as_str(), digest).await?)
    }

    /// The tags that need an object: what they point to, or something below it.
    ///
    /// # Errors
    /// When the catalog cannot be read.
    pub async fn tags_needing(&self, repository: &Repository, digest: &Digest) -> Result<Vec<String>> {
        Ok(self.store.read().await?.registry_tags_needing(repository.as_str(), digest).await?)
    }

    /// Sets a tag to a manifest that the repository has, as when a tag is rolled back.
    ///
    /// # Errors
    /// `ManifestUnknown`, `TagMoved`.
    pub async fn set_tag(&self, repository: &Repository, new: NewTag, digest: &Digest, actor: &str) -> Result<()> {
        let mut txn = self.store.write("setting a tag").await?;
        if txn.registry_link(repository.as_str(), digest).await? != Some(LinkKind::Manifest) {
            return Err(manifest_unknown(repository, &Target::Digest(*digest)));
        }
        if let Some(moved) = moved_tag(&*txn, repository, std::slice::from_ref(&new)).await? {
            return Err(moved);
        }
        self.put_tag(&mut *txn, repository, &new.tag, digest, self.by(actor)).await?;
        Ok(txn.commit().await?)
    }

    pub(super) async fn put_tag(
        &self,
        txn: &mut dyn WriteTxn,
        repository: &Repository,
        tag: &Tag,
        digest: &Digest,
        by: By<'_>,
    ) -> Result<()> {
        let previous = txn.registry_tag(repository.as_str(), tag.as_str()).await?;
        txn.put_registry_tag(repository.as_str(), tag.as_str(), digest, by.time).await?;
        let change = Change { action: RegistryAction::Tag, tag: tag.as_str(), digest: Some(*digest), previous };
        self.note(txn, repository, by, change).await?;
        fault::point("tag-set");
        if let Some(previous) = previous.filter(|previous| previous != digest) {
            self.review_link(txn, repository, &previous).await?;
        }
        Ok(())
    }

    /// Removes a tag. Its manifest stays until the delay is over, or for good if the rules say so.
    ///
    /// # Errors
    /// `ManifestUnknown`.
    pub async fn delete_tag(&self, repository: &Repository, tag: &Tag, actor: &str) -> Result<()> {
        let mut txn = self.store.write("deleting a tag").await?;
        let Some(previous) = txn.registry_tag(repository.as_str(), tag.as_str()).await? else {
            return Err(manifest_unknown(repository, &Target::Tag(tag.clone())));
        };
        txn.delete_registry_tag(repository.as_str(), tag.as_str()).await?;
        self.note(&mut *txn, repository, self.by(actor), untag(tag.as_str(), previous)).await?;
        self.review_link(&mut *txn, repository, &previous).await?;
        txn.commit().await?;
        fault::point("tag-deleted");
        Ok(())
    }
}

/// The failure when one of these tags does not point any more to what it should replace.
pub(super) async fn moved_tag(
    txn: &dyn ReadTxn,
    repository: &Repository,
    tags: &[NewTag],
) -> Result<Option<RegistryError>> {
    for NewTag { tag, replaces } in tags {
        if let Replaces::Exactly(seen) = replaces
            && txn.registry_tag(repository.as_str(), tag.as_str()).await? != *seen
        {
            return Ok(Some(RegistryError::TagMoved { repository: repository.to_string(), tag: tag.to_string() }));
        }
    }
    Ok(None)
}

pub(super) fn untag(tag: &str, previous: Digest) -> Change<'_> {
    Change { action: RegistryAction::Untag, tag, digest: None, previous: Some(previous) }
}
