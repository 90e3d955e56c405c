//! The first page: what is pulled most, official images, what changed last; on an empty hub, how to begin.

use askama::Template;
use strata_hub::records::{RepositoryFilter, RepositoryOrder};
use strata_hub::{SearchRequest, SearchSort};

use crate::failure::{Failure, Result};
use crate::site::{Frame, Visit, page};
use crate::views::{Badge, Card, Step};

/// Repositories in a section, and in one that has only their names.
const SECTION: u64 = 6;
const NAMES: u64 = 18;

struct Section {
    title: &'static str,
    cards: Vec<Card>,
    /// Whether names are enough.
    is_of_names: bool,
    more: &'static str,
}

#[derive(Template)]
#[template(path = "home.html")]
struct Home {
    frame: Frame,
    categories: Vec<Step>,
    sections: Vec<Section>,
    first_push: String,
}

/// `GET /`.
pub(crate) async fn home(visit: Visit) -> Result {
    let readable = visit.readable().await?;
    let failed = |error| Failure::of(&visit, error);
    let list = |official, order| RepositoryFilter {
        official,
        order,
        readable: readable.clone(),
        limit: if official { NAMES } else { SECTION },
        ..RepositoryFilter::default()
    };
    let verified = SearchRequest {
        badges: vec!["verified".to_owned()],
        order: SearchSort::Pulls,
        limit: SECTION,
        ..SearchRequest::default()
    };
    let mut sections = Vec::new();
    for (title, filter, more) in [
        ("Popular", list(false, RepositoryOrder::Trend), "/search?sort=pulls"),
        ("Official images", list(true, RepositoryOrder::Pulls), "/search?badge=official"),
        ("Recently updated", list(false, RepositoryOrder::Updated), "/search?sort=updated"),
    ] {
        let rows = visit.hub.first_repositories(&filter).await.map_err(failed)?;
        if !rows.is_empty() {
            let cards = rows.iter().map(|row| Card::of(row, visit.now)).collect();
            sections.push(Section { title, cards, is_of_names: filter.official, more });
        }
    }
    let found = visit.hub.search(&verified, readable).await.map_err(failed)?;
    if !found.results.is_empty() {
        let cards = found.results.iter().map(|row| Card::of(row, visit.now)).collect();
        let title = "Verified publishers";
        let publishers = Section { title, cards, is_of_names: false, more: "/search?badge=verified" };
        sections.insert(sections.len() - 1, publishers);
    }
    let categories = match sections.is_empty() {
        true => Vec::new(),
        false => visit.hub.categories().await.map_err(failed)?,
    };
    let categories = categories.into_iter().map(|category| {
        let address = format!("/search?category={}", category.slug);
        Step::to(category.name, address)
    });
    let categories = categories.collect();
    let name = visit.viewer().unwrap_or("NAMESPACE");
    let first_push =
        format!("docker tag IMAGE {host}/{name}/IMAGE && docker push {host}/{name}/IMAGE", host = visit.host);
    Ok(page(Home { frame: visit.frame(""), categories, sections, first_push }))
}
