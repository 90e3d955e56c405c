//! Uploads of blobs: in one request, as a stream, or in chunks.

use axum::response::Response;
use http::header::{CONTENT_LENGTH, CONTENT_RANGE, HeaderName, LOCATION, RANGE};
use http::{HeaderValue, StatusCode};
use strata_model::{Algorithm, Digest, Repository};
use strata_store::registry::{Action, Caller, Need, Upload, UploadId};

use super::{CONTENT_DIGEST, Call, empty, parse_digest};
use crate::admission::{Quota, admit};
use crate::body::Incoming;
use crate::error::{Failure, Result};
use crate::range::parse_chunk_range;

const UPLOAD_UUID: HeaderName = HeaderName::from_static("docker-upload-uuid");
/// Repositories that are looked at for a blob to be mounted from none in particular, and how many of them are asked for.
const CANDIDATES: usize = 64;
const TRIED: usize = 4;

/// `POST`: end-4a (a session), end-4b (the whole blob), end-4c (a session for another hash), end-11 (a mount).
pub(super) async fn begin(call: &Call<'_>, body: &mut Incoming) -> Result {
    if let Some(digest) = call.query.first("digest") {
        let digest = parse_digest(digest)?;
        let quota = call.quota().await?;
        let mut upload = call.registry.single_upload(&call.repository, digest.algorithm()).await?;
        take(&mut upload, body, None, quota).await?;
        upload.finish(digest).await?;
        return Ok(created(call, &digest));
    }
    if let Some(digest) = call.query.first("mount") {
        let digest = parse_digest(digest)?;
        if mount(call, &digest).await? {
            return Ok(created(call, &digest));
        }
    }
    let algorithm = match call.query.first("digest-algorithm") {
        None | Some("sha256") => Algorithm::Sha256,
        Some("sha384") => Algorithm::Sha384,
        Some("sha512") => Algorithm::Sha512,
        Some(other) => {
            let message = format!("digest algorithm {other:?} is not supported");
            return Err(Failure::new(StatusCode::BAD_REQUEST, "DIGEST_INVALID", message));
        }
    };
    let id = call.registry.begin_upload(&call.repository, algorithm).await?;
    Ok(progress(call, &id, StatusCode::ACCEPTED, 0))
}

/// Mounts a blob from the repository that the client names, or else from any that it may read. `false` means that the
/// client has to push it: whether it may not read the other repository, or that does not have it, looks the same.
async fn mount(call: &Call<'_>, digest: &Digest) -> Result<bool> {
    let quota = call.quota().await?;
    for from in sources(call, digest).await? {
        if !may_read(call, &from).await? {
            continue;
        }
        if let Ok(size) = call.registry.blob_size(&from, digest).await {
            quota.check(size)?;
        }
        if call.registry.mount(&call.repository, digest, &from).await? {
            return Ok(true);
        }
    }
    Ok(false)
}

/// Whether the caller may read a repository, or everybody: then a token need not have been made for it.
async fn may_read(call: &Call<'_>, from: &Repository) -> Result<bool> {
    if admit(call.service, call.parts, &[Need::Repository(from, Action::Pull)]).await.is_ok() {
        return Ok(true);
    }
    let anybody = Caller { account: None, peer: call.caller.peer };
    Ok(!call.service.access.visible(&anybody, vec![from.to_string()]).await?.is_empty())
}

/// Where a blob may be mounted from.
async fn sources(call: &Call<'_>, digest: &Digest) -> Result<Vec<Repository>> {
    if let Some(from) = call.query.first("from") {
        return match from.parse::<Repository>() {
            Ok(from) => Ok(vec![call.registry.resolve(&from).await?]),
            Err(_) => Ok(Vec::new()),
        };
    }
    let repositories = call.registry.repositories_with(digest, CANDIDATES).await?;
    let visible = call.service.access.visible(&call.caller, repositories).await?;
    Ok(visible.iter().filter_map(|name| name.parse().ok()).take(TRIED).collect())
}

/// `GET`: end-13.
pub(super) async fn status(call: &Call<'_>, id: &str) -> Result {
    let id: UploadId = id.parse()?;
    let upload = call.registry.resume_upload(&call.repository, &id).await?;
    Ok(progress(call, &id, StatusCode::NO_CONTENT, upload.length()))
}

/// `PATCH`: end-5.
pub(super) async fn append(call: &Call<'_>, id: &str, body: &mut Incoming) -> Result {
    let id: UploadId = id.parse()?;
    let quota = call.quota().await?;
    let mut upload = call.registry.resume_upload(&call.repository, &id).await?;
    let length = chunk_length(call, &id, &upload)?;
    take(&mut upload, body, length, quota).await?;
    Ok(progress(call, &id, StatusCode::ACCEPTED, upload.length()))
}

/// `PUT`: end-6.
pub(super) async fn finish(call: &Call<'_>, id: &str, body: &mut Incoming) -> Result {
    let id: UploadId = id.parse()?;
    let digest = call.query.first("digest").ok_or_else(|| {
        Failure::new(StatusCode::BAD_REQUEST, "DIGEST_INVALID", "the parameter digest is missing: it ends an upload")
    })?;
    let digest = parse_digest(digest)?;
    let quota = call.quota().await?;
    let mut upload = call.registry.resume_upload(&call.repository, &id).await?;
    let length = chunk_length(call, &id, &upload)?;
    take(&mut upload, body, length, quota).await?;
    upload.finish(digest).await?;
    Ok(created(call, &digest))
}

/// `DELETE`: end-14.
pub(super) async fn cancel(call: &Call<'_>, id: &str) -> Result {
    let id: UploadId = id.parse()?;
    call.registry.resume_upload(&call.repository, &id).await?.cancel().await?;
    Ok(empty(StatusCode::NO_CONTENT, Vec::new()))
}

/// Checks that a chunk follows what is held; returns its length where the client says it.
fn chunk_length(call: &Call<'_>, id: &UploadId, upload: &Upload) -> Result<Option<u64>> {
    let Some(range) = call.header(CONTENT_RANGE) else { return Ok(None) };
    let held = upload.length();
    let out_of_order = |message: String| {
        let headers = progress_headers(call, id, held);
        headers.into_iter().fold(Failure::range(message), |failure, (name, value)| match HeaderValue::try_from(value) {
            Ok(value) => failure.with_header(name, value),
            Err(_) => failure,
        })
    };
    let (first, length) = parse_chunk_range(range)
        .ok_or_else(|| out_of_order(format!("content range {range:?} is not of the form <first>-<last>")))?;
    if first != held {
        return Err(out_of_order(format!("the chunk starts at {first}, but {held} bytes are held")));
    }
    match call.header(CONTENT_LENGTH).and_then(|length| length.parse::<u64>().ok()) {
        Some(sent) if sent != length => {
            Err(Failure::size(format!("the chunk has {sent} bytes, but its range {range} says {length}")))
        }
        _ => Ok(Some(length)),
    }
}

/// Appends the body, which must have `length` bytes where that is known.
async fn take(upload: &mut Upload, body: &mut Incoming, length: Option<u64>, quota: Quota) -> Result<()> {
    quota.check(upload.length().saturating_add(length.unwrap_or(0)))?;
    let mut taken = 0;
    while let Some(bytes) = body.next().await? {
        taken += bytes.len() as u64;
        if let Some(length) = length.filter(|length| taken > *length) {
            return Err(Failure::size(format!("the chunk is longer than the {length} bytes of its range")));
        }
        quota.check(upload.length() + bytes.len() as u64)?;
        upload.write(&bytes).await?;
    }
    match length {
        Some(length) if taken < length => {
            Err(Failure::size(format!("the chunk has {taken} bytes, but its range says {length}")))
        }
        _ => Ok(()),
    }
}

/// How far a session is. An empty one looks like one of a single byte, as in the reference implementation.
fn progress(call: &Call<'_>, id: &UploadId, status: StatusCode, held: u64) -> Response {
    empty(status, progress_headers(call, id, held))
}

fn progress_headers(call: &Call<'_>, id: &UploadId, held: u64) -> Vec<(HeaderName, String)> {
    vec![
        (LOCATION, format!("/v2/{}/blobs/uploads/{id}", call.written)),
        (RANGE, format!("0-{}", held.saturating_sub(1))),
        (UPLOAD_UUID, id.to_string()),
    ]
}

fn created(call: &Call<'_>, digest: &Digest) -> Response {
    let headers = vec![(LOCATION, call.blob_location(digest)), (CONTENT_DIGEST, digest.to_string())];
    empty(StatusCode::CREATED, headers)
}
