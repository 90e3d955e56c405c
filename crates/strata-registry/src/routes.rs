//! The endpoints: one function of a family for each method.

mod blobs;
mod deletion;
mod listing;
mod manifests;
mod search;
mod uploads;

use std::sync::Arc;

use axum::body::Body;
use axum::extract::{Request, State};
use axum::response::{IntoResponse as _, Response};
use axum::routing::get;
use axum::{Json, Router};
use http::header::{CONTENT_LENGTH, CONTENT_TYPE, ETAG, EXPECT, HeaderName, IF_NONE_MATCH, WARNING};
use http::request::Parts;
use http::{HeaderMap, HeaderValue, Method, StatusCode};
use serde_json::json;
use strata_model::{Digest, Repository};
use strata_store::registry::{Action, Caller, MirrorName, Need, Place, Refusal, Registry, RegistryError, Upstream};

use crate::admission::{Quota, admit};
use crate::body::Incoming;
use crate::error::{Failure, Result};
use crate::path::{Endpoint, Path};
use crate::query::Parameters;
use crate::service::{RegistryService, Search};

const CONTENT_DIGEST: HeaderName = HeaderName::from_static("docker-content-digest");
const API_VERSION: HeaderName = HeaderName::from_static("docker-distribution-api-version");
const NAMESPACE: HeaderName = HeaderName::from_static("oci-namespace");
/// How often a change of tags looks again when others move them at the same time. Each time, one of them succeeded.
const TAG_ATTEMPTS: usize = 256;

/// What all requests share.
struct Shared {
    registry: Registry,
    service: RegistryService,
}

/// The repositories of `registry`: `/v2/…`, as the fallback of the router, and `/v1/_ping` and `/v1/search` for `docker
/// search` unless the service leaves them to others. Routes that are added beside come first.
pub fn router(registry: Registry, service: RegistryService) -> Router {
    let mut router = Router::new();
    if service.search == Search::ByName {
        router = router.route("/v1/_ping", get(search::ping)).route("/v1/search", get(search::search));
    }
    router.fallback(answer).with_state(Arc::new(Shared { registry, service }))
}

async fn answer(State(shared): State<Arc<Shared>>, request: Request) -> Response {
    let (parts, body) = request.into_parts();
    let mut body = Incoming::new(body);
    let mut response = match route(&shared, &parts, &mut body).await {
        Ok(response) => response,
        Err(failure) => {
            if !parts.headers.contains_key(EXPECT) {
                body.drain().await;
            }
            failure.into_response()
        }
    };
    tracing::debug!(method = %parts.method, path = parts.uri.path(), status = response.status().as_u16(), "answered");
    response.headers_mut().insert(API_VERSION, HeaderValue::from_static("registry/2.0"));
    if parts.method == Method::HEAD {
        let (parts, _) = response.into_parts();
        return Response::from_parts(parts, Body::empty());
    }
    response
}

async fn route(shared: &Shared, parts: &Parts, body: &mut Incoming) -> Result {
    let path = Path::parse(parts.uri.path()).ok_or_else(Failure::no_such_path)?;
    let query = Parameters::of(&parts.uri)?;
    let (written, endpoint) = match path {
        Path::Base => return base(shared, parts).await,
        Path::Catalog => return listing::catalog(shared, parts, &query).await,
        Path::Repository { name, endpoint } => (name, endpoint),
    };
    let written: Repository = written.parse().map_err(|cause| Failure::name(&written, cause))?;
    let action = action(&endpoint, &parts.method)?;
    let call = Call::admit(shared, parts, query, written, action).await?;
    let method = parts.method.as_str();
    let mut response = match (endpoint, method) {
        (Endpoint::Tags, _) => listing::tags(&call).await,
        (Endpoint::Referrers(digest), _) => listing::referrers(&call, parse_digest(&digest)?).await,
        (Endpoint::Manifest(target), "PUT") => manifests::put(&call, &target, body).await,
        (Endpoint::Manifest(target), "DELETE") => deletion::manifest(&call, &target).await,
        (Endpoint::Manifest(target), _) => manifests::get(&call, &target).await,
        (Endpoint::Blob(digest), "DELETE") => deletion::blob(&call, parse_digest(&digest)?).await,
        (Endpoint::Blob(digest), _) => blobs::get(&call, parse_digest(&digest)?).await,
        (Endpoint::Uploads, _) => uploads::begin(&call, body).await,
        (Endpoint::Upload(id), "PATCH") => uploads::append(&call, &id, body).await,
        (Endpoint::Upload(id), "PUT") => uploads::finish(&call, &id, body).await,
        (Endpoint::Upload(id), "DELETE") => uploads::cancel(&call, &id).await,
        (Endpoint::Upload(id), _) => uploads::status(&call, &id).await,
    }?;
    if let Some(namespace) = call.mirror.as_ref().and_then(|mirror| mirror.namespace.clone()) {
        set(response.headers_mut(), vec![(NAMESPACE, namespace)]);
    }
    Ok(response)
}

/// What a method of an endpoint does to its repository.
fn action(endpoint: &Endpoint, method: &Method) -> Result<Action> {
    let (is_read, method) = (matches!(*method, Method::GET | Method::HEAD), method.as_str());
    match (endpoint, method) {
        (Endpoint::Uploads, "POST") => Ok(Action::Push),
        (Endpoint::Uploads, _) => Err(Failure::method("POST")),
        (Endpoint::Upload(_), "PATCH" | "PUT" | "DELETE") => Ok(Action::Push),
        (Endpoint::Upload(_), _) if is_read => Ok(Action::Push),
        (Endpoint::Upload(_), _) => Err(Failure::method("GET, HEAD, PATCH, PUT, DELETE")),
        _ if is_read => Ok(Action::Pull),
        (Endpoint::Manifest(_), "PUT") => Ok(Action::Push),
        (Endpoint::Manifest(_) | Endpoint::Blob(_), "DELETE") => Ok(Action::Delete),
        (Endpoint::Manifest(_), _) => Err(Failure::method("GET, HEAD, PUT, DELETE")),
        (Endpoint::Blob(_), _) => Err(Failure::method("GET, HEAD, DELETE")),
        (Endpoint::Tags | Endpoint::Referrers(_), _) => Err(Failure::method("GET, HEAD")),
    }
}

/// A request to an endpoint of a repository that its sender may make, without its body.
struct Call<'a> {
    registry: &'a Registry,
    service: &'a RegistryService,
    /// The repository that is meant.
    repository: Repository,
    /// What it mirrors.
    mirror: Option<MirrorName>,
    /// Its name as the client wrote it, which goes into locations.
    written: Repository,
    caller: Caller,
    parts: &'a Parts,
    query: Parameters,
}

impl<'a> Call<'a> {
    async fn admit(
        shared: &'a Shared,
        parts: &'a Parts,
        query: Parameters,
        written: Repository,
        action: Action,
    ) -> Result<Call<'a>> {
        let Shared { registry, service } = shared;
        let (repository, mirror) = place(shared, &written, query.first("ns"), action).await?;
        let caller = match &mirror {
            None => admit(service, parts, &[Need::Repository(&repository, action)]).await?,
            // Nobody here owns what a mirror has: everybody may read it, or everybody who signed in.
            Some(MirrorName { requires_sign_in: false, .. }) => admit(service, parts, &[]).await?,
            Some(MirrorName { requires_sign_in: true, .. }) => {
                let caller = admit(service, parts, &[Need::Identity]).await?;
                if caller.account.is_none() {
                    let message = "this mirror may hold private images: sign in".to_owned();
                    return Err(Refusal::Denied { message }.into());
                }
                caller
            }
        };
        Ok(Call { registry, service, repository, mirror, written, caller, parts, query })
    }

    /// The value of a header, if it is text.
    fn header(&self, name: HeaderName) -> Option<&str> {
        self.parts.headers.get(name)?.to_str().ok()
    }

    fn blob_location(&self, digest: &Digest) -> String {
        format!("/v2/{}/blobs/{digest}", self.written)
    }

    /// Where content of this repository comes from that is not here.
    fn upstream(&self) -> Option<&dyn Upstream> {
        self.mirror.as_ref().and(self.service.upstream.as_deref())
    }

    async fn quota(&self) -> Result<Quota> {
        Quota::of(self.service, &self.caller, &self.repository).await
    }
}

/// The repository that a name means, and what it mirrors.
async fn place(
    shared: &Shared,
    written: &Repository,
    namespace: Option<&str>,
    action: Action,
) -> Result<(Repository, Option<MirrorName>)> {
    let here = shared.registry.resolve(written).await?;
    let place = shared.service.upstream.as_ref().map_or(Place::Here, |upstream| upstream.place(written, namespace));
    let is_read = action == Action::Pull;
    match place {
        Place::Here => Ok((here, None)),
        Place::Nowhere => Err(RegistryError::RepositoryUnknown(written.to_string()).into()),
        Place::Mirror(_) if !is_read => Err(RegistryError::MirrorOnly(written.to_string()).into()),
        Place::MirrorUnlessHere(_) if !is_read || shared.registry.has(&here).await? => Ok((here, None)),
        Place::Mirror(mirror) | Place::MirrorUnlessHere(mirror) => Ok((mirror.repository.clone(), Some(mirror))),
    }
}

/// `GET`, `HEAD` of `/v2/`: end-1.
async fn base(shared: &Shared, parts: &Parts) -> Result {
    match parts.method {
        Method::GET | Method::HEAD => {
            admit(&shared.service, parts, &[Need::Identity]).await?;
            Ok(Json(json!({})).into_response())
        }
        _ => Err(Failure::method("GET, HEAD")),
    }
}

fn parse_digest(written: &str) -> Result<Digest> {
    written.parse().map_err(|cause| Failure::digest(written, cause))
}

/// An answer without body.
fn empty(status: StatusCode, headers: Vec<(HeaderName, String)>) -> Response {
    let mut response = Response::new(Body::empty());
    *response.status_mut() = status;
    set(response.headers_mut(), headers);
    if status != StatusCode::NO_CONTENT && status != StatusCode::NOT_MODIFIED {
        response.headers_mut().insert(CONTENT_LENGTH, HeaderValue::from_static("0"));
    }
    response
}

/// An answer with a JSON document of this media type.
fn document(media_type: &'static str, value: &impl serde::Serialize) -> Result {
    let text = serde_json::to_string(value)
        .map_err(|cause| Failure::new(StatusCode::INTERNAL_SERVER_ERROR, "UNKNOWN", cause.to_string()))?;
    let mut response = Response::new(Body::empty());
    response.headers_mut().insert(CONTENT_LENGTH, HeaderValue::from(text.len()));
    response.headers_mut().insert(CONTENT_TYPE, HeaderValue::from_static(media_type));
    *response.body_mut() = Body::from(text);
    Ok(response)
}

/// Sets headers. What cannot stand in one (a stored media type with a line break) is left out.
fn set(headers: &mut HeaderMap, new: Vec<(HeaderName, String)>) {
    for (name, value) in new {
        if let Ok(value) = HeaderValue::try_from(value) {
            headers.insert(name, value);
        }
    }
}

/// A warning that clients show to their users (RFC 7234, section 5.5.1; OCI distribution-spec, "Warnings").
fn warning(text: &str) -> (HeaderName, String) {
    let text = text.replace(['"', '\\'], "'").replace(char::is_control, " ");
    (WARNING, format!("299 - \"{text}\""))
}

/// The headers that tell content by its digest.
fn content_headers(digest: &Digest) -> Vec<(HeaderName, String)> {
    vec![(CONTENT_DIGEST, digest.to_string()), (ETAG, format!("\"{digest}\""))]
}

/// Whether the client has this content already (RFC 9110, section 13.1.2).
fn is_not_modified(headers: &HeaderMap, digest: &Digest) -> bool {
    if !headers.contains_key(IF_NONE_MATCH) {
        return false;
    }
    let digest = digest.to_string();
    headers
        .get_all(IF_NONE_MATCH)
        .iter()
        .filter_map(|value| value.to_str().ok())
        .flat_map(|value| value.split(','))
        .any(|tag| {
            let tag = tag.trim();
            tag == "*" || tag.strip_prefix("W/").unwrap_or(tag).trim_matches('"') == digest
        })
}
