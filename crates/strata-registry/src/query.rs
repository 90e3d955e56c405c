//! The query of a request, and links to next pages.

use axum::extract::Query;
use http::{HeaderValue, StatusCode, Uri};
use percent_encoding::{AsciiSet, NON_ALPHANUMERIC, utf8_percent_encode};

use crate::error::{Failure, Result};

/// Largest page of tags and repositories.
const MAX_PAGE: usize = 1000;
/// What stands for itself in a query.
const LITERAL: &AsciiSet = &NON_ALPHANUMERIC.remove(b'-').remove(b'.').remove(b'_').remove(b'/').remove(b':');

/// The parameters of a query; a name may come several times.
pub(crate) struct Parameters(Vec<(String, String)>);

impl Parameters {
    pub(crate) fn of(uri: &Uri) -> Result<Parameters> {
        let Query(parameters) = Query::try_from_uri(uri).map_err(|cause| {
            Failure::new(StatusCode::BAD_REQUEST, "UNSUPPORTED", format!("malformed query: {cause}"))
        })?;
        Ok(Parameters(parameters))
    }

    /// The first value of a parameter.
    pub(crate) fn first<'a>(&'a self, name: &'a str) -> Option<&'a str> {
        self.all(name).next()
    }

    /// Every value of a parameter.
    pub(crate) fn all<'a>(&'a self, name: &'a str) -> impl Iterator<Item = &'a str> {
        self.0.iter().filter(move |(key, _)| key == name).map(|(_, value)| value.as_str())
    }

    /// How many entries a page shall have at most (`n`).
    pub(crate) fn page_size(&self) -> Result<usize> {
        let Some(written) = self.first("n").filter(|written| !written.is_empty()) else { return Ok(MAX_PAGE) };
        // Any number of digits is a number; more than a page holds is cut.
        if !written.bytes().all(|byte| byte.is_ascii_digit()) {
            let message = format!("number of entries {written:?} is not a number");
            return Err(Failure::new(StatusCode::BAD_REQUEST, "PAGINATION_NUMBER_INVALID", message));
        }
        Ok(written.parse().unwrap_or(MAX_PAGE).min(MAX_PAGE))
    }
}

/// A `Link` header to the next page (RFC 8288).
pub(crate) fn next_page(path: &str, parameters: &[(&str, &str)]) -> Option<HeaderValue> {
    let query: Vec<String> =
        parameters.iter().map(|(name, value)| format!("{name}={}", utf8_percent_encode(value, LITERAL))).collect();
    HeaderValue::try_from(format!("<{path}?{}>; rel=\"next\"", query.join("&"))).ok()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn page_sizes() {
        let size = |query: &str| Parameters::of(&format!("/v2/_catalog?{query}").parse().unwrap()).unwrap().page_size();
        assert_eq!(size("").unwrap(), MAX_PAGE);
        assert_eq!(size("n=0").unwrap(), 0);
        assert_eq!(size("n=5").unwrap(), 5);
        assert_eq!(size("n=99999999999999999999999").unwrap(), MAX_PAGE);
        for bad in ["n=-1", "n=x", "n=1.5"] {
            assert_eq!(size(bad).unwrap_err().status, StatusCode::BAD_REQUEST, "{bad}");
        }
    }

    #[test]
    fn links_are_escaped() {
        let link = next_page("/v2/a/tags/list", &[("n", "2"), ("last", "x\">y")]).unwrap();
        assert_eq!(link, "</v2/a/tags/list?n=2&last=x%22%3Ey>; rel=\"next\"");
    }
}
