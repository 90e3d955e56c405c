//! Failures as the protocol writes them (OCI distribution-spec, "Error Codes").

use axum::body::Body;
use axum::response::{IntoResponse, Response};
use http::header::{CONTENT_TYPE, HeaderName, RETRY_AFTER};
use http::{HeaderValue, StatusCode};
use serde_json::{Value, json};
use strata_model::{DigestError, ErrorKind, ManifestError, ReferenceError};
use strata_store::StoreError;
use strata_store::registry::RegistryError;

/// Result of a request.
pub(crate) type Result<T = Response, E = Failure> = std::result::Result<T, E>;

/// A request that failed.
#[derive(Debug)]
pub(crate) struct Failure {
    pub(crate) status: StatusCode,
    code: &'static str,
    message: String,
    details: Vec<Value>,
    headers: Vec<(HeaderName, HeaderValue)>,
}

impl Failure {
    pub(crate) fn new(status: StatusCode, code: &'static str, message: impl Into<String>) -> Failure {
        Failure { status, code, message: message.into(), details: Vec::new(), headers: Vec::new() }
    }

    pub(crate) fn digest(written: &str, cause: DigestError) -> Failure {
        Failure::new(StatusCode::BAD_REQUEST, "DIGEST_INVALID", format!("digest {written:?}: {cause}"))
    }

    pub(crate) fn name(written: &str, cause: ReferenceError) -> Failure {
        Failure::new(StatusCode::BAD_REQUEST, "NAME_INVALID", format!("repository {written:?}: {cause}"))
    }

    pub(crate) fn tag(written: &str, cause: ReferenceError) -> Failure {
        Failure::new(StatusCode::BAD_REQUEST, "TAG_INVALID", format!("tag {written:?}: {cause}"))
    }

    /// No endpoint has such a path.
    pub(crate) fn no_such_path() -> Failure {
        Failure::new(StatusCode::NOT_FOUND, "UNSUPPORTED", "no endpoint of the registry has this path")
    }

    /// The endpoint does not have such a method.
    pub(crate) fn method(allowed: &'static str) -> Failure {
        let failure = Failure::new(StatusCode::METHOD_NOT_ALLOWED, "UNSUPPORTED", format!("allowed here: {allowed}"));
        failure.with_header(http::header::ALLOW, HeaderValue::from_static(allowed))
    }

    pub(crate) fn size(message: impl Into<String>) -> Failure {
        Failure::new(StatusCode::BAD_REQUEST, "SIZE_INVALID", message)
    }

    pub(crate) fn range(message: impl Into<String>) -> Failure {
        Failure::new(StatusCode::RANGE_NOT_SATISFIABLE, "RANGE_INVALID", message)
    }

    pub(crate) fn with_header(mut self, name: HeaderName, value: HeaderValue) -> Failure {
        self.headers.push((name, value));
        self
    }
}

impl From<RegistryError> for Failure {
    fn from(error: RegistryError) -> Failure {
        let (status, code) = status_and_code(&error);
        let mut failure = Failure::new(status, code, error.to_string());
        failure.details = match &error {
            RegistryError::ReferencesUnknown { missing, .. } => {
                missing.iter().map(|digest| json!({ "digest": digest })).collect()
            }
            RegistryError::RepositoryUnknown(name) => vec![json!({ "name": name })],
            RegistryError::BlobUnknown { digest, .. } => vec![json!({ "digest": digest })],
            _ => Vec::new(),
        };
        failure
    }
}

fn status_and_code(error: &RegistryError) -> (StatusCode, &'static str) {
    match error {
        RegistryError::RepositoryUnknown(_) => (StatusCode::NOT_FOUND, "NAME_UNKNOWN"),
        RegistryError::BlobUnknown { .. } => (StatusCode::NOT_FOUND, "BLOB_UNKNOWN"),
        RegistryError::ManifestUnknown { .. } => (StatusCode::NOT_FOUND, "MANIFEST_UNKNOWN"),
        RegistryError::UploadUnknown(_) => (StatusCode::NOT_FOUND, "BLOB_UPLOAD_UNKNOWN"),
        RegistryError::UploadBusy(_) => (StatusCode::SERVICE_UNAVAILABLE, "UNAVAILABLE"),
        RegistryError::DigestMismatch { .. } => (StatusCode::BAD_REQUEST, "DIGEST_INVALID"),
        RegistryError::ManifestMalformed(ManifestError::TooLarge(_)) => {
            (StatusCode::PAYLOAD_TOO_LARGE, "MANIFEST_INVALID")
        }
        RegistryError::ManifestMalformed(_) | RegistryError::MediaType { .. } => {
            (StatusCode::BAD_REQUEST, "MANIFEST_INVALID")
        }
        RegistryError::ReferencesUnknown { .. } => (StatusCode::BAD_REQUEST, "MANIFEST_BLOB_UNKNOWN"),
        RegistryError::InUse { .. } => (StatusCode::METHOD_NOT_ALLOWED, "DENIED"),
        RegistryError::TagMoved { .. } => (StatusCode::SERVICE_UNAVAILABLE, "UNAVAILABLE"),
        RegistryError::MirrorOnly(_) => (StatusCode::METHOD_NOT_ALLOWED, "UNSUPPORTED"),
        RegistryError::Upstream { kind: ErrorKind::RateLimited, .. } => {
            (StatusCode::TOO_MANY_REQUESTS, "TOOMANYREQUESTS")
        }
        RegistryError::Upstream { .. } => (StatusCode::BAD_GATEWAY, "UNAVAILABLE"),
        RegistryError::Store(error) => match error.kind() {
            ErrorKind::Unavailable | ErrorKind::RateLimited => (StatusCode::SERVICE_UNAVAILABLE, "UNAVAILABLE"),
            ErrorKind::Storage => (StatusCode::INSUFFICIENT_STORAGE, "UNAVAILABLE"),
            _ => (StatusCode::INTERNAL_SERVER_ERROR, "UNKNOWN"),
        },
    }
}

impl From<StoreError> for Failure {
    fn from(error: StoreError) -> Failure {
        RegistryError::from(error).into()
    }
}

impl IntoResponse for Failure {
    fn into_response(mut self) -> Response {
        if self.status.is_server_error() {
            tracing::error!(status = self.status.as_u16(), message = self.message, "a request failed");
        }
        if self.details.is_empty() {
            self.details.push(Value::Null);
        }
        let errors: Vec<Value> = self
            .details
            .iter()
            .map(|detail| json!({ "code": self.code, "message": self.message, "detail": detail }))
            .collect();
        let mut response = Response::new(Body::from(json!({ "errors": errors }).to_string()));
        *response.status_mut() = self.status;
        let headers = response.headers_mut();
        headers.insert(CONTENT_TYPE, HeaderValue::from_static("application/json"));
        if matches!(self.status, StatusCode::SERVICE_UNAVAILABLE | StatusCode::TOO_MANY_REQUESTS) {
            headers.insert(RETRY_AFTER, HeaderValue::from_static("1"));
        }
        for (name, value) in self.headers {
            headers.insert(name, value);
        }
        response
    }
}
