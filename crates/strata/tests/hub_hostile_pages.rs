//! The hub's pages where people change things, against those who mean harm: markup in every field, forms of other sites.

mod support {
    #![allow(dead_code, unreachable_pub, reason = "each test binary uses its part")]
    pub mod forms;
    pub mod hub;
    pub mod site;
}

use std::collections::{BTreeMap, BTreeSet};

use support::forms::{Browser as _, between, encoded, image, public_key};
use support::hub::{Answer, PASSWORD, Request, eventually};
use support::site::Site;

const SCRIPT: &str = "\"'><script>alert(1)</script>";

/// Every page that links lead to.
fn crawl(site: &Site, cookie: &str) -> BTreeMap<String, Answer> {
    let mut pages = BTreeMap::new();
    let mut waiting = vec!["/".to_owned()];
    while let Some(path) = waiting.pop() {
        if pages.contains_key(&path) {
            continue;
        }
        assert!(pages.len() < 400, "the site has no end: {path}");
        let page = site.page(&path, cookie);
        let text = page.text();
        for part in text.split("href=\"").skip(1) {
            let link = part.split(['"', '#']).next().unwrap_or_default().replace("&#38;", "&").replace("&amp;", "&");
            if link.starts_with('/') && !link.starts_with("/assets/") && !link.contains("sign-in") {
                waiting.push(link);
            }
        }
        pages.insert(path, page);
    }
    pages
}

/// A site on which somebody wrote markup into every field that takes it.
fn hostile_site() -> (Site, String) {
    let site = Site::new();
    let admin = site.sign_in();
    let link = "https://example.org/\"><script>alert(1)</script>";
    let about = [("full_name", SCRIPT), ("description", SCRIPT), ("link", link), ("location", SCRIPT)];
    site.does("/account/profile", &admin, &[&about[..], &[("email", "\"><script>@example.org")]].concat());
    site.does("/orgs/new", &admin, &[("name", "acme"), ("full_name", SCRIPT)]);
    site.does("/orgs/acme/settings", &admin, &about);
    let pem = public_key();
    let key = [("name", SCRIPT), ("pem", pem.as_str())];
    site.does("/orgs/acme/keys", &admin, &key);
    site.does("/account/keys", &admin, &key);
    let agent = Request::new("POST", "/sign-in").header("user-agent", SCRIPT).header("sec-fetch-site", "same-origin");
    let entered = site.send(agent.body(encoded(&[("name", "admin"), ("password", PASSWORD)])));
    assert_eq!(entered.status, 303);
    let team = site.does("/orgs/acme/teams", &admin, &[("name", "team"), ("description", SCRIPT)]);
    site.does(&format!("{team}/add-member"), &admin, &[("user", "admin")]);
    site.does("/new", &admin, &[("namespace", "acme"), ("name", "app"), ("description", SCRIPT)]);
    site.push("acme/app", "1", &image(1));
    site.does(&format!("{team}/give-role"), &admin, &[("repository", "acme/app"), ("role", "read")]);
    let settings = |action: &str| format!("/r/acme/app/settings/{action}");
    let text = [("description", SCRIPT), ("full_description", SCRIPT), ("source", link)];
    site.does(&settings("describe"), &admin, &text);
    site.does(&settings("keys"), &admin, &key);
    site.does(&settings("retention"), &admin, &[("retention", SCRIPT)]);
    site.does(&settings("immutable"), &admin, &[("immutable_tags_settings", SCRIPT)]);
    let url = "http://127.0.0.1:1/?x=\"'><script>alert(1)</script>";
    assert_eq!(site.post(&settings("webhooks"), &admin, &[("name", SCRIPT), ("url", url)]).status, 200);
    let token = [("token_label", SCRIPT), ("scopes", "repo:read")];
    assert_eq!(site.post("/account/tokens", &admin, &token).status, 200);
    let robot = [("token_label", SCRIPT), ("description", SCRIPT), ("scopes", "read"), ("resources", "acme/*")];
    assert_eq!(site.post("/orgs/acme/tokens", &admin, &robot).status, 200);
    site.push("acme/app", "2", &image(2));
    eventually("the tags", || site.page("/r/acme/app/tags", &admin).text().contains("tags/2").then_some(()));
    (site, admin)
}

#[test]
fn what_was_written_runs_on_no_page() {
    let (site, admin) = hostile_site();
    let pages = crawl(&site, &admin);
    for expected in [
        "/account",
        "/account/tokens",
        "/account/keys",
        "/orgs/acme/teams/team",
        "/orgs/acme/keys",
        "/orgs/acme/audit",
        "/orgs/acme/settings",
        "/u/acme",
        "/r/acme/app/settings/rules",
        "/r/acme/app/settings/keys",
        "/r/acme/app/trust",
        "/admin/audit",
    ] {
        assert!(pages.contains_key(expected), "{expected} is not reached: {:?}", pages.keys());
    }
    for (path, page) in &pages {
        assert!([200, 303].contains(&page.status), "{path}: {}", page.status);
        let text = page.text();
        assert!(!text.contains("<script>") && !text.contains("href=\"javascript"), "{path}\n{text}");
        assert!(!text.contains(" style=") && !text.contains(" onclick="), "{path}");
        assert_eq!(page.headers["x-frame-options"], "DENY", "{path}");
        assert!(page.headers["content-security-policy"].contains("frame-ancestors 'none'"), "{path}");
        assert!(text.len() < 60_000, "{path} has {} bytes", text.len());
    }
    // Also what is refused is shown again.
    for (path, field) in [
        ("/new", "name"),
        ("/orgs/acme/members", "user"),
        ("/orgs/acme/settings", "link"),
        ("/orgs/acme/keys", "pem"),
        ("/account/profile", "link"),
        ("/account/keys", "pem"),
        ("/r/acme/app/settings/keys", "pem"),
        ("/r/acme/app/settings/describe", "source"),
        ("/admin/badges/verified/new", "account"),
    ] {
        let text = site.post(path, &admin, &[(field, SCRIPT), ("namespace", "acme"), ("role", "member")]).text();
        assert!(text.contains("&#60;script&#62;") && !text.contains("<script>"), "{path}\n{text}");
    }
    let told = site.page("/my", &format!("{admin}; strata_told=%3Cscript%3E"));
    assert!(!told.text().contains("<script>"));
}

#[test]
fn no_form_is_taken_from_another_site() {
    let (site, admin) = hostile_site();
    let mut actions = BTreeSet::new();
    for page in crawl(&site, &admin).values() {
        for form in page
            .text()
            .split("<form ")
            .skip(1)
            .filter(|form| form.starts_with("action=") && form.contains("method=\"post\""))
        {
            actions.insert(between(form, "action=\"", "\"").to_owned());
        }
    }
    assert!(actions.len() > 45, "{actions:?}");
    for part in ["/account/sessions/", "/account/keys/", "/orgs/acme/keys/", "/r/acme/app/settings/keys/"] {
        assert!(actions.iter().any(|action| action.starts_with(part)), "{part} is not among {actions:?}");
    }
    for action in &actions {
        for (name, value) in [("origin", "https://evil.example"), ("sec-fetch-site", "cross-site"), ("accept", "*/*")] {
            let form =
                Request::new("POST", action).header("cookie", &admin).header(name, value).body("confirmation=acme/app");
            assert_eq!(site.send(form).status, 403, "{action} with {name}");
        }
    }
    assert_eq!(site.page("/r/acme/app", &admin).status, 200);
}
