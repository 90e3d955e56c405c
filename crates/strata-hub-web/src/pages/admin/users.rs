//! Accounts: found, made, changed, shut out, given a new password.

use axum::extract::Path;
use strata_hub::records::{AccountKind, AccountRow};
use strata_hub::{AccountUpdate, HubError, NewUser, OneTimePassword};

use super::Desk;
use crate::failure::{Failure, Result};
use crate::forms::{Cell, Field, Form, Part, Refused, Section, Table, invalid};
use crate::site::{Values, Visit};
use crate::words;

const PATH: &str = "/admin/users";
/// Accounts on a page.
const PAGE: usize = 50;

fn kind(row: &AccountRow) -> &'static str {
    match row.kind {
        AccountKind::Organization => "organization",
        AccountKind::User if row.is_administrator => "administrator",
        AccountKind::User => "user",
    }
}

/// What is shown once of an account that got a one-time password.
fn one_time(password: OneTimePassword) -> Section {
    let text = "Give it to its owner by a safe way. It is shown this once, and good for choosing another one only.";
    let parts = vec![Part::Warning(text.into()), Part::Copy("password", password.password)];
    Section::new(format!("One-time password of {}", password.account), parts)
}

impl Desk<'_> {
    async fn users(&self, first: Option<Section>, refused: Option<Refused>) -> Result {
        let values = Values::of(self.visit.uri.query().unwrap_or_default());
        let (text, after) = (values.first("q"), values.first("after"));
        let found = self.visit.hub.find_accounts(self.who, text, after, PAGE + 1).await;
        let mut accounts = found.map_err(|error| self.failed(error))?;
        let has_more = accounts.len() > PAGE;
        accounts.truncate(PAGE);
        let next =
            accounts.last().filter(|_| has_more).map(|row| format!("{PATH}?{}", values.with("after", &row.name)));
        let back = (!after.is_empty()).then(|| format!("{PATH}?{}", values.with("after", "")));
        let rows = accounts.into_iter().map(|row| {
            vec![
                Cell::link(&row.name, format!("{PATH}/{}", row.name)),
                Cell::text(kind(&row)),
                Cell::Text(row.full_name),
                Cell::Text(row.email.unwrap_or_default()),
                Cell::when(Some(row.created), self.visit.now, ""),
                Cell::text(if row.is_disabled { "disabled" } else { "" }),
            ]
        });
        let heads = &["Name", "Kind", "Full name", "E-mail", "Since", "State"];
        let table = Table { heads, rows: rows.collect(), empty: "No account is like this.".into() };
        let search = Form::question(PATH, "Find").with(Field::of_type("search", "q", "Name or e-mail contains", text));
        let new = Form::post(PATH, "Make user")
            .with(Field::line("name", "Name", "").required())
            .with(Field::line("full_name", "Full name", ""))
            .with(Field::of_type("email", "email", "E-mail", ""))
            .with(Field::check("administrator", "May do everything on this hub", false));
        let text = "The user gets a one-time password, which is shown once.";
        let mut list: Vec<Section> = first.into_iter().collect();
        list.push(Section::new("Accounts", vec![Part::Form(search), Part::Table(table), Part::Paging(back, next)]));
        list.push(Section::new("New user", vec![Part::Text(text.into()), Part::Form(new)]));
        self.show("Users", PATH, list, refused)
    }

    async fn user(&self, name: &str, first: Option<Section>, refused: Option<Refused>) -> Result {
        let hub = &self.visit.hub;
        let row = hub.account(name).await.map_err(|error| self.failed(error))?;
        let stored = hub.stored_bytes(name).await.map_err(|error| self.failed(error))?;
        let path = |action: &str| format!("{PATH}/{name}/{action}");
        let facts = Part::Facts(vec![
            ("Kind", Cell::text(kind(&row))),
            ("Since", Cell::when(Some(row.created), self.visit.now, "")),
            ("State", Cell::text(if row.is_disabled { "disabled" } else { "active" })),
            ("Stored", Cell::Text(words::size(stored))),
            ("Public page", Cell::link(format!("/u/{name}"), format!("/u/{name}"))),
            ("What was done", Cell::link("audit log", format!("/admin/audit?account={name}"))),
        ]);
        let quota = row.quota.map(|bytes| (bytes / 1_000_000).to_string()).unwrap_or_default();
        let profile = Form::post(path("describe"), "Save")
            .with(Field::line("full_name", "Full name", &row.full_name))
            .with(Field::of_type("email", "email", "E-mail", row.email.as_deref().unwrap_or_default()))
            .with(Field::of_type("number", "quota", "Quota in MB", &quota).hint("Without one there is no limit."))
            .with(Field::check("verified", "Verified publisher", row.is_verified_publisher));
        let mut list: Vec<Section> = first.into_iter().collect();
        list.push(Section::new("", vec![facts, Part::Form(profile)]));
        let switch = |action: &str, label: &str| Part::Form(Form::post(path(action), label).dangerous());
        if row.kind == AccountKind::User {
            let text = "Ends all its sessions. Its access tokens stay; disable the account to stop those.";
            list.push(Section::new(
                "Password",
                vec![Part::Text(text.into()), switch("reset", "Make a one-time password")],
            ));
            let text = "For somebody who lost the app and the recovery codes: make sure who asks.";
            let off = switch("second-factor", "Turn second factor off");
            list.push(Section::new("Second factor", vec![Part::Text(text.into()), off]));
            let (action, label) = match row.is_administrator {
                true => ("demote", "Take administration away"),
                false => ("promote", "Make administrator"),
            };
            list.push(Section::new("Administration", vec![switch(action, label)]));
        }
        let (action, label) =
            if row.is_disabled { ("enable", "Enable account") } else { ("disable", "Disable account") };
        let text = "Who is disabled can neither sign in nor use access tokens. What was pushed stays.";
        list.push(Section::new("Access", vec![Part::Text(text.into()), switch(action, label)]));
        self.show(&format!("Account {name}"), PATH, list, refused)
    }
}

/// What a form changes of an account.
fn update(action: &str, values: &Values) -> strata_hub::Result<AccountUpdate> {
    let nothing = AccountUpdate::default();
    Ok(match action {
        "describe" => AccountUpdate {
            full_name: Some(values.first("full_name").trim().to_owned()),
            email: Some(values.first("email").to_owned()),
            is_verified_publisher: Some(values.first("verified") == "yes"),
            quota: Some(quota(values.first("quota").trim())?),
            ..nothing
        },
        "promote" | "demote" => AccountUpdate { is_administrator: Some(action == "promote"), ..nothing },
        "enable" | "disable" => AccountUpdate { is_disabled: Some(action == "disable"), ..nothing },
        _ => return Err(HubError::NotFound("page".into())),
    })
}

/// Bytes of so many MB.
fn quota(megabytes: &str) -> strata_hub::Result<Option<u64>> {
    if megabytes.is_empty() {
        return Ok(None);
    }
    let bytes = megabytes.parse::<u64>().ok().and_then(|number| number.checked_mul(1_000_000));
    bytes.map(Some).ok_or_else(|| invalid("quota", "must be a whole number"))
}

/// `GET /admin/users?q=&after=`.
pub(crate) async fn users(visit: Visit) -> Result {
    Desk::of(&visit)?.users(None, None).await
}

/// `POST /admin/users`.
pub(crate) async fn create(visit: Visit, form: String) -> Result {
    let desk = Desk::of(&visit)?;
    let values = Values::of(&form);
    let text = |name: &str| values.first(name).trim().to_owned();
    let new = NewUser {
        name: text("name"),
        password: None,
        full_name: text("full_name"),
        email: Some(text("email")),
        is_administrator: values.first("administrator") == "yes",
    };
    match visit.hub.create_user(desk.who, new).await {
        Ok((_, password)) => desk.users(password.map(one_time), None).await,
        Err(error) => desk.users(None, Some(Refused { values, error })).await,
    }
}

/// `GET /admin/users/{name}`.
pub(crate) async fn user(visit: Visit, Path(name): Path<String>) -> Result {
    Desk::of(&visit)?.user(&name, None, None).await
}

/// `POST /admin/users/{name}/{action}`.
pub(crate) async fn change(visit: Visit, Path((name, action)): Path<(String, String)>, form: String) -> Result {
    let desk = Desk::of(&visit)?;
    let values = Values::of(&form);
    if action == "reset" {
        return match visit.hub.reset_password(desk.who, &name, None).await {
            Ok(password) => desk.user(&name, password.map(one_time), None).await,
            Err(error) => Err(Failure::of(&visit, error)),
        };
    }
    let changed = match update(&action, &values) {
        _ if action == "second-factor" => visit.hub.reset_second_factor(desk.who, &name).await,
        Ok(update) => visit.hub.update_account(desk.who, &name, update).await.map(drop),
        Err(error) => Err(error),
    };
    match changed {
        Ok(()) => Ok(visit.told(&format!("{PATH}/{name}"), "The account is changed.")),
        Err(error) => desk.user(&name, None, Some(Refused { values, error })).await,
    }
}
