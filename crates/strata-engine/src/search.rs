//! `search`: images on a registry.

use strata_model::Host;
use strata_registry_client::{FoundImage, RegistryClient};

use crate::{EngineError, Result};

const DEFAULT_LIMIT: i64 = 25;

/// What to look for.
#[derive(Clone, Debug)]
pub struct SearchRequest {
    /// A word, or a registry and a word: `HOST/WORD`.
    pub term: String,
    /// At most so many, 1 to 100; 0 for docker's default.
    pub limit: i64,
    /// Filters: `is-official`, `is-automated`, `stars`.
    pub filters: Vec<(String, String)>,
}

/// Searches a registry, Docker Hub when none is named.
///
/// # Errors
/// `Invalid` in docker's words for bad limits and filters; as the registry says.
pub async fn search(client: &RegistryClient, request: &SearchRequest) -> Result<Vec<FoundImage>> {
    let (host, term) = split_term(&request.term)?;
    let limit = match request.limit {
        0 => DEFAULT_LIMIT,
        limit if (1..=100).contains(&limit) => limit,
        limit => return Err(EngineError::invalid(format!("limit {limit} is outside the range of [1, 100]"))),
    };
    let filter = Filter::parse(&request.filters)?;
    let mut found = client.search(&host, &term, u32::try_from(limit).unwrap_or(u32::MAX)).await?;
    found.retain(|image| filter.accepts(image));
    Ok(found)
}

/// The registry that a search asks.
///
/// # Errors
/// `Invalid` in docker's words.
pub fn search_host(term: &str) -> Result<Host> {
    Ok(split_term(term)?.0)
}

/// The registry and what is looked for there.
fn split_term(text: &str) -> Result<(Host, String)> {
    if text.contains("://") {
        return Err(EngineError::invalid(format!(
            "invalid repository name: repository name ({text}) should not have a scheme"
        )));
    }
    let is_host = |first: &str| first == "localhost" || first.contains(['.', ':']);
    let (host, term) = match text.split_once('/') {
        Some((first, rest)) if is_host(first) => (first, rest),
        _ => ("docker.io", text),
    };
    let host = host.parse::<Host>().map_err(|cause| EngineError::invalid(cause.to_string()))?;
    Ok((host, term.to_owned()))
}

#[derive(Debug, Default)]
struct Filter {
    is_official: Option<bool>,
    is_automated: Option<bool>,
    stars: u64,
}

impl Filter {
    fn parse(given: &[(String, String)]) -> Result<Filter> {
        let mut filter = Filter::default();
        let invalid = |key: &str, value: &str| EngineError::invalid(format!("invalid filter '{key}=[{value}]'"));
        let parse_bool = |key: &str, value: &str| match value {
            "true" | "1" => Ok(true),
            "false" | "0" => Ok(false),
            _ => Err(invalid(key, value)),
        };
        for (key, value) in given {
            match key.as_str() {
                "is-official" => filter.is_official = Some(parse_bool(key, value)?),
                "is-automated" => filter.is_automated = Some(parse_bool(key, value)?),
                "stars" => {
                    let stars: u64 = value.parse().map_err(|_| {
                        EngineError::invalid(format!(
                            "invalid filter 'stars={value}': strconv.Atoi: parsing {value:?}: invalid syntax"
                        ))
                    })?;
                    filter.stars = filter.stars.max(stars);
                }
                _ => return Err(EngineError::invalid(format!("invalid filter '{key}'"))),
            }
        }
        Ok(filter)
    }

    fn accepts(&self, image: &FoundImage) -> bool {
        self.is_official.is_none_or(|wanted| wanted == image.is_official)
            && self.is_automated.is_none_or(|wanted| wanted == image.is_automated)
            && image.star_count >= self.stars
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn terms_with_a_registry() {
        for (text, host, term) in [
            ("redis", "docker.io", "redis"),
            ("me/app", "docker.io", "me/app"),
            ("registry.example.com/me/app", "registry.example.com", "me/app"),
            ("localhost:5000/app", "localhost:5000", "app"),
        ] {
            let (found, rest) = split_term(text).unwrap();
            assert_eq!((found.as_str(), rest.as_str()), (host, term), "{text}");
        }
        let refused = split_term("https://x").unwrap_err().to_string();
        assert!(refused.ends_with("repository name (https://x) should not have a scheme"), "{refused}");
    }
}
