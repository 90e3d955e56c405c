//! Records of search over the repositories: an index of their words, and a vocabulary that knows how they are spelled.
//!
//! Words are lower-case letters and digits without anything between them; how text becomes words is the hub's rule.
//! Entries lie in the order of their `position`, so that the best of a long list are found without reading all of it.

use async_trait::async_trait;
use strata_store::Result;

use super::Readable;

/// What search knows of a repository.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct SearchEntry {
    /// The repository.
    pub repository: i64,
    /// Where it stands among all: small comes first. Below 2²².
    pub position: u32,
    /// Words of its name.
    pub names: Vec<String>,
    /// Words of what is said of it.
    pub texts: Vec<String>,
    /// What filters ask for, as `kind:value` without blanks.
    pub facets: Vec<String>,
}

/// A word with the ways in which a misspelled one may meet it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct SpelledWord {
    /// The word.
    pub word: String,
    /// Its variants, itself among them.
    pub variants: Vec<String>,
}

/// One word of a query: any of the alternatives will do.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct WantedWord {
    /// Words, or beginnings of words.
    pub beginnings: Vec<String>,
    /// Whole words.
    pub words: Vec<String>,
}

/// What is searched for: all of the words, and one facet of each group.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct SearchQuery {
    /// The words.
    pub words: Vec<WantedWord>,
    /// Whether names only are looked at.
    pub in_names: bool,
    /// Groups of facets.
    pub facets: Vec<Vec<String>>,
    /// Private repositories only as far as this goes.
    pub readable: Readable,
}

/// By what results are sorted when not by fitness.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum SearchOrder {
    /// Most pulled first.
    Pulls,
    /// Most starred first.
    Stars,
    /// Last changed first.
    Updated,
}

/// A repository that was found.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct SearchHit {
    /// Its number.
    pub repository: i64,
    /// Its namespace.
    pub namespace: String,
    /// Its name.
    pub name: String,
    /// Whether it is official.
    pub is_official: bool,
    /// Stars.
    pub stars: u64,
    /// Pulls.
    pub pulls: u64,
}

/// Queries.
#[async_trait]
pub trait SearchRows: Send + Sync {
    /// Numbers of the repositories that the query fits, by position; at most `limit`.
    async fn search(&self, query: &SearchQuery, limit: u64) -> Result<Vec<i64>>;
    /// The first of them in another order, at most `limit`, and how many there are.
    async fn search_sorted(&self, query: &SearchQuery, order: SearchOrder, limit: u64) -> Result<(Vec<i64>, u64)>;
    /// What ranking needs to know of these repositories, in their order; those that are gone are left out.
    async fn search_hits(&self, repositories: &[i64]) -> Result<Vec<SearchHit>>;
    /// Words of names that have one of these variants, and in how many repositories they are; at most `limit`.
    async fn words_like(&self, variants: &[String], limit: usize) -> Result<Vec<(String, u64)>>;
    /// Words of names that contain this, which has at least three letters, and in how many repositories they are; at most
    /// `limit`.
    async fn words_containing(&self, part: &str, limit: usize) -> Result<Vec<(String, u64)>>;
    /// What search knows of a repository, without texts and facets.
    async fn search_entry(&self, repository: i64) -> Result<Option<SearchEntry>>;
}

/// Changes.
#[async_trait]
pub trait SearchChanges: SearchRows {
    /// Sets what search knows of a repository; `words` are those of its names.
    async fn put_search_entry(&mut self, entry: &SearchEntry, words: &[SpelledWord]) -> Result<()>;
    /// Forgets a repository. To be called before its row goes.
    async fn delete_search_entry(&mut self, repository: i64) -> Result<()>;
}
