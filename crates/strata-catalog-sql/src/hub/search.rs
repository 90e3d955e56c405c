//! Records of search over the repositories, handed on to the database's own full-text search.

use async_trait::async_trait;
use strata_hub::records::{SearchChanges, SearchEntry, SearchHit, SearchOrder, SearchQuery, SearchRows, SpelledWord};
use strata_store::Result;

use crate::transaction::Transaction;

#[async_trait]
impl SearchRows for Transaction {
    async fn search(&self, query: &SearchQuery, limit: u64) -> Result<Vec<i64>> {
        self.session().search(query, limit)
    }

    async fn search_sorted(&self, query: &SearchQuery, order: SearchOrder, limit: u64) -> Result<(Vec<i64>, u64)> {
        self.session().search_sorted(query, order, limit)
    }

    async fn search_hits(&self, repositories: &[i64]) -> Result<Vec<SearchHit>> {
        self.session().search_hits(repositories)
    }

    async fn words_like(&self, variants: &[String], limit: usize) -> Result<Vec<(String, u64)>> {
        self.session().words_like(variants, limit)
    }

    async fn words_containing(&self, part: &str, limit: usize) -> Result<Vec<(String, u64)>> {
        self.session().words_containing(part, limit)
    }

    async fn search_entry(&self, repository: i64) -> Result<Option<SearchEntry>> {
        self.session().search_entry(repository)
    }
}

#[async_trait]
impl SearchChanges for Transaction {
    async fn put_search_entry(&mut self, entry: &SearchEntry, words: &[SpelledWord]) -> Result<()> {
        self.session().put_search_entry(entry, words)
    }

    async fn delete_search_entry(&mut self, repository: i64) -> Result<()> {
        self.session().delete_search_entry(repository)
    }
}
