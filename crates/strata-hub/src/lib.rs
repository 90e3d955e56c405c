//! The rules of the hub: accounts and what they may do, what is known of repositories, search, what happens after a push.
//! No HTTP and no SQL here.
//!
//! The hub stands beside the store's registry: the registry's rules (blobs, manifests, tags) know nothing of accounts, and
//! ask the hub through [`strata_store::registry::Access`]. The hub's records are a database of their own ([`HubCatalog`]);
//! what happened to repositories it learns from the registry's history, in order, from where it last stopped, so that a
//! crash between the two databases loses nothing and no push waits for the hub.

// `StoreError` names two digests at most; failures are rare and not passed around in loops.
#![allow(clippy::result_large_err)]

mod error;
mod follow;
mod hub;
mod jobs;
pub mod records;
mod webhooks;

pub use error::{HubError, Result};
pub use hub::{Hub, HubSettings};
pub use jobs::IndexingSettings;
pub use records::{HubCatalog, HubRead, HubWrite};
pub use webhooks::{Courier, CreatedWebhook, NewWebhook, WebhookEvent, WebhookSettings, signature};
