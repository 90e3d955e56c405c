//! `screenshots`: pictures of the hub's pages for the README, taken in Chromium from the hub of the demo.

use crate::demo::hub::{Hub, PASSWORD};
use crate::demo::terminal::Terminal;
use crate::{demo, packages, workspace};
use anyhow::{Context as _, Result, bail, ensure};
use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use serde_json::json;
use std::fs;
use std::path::{Path, PathBuf};
use std::time::{Duration, Instant};
use strata_testkit::browser::{Browser, Screen};

const FOLDER: &str = "docs/images";
/// Most bytes of one picture and of all.
const LARGEST: usize = 120_000;
const ALL: usize = 1_500_000;

const LAPTOP: Screen = Screen { width: 1200, height: 800, is_dark: false };
const NIGHT: Screen = Screen { width: 1200, height: 800, is_dark: true };
const WIDE: Screen = Screen { width: 1600, height: 1000, is_dark: false };
const TELEPHONE: Screen = Screen { width: 360, height: 740, is_dark: false };

/// (file without ending, who looks, path, on what)
const PICTURES: &[(&str, &str, &str, Screen)] = &[
    ("home", "", "/", LAPTOP),
    ("home-dark", "", "/", NIGHT),
    ("home-wide", "", "/", WIDE),
    ("home-telephone", "", "/", TELEPHONE),
    ("search", "", "/search?q=app", LAPTOP),
    ("search-telephone", "", "/search?q=app", TELEPHONE),
    ("repository", "alice", "/_/base", LAPTOP),
    ("tags", "", "/_/certificates/tags", LAPTOP),
    ("tags-telephone", "", "/_/certificates/tags", TELEPHONE),
    ("tag", "alice", "/r/acme/worker/tags/latest", LAPTOP),
    ("dockerfile", "", "/r/acme/app/dockerfile", LAPTOP),
    ("layers", "", "/r/acme/app/tags/1.1/layers", LAPTOP),
    ("layers-dark", "", "/r/acme/app/tags/1.1/layers", NIGHT),
    ("layers-telephone", "", "/r/acme/app/tags/1.1/layers", TELEPHONE),
    ("layer-files", "", "/r/acme/app/tags/1.1/layers/4", LAPTOP),
    ("files", "", "/r/acme/app/tags/1.1/files", LAPTOP),
    ("compare", "", "/r/acme/app/compare?from=1.0&to=1.1", LAPTOP),
    ("trust", "", "/_/curl/trust", LAPTOP),
    ("publisher", "", "/u/acme", LAPTOP),
    ("my-repositories", "alice", "/my", LAPTOP),
    ("new-repository", "alice", "/new", LAPTOP),
    ("settings", "alice", "/r/acme/app/settings", LAPTOP),
    ("settings-access", "alice", "/r/acme/app/settings/access", LAPTOP),
    ("settings-rules", "alice", "/r/acme/app/settings/rules", LAPTOP),
    ("settings-webhooks", "alice", "/r/acme/app/settings/webhooks", LAPTOP),
    ("settings-delete", "alice", "/r/acme/app/settings/delete?tag=1.0", LAPTOP),
    ("members", "alice", "/orgs/acme/members", LAPTOP),
    ("teams", "alice", "/orgs/acme/teams", LAPTOP),
    ("robots", "alice", "/orgs/acme/tokens", LAPTOP),
    ("organization-settings", "alice", "/orgs/acme/settings", LAPTOP),
    ("account", "alice", "/account", LAPTOP),
    ("tokens", "alice", "/account/tokens", LAPTOP),
    ("signing-keys", "alice", "/orgs/acme/keys", LAPTOP),
    ("organization-audit", "alice", "/orgs/acme/audit", LAPTOP),
    ("administration", "admin", "/admin/users", LAPTOP),
    ("badges", "admin", "/admin/badges", LAPTOP),
    ("storage", "admin", "/admin/storage", LAPTOP),
    ("mirrors", "admin", "/admin/mirrors", LAPTOP),
    ("health", "admin", "/admin/health", LAPTOP),
    ("audit", "admin", "/admin/audit", LAPTOP),
    ("sign-in", "", "/sign-in", LAPTOP),
    ("not-found", "", "/r/acme/nothing", LAPTOP),
];

/// Runs the command: `[--strata PATH] [--into FOLDER]`.
pub fn run(arguments: &[String]) -> Result<()> {
    let (mut strata, mut folder) = (None, workspace::root().join(FOLDER));
    for pair in arguments.chunks(2) {
        match pair {
            [flag, path] if flag == "--strata" => strata = Some(PathBuf::from(path)),
            [flag, path] if flag == "--into" => folder = path.into(),
            other => bail!("unknown arguments {other:?}"),
        }
    }
    packages::ensure(packages::FOR_BROWSER);
    let strata = strata.map_or_else(demo::built, Ok)?;
    let store = tempfile::Builder::new().prefix("strata-screenshots-").tempdir()?;
    let hub = Hub::start(&strata, store.path())?;
    demo::fill(&Terminal::new(strata, store.path()), &hub, store.path())?;
    wait_for_counts(&hub)?;
    take(&hub, &folder)
}

/// How long counts must not have changed.
const QUIET: Duration = Duration::from_secs(12);

/// The hub counts pulls a moment later, many at once, and those of several platforms another moment later.
fn wait_for_counts(hub: &Hub) -> Result<()> {
    let deadline = Instant::now() + Duration::from_secs(120);
    let (mut last, mut since) = (Vec::new(), Instant::now());
    loop {
        let mut counts = Vec::new();
        for repository in ["library/base", "library/certificates", "library/timezones", "acme/app", "grace/perl-course"]
        {
            let path = format!("/v2/repositories/{repository}/");
            counts.push(hub.request("admin", "GET", &path, &json!({}))?["pull_count"].as_u64().unwrap_or_default());
        }
        if counts != last {
            (last, since) = (counts, Instant::now());
        } else if since.elapsed() > QUIET && !last.contains(&0) {
            return Ok(());
        }
        ensure!(Instant::now() < deadline, "the pulls are not counted: {last:?}");
        std::thread::sleep(Duration::from_millis(200));
    }
}

fn take(hub: &Hub, folder: &Path) -> Result<()> {
    let browser = Browser::start().context("chromium and chromedriver are not here")?;
    fs::create_dir_all(folder)?;
    browser.devtools("Emulation.setScrollbarsHidden", json!({ "hidden": true }));
    let (mut viewer, mut all) = ("", 0);
    for (name, wanted, path, screen) in PICTURES {
        browser.show_on(*screen);
        if viewer != *wanted {
            sign_in(hub, &browser, wanted);
            viewer = wanted;
        }
        browser.open(&format!("http://{}{path}", hub.address));
        let picture = picture(&browser, *screen)?;
        println!("{name}.webp: {} kB", picture.len() / 1000);
        ensure!(picture.len() <= LARGEST, "{name} has {} bytes", picture.len());
        all += picture.len();
        fs::write(folder.join(name).with_extension("webp"), picture)?;
    }
    ensure!(all <= ALL, "the pictures have {all} bytes");
    Ok(())
}

fn sign_in(hub: &Hub, browser: &Browser, account: &str) {
    browser.devtools("Network.clearBrowserCookies", json!({}));
    if !account.is_empty() {
        browser.open(&format!("http://{}/sign-in", hub.address));
        browser.fill("#name", account);
        browser.fill("#password", PASSWORD);
        browser.click("main button.primary");
        browser.wait_for("form[action='/sign-out']");
    }
}

/// What the screen shows, without the place of the scroll bar.
fn picture(browser: &Browser, screen: Screen) -> Result<Vec<u8>> {
    let width = browser.run("return document.body.getBoundingClientRect().width");
    let clip = json!({ "x": 0, "y": 0, "width": width, "height": screen.height, "scale": 1 });
    let taken = browser.devtools("Page.captureScreenshot", json!({ "format": "webp", "quality": 80, "clip": clip }));
    STANDARD.decode(taken["data"].as_str().context("a picture")?).context("reading a picture")
}
