//! The hub as its administrators run it. Everybody else is told that there is no such page.
//!
//! | module | what it has |
//! |---|---|
//! | `users` | accounts: found, made, changed, shut out |
//! | `badges` | official images, verified publishers |
//! | `storage` | what is stored and shared, and its collection |
//! | `health` | what stands in the way, versions, queues, mirrors |
//! | `audit` | what was done |

pub(crate) mod audit;
pub(crate) mod badges;
pub(crate) mod health;
pub(crate) mod storage;
pub(crate) mod users;

use strata_hub::{HubError, Identity};

use crate::failure::{Failure, Result};
use crate::forms::{Refused, Section, sections, tabs};
use crate::site::Visit;

const PAGES: [(&str, &str); 6] = [
    ("Users", "/admin/users"),
    ("Badges", "/admin/badges"),
    ("Storage", "/admin/storage"),
    ("Mirrors", "/admin/mirrors"),
    ("Health", "/admin/health"),
    ("Audit log", "/admin/audit"),
];

/// An administrator who looks at a page.
struct Desk<'a> {
    visit: &'a Visit,
    who: &'a Identity,
}

impl<'a> Desk<'a> {
    fn of(visit: &'a Visit) -> Result<Desk<'a>> {
        match visit.identity.as_ref().filter(|who| who.administers().is_ok()) {
            Some(who) => Ok(Desk { visit, who }),
            None => Err(Failure::not_found(visit, "page")),
        }
    }

    fn failed(&self, error: HubError) -> Failure {
        Failure::of(self.visit, error)
    }

    /// `current`: the tab that the page is below.
    fn show(&self, heading: &str, current: &str, list: Vec<Section>, refused: Option<Refused>) -> Result {
        let steps = PAGES.map(|(label, address)| (label, address.to_owned()));
        sections(self.visit, heading, tabs(&steps, current), list, refused)
    }
}
