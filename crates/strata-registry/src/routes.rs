//! The endpoints: one function of a family for each method.

mod blobs;
mod listing;
mod manifests;
mod search;
mod uploads;

use std::sync::Arc;

use axum::body::Body;
use axum::extract::{Request, State};
use axum::response::{IntoResponse as _, Response};
use axum::routing::get;
use axum::{Json, Router};
use http::header::{CONTENT_LENGTH, CONTENT_TYPE, ETAG, EXPECT, HeaderName, IF_NONE_MATCH};
use http::request::Parts;
use http::{HeaderMap, HeaderValue, Method, StatusCode};
use serde_json::json;
use strata_model::{Digest, Repository};
use strata_store::Store;
use strata_store::registry::{Registry, RegistryRules};

use crate::body::Incoming;
use crate::error::{Failure, Result};
use crate::path::{Endpoint, Path};
use crate::query::Parameters;

const CONTENT_DIGEST: HeaderName = HeaderName::from_static("docker-content-digest");
const API_VERSION: HeaderName = HeaderName::from_static("docker-distribution-api-version");

/// The registry of `store` under `rules`: `/v2/…`, and `/v1/_ping` and `/v1/search` for `docker search`.
pub fn router(store: Store, rules: RegistryRules) -> Router {
    Router::new()
        .route("/v1/_ping", get(search::ping))
        .route("/v1/search", get(search::search))
        .fallback(answer)
        .with_state(Arc::new(Registry::new(store, rules)))
}

async fn answer(State(registry): State<Arc<Registry>>, request: Request) -> Response {
    let (parts, body) = request.into_parts();
    let mut body = Incoming::new(body);
    let mut response = match route(&registry, &parts, &mut body).await {
        Ok(response) => response,
        Err(failure) => {
            if !parts.headers.contains_key(EXPECT) {
                body.drain().await;
            }
            failure.into_response()
        }
    };
    tracing::debug!(method = %parts.method, path = parts.uri.path(), status = response.status().as_u16(), "answered");
    response.headers_mut().insert(API_VERSION, HeaderValue::from_static("registry/2.0"));
    if parts.method == Method::HEAD {
        let (parts, _) = response.into_parts();
        return Response::from_parts(parts, Body::empty());
    }
    response
}

async fn route(registry: &Registry, parts: &Parts, body: &mut Incoming) -> Result {
    let path = Path::parse(parts.uri.path()).ok_or_else(Failure::no_such_path)?;
    let query = Parameters::of(&parts.uri)?;
    let (written, endpoint) = match path {
        Path::Base => return base(&parts.method),
        Path::Catalog => return listing::catalog(registry, &parts.method, &query).await,
        Path::Repository { name, endpoint } => (name, endpoint),
    };
    let written: Repository = written.parse().map_err(|cause| Failure::name(&written, cause))?;
    let repository = registry.resolve(&written).await?;
    let call = Call { registry, repository, written, parts, query };
    let method = parts.method.as_str();
    match endpoint {
        Endpoint::Tags => match method {
            "GET" | "HEAD" => listing::tags(&call).await,
            _ => Err(Failure::method("GET, HEAD")),
        },
        Endpoint::Referrers(digest) => match method {
            "GET" | "HEAD" => listing::referrers(&call, parse_digest(&digest)?).await,
            _ => Err(Failure::method("GET, HEAD")),
        },
        Endpoint::Manifest(target) => match method {
            "GET" | "HEAD" => manifests::get(&call, &target).await,
            "PUT" => manifests::put(&call, &target, body).await,
            "DELETE" => manifests::delete(&call, &target).await,
            _ => Err(Failure::method("GET, HEAD, PUT, DELETE")),
        },
        Endpoint::Blob(digest) => match method {
            "GET" | "HEAD" => blobs::get(&call, parse_digest(&digest)?).await,
            "DELETE" => blobs::delete(&call, parse_digest(&digest)?).await,
            _ => Err(Failure::method("GET, HEAD, DELETE")),
        },
        Endpoint::Uploads => match method {
            "POST" => uploads::begin(&call, body).await,
            _ => Err(Failure::method("POST")),
        },
        Endpoint::Upload(id) => match method {
            "GET" | "HEAD" => uploads::status(&call, &id).await,
            "PATCH" => uploads::append(&call, &id, body).await,
            "PUT" => uploads::finish(&call, &id, body).await,
            "DELETE" => uploads::cancel(&call, &id).await,
            _ => Err(Failure::method("GET, HEAD, PATCH, PUT, DELETE")),
        },
    }
}

/// A request to an endpoint of a repository, without its body.
struct Call<'a> {
    registry: &'a Registry,
    /// The repository that is meant.
    repository: Repository,
    /// Its name as the client wrote it, which goes into locations.
    written: Repository,
    parts: &'a Parts,
    query: Parameters,
}

impl Call<'_> {
    /// The value of a header, if it is text.
    fn header(&self, name: HeaderName) -> Option<&str> {
        self.parts.headers.get(name)?.to_str().ok()
    }

    fn blob_location(&self, digest: &Digest) -> String {
        format!("/v2/{}/blobs/{digest}", self.written)
    }
}

fn base(method: &Method) -> Result {
    match *method {
        Method::GET | Method::HEAD => Ok(Json(json!({})).into_response()),
        _ => Err(Failure::method("GET, HEAD")),
    }
}

fn parse_digest(written: &str) -> Result<Digest> {
    written.parse().map_err(|cause| Failure::digest(written, cause))
}

/// An answer without body.
fn empty(status: StatusCode, headers: Vec<(HeaderName, String)>) -> Response {
    let mut response = Response::new(Body::empty());
    *response.status_mut() = status;
    set(response.headers_mut(), headers);
    if status != StatusCode::NO_CONTENT && status != StatusCode::NOT_MODIFIED {
        response.headers_mut().insert(CONTENT_LENGTH, HeaderValue::from_static("0"));
    }
    response
}

/// An answer with a JSON document of this media type.
fn document(media_type: &'static str, value: &impl serde::Serialize) -> Result {
    let text = serde_json::to_string(value)
        .map_err(|cause| Failure::new(StatusCode::INTERNAL_SERVER_ERROR, "UNKNOWN", cause.to_string()))?;
    let mut response = Response::new(Body::empty());
    response.headers_mut().insert(CONTENT_LENGTH, HeaderValue::from(text.len()));
    response.headers_mut().insert(CONTENT_TYPE, HeaderValue::from_static(media_type));
    *response.body_mut() = Body::from(text);
    Ok(response)
}

/// Sets headers. What cannot stand in one (a stored media type with a line break) is left out.
fn set(headers: &mut HeaderMap, new: Vec<(HeaderName, String)>) {
    for (name, value) in new {
        if let Ok(value) = HeaderValue::try_from(value) {
            headers.insert(name, value);
        }
    }
}

/// The headers that tell content by its digest.
fn content_headers(digest: &Digest) -> Vec<(HeaderName, String)> {
    vec![(CONTENT_DIGEST, digest.to_string()), (ETAG, format!("\"{digest}\""))]
}

/// Whether the client has this content already (RFC 9110, section 13.1.2).
fn is_not_modified(headers: &HeaderMap, digest: &Digest) -> bool {
    let digest = digest.to_string();
    headers
        .get_all(IF_NONE_MATCH)
        .iter()
        .filter_map(|value| value.to_str().ok())
        .flat_map(|value| value.split(','))
        .any(|tag| {
            let tag = tag.trim();
            tag == "*" || tag.strip_prefix("W/").unwrap_or(tag).trim_matches('"') == digest
        })
}
