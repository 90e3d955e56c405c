//! `/api/v1/openapi.json`: the hub's own endpoints, described by their code.

use axum::routing::get;
use axum::{Json, Router};
use utoipa::openapi::{InfoBuilder, OpenApi};

use super::{administration, families};

/// The description of the hub's own endpoints (OpenAPI 3.1).
pub fn document() -> OpenApi {
    let info = InfoBuilder::new()
        .title("Strata hub")
        .description(Some("The hub's own endpoints. `/v2` is the OCI distribution specification's."))
        .version(env!("CARGO_PKG_VERSION"))
        .build();
    families().merge(administration::endpoints()).into_document(info)
}

pub(super) fn router() -> Router {
    Router::new().route("/api/v1/openapi.json", get(|| async { Json(document()) }))
}

#[cfg(test)]
mod tests {
    use serde_json::Value;

    use super::*;

    /// All values of `$ref` in a document.
    fn references(value: &Value) -> Vec<&str> {
        match value {
            Value::Object(entries) => {
                let own = entries.get("$ref").and_then(Value::as_str);
                own.into_iter().chain(entries.values().flat_map(references)).collect()
            }
            Value::Array(values) => values.iter().flat_map(references).collect(),
            _ => Vec::new(),
        }
    }

    #[test]
    fn every_endpoint_says_what_it_answers() {
        let document = serde_json::to_value(document()).unwrap();
        let paths = document["paths"].as_object().unwrap();
        assert!(paths.len() > 50, "{}", paths.len());
        for (path, methods) in paths {
            for (method, operation) in methods.as_object().unwrap() {
                let responses = operation["responses"].as_object().unwrap();
                let good: Vec<_> = responses.iter().filter(|(status, _)| status.starts_with('2')).collect();
                let [(status, response)] = good[..] else { panic!("{method} {path}: {good:?}") };
                let schema = &response["content"]["application/json"]["schema"];
                assert_eq!(schema.is_object(), !["202", "204"].contains(&status.as_str()), "{method} {path}");
                assert!(operation["summary"].is_string(), "{method} {path}");
                let takes = ["post", "put", "patch"].contains(&method.as_str());
                let takes_nothing = ["star", "stars", "second-factor"].iter().any(|end| path.ends_with(end));
                let body = operation["requestBody"]["content"].as_object();
                assert_eq!(body.is_some(), takes && !takes_nothing || takes_code(method, path), "{method} {path}");
                for content in body.into_iter().flat_map(serde_json::Map::values) {
                    assert!(content["schema"].is_object(), "{method} {path}");
                }
            }
        }
        let tag = &document["paths"]["/v2/repositories/{namespace}/{name}/tags/{tag}"]["get"];
        assert_eq!(tag["parameters"].as_array().map(Vec::len), Some(3), "{tag}");
    }

    /// Turning the second factor off takes a code.
    fn takes_code(method: &str, path: &str) -> bool {
        method == "delete" && path == "/api/v1/account/second-factor"
    }

    #[test]
    fn what_is_referred_to_is_there() {
        let document = serde_json::to_value(document()).unwrap();
        for reference in references(&document) {
            assert!(document.pointer(&reference[1..]).is_some(), "{reference}");
        }
    }

    #[test]
    fn one_name_is_one_type() {
        let mut known = std::collections::BTreeMap::new();
        for (name, schema) in families().merge(administration::endpoints()).schemas() {
            let schema = serde_json::to_value(schema).unwrap();
            assert_eq!(*known.entry(name).or_insert_with(|| schema.clone()), schema, "{name}");
        }
    }
}
