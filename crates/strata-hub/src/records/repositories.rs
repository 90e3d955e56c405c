//! Records of repositories and what is known of their tags: descriptions, stars, counts.

use async_trait::async_trait;

/// Queries.
#[async_trait]
pub trait RepositoryRows: Send + Sync {}

/// Changes.
#[async_trait]
pub trait RepositoryChanges: RepositoryRows {}
