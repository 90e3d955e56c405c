//! The hub's library: official images, a verified publisher's, and a community's, with descriptions, stars and pulls.
//!
//! Everything is made as people make it: accounts by the administrator, pushes with their credentials, stars and pulls
//! one by one.

use super::hub::{Hub, PASSWORD};
use super::terminal::Terminal;
use anyhow::{Context as _, Result, ensure};
use serde_json::json;
use std::path::Path;
use std::time::{Duration, Instant};

/// What is in the library.
struct Entry {
    /// Who pushes it.
    owner: &'static str,
    repository: &'static str,
    /// Tags in the layout, and those that they become.
    tags: &'static [(&'static str, &'static str)],
    description: &'static str,
    stars: usize,
    pulls: usize,
}

/// Everybody but the administrator.
const PEOPLE: [&str; 4] = ["alice", "bob", "carol", "dave"];
const PUBLISHER: &str = "acme";

const LIBRARY: &[Entry] = &[
    Entry {
        owner: "admin",
        repository: "library/base",
        tags: &[("base", "12"), ("base", "latest")],
        description: "A shell and the usual tools.",
        stars: 4,
        pulls: 30,
    },
    Entry {
        owner: "admin",
        repository: "library/runtime",
        tags: &[("runtime", "5")],
        description: "A language runtime on base.",
        stars: 3,
        pulls: 12,
    },
    Entry {
        owner: "alice",
        repository: "acme/app",
        tags: &[("app-1.0", "1.0"), ("app-1.1", "1.1")],
        description: "The application of this course, on runtime.",
        stars: 2,
        pulls: 8,
    },
    Entry {
        owner: "bob",
        repository: "bob/app-base",
        tags: &[("base", "mine")],
        description: "What bob starts his applications from.",
        stars: 1,
        pulls: 3,
    },
    Entry {
        owner: "carol",
        repository: "carol/app",
        tags: &[("app-1.0", "old")],
        description: "Carol's copy of the application.",
        stars: 0,
        pulls: 1,
    },
];

/// Makes accounts and fills the hub from the images in `layout`.
pub fn seed(hub: &Hub, terminal: &Terminal, layout: &Path) -> Result<()> {
    accounts(hub)?;
    for entry in LIBRARY {
        let account = terminal.signed_in(entry.owner, &hub.address, PASSWORD)?;
        for (source, tag) in entry.tags {
            let from = format!("oci:{}:{source}", layout.display());
            account.strata(&["copy", &from, &format!("docker://{}/{}:{tag}", hub.address, entry.repository)])?;
        }
    }
    for entry in LIBRARY {
        known(hub, entry)?;
        describe(hub, entry)?;
    }
    Ok(())
}

fn accounts(hub: &Hub) -> Result<()> {
    for name in PEOPLE {
        let user = json!({"username": name, "password": PASSWORD});
        hub.request("admin", "POST", "/api/v1/admin/users", Some(&user))?;
    }
    let organization = json!({"orgname": PUBLISHER, "full_name": "Acme"});
    hub.request("alice", "POST", "/v2/orgs", Some(&organization))?;
    let verified = json!({"is_verified_publisher": true});
    hub.request("admin", "PATCH", &format!("/api/v1/admin/accounts/{PUBLISHER}"), Some(&verified))?;
    Ok(())
}

/// Waits until the hub has taken the push in: it follows the registry a moment behind.
fn known(hub: &Hub, entry: &Entry) -> Result<()> {
    let deadline = Instant::now() + Duration::from_secs(10);
    let path = format!("/v2/repositories/{}/", entry.repository);
    while let Err(cause) = hub.request(entry.owner, "GET", &path, None) {
        ensure!(Instant::now() < deadline, "the hub does not know {}: {cause}", entry.repository);
        std::thread::sleep(Duration::from_millis(50));
    }
    Ok(())
}

fn describe(hub: &Hub, entry: &Entry) -> Result<()> {
    let path = format!("/v2/repositories/{}/", entry.repository);
    let description = json!({"description": entry.description});
    hub.request(entry.owner, "PATCH", &path, Some(&description)).context("describing")?;
    for name in PEOPLE.iter().take(entry.stars) {
        hub.request(name, "POST", &format!("{path}stars/"), Some(&json!({}))).context("starring")?;
    }
    let (_, tag) = entry.tags[0];
    for number in 0..entry.pulls {
        let name = PEOPLE[number % PEOPLE.len()];
        hub.request(name, "GET", &format!("/v2/{}/manifests/{tag}", entry.repository), None).context("pulling")?;
    }
    Ok(())
}
