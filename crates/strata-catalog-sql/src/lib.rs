//! The catalog on SQL.
//!
//! One database says what exists, where its bytes lie and what refers to what. On disk it is one SQLite file in WAL mode
//! (`dialect/sqlite/schema.sql` has every table), next to it `-wal` and `-shm` while it is used. Any number of processes
//! share it: readers see a snapshot and wait for nobody, writers exclude each other. The modules `objects`, `layers`,
//! `images`, `containers`, `leases` and `registry` hold the queries of one family of tables each; `dialect` holds what differs
//! between databases. The hub's records are a second file of the same kind (`hub`). No rule of the store is here, but for
//! what foreign keys and primary keys enforce.

// `StoreError` names two digests at most; failures are rare and not passed around in loops.
#![allow(clippy::result_large_err)]

mod catalog;
mod containers;
mod dialect;
mod hub;
mod images;
mod layers;
mod leases;
mod objects;
mod registry;
mod transaction;

pub use catalog::{SqliteCatalog, copy_database};
pub use hub::SqliteHubCatalog;
