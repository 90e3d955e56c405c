//! Search in the shapes that clients know: `/v1/search` for `docker search` and `podman search`,
//! `/v2/search/repositories/`, `/api/search/v4`; and `/api/v1/search/suggestions` while typing.

use std::collections::BTreeSet;

use axum::Json;
use axum::extract::State;
use http::Uri;
use http::header::HeaderName;
use serde::Serialize;
use strata_hub::records::{CategoryRow, RepositoryRow};
use strata_hub::{Hub, SearchRequest, SearchResults, SearchSort};
use utoipa::ToSchema;

use super::repositories::{Category, badge, category};
use crate::endpoints::Endpoints;
use crate::error::Result;
use crate::identity::{Client, MaybeSigned};
use crate::input::{Page, Query};
use crate::output::{List, time};

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

pub(super) fn endpoints() -> Endpoints {
    Endpoints::about("search")
        .get("/v1/_ping", "Whether search is here (Docker)", ping)
        .get("/v1/search", "Search (docker search)", old)
        .get("/v2/search/repositories", "Search (Docker Hub's older form)", repositories)
        .get("/api/search/v4", "Search with filters and order (Docker Hub's newer form)", newer)
        .get("/api/v1/search/suggestions", "Names that begin or sound like this", suggestions)
}

/// What old clients want to see before they search.
#[derive(Serialize, ToSchema)]
struct Ping {
    standalone: bool,
}

async fn ping() -> ([(HeaderName, &'static str); 1], Json<Ping>) {
    ([(STANDALONE, "true")], Json(Ping { standalone: true }))
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

/// What `docker search` reads.
#[derive(Serialize, ToSchema)]
struct OldResults {
    query: String,
    num_results: u64,
    num_pages: u64,
    page: u64,
    page_size: u64,
    results: Vec<OldResult>,
}

/// A repository that was found.
#[derive(Serialize, ToSchema)]
struct OldResult {
    name: String,
    description: String,
    star_count: u64,
    is_official: bool,
    is_automated: bool,
}

/// `GET /v1/search?q=&n=&page=`.
async fn old(State(hub): State<Hub>, asking: MaybeSigned, query: Query) -> Result<Json<OldResults>> {
    let size = query.number("n").ok().flatten().unwrap_or(OLD_PAGE).clamp(1, MAX_PAGE);
    let page = query.number("page").ok().flatten().unwrap_or(1).max(1);
    let text = query.first("q").unwrap_or_default().to_owned();
    let request =
        SearchRequest { text, skip: (page - 1).saturating_mul(size), limit: size, ..SearchRequest::default() };
    let found = search(&hub, &asking, &request).await?;
    let result = |row: RepositoryRow| OldResult {
        name: row.familiar_name(),
        description: row.description,
        star_count: row.stars,
        is_official: row.is_official,
        is_automated: false,
    };
    Ok(Json(OldResults {
        query: request.text,
        num_results: found.total,
        num_pages: found.total.div_ceil(size),
        page,
        page_size: size,
        results: found.results.into_iter().map(result).collect(),
    }))
}

/// A repository that was found.
#[derive(Serialize, ToSchema)]
struct RepositoryResult {
    repo_name: String,
    short_description: String,
    star_count: u64,
    pull_count: u64,
    repo_owner: &'static str,
    is_automated: bool,
    is_official: bool,
}

/// `GET /v2/search/repositories/?query=&page=&page_size=`.
async fn repositories(
    State(hub): State<Hub>,
    asking: MaybeSigned,
    (client, uri, query): (Client, Uri, Query),
) -> Result<List<RepositoryResult>> {
    let page = Page::of(&query)?;
    let text = query.first("query").unwrap_or_default().to_owned();
    let request = SearchRequest { text, skip: page.skip(), limit: page.size, ..SearchRequest::default() };
    let found = search(&hub, &asking, &request).await?;
    let result = |row: RepositoryRow| RepositoryResult {
        repo_name: row.familiar_name(),
        short_description: row.description,
        star_count: row.stars,
        pull_count: row.pulls,
        repo_owner: "",
        is_automated: false,
        is_official: row.is_official,
    };
    let results = found.results.into_iter().map(result).collect();
    Ok(List::page(&client.origin, &uri, page, found.total, results))
}

/// `GET /api/search/v4`.
async fn newer(State(hub): State<Hub>, asking: MaybeSigned, query: Query) -> Result<Json<Results>> {
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
    let results = found.results.into_iter().map(|row| result(row, &categories)).collect();
    Ok(Json(Results { total: found.total, results }))
}

/// What the newer search finds.
#[derive(Serialize, ToSchema)]
struct Results {
    total: u64,
    results: Vec<SearchResult>,
}

/// A repository that was found.
#[derive(Serialize, ToSchema)]
struct SearchResult {
    id: String,
    name: String,
    slug: String,
    r#type: String,
    publisher: Publisher,
    created_at: String,
    updated_at: String,
    short_description: String,
    /// `official`, `verified_publisher` or `none`.
    badge: &'static str,
    star_count: u64,
    /// Rounded down: `10K+`.
    pull_count: String,
    operating_systems: Vec<Label>,
    architectures: Vec<Label>,
    logo_url: Logo,
    extension_reviewed: bool,
    categories: Vec<Category>,
    archived: bool,
}

/// The account that a repository belongs to.
#[derive(Serialize, ToSchema)]
struct Publisher {
    id: String,
    name: String,
}

/// A word, and how people read it.
#[derive(Serialize, ToSchema)]
struct Label {
    name: String,
    label: String,
}

/// There are no logos here.
#[derive(Default, Serialize, ToSchema)]
struct Logo {
    large: Option<String>,
    small: Option<String>,
}

fn result(row: RepositoryRow, categories: &[CategoryRow]) -> SearchResult {
    let labelled = |index: usize| -> Vec<Label> {
        let names: BTreeSet<&str> =
            row.platforms.iter().filter_map(|platform| platform.split('/').nth(index)).collect();
        let label =
            |name: &str| LABELS.iter().find(|(word, _)| *word == name).map_or(name, |(_, label)| label).to_owned();
        names.into_iter().map(|name| Label { name: name.to_owned(), label: label(name) }).collect()
    };
    SearchResult {
        id: row.full_name(),
        name: row.full_name(),
        slug: row.familiar_name(),
        r#type: row.kinds.first().map_or("image", String::as_str).to_owned(),
        publisher: Publisher { id: row.namespace.clone(), name: row.namespace.clone() },
        created_at: time(row.registered),
        updated_at: time(row.last_updated),
        badge: badge(&row),
        star_count: row.stars,
        pull_count: rounded(row.pulls),
        operating_systems: labelled(0),
        architectures: labelled(1),
        logo_url: Logo::default(),
        extension_reviewed: false,
        categories: row.categories.iter().map(|slug| category(slug, categories)).collect(),
        archived: false,
        short_description: row.description,
    }
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

/// What may be meant.
#[derive(Serialize, ToSchema)]
struct Suggestions {
    query: String,
    /// The tag that was typed after a colon.
    tag: Option<String>,
    results: Vec<Suggestion>,
}

/// A repository that may be meant.
#[derive(Serialize, ToSchema)]
struct Suggestion {
    name: String,
    full_name: String,
    description: String,
    /// `official`, `verified_publisher` or `none`.
    badge: &'static str,
}

/// What may be meant by what was typed so far: `GET /api/v1/search/suggestions?q=`.
async fn suggestions(State(hub): State<Hub>, asking: MaybeSigned, query: Query) -> Result<Json<Suggestions>> {
    let text = query.first("q").unwrap_or_default().to_owned();
    let request = SearchRequest { text, in_names: true, limit: SUGGESTIONS, ..SearchRequest::default() };
    let found = search(&hub, &asking, &request).await?;
    let suggestion = |row: RepositoryRow| Suggestion {
        name: row.familiar_name(),
        full_name: row.full_name(),
        badge: badge(&row),
        description: row.description,
    };
    let results = found.results.into_iter().map(suggestion).collect();
    Ok(Json(Suggestions { query: request.text, tag: found.tag, results }))
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
