//! Records of accounts, organizations, teams, roles, tokens, signing keys.

use async_trait::async_trait;

/// Queries.
#[async_trait]
pub trait AccountRows: Send + Sync {}

/// Changes.
#[async_trait]
pub trait AccountChanges: AccountRows {}
