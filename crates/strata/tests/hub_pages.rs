//! The hub's pages as a browser asks for them: what they show, to whom, and what they refuse.

mod support {
    #![allow(dead_code, unreachable_pub, reason = "each test binary uses its part")]
    pub mod hub;
    pub mod site;
}

use serde_json::json;
use strata_testkit::{Image, ImageBuilder, Layer};
use support::hub::{PASSWORD, Request, eventually};
use support::site::Site;

const SCRIPT: &str = "<script>alert(1)</script>";

/// A site with `library/web` (described with markup of every kind) and the private `admin/secret`.
fn site() -> Site {
    let site = Site::new();
    site.push("library/web", "1.10", &image(1));
    site.push("library/web", "1.9", &image(2));
    site.push("admin/secret", "latest", &image(3));
    let readme = format!("# About\n\nA *server*. {SCRIPT}\n\n[x](javascript:alert(1)) <img src=x onerror=alert(1)>");
    site.patch("library/web", &json!({ "description": SCRIPT, "full_description": readme }));
    site.patch("admin/secret", &json!({ "is_private": true }));
    site
}

fn image(seed: u64) -> Image {
    ImageBuilder::new().layer(Layer::of_noise(seed, 10_000)).build()
}

#[test]
fn what_people_wrote_is_shown_and_never_runs() {
    let site = site();
    for path in ["/", "/search?q=web", "/_/web", "/_/web/tags", "/_/web/tags/1.9", "/_/web/dockerfile", "/u/library"] {
        let page = site.page(path, "");
        assert_eq!(page.status, 200, "{path}");
        let policy = &page.headers["content-security-policy"];
        assert!(policy.starts_with("default-src 'none'; style-src 'self'; script-src 'self'"), "{policy}");
        assert_eq!(page.headers["x-frame-options"], "DENY");
        let text = page.text();
        assert!(text.starts_with("<!doctype html>") && text.contains("</html>"), "{path}");
        assert!(
            !text.contains(SCRIPT) && !text.contains("<img") && !text.contains("href=\"javascript"),
            "{path}\n{text}"
        );
        assert!(!text.contains(" style=") && !text.contains("http://www") && text.len() < 60_000, "{path}");
        assert!(!text.contains("secret"), "{path}");
    }
    let overview = site.page("/_/web", "").text();
    assert!(
        overview.contains("<h2 id=\"text-about\">About</h2>") && overview.contains("<em>server</em>"),
        "{overview}"
    );
    assert!(overview.contains(&format!("docker pull {}/web:1.9", site.hub.address)), "{overview}");
    let by_name = site.page("/_/web/tags?order=name", "").text();
    let places = ["tags/1.9\"", "tags/1.10\""].map(|tag| by_name.find(tag).unwrap());
    assert!(places[0] < places[1], "tags are in their natural order");
    let suggested = site.page("/suggest?q=we", "").json();
    assert_eq!(suggested, json!([{ "name": "web", "url": "/_/web" }]));
}

#[test]
fn files_of_the_pages_stay_in_caches() {
    let site = site();
    let text = site.page("/", "").text();
    let style = text.split('"').find(|part| part.starts_with("/assets/style-")).unwrap();
    let file = site.page(style, "");
    assert_eq!((file.status, file.headers["content-type"].as_str()), (200, "text/css; charset=utf-8"));
    assert_eq!(file.headers["cache-control"], "public, max-age=31536000, immutable");
    assert_eq!(site.page("/assets/style-0.css", "").status, 404);
}

#[test]
fn what_is_private_looks_absent_until_one_signs_in() {
    let site = site();
    let (private, absent) = (site.page("/r/admin/secret", ""), site.page("/r/admin/nothing", ""));
    assert_eq!((private.status, absent.status), (404, 404));
    assert_eq!(private.text().replace("secret", "nothing"), absent.text());
    assert_eq!(site.page("/my", "").headers["location"], "/sign-in?next=%2Fmy");

    let cookie = site.sign_in();
    assert!(site.page("/my", &cookie).text().contains("admin/secret"));
    assert!(site.page("/r/admin/secret", &cookie).text().contains("Private"));
    let found = |text: &str, cookie: &str| {
        let answer = site.page(&format!("/search?q={text}"), cookie);
        (answer.status, answer.headers.get("location").cloned().unwrap_or_default())
    };
    assert_eq!(found("web:1.9", ""), (303, "/_/web/tags/1.9".to_owned()));
    assert_eq!(found("admin/secret:latest", &cookie), (303, "/r/admin/secret/tags/latest".to_owned()));
    for text in ["web:2", "web:", ":1.9", "admin/secret:latest", "nothing:1"] {
        assert_eq!(found(text, "").0, 200, "{text}");
    }
    let out = site.form("/sign-out", "", &cookie);
    assert!(out.headers["set-cookie"].contains("Max-Age=0"));
}

#[test]
fn wrong_passwords_and_ways_out_are_refused() {
    let site = site();
    let answer = site.form("/sign-in", "name=admin&password=wrong", "");
    assert_eq!(answer.status, 401);
    assert!(answer.text().contains("incorrect username or password") && !answer.headers.contains_key("set-cookie"));
    let password = PASSWORD.replace(' ', "+");
    for next in ["//evil.example", "https://evil.example", "%2F%5Cevil.example"] {
        let answer = site.form("/sign-in", &format!("name=admin&password={password}&next={next}"), "");
        assert_eq!((answer.status, answer.headers["location"].as_str()), (303, "/"), "{next}");
    }
}

#[test]
fn forms_of_other_sites_change_nothing() {
    let site = site();
    let cookie = site.sign_in();
    let star = |name: &str, value: &str| {
        let form = Request::new("POST", "/_/web/star").header("cookie", &cookie).header(name, value).body("star=yes");
        site.send(form).status
    };
    assert_eq!(star("origin", "https://evil.example"), 403);
    assert_eq!(star("sec-fetch-site", "cross-site"), 403);
    assert_eq!(star("accept", "*/*"), 403, "neither header: no browser sends this");
    assert!(site.page("/_/web", "").text().contains("0 stars"));
    assert_eq!(star("sec-fetch-site", "same-origin"), 303);
    assert!(site.page("/_/web", "").text().contains("1 star<"));
    assert_eq!(site.form("/_/web/star", "star=yes", "").headers["location"], "/sign-in?next=%2F%5F%2Fweb");
}

#[test]
fn a_tag_is_moved_back() {
    let site = site();
    site.push("library/web", "1.9", &image(4));
    let (old, new) = (image(2).digest().to_string(), image(4).digest().to_string());
    let cookie = site.sign_in();
    let page = eventually("the push", || {
        let text = site.page("/_/web/tags/1.9", &cookie).text();
        text.contains(&format!("web@{new}")).then_some(text)
    });
    assert!(page.contains(&format!("name=\"to\" value=\"{old}\"")), "{page}");
    let moved = site.form("/_/web/tags/1.9/move", &format!("to={old}&from={new}"), &cookie);
    assert_eq!((moved.status, moved.headers["location"].as_str()), (303, "/_/web/tags/1.9"), "{}", moved.text());
    assert!(site.page("/_/web/tags/1.9", "").text().contains(&format!("web@{old}")));
    // What the form says of the tag is not so any more.
    assert_eq!(site.form("/_/web/tags/1.9/move", &format!("to={new}&from={new}"), &cookie).status, 409);
}
