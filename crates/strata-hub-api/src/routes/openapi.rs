//! `/api/v1/openapi.json`: the hub's own endpoints, described by their code.

use axum::routing::get;
use axum::{Json, Router};
use utoipa::OpenApi;
use utoipa::openapi::OpenApi as Document;

use super::{administration, webhooks};

#[derive(OpenApi)]
#[openapi(
    info(
        title = "Strata hub",
        description = "The hub's own endpoints. `/v2` is the OCI distribution specification's."
    ),
    paths(
        webhooks::list,
        webhooks::create,
        webhooks::show,
        webhooks::update,
        webhooks::remove,
        webhooks::deliveries,
        administration::storage,
    )
)]
struct Api;

/// The description of the hub's own endpoints (OpenAPI 3.1).
pub fn document() -> Document {
    Api::openapi()
}

pub(super) fn router() -> Router {
    Router::new().route("/api/v1/openapi.json", get(|| async { Json(document()) }))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_path_is_described() {
        let document = serde_json::to_value(document()).unwrap();
        let webhooks = &document["paths"]["/api/v1/repositories/{namespace}/{name}/webhooks"];
        assert!(webhooks["get"]["responses"]["200"].is_object() && webhooks["post"]["requestBody"].is_object());
        assert!(document["paths"]["/api/v1/admin/storage"]["get"].is_object());
        assert!(document["components"]["schemas"]["WebhookBody"]["properties"]["url"].is_object());
    }
}
