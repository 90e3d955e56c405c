//! The parsers of what others send, as functions of bytes, for `strata-fuzz`. No part of the crate's interface.

use http::header::{CONTENT_RANGE, LINK, WWW_AUTHENTICATE};
use http::{HeaderMap, HeaderName, HeaderValue};

use crate::challenge::Challenge;
use crate::docker_config::DockerConfig;
use crate::rate_limit::RateLimit;
use crate::{failure, listing, pull};

/// `WWW-Authenticate` headers.
pub fn challenge<'a>(values: impl Iterator<Item = &'a [u8]>) {
    let mut headers = HeaderMap::new();
    for value in values.take(100).filter_map(|value| HeaderValue::from_bytes(value).ok()) {
        headers.append(WWW_AUTHENTICATE, value);
    }
    if let Some(Challenge::Bearer { realm, .. }) = Challenge::choose(&headers) {
        assert!(!realm.is_empty());
    }
}

/// One value as each of the headers that are parsed.
pub fn response_headers(value: &[u8]) {
    let Ok(value) = HeaderValue::from_bytes(value) else { return };
    let limits = ["ratelimit-limit", "ratelimit-remaining"].map(HeaderName::from_static);
    let headers: HeaderMap =
        [CONTENT_RANGE, LINK].into_iter().chain(limits).map(|name| (name, value.clone())).collect();
    pull::range_start(&headers);
    listing::next_link(&headers);
    RateLimit::from_headers(&headers);
    failure::plain_text(&headers, value.as_bytes());
    if let Ok(text) = value.to_str() {
        failure::parse_retry_after(text);
    }
}

/// The body of a refusal.
pub fn error_body(body: &[u8]) {
    failure::parse_entries(body);
    if let Some(text) = failure::plain_text(&HeaderMap::new(), body) {
        assert!(!text.contains(char::is_control));
    }
}

/// A `config.json`; its credentials survive being set and read again.
pub fn docker_config(text: &str) {
    let Ok(config) = DockerConfig::parse(text, "fuzz") else { return };
    let mut written = config.clone();
    for key in config.keys() {
        config.program_for(key);
        if let Some(credentials) = config.credentials(key) {
            written.set(key, &credentials);
        }
    }
    let again = DockerConfig::parse(&written.text(), "fuzz").expect("a document just written is read");
    assert!(config.keys().eq(again.keys()));
    assert!(config.own_programs().eq(again.own_programs()));
}
