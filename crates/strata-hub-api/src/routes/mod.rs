//! The endpoints, one module for each family. A handler parses, calls one rule, renders.

use axum::Router;
use strata_hub::Hub;

/// All endpoints of the hub. To be merged with the registry's router, which answers what is left.
pub fn router(hub: Hub) -> Router {
    Router::new().with_state(hub)
}
