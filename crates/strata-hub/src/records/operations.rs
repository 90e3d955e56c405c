//! Records of running the hub: audit log, webhooks and their deliveries, jobs, how far the registry's history was read.

use async_trait::async_trait;

/// Queries.
#[async_trait]
pub trait OperationRows: Send + Sync {}

/// Changes.
#[async_trait]
pub trait OperationChanges: OperationRows {}
