//! Requests and their answers.

use std::io::{self, BufReader, Write};
use std::net::{Shutdown, TcpStream};
use std::sync::Arc;
use std::time::Duration;

use serde_json::{Value, json};
use strata_model::{Digest, Manifest, MediaType, Repository as Name, Tag};

use super::Shared;
use super::auth::{challenge, token};
use super::fault::Fault;
use super::http::{Request, Response};
use super::state::{Record, State};
use super::uploads::{digest_with, start_upload, upload};

/// Longest time that a connection waits for its client, or that an answer hangs.
const PATIENCE: Duration = Duration::from_secs(60);

/// Answers the requests of one connection, one after the other.
pub(super) fn serve(connection: &TcpStream, shared: &Arc<Shared>) {
    let _ = connection.set_read_timeout(Some(PATIENCE));
    let _ = connection.set_nodelay(true);
    let mut input = BufReader::new(connection);
    while let Ok(Some(request)) = Request::read(&mut input) {
        if shared.is_stopped() || !answer(connection, shared, &request).unwrap_or(false) {
            break;
        }
    }
    let _ = connection.shutdown(Shutdown::Both);
}

/// Answers a request; `false` when the connection is to be closed.
fn answer(mut connection: &TcpStream, shared: &Shared, request: &Request) -> io::Result<bool> {
    let (fault, mut response) = {
        let mut state = shared.state();
        let fault = state.faults.iter_mut().find_map(|rule| rule.apply(request));
        let response = match &fault {
            Some(Fault::NoAnswer) => None,
            Some(Fault::Status(status, headers)) => Some(failure(*status, headers)),
            _ => Some(respond(&mut state, request, fault == Some(Fault::IgnoreRange))),
        };
        (fault, response)
    };
    if let Some(Fault::Delay(milliseconds)) = fault {
        std::thread::sleep(Duration::from_millis(milliseconds));
    }
    if let (Some(fault), Some(response)) = (&fault, &mut response) {
        spoil(fault, response);
    }
    let Some(mut response) = response else {
        shared.state().records.push(record(request, 0, 0));
        return Ok(false);
    };
    if request.method == "HEAD" {
        response.length.get_or_insert(response.body.len());
        response.body = Arc::from([]);
    }
    let sent = match fault {
        Some(Fault::HangAfter(bytes) | Fault::DropAfter(bytes)) => bytes.min(response.body.len()),
        _ => response.body.len(),
    };
    // Recorded first, so that a client that has the answer sees its own request counted.
    shared.state().records.push(record(request, response.status, sent as u64));
    connection.write_all(&response.head())?;
    connection.write_all(&response.body[..sent])?;
    connection.flush()?;
    if matches!(fault, Some(Fault::HangAfter(_))) {
        hang(connection, shared);
    }
    let is_complete = sent == response.body.len() && !matches!(fault, Some(Fault::Longer(_)));
    let wants_close = request.header("Connection").is_some_and(|value| value.eq_ignore_ascii_case("close"));
    Ok(is_complete && !wants_close)
}

fn failure(status: u16, headers: &[(&'static str, String)]) -> Response {
    let code = match status {
        401 => "UNAUTHORIZED",
        403 => "DENIED",
        404 => "NOT_FOUND",
        429 => "TOOMANYREQUESTS",
        _ => "UNKNOWN",
    };
    let response = Response::error(status, code, "this is a test of failures");
    headers.iter().fold(response, |response, (name, value)| response.header(name, value))
}

fn spoil(fault: &Fault, response: &mut Response) {
    match fault {
        Fault::WrongBytes => response.body = response.body.iter().map(|byte| byte ^ 1).collect(),
        Fault::Longer(bytes) => response.length = Some(response.body.len() + bytes),
        Fault::Shorter(bytes) => {
            let length = response.body.len().saturating_sub(*bytes);
            response.body = response.body[..length].into();
        }
        Fault::WrongDigestHeader => {
            *response = response.clone().header("Docker-Content-Digest", Digest::of(b"another"));
        }
        _ => {}
    }
}

/// Waits until the client gives up or the registry ends.
fn hang(connection: &TcpStream, shared: &Shared) {
    let _ = connection.set_read_timeout(Some(Duration::from_millis(50)));
    for _ in 0..PATIENCE.as_millis() / 50 {
        let is_open = match connection.peek(&mut [0]) {
            Ok(count) => count > 0,
            Err(error) => matches!(error.kind(), io::ErrorKind::WouldBlock | io::ErrorKind::TimedOut),
        };
        if shared.is_stopped() || !is_open {
            return;
        }
        std::thread::sleep(Duration::from_millis(10));
    }
}

fn record(request: &Request, status: u16, bytes: u64) -> Record {
    let header = |name: &str| request.header(name).map(str::to_owned);
    Record {
        method: request.method.clone(),
        path: request.target.clone(),
        range: header("Range"),
        authorization: header("Authorization").and_then(|value| value.split(' ').next().map(str::to_owned)),
        accept: header("Accept"),
        user_agent: header("User-Agent"),
        status,
        bytes,
    }
}

fn respond(state: &mut State, request: &Request, ignore_range: bool) -> Response {
    if request.path() == "/token" {
        return token(state, request);
    }
    let Some(path) = request.path().strip_prefix("/v2/") else {
        return Response::error(404, "NOT_FOUND", "no such page");
    };
    let route = Route::parse(path);
    if let Some(refused) = challenge(state, request, route.as_ref()) {
        return refused;
    }
    if path.is_empty() {
        return Response::new(200).json(&json!({}));
    }
    let Some(Route { name, kind, rest }) = route else {
        return Response::error(404, "NAME_INVALID", "no such route or an invalid repository name");
    };
    let response = match (request.method.as_str(), kind) {
        ("GET" | "HEAD", "manifests") => manifest(state, name, rest),
        ("PUT", "manifests") => put_manifest(state, name, rest, request),
        ("DELETE", "manifests") => delete_manifest(state, name, rest),
        ("POST", "blobs") if rest.trim_end_matches('/') == "uploads" => start_upload(state, name, request),
        (method, "blobs") if rest.starts_with("uploads/") => upload(state, method, name, &rest[8..], request),
        ("GET" | "HEAD", "blobs") => blob(state, name, rest, request.header("Range").filter(|_| !ignore_range)),
        ("DELETE", "blobs") => delete_blob(state, name, rest),
        ("GET", "tags") if rest == "list" => tags(state, name, request),
        ("GET", "referrers") => referrers(state, name, rest, request),
        _ => Response::error(405, "UNSUPPORTED", "the operation is not supported"),
    };
    response.header("Docker-Distribution-Api-Version", "registry/2.0")
}

/// `<name>/<kind>/<rest>` below `/v2/`.
pub(super) struct Route<'a> {
    pub(super) name: &'a str,
    kind: &'a str,
    rest: &'a str,
}

impl Route<'_> {
    fn parse(path: &str) -> Option<Route<'_>> {
        ["manifests", "blobs", "tags", "referrers"].into_iter().find_map(|kind| {
            let at = path.rfind(&format!("/{kind}/"))?;
            let (name, rest) = (&path[..at], &path[at + kind.len() + 2..]);
            name.parse::<Name>().ok()?;
            Some(Route { name, kind, rest })
        })
    }
}

fn manifest(state: &State, name: &str, reference: &str) -> Response {
    let Some(repository) = state.known_repository(name) else {
        return Response::error(404, "NAME_UNKNOWN", "repository name not known to registry");
    };
    let Some(manifest) = repository.manifest(reference) else {
        return Response::error(404, "MANIFEST_UNKNOWN", "manifest unknown");
    };
    let digest = Digest::of(&manifest.bytes);
    Response::new(200)
        .header("Content-Type", &manifest.media_type)
        .header("Docker-Content-Digest", digest)
        .header("ETag", format!("\"{digest}\""))
        .body(Arc::clone(&manifest.bytes))
}

fn put_manifest(state: &mut State, name: &str, reference: &str, request: &Request) -> Response {
    let Some(media_type) = request.header("Content-Type") else {
        return Response::error(400, "MANIFEST_INVALID", "no Content-Type");
    };
    let parsed = match Manifest::parse(&request.body, Some(&MediaType::parse(media_type))) {
        Ok(parsed) => parsed,
        Err(error) => return Response::error(400, "MANIFEST_INVALID", &error.to_string()),
    };
    let repository = state.repository(name);
    if reference.parse::<Digest>().is_ok_and(|digest| digest != digest_with(&request.body, digest.algorithm())) {
        return Response::error(400, "DIGEST_INVALID", "provided digest did not match uploaded content");
    }
    if reference.parse::<Digest>().is_err() && reference.parse::<Tag>().is_err() {
        return Response::error(400, "TAG_INVALID", "manifest tag did not match URI");
    }
    for edge in parsed.edges() {
        let digest = edge.descriptor.digest;
        let is_there = repository.blobs.contains_key(&digest) || repository.manifests.contains_key(&digest);
        let may_be_absent =
            edge.role == strata_model::EdgeRole::Subject || edge.descriptor.media_type.is_foreign_layer();
        if !is_there && !may_be_absent {
            let code = if edge.role == strata_model::EdgeRole::Manifest {
                "MANIFEST_UNKNOWN"
            } else {
                "MANIFEST_BLOB_UNKNOWN"
            };
            return Response::error(400, code, &format!("blob unknown to registry: {digest}"));
        }
    }
    let digest = repository.put_manifest(reference, media_type, &request.body);
    let response = Response::new(201)
        .header("Location", format!("/v2/{name}/manifests/{digest}"))
        .header("Docker-Content-Digest", digest);
    match subject(&parsed) {
        Some(subject) => response.header("OCI-Subject", subject),
        None => response,
    }
}

fn subject(manifest: &Manifest) -> Option<Digest> {
    let subject = match manifest {
        Manifest::Image(image) => image.subject.as_ref(),
        Manifest::Index(index) => index.subject.as_ref(),
    };
    subject.map(|subject| subject.digest)
}

fn delete_manifest(state: &mut State, name: &str, reference: &str) -> Response {
    let repository = state.repository(name);
    let is_deleted = match reference.parse::<Digest>() {
        Ok(digest) => {
            repository.tags.retain(|_, tagged| *tagged != digest);
            repository.manifests.remove(&digest).is_some()
        }
        Err(_) => repository.tags.remove(reference).is_some(),
    };
    if is_deleted { Response::new(202) } else { Response::error(404, "MANIFEST_UNKNOWN", "manifest unknown") }
}

fn blob(state: &State, name: &str, digest: &str, range: Option<&str>) -> Response {
    let Ok(digest) = digest.parse::<Digest>() else {
        return Response::error(400, "DIGEST_INVALID", "provided digest did not match uploaded content");
    };
    let Some(bytes) = state.known_repository(name).and_then(|repository| repository.blobs.get(&digest)) else {
        return Response::error(404, "BLOB_UNKNOWN", "blob unknown to registry");
    };
    let response = Response::new(200)
        .header("Content-Type", "application/octet-stream")
        .header("Accept-Ranges", "bytes")
        .header("Docker-Content-Digest", digest);
    match range.and_then(|range| range.strip_prefix("bytes=")) {
        None => response.body(Arc::clone(bytes)),
        Some(range) => match byte_range(range, bytes.len()) {
            Some((start, end)) => Response { status: 206, ..response }
                .header("Content-Range", format!("bytes {start}-{}/{}", end - 1, bytes.len()))
                .body(&bytes[start..end]),
            None => Response::error(416, "RANGE_INVALID", "invalid range")
                .header("Content-Range", format!("bytes */{}", bytes.len())),
        },
    }
}

/// Start and end (exclusive) of `a-b`, `a-` or `-n` within `length` bytes.
fn byte_range(range: &str, length: usize) -> Option<(usize, usize)> {
    let (start, last) = range.split_once('-')?;
    let (start, end) = match (start, last) {
        ("", count) => (length.checked_sub(count.parse().ok()?)?, length),
        (start, "") => (start.parse().ok()?, length),
        (start, last) => (start.parse().ok()?, last.parse::<usize>().ok()?.checked_add(1)?.min(length)),
    };
    (start < end).then_some((start, end))
}

fn delete_blob(state: &mut State, name: &str, digest: &str) -> Response {
    match digest.parse::<Digest>().ok().and_then(|digest| state.repository(name).blobs.remove(&digest)) {
        Some(_) => Response::new(202),
        None => Response::error(404, "BLOB_UNKNOWN", "blob unknown to registry"),
    }
}

fn tags(state: &State, name: &str, request: &Request) -> Response {
    let Some(repository) = state.known_repository(name) else {
        return Response::error(404, "NAME_UNKNOWN", "repository name not known to registry");
    };
    let last = request.query("last").unwrap_or_default();
    let limit = request.query("n").and_then(|number| number.parse().ok()).unwrap_or(usize::MAX);
    let mut rest = repository.tags.keys().filter(|tag| **tag > last);
    let page: Vec<&String> = rest.by_ref().take(limit).collect();
    let response = Response::new(200).json(&json!({ "name": name, "tags": page }));
    match (page.last(), rest.next()) {
        (Some(last), Some(_)) => {
            response.header("Link", format!("</v2/{name}/tags/list?n={limit}&last={last}>; rel=\"next\""))
        }
        _ => response,
    }
}

fn referrers(state: &State, name: &str, digest: &str, request: &Request) -> Response {
    let wanted = digest.parse::<Digest>().ok();
    let filter = request.query("artifactType");
    let manifests = state.known_repository(name).map(|repository| &repository.manifests);
    let entries: Vec<Value> = manifests
        .into_iter()
        .flatten()
        .filter_map(|(digest, manifest)| {
            let parsed = Manifest::parse(&manifest.bytes, None).ok()?;
            let document: Value = serde_json::from_slice(&manifest.bytes).ok()?;
            let config_type = &document["config"]["mediaType"];
            let artifact_type = document.get("artifactType").unwrap_or(config_type).clone();
            let is_wanted = wanted.is_some() && subject(&parsed) == wanted;
            let passes = filter.as_ref().is_none_or(|filter| artifact_type == **filter);
            (is_wanted && passes).then(|| {
                json!({
                    "mediaType": manifest.media_type, "digest": digest, "size": manifest.bytes.len(),
                    "artifactType": artifact_type, "annotations": document["annotations"],
                })
            })
        })
        .collect();
    let response = Response::new(200)
        .json(&json!({ "schemaVersion": 2, "mediaType": MediaType::OCI_INDEX, "manifests": entries }))
        .header("Content-Type", MediaType::OCI_INDEX);
    if filter.is_some() { response.header("OCI-Filters-Applied", "artifactType") } else { response }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn ranges_are_clipped() {
        for (range, expected) in [
            ("0-", Some((0, 10))),
            ("3-4", Some((3, 5))),
            ("3-99", Some((3, 10))),
            ("-4", Some((6, 10))),
            ("10-", None),
            ("-11", None),
            ("x", None),
        ] {
            assert_eq!(byte_range(range, 10), expected, "{range}");
        }
    }
}
