//! Search: every choice stands in the address.

use askama::Template;
use axum::Json;
use serde_json::{Value, json};
use strata_hub::records::{RepositoryFilter, RepositoryOrder};
use strata_hub::{SearchRequest, SearchSort};
use strata_model::ErrorKind;

use crate::failure::{Failure, Result};
use crate::site::{Frame, Values, Visit, page, see_other};
use crate::views::{Badge, Card, Choice, repository_path};

/// Results on a page.
const PAGE: u64 = 24;
/// Suggestions while typing.
const SUGGESTIONS: u64 = 8;
/// Popular ones that are shown where nothing was found.
const ALTERNATIVES: u64 = 6;
/// The last result that there is a page for.
const REACH: u64 = 1000;

const BADGES: [(&str, &str); 3] =
    [("official", "Official images"), ("verified", "Verified publishers"), ("community", "Community")];
const PLATFORMS: [(&str, &str); 6] = [
    ("", "Any"),
    ("amd64", "x86-64"),
    ("arm64", "ARM 64"),
    ("arm/v7", "ARM v7"),
    ("riscv64", "RISC-V 64"),
    ("s390x", "IBM Z"),
];
const SYSTEMS: [(&str, &str); 3] = [("", "Any"), ("linux", "Linux"), ("windows", "Windows")];
const KINDS: [(&str, &str); 6] = [
    ("", "Anything"),
    ("image", "Images"),
    ("helm", "Helm charts"),
    ("model", "Models"),
    ("wasm", "WebAssembly"),
    ("artifact", "Other artifacts"),
];
const SORTS: [(&str, &str, SearchSort); 4] = [
    ("", "Best match", SearchSort::Best),
    ("pulls", "Most pulled", SearchSort::Pulls),
    ("stars", "Most stars", SearchSort::Stars),
    ("updated", "Last updated", SearchSort::Updated),
];

#[derive(Template)]
#[template(path = "search.html")]
struct Search {
    frame: Frame,
    heading: String,
    badges: Vec<Choice>,
    platforms: Vec<Choice>,
    systems: Vec<Choice>,
    kinds: Vec<Choice>,
    categories: Vec<Choice>,
    stars: u64,
    sorts: Vec<Choice>,
    cards: Vec<Card>,
    /// Whether anything but the text says what is looked for.
    is_filtered: bool,
    /// What is popular, where nothing was found.
    alternatives: Vec<Card>,
    page: u64,
    pages: u64,
    previous: Option<String>,
    next: Option<String>,
}

/// `GET /search?q=&badge=&platform=&os=&kind=&category=&stars=&sort=&page=`. A tag that is named in full is gone to.
pub(crate) async fn search(visit: Visit) -> Result {
    let values = Values::of(visit.uri.query().unwrap_or_default());
    if let Some(address) = named_tag(&visit, values.first("q").trim()).await? {
        return Ok(see_other(&address, None));
    }
    let number = values.number("page").clamp(1, REACH.div_ceil(PAGE));
    let sort =
        SORTS.iter().find(|(value, ..)| *value == values.first("sort")).map_or(SearchSort::Best, |(_, _, sort)| *sort);
    let given = |name| values.all(name).filter(|value| !value.is_empty()).map(str::to_owned).collect();
    let request = SearchRequest {
        text: values.first("q").to_owned(),
        badges: given("badge"),
        stars: values.number("stars"),
        architectures: given("platform"),
        operating_systems: given("os"),
        kinds: given("kind"),
        categories: given("category"),
        order: sort,
        skip: (number - 1) * PAGE,
        limit: PAGE,
        ..SearchRequest::default()
    };
    let failed = |error| Failure::of(&visit, error);
    let readable = visit.readable().await?;
    let found = visit.hub.search(&request, readable.clone()).await.map_err(failed)?;
    let is_filtered = request.is_filtered();
    let alternatives = match found.total {
        0 => {
            let popular = RepositoryFilter {
                order: RepositoryOrder::Trend,
                readable,
                limit: ALTERNATIVES,
                ..RepositoryFilter::default()
            };
            visit.hub.first_repositories(&popular).await.map_err(failed)?
        }
        _ => Vec::new(),
    };
    let categories = visit.hub.categories().await.map_err(failed)?;
    let chosen = |name, value: &str, label: &str| Choice {
        value: value.to_owned(),
        label: label.to_owned(),
        is_chosen: values.all(name).any(|chosen| chosen == value),
    };
    let any = [("".to_owned(), "Any".to_owned())];
    let categories: Vec<(String, String)> =
        categories.into_iter().map(|category| (category.slug, category.name)).collect();
    let pages = found.total.min(REACH).div_ceil(PAGE).max(1);
    let address = |number: u64| format!("/search?{}", values.with("page", &number.to_string()));
    Ok(page(Search {
        frame: visit.frame(&request.text),
        heading: heading(&request.text, found.total),
        badges: BADGES.iter().map(|(value, label)| chosen("badge", value, label)).collect(),
        platforms: Choice::list(&PLATFORMS, &[values.first("platform")]),
        systems: Choice::list(&SYSTEMS, &[values.first("os")]),
        kinds: Choice::list(&KINDS, &[values.first("kind")]),
        categories: match categories.is_empty() {
            true => Vec::new(),
            false => any.iter().chain(&categories).map(|(value, label)| chosen("category", value, label)).collect(),
        },
        stars: request.stars,
        sorts: SORTS.iter().map(|(value, label, _)| chosen("sort", value, label)).collect(),
        cards: found.results.iter().map(|row| Card::of(row, visit.now)).collect(),
        is_filtered,
        alternatives: alternatives.iter().map(|row| Card::of(row, visit.now)).collect(),
        page: number,
        pages,
        previous: (number > 1).then(|| address(number - 1)),
        next: (number < pages).then(|| address(number + 1)),
    }))
}

/// The page of the tag that `name:tag` means, where there is one.
async fn named_tag(visit: &Visit, text: &str) -> Result<Option<String>> {
    let Some((name, tag)) = text.rsplit_once(':').filter(|(name, tag)| !name.is_empty() && !tag.contains('/')) else {
        return Ok(None);
    };
    let name = if name.contains('/') { name.to_owned() } else { format!("library/{name}") };
    let Some(row) = visit.repository(&name).await? else { return Ok(None) };
    match visit.hub.tag(&row, tag).await {
        Ok(tag) => Ok(Some(format!("{}/tags/{}", repository_path(&row), tag.tag))),
        Err(error) if error.kind() == ErrorKind::NotFound => Ok(None),
        Err(error) => Err(Failure::of(visit, error)),
    }
}

fn heading(text: &str, total: u64) -> String {
    let count = match total {
        0 => "No image".to_owned(),
        1 => "1 image".to_owned(),
        10_000.. => "10,000 images and more".to_owned(),
        _ => format!("{total} images"),
    };
    if text.is_empty() { count } else { format!("{count} for “{text}”") }
}

/// `GET /suggest?q=`: names that begin like this.
pub(crate) async fn suggest(visit: Visit) -> Result<Json<Value>> {
    let values = Values::of(visit.uri.query().unwrap_or_default());
    let request = SearchRequest {
        text: values.first("q").to_owned(),
        in_names: true,
        limit: SUGGESTIONS,
        ..SearchRequest::default()
    };
    let found =
        visit.hub.search(&request, visit.readable().await?).await.map_err(|error| Failure::of(&visit, error))?;
    let names = found.results.iter().map(|row| json!({ "name": row.familiar_name(), "url": repository_path(row) }));
    Ok(Json(names.collect()))
}
