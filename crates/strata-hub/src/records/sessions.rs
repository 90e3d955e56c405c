//! Records of sessions that began with a password.

use async_trait::async_trait;
use strata_store::Result;

/// A session of a user.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct SessionRow {
    /// SHA-256 of the number in its token, in hexadecimal: who reads it has no session.
    pub id: String,
    /// Whose.
    pub account: String,
    /// The account's generation when it began; it has ended when that is another one.
    pub generation: i64,
    /// When it began.
    pub created: i64,
    /// When it ends by itself.
    pub expires: i64,
    /// From which address it began; may be empty.
    pub address: String,
    /// With which program.
    pub agent: String,
}

/// Queries.
#[async_trait]
pub trait SessionRows: Send + Sync {
    /// A session, whether it has ended or not.
    async fn session_row(&self, id: &str) -> Result<Option<SessionRow>>;
    /// Sessions of an account that have not ended, newest first.
    async fn sessions(&self, account: &str, now: i64) -> Result<Vec<SessionRow>>;
}

/// Changes.
#[async_trait]
pub trait SessionChanges: SessionRows {
    /// Adds a session.
    async fn insert_session(&mut self, row: &SessionRow) -> Result<()>;
    /// Removes a session of an account; `false` when it has none like it.
    async fn delete_session(&mut self, account: &str, id: &str) -> Result<bool>;
    /// Removes sessions that ended by themselves before this time.
    async fn delete_expired_sessions(&mut self, now: i64) -> Result<()>;
}
