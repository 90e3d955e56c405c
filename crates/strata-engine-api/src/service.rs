//! One request from its head to its answer: the version it speaks, whether it may change anything, the headers of every
//! answer, and the audit log: one line for each call that may change something.

use std::path::PathBuf;
use std::sync::Arc;
use std::time::Instant;

use axum::body::Body;
use axum::response::Response;
use http::{HeaderMap, HeaderValue, Method, Request, StatusCode, header};
use percent_encoding::percent_decode_str;
use strata_engine::ViewPolicy;
use strata_registry_client::RegistryClient;
use strata_store::Store;
use strata_transfer::CopyLimits;

use crate::call::{Call, Query, Unread};
use crate::meetings::Meetings;
use crate::routes;
use crate::status::{Answer, Failure};
use crate::version::ApiVersion;

/// The version of docker whose answers these are. Clients look for `Docker/` and the system in parentheses.
const SERVER: &str = "Docker/28.5.2 (linux)";

/// What clients may do.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Access {
    /// Everything.
    Full,
    /// Look at things.
    ReadOnly,
}

/// How registries are reached, as `info` tells it.
#[derive(Clone, Debug, Default)]
pub struct Registries {
    /// Addresses of Docker Hub's mirrors.
    pub mirrors: Vec<String>,
    /// Hosts and ranges of addresses that are trusted without proof.
    pub insecure: Vec<String>,
}

/// The engine as the API serves it.
pub struct EngineService {
    /// The store.
    pub store: Store,
    /// Its directory.
    pub root: PathBuf,
    /// The registry client, without credentials of its own: each request brings its own.
    pub client: RegistryClient,
    /// How that client reaches registries.
    pub registries: Registries,
    /// Whether pulled images are prepared for mounting.
    pub view: ViewPolicy,
    /// How much is transferred at once.
    pub limits: CopyLimits,
    /// What clients may do.
    pub access: Access,
    /// The program's version.
    pub version: &'static str,
    /// What requests that run at the same time have to do with each other.
    pub meetings: Meetings,
}

/// Who asks, for the audit log: `uid=1000 pid=42`, or the name in a client's certificate and its address.
#[derive(Clone, Debug)]
pub(crate) struct Peer(pub(crate) Arc<str>);

impl EngineService {
    /// Answers a request.
    pub(crate) async fn answer(self: Arc<Self>, mut request: Request<Body>, peer: &Peer) -> Response {
        let begun = Instant::now();
        let (method, uri) = (request.method().clone(), request.uri().clone());
        let upgrade = request.extensions_mut().remove();
        let (head, body) = request.into_parts();
        let mut changes = false;
        let answer = async {
            let (version, path) = ApiVersion::split(uri.path()).ok_or_else(Failure::page_not_found)??;
            let path = percent_decode_str(path).decode_utf8().map_err(|_| Failure::page_not_found())?.into_owned();
            let segments: Vec<&str> = path.trim_start_matches('/').split('/').collect();
            changes = may_change(&method, &segments);
            if changes && self.access == Access::ReadOnly {
                let message = format!("strata serves read-only: {method} {path} is refused");
                return Err(Failure::new(StatusCode::FORBIDDEN, message));
            }
            let query = Query::parse(uri.query().unwrap_or_default());
            let call = Call {
                engine: self.clone(),
                version,
                method: method.clone(),
                query,
                headers: head.headers,
                body: Unread(body).into(),
                upgrade,
            };
            routes::dispatch(call, &segments).await
        };
        let mut response = unified(answer.await);
        add_headers(response.headers_mut());
        if changes {
            let status = response.status().as_u16();
            let milliseconds = begun.elapsed().as_millis();
            tracing::info!(target: "audit", peer = %peer.0, %method, path = uri.path(), status, milliseconds, "call");
        }
        if method == Method::HEAD {
            *response.body_mut() = Body::empty();
        }
        response
    }
}

fn unified(answer: Answer) -> Response {
    answer.unwrap_or_else(|failure| {
        if failure.status.is_server_error() && failure.status != StatusCode::NOT_IMPLEMENTED {
            tracing::warn!(error = failure.message, "a call failed");
        }
        failure.into_response()
    })
}

/// Whether a call may change something. What only waits or asks a registry does not.
fn may_change(method: &Method, path: &[&str]) -> bool {
    match *method {
        Method::GET => matches!(path, ["containers", _, "attach", "ws"]),
        Method::HEAD | Method::OPTIONS => false,
        _ => !matches!(path, ["auth"] | ["containers", _, "wait"]),
    }
}

fn add_headers(headers: &mut HeaderMap) {
    let newest = ApiVersion::NEWEST.to_string();
    headers.insert(header::SERVER, HeaderValue::from_static(SERVER));
    headers.insert("api-version", HeaderValue::from_str(&newest).unwrap_or(HeaderValue::from_static("1.51")));
    headers.insert("ostype", HeaderValue::from_static("linux"));
    headers.insert("docker-experimental", HeaderValue::from_static("false"));
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn calls_that_change_something() {
        let changes = |method: Method, path: &str| {
            let segments: Vec<&str> = path.split('/').collect();
            may_change(&method, &segments)
        };
        for path in ["images/create", "images/x/push", "containers/x/attach", "exec/x/start", "build", "nosuch"] {
            assert!(changes(Method::POST, path), "{path}");
        }
        assert!(changes(Method::DELETE, "images/x") && changes(Method::PUT, "containers/x/archive"));
        assert!(changes(Method::GET, "containers/x/attach/ws"));
        assert!(!changes(Method::POST, "auth") && !changes(Method::POST, "containers/x/wait"));
        assert!(!changes(Method::GET, "images/json") && !changes(Method::HEAD, "_ping"));
    }
}
