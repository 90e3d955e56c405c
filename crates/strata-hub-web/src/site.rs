//! What all pages share: the hub, how the site is called, and who looks at it.

use std::convert::Infallible;
use std::net::IpAddr;

use axum::extract::FromRequestParts;
use axum::response::{Html, IntoResponse, Response};
use http::header::{COOKIE, SET_COOKIE, USER_AGENT};
use http::request::Parts;
use http::{HeaderMap, HeaderValue, StatusCode, Uri};
use percent_encoding::percent_decode_str;
use strata_hub::records::{Readable, RepositoryRow};
use strata_hub::{Hub, Identity};
use strata_registry::{ForwardedHeaders, Sender};

use crate::assets::ASSETS;
use crate::failure::Failure;

/// Name of the cookie that holds a session.
const COOKIE_NAME: &str = "strata_session";
/// Name of the cookie that holds what the next page tells: that a form was carried out.
pub(crate) const TOLD: &str = "strata_told";
/// How long it waits for that page, in seconds.
const TELLING: u32 = 60;
/// How long a session lasts, in seconds.
const SESSION: u32 = 12 * 3600;

/// How the site is called on every page.
const SITE: &str = "Strata Hub";

/// What every page's frame shows.
pub(crate) struct Frame {
    pub(crate) site: &'static str,
    pub(crate) host: String,
    pub(crate) style: &'static str,
    pub(crate) script: &'static str,
    pub(crate) icon: &'static str,
    pub(crate) query: String,
    pub(crate) viewer: Option<String>,
    pub(crate) is_administrator: bool,
    /// What the last form did.
    pub(crate) told: Option<String>,
    /// Path and query of this page.
    pub(crate) here: String,
    /// The whole address of this page.
    pub(crate) address: String,
}

/// One look at the site.
pub(crate) struct Visit {
    pub(crate) hub: Hub,
    pub(crate) identity: Option<Identity>,
    pub(crate) peer: IpAddr,
    /// `host[:port]` as the browser calls this server.
    pub(crate) host: String,
    /// Whether the browser reaches it by TLS: cookies then never travel without.
    is_secure: bool,
    /// What the program calls itself (`User-Agent`).
    pub(crate) agent: String,
    told: Option<String>,
    pub(crate) uri: Uri,
    pub(crate) now: i64,
}

impl FromRequestParts<Hub> for Visit {
    type Rejection = Infallible;

    async fn from_request_parts(parts: &mut Parts, hub: &Hub) -> Result<Visit, Infallible> {
        let forwarded = parts.extensions.get::<ForwardedHeaders>().copied();
        let sender = Sender::of(parts, forwarded.unwrap_or(ForwardedHeaders::Ignored));
        let (scheme, host) = sender.origin.split_once("://").unwrap_or(("http", &sender.origin));
        let identity = match cookie(&parts.headers, COOKIE_NAME) {
            // A session that has ended is none.
            Some(session) => hub.identify(Some(&format!("Bearer {session}")), Some(sender.peer)).await.ok().flatten(),
            None => None,
        };
        Ok(Visit {
            hub: hub.clone(),
            identity: identity.filter(Identity::is_user),
            peer: sender.peer,
            host: host.to_owned(),
            is_secure: scheme == "https",
            agent: parts.headers.get(USER_AGENT).and_then(|agent| agent.to_str().ok()).unwrap_or_default().to_owned(),
            told: cookie(&parts.headers, TOLD).map(|text| percent_decode_str(text).decode_utf8_lossy().into_owned()),
            uri: parts.uri.clone(),
            now: jiff::Timestamp::now().as_nanosecond().try_into().unwrap_or(i64::MAX),
        })
    }
}

impl Visit {
    /// The frame of a page; `query` is what stands in the search field.
    pub(crate) fn frame(&self, query: &str) -> Frame {
        let here = self.uri.path_and_query().map(ToString::to_string).unwrap_or_default();
        Frame {
            site: SITE,
            host: self.host.clone(),
            style: &ASSETS.style,
            script: &ASSETS.script,
            icon: &ASSETS.icon,
            query: query.to_owned(),
            viewer: self.viewer().map(str::to_owned),
            is_administrator: self.identity.as_ref().is_some_and(|identity| identity.is_administrator),
            told: self.told.clone(),
            address: format!("{}://{}{here}", if self.is_secure { "https" } else { "http" }, self.host),
            here,
        }
    }

    /// The account that is signed in.
    pub(crate) fn viewer(&self) -> Option<&str> {
        self.identity.as_ref().map(|identity| identity.account.as_str())
    }

    /// Who is signed in, or the way to signing in and on to `next`.
    pub(crate) fn signed_in(&self, next: &str) -> Result<&Identity, Failure> {
        self.identity.as_ref().ok_or_else(|| Failure::sign_in(next))
    }

    /// What may be read besides what is public.
    pub(crate) async fn readable(&self) -> Result<Readable, Failure> {
        let reach = self.hub.reach_of(self.identity.as_ref()).await.map_err(|error| Failure::of(self, error))?;
        Ok(reach.readable())
    }

    /// A repository that the visitor may read. What must not be known of looks as if it did not exist.
    pub(crate) async fn repository(&self, name: &str) -> Result<Option<RepositoryRow>, Failure> {
        let failed = |error| Failure::of(self, error);
        let role = self.hub.role_of(self.identity.as_ref(), name).await.map_err(failed)?;
        match self.hub.repository(name).await {
            Ok(row) => Ok(role.map(|_| row)),
            Err(error) if error.kind() == strata_model::ErrorKind::NotFound => Ok(None),
            Err(error) => Err(failed(error)),
        }
    }

    /// The cookie that begins a session.
    pub(crate) async fn begin_session(&self, identity: &Identity) -> Result<HeaderValue, Failure> {
        let token = self.hub.session(identity, SESSION, &self.agent).await.map_err(|error| Failure::of(self, error))?;
        Ok(self.cookie(COOKIE_NAME, &token, SESSION))
    }

    /// The cookie that ends it.
    pub(crate) fn end_session(&self) -> HeaderValue {
        self.cookie(COOKIE_NAME, "", 0)
    }

    /// Leads to another page of this site, which tells what was done.
    pub(crate) fn told(&self, path: &str, text: &str) -> Response {
        let text = percent_encoding::utf8_percent_encode(text, percent_encoding::NON_ALPHANUMERIC).to_string();
        see_other(path, Some(self.cookie(TOLD, &text, TELLING)))
    }

    fn cookie(&self, name: &str, value: &str, lifetime: u32) -> HeaderValue {
        let secure = if self.is_secure { "; Secure" } else { "" };
        let text = format!("{name}={value}; Path=/; HttpOnly; SameSite=Lax; Max-Age={lifetime}{secure}");
        HeaderValue::try_from(text).unwrap_or_else(|_| HeaderValue::from_static(""))
    }
}

/// A cookie that a browser sends.
pub(crate) fn cookie<'a>(headers: &'a HeaderMap, name: &str) -> Option<&'a str> {
    let cookies = headers.get_all(COOKIE).iter().filter_map(|value| value.to_str().ok());
    cookies.flat_map(|line| line.split(';')).find_map(|pair| pair.trim().strip_prefix(name)?.strip_prefix('='))
}

/// A page.
pub(crate) fn page(template: impl askama::Template) -> Response {
    match template.render() {
        Ok(text) => Html(text).into_response(),
        Err(error) => {
            tracing::error!(%error, "a page could not be written");
            StatusCode::INTERNAL_SERVER_ERROR.into_response()
        }
    }
}

/// Leads to another page of this site, after a form.
pub(crate) fn see_other(path: &str, cookie: Option<HeaderValue>) -> Response {
    let mut response = axum::response::Redirect::to(&own_path(path)).into_response();
    if let Some(cookie) = cookie {
        response.headers_mut().insert(SET_COOKIE, cookie);
    }
    response
}

/// A path of this site and nothing else: what leads elsewhere leads home.
pub(crate) fn own_path(path: &str) -> String {
    let is_plain = |byte: u8| (0x21..0x7f).contains(&byte) && byte != b'\\';
    let is_own = path.starts_with('/') && !path.starts_with("//") && path.bytes().all(is_plain);
    if is_own { path.to_owned() } else { "/".to_owned() }
}

/// The values that a query or a form gives a name.
pub(crate) struct Values(Vec<(String, String)>);

impl Values {
    pub(crate) fn of(text: &str) -> Values {
        let decode = |part: &str| percent_decode_str(&part.replace('+', " ")).decode_utf8_lossy().into_owned();
        let pairs = text.split('&').filter(|pair| !pair.is_empty());
        Values(
            pairs
                .map(|pair| pair.split_once('=').unwrap_or((pair, "")))
                .map(|(name, value)| (decode(name), decode(value)))
                .collect(),
        )
    }

    pub(crate) fn first(&self, name: &str) -> &str {
        self.0.iter().find(|(found, _)| found == name).map_or("", |(_, value)| value)
    }

    pub(crate) fn all<'a>(&'a self, name: &'a str) -> impl Iterator<Item = &'a str> {
        self.0.iter().filter(move |(found, _)| found == name).map(|(_, value)| value.as_str())
    }

    pub(crate) fn number(&self, name: &str) -> u64 {
        self.first(name).trim().parse().unwrap_or_default()
    }

    /// The same query with one value set.
    pub(crate) fn with(&self, name: &str, value: &str) -> String {
        let encode =
            |text: &str| percent_encoding::utf8_percent_encode(text, percent_encoding::NON_ALPHANUMERIC).to_string();
        let kept =
            self.0.iter().filter(|(found, _)| found != name).map(|(name, value)| (name.as_str(), value.as_str()));
        let pairs: Vec<String> =
            kept.chain([(name, value)]).map(|(name, value)| format!("{}={}", encode(name), encode(value))).collect();
        pairs.join("&")
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn redirects_stay_here() {
        for (path, expected) in [
            ("/r/acme/app?tab=tags", "/r/acme/app?tab=tags"),
            ("//evil.example", "/"),
            ("/\\evil.example", "/"),
            ("https://evil.example", "/"),
            ("", "/"),
            ("/a\r\nset-cookie: x=1", "/"),
        ] {
            assert_eq!(own_path(path), expected, "{path:?}");
        }
    }

    #[test]
    fn sessions_are_found_among_cookies() {
        let mut headers = HeaderMap::new();
        assert_eq!(cookie(&headers, COOKIE_NAME), None);
        headers.insert(COOKIE, HeaderValue::from_static("a=1; strata_session=token.x; strata_session2=no"));
        assert_eq!(cookie(&headers, COOKIE_NAME), Some("token.x"));
    }

    #[test]
    fn queries_have_several_values() {
        let values = Values::of("q=a+b%20c&badge=official&badge=verified&page=3&broken=%zz");
        assert_eq!((values.first("q"), values.number("page")), ("a b c", 3));
        assert_eq!(values.all("badge").collect::<Vec<_>>(), ["official", "verified"]);
        assert_eq!(Values::of("a=1&page=2").with("page", "3 4"), "a=1&page=3%204");
    }
}
