//! Tags of a repository: what they point to and pointed to, put back, removed, kept from moving, expired.

use strata_model::{Digest, Repository, Tag};
use strata_store::RegistryHistoryRow;
use strata_store::registry::{NewTag, Replaces};

use crate::patterns::Patterns;
use crate::records::{RepositoryRow, RepositoryStatus, Retention, TagFilter, TagOrder, TagRow};
use crate::repositories::active;
use crate::{Hub, HubError, Result};

const DAY: i64 = 86_400_000_000_000;

/// Sorts bytewise as people count: `6.0.9` before `6.0.10`.
pub(crate) fn natural_key(tag: &str) -> String {
    let lower = tag.to_lowercase();
    let mut key = String::with_capacity(lower.len() + 8);
    let mut rest = lower.as_str();
    while let Some(first) = rest.chars().next() {
        let is_number = first.is_ascii_digit();
        let end = rest.find(|letter: char| letter.is_ascii_digit() != is_number).unwrap_or(rest.len());
        let (run, after) = rest.split_at(end);
        match is_number {
            true => {
                let digits = run.trim_start_matches('0');
                key.push_str(&format!("{:03}{digits}", digits.len()));
            }
            false => key.push_str(run),
        }
        rest = after;
    }
    // `01` and `1` are in the same place, but are not the same.
    format!("{key}\u{1}{tag}")
}

impl Hub {
    /// Tags of a repository, and how many pass the filter in all.
    ///
    /// # Errors
    /// When the records cannot be read.
    pub async fn tags(&self, repository: &RepositoryRow, filter: &TagFilter) -> Result<(u64, Vec<TagRow>)> {
        let txn = self.read().await?;
        Ok((txn.count_tags(repository.id, filter).await?, txn.tags(repository.id, filter).await?))
    }

    /// One tag.
    ///
    /// # Errors
    /// `NotFound`.
    pub async fn tag(&self, repository: &RepositoryRow, tag: &str) -> Result<TagRow> {
        let found = self.read().await?.tag(repository.id, tag).await?;
        found.ok_or_else(|| HubError::NotFound(format!("tag {tag} of repository {}", repository.full_name())))
    }

    /// Compressed bytes of all images that tags point to, each once. What images share counts for each of them.
    ///
    /// # Errors
    /// When the records cannot be read.
    pub async fn storage_size(&self, repository: &RepositoryRow) -> Result<u64> {
        let manifests = self.read().await?.described_manifests(repository.id).await?;
        let images: std::collections::BTreeMap<Digest, u64> =
            manifests.iter().flat_map(|manifest| &manifest.images).map(|image| (image.digest, image.size)).collect();
        Ok(images.values().sum())
    }

    /// The tags on any of these digests, a thousand at most, in natural order.
    ///
    /// # Errors
    /// When the records cannot be read.
    pub async fn aliases(&self, repository: &RepositoryRow, digests: &[Digest]) -> Result<Vec<TagRow>> {
        if digests.is_empty() {
            return Ok(Vec::new());
        }
        let filter =
            TagFilter { digests: digests.to_vec(), order: TagOrder::Name, limit: 1000, ..TagFilter::default() };
        Ok(self.read().await?.tags(repository.id, &filter).await?)
    }

    /// When each of these digests was last pulled, as far as known.
    ///
    /// # Errors
    /// When the records cannot be read.
    pub async fn last_pulled(&self, repository: &RepositoryRow, digests: &[Digest]) -> Result<Vec<(Digest, i64)>> {
        Ok(self.read().await?.last_pulled(repository.id, digests).await?)
    }

    /// What was done to a tag, newest first, as far as the registry's history goes back.
    ///
    /// # Errors
    /// When the catalog cannot be read.
    pub async fn tag_history(
        &self,
        repository: &RepositoryRow,
        tag: &str,
        limit: usize,
    ) -> Result<Vec<RegistryHistoryRow>> {
        let txn = self.registry().store().read().await?;
        Ok(txn.registry_tag_history(&repository.full_name(), tag, limit).await?)
    }

    /// Lets a tag point to a manifest that the repository still has, as it did before. `from`: only if it points there now.
    /// The change is one of the registry's history like a push.
    ///
    /// # Errors
    /// `Conflict` for a tag that never moves, or that moved meanwhile; `NotFound` without the manifest.
    pub async fn roll_back_tag(
        &self,
        repository: &RepositoryRow,
        tag: &str,
        to: &Digest,
        from: Option<Digest>,
        actor: &str,
    ) -> Result<()> {
        let (name, tag) = registry_names(repository, tag)?;
        let now = self.registry().tag_targets(&name, std::slice::from_ref(&tag)).await?.into_iter().next().flatten();
        if now == Some(*to) {
            return Ok(());
        }
        if now.is_some() {
            check_movable(repository, tag.as_str())?;
        }
        let replaces = Replaces::Exactly(from.or(now));
        self.registry().set_tag(&name, NewTag { tag, replaces }, to, actor).await?;
        self.catch_up().await
    }

    /// Removes a tag; its manifest goes when nothing needs it any more.
    ///
    /// # Errors
    /// `Conflict` for a tag that never moves; `NotFound`.
    pub async fn delete_tag(&self, repository: &RepositoryRow, tag: &str, actor: &str) -> Result<()> {
        check_movable(repository, tag)?;
        let (name, tag) = registry_names(repository, tag)?;
        self.registry().delete_tag(&name, &tag, actor).await?;
        self.catch_up().await
    }

    /// Whether a tag of a repository, once set, stays on its digest.
    ///
    /// # Errors
    /// When the records cannot be read.
    pub async fn is_immutable(&self, repository: &str, tag: &str) -> Result<bool> {
        Ok(self.read().await?.repository(repository).await?.is_some_and(|row| row.immutable_tags.cover(tag)))
    }

    /// The tags that would go under these rules now.
    ///
    /// # Errors
    /// `Invalid` for malformed rules.
    pub async fn preview_retention(&self, repository: &RepositoryRow, rules: &Retention) -> Result<Vec<TagRow>> {
        crate::patterns::check("retention", &rules.except)?;
        let everything = TagFilter { limit: u64::MAX, ..TagFilter::default() };
        let tags = self.read().await?.tags(repository.id, &everything).await?;
        Ok(expired(tags, rules, repository, self.now()))
    }

    /// Removes the tags that the repository's own rules let go; returns which.
    ///
    /// # Errors
    /// When the store or the records fail; what was removed before stays so.
    pub async fn apply_retention(&self, repository: &str, actor: &str) -> Result<Vec<String>> {
        let row = active(&*self.read().await?, repository).await?;
        if !row.retention.enabled {
            return Ok(Vec::new());
        }
        let mut removed = Vec::new();
        for expired in self.preview_retention(&row, &row.retention).await? {
            let (name, tag) = registry_names(&row, &expired.tag)?;
            match self.registry().delete_tag(&name, &tag, actor).await {
                Ok(()) => removed.push(expired.tag),
                Err(error) if error.kind() == strata_model::ErrorKind::NotFound => {}
                Err(error) => return Err(error.into()),
            }
        }
        self.catch_up().await?;
        Ok(removed)
    }

    /// Applies the rules of every repository that has any. To be called now and then.
    ///
    /// # Errors
    /// When the store or the records fail.
    pub async fn tend_repositories(&self) -> Result<()> {
        const PAGE: usize = 500;
        let mut last = String::new();
        loop {
            let rows = self.read().await?.repositories_after(&last, PAGE).await?;
            let Some(row) = rows.last() else { return Ok(()) };
            last = row.full_name();
            let is_wanted = |row: &&RepositoryRow| row.retention.enabled && row.status == RepositoryStatus::Active;
            for row in rows.iter().filter(is_wanted) {
                let removed = self.apply_retention(&row.full_name(), "").await?;
                if !removed.is_empty() {
                    tracing::info!(repository = row.full_name(), tags = removed.len(), "removed tags by retention");
                }
            }
        }
    }

    /// Lets whoever changed something see it at once.
    async fn catch_up(&self) -> Result<()> {
        while self.follow_registry().await? > 0 {}
        Ok(())
    }
}

fn check_movable(repository: &RepositoryRow, tag: &str) -> Result<()> {
    match repository.immutable_tags.cover(tag) {
        true => Err(HubError::Conflict(format!("tag {tag} of repository {} is immutable", repository.full_name()))),
        false => Ok(()),
    }
}

fn registry_names(repository: &RepositoryRow, tag: &str) -> Result<(Repository, Tag)> {
    let not_found = || HubError::NotFound(format!("tag {tag} of repository {}", repository.full_name()));
    let name = repository.full_name().parse().map_err(|_| not_found())?;
    Ok((name, tag.parse().map_err(|_| not_found())?))
}

fn expired(mut tags: Vec<TagRow>, rules: &Retention, repository: &RepositoryRow, now: i64) -> Vec<TagRow> {
    let kept = Patterns::of(&rules.except);
    let too_old = rules
        .older_than_days
        .map(|days| now.saturating_sub(i64::try_from(days).unwrap_or(i64::MAX).saturating_mul(DAY)));
    tags.sort_by_key(|tag| std::cmp::Reverse(tag.pushed));
    tags.into_iter()
        .skip(usize::try_from(rules.keep).unwrap_or(usize::MAX))
        .filter(|tag| too_old.is_none_or(|limit| tag.last_pulled.unwrap_or(0).max(tag.pushed) < limit))
        .filter(|tag| !kept.match_tag(&tag.tag) && !repository.immutable_tags.cover(&tag.tag))
        .collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn tags_sort_naturally() {
        let mut tags = ["6.0.10", "6.0.9", "v10", "v9", "latest", "6.0.9-alpine", "1", "01", "6.0"];
        tags.sort_by_key(|tag| natural_key(tag));
        assert_eq!(tags, ["01", "1", "6.0", "6.0.9", "6.0.9-alpine", "6.0.10", "latest", "v9", "v10"]);
    }
}
