//! What people come to the hub's pages for, done in Chromium as a person would do it, and with the clients that the pages
//! name: an image is found, read about and pulled; a repository of one's own is made, pushed to, compared, mended, deleted.
//!
//! Reading is done on every screen, in both colour schemes, with scripts and without; changing on a telephone with scripts
//! and on a wide screen without.

mod support {
    #![allow(dead_code, unreachable_pub, reason = "each test binary uses its part")]
    pub mod hub;
    #[path = "mod.rs"]
    mod sandbox;
    pub mod site;

    pub use sandbox::{Run, Sandbox, run};
}
mod tools;

use std::os::unix::fs::symlink;
use std::process::Command;

use serde_json::json;
use strata_testkit::browser::{Browser, DOWN, ENTER, ESCAPE, Screen};
use strata_testkit::{ImageBuilder, Index, Layer, TarEntry, one_time_code};
use support::hub::PASSWORD;
use support::site::Site;
use support::{Sandbox, run};
use tools::Docker;

/// Bytes of each of the images that are deleted.
const LARGE: usize = 3_000_000;

const TELEPHONE: Screen = Screen { width: 360, height: 740, is_dark: true };
const LAPTOP: Screen = Screen { width: 1200, height: 800, is_dark: false };
const WIDE: Screen = Screen { width: 1600, height: 1000, is_dark: false };

/// Every width in both colour schemes.
fn screens() -> impl Iterator<Item = Screen> {
    let schemes = |screen: Screen| [false, true].map(|is_dark| Screen { is_dark, ..screen });
    [TELEPHONE, LAPTOP, WIDE].into_iter().flat_map(schemes)
}

/// A person at a browser and a terminal, and the hub.
struct Visitor {
    site: Site,
    browser: Browser,
    has_scripts: bool,
}

impl Visitor {
    /// `None` where there is no browser.
    fn arrive(screen: Screen, has_scripts: bool) -> Option<Visitor> {
        let browser = Browser::start()?;
        let site = Site::new();
        fill(&site);
        browser.show_on(screen);
        browser.allow_scripts(has_scripts);
        Some(Visitor { site, browser, has_scripts })
    }

    fn open(&self, path: &str) {
        self.browser.open(&format!("{}{path}", self.origin()));
    }

    fn origin(&self) -> String {
        format!("http://{}", self.site.hub.address)
    }

    fn sign_in(&self) {
        self.show_password(PASSWORD);
        self.browser.wait_for_text("h1", "My repositories");
    }

    /// Waits for the page that follows: another address that is asked for before that would be left again.
    fn sign_out(&self) {
        self.browser.press("Sign out");
        self.browser.wait_for_text("header", "Sign in");
    }

    fn show_password(&self, password: &str) {
        self.open("/sign-in?next=/my");
        self.browser.fill("#name", "admin");
        self.browser.fill("#password", password);
        self.browser.click("main button.primary");
    }

    /// A line of the page, copied as one does: by its button, or without scripts by selecting it.
    fn copied(&self, id: &str) -> String {
        if !self.has_scripts {
            return self.browser.text(&format!("#{id}"));
        }
        let button = format!("button[data-copy={id}]");
        let permissions =
            json!({ "origin": self.origin(), "permissions": ["clipboardReadWrite", "clipboardSanitizedWrite"] });
        self.browser.devtools("Browser.grantPermissions", permissions);
        self.browser.click(&button);
        self.browser.wait_for_text(&button, "Copied");
        let read = "navigator.clipboard.readText().then(done, (cause) => done(String(cause)))";
        self.browser.run_until_done(read).as_str().unwrap().to_owned()
    }

    /// Waits until the page at `path` shows a text.
    fn wait_on(&self, path: &str, css: &str, text: &str) {
        self.browser.until(text, || {
            self.open(path);
            self.browser.text(css).contains(text).then_some(())
        });
    }
}

/// A shell that has `strata`, and `docker` with a daemon; where none starts, `docker` is Strata too.
struct Terminal {
    sandbox: Sandbox,
    docker: Option<Docker>,
}

impl Terminal {
    fn open() -> Terminal {
        let sandbox = Sandbox::new();
        let docker = Docker::start(&sandbox);
        let programs = sandbox.path("programs");
        std::fs::create_dir(&programs).unwrap();
        for name in ["strata"].into_iter().chain(docker.is_none().then_some("docker")) {
            symlink(env!("CARGO_BIN_EXE_strata"), programs.join(name)).unwrap();
        }
        Terminal { sandbox, docker }
    }

    /// Runs a line, which must succeed; gives what it printed.
    #[track_caller]
    fn line(&self, line: &str) -> String {
        let mut command = match &self.docker {
            Some(docker) => docker.shell(line),
            None => Command::new("sh"),
        };
        if self.docker.is_none() {
            command.args(["-c", line]).env("DOCKER_CONFIG", self.sandbox.path("docker"));
        }
        let path = std::env::var("PATH").unwrap_or_default();
        command.env("PATH", format!("{}:{path}", self.sandbox.path("programs").display()));
        command.env("HOME", self.sandbox.path("home")).env("STRATA_ROOT", self.sandbox.root());
        run(command).success()
    }
}

/// An official image with a history, one that is only called alike, and large ones.
fn fill(site: &Site) {
    let image = |version: &str, platform: &str| {
        let files = [
            TarEntry::directory("etc"),
            TarEntry::file("etc/version", version.as_bytes()),
            TarEntry::file("etc/noise", strata_testkit::layer::noise(1, 20_000)),
        ];
        let env = json!([format!("VERSION={version}")]);
        ImageBuilder::new().layer(Layer::new(&files)).platform(platform).setting("Env", env).build()
    };
    let index = |version: &str| {
        Index::new(["linux/amd64", "linux/arm64"].iter().map(|platform| image(version, platform)).collect())
    };
    for (tag, version) in [("1.26", "1.26.0"), ("1.27", "1.27.0"), ("1.27", "1.27.1"), ("latest", "1.27.1")] {
        site.push_index("library/nginx", tag, &index(version));
    }
    site.push("admin/nginx-mine", "1", &image("mine", "linux/amd64"));
    for (tag, seed) in [("1", 9), ("2", 10)] {
        site.push("admin/large", tag, &ImageBuilder::new().layer(Layer::of_noise(seed, LARGE)).build());
    }
    site.patch("library/nginx", &json!({ "description": "A web server.", "full_description": "# How to use it" }));
    site.patch("admin/large", &json!({ "description": "Large." }));
}

#[test]
fn an_image_is_found_read_and_pulled_with_scripts() {
    found_read_and_pulled(true);
}

#[test]
fn an_image_is_found_read_and_pulled_without_scripts() {
    found_read_and_pulled(false);
}

fn found_read_and_pulled(has_scripts: bool) {
    let Some(visitor) = Visitor::arrive(LAPTOP, has_scripts) else { return };
    let terminal = Terminal::open();
    for (number, screen) in (1..).zip(screens()) {
        visitor.browser.show_on(screen);
        if has_scripts {
            suggested(&visitor);
        }
        found(&visitor);
        for (id, program) in [("pull", "docker"), ("strata-pull", "strata")] {
            let line = visitor.copied(id);
            assert_eq!(line, format!("{program} pull {}/nginx", visitor.site.hub.address));
            terminal.line(&line);
            let images = terminal.line(&format!("{program} images"));
            assert!(images.contains(&format!("{}/nginx", visitor.site.hub.address)), "{images}");
        }
        tags_read(&visitor);
        layers_read(&visitor);
        other_parts_read(&visitor);
        visitor.wait_on("/_/nginx", ".facts", &if number == 1 { "pull".to_owned() } else { "pulls".to_owned() });
        assert_eq!(visitor.browser.console(), Vec::<String>::new(), "{screen:?}");
    }
}

fn suggested(visitor: &Visitor) {
    let browser = &visitor.browser;
    visitor.open("/");
    browser.type_keys("/ngi");
    browser.wait_for_text("#suggestions", "nginx");
    browser.type_keys(ESCAPE);
    browser.until("suggestions to go", || (browser.count("#suggestions a") == 0).then_some(()));
    browser.type_keys("nx");
    browser.wait_for_text("#suggestions", "nginx");
    browser.type_keys(&format!("{DOWN}{ENTER}"));
    browser.wait_for_text("main h1", "nginx");
}

/// Searches, filters, and opens what was found.
fn found(visitor: &Visitor) {
    let browser = &visitor.browser;
    visitor.open("/");
    browser.wait_for_text("main", "Official images");
    browser.fill("#search", "nginx");
    browser.type_keys(ENTER);
    browser.wait_for_text("main h1", "2 images for");
    browser.click("input[name=badge][value=official]");
    browser.press("Apply");
    browser.wait_for_text("main h1", "1 image for");
    assert!(browser.here().contains("q=nginx") && browser.here().contains("badge=official"), "{}", browser.here());
    browser.follow("nginx");
    browser.wait_for_text(".prose h2", "How to use it");
    let buttons = browser.count("button[data-copy]:not([hidden])");
    assert_eq!(buttons > 0, visitor.has_scripts, "a button that could do nothing is not shown");
}

fn tags_read(visitor: &Visitor) {
    let browser = &visitor.browser;
    browser.follow("Tags");
    browser.wait_for_text("#tags caption", "3 tags");
    assert!(browser.text("#tags").contains("linux/arm64"));
    if visitor.has_scripts {
        let shown = || browser.count("#tags [data-filter]:not([hidden])");
        assert_eq!(shown(), 2, "tags on one digest stand together");
        browser.fill("input[data-filters]", "LATEST");
        browser.until("the tags that are latest", || (shown() == 1).then_some(()));
    }
    browser.fill("main input[name=name]", "1.27");
    browser.press("Show");
    browser.wait_for_text("#tags caption", "1 tag");
    browser.wait_for_text("#tags", "also latest");
    browser.follow("1.27");
    browser.wait_for_text("main h2", "1.27");
    let exact = visitor.copied("exact");
    assert!(exact.contains("/nginx@sha256:"), "{exact}");
}

/// From the page of a tag into the files of its layers, and to a path in them.
fn layers_read(visitor: &Visitor) {
    let browser = &visitor.browser;
    browser.click("main .actions a[href$='/tags/1.27/layers']");
    browser.wait_for_text("main", "Layers of 1.27");
    browser.follow("Layer 1");
    browser.wait_for_text("main h2", "Layer 1 of 1");
    let here = browser.here();
    visitor.wait_on(&here, "main", "etc");
    browser.follow("etc/");
    browser.wait_for_text("main", "version");
    browser.follow("Layers of 1.27");
    browser.fill("main input[name=find]", "noise");
    browser.type_keys(ENTER);
    browser.wait_for_text("main", "/etc/noise");
}

fn other_parts_read(visitor: &Visitor) {
    let browser = &visitor.browser;
    for (tab, seen) in [("Dockerfile", "Reconstructed from the history"), ("Trust", "What is known of nginx:latest")] {
        browser.follow(tab);
        browser.wait_for_text("main", seen);
    }
    browser.wait_for_text("main", "Official: kept by this hub's operators");
    browser.follow("Tags");
    browser.follow("Compare two");
    compared(visitor);
    browser.follow("library");
    browser.wait_for_text("main h1", "library");
    browser.wait_for_text(".cards", "nginx");
}

/// Fills the form that compares, on its page.
fn compared(visitor: &Visitor) {
    let browser = &visitor.browser;
    browser.fill("#from", "1.26");
    browser.fill("#to", "1.27");
    browser.press("Compare");
    browser.wait_for_text("#configuration", "VERSION");
    browser.wait_for_text("#layers", "only after");
    browser.follow("Compare the files");
    browser.until("the files", || browser.here().ends_with("#files").then_some(()));
    let here = browser.here();
    visitor.wait_on(&here, "#files", "etc/");
}

#[test]
fn a_private_repository_is_made_and_pushed_to_on_a_telephone() {
    made_and_pushed_to(TELEPHONE, true);
}

#[test]
fn a_private_repository_is_made_and_pushed_to_without_scripts() {
    made_and_pushed_to(WIDE, false);
}

fn made_and_pushed_to(screen: Screen, has_scripts: bool) {
    let Some(visitor) = Visitor::arrive(screen, has_scripts) else { return };
    let browser = &visitor.browser;
    visitor.open("/_/nginx");
    assert_eq!(browser.count("form[action$='/star']"), 0);
    browser.follow("Sign in");
    browser.fill("#name", "admin");
    browser.fill("#password", "not the password");
    browser.click("main button.primary");
    browser.wait_for_text("[role=alert]", "incorrect username or password");
    browser.fill("#password", PASSWORD);
    browser.click("main button.primary");
    browser.wait_for_text("main h1", "nginx");
    browser.press("Star");
    browser.wait_for_text(".facts", "1 star");
    browser.press("Unstar");
    browser.wait_for_text(".facts", "0 stars");

    browser.follow("My repositories");
    browser.follow("New repository");
    browser.fill("#new-name", "vault");
    browser.fill("#new-description", "Only mine.");
    browser.click("#new-visibility option[value=private]");
    browser.press("Make repository");
    browser.wait_for_text("main h1", "admin/vault");
    browser.wait_for_text("main h1", "Private");

    let (terminal, host) = (Terminal::open(), &visitor.site.hub.address);
    for (program, source, tag) in [("docker", "1.26", "first"), ("strata", "1.27", "second")] {
        terminal.line(&format!("echo '{PASSWORD}' | {program} login --username admin --password-stdin {host}"));
        terminal.line(&format!("{program} pull {host}/nginx:{source}"));
        terminal.line(&format!("{program} tag {host}/nginx:{source} {host}/admin/vault:{tag}"));
        terminal.line(&format!("{program} push {host}/admin/vault:{tag}"));
        visitor.wait_on("/r/admin/vault/tags", "main", tag);
        browser.wait_for_text("#tags", "by admin");
    }
    visitor.open("/my");
    browser.wait_for_text("main table", "admin/vault");

    visitor.sign_out();
    browser.wait_for_text("nav[aria-label=Account]", "Sign in");
    visitor.open("/r/admin/vault");
    browser.wait_for_text("main h1", "Not found");
}

#[test]
fn tags_are_compared_moved_back_and_deleted_on_a_telephone() {
    compared_moved_back_and_deleted(TELEPHONE, true);
}

#[test]
fn tags_are_compared_moved_back_and_deleted_without_scripts() {
    compared_moved_back_and_deleted(WIDE, false);
}

fn compared_moved_back_and_deleted(screen: Screen, has_scripts: bool) {
    let Some(visitor) = Visitor::arrive(screen, has_scripts) else { return };
    let browser = &visitor.browser;
    visitor.sign_in();
    visitor.open("/_/nginx/tags");
    browser.follow("Compare two");
    compared(&visitor);

    visitor.open("/_/nginx/tags/1.27");
    let digest = browser.text("dl.pairs code");
    browser.press("Move here");
    browser.until("the tag to be moved", || (browser.text("dl.pairs code") != digest).then_some(()));

    let before = stored(&visitor);
    visitor.open("/r/admin/large/settings/delete");
    browser.click("input[name=tag][value='2']");
    browser.press("See what this frees");
    browser.wait_for_text("main", "This frees ");
    browser.press("Delete this tag");
    browser.wait_for_text("[role=status]", "One tag is deleted");
    let between = collected(&visitor);
    assert!(between + 2.9 < before, "a tag: {before} MB became {between} MB");
    browser.wait_for_text("main", "In the last 90 days");

    visitor.open("/r/admin/large/settings/delete");
    browser.wait_for_text("main", "This frees ");
    browser.fill("input[name=confirmation]", "admin/large");
    browser.press("Delete repository");
    browser.wait_for_text("[role=status]", "admin/large is deleted");
    let after = collected(&visitor);
    assert!(after + 2.9 < between, "a repository: {between} MB became {after} MB");
}

/// What is stored, in MB, after what nothing needs was collected.
fn collected(visitor: &Visitor) -> f64 {
    visitor.open("/admin/storage");
    visitor.browser.click("input[name=at_once]");
    visitor.browser.press("Collect now");
    visitor.browser.wait_for_text("[role=status]", "Collected");
    stored(visitor)
}

#[test]
fn a_second_factor_is_set_up_used_and_turned_off_on_a_telephone() {
    second_factor_used(TELEPHONE, true);
}

#[test]
fn a_second_factor_is_set_up_used_and_turned_off_without_scripts() {
    second_factor_used(WIDE, false);
}

fn second_factor_used(screen: Screen, has_scripts: bool) {
    let Some(visitor) = Visitor::arrive(screen, has_scripts) else { return };
    let browser = &visitor.browser;
    visitor.sign_in();
    visitor.open("/account");
    browser.press("Set up a second factor");
    browser.wait_for("svg.qr");
    let key = visitor.copied("key");
    assert!(visitor.copied("address").contains(&format!("secret={key}")));
    // The code of the next half minute is good now and for a while, and is needed when this one's was taken.
    let step = one_time_code::present_step();
    let confirm = "#account-second-factor-confirm-code";
    browser.fill(confirm, "000000");
    browser.press("Turn on");
    browser.wait_for_text("[role=alert]", "this code is not good");
    assert_eq!(browser.text("#key"), key, "it is there to be typed again");
    browser.wait_for("svg.qr");
    browser.fill(confirm, &one_time_code::at(&key, step));
    browser.press("Turn on");
    browser.wait_for_text("main h2", "The second factor is on");
    let codes = browser.run("return [...document.querySelectorAll('td code')].map((code) => code.textContent)");
    assert_eq!(codes.as_array().map(Vec::len), Some(10));
    let recovery = |number: usize| codes[number].as_str().unwrap().to_owned();

    visitor.sign_out();
    visitor.show_password(PASSWORD);
    browser.wait_for_text("main h1", "Your second factor");
    let code = "#sign-in-code-code";
    browser.fill(code, &one_time_code::at(&key, step));
    browser.click("main button.primary");
    browser.wait_for_text("[role=alert]", "incorrect code");
    browser.fill(code, &one_time_code::at(&key, step + 1));
    browser.click("main button.primary");
    browser.wait_for_text("main h1", "My repositories");

    let chosen = "another sentence of mine";
    for (shown, seen) in [("123456", "is not good"), (&*recovery(0), "Your password is changed.")] {
        visitor.open("/account");
        for (field, text) in [("old", PASSWORD), ("password", chosen), ("repeated", chosen), ("code", shown)] {
            browser.fill(&format!("#account-password-{field}"), text);
        }
        browser.press("Change password");
        browser.wait_for_text("main", seen);
    }
    browser.wait_for_text("main", "Recovery codes left");
    browser.fill("#account-second-factor-disable-code", &recovery(0));
    browser.press("Turn off");
    browser.wait_for_text("[role=alert]", "this code is not good");
    browser.fill("#account-second-factor-disable-code", &recovery(1));
    browser.press("Turn off");
    browser.wait_for_text("[role=status]", "The second factor is off.");
    visitor.sign_out();
    visitor.show_password(chosen);
    browser.wait_for_text("main h1", "My repositories");
}

/// What the administrator reads of the bytes that are stored, in MB.
fn stored(visitor: &Visitor) -> f64 {
    visitor.open("/admin/storage");
    let text = visitor.browser.run(
        "return [...document.querySelectorAll('dt')].find((name) => name.textContent === 'Stored').nextElementSibling.textContent",
    );
    let text = text.as_str().unwrap();
    let mut words = text.split_whitespace();
    let number: f64 = words.next().unwrap().parse().unwrap();
    match words.next() {
        Some("MB") => number,
        Some("kB") => number / 1000.0,
        _ => panic!("{text}"),
    }
}
