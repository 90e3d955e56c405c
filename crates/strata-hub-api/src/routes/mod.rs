//! The endpoints, one module for each family. A handler parses, calls one rule, renders.

mod access_tokens;
mod admin;
mod administration;
mod auditlogs;
mod documents;
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
use strata_hub::Hub;

use crate::endpoints::Endpoints;
use crate::operations::Operations;

pub use openapi::document as openapi_document;

/// All endpoints of the hub. To be merged with the registry's router, which answers what is left.
pub fn router(hub: Hub) -> Router {
    families().into_router().with_state(hub).merge(openapi::router())
}

/// The endpoints for administrators of the hub.
pub fn administration_router(operations: Operations) -> Router {
    administration::router(operations)
}

/// Every family of endpoints that the hub alone answers.
fn families() -> Endpoints {
    token::endpoints()
        .merge(users::endpoints())
        .merge(second_factor::endpoints())
        .merge(sessions::endpoints())
        .merge(publisher_keys::endpoints())
        .merge(access_tokens::endpoints())
        .merge(organizations::endpoints())
        .merge(auditlogs::endpoints())
        .merge(admin::endpoints())
        .merge(repositories::endpoints())
        .merge(tags::endpoints())
        .merge(search::endpoints())
        .merge(webhooks::endpoints())
}
