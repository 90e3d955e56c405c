//! What answers are made of: times, pages of lists.

use http::Uri;
use serde_json::{Value, json};
use url::form_urlencoded;

use crate::input::Page;

/// Nanoseconds since 1970 in RFC 3339 with microseconds.
pub(crate) fn time(nanoseconds: i64) -> String {
    match jiff::Timestamp::from_nanosecond(i128::from(nanoseconds)) {
        Ok(time) => format!("{time:.6}"),
        Err(_) => String::new(),
    }
}

/// A page of a list: `count`, `next`, `previous`, `results`.
pub(crate) fn list(origin: &str, uri: &Uri, page: Page, count: u64, results: Vec<Value>) -> Value {
    let is_last = page.skip().saturating_add(page.size) >= count;
    let next = (!is_last).then(|| address(origin, uri, page, page.number + 1));
    let previous = (page.number > 1).then(|| address(origin, uri, page, page.number - 1));
    json!({ "count": count, "next": next, "previous": previous, "results": results })
}

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
        let list = list("https://hub.example", &uri, page, 11, Vec::new());
        let address =
            |number| format!("https://hub.example/v2/orgs/acme/members?search=a%26b&page={number}&page_size=5");
        assert_eq!(list["next"], address(3));
        assert_eq!(list["previous"], address(1));
        let last = super::list("https://hub.example", &uri, page, 10, Vec::new());
        assert_eq!((&last["count"], &last["next"]), (&json!(10), &Value::Null));
    }

    #[test]
    fn times_have_microseconds() {
        assert_eq!(time(1_500_000_000), "1970-01-01T00:00:01.500000Z");
        assert_eq!(time(0), "1970-01-01T00:00:00.000000Z");
    }
}
