//! Failures as docker's API tells them: a status by the kind of error, and `{"message": …}`.

use axum::body::Body;
use axum::response::Response;
use http::{HeaderValue, StatusCode, header};
use serde_json::json;
use strata_engine::EngineError;
use strata_model::ErrorKind;
use strata_store::StoreError;
use strata_transfer::TransferError;

/// What a handler gives.
pub(crate) type Answer = Result<Response, Failure>;

/// A request that failed.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Failure {
    pub(crate) status: StatusCode,
    pub(crate) message: String,
}

/// The one table from kinds of errors to statuses.
fn status(kind: ErrorKind) -> StatusCode {
    match kind {
        ErrorKind::NotFound => StatusCode::NOT_FOUND,
        ErrorKind::AlreadyExists | ErrorKind::Conflict => StatusCode::CONFLICT,
        ErrorKind::Invalid => StatusCode::BAD_REQUEST,
        ErrorKind::Unauthenticated => StatusCode::UNAUTHORIZED,
        ErrorKind::Denied => StatusCode::FORBIDDEN,
        ErrorKind::RateLimited => StatusCode::TOO_MANY_REQUESTS,
        ErrorKind::Unsupported => StatusCode::NOT_IMPLEMENTED,
        ErrorKind::Unavailable
        | ErrorKind::Corrupt
        | ErrorKind::Cancelled
        | ErrorKind::Storage
        | ErrorKind::Internal => StatusCode::INTERNAL_SERVER_ERROR,
    }
}

impl Failure {
    pub(crate) fn new(status: StatusCode, message: impl Into<String>) -> Failure {
        Failure { status, message: message.into() }
    }

    pub(crate) fn bad_request(message: impl Into<String>) -> Failure {
        Failure::new(StatusCode::BAD_REQUEST, message)
    }

    /// Something of docker that Strata does not have.
    pub(crate) fn not_supported(what: impl std::fmt::Display) -> Failure {
        Failure::new(StatusCode::NOT_IMPLEMENTED, format!("not supported by strata: {what}"))
    }

    /// A path that nobody knows.
    pub(crate) fn page_not_found() -> Failure {
        Failure::new(StatusCode::NOT_FOUND, "page not found")
    }

    pub(crate) fn into_response(self) -> Response {
        let mut response = Response::new(Body::from(format!("{}\n", json!({ "message": self.message }))));
        *response.status_mut() = self.status;
        response.headers_mut().insert(header::CONTENT_TYPE, HeaderValue::from_static("application/json"));
        response
    }
}

impl From<EngineError> for Failure {
    fn from(error: EngineError) -> Failure {
        of(error.kind(), error.to_string())
    }
}

impl From<TransferError> for Failure {
    fn from(error: TransferError) -> Failure {
        of(error.kind, error.message)
    }
}

impl From<StoreError> for Failure {
    fn from(error: StoreError) -> Failure {
        of(error.kind(), error.to_string())
    }
}

fn of(kind: ErrorKind, message: String) -> Failure {
    match kind {
        ErrorKind::Unsupported => Failure::not_supported(message),
        kind => Failure::new(status(kind), message),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn kinds_have_docker_s_statuses() {
        let told = |error: EngineError| {
            let failure = Failure::from(error);
            (failure.status.as_u16(), failure.message)
        };
        assert_eq!(told(EngineError::NoSuchImage("x:latest".into())), (404, "No such image: x:latest".into()));
        assert_eq!(told(EngineError::invalid("invalid filter 'x'")), (400, "invalid filter 'x'".into()));
        let conflict = EngineError::Conflict { message: "in use".into() };
        assert_eq!(told(conflict), (409, "conflict: in use".into()));
        let unsupported = EngineError::Unsupported { message: "volumes of type nfs".into(), hint: None };
        assert_eq!(told(unsupported), (501, "not supported by strata: volumes of type nfs".into()));
    }
}
