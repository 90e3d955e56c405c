//! The contract of the hub's records: plain data in and out, no rule, as [`strata_store::Catalog`] is for the store.
//!
//! One file for each family of tables: rows, a trait of queries, a trait of changes. Times are nanoseconds since 1970, sizes
//! bytes. A committed transaction survives a power cut; dropping one rolls it back.

mod accounts;
mod images;
mod operations;
mod publisher_keys;
mod repositories;
mod search;
mod second_factors;
mod sessions;

use async_trait::async_trait;
use strata_store::Result;

pub use accounts::*;
pub use images::*;
pub use operations::*;
pub use publisher_keys::*;
pub use repositories::*;
pub use search::*;
pub use second_factors::*;
pub use sessions::*;

/// Opens transactions on the hub's records.
#[async_trait]
pub trait HubCatalog: Send + Sync {
    /// A consistent snapshot.
    async fn read(&self) -> Result<Box<dyn HubRead>>;

    /// A serializable transaction; `intent` names it in logs and errors. Waits for other writers.
    async fn write(&self, intent: &'static str) -> Result<Box<dyn HubWrite>>;

    /// The database's own integrity check; the list of its complaints.
    async fn check(&self) -> Result<Vec<String>>;
}

/// Queries.
pub trait HubRead:
    AccountRows
    + RepositoryRows
    + SearchRows
    + OperationRows
    + ImageRows
    + SecondFactorRows
    + SessionRows
    + PublisherKeyRows
{
}

impl<T> HubRead for T where
    T: AccountRows
        + RepositoryRows
        + SearchRows
        + OperationRows
        + ImageRows
        + SecondFactorRows
        + SessionRows
        + PublisherKeyRows
{
}

/// Changes.
#[async_trait]
pub trait HubWrite:
    HubRead
    + AccountChanges
    + RepositoryChanges
    + SearchChanges
    + OperationChanges
    + ImageChanges
    + SecondFactorChanges
    + SessionChanges
    + PublisherKeyChanges
{
    /// Makes everything durable and visible.
    async fn commit(self: Box<Self>) -> Result<()>;
}
