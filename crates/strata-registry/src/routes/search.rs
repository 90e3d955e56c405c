//! What `docker search` asks: the old index protocol, over the names of repositories.

use std::sync::Arc;

use axum::Json;
use axum::extract::{Request, State};
use axum::response::{IntoResponse as _, Response};
use http::header::HeaderName;
use serde_json::{Value, json};
use strata_store::registry::Need;

use super::Shared;
use crate::admission::admit;
use crate::error::{Failure, Result};
use crate::query::Parameters;

const STANDALONE: HeaderName = HeaderName::from_static("x-docker-registry-standalone");
/// Results on a page, unless the client says otherwise, and at most.
const PAGE: usize = 25;
const MAX_PAGE: usize = 100;

/// `GET /v1/_ping`: this is a registry of its own.
pub(super) async fn ping() -> Response {
    ([(STANDALONE, "true")], Json(json!({ "standalone": true }))).into_response()
}

/// `GET /v1/search?q=&n=&page=`.
pub(super) async fn search(State(shared): State<Arc<Shared>>, request: Request) -> Result<Json<Value>, Failure> {
    let (parts, _) = request.into_parts();
    let caller = admit(&shared.service, &parts, &[Need::Catalog]).await?;
    let query = Parameters::of(&parts.uri)?;
    let number = |name| query.first(name).and_then(|written: &str| written.parse::<usize>().ok());
    let size = number("n").unwrap_or(PAGE).clamp(1, MAX_PAGE);
    let page = number("page").unwrap_or(1).max(1);
    let term = query.first("q").unwrap_or_default();
    let found = shared.service.access.visible(&caller, shared.registry.search(term).await?).await?;
    let total = found.len();
    let skipped = (page - 1).saturating_mul(size);
    let results: Vec<Value> = found.iter().skip(skipped).take(size).map(|name| result(name)).collect();
    Ok(Json(json!({
        "query": term,
        "num_results": total,
        "num_pages": total.div_ceil(size),
        "page": page,
        "page_size": size,
        "results": results,
    })))
}

/// Official images stand in `library/`, which is not shown.
fn result(name: &str) -> Value {
    let official = name.strip_prefix("library/");
    json!({
        "name": official.unwrap_or(name),
        "description": "",
        "star_count": 0,
        "is_official": official.is_some(),
        "is_automated": false,
    })
}
