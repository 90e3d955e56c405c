//! The first page: what is pulled most, official images, what changed last; on an empty hub, how to begin.

use askama::Template;
use strata_hub::records::{RepositoryFilter, RepositoryOrder};
use strata_hub::{SearchRequest, SearchSort};

use crate::failure::{Failure, Result};
use crate::site::{Frame, Visit, page};
use crate::views::{Badge, Card};

/// Repositories in a section.
const SECTION: u64 = 6;

struct Section {
    title: &'static str,
    cards: Vec<Card>,
    more: Option<&'static str>,
}

#[derive(Template)]
#[template(path = "home.html")]
struct Home {
    frame: Frame,
    sections: Vec<Section>,
    first_push: String,
}

/// `GET /`.
pub(crate) async fn home(visit: Visit) -> Result {
    let readable = visit.readable().await?;
    let list = |official, order| RepositoryFilter {
        official,
        order,
        readable: readable.clone(),
        limit: SECTION,
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
        ("Popular", list(false, RepositoryOrder::Trend), Some("/search?sort=pulls")),
        ("Official images", list(true, RepositoryOrder::Pulls), Some("/search?badge=official")),
        ("Recently updated", list(false, RepositoryOrder::Updated), Some("/search?sort=updated")),
    ] {
        let rows = visit.hub.first_repositories(&filter).await.map_err(|error| Failure::of(&visit, error))?;
        if !rows.is_empty() {
            let cards = rows.iter().map(|row| Card::of(row, visit.now)).collect();
            sections.push(Section { title, cards, more });
        }
    }
    let found = visit.hub.search(&verified, readable).await.map_err(|error| Failure::of(&visit, error))?;
    if !found.results.is_empty() {
        let cards = found.results.iter().map(|row| Card::of(row, visit.now)).collect();
        let publishers = Section { title: "Verified publishers", cards, more: Some("/search?badge=verified") };
        sections.insert(sections.len() - 1, publishers);
    }
    let name = visit.viewer().unwrap_or("NAMESPACE");
    let first_push =
        format!("docker tag IMAGE {host}/{name}/IMAGE && docker push {host}/{name}/IMAGE", host = visit.host);
    Ok(page(Home { frame: visit.frame(""), sections, first_push }))
}
