//! SQL of the records of repositories and what is known of their tags: descriptions, stars, counts.

use async_trait::async_trait;
use strata_hub::records::{RepositoryChanges, RepositoryRows};

use crate::transaction::Transaction;

#[async_trait]
impl RepositoryRows for Transaction {}

#[async_trait]
impl RepositoryChanges for Transaction {}
