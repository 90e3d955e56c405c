//! Every page of the hub in Chromium: on a telephone, a laptop and a wide screen, in light and dark, nothing overflows,
//! moves while it is loaded, or is refused by the pages' policy; axe-core finds no barrier; nothing that people stored
//! runs; the keyboard reaches everything and shows where it is.

mod support {
    #![allow(dead_code, unreachable_pub, reason = "each test binary uses its part")]
    pub mod hub;
    pub mod site;
}

use std::path::PathBuf;

use serde_json::{Value, json};
use strata_testkit::browser::{Browser, Screen, TAB};
use strata_testkit::{ImageBuilder, Index, Layer, TarEntry};
use support::hub::{PASSWORD, Request};
use support::site::Site;

/// What a page does when it shows this as it is: `window.ran` is set.
const HOSTILE: &str = "\"'><img src=x onerror=\"window.ran=1\"><svg onload=window.ran=1><script>window.ran=1</script>";
/// A name that is as long as it may be in one piece.
const LONG: &str = "a-name-that-goes-on-and-on-without-any-place-where-it-could-be-broken-into-two-lines-of-text";
/// Any public key for ECDSA on P-256.
const KEY: &str = "-----BEGIN PUBLIC KEY-----\n\
    MFkwEwYHKoZIzj0CAQYIKoZIzj0DAQcDQgAETL77MZC0CChCD1K8Tb7cS5Nqa9KA\n\
    tdGeIIKWcwMgrHGCjGK8oM2BA0+xGaVjNUo+gmEO+eugkRAPejeOy0p/ug==\n-----END PUBLIC KEY-----\n";
/// Bytes that the first page may need, with everything it loads.
const FIRST_PAGE: u64 = 60_000;

/// What everybody may see.
const PUBLIC: &[&str] = &[
    "/",
    "/search?q=web",
    "/search?q=nothing-is-called-like-this&badge=official",
    "/_/web",
    "/_/web/tags",
    "/_/web/tags/1.9",
    "/_/web/dockerfile",
    "/_/web/layers",
    "/_/web/tags/1.9/layers/1",
    "/_/web/tags/1.9/files",
    "/_/web/compare",
    "/_/web/compare?from=1.9&to=1.10",
    "/_/web/trust",
    "/u/library",
    "/u/acme",
    "/sign-in?next=/my",
    "/r/nobody/nothing",
];

/// What the administrator sees.
const OWN: &[&str] = &[
    "/my",
    "/new",
    "/_/web",
    "/_/web/tags/1.9",
    "/_/web/settings",
    "/_/web/settings/access",
    "/_/web/settings/rules",
    "/_/web/settings/keys",
    "/_/web/settings/webhooks",
    "/_/web/settings/delete?tag=1.9",
    "/r/admin/secret",
    "/account",
    "/account/tokens",
    "/account/keys",
    "/orgs/new",
    "/orgs/acme",
    "/orgs/acme/members",
    "/orgs/acme/teams",
    "/orgs/acme/teams/makers",
    "/orgs/acme/tokens",
    "/orgs/acme/keys",
    "/orgs/acme/audit",
    "/orgs/acme/settings",
    "/admin/users",
    "/admin/users/admin",
    "/admin/badges",
    "/admin/storage",
    "/admin/mirrors",
    "/admin/health",
    "/admin/audit",
];

#[test]
fn pages_on_a_telephone() {
    look_at_all(360, 740);
}

#[test]
fn pages_on_a_laptop() {
    look_at_all(1200, 800);
}

#[test]
fn pages_on_a_wide_screen() {
    look_at_all(1600, 1000);
}

fn look_at_all(width: u32, height: u32) {
    let Some(show) = Show::start() else { return };
    let axe = axe();
    let mut problems = Vec::new();
    for (viewer, pages) in [("nobody", PUBLIC), ("admin", OWN)] {
        show.look_as(viewer);
        for path in pages {
            for is_dark in [false, true] {
                show.browser.show_on(Screen { width, height, is_dark });
                show.open(path);
                let found = show.browser.run_until_done(&format!("{axe}\n{}", include_str!("support/audit.js")));
                let found = found.as_array().cloned().unwrap_or_default();
                problems.extend(found.iter().map(|line| format!("{viewer} {path} dark={is_dark}: {line}")));
                problems.extend(show.complaints().iter().map(|line| format!("{viewer} {path}: {line}")));
            }
        }
    }
    assert!(problems.is_empty(), "{}", problems.join("\n"));
}

#[test]
fn nothing_that_people_wrote_runs_even_without_the_policy() {
    let Some(show) = Show::start() else { return };
    show.browser.devtools("Page.setBypassCSP", json!({ "enabled": true }));
    show.open("/");
    show.browser.run("const script = document.createElement('script'); script.textContent = 'window.inline = 1'; document.body.append(script)");
    assert_eq!(show.browser.run("return window.inline"), 1, "the policy is off");
    for (viewer, pages) in [("nobody", PUBLIC), ("admin", OWN)] {
        show.look_as(viewer);
        for path in pages {
            show.open(path);
            assert_eq!(show.browser.run("return window.ran ?? null"), Value::Null, "{viewer} {path}");
        }
    }
    show.open(&format!("/search?q={}", percent(HOSTILE)));
    assert_eq!(show.browser.run("return window.ran ?? null"), Value::Null);
    assert!(show.browser.text("h1").contains(HOSTILE));
}

#[test]
fn the_keyboard_reaches_everything_and_shows_where_it_is() {
    let Some(show) = Show::start() else { return };
    let mut problems = Vec::new();
    for (viewer, pages) in [("nobody", PUBLIC), ("admin", OWN)] {
        show.look_as(viewer);
        for (path, is_dark) in pages.iter().zip([false, true].into_iter().cycle()) {
            show.browser.show_on(Screen { width: 1200, height: 800, is_dark });
            show.open(path);
            problems.extend(walk(&show.browser).iter().map(|line| format!("{viewer} {path}: {line}")));
        }
    }
    assert!(problems.is_empty(), "{}", problems.join("\n"));
}

/// Goes through the page by the keyboard; gives the stops where one does not see where one is, and what was not reached.
fn walk(browser: &Browser) -> Vec<String> {
    let expected = browser.run(
        "window.reached = new Set();
         return [...document.querySelectorAll('a[href], button, input, select, textarea, summary')]
           .filter((element) => !element.disabled && element.type !== 'hidden' && element.tabIndex >= 0 && element.checkVisibility()).length",
    );
    let expected = usize::try_from(expected.as_u64().unwrap()).unwrap();
    let mut problems = Vec::new();
    for _ in 0..expected + 20 {
        browser.type_keys(TAB);
        let stop = browser.run(
            "const stop = document.activeElement;
             if (stop === document.body) { return null; }
             reached.add(stop);
             const style = getComputedStyle(stop), box = stop.getBoundingClientRect();
             const isMarked = style.outlineStyle !== 'none' && parseFloat(style.outlineWidth) >= 2;
             const isOnScreen = box.width > 0 && box.bottom > 0 && box.top < innerHeight && box.right > 0 && box.left < innerWidth;
             return isMarked && isOnScreen ? '' : stop.outerHTML.slice(0, 120)",
        );
        match stop.as_str() {
            None => break,
            Some("") => {}
            Some(element) => problems.push(format!("the focus is not seen on {element}")),
        }
    }
    // A group of radio buttons is one stop.
    let missed = browser.run(
        "return [...document.querySelectorAll('a[href], button, input, select, textarea, summary')]
           .filter((element) => !element.disabled && !['hidden', 'radio'].includes(element.type) && element.tabIndex >= 0 && element.checkVisibility())
           .filter((element) => !reached.has(element)).map((element) => element.outerHTML.slice(0, 120))",
    );
    let missed = missed.as_array().cloned().unwrap_or_default();
    problems.extend(missed.iter().map(|element| format!("the keyboard does not reach {element}")));
    problems
}

#[test]
fn the_first_page_is_small() {
    let Some(show) = Show::start() else { return };
    show.open("/");
    let bytes = show.browser.run(
        "const entries = [...performance.getEntriesByType('navigation'), ...performance.getEntriesByType('resource')];
         return entries.reduce((sum, entry) => sum + entry.transferSize, 0)",
    );
    let bytes = bytes.as_u64().unwrap();
    assert!((1_000..FIRST_PAGE).contains(&bytes), "{bytes} bytes");
}

/// A hub that shows everything that people can write, and a browser that looks at it.
struct Show {
    site: Site,
    browser: Browser,
}

impl Show {
    /// `None` where there is no browser.
    fn start() -> Option<Show> {
        let browser = Browser::start()?;
        let site = Site::new();
        fill(&site);
        browser.show_on(Screen { width: 1200, height: 800, is_dark: false });
        Some(Show { site, browser })
    }

    fn open(&self, path: &str) {
        self.browser.open(&format!("http://{}{path}", self.site.hub.address));
    }

    /// Signs the administrator in, or nobody.
    fn look_as(&self, viewer: &str) {
        self.browser.devtools("Network.clearBrowserCookies", json!({}));
        if viewer == "admin" {
            let cookie = self.site.sign_in();
            let (name, value) = cookie.split_once('=').unwrap();
            let url = format!("http://{}/", self.site.hub.address);
            self.browser.devtools("Network.setCookie", json!({ "name": name, "value": value, "url": url }));
        }
    }

    /// What the browser complained of, besides that a page which is not there is not there.
    fn complaints(&self) -> Vec<String> {
        let said = self.browser.console();
        said.into_iter().filter(|line| !line.contains("/nobody/nothing - Failed to load resource")).collect()
    }
}

/// Official images with tags on several platforms, and words that try to become markup wherever words can be written.
fn fill(site: &Site) {
    let layer = |seed| {
        Layer::new(&[
            TarEntry::directory("srv"),
            TarEntry::file(format!("srv/{}", HOSTILE.replace('/', "-")), "hostile\n"),
            TarEntry::file(format!("srv/{LONG}{LONG}"), "long\n"),
            TarEntry::file("srv/noise", strata_testkit::layer::noise(seed, 10_000)),
        ])
    };
    let image = |seed, platform| {
        let labels = json!({
            HOSTILE: HOSTILE,
            "org.opencontainers.image.source": "javascript:window.ran=1",
            "org.opencontainers.image.url": HOSTILE,
        });
        ImageBuilder::new()
            .layer(layer(seed))
            .layer(Layer::of_file("etc/version", seed.to_string()))
            .platform(platform)
            .setting("Labels", labels)
            .setting("Env", json!([format!("WORDS={HOSTILE}"), "PASSWORD=hunter2"]))
            .setting("ExposedPorts", json!({ "80/tcp": {}, HOSTILE: {} }))
            .setting("User", json!(HOSTILE))
            .config(|config| {
                config["author"] = HOSTILE.into();
                config["history"] = json!([{ "created_by": HOSTILE, "comment": HOSTILE }, { "created_by": format!("RUN {LONG} {LONG}") }]);
            })
            .annotation("org.opencontainers.image.description", HOSTILE)
            .build()
    };
    let index = Index::new(vec![image(1, "linux/amd64"), image(2, "linux/arm64"), image(3, "linux/arm/v7")]);
    site.push_index("library/web", "1.10", &index);
    site.push_index("library/web", "latest", &index);
    for seed in [4, 5] {
        site.push("library/web", "1.9", &image(seed, "linux/amd64"));
    }
    site.push("admin/secret", LONG, &image(6, "linux/amd64"));
    site.ask("POST", "/v2/orgs", &json!({ "orgname": "acme", "full_name": HOSTILE, "company": HOSTILE }));
    site.ask("POST", "/v2/orgs/acme/groups", &json!({ "name": "makers", "description": HOSTILE }));
    let password = json!({ "identifier": "admin", "secret": PASSWORD });
    let session = site.ask("POST", "/v2/auth/token", &password)["access_token"].as_str().unwrap().to_owned();
    let token = json!({ "token_label": HOSTILE, "scopes": ["repo:read"] });
    let create = Request::new("POST", "/v2/access-tokens").token(&session).header("content-type", "application/json");
    assert_eq!(site.send(create.body(token.to_string())).status, 201);
    let link = format!("https://example.org/{}", HOSTILE.replace(' ', "%20"));
    let about = json!({ "full_name": HOSTILE, "description": HOSTILE, "link": link, "location": HOSTILE });
    site.ask("PATCH", "/v2/user", &about);
    site.ask("PATCH", "/v2/orgs/acme/settings", &about);
    let key = json!({ "name": HOSTILE, "pem": KEY });
    for account in ["acme", "admin"] {
        site.ask("POST", &format!("/api/v1/accounts/{account}/keys"), &key);
    }
    site.push(&format!("acme/{LONG}"), "latest", &image(7, "linux/amd64"));

    let readme = format!(
        "# {HOSTILE}\n\n{HOSTILE}\n\n[x](javascript:window.ran=1) ![x](javascript:window.ran=1) <{HOSTILE}>\n\n\
         ```sh\ndocker run {LONG} {LONG} {LONG}\n```\n\n{LONG}{LONG}\n\n| {LONG} | {LONG} | {HOSTILE} |\n|---|---|---|\n| 1 | 2 | 3 |\n\n\
         > A *quotation*\n\n1. one\n   - two\n\n<details ontoggle=window.ran=1 open>x</details>\n\n`{HOSTILE}`\n"
    );
    site.patch("library/web", &json!({ "description": &HOSTILE[..80], "full_description": readme }));
    site.ask("POST", "/api/v1/repositories/library/web/keys", &key);
    site.patch(&format!("acme/{LONG}"), &json!({ "description": LONG }));
    site.patch("admin/secret", &json!({ "is_private": true }));
}

/// axe-core as `cargo xtask test` fetches it; nothing where it could not.
fn axe() -> String {
    let target = PathBuf::from(env!("CARGO_TARGET_TMPDIR")).parent().unwrap().to_owned();
    std::fs::read_to_string(target.join("npm/node_modules/axe-core/axe.min.js")).unwrap_or_default()
}

fn percent(text: &str) -> String {
    text.bytes().map(|byte| format!("%{byte:02X}")).collect()
}
