//! Failures as JSON: `{"detail": …, "message": …}` with the status of their kind.

use axum::Json;
use axum::response::{IntoResponse, Response};
use http::header::RETRY_AFTER;
use http::{HeaderValue, StatusCode};
use serde::Serialize;
use strata_hub::HubError;
use strata_model::ErrorKind;
use utoipa::ToSchema;

use crate::endpoints::{Answer, Draft};

/// Result of a request.
pub(crate) type Result<T, E = Failure> = std::result::Result<T, E>;

/// A request that failed.
#[derive(Debug)]
pub(crate) struct Failure {
    pub(crate) status: StatusCode,
    pub(crate) message: String,
    retry_after: Option<u64>,
}

/// Why it was refused: twice the same words.
#[derive(Serialize, ToSchema)]
pub(crate) struct FailureBody {
    detail: String,
    message: String,
}

impl Answer for Failure {
    fn describe(draft: Draft) -> Draft {
        draft.answers::<FailureBody>("4XX", "Refused")
    }
}

impl Failure {
    pub(crate) fn new(status: StatusCode, message: impl Into<String>) -> Failure {
        Failure { status, message: message.into(), retry_after: None }
    }
}

impl From<HubError> for Failure {
    fn from(error: HubError) -> Failure {
        let status = match error.kind() {
            ErrorKind::NotFound => StatusCode::NOT_FOUND,
            ErrorKind::AlreadyExists | ErrorKind::Conflict => StatusCode::CONFLICT,
            ErrorKind::Invalid => StatusCode::BAD_REQUEST,
            ErrorKind::Unauthenticated => StatusCode::UNAUTHORIZED,
            ErrorKind::Denied => StatusCode::FORBIDDEN,
            ErrorKind::RateLimited => StatusCode::TOO_MANY_REQUESTS,
            ErrorKind::Unavailable => StatusCode::SERVICE_UNAVAILABLE,
            ErrorKind::Storage => StatusCode::INSUFFICIENT_STORAGE,
            _ => StatusCode::INTERNAL_SERVER_ERROR,
        };
        let retry_after = match error {
            HubError::RateLimited { retry_after } => Some(retry_after),
            _ => None,
        };
        Failure { status, message: error.to_string(), retry_after }
    }
}

impl IntoResponse for Failure {
    fn into_response(self) -> Response {
        if self.status.is_server_error() {
            tracing::error!(status = self.status.as_u16(), message = self.message, "a request failed");
        }
        let body = Json(FailureBody { detail: self.message.clone(), message: self.message });
        let mut response = (self.status, body).into_response();
        if let Some(seconds) = self.retry_after {
            response.headers_mut().insert(RETRY_AFTER, HeaderValue::from(seconds));
        }
        response
    }
}
