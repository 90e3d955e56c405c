//! The rules of a registry: repositories that show objects of the store to others. No HTTP here.
//!
//! A repository is a row and links: it shows an object only if it links it, so that knowing a digest reads nothing.
//! Everything is a transaction of the catalog; nothing is kept in memory but running hashes, which only save work. A blob
//! that is pushed becomes an object and a link at once and is not unpacked. A manifest is taken when its repository links
//! what it refers to. What a repository does not need any more is unlinked after a delay (see `reviews`); what no
//! repository, image or lease holds any more is removed as everywhere in the store. A repository whose last tag went stays,
//! empty, until it is deleted. Every change of a manifest or tag is noted in the history, in its own transaction.
//!
//! Source: OCI distribution-spec, "Pull", "Push", "Content Discovery", "Content Management".

mod access;
mod blobs;
mod error;
mod history;
mod links;
mod listing;
mod manifests;
mod mirror;
mod preview;
mod reviews;
mod tags;
mod uploads;
mod upstream;

use std::sync::Arc;
use std::time::Duration;

use strata_model::Repository;

pub use access::{Access, Action, Caller, Credentials, Everybody, Need, Pull, PullAllowance, Refusal};
pub use error::{RegistryError, Result};
pub use listing::{Page, REFERRERS, ReferrersPage};
pub use manifests::{NewManifest, PublishedManifest, StoredManifest};
pub use mirror::MirroredImage;
pub use preview::RemovalPreview;
pub use tags::{NewTag, Replaces};
pub use uploads::{Upload, UploadId};
pub use upstream::{Listed, MirrorName, MirroredBlob, MirroredManifest, Place, Upstream};

use crate::Store;
use uploads::RunningHashes;

/// Whether `nginx` and `library/nginx` are one repository.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum LibraryAlias {
    /// A name without slash and the same under `library/` mean the one that exists; a new one is made as written.
    /// Makes both `docker pull host/nginx` and use as a mirror of Docker Hub work.
    Enabled,
    /// A name without slash always means the one under `library/`, as on a hub.
    Official,
    /// They are two repositories.
    Disabled,
}

/// What becomes of a manifest that lost its last tag.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum UntaggedManifests {
    /// It goes after the delay, unless an index of its repository names it, or it is about a manifest that is there.
    Collected,
    /// It stays until it is deleted by its digest.
    Kept,
}

/// Whether a manifest may name what its repository does not have, beyond layers that are fetched from elsewhere.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum SparseManifests {
    /// Configuration, layers, and entries of an index may be absent.
    Allowed,
    /// All of them must have been pushed before.
    Refused,
}

/// How a registry behaves.
#[derive(Clone, Copy, Debug)]
pub struct RegistryRules {
    /// Whether names without slash have an alias.
    pub library_alias: LibraryAlias,
    /// Whether manifests may be incomplete.
    pub sparse_manifests: SparseManifests,
    /// What becomes of manifests whose last tag was deleted or moved away. One that never had a tag stays.
    pub untagged: UntaggedManifests,
    /// How long what lost its last reference stays, so that a tag can be rolled back and a push that counts on it succeeds.
    pub review_after: Duration,
    /// How long the history is kept at least; what it says of a tag that is there is kept longer.
    pub keep_history: Duration,
}

impl Default for RegistryRules {
    fn default() -> RegistryRules {
        RegistryRules {
            library_alias: LibraryAlias::Enabled,
            sparse_manifests: SparseManifests::Refused,
            untagged: UntaggedManifests::Collected,
            review_after: Duration::from_secs(3600),
            keep_history: Duration::from_secs(90 * 24 * 3600),
        }
    }
}

/// The repositories of a store. Cheap to clone; all clones are one registry.
#[derive(Clone)]
pub struct Registry {
    store: Store,
    rules: RegistryRules,
    hashes: Arc<RunningHashes>,
}

impl Registry {
    /// The repositories of `store` under these rules.
    pub fn new(store: Store, rules: RegistryRules) -> Registry {
        Registry { store, rules, hashes: Arc::default() }
    }

    /// The store below.
    pub fn store(&self) -> &Store {
        &self.store
    }

    /// The repository that is meant by a name as a client wrote it, whether it exists or not.
    ///
    /// # Errors
    /// When the catalog cannot be read.
    pub async fn resolve(&self, written: &Repository) -> Result<Repository> {
        let Some(alias) = self.alias(written) else { return Ok(written.clone()) };
        if self.rules.library_alias == LibraryAlias::Official {
            return Ok(if written.as_str().contains('/') { written.clone() } else { alias });
        }
        let txn = self.store.read().await?;
        if !txn.registry_has_repository(written.as_str()).await? && txn.registry_has_repository(alias.as_str()).await? {
            return Ok(alias);
        }
        Ok(written.clone())
    }

    /// Whether a repository exists here.
    ///
    /// # Errors
    /// When the catalog cannot be read.
    pub async fn has(&self, repository: &Repository) -> Result<bool> {
        Ok(self.store.read().await?.registry_has_repository(repository.as_str()).await?)
    }

    fn alias(&self, written: &Repository) -> Option<Repository> {
        if self.rules.library_alias == LibraryAlias::Disabled {
            return None;
        }
        let written = written.as_str();
        let alias = match written.strip_prefix("library/") {
            Some(name) if !name.contains('/') => name.to_owned(),
            None if !written.contains('/') => format!("library/{written}"),
            _ => return None,
        };
        alias.parse().ok()
    }
}
