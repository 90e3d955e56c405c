//! The endpoints, one module for each family. A handler parses, calls one rule, renders.

mod access_tokens;
mod admin;
mod administration;
mod auditlogs;
mod documents;
mod endpoints;
mod openapi;
mod organizations;
mod publisher_keys;
mod repositories;
mod search;
mod second_factor;
mod sessions;
mod tags;
mod token;
mod users;
mod webhooks;

use axum::Router;
use axum::routing::MethodRouter;
use strata_hub::Hub;

use crate::operations::Operations;

pub use openapi::document as openapi_document;

/// All endpoints of the hub. To be merged with the registry's router, which answers what is left.
pub fn router(hub: Hub) -> Router {
    accounts()
        .merge(repositories::router())
        .merge(tags::router())
        .merge(search::router())
        .merge(webhooks::router())
        .with_state(hub)
        .merge(openapi::router())
}

/// The endpoints for administrators of the hub.
pub fn administration_router(operations: Operations) -> Router {
    administration::router(operations)
}

/// Accounts, signing in, organizations and the audit log.
fn accounts() -> Router<Hub> {
    Router::new()
        .merge(token::routes())
        .merge(users::routes())
        .merge(second_factor::routes())
        .merge(sessions::routes())
        .merge(publisher_keys::routes())
        .merge(access_tokens::routes())
        .merge(organizations::routes())
        .merge(auditlogs::routes())
        .merge(admin::routes())
}

/// An endpoint with and without a slash at the end.
fn both(path: &str, methods: MethodRouter<Hub>) -> Router<Hub> {
    Router::new().route(path, methods.clone()).route(&format!("{path}/"), methods)
}
