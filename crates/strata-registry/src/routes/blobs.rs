//! Blobs, read whole or in part.

mod content;

use axum::body::Body;
use axum::response::Response;
use bytes::Bytes;
use futures_util::stream::BoxStream;
use http::header::{ACCEPT_RANGES, CACHE_CONTROL, CONTENT_LENGTH, CONTENT_RANGE, CONTENT_TYPE, IF_RANGE, RANGE};
use http::{HeaderValue, Method, StatusCode};
use strata_model::Digest;
use strata_store::ObjectReader;
use strata_store::registry::{RegistryError, Upstream};

use super::{Call, content_headers, empty, is_not_modified, set};
use crate::error::{Failure, Result};
use crate::range::{Wanted, parse_range};
use content::{content, cut};

/// `GET`, `HEAD`: end-2.
pub(super) async fn get(call: &Call<'_>, digest: Digest) -> Result {
    let mut headers = content_headers(&digest);
    headers.push((CACHE_CONTROL, "max-age=31536000".to_owned()));
    headers.push((ACCEPT_RANGES, "bytes".to_owned()));
    headers.push((CONTENT_TYPE, "application/octet-stream".to_owned()));
    if call.parts.method == Method::HEAD {
        let size = size(call, &digest).await?;
        let mut response = empty(StatusCode::OK, headers);
        response.headers_mut().insert(CONTENT_LENGTH, HeaderValue::from(size));
        return Ok(response);
    }
    let (blob, size) = open(call, &digest).await?;
    if is_not_modified(&call.parts.headers, &digest) {
        return Ok(empty(StatusCode::NOT_MODIFIED, headers));
    }
    let (status, first, length) = match wanted(call, &digest, size) {
        Wanted::Whole => (StatusCode::OK, 0, size),
        Wanted::Part { first, length } => {
            headers.push((CONTENT_RANGE, format!("bytes {first}-{}/{size}", first + length - 1)));
            (StatusCode::PARTIAL_CONTENT, first, length)
        }
        Wanted::Nothing => {
            let failure = Failure::range(format!("the blob has {size} bytes"));
            return Err(match HeaderValue::try_from(format!("bytes */{size}")) {
                Ok(value) => failure.with_header(CONTENT_RANGE, value),
                Err(_) => failure,
            });
        }
    };
    let body = match blob {
        Opened::Here(reader) => Body::from_stream(content(reader, first, length, call.parts.extensions.get())),
        Opened::Arriving(bytes) => Body::from_stream(bytes),
        Opened::Upstream(upstream) => {
            let blob = upstream.blob(&call.repository, &digest, first).await?;
            Body::from_stream(cut(blob.stream, length))
        }
    };
    let mut response = Response::new(body);
    *response.status_mut() = status;
    set(response.headers_mut(), headers);
    response.headers_mut().insert(CONTENT_LENGTH, HeaderValue::from(length));
    Ok(response)
}

/// A blob to be served.
enum Opened<'a> {
    Here(ObjectReader),
    /// Whole.
    Arriving(BoxStream<'static, std::io::Result<Bytes>>),
    /// In part.
    Upstream(&'a dyn Upstream),
}

async fn open<'a>(call: &'a Call<'_>, digest: &Digest) -> Result<(Opened<'a>, u64)> {
    match (call.registry.open_blob(&call.repository, digest).await, call.upstream()) {
        (Ok((reader, size)), _) => Ok((Opened::Here(reader), size)),
        (Err(RegistryError::BlobUnknown { .. }), Some(upstream)) if call.header(RANGE).is_none() => {
            let blob = upstream.blob(&call.repository, digest, 0).await?;
            Ok((Opened::Arriving(blob.stream), blob.size))
        }
        (Err(RegistryError::BlobUnknown { .. }), Some(upstream)) => {
            Ok((Opened::Upstream(upstream), upstream.blob_size(&call.repository, digest).await?))
        }
        (Err(error), _) => Err(error.into()),
    }
}

async fn size(call: &Call<'_>, digest: &Digest) -> Result<u64> {
    let Some(upstream) = call.upstream() else {
        return Ok(call.registry.promise_blob(&call.repository, digest).await?);
    };
    match call.registry.blob_size(&call.repository, digest).await {
        Err(RegistryError::BlobUnknown { .. }) => Ok(upstream.blob_size(&call.repository, digest).await?),
        size => Ok(size?),
    }
}

/// The range that the client asks for, unless it is about other content (RFC 9110, section 13.1.5).
fn wanted(call: &Call<'_>, digest: &Digest, size: u64) -> Wanted {
    let is_about_this = call.header(IF_RANGE).is_none_or(|tag| tag.trim_matches('"') == digest.to_string());
    match call.header(RANGE) {
        Some(range) if is_about_this => parse_range(range, size),
        _ => Wanted::Whole,
    }
}
