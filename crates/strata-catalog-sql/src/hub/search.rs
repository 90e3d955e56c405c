//! SQL of the records of search over the repositories.

use async_trait::async_trait;
use strata_hub::records::{SearchChanges, SearchRows};

use crate::transaction::Transaction;

#[async_trait]
impl SearchRows for Transaction {}

#[async_trait]
impl SearchChanges for Transaction {}
