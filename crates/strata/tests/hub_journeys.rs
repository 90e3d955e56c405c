//! What people come to the hub's pages for, done in Chromium as a person would do it, and with the clients that the pages
//! name: an image is found, read about and pulled; a repository of one's own is made, pushed to, compared, mended, deleted.

mod support {
    #![allow(dead_code, unreachable_pub, reason = "each test binary uses its part")]
    pub mod hub;
    pub mod site;
}

use std::io::Write as _;
use std::process::{Command, Stdio};

use serde_json::json;
use strata_testkit::browser::{Browser, DOWN, ENTER, ESCAPE, Screen};
use strata_testkit::{ImageBuilder, Index, Layer, TarEntry};
use support::hub::PASSWORD;
use support::site::Site;

/// Bytes of the image that is deleted.
const LARGE: usize = 3_000_000;

/// A person at a browser, and the hub.
struct Visitor {
    site: Site,
    browser: Browser,
}

impl Visitor {
    /// `None` where there is no browser.
    fn arrive() -> Option<Visitor> {
        let browser = Browser::start()?;
        let site = Site::new();
        fill(&site);
        browser.show_on(Screen { width: 1200, height: 800, is_dark: false });
        Some(Visitor { site, browser })
    }

    fn open(&self, path: &str) {
        self.browser.open(&format!("{}{path}", self.origin()));
    }

    fn origin(&self) -> String {
        format!("http://{}", self.site.hub.address)
    }

    fn sign_in(&self) {
        self.open("/sign-in?next=/my");
        self.browser.fill("#name", "admin");
        self.browser.fill("#password", PASSWORD);
        self.browser.click("main button.primary");
        self.browser.wait_for_text("h1", "My repositories");
    }

    /// The program with a store and credentials of this person.
    fn strata(&self, arguments: &[&str]) -> Command {
        let home = self.site.hub.root.with_file_name("home");
        let mut command = self.site.hub.command(arguments);
        command.env("HOME", &home).env("DOCKER_CONFIG", home.join("docker")).env("STRATA_ROOT", home.join("store"));
        command
    }

    fn done(&self, arguments: &[&str]) -> String {
        let output = self.strata(arguments).output().unwrap();
        let said = String::from_utf8_lossy(&output.stderr);
        assert!(output.status.success(), "{arguments:?}: {said}");
        String::from_utf8_lossy(&output.stdout).into_owned()
    }
}

/// An official image with a history, one that is only called alike, and a large one.
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
    let noise = Layer::of_noise(9, LARGE);
    site.push("admin/large", "1", &ImageBuilder::new().layer(noise).build());
    site.patch("library/nginx", &json!({ "description": "A web server.", "full_description": "# How to use it" }));
    site.patch("admin/large", &json!({ "description": "Large." }));
}

#[test]
fn an_image_is_found_and_pulled() {
    let Some(visitor) = Visitor::arrive() else { return };
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

    visitor.open("/");
    browser.fill("#search", "nginx");
    browser.type_keys(ENTER);
    browser.wait_for_text("main h1", "2 images for");
    browser.click("input[name=badge][value=official]");
    browser.press("Apply");
    browser.wait_for_text("main h1", "1 image for");
    assert!(browser.here().contains("q=nginx") && browser.here().contains("badge=official"), "{}", browser.here());
    browser.follow("nginx");
    browser.wait_for_text(".prose h2", "How to use it");

    browser.follow("Tags");
    browser.wait_for("#tags");
    let shown = || browser.count("#tags [data-filter]:not([hidden])");
    assert_eq!(shown(), 3);
    browser.fill("input[data-filters]", "1.2");
    browser.until("two tags", || (shown() == 2).then_some(()));
    assert!(browser.text("#tags").contains("linux/arm64"));

    let permissions =
        json!({ "origin": visitor.origin(), "permissions": ["clipboardReadWrite", "clipboardSanitizedWrite"] });
    browser.devtools("Browser.grantPermissions", permissions);
    browser.click("button[data-copy=pull]");
    browser.wait_for_text("button[data-copy=pull]", "Copied");
    let line = browser.run_until_done("navigator.clipboard.readText().then(done, (cause) => done(String(cause)))");
    let line = line.as_str().unwrap().to_owned();
    assert_eq!(line, format!("docker pull {}/nginx", visitor.site.hub.address));
    let words: Vec<&str> = line.split(' ').skip(1).collect();
    visitor.done(&words);
    assert!(visitor.done(&["images"]).contains("/nginx"));
    visitor.open("/_/nginx");
    browser.until("the pull to be counted", || {
        visitor.open("/_/nginx");
        browser.text(".facts").contains("1 pull").then_some(())
    });
}

#[test]
fn everything_can_be_read_without_scripts() {
    let Some(visitor) = Visitor::arrive() else { return };
    let browser = &visitor.browser;
    browser.allow_scripts(false);
    visitor.open("/");
    browser.fill("#search", "nginx");
    browser.type_keys(ENTER);
    browser.wait_for_text("main h1", "2 images for");
    browser.click("input[name=badge][value=official]");
    browser.press("Apply");
    browser.wait_for_text("main h1", "1 image for");
    browser.follow("nginx");
    browser.wait_for_text(".copy code", "docker pull ");
    assert_eq!(browser.count("button[data-copy]:not([hidden])"), 0, "a button that could do nothing is not shown");
    browser.follow("Tags");
    browser.fill("main input[name=name]", "1.27");
    browser.press("Show");
    browser.wait_for_text("#tags caption", "1 tag");
    browser.follow("1.27");
    browser.wait_for_text("main h2", "1.27");
    for (tab, seen) in
        [("Dockerfile", "Reconstructed from the history"), ("Layers", "Layers of latest"), ("Trust", "latest")]
    {
        browser.follow(tab);
        browser.wait_for_text("main", seen);
    }
}

#[test]
fn a_private_repository_is_made_and_pushed_to() {
    let Some(visitor) = Visitor::arrive() else { return };
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

    let host = &visitor.site.hub.address;
    let mut login = visitor.strata(&["login", "--username", "admin", "--password-stdin", host]);
    let mut login = login.stdin(Stdio::piped()).stdout(Stdio::null()).spawn().unwrap();
    login.stdin.take().unwrap().write_all(PASSWORD.as_bytes()).unwrap();
    assert!(login.wait().unwrap().success());
    let (source, target) = (format!("{host}/nginx:1.26"), format!("{host}/admin/vault:first"));
    visitor.done(&["pull", &source]);
    visitor.done(&["tag", &source, &target]);
    visitor.done(&["push", &target]);
    browser.until("the push", || {
        visitor.open("/r/admin/vault/tags");
        browser.text("main").contains("first").then_some(())
    });
    visitor.open("/my");
    browser.wait_for_text(".cards", "admin/vault");

    browser.press("Sign out");
    browser.wait_for_text("nav[aria-label=Account]", "Sign in");
    visitor.open("/r/admin/vault");
    browser.wait_for_text("main h1", "Not found");
}

#[test]
fn tags_are_compared_moved_back_and_deleted() {
    let Some(visitor) = Visitor::arrive() else { return };
    let browser = &visitor.browser;
    visitor.sign_in();
    visitor.open("/_/nginx/tags");
    browser.follow("Compare two");
    browser.fill("#from", "1.26");
    browser.fill("#to", "1.27");
    browser.press("Compare");
    browser.wait_for_text("#configuration", "VERSION");

    visitor.open("/_/nginx/tags/1.27");
    let digest = browser.text("dl.pairs code");
    browser.press("Move here");
    browser.until("the tag to be moved", || (browser.text("dl.pairs code") != digest).then_some(()));

    visitor.open("/r/admin/large/settings/delete");
    browser.wait_for_text("main", "This frees ");
    let before = stored(&visitor);
    visitor.open("/r/admin/large/settings/delete");
    browser.fill("input[name=confirmation]", "admin/large");
    browser.press("Delete repository");
    browser.wait_for_text("[role=status]", "admin/large is deleted");
    visitor.open("/admin/storage");
    browser.click("input[name=at_once]");
    browser.press("Collect now");
    browser.wait_for_text("[role=status]", "Collected");
    let after = stored(&visitor);
    assert!(after + 2.9 < before, "{before} MB became {after} MB");
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
