//! Records of repositories and what is known of their tags: descriptions, stars, counts.
//!
//! A repository's full name is `namespace/name`. What the registry holds is copied here as far as lists need it, so that no
//! page reads manifests; the registry stays the truth, and [`RepositoryChanges::put_tag`] and its like only repeat it.

use std::collections::BTreeSet;

use async_trait::async_trait;
use serde::{Deserialize, Serialize};
use strata_model::Digest;
use strata_store::Result;

/// A repository.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct RepositoryRow {
    /// Its number, given by [`RepositoryChanges::insert_repository`]; never used again for another one while it exists.
    pub id: i64,
    /// The account that it belongs to; `library` for official images.
    pub namespace: String,
    /// Its name below the namespace; may have slashes.
    pub name: String,
    /// Whether only those see it who were given a role.
    pub is_private: bool,
    /// One line, as its owner wrote it: text, never markup.
    pub description: String,
    /// Slugs of categories.
    pub categories: Vec<String>,
    /// Where its source is, if its owner says so.
    pub source: Option<String>,
    /// Whether it is curated: stands in `library`, or was declared so.
    pub is_official: bool,
    /// Whether its namespace is a verified publisher.
    pub is_verified: bool,
    /// Whether it is in use.
    pub status: RepositoryStatus,
    /// Which of its tags never move.
    pub immutable_tags: ImmutableTags,
    /// Which of its tags may go by themselves.
    pub retention: Retention,
    /// When it was made.
    pub registered: i64,
    /// When its contents or its description last changed.
    pub last_updated: i64,
    /// When something was last pushed.
    pub last_pushed: Option<i64>,
    /// Who pushed last.
    pub last_pusher: Option<String>,
    /// What its tags are: `image`, `helm`, `artifact`, ….
    pub kinds: BTreeSet<String>,
    /// Media types of what its tags point to.
    pub media_types: BTreeSet<String>,
    /// `os/architecture[/variant]` of all its images.
    pub platforms: BTreeSet<String>,
    /// How many accounts starred it. Changes only by [`RepositoryChanges::set_star`].
    pub stars: u64,
    /// How often it was pulled. Changes only by [`RepositoryChanges::add_pulls`].
    pub pulls: u64,
}

impl RepositoryRow {
    /// `namespace/name`.
    pub fn full_name(&self) -> String {
        format!("{}/{}", self.namespace, self.name)
    }

    /// What a person types to pull it: official images of `library` without it.
    pub fn familiar_name(&self) -> String {
        match self.namespace.as_str() {
            "library" => self.name.clone(),
            _ => self.full_name(),
        }
    }
}

/// Whether a repository is in use.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum RepositoryStatus {
    /// It is.
    #[default]
    Active,
    /// It is being removed: nobody sees it any more, the registry may still hold some of it.
    Deleting,
}

/// Which tags, once set, stay on their digest.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct ImmutableTags {
    /// Whether any are.
    #[serde(default)]
    pub enabled: bool,
    /// Regular expressions, one of which matches a whole tag; without any, every tag.
    #[serde(default)]
    pub rules: Vec<String>,
}

/// Which tags may be removed without being asked for.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Retention {
    /// Whether it is in force.
    #[serde(default)]
    pub enabled: bool,
    /// The newest this many tags stay whatever their age.
    #[serde(default)]
    pub keep: u64,
    /// Tags neither pushed nor pulled for this many days go; without it, all but those kept.
    #[serde(default)]
    pub older_than_days: Option<u64>,
    /// Regular expressions, one of which matches a whole tag: these stay.
    #[serde(default)]
    pub except: Vec<String>,
}

/// A category.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct CategoryRow {
    /// What stands in addresses: `databases`.
    pub slug: String,
    /// What a person reads.
    pub name: String,
}

/// What somebody may read besides what is public.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Readable {
    /// Everything.
    pub everything: bool,
    /// All repositories of these namespaces.
    pub namespaces: Vec<String>,
    /// These repositories, by their full names.
    pub repositories: Vec<String>,
}

/// In which order lists of repositories come.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum RepositoryOrder {
    /// By full name.
    #[default]
    Name,
    /// Last changed first.
    Updated,
    /// Most pulled first.
    Pulls,
    /// Most starred first.
    Stars,
    /// Most pulled of late first: a pull weighs half after two weeks.
    Trend,
}

/// Which repositories of a list, and which part of it.
#[derive(Clone, Debug, Default)]
pub struct RepositoryFilter {
    /// Only of these namespaces; of any when empty.
    pub namespaces: Vec<String>,
    /// Only those whose name below the namespace contains this.
    pub name: Option<String>,
    /// Only official ones.
    pub official: bool,
    /// Only those that this account starred.
    pub starred_by: Option<String>,
    /// Private ones only as far as this goes.
    pub readable: Readable,
    /// The order.
    pub order: RepositoryOrder,
    /// Turns the order around.
    pub reverse: bool,
    /// How many to pass over.
    pub skip: u64,
    /// How many at most.
    pub limit: u64,
}

/// What a tag points to.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct ManifestRow {
    /// Its digest.
    pub digest: Digest,
    /// Its media type.
    pub media_type: String,
    /// `image`, `helm`, `artifact`, ….
    pub kind: String,
    /// Compressed bytes of its layers; of an index, those of its first image.
    pub size: u64,
    /// Its images; attestations are left out.
    pub images: Vec<TagImage>,
}

/// One platform of a tag.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct TagImage {
    /// Digest of its manifest.
    pub digest: Digest,
    /// `linux`, ….
    pub os: String,
    /// `amd64`, ….
    pub architecture: String,
    /// `v7`, ….
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub variant: Option<String>,
    /// Of Windows.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub os_version: Option<String>,
    /// Of Windows.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub os_features: Vec<String>,
    /// Compressed bytes of its layers.
    pub size: u64,
}

impl TagImage {
    /// `os/architecture[/variant]`.
    pub fn platform(&self) -> String {
        let variant = self.variant.iter().map(|variant| format!("/{variant}")).collect::<String>();
        format!("{}/{}{variant}", self.os, self.architecture)
    }
}

/// A tag.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct TagRow {
    /// The tag.
    pub tag: String,
    /// What it points to.
    pub manifest: ManifestRow,
    /// When it was last set.
    pub pushed: i64,
    /// Who set it; empty for nobody known.
    pub pushed_by: String,
    /// When it was last pulled by this name.
    pub last_pulled: Option<i64>,
    /// How often it was pulled by this name.
    pub pulls: u64,
}

/// In which order tags come.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum TagOrder {
    /// Last pushed first.
    #[default]
    Newest,
    /// By name, numbers by their value: 6.0.9 before 6.0.10.
    Name,
    /// The reverse of it.
    NameDescending,
}

/// Which tags of a repository, and which part of the list.
#[derive(Clone, Debug, Default)]
pub struct TagFilter {
    /// Only tags that contain this.
    pub name: Option<String>,
    /// Only tags on these digests; on any when empty.
    pub digests: Vec<Digest>,
    /// Only tags under which cosign keeps what belongs to an image (`sha256-….sig`), or only others.
    pub of_cosign: Option<bool>,
    /// The order.
    pub order: TagOrder,
    /// How many to pass over.
    pub skip: u64,
    /// How many at most.
    pub limit: u64,
}

/// Pulls of a repository that are to be added to its counts.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct PullCounts {
    /// Its full name.
    pub repository: String,
    /// How many of images, whatever else was served with them.
    pub pulls: u64,
    /// When the last one was.
    pub last: i64,
    /// By tag: how many, and when the last one was.
    pub tags: Vec<(String, u64, i64)>,
    /// By digest: when the last one was. Counts for tags on that digest too.
    pub digests: Vec<(Digest, i64)>,
}

/// Queries.
#[async_trait]
pub trait RepositoryRows: Send + Sync {
    /// A repository by its full name, whatever its status.
    async fn repository(&self, name: &str) -> Result<Option<RepositoryRow>>;
    /// Repositories by their numbers, in the order of the numbers given; those that are not there are left out.
    async fn repositories_by_id(&self, ids: &[i64]) -> Result<Vec<RepositoryRow>>;
    /// What is read on its page: Markdown as its owner wrote it, never interpreted here.
    async fn full_description(&self, repository: i64) -> Result<String>;
    /// Active repositories.
    async fn repositories(&self, filter: &RepositoryFilter) -> Result<Vec<RepositoryRow>>;
    /// How many active repositories pass the filter, `skip` and `limit` aside.
    async fn count_repositories(&self, filter: &RepositoryFilter) -> Result<u64>;
    /// Every repository of any status, by full name, after this one, at most `limit`.
    async fn repositories_after(&self, name: &str, limit: usize) -> Result<Vec<RepositoryRow>>;
    /// Repositories that are being removed.
    async fn repositories_being_deleted(&self) -> Result<Vec<RepositoryRow>>;
    /// All categories in their order.
    async fn categories(&self) -> Result<Vec<CategoryRow>>;
    /// Whether an account starred a repository.
    async fn has_starred(&self, repository: i64, account: &str) -> Result<bool>;

    /// One tag.
    async fn tag(&self, repository: i64, tag: &str) -> Result<Option<TagRow>>;
    /// Tags.
    async fn tags(&self, repository: i64, filter: &TagFilter) -> Result<Vec<TagRow>>;
    /// How many tags pass the filter, `skip` and `limit` aside.
    async fn count_tags(&self, repository: i64, filter: &TagFilter) -> Result<u64>;
    /// What is known of a digest that a tag of the repository points to.
    async fn described_manifest(&self, repository: i64, digest: &Digest) -> Result<Option<ManifestRow>>;
    /// Everything that tags of the repository point to.
    async fn described_manifests(&self, repository: i64) -> Result<Vec<ManifestRow>>;
    /// When each of these digests was last pulled, as far as known.
    async fn last_pulled(&self, repository: i64, digests: &[Digest]) -> Result<Vec<(Digest, i64)>>;
    /// Pulls on each day (days since 1970, UTC) from `since` on, oldest first; days without are left out.
    async fn pulls_by_day(&self, repository: i64, since: i64) -> Result<Vec<(i64, u64)>>;
    /// Stars at the end of each day (days since 1970, UTC) on which they changed, oldest first, from the last such day
    /// before `since` on.
    async fn stars_by_day(&self, repository: i64, since: i64) -> Result<Vec<(i64, u64)>>;
}

/// Changes.
#[async_trait]
pub trait RepositoryChanges: RepositoryRows {
    /// Adds a repository under a new number, which is returned; the row's own, its stars and its pulls are not looked at.
    async fn insert_repository(&mut self, row: &RepositoryRow) -> Result<i64>;
    /// Writes all of a repository but its name, stars and pulls.
    async fn update_repository(&mut self, row: &RepositoryRow) -> Result<()>;
    /// Removes a repository with all that is known of it.
    async fn delete_repository(&mut self, id: i64) -> Result<()>;
    /// Sets what is read on its page.
    async fn put_full_description(&mut self, repository: i64, text: &str) -> Result<()>;
    /// Replaces the list of categories. Repositories keep slugs that are gone.
    async fn put_categories(&mut self, categories: &[CategoryRow]) -> Result<()>;
    /// Whether repositories of a namespace are a verified publisher's.
    async fn set_verified(&mut self, namespace: &str, is_verified: bool) -> Result<()>;
    /// Stars a repository or takes the star away; `false` when it was so already.
    async fn set_star(&mut self, repository: i64, account: &str, starred: bool, now: i64) -> Result<bool>;

    /// Sets a tag; its pulls stay. `last_pulled` and `pulls` of the row are not looked at. `sort_key` sorts bytewise as
    /// the tags shall by name.
    async fn put_tag(&mut self, repository: i64, row: &TagRow, sort_key: &str) -> Result<()>;
    /// Removes a tag; `false` when it was not there.
    async fn delete_tag(&mut self, repository: i64, tag: &str) -> Result<bool>;
    /// Forgets what is known of digests that no tag of the repository points to.
    async fn delete_untagged(&mut self, repository: i64) -> Result<()>;
    /// Forgets when a digest was last pulled.
    async fn delete_last_pulled(&mut self, repository: i64, digest: &Digest) -> Result<()>;
    /// Adds pulls to the counts of repositories, tags and the day; those of unknown repositories are dropped.
    async fn add_pulls(&mut self, counts: &[PullCounts]) -> Result<()>;
}
