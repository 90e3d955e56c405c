//! The hub's records on SQL: a database of its own beside the store's catalog, one module for each family of tables.

mod accounts;
mod clauses;
mod images;
mod operations;
mod publisher_keys;
mod repositories;
mod search;
mod second_factors;
mod sessions;

use std::path::Path;

use async_trait::async_trait;
use strata_hub::{HubCatalog, HubRead, HubWrite};
use strata_store::{Durability, Result, WriteTxn};

use crate::catalog::Connections;
use crate::dialect::sqlite::Schema;
use crate::transaction::Transaction;

/// The hub's records in an SQLite file, or in memory.
pub struct SqliteHubCatalog(Connections);

impl SqliteHubCatalog {
    /// Opens the records in the file `path`, which is created with its directory when it is not there, and migrated when it
    /// is old.
    ///
    /// # Errors
    /// `NewerFormat`; `File` when the file cannot be opened; `Catalog` when it holds something else.
    pub fn open(path: impl AsRef<Path>, durability: Durability) -> Result<SqliteHubCatalog> {
        Connections::open(path.as_ref(), durability, Schema::Hub).map(SqliteHubCatalog)
    }

    /// Empty records in memory, for tests.
    ///
    /// # Errors
    /// When there is no memory.
    pub fn open_in_memory() -> Result<SqliteHubCatalog> {
        Connections::open_in_memory(Schema::Hub).map(SqliteHubCatalog)
    }
}

#[async_trait]
impl HubCatalog for SqliteHubCatalog {
    async fn read(&self) -> Result<Box<dyn HubRead>> {
        Ok(Box::new(self.0.read()?))
    }

    async fn write(&self, intent: &'static str) -> Result<Box<dyn HubWrite>> {
        Ok(Box::new(self.0.write(intent).await?))
    }

    async fn check(&self) -> Result<Vec<String>> {
        self.0.check()
    }
}

#[async_trait]
impl HubWrite for Transaction {
    async fn commit(self: Box<Self>) -> Result<()> {
        WriteTxn::commit(self).await
    }
}
