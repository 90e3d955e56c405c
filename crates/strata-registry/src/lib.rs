//! The registry's HTTP surface: the OCI distribution protocol, and docker's search, over the repositories of a store.
//!
//! Parses, calls one rule of [`strata_store::registry`], renders. Bodies are streams; at most a few chunks of each are in
//! memory. Who may do what is asked of [`strata_store::registry::Access`] first.
//!
//! | module | what it has |
//! |---|---|
//! | `path` | which endpoint of which repository a path means |
//! | `service` | what the registry asks others, and what it believes of a request |
//! | `admission` | who may do what, and what may be pushed and pulled |
//! | `routes` | the endpoints, one module for each family |
//! | `error` | failures as statuses and codes |
//! | `body`, `range`, `query` | what a request carries |
//! | `server` | connections, and their end |
//! | `outlet` | files that a connection sends without reading them |

mod admission;
mod body;
mod error;
#[doc(hidden)]
pub mod fuzzing;
mod outlet;
mod path;
mod query;
mod range;
mod routes;
mod server;
mod service;
mod sys;

pub use routes::router;
pub use server::{ServerLimits, collect_periodically, forget_periodically, serve, serve_streams};
pub use service::{Connection, ForwardedHeaders, RegistryService, Scheme, Search, Sender};
pub use strata_store::registry::{LibraryAlias, Registry, RegistryRules, SparseManifests, UntaggedManifests};
