//! Signing in and out, what belongs to an account, and what an account shows to others.

use askama::Template;
use axum::extract::Path;
use axum::response::{IntoResponse as _, Response};
use http::StatusCode;
use strata_hub::records::{RepositoryFilter, RepositoryOrder};
use strata_model::ErrorKind;

use crate::failure::{Failure, Result};
use crate::site::{Frame, Values, Visit, own_path, page, see_other};
use crate::views::{Badge, Card};

/// Repositories on a page.
const PAGE: u64 = 24;

#[derive(Template)]
#[template(path = "sign_in.html")]
struct SignIn {
    frame: Frame,
    name: String,
    next: String,
    problem: Option<String>,
}

/// `GET /sign-in?next=`.
pub(crate) async fn sign_in_form(visit: Visit) -> Response {
    let next = own_path(Values::of(visit.uri.query().unwrap_or_default()).first("next"));
    page(SignIn { frame: visit.frame(""), name: String::new(), next, problem: None })
}

/// `POST /sign-in`. A new session gets a new cookie, whatever the browser sent before.
pub(crate) async fn sign_in(visit: Visit, form: String) -> Result {
    let values = Values::of(&form);
    let (name, next) = (values.first("name").trim(), own_path(values.first("next")));
    let problem = match visit.hub.authenticate(name, values.first("password"), Some(visit.peer)).await {
        Ok(identity) => {
            let cookie = visit.begin_session(&identity).await?;
            return Ok(see_other(&next, Some(cookie)));
        }
        Err(error) => match error.kind() {
            ErrorKind::Unauthenticated | ErrorKind::RateLimited | ErrorKind::Denied => error.to_string(),
            _ => return Err(Failure::of(&visit, error)),
        },
    };
    let form = SignIn { frame: visit.frame(""), name: name.to_owned(), next, problem: Some(problem) };
    Ok((StatusCode::UNAUTHORIZED, page(form)).into_response())
}

/// `POST /sign-out`.
pub(crate) async fn sign_out(visit: Visit) -> Response {
    see_other("/", Some(visit.end_session()))
}

#[derive(Template)]
#[template(path = "list.html")]
struct List {
    frame: Frame,
    heading: String,
    empty: String,
    name: String,
    cards: Vec<Card>,
    total: u64,
    previous: Option<String>,
    next: Option<String>,
}

/// `GET /my`: the visitor's own repositories.
pub(crate) async fn mine(visit: Visit) -> Result {
    let account = visit.signed_in("/my")?.account.clone();
    let push = format!("Nothing yet. Push the first one to {}/{account}/NAME.", visit.host);
    list(&visit, "My repositories".to_owned(), push, &account, "/my").await
}

/// `GET /u/{name}`: what somebody shows.
pub(crate) async fn namespace(visit: Visit, Path(name): Path<String>) -> Result {
    let path = format!("/u/{name}");
    list(&visit, name.clone(), "Nothing that you may see.".to_owned(), &name, &path).await
}

async fn list(visit: &Visit, heading: String, empty: String, namespace: &str, path: &str) -> Result {
    let values = Values::of(visit.uri.query().unwrap_or_default());
    let (number, name) = (values.number("page").max(1), values.first("name").to_owned());
    let filter = RepositoryFilter {
        namespace: Some(namespace.to_owned()),
        name: Some(name.clone()).filter(|name| !name.is_empty()),
        order: RepositoryOrder::Updated,
        readable: visit.readable().await?,
        skip: (number - 1).saturating_mul(PAGE),
        limit: PAGE,
        ..RepositoryFilter::default()
    };
    let (total, rows) = visit.hub.repositories(&filter).await.map_err(|error| Failure::of(visit, error))?;
    let address = |number: u64| format!("{path}?{}", values.with("page", &number.to_string()));
    Ok(page(List {
        frame: visit.frame(""),
        heading,
        empty,
        name,
        cards: rows.iter().map(|row| Card::of(row, visit.now)).collect(),
        total,
        previous: (number > 1).then(|| address(number - 1)),
        next: (number.saturating_mul(PAGE) < total).then(|| address(number + 1)),
    }))
}
