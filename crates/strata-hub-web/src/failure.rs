//! Pages that say what went wrong and what to do next.

use askama::Template;
use axum::response::{IntoResponse, Response};
use http::StatusCode;
use strata_hub::HubError;
use strata_model::ErrorKind;

use crate::site::{Frame, Visit, page, see_other};
use crate::views::Step;

/// A request that got no page.
pub(crate) struct Failure(Response);

/// Result of a page.
pub(crate) type Result<T = Response, E = Failure> = std::result::Result<T, E>;

#[derive(Template)]
#[template(path = "error.html")]
struct ErrorPage {
    frame: Frame,
    title: &'static str,
    message: String,
    steps: Vec<Step>,
}

impl Failure {
    /// There is nothing here, or the visitor may not know of it.
    pub(crate) fn not_found(visit: &Visit, what: &str) -> Failure {
        let mut steps = vec![step("Search for an image", "/search".into()), step("Go to the first page", "/".into())];
        if visit.identity.is_none() {
            let next = visit.frame("").here;
            steps.insert(0, step("Sign in: it may be private", format!("/sign-in?next={next}")));
        }
        Failure::page(
            visit,
            StatusCode::NOT_FOUND,
            "Not found",
            format!("There is no {what} here that you may see."),
            steps,
        )
    }

    /// What was asked for needs an account; after signing in one is led to `next`.
    pub(crate) fn sign_in(next: &str) -> Failure {
        let encoded = percent_encoding::utf8_percent_encode(next, percent_encoding::NON_ALPHANUMERIC);
        Failure(see_other(&format!("/sign-in?next={encoded}"), None))
    }

    /// A rule said no.
    pub(crate) fn of(visit: &Visit, error: HubError) -> Failure {
        let status = status_of(&error);
        let title = match error.kind() {
            ErrorKind::NotFound => "Not found",
            ErrorKind::Invalid => "That cannot be",
            ErrorKind::Conflict | ErrorKind::AlreadyExists => "That clashes with what is there",
            ErrorKind::Unauthenticated => "Sign in first",
            ErrorKind::Denied => "Not allowed",
            ErrorKind::RateLimited => "Too many attempts",
            ErrorKind::Unavailable => "Busy",
            ErrorKind::Storage => "The hub's disk is full",
            _ => "Something went wrong",
        };
        let message = match status.is_server_error() {
            true => {
                tracing::error!(%error, path = visit.uri.path(), "a page failed");
                "The hub's operators find the cause in its log. Try again in a moment.".to_owned()
            }
            false => format!("{error}."),
        };
        Failure::page(visit, status, title, message, vec![step("Go to the first page", "/".into())])
    }

    fn page(visit: &Visit, status: StatusCode, title: &'static str, message: String, steps: Vec<Step>) -> Failure {
        let mut response = page(ErrorPage { frame: visit.frame(""), title, message, steps });
        *response.status_mut() = status;
        Failure(response)
    }
}

/// The status that tells a failure.
pub(crate) fn status_of(error: &HubError) -> StatusCode {
    match error.kind() {
        ErrorKind::NotFound => StatusCode::NOT_FOUND,
        ErrorKind::Invalid => StatusCode::BAD_REQUEST,
        ErrorKind::Conflict | ErrorKind::AlreadyExists => StatusCode::CONFLICT,
        ErrorKind::Unauthenticated => StatusCode::UNAUTHORIZED,
        ErrorKind::Denied => StatusCode::FORBIDDEN,
        ErrorKind::RateLimited => StatusCode::TOO_MANY_REQUESTS,
        ErrorKind::Unavailable => StatusCode::SERVICE_UNAVAILABLE,
        ErrorKind::Storage => StatusCode::INSUFFICIENT_STORAGE,
        _ => StatusCode::INTERNAL_SERVER_ERROR,
    }
}

fn step(label: &str, address: String) -> Step {
    Step { label: label.to_owned(), address, is_current: false }
}

impl IntoResponse for Failure {
    fn into_response(self) -> Response {
        self.0
    }
}
