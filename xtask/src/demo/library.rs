//! The hub's library: official images, verified publishers', and a community's, with descriptions, stars and pulls.
//!
//! Everything is made as people make it: accounts by the administrator, pushes with their credentials, stars and pulls
//! one by one.

use super::hub::{Hub, PASSWORD};
use super::images::Images;
use super::readme;
use super::terminal::Terminal;
use anyhow::{Context as _, Result, ensure};
use serde_json::json;
use std::collections::HashMap;
use std::time::{Duration, Instant};

/// What is in the library.
struct Entry {
    /// Who pushes it.
    owner: &'static str,
    repository: &'static str,
    /// Names in the layout, and the tags that they become, in this order.
    tags: Vec<(&'static str, String)>,
    description: &'static str,
    categories: &'static [&'static str],
    stars: usize,
    pulls: usize,
    /// Whether the demo shows the push.
    is_shown: bool,
}

/// Everybody but the administrator.
const PEOPLE: [&str; 12] =
    ["alice", "bob", "carol", "dave", "erin", "frank", "grace", "heidi", "ivan", "judy", "mallory", "niaj"];
/// Organizations, and what they are called in full; the first is a verified publisher.
const ORGANIZATIONS: [(&str, &str); 2] = [("acme", "Acme Corporation"), ("northwind", "Northwind Traders")];
/// What the course uses.
fn course(has_web: bool) -> Vec<Entry> {
    let entry = |owner, repository, tags: &[(&'static str, &str)], description, stars, pulls| Entry {
        owner,
        repository,
        tags: tags.iter().map(|(name, tag)| (*name, (*tag).to_owned())).collect(),
        description,
        categories: &[],
        stars,
        pulls,
        is_shown: true,
    };
    let web = entry("admin", "library/web", &[("web", "1"), ("web", "latest")], "A server of one page.", 7, 150);
    let mut entries = vec![
        Entry {
            categories: &["operating-systems"],
            ..entry(
                "admin",
                "library/base",
                &[("base", "12"), ("base", "latest")],
                "A shell and the usual tools.",
                12,
                480,
            )
        },
        Entry {
            categories: &["languages-and-frameworks"],
            ..entry("admin", "library/runtime", &[("runtime", "5")], "A language runtime on base.", 9, 210)
        },
        entry(
            "alice",
            "acme/app",
            &[("app-1.0", "1.0"), ("app-1.1", "1.1")],
            "The application of this course, on runtime.",
            6,
            96,
        ),
        entry("bob", "bob/app-base", &[("base", "mine")], "What bob starts his applications from.", 1, 3),
        entry("carol", "carol/app", &[("app-1.0", "old")], "Carol's copy of the application.", 0, 1),
    ];
    entries.extend(has_web.then_some(web));
    entries
}

/// What fills the other shelves.
fn shelves(images: &Images) -> Vec<Entry> {
    let mut entries = Vec::new();
    for (place, (name, version)) in images.programs.iter().enumerate() {
        let Some((repository, description, category)) =
            PROGRAMS.iter().find(|(repository, ..)| repository.ends_with(name))
        else {
            continue;
        };
        let mut tags = vec![version.clone()];
        let parts: Vec<&str> = version.split('.').collect();
        tags.extend((1..parts.len()).rev().map(|length| parts[..length].join(".")));
        tags.push("latest".to_owned());
        entries.push(Entry {
            owner: "admin",
            repository,
            tags: tags.into_iter().map(|tag| (*name, tag)).collect(),
            description,
            categories: category,
            stars: 10 - place,
            pulls: 380 >> place,
            is_shown: false,
        });
    }
    for name in &images.data {
        let Some((repository, description, categories)) =
            DATA.iter().find(|(repository, ..)| repository.ends_with(name))
        else {
            continue;
        };
        let tags = ["2026.2", "2026", "latest"].map(|tag| (*name, tag.to_owned())).to_vec();
        entries.push(Entry {
            owner: "admin",
            repository,
            tags,
            description,
            categories,
            stars: 7,
            pulls: 310,
            is_shown: false,
        });
    }
    for (owner, repository, sources, description, stars, pulls) in OTHERS {
        entries.push(Entry {
            owner,
            repository,
            tags: sources.iter().map(|(name, tag)| (*name, (*tag).to_owned())).collect(),
            description,
            categories: &[],
            stars: *stars,
            pulls: *pulls,
            is_shown: false,
        });
    }
    entries
}

const PROGRAMS: &[(&str, &str, &[&str])] = &[
    ("library/curl", "Transfers data from or to a server, with the URL syntax that everybody knows.", &["networking"]),
    ("library/git", "The version control system, ready to clone.", &["developer-tools"]),
    ("library/jq", "Slices, filters and maps JSON on the command line.", &["developer-tools"]),
    ("library/openssl", "Cryptography and TLS at the command line.", &["security"]),
    ("library/sqlite3", "A whole SQL database in one file, and its shell.", &["databases-and-storage"]),
    ("library/zstd", "Fast compression with high ratios.", &["developer-tools"]),
];
const DATA: &[(&str, &str, &[&str])] = &[
    (
        "library/certificates",
        "Certificate authorities, for images that have nothing else. Every platform.",
        &["security"],
    ),
    ("library/timezones", "The world's time zones, to be copied into small images.", &["operating-systems"]),
];

type Other = (&'static str, &'static str, &'static [(&'static str, &'static str)], &'static str, usize, usize);
const OTHERS: &[Other] = &[
    (
        "alice",
        "acme/worker",
        &[("app-1.0", "1.0"), ("app-1.1", "1.1"), ("app-1.1", "latest")],
        "Takes jobs from the queue of acme/app.",
        4,
        61,
    ),
    ("alice", "acme/internal-tools", &[("runtime", "2026-11")], "What the operators of Acme keep at hand.", 0, 0),
    (
        "erin",
        "northwind/orders",
        &[("app-1.0", "3.2.0"), ("app-1.1", "3.3.0")],
        "Order intake of Northwind Traders.",
        3,
        44,
    ),
    ("erin", "northwind/reports", &[("app-1.1", "nightly")], "Reports of the day, made every night.", 1, 17),
    ("dave", "dave/dotfiles", &[("base", "latest")], "My shell as I like it.", 2, 5),
    (
        "grace",
        "grace/perl-course",
        &[("runtime", "week-1"), ("runtime", "week-2")],
        "Exercises of the Tuesday course.",
        5,
        28,
    ),
];
/// Repositories that not everybody may see.
const PRIVATE: [&str; 1] = ["acme/internal-tools"];

/// Makes accounts and fills the hub from the images.
pub fn seed(hub: &Hub, terminal: &Terminal, images: &Images) -> Result<()> {
    accounts(hub)?;
    let entries: Vec<Entry> = course(images.has_web).into_iter().chain(shelves(images)).collect();
    let mut accounts = HashMap::new();
    for entry in &entries {
        if !accounts.contains_key(entry.owner) {
            accounts.insert(entry.owner, terminal.signed_in(entry.owner, &hub.address, PASSWORD)?);
        }
        let account = &accounts[entry.owner];
        for (source, tag) in &entry.tags {
            let from = format!("oci:{}:{source}", images.layout.display());
            let to = format!("docker://{}/{}:{tag}", hub.address, entry.repository);
            match entry.is_shown {
                true => account.strata(&["copy", "--all", &from, &to]).map(drop)?,
                false => account.quietly(&["copy", "--all", &from, &to])?,
            }
        }
    }
    entries.iter().try_for_each(|entry| describe(hub, entry))
}

fn accounts(hub: &Hub) -> Result<()> {
    for name in PEOPLE {
        let user = json!({"username": name, "password": PASSWORD});
        hub.request("admin", "POST", "/api/v1/admin/users", &user)?;
    }
    for ((name, full_name), owner) in ORGANIZATIONS.into_iter().zip(["alice", "erin"]) {
        hub.request(owner, "POST", "/v2/orgs", &json!({"orgname": name, "full_name": full_name}))?;
    }
    let verified = json!({"is_verified_publisher": true});
    hub.request("admin", "PATCH", &format!("/api/v1/admin/accounts/{}", ORGANIZATIONS[0].0), &verified)?;
    Ok(())
}

fn describe(hub: &Hub, entry: &Entry) -> Result<()> {
    let path = format!("/v2/repositories/{}/", entry.repository);
    let description = json!({
        "description": entry.description,
        "full_description": readme::write(&hub.address, entry.repository, entry.description, &entry.tags),
        "categories": entry.categories,
        "is_private": PRIVATE.contains(&entry.repository),
    });
    // The hub follows the registry a moment behind.
    let deadline = Instant::now() + Duration::from_secs(10);
    while let Err(cause) = hub.request(entry.owner, "PATCH", &path, &description) {
        ensure!(Instant::now() < deadline, "the hub does not know {}: {cause:#}", entry.repository);
        std::thread::sleep(Duration::from_millis(50));
    }
    for name in PEOPLE.iter().take(entry.stars) {
        hub.request(name, "POST", &format!("{path}stars/"), &json!({})).context("starring")?;
    }
    // Most people take what was pushed last.
    let tag = |number: usize| entry.tags[entry.tags.len() - 1 - number % 5 % entry.tags.len()].1.as_str();
    hub.pull(entry.repository, (0..entry.pulls).map(tag))
}
