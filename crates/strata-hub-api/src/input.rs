//! What requests carry: JSON documents, pages of lists, times.

use axum::body::Bytes;
use axum::extract::{FromRequest, FromRequestParts, Request};
use http::StatusCode;
use http::request::Parts;
use serde::de::DeserializeOwned;
use url::form_urlencoded;

use crate::error::Failure;

const DEFAULT_PAGE_SIZE: u64 = 10;
const LARGEST_PAGE_SIZE: u64 = 100;

/// A request that is malformed.
pub(crate) fn malformed(message: impl Into<String>) -> Failure {
    Failure::new(StatusCode::BAD_REQUEST, message)
}

/// A JSON document, whatever its `Content-Type` says.
pub(crate) struct Input<T>(pub(crate) T);

impl<T: DeserializeOwned, S: Send + Sync> FromRequest<S> for Input<T> {
    type Rejection = Failure;

    async fn from_request(request: Request, state: &S) -> Result<Input<T>, Failure> {
        let bytes = Bytes::from_request(request, state).await;
        let bytes = bytes.map_err(|cause| Failure::new(cause.status(), format!("reading the request: {cause}")))?;
        serde_json::from_slice(&bytes).map(Input).map_err(|cause| malformed(format!("the request's document: {cause}")))
    }
}

/// The query of a request, decoded; parameters may come more than once.
pub(crate) struct Query(Vec<(String, String)>);

impl Query {
    pub(crate) fn parse(text: &str) -> Query {
        Query(form_urlencoded::parse(text.as_bytes()).into_owned().collect())
    }

    /// The first value of a parameter that is not empty.
    pub(crate) fn first(&self, name: &str) -> Option<&str> {
        self.all(name).find(|value| !value.is_empty())
    }

    /// All values of a parameter.
    pub(crate) fn all(&self, name: &str) -> impl Iterator<Item = &str> {
        self.0.iter().filter(move |(known, _)| known == name).map(|(_, value)| value.as_str())
    }

    /// A time parameter in RFC 3339, as nanoseconds since 1970.
    pub(crate) fn time(&self, name: &'static str) -> Result<Option<i64>, Failure> {
        self.first(name).map(|text| time(name, text)).transpose()
    }

    /// A parameter that is a number.
    pub(crate) fn number(&self, name: &'static str) -> Result<Option<u64>, Failure> {
        let parse = |text: &str| text.parse().map_err(|_| malformed(format!("{name}: {text:?} is no number")));
        self.first(name).map(parse).transpose()
    }
}

impl<S: Sync> FromRequestParts<S> for Query {
    type Rejection = std::convert::Infallible;

    async fn from_request_parts(parts: &mut Parts, _state: &S) -> Result<Query, Self::Rejection> {
        Ok(Query::parse(parts.uri.query().unwrap_or_default()))
    }
}

/// Which part of a list is wanted: `page` (from 1) and `page_size`.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Page {
    pub(crate) number: u64,
    pub(crate) size: u64,
}

impl Page {
    pub(crate) fn of(query: &Query) -> Result<Page, Failure> {
        Page::with_default(query, DEFAULT_PAGE_SIZE)
    }

    pub(crate) fn with_default(query: &Query, size: u64) -> Result<Page, Failure> {
        let number = query.number("page")?.unwrap_or(1);
        let size = query.number("page_size")?.unwrap_or(size);
        if number == 0 || size == 0 {
            return Err(malformed("page and page_size begin at 1"));
        }
        Ok(Page { number, size: size.min(LARGEST_PAGE_SIZE) })
    }

    /// Entries before this page.
    pub(crate) fn skip(&self) -> u64 {
        (self.number - 1).saturating_mul(self.size)
    }

    /// This page of a list that is in memory.
    pub(crate) fn cut<T>(&self, entries: Vec<T>) -> impl Iterator<Item = T> {
        let whole = |number: u64| usize::try_from(number).unwrap_or(usize::MAX);
        entries.into_iter().skip(whole(self.skip())).take(whole(self.size))
    }
}

impl<S: Sync> FromRequestParts<S> for Page {
    type Rejection = Failure;

    async fn from_request_parts(parts: &mut Parts, _state: &S) -> Result<Page, Failure> {
        Page::of(&Query::parse(parts.uri.query().unwrap_or_default()))
    }
}

/// A time in RFC 3339 as nanoseconds since 1970.
pub(crate) fn time(what: &str, text: &str) -> Result<i64, Failure> {
    let parsed = text.parse::<jiff::Timestamp>().ok().and_then(|time| i64::try_from(time.as_nanosecond()).ok());
    parsed.ok_or_else(|| malformed(format!("{what}: {text:?} is no time in RFC 3339")))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn pages_begin_at_one() {
        for (query, expected) in [
            ("", Some((1, 10))),
            ("page=3&page_size=25", Some((3, 25))),
            ("page_size=1000", Some((1, 100))),
            ("page=0", None),
            ("page_size=0", None),
            ("page=-1", None),
            ("page=x", None),
        ] {
            let page = Page::of(&Query::parse(query)).ok().map(|page| (page.number, page.size));
            assert_eq!(page, expected, "{query}");
        }
        let far = Page { number: u64::MAX, size: 100 };
        assert_eq!(far.cut(vec![1, 2, 3]).count(), 0);
        assert_eq!(Page { number: 2, size: 2 }.cut(vec![1, 2, 3]).collect::<Vec<_>>(), [3]);
    }

    #[test]
    fn times() {
        assert_eq!(time("from", "1970-01-01T00:00:01Z").ok(), Some(1_000_000_000));
        assert!(time("from", "yesterday").is_err());
    }
}
