//! Signing in and out, what belongs to an account, and what an account shows to others.

use askama::Template;
use axum::extract::Path;
use axum::response::{IntoResponse as _, Response};
use http::StatusCode;
use strata_hub::records::{AccountKind, RepositoryFilter, RepositoryOrder, RepositoryRow};
use strata_model::ErrorKind;

use crate::failure::{Failure, Result};
use crate::forms::{Cell, Field, Form, Part, Section, Table, sections};
use crate::pages::{password, register, second_factor};
use crate::site::{Frame, Values, Visit, own_path, page, see_other};
use crate::views::{Badge, Card, Step, repository_path};
use crate::words;

/// Repositories on a page.
const PAGE: u64 = 24;

const SHARED: &str = "What several repositories share is stored once. What a deletion would free is told in the settings of \
                      each repository, before anything goes.";

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
    name: String,
    cards: Vec<Card>,
    total: String,
    previous: Option<String>,
    next: Option<String>,
}

/// `GET /my?name=&page=`: the repositories of the visitor and of the visitor's organizations.
pub(crate) async fn mine(visit: Visit) -> Result {
    let who = visit.signed_in("/my")?;
    let failed = |error| Failure::of(&visit, error);
    let hub = &visit.hub;
    let account = hub.account(&who.account).await.map_err(failed)?;
    let organizations = hub.organizations_of(who).await.map_err(failed)?;
    let mut namespaces = vec![account.name.clone()];
    namespaces.extend(organizations.into_iter().map(|(organization, _)| organization.name));

    let mut stored = Vec::new();
    for name in &namespaces {
        stored.push((name.clone(), words::size(hub.stored_bytes(name).await.map_err(failed)?)));
    }
    if let (Some(quota), Some((_, own))) = (account.quota, stored.first_mut()) {
        own.push_str(&format!(" of {}", words::size(quota)));
    }
    let stored =
        stored.into_iter().map(|(name, size)| vec![Cell::link(&name, format!("/u/{name}")), Cell::Number(size)]);
    let stored = Table { heads: &["Whose", "Stored"], rows: stored.collect(), empty: String::new() };

    let list = Listed::of(&visit, namespaces, "/my").await?;
    let sizes = hub.linked_bytes(&list.rows).await.map_err(failed)?;
    let rows = list.rows.iter().zip(sizes).map(|(row, size)| {
        vec![
            Cell::link(row.full_name(), repository_path(row)),
            Cell::text(if row.is_private { "private" } else { "public" }),
            Cell::Number(words::size(size)),
            Cell::Number(words::count(row.pulls)),
            Cell::Number(words::count(row.stars)),
            Cell::when(row.last_pushed, visit.now, "never"),
        ]
    });
    let table = Table {
        heads: &["Repository", "Seen by", "Holds", "Pulls", "Stars", "Last push"],
        rows: rows.collect(),
        empty: match list.name.is_empty() {
            true => format!("Nothing yet. Push the first one to {}/{}/NAME.", visit.host, account.name),
            false => format!("None has “{}” in its name.", list.name),
        },
    };
    let filter = Form::question("/my", "Filter").with(Field::of_type("search", "name", "Filter by name", &list.name));
    let parts = vec![
        Part::Steps(vec![Step::to("New repository", "/new"), Step::to("New organization", "/orgs/new")]),
        Part::Form(filter),
        Part::Table(table),
        Part::Paging(list.previous, list.next),
    ];
    let space = vec![Part::Table(stored), Part::Text(SHARED.into())];
    let list = vec![Section::new("", parts), Section::new("Space", space)];
    sections(&visit, "My repositories", Vec::new(), list, None)
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
            steps.push(Step::to("New repository", format!("/new?namespace={name}")));
        }
        if visit
            .hub
            .owned_organization(Some(who), &name)
            .await
            .is_ok_and(|found| found.kind == AccountKind::Organization)
        {
            steps.push(Step::to("Members, teams and tokens", format!("/orgs/{name}/members")));
        }
    }
    let path = format!("/u/{name}");
    let found = Listed::of(&visit, vec![name.clone()], &path).await?;
    Ok(page(List {
        frame: visit.frame(""),
        heading: name,
        is_verified: account.is_verified_publisher,
        description: account.description,
        link: account.link,
        facts,
        steps,
        name: found.name,
        cards: found.rows.iter().map(|row| Card::of(row, visit.now)).collect(),
        total: words::exactly(found.total, "repository"),
        previous: found.previous,
        next: found.next,
    }))
}

/// A page of the repositories of some namespaces that the visitor may see.
struct Listed {
    rows: Vec<RepositoryRow>,
    total: u64,
    /// What their names must contain.
    name: String,
    previous: Option<String>,
    next: Option<String>,
}

impl Listed {
    async fn of(visit: &Visit, namespaces: Vec<String>, path: &str) -> Result<Listed> {
        let values = Values::of(visit.uri.query().unwrap_or_default());
        let (number, name) = (values.number("page").max(1), values.first("name").to_owned());
        let filter = RepositoryFilter {
            namespaces,
            name: Some(name.clone()).filter(|name| !name.is_empty()),
            order: RepositoryOrder::Updated,
            readable: visit.readable().await?,
            skip: (number - 1).saturating_mul(PAGE),
            limit: PAGE,
            ..RepositoryFilter::default()
        };
        let (total, rows) = visit.hub.repositories(&filter).await.map_err(|error| Failure::of(visit, error))?;
        let address = |number: u64| format!("{path}?{}", values.with("page", &number.to_string()));
        let previous = (number > 1).then(|| address(number - 1));
        let next = (number.saturating_mul(PAGE) < total).then(|| address(number + 1));
        Ok(Listed { rows, total, name, previous, next })
    }
}
