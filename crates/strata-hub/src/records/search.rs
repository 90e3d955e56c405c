//! Records of search over the repositories.

use async_trait::async_trait;

/// Queries.
#[async_trait]
pub trait SearchRows: Send + Sync {}

/// Changes.
#[async_trait]
pub trait SearchChanges: SearchRows {}
