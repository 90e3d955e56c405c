//! Manifests: read, pushed, deleted, by tag or by digest.

use axum::body::Body;
use axum::response::Response;
use http::header::{CONTENT_LENGTH, CONTENT_TYPE, HeaderName, LOCATION};
use http::{HeaderValue, StatusCode};
use strata_model::{MAX_MANIFEST_SIZE, MediaType, Tag, Target};
use strata_store::registry::{NewManifest, NewTag, RegistryError};

use super::{CONTENT_DIGEST, Call, content_headers, empty, is_not_modified, parse_digest, set};
use crate::body::Incoming;
use crate::error::{Failure, Result};

const SUBJECT: HeaderName = HeaderName::from_static("oci-subject");
const TAG: HeaderName = HeaderName::from_static("oci-tag");

/// `GET`, `HEAD`: end-3. The stored bytes and type, whatever the client accepts.
pub(super) async fn get(call: &Call<'_>, target: &str) -> Result {
    let stored = call.registry.manifest(&call.repository, &parse_target(call, target)?).await?;
    let mut headers = content_headers(&stored.digest);
    headers.push((CONTENT_TYPE, stored.media_type.to_string()));
    if is_not_modified(&call.parts.headers, &stored.digest) {
        return Ok(empty(StatusCode::NOT_MODIFIED, headers));
    }
    let length = stored.bytes.len();
    let mut response = Response::new(Body::from(stored.bytes));
    set(response.headers_mut(), headers);
    response.headers_mut().insert(CONTENT_LENGTH, HeaderValue::from(length));
    Ok(response)
}

/// `PUT`: end-7a, and end-7b with tags as parameters.
pub(super) async fn put(call: &Call<'_>, target: &str, body: &mut Incoming) -> Result {
    let (digest, mut tags) = match target.contains(':') {
        true => (Some(parse_digest(target)?), Vec::new()),
        false => (None, vec![parse_tag(target)?]),
    };
    let more: Vec<Tag> = call.query.all("tag").map(parse_tag).collect::<Result<_>>()?;
    tags.extend(more.iter().cloned());
    let bytes = body.whole(MAX_MANIFEST_SIZE).await?.ok_or_else(|| {
        let message = format!("the manifest is larger than the limit of {MAX_MANIFEST_SIZE} bytes");
        Failure::new(StatusCode::PAYLOAD_TOO_LARGE, "MANIFEST_INVALID", message)
    })?;
    let media_type = call.header(CONTENT_TYPE).map(MediaType::parse);
    let tags = tags.into_iter().map(NewTag::from).collect();
    let published =
        call.registry.put_manifest(&call.repository, NewManifest { bytes, media_type, digest, tags }, "").await?;
    let mut headers = vec![
        (LOCATION, format!("/v2/{}/manifests/{}", call.written, published.digest)),
        (CONTENT_DIGEST, published.digest.to_string()),
    ];
    headers.extend(published.subject.map(|subject| (SUBJECT, subject.to_string())));
    let mut response = empty(StatusCode::CREATED, headers);
    for tag in more {
        if let Ok(value) = HeaderValue::from_str(tag.as_str()) {
            response.headers_mut().append(TAG, value);
        }
    }
    Ok(response)
}

/// `DELETE`: end-9.
pub(super) async fn delete(call: &Call<'_>, target: &str) -> Result {
    match parse_target(call, target)? {
        Target::Tag(tag) => call.registry.delete_tag(&call.repository, &tag, "").await?,
        Target::Digest(digest) => call.registry.delete_manifest(&call.repository, &digest, "").await?,
    }
    Ok(empty(StatusCode::ACCEPTED, Vec::new()))
}

fn parse_tag(written: &str) -> Result<Tag> {
    written.parse().map_err(|cause| Failure::tag(written, cause))
}

/// What cannot be a tag is one that does not exist.
fn parse_target(call: &Call<'_>, written: &str) -> Result<Target> {
    if written.contains(':') {
        return Ok(Target::Digest(parse_digest(written)?));
    }
    written.parse().map(Target::Tag).map_err(|_| {
        RegistryError::ManifestUnknown { repository: call.written.to_string(), target: written.to_owned() }.into()
    })
}
