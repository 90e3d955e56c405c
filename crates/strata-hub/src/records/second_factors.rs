//! Records of second factors of sign-in.

use async_trait::async_trait;
use strata_store::Result;

/// The second factor of a user.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct SecondFactorRow {
    /// Whose.
    pub account: String,
    /// What codes are computed from. Not shown once it is confirmed, never logged.
    pub key: Vec<u8>,
    /// When it was made.
    pub created: i64,
    /// When its owner showed a code; it is not asked for before.
    pub confirmed: Option<i64>,
    /// The time step of the last code that was taken: none is taken twice.
    pub last_step: i64,
}

/// Queries.
#[async_trait]
pub trait SecondFactorRows: Send + Sync {
    /// A user's second factor, confirmed or not.
    async fn second_factor(&self, account: &str) -> Result<Option<SecondFactorRow>>;
    /// How many recovery codes are left.
    async fn count_recovery_codes(&self, account: &str) -> Result<u64>;
}

/// Changes.
#[async_trait]
pub trait SecondFactorChanges: SecondFactorRows {
    /// Adds or replaces a user's second factor.
    async fn put_second_factor(&mut self, row: &SecondFactorRow) -> Result<()>;
    /// Removes a user's second factor with its recovery codes; `false` when there was none.
    async fn delete_second_factor(&mut self, account: &str) -> Result<bool>;
    /// Adds recovery codes, as hashes.
    async fn insert_recovery_codes(&mut self, account: &str, hashes: &[String]) -> Result<()>;
    /// Takes a recovery code; `false` when there is none like it.
    async fn take_recovery_code(&mut self, account: &str, hash: &str) -> Result<bool>;
}
