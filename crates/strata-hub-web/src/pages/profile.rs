//! One's own account: what others read of it, its password, its sessions, its organizations.

use axum::extract::Path;
use strata_hub::records::AccountRow;
use strata_hub::{AccountUpdate, Session};
use strata_model::ErrorKind;

use crate::failure::{Failure, Result};
use crate::forms::{Cell, Field, Form, Part, Refused, Section, Table, invalid, sections, tabs};
use crate::pages::{password, second_factor};
use crate::site::{Values, Visit};
use crate::views::Step;
use crate::words;

const PATH: &str = "/account";
const PROFILE: &str = "/account/profile";
const PASSWORD: &str = "/account/password";
const SESSIONS: &str = "/account/sessions";

/// What an account says of itself to everybody.
pub(crate) fn about(form: Form, account: &AccountRow) -> Form {
    form.with(Field::line("full_name", "Full name", &account.full_name).hint("Everybody sees it."))
        .with(Field::line("description", "Description", &account.description).hint("One line."))
        .with(Field::of_type("url", "link", "Link", &account.link).hint("https://…"))
        .with(Field::line("location", "Location", &account.location))
}

/// What was typed of it, and whether new repositories are private.
pub(crate) fn about_update(values: &Values) -> AccountUpdate {
    let text = |name: &str| Some(values.first(name).trim().to_owned());
    AccountUpdate {
        full_name: text("full_name"),
        description: text("description"),
        link: text("link"),
        location: text("location"),
        email: text("email"),
        private_by_default: Some(values.first("private") == "yes"),
        ..AccountUpdate::default()
    }
}

/// The pages of an account.
pub(crate) fn account_tabs(current: &str) -> Vec<Step> {
    let pages = [
        ("Account", PATH.into()),
        ("Access tokens", "/account/tokens".into()),
        ("Signing keys", "/account/keys".into()),
    ];
    tabs(&pages, current)
}

async fn show(visit: &Visit, refused: Option<Refused>) -> Result {
    let who = visit.signed_in(PATH)?;
    let failed = |error| Failure::of(visit, error);
    let account = visit.hub.account(&who.account).await.map_err(failed)?;
    let organizations = visit.hub.organizations_of(who).await.map_err(failed)?;

    let email = account.email.as_deref().unwrap_or_default();
    let profile = about(Form::post(PROFILE, "Save"), &account)
        .with(Field::of_type("email", "email", "E-mail", email).hint("Only you and administrators see it."))
        .with(Field::check("private", "Repositories that a push makes are private", account.private_by_default));
    let mut password =
        Form::post(PASSWORD, "Change password").with(Field::password("old", "Old password", "current-password"));
    if visit.hub.second_factor(who).await.map_err(failed)?.is_on {
        password = password.with(second_factor::code_beside_password(true));
    }
    let rows = organizations.into_iter().map(|(account, role)| {
        let address = format!("/u/{}", account.name);
        vec![Cell::link(account.name, address), Cell::Text(account.full_name), Cell::text(role.as_str())]
    });
    let organizations = Table {
        heads: &["Organization", "Full name", "Your place"],
        rows: rows.collect(),
        empty: "You are in no organization.".into(),
    };
    let sessions_text = "A session ends after twelve hours, and when the password changes. Ending them all also ends what \
                         docker login began with your password; access tokens stay.";
    let rows = visit.hub.sessions(who).await.map_err(failed)?;
    let open = Table {
        heads: &["Began", "From where", "Program", "Ends", ""],
        rows: rows.into_iter().map(|session| session_row(session, visit.now)).collect(),
        empty: "None.".into(),
    };
    let list = vec![
        Section::new(
            "Profile",
            vec![
                Part::Facts(vec![
                    ("Name", Cell::text(&account.name)),
                    ("Since", Cell::when(Some(account.created), visit.now, "")),
                    ("Public page", Cell::link(format!("/u/{}", account.name), format!("/u/{}", account.name))),
                ]),
                Part::Form(profile),
            ],
        ),
        Section::new("Password", vec![Part::Form(password::new_password(password))]),
        second_factor::section(visit, who).await?,
        Section::new(
            "Sessions",
            vec![
                Part::Table(open),
                Part::Text(sessions_text.to_owned()),
                Part::Form(Form::post(SESSIONS, "End all other sessions").dangerous()),
            ],
        ),
        Section::new(
            "Organizations",
            vec![Part::Table(organizations), Part::Steps(vec![Step::to("New organization", "/orgs/new")])],
        ),
    ];
    sections(visit, "Your account", account_tabs(PATH), list, refused)
}

fn session_row(session: Session, now: i64) -> Vec<Cell> {
    let row = session.row;
    let end = Form::post(format!("{SESSIONS}/{}/end", row.id), "End this session").inline().dangerous();
    vec![
        Cell::when(Some(row.created), now, ""),
        Cell::Text(row.address),
        Cell::Text(row.agent),
        Cell::Text(words::exact(row.expires)),
        if session.is_current { Cell::Quiet("this one".into()) } else { Cell::Forms(vec![end]) },
    ]
}

/// `GET /account`.
pub(crate) async fn profile(visit: Visit) -> Result {
    show(&visit, None).await
}

/// `POST /account/profile`.
pub(crate) async fn describe(visit: Visit, form: String) -> Result {
    let who = visit.signed_in(PATH)?;
    let values = Values::of(&form);
    match visit.hub.update_account(who, &who.account, about_update(&values)).await {
        Ok(_) => Ok(visit.told(PATH, "Your profile is saved.")),
        Err(error) => show(&visit, Some(Refused { values, error })).await,
    }
}

/// `POST /account/password`: other sessions end, this one goes on under a new cookie.
pub(crate) async fn change_password(visit: Visit, form: String) -> Result {
    let account = visit.signed_in(PATH)?.account.clone();
    let values = Values::of(&form);
    let changed = match password::typed_twice(&values) {
        Ok(new) => {
            let (old, code) = (values.first("old"), values.first("code"));
            visit.hub.change_password(&account, old, new, code, Some(visit.peer)).await
        }
        Err(error) => Err(error),
    };
    match changed {
        Ok(again) => second_factor::enter(&visit, &again, PATH, "Your password is changed.").await,
        Err(error) => {
            let is_wrong = error.kind() == ErrorKind::Unauthenticated;
            let error = if is_wrong { invalid("old", "this is not your password") } else { error };
            show(&visit, Some(Refused { values, error })).await
        }
    }
}

/// `POST /account/sessions/{id}/end`.
pub(crate) async fn end_session(visit: Visit, Path(id): Path<String>) -> Result {
    let who = visit.signed_in(PATH)?;
    visit.hub.end_session(who, &id).await.map_err(|error| Failure::of(&visit, error))?;
    Ok(visit.told(PATH, "The session has ended."))
}

/// `POST /account/sessions`: ends all; this one goes on under a new cookie.
pub(crate) async fn end_sessions(visit: Visit) -> Result {
    let who = visit.signed_in(PATH)?;
    let failed = |error| Failure::of(&visit, error);
    let again = visit.hub.end_sessions(who).await.map_err(failed)?;
    let cookie = visit.begin_session(&again).await?;
    let mut response = visit.told(PATH, "All other sessions have ended.");
    response.headers_mut().append(http::header::SET_COOKIE, cookie);
    Ok(response)
}
