//! Headers that every page carries, and where forms may come from.

use axum::extract::Request;
use axum::middleware::Next;
use axum::response::{IntoResponse, Response};
use http::header::{
    CACHE_CONTROL, CONTENT_SECURITY_POLICY, CONTENT_TYPE, HOST, HeaderName, ORIGIN, REFERRER_POLICY, SET_COOKIE,
    X_CONTENT_TYPE_OPTIONS, X_FRAME_OPTIONS,
};
use http::{HeaderMap, HeaderValue, Method, StatusCode};

use crate::site::{TOLD, cookie};

/// Nothing from any other host, no script or style within a page, no frame around it.
const POLICY: &str = "default-src 'none'; style-src 'self'; script-src 'self'; img-src 'self'; connect-src 'self'; \
                      form-action 'self'; base-uri 'none'; frame-ancestors 'none'";
const OPENER: HeaderName = HeaderName::from_static("cross-origin-opener-policy");
const FETCH_SITE: HeaderName = HeaderName::from_static("sec-fetch-site");

/// Refuses forms that another site's page sends, and puts the headers on every answer.
pub(crate) async fn guard(request: Request, next: Next) -> Response {
    let is_reading = matches!(*request.method(), Method::GET | Method::HEAD);
    if !is_reading && !is_own(request.headers()) {
        return (StatusCode::FORBIDDEN, "this form was sent by a page of another site").into_response();
    }
    let is_telling = cookie(request.headers(), TOLD).is_some();
    let mut response = next.run(request).await;
    let headers = response.headers_mut();
    // What was to be told stands on this page: once.
    if is_telling && headers.get(CONTENT_TYPE).is_some_and(|kind| kind.as_bytes().starts_with(b"text/html")) {
        let forgotten = format!("{TOLD}=; Path=/; HttpOnly; SameSite=Lax; Max-Age=0");
        headers.append(SET_COOKIE, HeaderValue::try_from(forgotten).unwrap_or(HeaderValue::from_static("")));
    }
    for (name, value) in [
        (CONTENT_SECURITY_POLICY, POLICY),
        (X_CONTENT_TYPE_OPTIONS, "nosniff"),
        (X_FRAME_OPTIONS, "DENY"),
        (REFERRER_POLICY, "same-origin"),
        (OPENER, "same-origin"),
    ] {
        headers.insert(name, HeaderValue::from_static(value));
    }
    // What is shown depends on who is signed in.
    headers.entry(CACHE_CONTROL).or_insert(HeaderValue::from_static("no-store"));
    response
}

/// Whether a form was sent by a page of this server. Browsers say so in one of two headers that no page can set.
fn is_own(headers: &HeaderMap) -> bool {
    let text = |name| headers.get(name).and_then(|value: &HeaderValue| value.to_str().ok());
    if let Some(site) = text(FETCH_SITE) {
        return site == "same-origin";
    }
    match (text(ORIGIN), text(HOST)) {
        (Some(origin), Some(host)) => {
            origin.split_once("://").is_some_and(|(_, sender)| sender.eq_ignore_ascii_case(host))
        }
        _ => false,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_own_pages_send_forms() {
        let cases: [(&[(&str, &str)], bool); 7] = [
            (&[("sec-fetch-site", "same-origin")], true),
            (&[("sec-fetch-site", "same-site"), ("origin", "https://hub.example"), ("host", "hub.example")], false),
            (&[("sec-fetch-site", "cross-site")], false),
            (&[("origin", "https://hub.example"), ("host", "hub.example")], true),
            (&[("origin", "https://evil.example"), ("host", "hub.example")], false),
            (&[("origin", "null"), ("host", "hub.example")], false),
            (&[("host", "hub.example")], false),
        ];
        for (sent, expected) in cases {
            let mut headers = HeaderMap::new();
            for (name, value) in sent {
                headers.insert(HeaderName::from_static(name), HeaderValue::from_static(value));
            }
            assert_eq!(is_own(&headers), expected, "{sent:?}");
        }
    }
}
