//! Public keys with which publishers sign: one's own, an organization's, a repository's. The page about trust verifies
//! signatures with them.

use axum::extract::Path;
use strata_hub::MAX_PUBLISHER_KEYS;
use strata_hub::records::PublisherKeyRow;

use crate::failure::{Failure, Result};
use crate::forms::{Cell, Field, Form, Part, Refused, Section, Table, sections};
use crate::pages::{organization, profile};
use crate::site::{Values, Visit};
use crate::views::Step;

const OWN: &str = "/account/keys";
pub(super) const ADDED: &str = "The key is added.";
pub(super) const REMOVED: &str = "The key is removed.";

/// Keys, and the form that adds one; `path` is where forms go.
pub(super) fn sections_of(keys: Vec<PublisherKeyRow>, path: &str, what: &str, now: i64) -> Vec<Section> {
    let row = |key: PublisherKeyRow| {
        let remove = Form::post(format!("{path}/{}/remove", key.id), "Remove").inline().dangerous();
        vec![
            Cell::Text(key.name),
            Cell::Code(key.id.chars().take(16).collect()),
            Cell::Text(key.added_by),
            Cell::when(Some(key.added), now, ""),
            Cell::Forms(vec![remove]),
        ]
    };
    let is_full = keys.len() >= MAX_PUBLISHER_KEYS;
    let table = Table {
        heads: &["Name", "SHA-256 begins", "Added by", "When", ""],
        rows: keys.into_iter().map(row).collect(),
        empty: "No key yet.".into(),
    };
    let text = format!(
        "Signatures of {what} that were made with one of these keys are shown as verified. cosign generate-key-pair makes \
         such a key; its cosign.pub goes here, and cosign.key stays with you."
    );
    let mut list = vec![Section::new("Signing keys", vec![Part::Text(text), Part::Table(table)])];
    if !is_full {
        let form = Form::post(path, "Add key")
            .with(Field::line("name", "Name", "").required().hint("Everybody sees it beside the signatures."))
            .with(Field::area("pem", "Public key", "").hint("-----BEGIN PUBLIC KEY----- …, ECDSA on P-256"));
        list.push(Section::new("Add a key", vec![Part::Form(form)]));
    }
    list
}

/// Whose keys a page shows.
struct Owner {
    name: String,
    path: String,
    heading: String,
    tabs: Vec<Step>,
}

impl Owner {
    fn oneself(visit: &Visit) -> Result<Owner> {
        let name = visit.signed_in(OWN)?.account.clone();
        Ok(Owner { name, path: OWN.into(), heading: "Signing keys".into(), tabs: profile::account_tabs(OWN) })
    }

    async fn organization(visit: &Visit, name: &str) -> Result<Owner> {
        let name = organization::owned(visit, name).await?.name;
        let path = format!("/orgs/{name}/keys");
        let tabs = organization::organization_tabs(&name, &path);
        Ok(Owner { heading: format!("{name}: signing keys"), name, path, tabs })
    }

    async fn show(self, visit: &Visit, refused: Option<Refused>) -> Result {
        let keys = visit.hub.publisher_keys(&self.name).await.map_err(|error| Failure::of(visit, error))?;
        let list = sections_of(keys, &self.path, &format!("{}/…", self.name), visit.now);
        sections(visit, self.heading, self.tabs, list, refused)
    }

    async fn add(self, visit: &Visit, form: &str) -> Result {
        let values = Values::of(form);
        let who = visit.signed_in(&self.path)?;
        match visit.hub.add_publisher_key(who, &self.name, values.first("name"), values.first("pem")).await {
            Ok(_) => Ok(visit.told(&self.path, ADDED)),
            Err(error) => self.show(visit, Some(Refused { values, error })).await,
        }
    }

    async fn remove(self, visit: &Visit, id: &str) -> Result {
        let who = visit.signed_in(&self.path)?;
        match visit.hub.remove_publisher_key(who, &self.name, id).await {
            Ok(()) => Ok(visit.told(&self.path, REMOVED)),
            Err(error) => Err(Failure::of(visit, error)),
        }
    }
}

/// `GET /account/keys`.
pub(crate) async fn own(visit: Visit) -> Result {
    Owner::oneself(&visit)?.show(&visit, None).await
}

/// `POST /account/keys`.
pub(crate) async fn add_own(visit: Visit, form: String) -> Result {
    Owner::oneself(&visit)?.add(&visit, &form).await
}

/// `POST /account/keys/{id}/remove`.
pub(crate) async fn remove_own(visit: Visit, Path(id): Path<String>) -> Result {
    Owner::oneself(&visit)?.remove(&visit, &id).await
}

/// `GET /orgs/{name}/keys`.
pub(crate) async fn of_organization(visit: Visit, Path(name): Path<String>) -> Result {
    Owner::organization(&visit, &name).await?.show(&visit, None).await
}

/// `POST /orgs/{name}/keys`.
pub(crate) async fn add_to_organization(visit: Visit, Path(name): Path<String>, form: String) -> Result {
    Owner::organization(&visit, &name).await?.add(&visit, &form).await
}

/// `POST /orgs/{name}/keys/{id}/remove`.
pub(crate) async fn remove_from_organization(visit: Visit, Path((name, id)): Path<(String, String)>) -> Result {
    Owner::organization(&visit, &name).await?.remove(&visit, &id).await
}
