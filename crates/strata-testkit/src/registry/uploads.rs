//! Uploads of blobs: whole, in chunks, or mounted from another repository.

use strata_model::{Algorithm, Digest, Hasher};

use super::http::{Request, Response};
use super::state::State;

/// `POST …/uploads/`: mounts, takes a whole blob, or begins an upload.
pub(super) fn start_upload(state: &mut State, name: &str, request: &Request) -> Response {
    if let (Some(Ok(digest)), Some(from)) = (request.query("mount").map(|digest| digest.parse()), request.query("from"))
    {
        let source = state.known_repository(&from).and_then(|repository| repository.blobs.get(&digest).cloned());
        if let Some(bytes) = source {
            state.repository(name).blobs.insert(digest, bytes);
            return created(name, &digest);
        }
    }
    if let Some(digest) = request.query("digest") {
        return store_blob(state, name, &digest, &request.body);
    }
    let upload = state.next_name("upload");
    state.repository(name).uploads.insert(upload.clone(), Vec::new());
    progress(202, name, &upload, 0)
}

pub(super) fn upload(state: &mut State, method: &str, name: &str, upload: &str, request: &Request) -> Response {
    let chunk_limit = state.chunk_limit;
    let repository = state.repository(name);
    let Some(received) = repository.uploads.get_mut(upload) else {
        return Response::error(404, "BLOB_UPLOAD_UNKNOWN", "blob upload unknown to registry");
    };
    match method {
        "GET" => progress(204, name, upload, received.len()),
        "DELETE" => {
            repository.uploads.remove(upload);
            Response::new(204)
        }
        "PATCH" | "PUT" => {
            let start =
                request.header("Content-Range").map(|range| range.trim_start_matches("bytes ").split('-').next());
            if start.is_some_and(|start| start.and_then(|start| start.parse().ok()) != Some(received.len())) {
                let length = received.len();
                let refused = Response::error(416, "RANGE_INVALID", "the chunk does not follow what was received");
                return located(refused, name, upload, length);
            }
            if method == "PATCH" && chunk_limit > 0 && request.body.len() > chunk_limit {
                return Response::error(413, "SIZE_INVALID", "the chunk is too large");
            }
            received.extend(&request.body);
            if method == "PATCH" {
                return progress(202, name, upload, received.len());
            }
            let bytes = std::mem::take(received);
            repository.uploads.remove(upload);
            store_blob(state, name, &request.query("digest").unwrap_or_default(), &bytes)
        }
        _ => Response::error(405, "UNSUPPORTED", "the operation is not supported"),
    }
}

fn progress(status: u16, name: &str, upload: &str, received: usize) -> Response {
    located(Response::new(status).header("Docker-Upload-UUID", upload), name, upload, received)
}

fn located(response: Response, name: &str, upload: &str, received: usize) -> Response {
    response
        .header("Location", format!("/v2/{name}/blobs/uploads/{upload}"))
        .header("Range", format!("0-{}", received.saturating_sub(1)))
}

fn store_blob(state: &mut State, name: &str, digest: &str, bytes: &[u8]) -> Response {
    match digest.parse::<Digest>() {
        Ok(digest) if digest == digest_with(bytes, digest.algorithm()) => {
            state.repository(name).blobs.insert(digest, bytes.into());
            created(name, &digest)
        }
        _ => Response::error(400, "DIGEST_INVALID", "provided digest did not match uploaded content"),
    }
}

fn created(name: &str, digest: &Digest) -> Response {
    Response::new(201).header("Location", format!("/v2/{name}/blobs/{digest}")).header("Docker-Content-Digest", digest)
}

pub(super) fn digest_with(bytes: &[u8], algorithm: Algorithm) -> Digest {
    let mut hasher = Hasher::new(algorithm);
    hasher.update(bytes);
    hasher.finish()
}
