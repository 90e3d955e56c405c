//! SQL of the records of accounts, organizations, teams, roles, tokens, signing keys.

use async_trait::async_trait;
use strata_hub::records::{AccountChanges, AccountRows};

use crate::transaction::Transaction;

#[async_trait]
impl AccountRows for Transaction {}

#[async_trait]
impl AccountChanges for Transaction {}
