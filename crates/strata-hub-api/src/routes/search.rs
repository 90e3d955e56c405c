//! Search in the shapes that clients know: `/v1/search` for `docker search` and `podman search`,
//! `/v2/search/repositories/`, `/api/search/v4`; and `/api/v1/search/suggestions` while typing.

use std::collections::BTreeSet;

use axum::extract::State;
use axum::response::{IntoResponse as _, Response};
use axum::routing::get;
use axum::{Json, Router};
use http::Uri;
use http::header::HeaderName;
use serde_json::{Value, json};
use strata_hub::records::{CategoryRow, RepositoryRow};
use strata_hub::{Hub, SearchRequest, SearchResults, SearchSort};

use super::both;
use super::repositories::badge;
use crate::error::Result;
use crate::identity::{Client, MaybeSigned};
use crate::input::{Page, Query};
use crate::output::{self, time};

const STANDALONE: HeaderName = HeaderName::from_static("x-docker-registry-standalone");
/// Results of the old protocol, unless the client says otherwise, and at most.
const OLD_PAGE: u64 = 25;
const MAX_PAGE: u64 = 100;
const SUGGESTIONS: u64 = 8;

/// Words of the newer search for what has another name here.
const BADGES: [(&str, &str); 5] = [
    ("official", "official"),
    ("verified_publisher", "verified"),
    ("verified", "verified"),
    ("community", "community"),
    ("none", "community"),
];
/// What people call operating systems and architectures; others are called as they are written.
const LABELS: [(&str, &str); 9] = [
    ("linux", "Linux"),
    ("windows", "Windows"),
    ("amd64", "x86-64"),
    ("386", "x86"),
    ("arm", "ARM"),
    ("arm64", "ARM 64"),
    ("ppc64le", "PowerPC 64 LE"),
    ("riscv64", "RISC-V 64"),
    ("s390x", "IBM Z"),
];

pub(super) fn router() -> Router<Hub> {
    Router::new()
        .merge(both("/v1/_ping", get(ping)))
        .merge(both("/v1/search", get(old)))
        .merge(both("/v2/search/repositories", get(repositories)))
        .merge(both("/api/search/v4", get(newer)))
        .merge(both("/api/v1/search/suggestions", get(suggestions)))
}

async fn ping() -> Response {
    ([(STANDALONE, "true")], Json(json!({ "standalone": true }))).into_response()
}

/// All values of a parameter, which may come several times or with commas between values.
fn values(query: &Query, name: &str) -> Vec<String> {
    let values = query.all(name).flat_map(|value| value.split(','));
    values.map(str::trim).filter(|value| !value.is_empty()).map(str::to_owned).collect()
}

async fn search(hub: &Hub, asking: &MaybeSigned, request: &SearchRequest) -> Result<SearchResults> {
    let readable = hub.reach_of(asking.0.as_ref()).await?.readable();
    Ok(hub.search(request, readable).await?)
}

/// `GET /v1/search?q=&n=&page=`.
async fn old(State(hub): State<Hub>, asking: MaybeSigned, query: Query) -> Result {
    let size = query.number("n").ok().flatten().unwrap_or(OLD_PAGE).clamp(1, MAX_PAGE);
    let page = query.number("page").ok().flatten().unwrap_or(1).max(1);
    let text = query.first("q").unwrap_or_default().to_owned();
    let request =
        SearchRequest { text, skip: (page - 1).saturating_mul(size), limit: size, ..SearchRequest::default() };
    let found = search(&hub, &asking, &request).await?;
    let result = |row: &RepositoryRow| {
        json!({
            "name": row.familiar_name(),
            "description": row.description,
            "star_count": row.stars,
            "is_official": row.is_official,
            "is_automated": false,
        })
    };
    Ok(Json(json!({
        "query": request.text,
        "num_results": found.total,
        "num_pages": found.total.div_ceil(size),
        "page": page,
        "page_size": size,
        "results": found.results.iter().map(result).collect::<Vec<_>>(),
    }))
    .into_response())
}

/// `GET /v2/search/repositories/?query=&page=&page_size=`.
async fn repositories(
    State(hub): State<Hub>,
    asking: MaybeSigned,
    (client, uri, query): (Client, Uri, Query),
) -> Result {
    let page = Page::of(&query)?;
    let text = query.first("query").unwrap_or_default().to_owned();
    let request = SearchRequest { text, skip: page.skip(), limit: page.size, ..SearchRequest::default() };
    let found = search(&hub, &asking, &request).await?;
    let result = |row: &RepositoryRow| {
        json!({
            "repo_name": row.familiar_name(),
            "short_description": row.description,
            "star_count": row.stars,
            "pull_count": row.pulls,
            "repo_owner": "",
            "is_automated": false,
            "is_official": row.is_official,
        })
    };
    let results = found.results.iter().map(result).collect();
    Ok(Json(output::list(&client.origin, &uri, page, found.total, results)).into_response())
}

/// `GET /api/search/v4`.
async fn newer(State(hub): State<Hub>, asking: MaybeSigned, query: Query) -> Result {
    let badges = values(&query, "badges");
    let known = badges.iter().map(|badge| {
        BADGES.iter().find(|(word, _)| word == badge).map_or_else(|| badge.clone(), |(_, name)| (*name).to_owned())
    });
    let mut kinds = values(&query, "type");
    kinds.extend(values(&query, "kinds"));
    let request = SearchRequest {
        text: query.first("query").unwrap_or_default().to_owned(),
        in_names: false,
        badges: known.collect(),
        stars: query.number("stars")?.unwrap_or(0),
        operating_systems: values(&query, "operating_systems"),
        architectures: values(&query, "architectures"),
        categories: values(&query, "categories"),
        kinds,
        order: match query.first("sort") {
            Some("pull_count") => SearchSort::Pulls,
            Some("star_count") => SearchSort::Stars,
            Some("updated_at") => SearchSort::Updated,
            _ => SearchSort::Best,
        },
        skip: query.number("from")?.unwrap_or(0),
        limit: query.number("size")?.unwrap_or(OLD_PAGE).clamp(1, MAX_PAGE),
    };
    let found = search(&hub, &asking, &request).await?;
    let categories = hub.categories().await?;
    let results: Vec<Value> = found.results.iter().map(|row| result(row, &categories)).collect();
    Ok(Json(json!({ "total": found.total, "results": results })).into_response())
}

fn result(row: &RepositoryRow, categories: &[CategoryRow]) -> Value {
    let parts = |index: usize| -> BTreeSet<&str> {
        row.platforms.iter().filter_map(|platform| platform.split('/').nth(index)).collect()
    };
    let labelled = |names: BTreeSet<&str>| -> Vec<Value> {
        let label =
            |name: &str| LABELS.iter().find(|(word, _)| *word == name).map_or(name, |(_, label)| label).to_owned();
        names.into_iter().map(|name| json!({ "name": name, "label": label(name) })).collect()
    };
    let category = |slug: &String| {
        let name = categories.iter().find(|category| category.slug == *slug).map_or(slug, |category| &category.name);
        json!({ "slug": slug, "name": name })
    };
    json!({
        "id": row.full_name(),
        "name": row.full_name(),
        "slug": row.familiar_name(),
        "type": row.kinds.first().map_or("image", String::as_str),
        "publisher": { "id": row.namespace, "name": row.namespace },
        "created_at": time(row.registered),
        "updated_at": time(row.last_updated),
        "short_description": row.description,
        "badge": badge(row),
        "star_count": row.stars,
        "pull_count": rounded(row.pulls),
        "operating_systems": labelled(parts(0)),
        "architectures": labelled(parts(1)),
        "logo_url": { "large": null, "small": null },
        "extension_reviewed": false,
        "categories": row.categories.iter().map(category).collect::<Vec<_>>(),
        "archived": false,
    })
}

/// `1B+`, `50M+`, `10K+`; small counts as they are.
fn rounded(count: u64) -> String {
    const STEPS: [u64; 9] = [1, 5, 10, 50, 100, 500, 1000, 5000, 10_000];
    let units = [(1_000_000_000, "B"), (1_000_000, "M"), (1000, "K")];
    for (unit, letter) in units {
        if let Some(step) = STEPS.iter().rfind(|step| count >= **step * unit) {
            return format!("{step}{letter}+");
        }
    }
    count.to_string()
}

/// What may be meant by what was typed so far: `GET /api/v1/search/suggestions?q=`.
async fn suggestions(State(hub): State<Hub>, asking: MaybeSigned, query: Query) -> Result {
    let text = query.first("q").unwrap_or_default().to_owned();
    let request = SearchRequest { text, in_names: true, limit: SUGGESTIONS, ..SearchRequest::default() };
    let found = search(&hub, &asking, &request).await?;
    let suggestion = |row: &RepositoryRow| json!({ "name": row.familiar_name(), "full_name": row.full_name(), "description": row.description, "badge": badge(row) });
    let results: Vec<Value> = found.results.iter().map(suggestion).collect();
    Ok(Json(json!({ "query": request.text, "tag": found.tag, "results": results })).into_response())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn counts_are_rounded_down() {
        for (count, expected) in [
            (0, "0"),
            (999, "999"),
            (1000, "1K+"),
            (9_999, "5K+"),
            (10_000, "10K+"),
            (50_123_456, "50M+"),
            (11_882_301_384, "10B+"),
        ] {
            assert_eq!(rounded(count), expected);
        }
    }
}
