//! Searching for images: the old `/v1/search`, and Docker Hub's two newer forms for hosts without it.

use http::{HeaderName, HeaderValue, Method, StatusCode};
use serde::Deserialize;
use strata_model::{ErrorKind, Host};
use strata_transfer::{Result, TransferError};
use url::Url;

use crate::client::{Call, RegistryClient};
use crate::endpoint::Endpoint;
use crate::failure::{Failure, Outcome, request_line};
use crate::scope::Scopes;
use crate::transport::Message;

const MAX_ANSWER: usize = 8 << 20;
/// Where Docker Hub answers searches; its registry host does not.
const DOCKER_HUB_INDEX: &str = "https://index.docker.io/";
const DOCKER_HUB_WEB: &str = "https://hub.docker.com/";

/// An image found.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct FoundImage {
    /// The repository; Docker Hub's official images without `library/`.
    pub name: String,
    /// What its owner says of it.
    pub description: String,
    /// How many people like it.
    pub star_count: u64,
    /// Whether it is one of the curated images.
    pub is_official: bool,
    /// Whether it is built automatically; registries no longer say so.
    pub is_automated: bool,
    /// How often it was pulled, when the registry tells a number.
    pub pull_count: Option<u64>,
}

/// The three shapes of an answer; each has its own names for the same things.
#[derive(Deserialize)]
struct Answer {
    #[serde(default)]
    results: Vec<Entry>,
}

#[derive(Deserialize)]
struct Entry {
    #[serde(alias = "repo_name")]
    name: String,
    // Both may be there; the longer name is the newer form.
    description: Option<String>,
    short_description: Option<String>,
    star_count: Option<i64>,
    is_official: Option<bool>,
    is_automated: Option<bool>,
    badge: Option<String>,
    pull_count: Option<serde_json::Value>,
}

impl From<Entry> for FoundImage {
    fn from(entry: Entry) -> FoundImage {
        let is_official = entry.is_official.unwrap_or(entry.badge.as_deref() == Some("official"));
        let name = match entry.name.strip_prefix("library/") {
            Some(short) if is_official => short.to_owned(),
            _ => entry.name,
        };
        FoundImage {
            name,
            description: entry.description.or(entry.short_description).unwrap_or_default(),
            star_count: entry.star_count.and_then(|count| count.try_into().ok()).unwrap_or(0),
            is_official,
            is_automated: entry.is_automated.unwrap_or(false),
            pull_count: entry.pull_count.and_then(|count| count.as_u64()),
        }
    }
}

impl RegistryClient {
    /// Searches a registry; at most `limit` images, in the registry's order.
    ///
    /// # Errors
    /// `Unsupported` when the registry has no search.
    pub async fn search(&self, host: &Host, term: &str, limit: u32) -> Result<Vec<FoundImage>> {
        let mut refusal = None;
        for (endpoint, url) in self.search_addresses(host, term, limit).await? {
            match self.search_at(&endpoint, url).await {
                Ok(found) => return Ok(found.into_iter().take(limit as usize).collect()),
                Err(failure)
                    if matches!(failure.status, Some(StatusCode::NOT_FOUND | StatusCode::METHOD_NOT_ALLOWED)) =>
                {
                    refusal.get_or_insert(failure);
                }
                Err(failure) => return Err(failure.error),
            }
        }
        let cause = refusal.map(|failure| failure.error.message).unwrap_or_default();
        Err(TransferError::new(ErrorKind::Unsupported, format!("registry {host} has no search: {cause}")))
    }

    async fn search_addresses(&self, host: &Host, term: &str, limit: u32) -> Outcome<Vec<(Endpoint, Url)>> {
        let term = if host.is_docker_hub() { term.strip_prefix("library/").unwrap_or(term) } else { term };
        let (old, new) = if host.is_docker_hub() {
            let hub = |address: &str| Endpoint::registry(host, address.parse().expect("a constant address"));
            (hub(DOCKER_HUB_INDEX), hub(DOCKER_HUB_WEB))
        } else {
            let endpoint = self.endpoint(host).await?;
            (endpoint.clone(), endpoint)
        };
        let limit = limit.to_string();
        let address = |endpoint: &Endpoint, path: &str, [query, count]: [&str; 2]| {
            let mut url = endpoint.plain_url(path);
            url.query_pairs_mut().append_pair(query, term).append_pair(count, &limit);
            (endpoint.clone(), url)
        };
        Ok(vec![
            address(&old, "v1/search", ["q", "n"]),
            address(&new, "v2/search/repositories/", ["query", "page_size"]),
            address(&new, "api/search/v4", ["query", "size"]),
        ])
    }

    async fn search_at(&self, endpoint: &Endpoint, url: Url) -> Outcome<Vec<FoundImage>> {
        let message = Message::new(Method::GET, url)
            .with(HeaderName::from_static("x-docker-token"), HeaderValue::from_static("true"));
        let call = Call { endpoint, repository: String::new(), scopes: Scopes::search(), message, tries: None };
        let answer = self.fetch(&call, MAX_ANSWER).await?;
        let answer: Answer = serde_json::from_slice(&answer.body).map_err(|error| {
            let line = request_line(&Method::GET, &call.message.url);
            Failure::new(TransferError::new(ErrorKind::Unavailable, format!("{line}: {error}")))
        })?;
        Ok(answer.results.into_iter().map(FoundImage::from).collect())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn three_shapes_of_one_answer() {
        let old = r#"{"results":[{"name":"nginx","description":"d","star_count":3,"is_official":true,"is_automated":false}]}"#;
        let second = r#"{"count":1,"results":[{"repo_name":"nginx","short_description":"d","star_count":3,"pull_count":9,"is_official":true}]}"#;
        let third = r#"{"total":1,"results":[{"name":"library/nginx","short_description":"d","badge":"official","star_count":3,"pull_count":"1B+"}]}"#;
        for (text, pull_count) in [(old, None), (second, Some(9)), (third, None)] {
            let answer: Answer = serde_json::from_str(text).unwrap();
            let found: Vec<FoundImage> = answer.results.into_iter().map(FoundImage::from).collect();
            let expected = FoundImage {
                name: "nginx".into(),
                description: "d".into(),
                star_count: 3,
                is_official: true,
                is_automated: false,
                pull_count,
            };
            assert_eq!(found, [expected]);
        }
    }
}
