//! The parsers of requests, as functions of text, for `strata-fuzz`. No part of the crate's interface.

use http::Uri;

use crate::path::Path;
use crate::query::Parameters;
use crate::range::{Wanted, parse_chunk_range, parse_range};

/// The path and query of a request.
pub fn target(text: &str) {
    if let Some(Path::Repository { name, .. }) = Path::parse(text) {
        assert!(!text.is_empty() && name.len() <= text.len());
    }
    let Ok(uri) = text.parse::<Uri>() else { return };
    Path::parse(uri.path());
    if let Ok(parameters) = Parameters::of(&uri) {
        let _ = parameters.page_size();
    }
}

/// `Range` of a blob of `size` bytes, and `Content-Range` of a chunk.
pub fn range(header: &str, size: u64) {
    if let Wanted::Part { first, length } = parse_range(header, size) {
        assert!(length > 0 && first.checked_add(length).is_some_and(|end| end <= size), "{header:?} of {size}");
    }
    if let Some((first, length)) = parse_chunk_range(header) {
        assert!(length > 0 && first.checked_add(length - 1).is_some());
    }
}
