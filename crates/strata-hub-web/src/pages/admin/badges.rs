//! Badges: which images are official, which publishers are verified.

use strata_hub::records::{Readable, RepositoryFilter, RepositoryOrder};
use strata_hub::{AccountUpdate, HubError};

use super::Desk;
use crate::failure::Result;
use crate::forms::{Cell, Field, Form, Part, Refused, Section, Table};
use crate::site::{Values, Visit};
use crate::views::repository_path;

const PATH: &str = "/admin/badges";
const OFFICIAL: &str = "/admin/badges/official";
const VERIFIED: &str = "/admin/badges/verified";
/// Entries of each list.
const SHOWN: u64 = 200;

impl Desk<'_> {
    async fn badges(&self, refused: Option<Refused>) -> Result {
        let hub = &self.visit.hub;
        let failed = |error| self.failed(error);
        let filter = RepositoryFilter {
            official: true,
            readable: Readable { everything: true, ..Readable::default() },
            order: RepositoryOrder::Name,
            limit: SHOWN,
            ..RepositoryFilter::default()
        };
        let (_, official) = hub.repositories(&filter).await.map_err(failed)?;
        let rows = official.iter().map(|row| {
            let remove = Form::post(OFFICIAL, "Take away").inline().dangerous();
            let remove = remove.with(Field::hidden("repository", &row.full_name())).with(Field::hidden("wanted", "no"));
            let is_in_library = row.namespace == "library";
            vec![
                Cell::link(row.full_name(), repository_path(row)),
                if is_in_library { Cell::Quiet("in library".into()) } else { Cell::Forms(vec![remove]) },
            ]
        });
        let official = Table { heads: &["Repository", ""], rows: rows.collect(), empty: "None.".into() };
        let publishers = hub.verified_publishers(SHOWN as usize).await.map_err(failed)?;
        let rows = publishers.into_iter().map(|row| {
            let remove = Form::post(VERIFIED, "Take away").inline().dangerous();
            let remove = remove.with(Field::hidden("account", &row.name)).with(Field::hidden("wanted", "no"));
            vec![
                Cell::link(&row.name, format!("/u/{}", row.name)),
                Cell::Text(row.full_name),
                Cell::Forms(vec![remove]),
            ]
        });
        let publishers = Table { heads: &["Publisher", "Full name", ""], rows: rows.collect(), empty: "None.".into() };
        // Another address than the rows have, so that what is refused is shown here.
        let verify = Form::post(format!("{VERIFIED}/new"), "Give badge")
            .with(Field::line("account", "Account", "").required().hint("Check first who is behind it."));
        let declare = Form::post(format!("{OFFICIAL}/new"), "Give badge")
            .with(Field::line("repository", "Repository", "").required().hint("namespace/name"));
        let text = "Everything in library is official; other repositories can be declared so.";
        let list = vec![
            Section::new("Verified publishers", vec![Part::Table(publishers), Part::Form(verify)]),
            Section::new("Official images", vec![Part::Text(text.into()), Part::Table(official), Part::Form(declare)]),
        ];
        self.show("Badges", PATH, list, refused)
    }

    async fn set(&self, form: &str, is_official: bool) -> Result {
        let values = Values::of(form);
        let is_wanted = values.first("wanted") != "no";
        let hub = &self.visit.hub;
        let set: Result<(), HubError> = match is_official {
            true => hub.set_official(values.first("repository").trim(), is_wanted).await,
            false => {
                let update = AccountUpdate { is_verified_publisher: Some(is_wanted), ..AccountUpdate::default() };
                hub.update_account(self.who, values.first("account").trim(), update).await.map(drop)
            }
        };
        match set {
            Ok(()) => {
                Ok(self.visit.told(PATH, if is_wanted { "The badge is given." } else { "The badge is taken away." }))
            }
            Err(error) => self.badges(Some(Refused { values, error })).await,
        }
    }
}

/// `GET /admin/badges`.
pub(crate) async fn badges(visit: Visit) -> Result {
    Desk::of(&visit)?.badges(None).await
}

/// `POST /admin/badges/official` and `…/official/new`.
pub(crate) async fn set_official(visit: Visit, form: String) -> Result {
    Desk::of(&visit)?.set(&form, true).await
}

/// `POST /admin/badges/verified` and `…/verified/new`.
pub(crate) async fn set_verified(visit: Visit, form: String) -> Result {
    Desk::of(&visit)?.set(&form, false).await
}
