//! Blobs: read whole or in part, deleted.

use axum::body::Body;
use axum::response::Response;
use bytes::Bytes;
use futures_util::{Stream, StreamExt as _, stream};
use http::header::{ACCEPT_RANGES, CACHE_CONTROL, CONTENT_LENGTH, CONTENT_RANGE, CONTENT_TYPE, IF_RANGE, RANGE};
use http::{HeaderValue, Method, StatusCode};
use strata_model::Digest;
use strata_store::ObjectReader;

use super::{Call, content_headers, empty, is_not_modified, set};
use crate::error::{Failure, Result};
use crate::range::{Wanted, parse_range};

/// `GET`, `HEAD`: end-2.
pub(super) async fn get(call: &Call<'_>, digest: Digest) -> Result {
    let mut headers = content_headers(&digest);
    headers.push((CACHE_CONTROL, "max-age=31536000".to_owned()));
    headers.push((ACCEPT_RANGES, "bytes".to_owned()));
    headers.push((CONTENT_TYPE, "application/octet-stream".to_owned()));
    if call.parts.method == Method::HEAD {
        let size = call.registry.blob_size(&call.repository, &digest).await?;
        let mut response = empty(StatusCode::OK, headers);
        response.headers_mut().insert(CONTENT_LENGTH, HeaderValue::from(size));
        return Ok(response);
    }
    let (reader, size) = call.registry.open_blob(&call.repository, &digest).await?;
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
    let mut response = Response::new(Body::from_stream(bytes_of(reader, first, length)));
    *response.status_mut() = status;
    set(response.headers_mut(), headers);
    response.headers_mut().insert(CONTENT_LENGTH, HeaderValue::from(length));
    Ok(response)
}

/// The range that the client asks for, unless it is about other content (RFC 9110, section 13.1.5).
fn wanted(call: &Call<'_>, digest: &Digest, size: u64) -> Wanted {
    let is_about_this = call.header(IF_RANGE).is_none_or(|tag| tag.trim_matches('"') == digest.to_string());
    match call.header(RANGE) {
        Some(range) if is_about_this => parse_range(range, size),
        _ => Wanted::Whole,
    }
}

/// `length` bytes from `first` on, read a few chunks ahead. Fails rather than ends early.
fn bytes_of(reader: ObjectReader, first: u64, length: u64) -> impl Stream<Item = Result<Bytes, std::io::Error>> + Send {
    let bytes = reader.stream(first).stream;
    stream::unfold((bytes, length), |(mut bytes, left)| async move {
        if left == 0 {
            return None;
        }
        match bytes.next().await {
            Some(Ok(mut chunk)) => {
                chunk.truncate(usize::try_from(left).unwrap_or(usize::MAX));
                let left = left - chunk.len() as u64;
                Some((Ok(chunk), (bytes, left)))
            }
            Some(Err(error)) => Some((Err(std::io::Error::other(error)), (bytes, 0))),
            None => Some((Err(std::io::ErrorKind::UnexpectedEof.into()), (bytes, 0))),
        }
    })
}

/// `DELETE`: end-10.
pub(super) async fn delete(call: &Call<'_>, digest: Digest) -> Result {
    call.registry.delete_blob(&call.repository, &digest).await?;
    Ok(empty(StatusCode::ACCEPTED, Vec::new()))
}
