//! What a registry says about its limit of pulls (Docker Hub's headers).

use http::HeaderMap;

/// A limit of pulls as last seen.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct RateLimit {
    /// Pulls allowed within the window.
    pub limit: Option<u64>,
    /// Pulls left.
    pub remaining: Option<u64>,
    /// Length of the window in seconds.
    pub window_seconds: Option<u64>,
    /// Who is counted: an address or the identifier of a user.
    pub source: Option<String>,
}

impl RateLimit {
    /// Reads `ratelimit-limit`, `ratelimit-remaining` and `docker-ratelimit-source`; `None` when there are none.
    pub(crate) fn from_headers(headers: &HeaderMap) -> Option<RateLimit> {
        let text = |name: &str| headers.get(name).and_then(|value| value.to_str().ok());
        let count = |text: &str| text.split(';').next()?.trim().parse().ok();
        let window =
            |text: &str| text.split(';').skip(1).find_map(|part| part.trim().strip_prefix("w=")?.trim().parse().ok());
        let (limit, remaining) = (text("ratelimit-limit"), text("ratelimit-remaining"));
        if limit.is_none() && remaining.is_none() {
            return None;
        }
        Some(RateLimit {
            limit: limit.and_then(count),
            remaining: remaining.and_then(count),
            window_seconds: limit.and_then(window).or_else(|| remaining.and_then(window)),
            source: text("docker-ratelimit-source").map(str::to_owned),
        })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn headers_of_docker_hub() {
        let mut headers = HeaderMap::new();
        assert_eq!(RateLimit::from_headers(&headers), None);
        headers.insert("ratelimit-limit", "100;w=21600".parse().unwrap());
        headers.insert("ratelimit-remaining", "20".parse().unwrap());
        headers.insert("docker-ratelimit-source", "192.0.2.1".parse().unwrap());
        let expected = RateLimit {
            limit: Some(100),
            remaining: Some(20),
            window_seconds: Some(21600),
            source: Some("192.0.2.1".into()),
        };
        assert_eq!(RateLimit::from_headers(&headers), Some(expected));
    }
}
