//! SQL of the records of running the hub: audit log, webhooks and their deliveries, jobs, how far the registry's history was read.

use async_trait::async_trait;
use strata_hub::records::{OperationChanges, OperationRows};

use crate::transaction::Transaction;

#[async_trait]
impl OperationRows for Transaction {}

#[async_trait]
impl OperationChanges for Transaction {}
