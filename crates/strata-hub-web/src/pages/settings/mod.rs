//! A repository as its admins manage it. Others are told that there is no such page.
//!
//! | module | what it has |
//! |---|---|
//! | `general` | what is said of it, who sees it |
//! | `access` | who was given a role |
//! | `rules` | tags that never move, tags that go by themselves |
//! | (here) | keys that sign its images, as [`super::keys`] shows them |
//! | `webhooks` | who is told what happens, and how that went |
//! | `removal` | tags and the repository itself go |

mod access;
mod general;
mod removal;
mod rules;
mod webhooks;

use askama::Template;
use strata_hub::records::RepositoryRow;
use strata_hub::{CreatedWebhook, HubError, Identity, RepositoryUpdate};

use crate::failure::{Failure, Result};
use crate::forms::{Cell, Kind, Part, Refused, Section, forms, refill, tabs, with_status};
use crate::pages::keys;
use crate::pages::repository::Head;
use crate::site::{Frame, Values, Visit, page};
use crate::views::{Badge, Step, repository_path};

#[derive(Template)]
#[template(path = "settings.html")]
struct SettingsPage {
    frame: Frame,
    head: Head,
    tabs: Vec<Step>,
    sections: Vec<Section>,
}

/// What a form did.
enum Done {
    /// Leads to a page that tells it.
    Told(String, String),
    /// The page of webhooks shows the secret.
    MadeWebhook(CreatedWebhook),
}

/// A repository whose settings its admin looks at.
struct Desk<'a> {
    visit: &'a Visit,
    who: &'a Identity,
    row: RepositoryRow,
    name: String,
}

/// `GET …/settings[/part]`.
pub(crate) async fn settings(visit: &Visit, name: &str, part: &str) -> Result {
    Desk::of(visit, name).await?.show(part, Vec::new(), None).await
}

/// `POST …/settings/{action}`.
pub(crate) async fn change(visit: &Visit, name: &str, action: &str, values: Values) -> Result {
    let desk = Desk::of(visit, name).await?;
    if values.first("do") == "preview" {
        return desk.preview(action, &values).await;
    }
    match desk.carry_out(action, &values).await {
        Ok(Done::Told(path, text)) => Ok(visit.told(&path, &text)),
        Ok(Done::MadeWebhook(made)) => desk.show("webhooks", vec![webhooks::made(made)], None).await,
        Err(error) => desk.show(page_of(action), Vec::new(), Some(Refused { values, error })).await,
    }
}

/// The page that a form stands on.
fn page_of(action: &str) -> &str {
    match action.split('/').next().unwrap_or_default() {
        "describe" | "visibility" => "",
        "give-role" | "give-team-role" | "set-role" | "take-role" => "access",
        "immutable" | "retention" => "rules",
        "delete-tags" | "delete-repository" => "delete",
        "keys" => "keys",
        _ if action.matches('/').count() == 2 => action.rsplit_once('/').map_or("", |(page, _)| page),
        _ => "webhooks",
    }
}

impl<'a> Desk<'a> {
    async fn of(visit: &'a Visit, name: &str) -> Result<Desk<'a>> {
        let found = visit.hub.administered(visit.identity.as_ref(), name).await;
        let row = found.map_err(|_| Failure::not_found(visit, "repository"))?;
        let who = visit.signed_in(&repository_path(&row))?;
        Ok(Desk { visit, who, name: row.full_name(), row })
    }

    fn path(&self, part: &str) -> String {
        format!("{}/settings/{part}", repository_path(&self.row)).trim_end_matches('/').to_owned()
    }

    fn failed(&self, error: HubError) -> Failure {
        Failure::of(self.visit, error)
    }

    async fn sections(&self, part: &str) -> Result<Vec<Section>> {
        match part {
            "" => self.general().await,
            "access" => self.access().await,
            "rules" => Ok(self.rules()),
            "keys" => self.keys().await,
            "webhooks" => self.webhooks().await,
            "delete" => self.removal().await,
            _ => match part.strip_prefix("webhooks/") {
                Some(id) => self.webhook(id).await,
                None => Err(Failure::not_found(self.visit, "page")),
            },
        }
    }

    /// A page, with `first` above all else.
    async fn show(&self, part: &str, first: Vec<Section>, refused: Option<Refused>) -> Result {
        let mut sections = first;
        sections.extend(self.sections(part).await?);
        let status = refill(self.visit, &mut sections, refused)?;
        self.render(part, sections).await.map(|shown| with_status(status, shown))
    }

    async fn render(&self, part: &str, sections: Vec<Section>) -> Result {
        let head = Head::of_settings(self.visit, &self.row).await?;
        let steps = [
            ("General", self.path("")),
            ("Access", self.path("access")),
            ("Rules for tags", self.path("rules")),
            ("Signing keys", self.path("keys")),
            ("Webhooks", self.path("webhooks")),
            ("Delete", self.path("delete")),
        ];
        let current = self.path(part.split('/').next().unwrap_or_default());
        Ok(page(SettingsPage { frame: self.visit.frame(""), head, tabs: tabs(&steps, &current), sections }))
    }

    /// The page of a form with what was typed, and what it would do; nothing is changed.
    async fn preview(&self, action: &str, values: &Values) -> Result {
        let part = page_of(action);
        let mut sections = self.sections(part).await?;
        forms(&mut sections).filter(|form| form.action == self.path(action)).for_each(|form| form.type_again(values));
        let shown = match action {
            "describe" => general::preview(values),
            "retention" => match self.preview_retention(values).await {
                Ok(shown) => shown,
                Err(error) => {
                    let refused = Refused { values: Values::of(&values.with("do", "")), error };
                    return self.show(part, Vec::new(), Some(refused)).await;
                }
            },
            _ => return Err(Failure::not_found(self.visit, "page")),
        };
        sections.insert(0, shown);
        self.render(part, sections).await
    }

    async fn carry_out(&self, action: &str, values: &Values) -> strata_hub::Result<Done> {
        match action {
            "describe" | "visibility" => self.update(general::update(action, values), "").await,
            "immutable" => self.update(rules::immutable(values), "rules").await,
            "retention" => self.update(rules::retention_update(values)?, "rules").await,
            "give-role" | "give-team-role" | "set-role" | "take-role" => self.change_role(action, values).await,
            "webhooks" => self.create_webhook(values).await,
            "keys" => self.add_key(values).await,
            "delete-tags" => self.delete_tags(values).await,
            "delete-repository" => self.delete_repository(values).await,
            _ => match action.strip_prefix("keys/").and_then(|action| action.strip_suffix("/remove")) {
                Some(id) => self.remove_key(id).await,
                None => self.change_webhook(action, values).await,
            },
        }
    }

    async fn keys(&self) -> Result<Vec<Section>> {
        let keys = self.visit.hub.publisher_keys(&self.name).await.map_err(|error| self.failed(error))?;
        Ok(keys::sections_of(keys, &self.path("keys"), &self.name, self.visit.now))
    }

    async fn add_key(&self, values: &Values) -> strata_hub::Result<Done> {
        self.visit.hub.add_publisher_key(self.who, &self.name, values.first("name"), values.first("pem")).await?;
        Ok(Done::Told(self.path("keys"), keys::ADDED.into()))
    }

    async fn remove_key(&self, id: &str) -> strata_hub::Result<Done> {
        self.visit.hub.remove_publisher_key(self.who, &self.name, id).await?;
        Ok(Done::Told(self.path("keys"), keys::REMOVED.into()))
    }

    async fn update(&self, update: RepositoryUpdate, part: &str) -> strata_hub::Result<Done> {
        self.visit.hub.update_repository_as(self.who, &self.name, update).await?;
        Ok(Done::Told(self.path(part), "The settings are saved.".into()))
    }
}
