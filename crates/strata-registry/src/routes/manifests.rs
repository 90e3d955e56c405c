//! Manifests: read and pushed, by tag or by digest.

use axum::body::Body;
use axum::response::Response;
use bytes::Bytes;
use http::header::{CONTENT_LENGTH, CONTENT_TYPE, HeaderName, LOCATION};
use http::{HeaderValue, Method, StatusCode};
use strata_model::{Digest, MAX_MANIFEST_SIZE, MediaType, Tag, Target};
use strata_store::registry::{
    MirroredManifest, NewManifest, NewTag, PublishedManifest, Pull, PullAllowance, RegistryError, Replaces,
};

use super::{CONTENT_DIGEST, Call, TAG_ATTEMPTS, content_headers, empty, is_not_modified, parse_digest, set, warning};
use crate::admission::allowance_headers;
use crate::body::Incoming;
use crate::error::{Failure, Result};

const SUBJECT: HeaderName = HeaderName::from_static("oci-subject");
const TAG: HeaderName = HeaderName::from_static("oci-tag");

/// `GET`, `HEAD`: end-3. The stored bytes and type, whatever the client accepts.
pub(super) async fn get(call: &Call<'_>, target: &str) -> Result {
    let target = parse_target(call, target)?;
    let is_pull = call.parts.method == Method::GET;
    let MirroredManifest { manifest, stale } = match call.upstream() {
        Some(upstream) => {
            if is_pull {
                refuse_spent(call).await?;
            }
            upstream.manifest(&call.repository, &target).await?
        }
        None => {
            let manifest = match is_pull {
                true => call.registry.manifest(&call.repository, &target).await?,
                false => call.registry.promise_manifest(&call.repository, &target).await?,
            };
            MirroredManifest { manifest, stale: None }
        }
    };
    let mut headers = content_headers(&manifest.digest);
    headers.push((CONTENT_TYPE, manifest.media_type.to_string()));
    headers.extend(stale.map(|text| warning(&text)));
    if let Some(allowance) = call.service.access.pull_allowance(&call.caller, is_pull).await? {
        headers.extend(allowance_headers(&allowance));
    }
    if is_pull {
        let tag = match target {
            Target::Tag(tag) => Some(tag.to_string()),
            Target::Digest(_) => None,
        };
        let pull = Pull { repository: call.repository.clone(), tag, digest: manifest.digest };
        call.service.access.pulled(&call.caller, pull);
    }
    if is_not_modified(&call.parts.headers, &manifest.digest) {
        return Ok(empty(StatusCode::NOT_MODIFIED, headers));
    }
    let length = manifest.bytes.len();
    let mut response = Response::new(Body::from(manifest.bytes));
    set(response.headers_mut(), headers);
    response.headers_mut().insert(CONTENT_LENGTH, HeaderValue::from(length));
    Ok(response)
}

/// Refuses whoever has no pull left, before another registry is asked for what will not be served.
async fn refuse_spent(call: &Call<'_>) -> Result<()> {
    let access = &call.service.access;
    if let Some(PullAllowance { remaining: 0, .. }) = access.pull_allowance(&call.caller, false).await? {
        access.pull_allowance(&call.caller, true).await?;
    }
    Ok(())
}

/// `PUT`: end-7a, and end-7b with tags as parameters.
pub(super) async fn put(call: &Call<'_>, target: &str, body: &mut Incoming) -> Result {
    let (digest, mut tags) = match target.contains(':') {
        true => (Some(parse_digest(target)?), Vec::new()),
        false => (None, vec![parse_tag(target)?]),
    };
    let more: Vec<Tag> = call.query.all("tag").map(parse_tag).collect::<Result<_>>()?;
    tags.extend(more.iter().cloned());
    let quota = call.quota().await?;
    let bytes = body.whole(MAX_MANIFEST_SIZE).await?.ok_or_else(|| {
        let message = format!("the manifest is larger than the limit of {MAX_MANIFEST_SIZE} bytes");
        Failure::new(StatusCode::PAYLOAD_TOO_LARGE, "MANIFEST_INVALID", message)
    })?;
    quota.check(bytes.len() as u64)?;
    let published = publish(call, bytes, digest, &tags).await?;
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

/// Publishes under tags that the caller may set, seen as they are when they are set.
async fn publish(call: &Call<'_>, bytes: Bytes, digest: Option<Digest>, tags: &[Tag]) -> Result<PublishedManifest> {
    let media_type = call.header(CONTENT_TYPE).map(MediaType::parse);
    let new_digest = digest.unwrap_or_else(|| Digest::of(&bytes));
    let mut attempt = 1;
    loop {
        let mut new_tags = Vec::with_capacity(tags.len());
        for (tag, seen) in tags.iter().zip(call.registry.tag_targets(&call.repository, tags).await?) {
            if seen != Some(new_digest) {
                let access = &call.service.access;
                access.may_set_tag(&call.caller, &call.repository, tag.as_str(), seen.as_ref()).await?;
            }
            new_tags.push(NewTag { tag: tag.clone(), replaces: Replaces::Exactly(seen) });
        }
        let new = NewManifest { bytes: bytes.clone(), media_type: media_type.clone(), digest, tags: new_tags };
        match call.registry.put_manifest(&call.repository, new, call.caller.name()).await {
            Err(RegistryError::TagMoved { .. }) if attempt < TAG_ATTEMPTS => attempt += 1,
            published => return Ok(published?),
        }
    }
}

fn parse_tag(written: &str) -> Result<Tag> {
    written.parse().map_err(|cause| Failure::tag(written, cause))
}

/// What cannot be a tag is one that does not exist.
pub(super) fn parse_target(call: &Call<'_>, written: &str) -> Result<Target> {
    if written.contains(':') {
        return Ok(Target::Digest(parse_digest(written)?));
    }
    written.parse().map(Target::Tag).map_err(|_| {
        RegistryError::ManifestUnknown { repository: call.written.to_string(), target: written.to_owned() }.into()
    })
}
