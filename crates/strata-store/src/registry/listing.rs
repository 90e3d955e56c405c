//! Lists, a page at a time: tags, repositories, what refers to a manifest, and the search by name.

use std::collections::BTreeMap;

use strata_model::{Descriptor, Digest, Manifest, Repository};

use super::{Registry, RegistryError, Result, StoredManifest};
use crate::ReadTxn;

/// Repositories that are read at once while searching.
const BATCH: usize = 1000;
/// And after this many bytes of manifests, which bound their annotations.
const REFERRERS_SIZE: u64 = 2 << 20;
/// A page of referrers ends after this many entries.
pub const REFERRERS: usize = 1000;

/// Some entries of a sorted list.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Page {
    /// The entries, sorted bytewise.
    pub entries: Vec<String>,
    /// Whether more follow the last one.
    pub more: bool,
}

impl Page {
    /// Of `limit` entries and one more, if there is one.
    fn cut(mut entries: Vec<String>, limit: usize) -> Page {
        let more = entries.len() > limit && limit > 0;
        entries.truncate(limit);
        Page { entries, more }
    }
}

/// Some of the manifests that are about another one.
#[derive(Clone, Debug)]
pub struct ReferrersPage {
    /// In the order of their digests.
    pub manifests: Vec<Descriptor>,
    /// The last digest looked at, when more follow.
    pub next: Option<Digest>,
}

impl Registry {
    /// At most `limit` tags after `last`, which need not exist.
    ///
    /// # Errors
    /// `RepositoryUnknown`.
    pub async fn tags(&self, repository: &Repository, last: Option<&str>, limit: usize) -> Result<Page> {
        let txn = self.store.read().await?;
        if !txn.registry_has_repository(repository.as_str()).await? {
            return Err(RegistryError::RepositoryUnknown(repository.to_string()));
        }
        let rows = txn.registry_tags(repository.as_str(), last, limit.saturating_add(1)).await?;
        Ok(Page::cut(rows.into_iter().map(|row| row.tag).collect(), limit))
    }

    /// At most `limit` repositories after `last`, which need not exist.
    ///
    /// # Errors
    /// When the catalog cannot be read.
    pub async fn repositories(&self, last: Option<&str>, limit: usize) -> Result<Page> {
        let names = self.store.read().await?.registry_repositories(last, limit.saturating_add(1)).await?;
        Ok(Page::cut(names, limit))
    }

    /// Repositories whose name contains `term`, whatever the case: those named so first, then those that start so, then the
    /// others, each sorted.
    ///
    /// # Errors
    /// When the catalog cannot be read.
    pub async fn search(&self, term: &str) -> Result<Vec<String>> {
        let term = term.to_lowercase();
        let txn = self.store.read().await?;
        let mut found: Vec<(u8, String)> = Vec::new();
        let mut last: Option<String> = None;
        loop {
            let batch = txn.registry_repositories(last.as_deref(), BATCH).await?;
            last = batch.last().cloned();
            let is_end = batch.len() < BATCH;
            found.extend(batch.into_iter().filter_map(|name| rank(&name, &term).map(|rank| (rank, name))));
            if is_end {
                break;
            }
        }
        found.sort();
        Ok(found.into_iter().map(|(_, name)| name).collect())
    }

    /// The manifests of this repository that are about `subject`, which need not exist, after the digest `last`: those that
    /// name it as their subject, and those that a client listed under the tag `<algorithm>-<hex>`. Only those of
    /// `artifact_type`, if given.
    ///
    /// # Errors
    /// When the catalog cannot be read.
    pub async fn referrers(
        &self,
        repository: &Repository,
        subject: &Digest,
        artifact_type: Option<&str>,
        last: Option<&Digest>,
    ) -> Result<ReferrersPage> {
        let txn = self.store.read().await?;
        let mut candidates = self.listed_by_tag(&*txn, repository, subject).await?;
        for digest in txn.referrers(subject).await? {
            candidates.entry(digest).or_default();
        }
        let mut page = ReferrersPage { manifests: Vec::new(), next: None };
        let mut size = 0;
        for (digest, listed) in candidates {
            if last.is_some_and(|last| digest <= *last) {
                continue;
            }
            if size > REFERRERS_SIZE || page.manifests.len() >= REFERRERS {
                page.next = page.manifests.last().map(|descriptor| descriptor.digest);
                break;
            }
            let descriptor = match self.linked_manifest(&*txn, repository, &digest).await? {
                Some(stored) => Some(describe(&stored)?),
                None => listed,
            };
            let wanted =
                |found: &Descriptor| artifact_type.is_none_or(|wanted| found.artifact_type.as_deref() == Some(wanted));
            if let Some(descriptor) = descriptor.filter(wanted) {
                size += descriptor.size;
                page.manifests.push(descriptor);
            }
        }
        Ok(page)
    }

    /// What clients that do not know of subjects maintain: an index under a tag made from the subject's digest (OCI
    /// distribution-spec, "Referrers Tag Schema").
    async fn listed_by_tag(
        &self,
        txn: &dyn ReadTxn,
        repository: &Repository,
        subject: &Digest,
    ) -> Result<BTreeMap<Digest, Option<Descriptor>>> {
        let tag = format!("{}-{}", subject.algorithm().name(), &subject.hex()[..64]);
        let mut listed = BTreeMap::new();
        if let Some(digest) = txn.registry_tag(repository.as_str(), &tag).await?
            && let Some(stored) = self.linked_manifest(txn, repository, &digest).await?
            && let Manifest::Index(index) = Manifest::parse(&stored.bytes, Some(&stored.media_type))?
        {
            listed.extend(index.manifests.into_iter().map(|entry| (entry.digest, Some(entry))));
        }
        Ok(listed)
    }
}

/// What a referrers list says of a manifest (OCI distribution-spec, "Listing Referrers").
fn describe(stored: &StoredManifest) -> Result<Descriptor> {
    let manifest = Manifest::parse(&stored.bytes, Some(&stored.media_type))?;
    let (artifact_type, annotations) = match manifest {
        Manifest::Image(image) => {
            let artifact_type = image.artifact_type.filter(|text| !text.is_empty());
            (artifact_type.or(Some(image.config.media_type.as_str().to_owned())), image.annotations)
        }
        Manifest::Index(index) => (index.artifact_type, index.annotations),
    };
    let descriptor = Descriptor::new(stored.media_type.clone(), stored.digest, stored.bytes.len() as u64);
    Ok(Descriptor { artifact_type, annotations, ..descriptor })
}

/// How well a name fits a search term; lower is better.
fn rank(name: &str, term: &str) -> Option<u8> {
    let short = name.strip_prefix("library/").unwrap_or(name);
    let leaf = short.rsplit('/').next().unwrap_or(short);
    match () {
        () if short == term || name == term => Some(0),
        () if leaf == term => Some(1),
        () if leaf.starts_with(term) || short.starts_with(term) => Some(2),
        () if name.contains(term) => Some(3),
        () => None,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn exact_names_rank_first() {
        let ranks = [("library/nginx", 0), ("acme/nginx", 1), ("nginx-extra", 2), ("acme/my-nginx", 3)];
        for (name, expected) in ranks {
            assert_eq!(rank(name, "nginx"), Some(expected), "{name}");
        }
        assert_eq!(rank("redis", "nginx"), None);
        assert_eq!(rank("redis", ""), Some(2));
    }

    #[test]
    fn a_page_says_whether_more_follows() {
        let names = |count: usize| (0..count).map(|number| number.to_string()).collect::<Vec<_>>();
        assert_eq!(Page::cut(names(3), 2), Page { entries: names(2), more: true });
        assert_eq!(Page::cut(names(2), 2), Page { entries: names(2), more: false });
        assert_eq!(Page::cut(names(1), 0), Page { entries: vec![], more: false });
    }
}
