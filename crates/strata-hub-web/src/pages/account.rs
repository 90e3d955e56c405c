//! Signing in and out, what belongs to an account, and what an account shows to others.

use askama::Template;
use axum::extract::Path;
use axum::response::{IntoResponse as _, Response};
use http::StatusCode;
use strata_hub::records::{AccountKind, RepositoryFilter, RepositoryOrder};
use strata_model::ErrorKind;

use crate::failure::{Failure, Result};
use crate::pages::{password, register, second_factor};
use crate::site::{Frame, Values, Visit, own_path, page, see_other};
use crate::views::{Badge, Card, Step};
use crate::words;

/// Repositories on a page.
const PAGE: u64 = 24;

#[derive(Template)]
#[template(path = "sign_in.html")]
struct SignIn {
    frame: Frame,
    name: String,
    next: String,
    problem: Option<String>,
    may_register: bool,
}

/// `GET /sign-in?next=`.
pub(crate) async fn sign_in_form(visit: Visit) -> Response {
    let next = own_path(Values::of(visit.uri.query().unwrap_or_default()).first("next"));
    page(SignIn {
        frame: visit.frame(""),
        name: String::new(),
        next,
        problem: None,
        may_register: register::is_open(&visit),
    })
}

/// `POST /sign-in`. A new session gets a new cookie, whatever the browser sent before.
pub(crate) async fn sign_in(visit: Visit, form: String) -> Result {
    let values = Values::of(&form);
    let (name, next) = (values.first("name").trim(), own_path(values.first("next")));
    let problem = match visit.hub.sign_in(name, values.first("password"), Some(visit.peer)).await {
        Ok(signed) => return second_factor::go_on(&visit, signed, &next, "").await,
        // The password was right, but is good for choosing another one only.
        Err(error) if error.kind() == ErrorKind::Denied && has_one_time_password(&visit, name).await => {
            return Ok(password::must_change(name, &next));
        }
        Err(error) => match error.kind() {
            ErrorKind::Unauthenticated | ErrorKind::RateLimited | ErrorKind::Denied => error.to_string(),
            _ => return Err(Failure::of(&visit, error)),
        },
    };
    let may_register = register::is_open(&visit);
    let form = SignIn { frame: visit.frame(""), name: name.to_owned(), next, problem: Some(problem), may_register };
    Ok((StatusCode::UNAUTHORIZED, page(form)).into_response())
}

async fn has_one_time_password(visit: &Visit, name: &str) -> bool {
    visit.hub.account(&name.to_ascii_lowercase()).await.is_ok_and(|account| account.password_is_one_time)
}

/// `POST /sign-out`.
pub(crate) async fn sign_out(visit: Visit) -> Result {
    if let Some(who) = &visit.identity {
        visit.hub.sign_out(who).await.map_err(|error| Failure::of(&visit, error))?;
    }
    Ok(see_other("/", Some(visit.end_session())))
}

#[derive(Template)]
#[template(path = "list.html")]
struct List {
    frame: Frame,
    heading: String,
    is_verified: bool,
    /// What the account says of itself.
    description: String,
    link: String,
    /// What is known of the account, one thing each.
    facts: Vec<String>,
    /// What the visitor may do here.
    steps: Vec<Step>,
    empty: String,
    name: String,
    cards: Vec<Card>,
    total: String,
    previous: Option<String>,
    next: Option<String>,
}

/// `GET /my`: the visitor's own repositories.
pub(crate) async fn mine(visit: Visit) -> Result {
    let who = visit.signed_in("/my")?;
    let failed = |error| Failure::of(&visit, error);
    let account = visit.hub.account(&who.account).await.map_err(failed)?;
    let stored = words::size(visit.hub.stored_bytes(&account.name).await.map_err(failed)?);
    let stored = match account.quota {
        Some(quota) => format!("{stored} of {} stored", words::size(quota)),
        None => format!("{stored} stored"),
    };
    let mut steps = vec![step("New repository", "/new".into())];
    let organizations = visit.hub.organizations_of(who).await.map_err(failed)?;
    steps.extend(organizations.into_iter().map(|(account, _)| step(&account.name, format!("/u/{}", account.name))));
    let list = List {
        heading: "My repositories".into(),
        is_verified: false,
        facts: vec![stored],
        steps,
        empty: format!("Nothing yet. Push the first one to {}/{}/NAME.", visit.host, account.name),
        ..List::of(&visit, &account.name, "/my").await?
    };
    Ok(page(list))
}

/// `GET /u/{name}` and `GET /orgs/{name}`: what somebody shows.
pub(crate) async fn namespace(visit: Visit, Path(name): Path<String>) -> Result {
    let failed = |error| Failure::of(&visit, error);
    let Ok(account) = visit.hub.account(&name).await else { return Err(Failure::not_found(&visit, "account")) };
    let mut facts = Vec::new();
    facts.extend([account.full_name, account.location].into_iter().filter(|text| !text.is_empty()));
    if account.kind == AccountKind::Organization {
        let members = visit.hub.count_members(&name).await.map_err(failed)?;
        facts.push(format!("Organization with {}", words::counted(members as u64, "member")));
    }
    facts.push(format!("since {}", words::exact(account.created).get(..10).unwrap_or_default()));
    let mut steps = Vec::new();
    if let Some(who) = &visit.identity {
        if visit.hub.writable_namespaces(who).await.map_err(failed)?.contains(&name) {
            steps.push(step("New repository", format!("/new?namespace={name}")));
        }
        if visit
            .hub
            .owned_organization(Some(who), &name)
            .await
            .is_ok_and(|found| found.kind == AccountKind::Organization)
        {
            steps.push(step("Members, teams and tokens", format!("/orgs/{name}/members")));
        }
    }
    let path = format!("/u/{name}");
    let list = List {
        is_verified: account.is_verified_publisher,
        description: account.description,
        link: account.link,
        facts,
        steps,
        empty: "Nothing that you may see.".into(),
        ..List::of(&visit, &name, &path).await?
    };
    Ok(page(list))
}

fn step(label: &str, address: String) -> Step {
    Step { label: label.to_owned(), address, is_current: false }
}

impl List {
    /// The repositories of a namespace that the visitor may see.
    async fn of(visit: &Visit, namespace: &str, path: &str) -> Result<List> {
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
        Ok(List {
            frame: visit.frame(""),
            heading: namespace.to_owned(),
            is_verified: false,
            description: String::new(),
            link: String::new(),
            facts: Vec::new(),
            steps: Vec::new(),
            empty: String::new(),
            name,
            cards: rows.iter().map(|row| Card::of(row, visit.now)).collect(),
            total: if total == 1 { "1 repository".into() } else { format!("{total} repositories") },
            previous: (number > 1).then(|| address(number - 1)),
            next: (number.saturating_mul(PAGE) < total).then(|| address(number + 1)),
        })
    }
}
