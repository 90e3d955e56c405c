//! What answers are made of: times, pages of lists.

use axum::Json;
use axum::response::{IntoResponse, Response};
use http::Uri;
use serde::Serialize;
use url::form_urlencoded;
use utoipa::ToSchema;

use crate::identity::Client;
use crate::input::Page;

/// Nanoseconds since 1970 in RFC 3339 with microseconds.
pub(crate) fn time(nanoseconds: i64) -> String {
    match jiff::Timestamp::from_nanosecond(i128::from(nanoseconds)) {
        Ok(time) => format!("{time:.6}"),
        Err(_) => String::new(),
    }
}

/// A page of a list.
#[derive(Serialize, ToSchema)]
pub(crate) struct List<T> {
    /// Entries of all pages.
    count: u64,
    /// The address of the next page.
    next: Option<String>,
    /// The address of the page before.
    previous: Option<String>,
    results: Vec<T>,
}

impl<T> List<T> {
    /// A list that is one page.
    pub(crate) fn whole(results: Vec<T>) -> List<T> {
        List { count: results.len() as u64, next: None, previous: None, results }
    }

    /// A page of a list that is so long.
    pub(crate) fn page(origin: &str, uri: &Uri, page: Page, count: u64, results: Vec<T>) -> List<T> {
        let is_last = page.skip().saturating_add(page.size) >= count;
        let next = (!is_last).then(|| address(origin, uri, page, page.number + 1));
        let previous = (page.number > 1).then(|| address(origin, uri, page, page.number - 1));
        List { count, next, previous, results }
    }

    /// The page of a list that is in memory.
    pub(crate) fn cut<R>((client, uri, page): Place, entries: Vec<R>, shown: impl Fn(R) -> T) -> List<T> {
        let count = entries.len() as u64;
        List::page(&client.origin, &uri, page, count, page.cut(entries).map(shown).collect())
    }
}

impl<T: Serialize> IntoResponse for List<T> {
    fn into_response(self) -> Response {
        Json(self).into_response()
    }
}

/// Where a list was asked for.
pub(crate) type Place = (Client, Uri, Page);

/// The address of another page of the same list.
fn address(origin: &str, uri: &Uri, page: Page, number: u64) -> String {
    let others = form_urlencoded::parse(uri.query().unwrap_or_default().as_bytes())
        .filter(|(name, _)| name != "page" && name != "page_size");
    let mut query = form_urlencoded::Serializer::new(String::new());
    query.extend_pairs(others);
    query.append_pair("page", &number.to_string()).append_pair("page_size", &page.size.to_string());
    format!("{origin}{}?{}", uri.path(), query.finish())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn lists_name_the_pages_beside_them() {
        let uri: Uri = "/v2/orgs/acme/members?search=a%26b&page=2&page_size=5".parse().unwrap();
        let page = Page { number: 2, size: 5 };
        let list = |count| List::<u8>::page("https://hub.example", &uri, page, count, Vec::new());
        let address =
            |number| format!("https://hub.example/v2/orgs/acme/members?search=a%26b&page={number}&page_size=5");
        let middle = list(11);
        assert_eq!((middle.next, middle.previous), (Some(address(3)), Some(address(1))));
        let last = list(10);
        assert_eq!((last.count, last.next), (10, None));
    }

    #[test]
    fn times_have_microseconds() {
        assert_eq!(time(1_500_000_000), "1970-01-01T00:00:01.500000Z");
        assert_eq!(time(0), "1970-01-01T00:00:00.000000Z");
    }
}
