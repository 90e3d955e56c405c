//! `/api/v1/openapi.json`: the hub's own endpoints, described by their code.

use axum::routing::get;
use axum::{Json, Router};
use utoipa::OpenApi;
use utoipa::openapi::OpenApi as Document;

use super::{administration, endpoints, webhooks};

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
    let mut document = Api::openapi();
    endpoints::describe(&mut document);
    document
}

pub(super) fn router() -> Router {
    Router::new().route("/api/v1/openapi.json", get(|| async { Json(document()) }))
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Literal paths of routes in the sources of the families.
    fn routed() -> Vec<&'static str> {
        let sources = [
            include_str!("access_tokens.rs"),
            include_str!("admin.rs"),
            include_str!("administration.rs"),
            include_str!("auditlogs.rs"),
            include_str!("organizations.rs"),
            include_str!("publisher_keys.rs"),
            include_str!("repositories.rs"),
            include_str!("search.rs"),
            include_str!("second_factor.rs"),
            include_str!("sessions.rs"),
            include_str!("tags.rs"),
            include_str!("token.rs"),
            include_str!("users.rs"),
            include_str!("webhooks.rs"),
        ];
        let lines = sources.iter().flat_map(|source| source.lines());
        let lines = lines.filter(|line| line.contains("both(\"/") || line.contains(".route(\"/"));
        lines.filter_map(|line| line.split('"').nth(1)).collect()
    }

    #[test]
    fn every_route_is_described() {
        let document = serde_json::to_value(document()).unwrap();
        let paths = document["paths"].as_object().unwrap();
        let missing: Vec<_> =
            routed().into_iter().map(|path| path.replace("{*", "{")).filter(|path| !paths.contains_key(path)).collect();
        assert!(routed().len() > 40 && missing.is_empty(), "{missing:?}");
    }

    #[test]
    fn own_endpoints_have_schemas() {
        let document = serde_json::to_value(document()).unwrap();
        let webhooks = &document["paths"]["/api/v1/repositories/{namespace}/{name}/webhooks"];
        assert!(webhooks["get"]["responses"]["200"].is_object() && webhooks["post"]["requestBody"].is_object());
        assert!(document["paths"]["/api/v1/admin/storage"]["get"].is_object());
        assert!(document["components"]["schemas"]["WebhookBody"]["properties"]["url"].is_object());
        let tag = &document["paths"]["/v2/repositories/{namespace}/{name}/tags/{tag}"]["get"];
        assert_eq!(tag["parameters"].as_array().map(Vec::len), Some(3), "{tag}");
    }
}
