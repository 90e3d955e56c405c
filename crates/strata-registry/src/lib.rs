//! The registry's HTTP surface: the OCI distribution protocol, and docker's search, over the repositories of a store.
//!
//! Parses, calls one rule of [`strata_store::registry`], renders. Bodies are streams; at most a few chunks of each are in
//! memory. Everybody may read and write: whoever listens decides who can connect.
//!
//! | module | what it has |
//! |---|---|
//! | `path` | which endpoint of which repository a path means |
//! | `routes` | the endpoints, one module for each family |
//! | `error` | failures as statuses and codes |
//! | `body`, `range`, `query` | what a request carries |
//! | `server` | connections, and their end |

mod body;
mod error;
#[doc(hidden)]
pub mod fuzzing;
mod path;
mod query;
mod range;
mod routes;
mod server;

pub use routes::router;
pub use server::{collect_periodically, serve};
pub use strata_store::registry::{LibraryAlias, RegistryRules, SparseIndexes};
