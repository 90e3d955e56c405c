//! Access tokens: one's own, and an organization's for robots. The secret is in the answer of the form that made it, and
//! nowhere else.

use axum::extract::Path;
use jiff::Timestamp;
use jiff::civil::Date;
use jiff::tz::TimeZone;
use strata_hub::records::{AccessTokenRow, Role, TokenReach, TokenScope};
use strata_hub::{AccessTokenUpdate, CreatedAccessToken, Identity, NewAccessToken};

use crate::failure::{Failure, Result};
use crate::forms::{Cell, Field, Form, Part, Refused, Section, Table, invalid, sections};
use crate::pages::{organization, profile};
use crate::site::{Values, Visit};

const SCOPES: [(&str, &str); 4] = [
    ("repo:read", "Pull"),
    ("repo:write", "Pull and push"),
    ("repo:admin", "Everything that concerns repositories"),
    ("repo:public_read", "Pull public images"),
];
const ROLES: [(&str, &str); 3] = [("read", "Pull"), ("write", "Pull and push"), ("admin", "Pull, push and delete")];

/// Whose tokens a page shows.
struct Owner<'a> {
    who: &'a Identity,
    name: String,
    path: String,
    is_organization: bool,
}

impl Owner<'_> {
    fn oneself(visit: &Visit) -> Result<Owner<'_>> {
        let who = visit.signed_in("/account/tokens")?;
        Ok(Owner { who, name: who.account.clone(), path: "/account/tokens".into(), is_organization: false })
    }

    async fn organization<'a>(visit: &'a Visit, name: &str) -> Result<Owner<'a>> {
        let account = organization::owned(visit, name).await?;
        let who = visit.signed_in("/")?;
        let path = format!("/orgs/{}/tokens", account.name);
        Ok(Owner { who, name: account.name, path, is_organization: true })
    }

    fn login_line(&self, visit: &Visit, row: Option<&AccessTokenRow>) -> String {
        let user = match (self.is_organization, row) {
            (true, Some(row)) => format!("{}/{}", self.name, row.label),
            _ => self.name.clone(),
        };
        format!("docker login {} --username '{}'", visit.host, user.replace('\'', ""))
    }

    fn form(&self) -> Form {
        let form = Form::post(&self.path, "Make token")
            .with(Field::line("token_label", "Label", "").required().hint("What will use it."));
        let form = match self.is_organization {
            false => form.with(Field::one("scopes", "It may", &SCOPES, "repo:read")),
            true => form
                .with(
                    Field::area("resources", "Repositories", &format!("{}/*", self.name))
                        .hint(format!("One on each line; {}/* stands for all.", self.name)),
                )
                .with(Field::one("scopes", "It may", &ROLES, "read"))
                .with(Field::line("description", "What it is for", "")),
        };
        form.with(Field::of_type("date", "expires_at", "Last day (UTC)", "").hint("Without one it never ends."))
    }

    fn reach(&self, values: &Values) -> strata_hub::Result<TokenReach> {
        let unknown = || invalid("scopes", "choose one");
        if !self.is_organization {
            return TokenScope::parse(values.first("scopes")).map(TokenReach::Personal).ok_or_else(unknown);
        }
        let role = Role::parse(values.first("scopes")).ok_or_else(unknown)?;
        let lines = values.first("resources").lines().map(str::trim).filter(|line| !line.is_empty());
        Ok(TokenReach::Robot(lines.map(|line| (line.to_owned(), role)).collect()))
    }

    async fn make(&self, visit: &Visit, values: &Values) -> strata_hub::Result<CreatedAccessToken> {
        let new = NewAccessToken {
            label: values.first("token_label").trim().to_owned(),
            description: values.first("description").trim().to_owned(),
            reach: self.reach(values)?,
            expires: end_of(values.first("expires_at"))?,
            agent: visit.agent.clone(),
        };
        visit.hub.create_access_token(self.who, &self.name, new).await
    }

    async fn show(&self, visit: &Visit, made: Option<CreatedAccessToken>, refused: Option<Refused>) -> Result {
        let rows = visit.hub.access_tokens(self.who, &self.name).await.map_err(|error| Failure::of(visit, error))?;
        let mut list = Vec::new();
        if let Some(made) = made {
            let parts = vec![
                Part::Warning("Copy it now: it is shown this once and not kept.".into()),
                Part::Copy("secret", made.secret),
                Part::Text("It is the password that the client asks for:".into()),
                Part::Copy("login", self.login_line(visit, Some(&made.row))),
            ];
            list.push(Section::new(format!("Token “{}” is made", made.row.label), parts));
        }
        let table = Table {
            heads: &["Label", "May", "Made", "Last used", "Ends", ""],
            rows: rows.iter().map(|row| self.row(visit, row)).collect(),
            empty: "There is no token yet.".into(),
        };
        list.push(Section::new("Tokens", vec![Part::Table(table)]));
        let intro = "A token stands in for the password at docker login and in scripts, goes no further than it must, and \
                     can be taken back alone.";
        list.push(Section::new("New token", vec![Part::Text(intro.into()), Part::Form(self.form())]));
        match self.is_organization {
            false => sections(visit, "Access tokens", profile::account_tabs(&self.path), list, refused),
            true => {
                let tabs = organization::organization_tabs(&self.name, &self.path);
                sections(visit, format!("{}: access tokens", self.name), tabs, list, refused)
            }
        }
    }

    fn row(&self, visit: &Visit, row: &AccessTokenRow) -> Vec<Cell> {
        let reach = match &row.reach {
            TokenReach::Personal(scope) => label_of(&SCOPES, scope.as_str()),
            TokenReach::Robot(given) => {
                let given = given.iter().map(|(name, role)| format!("{name}: {}", label_of(&ROLES, role.as_str())));
                given.collect::<Vec<_>>().join("; ")
            }
        };
        let switch = if row.is_active { ("Pause", "no") } else { ("Resume", "yes") };
        let actions = vec![
            Form::post(format!("{}/{}/switch", self.path, row.id), switch.0)
                .inline()
                .with(Field::hidden("active", switch.1)),
            Form::post(format!("{}/{}/revoke", self.path, row.id), "Revoke").inline().dangerous(),
        ];
        vec![
            Cell::text(&row.label),
            Cell::Text(if row.is_active { reach } else { format!("{reach} (paused)") }),
            Cell::when(Some(row.created), visit.now, ""),
            Cell::when(row.last_used, visit.now, "never"),
            match row.expires {
                Some(time) => Cell::Text(crate::words::exact(time)),
                None => Cell::Quiet("never".into()),
            },
            Cell::Forms(actions),
        ]
    }

    async fn create(&self, visit: &Visit, form: &str) -> Result {
        let values = Values::of(form);
        match self.make(visit, &values).await {
            Ok(made) => self.show(visit, Some(made), None).await,
            Err(error) => self.show(visit, None, Some(Refused { values, error })).await,
        }
    }

    async fn act(&self, visit: &Visit, id: &str, action: &str, form: &str) -> Result {
        let done = match action {
            "revoke" => visit.hub.delete_access_token(self.who, &self.name, id).await,
            "switch" => {
                let is_active = Some(Values::of(form).first("active") == "yes");
                let update = AccessTokenUpdate { is_active, ..AccessTokenUpdate::default() };
                visit.hub.update_access_token(self.who, &self.name, id, update).await.map(drop)
            }
            _ => return Err(Failure::not_found(visit, "page")),
        };
        done.map_err(|error| Failure::of(visit, error))?;
        Ok(visit.told(&self.path, if action == "revoke" { "The token is revoked." } else { "The token is switched." }))
    }
}

fn label_of(choices: &[(&str, &str)], value: &str) -> String {
    choices.iter().find(|(known, _)| *known == value).map_or(value, |(_, label)| label).to_owned()
}

/// The end of a day as it is typed: `2026-12-31`.
fn end_of(day: &str) -> strata_hub::Result<Option<i64>> {
    if day.is_empty() {
        return Ok(None);
    }
    let end = day.parse::<Date>().ok().and_then(|date| date.tomorrow().ok());
    let end: Option<Timestamp> = end.and_then(|date| Some(date.to_zoned(TimeZone::UTC).ok()?.timestamp()));
    match end.and_then(|end| i64::try_from(end.as_nanosecond()).ok()) {
        Some(time) => Ok(Some(time)),
        None => Err(invalid("expires_at", "write it as 2026-12-31")),
    }
}

/// `GET /account/tokens`.
pub(crate) async fn own(visit: Visit) -> Result {
    Owner::oneself(&visit)?.show(&visit, None, None).await
}

/// `POST /account/tokens`.
pub(crate) async fn create_own(visit: Visit, form: String) -> Result {
    Owner::oneself(&visit)?.create(&visit, &form).await
}

/// `POST /account/tokens/{id}/{action}`: `revoke`, `switch`.
pub(crate) async fn act_own(visit: Visit, Path((id, action)): Path<(String, String)>, form: String) -> Result {
    Owner::oneself(&visit)?.act(&visit, &id, &action, &form).await
}

/// `GET /orgs/{name}/tokens`.
pub(crate) async fn robots(visit: Visit, Path(name): Path<String>) -> Result {
    Owner::organization(&visit, &name).await?.show(&visit, None, None).await
}

/// `POST /orgs/{name}/tokens`.
pub(crate) async fn create_robot(visit: Visit, Path(name): Path<String>, form: String) -> Result {
    Owner::organization(&visit, &name).await?.create(&visit, &form).await
}

/// `POST /orgs/{name}/tokens/{id}/{action}`.
pub(crate) async fn act_robot(
    visit: Visit,
    Path((name, id, action)): Path<(String, String, String)>,
    form: String,
) -> Result {
    Owner::organization(&visit, &name).await?.act(&visit, &id, &action, &form).await
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_last_day_counts() {
        assert_eq!(end_of("1970-01-01").unwrap(), Some(86_400_000_000_000));
        assert_eq!(end_of("").unwrap(), None);
        for wrong in ["tomorrow", "2026-13-01", "9999-12-31"] {
            assert!(end_of(wrong).is_err(), "{wrong}");
        }
    }
}
