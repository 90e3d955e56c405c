//! The hub's pages where people change things, with forms posted as a browser would: what each does and refuses, to whom.

mod support {
    #![allow(dead_code, unreachable_pub, reason = "each test binary uses its part")]
    pub mod forms;
    pub mod hub;
    pub mod site;
}

use serde_json::json;
use support::forms::{Browser as _, between, encoded, image, public_key, session};
use support::hub::{PASSWORD, Request, RunningHub, administrator, eventually};
use support::site::Site;

#[test]
fn a_one_time_password_is_changed_first() {
    let site = Site::new();
    let admin = site.sign_in();
    let made = site.post("/admin/users", &admin, &[("name", "ann"), ("email", "ann@example.org")]);
    let page = made.text();
    assert_eq!(made.status, 200, "{page}");
    let once = between(&page, "<code id=\"password\" tabindex=\"0\">", "</code>").to_owned();
    assert!(!site.page("/admin/users/ann", &admin).text().contains(&once));

    let answer = site.post("/sign-in", "", &[("name", "ann"), ("password", &once), ("next", "/r/acme/app")]);
    assert_eq!(
        (answer.status, answer.headers["location"].as_str()),
        (303, "/password?name=ann&next=%2Fr%2Facme%2Fapp")
    );
    assert!(!answer.headers.contains_key("set-cookie"), "there is no session yet");
    let form = |old, new, again| {
        [("name", "ann"), ("next", "//evil.example"), ("old", old), ("password", new), ("repeated", again)]
    };
    let chosen = "a sentence of my own";
    for (pairs, status, problem) in [
        (form("wrong", chosen, chosen), 400, "the name or the password is wrong"),
        (form(&once, chosen, "another"), 400, "is not the same"),
        (form(&once, "short", "short"), 400, "8 characters or more"),
        (form(&once, &once, &once), 400, "must not be the old one"),
    ] {
        let page = site.refused("/password", "", &pairs, status);
        assert!(page.contains(problem) && page.contains("value=\"ann\""), "{page}");
        assert!(!page.contains(&once) && !page.contains(chosen), "passwords are not sent back");
    }
    let entered = site.post("/password", "strata_session=fixed", &form(&once, chosen, chosen));
    assert_eq!((entered.status, entered.headers["location"].as_str()), (303, "/"), "{}", entered.text());
    let cookie = session(&entered);
    assert!(site.page("/account", &cookie).text().contains("ann@example.org"));
    assert_eq!(site.post("/sign-in", "", &[("name", "ann"), ("password", &once)]).status, 401);
}

#[test]
fn accounts_are_registered_where_that_is_open() {
    let closed = Site::new();
    assert_eq!(closed.page("/register", "").status, 404);
    assert_eq!(closed.post("/register", "", &[("name", "ann")]).status, 404);
    assert!(!closed.page("/sign-in", "").text().contains("/register"));

    let directory = tempfile::tempdir().unwrap();
    let root = directory.path().join("store");
    administrator(&root);
    let hub = RunningHub::start(&root, &[("STRATA_HUB_ACCOUNTS__REGISTRATION", "open")]);
    assert!(hub.get("/sign-in").text().contains("/register"));
    let register = |name: &str, password: &str| {
        let body = encoded(&[("name", name), ("email", "a@b.example"), ("password", password), ("repeated", password)]);
        let form = Request::new("POST", "/register").header("sec-fetch-site", "same-origin").body(body);
        form.send(&hub.address).unwrap()
    };
    for (name, password, status, problem) in [
        ("admin", PASSWORD, 400, "reserved"),
        ("A b", PASSWORD, 400, "letters and digits"),
        ("ann", "short", 400, "8 characters"),
    ] {
        let answer = register(name, password);
        assert_eq!(answer.status, status);
        let page = answer.text();
        assert!(page.contains(problem) && page.contains("a@b.example"), "{page}");
        assert!(page.contains("aria-invalid=\"true\"") && !page.contains(password), "{page}");
    }
    let made = register("ann", PASSWORD);
    assert_eq!((made.status, made.headers["location"].as_str()), (303, "/my"));
    let cookie = session(&made);
    let my = Request::new("GET", "/my").header("cookie", &cookie).send(&hub.address).unwrap();
    assert_eq!(my.status, 200);
    assert_eq!(register("ann", PASSWORD).status, 409);
}

#[test]
fn sessions_change_with_the_password_and_end() {
    let site = Site::new();
    let (first, second) = (site.user("ann"), site.enter("ann", PASSWORD));
    let chosen = "another good sentence";
    let form = |old, new| [("old", old), ("password", new), ("repeated", new)];
    let page = site.refused("/account/password", &first, &form("wrong", chosen), 400);
    assert!(page.contains("this is not your password") && !page.contains(chosen), "{page}");
    let changed = site.post("/account/password", &first, &form(PASSWORD, chosen));
    assert_eq!(changed.status, 303, "{}", changed.text());
    let third = session(&changed);
    assert!(third != first && third != second);
    for ended in [&first, &second] {
        assert_eq!(site.page("/account", ended).status, 303, "a session of the old password");
    }
    let fourth = site.enter("ann", chosen);
    let ended = site.post("/account/sessions", &third, &[]);
    let fifth = session(&ended);
    assert_eq!([&third, &fourth, &fifth].map(|cookie| site.page("/account", cookie).status), [303, 303, 200]);

    let told = site.does("/account/profile", &fifth, &[("full_name", "Ann Example"), ("email", "ann@example.org")]);
    assert_eq!(told, "/account");
    let with_news = format!("{fifth}; strata_told=Saved%2E");
    let page = site.page("/account", &with_news);
    assert!(page.text().contains("role=\"status\"><p>Saved.</p>") && page.text().contains("Ann Example"));
    assert!(page.headers["set-cookie"].starts_with("strata_told=; "), "told once");
    let page = site.refused("/account/profile", &fifth, &[("full_name", "Ann"), ("email", "no address")], 400);
    assert!(page.contains("value=\"no address\"") && page.contains("is no address"), "{page}");
}

#[test]
fn a_session_is_seen_and_ended_alone() {
    let site = Site::new();
    let (first, second) = (site.user("ann"), site.enter("ann", PASSWORD));
    let bob = site.enter("admin", PASSWORD);
    let others = |cookie: &str| -> Vec<String> {
        let page = site.page("/account", cookie).text();
        let actions = page.split("action=\"").skip(1).map(|part| part.split('"').next().unwrap().to_owned());
        actions.filter(|action| action.starts_with("/account/sessions/")).collect()
    };
    let page = site.page("/account", &second).text();
    assert!(page.contains("this one") && page.contains("127.0.0.1"), "{page}");
    let [end] = &others(&second)[..] else { panic!("one other session: {page}") };
    assert_eq!(site.post(end, &bob, &[]).status, 404, "another's");
    assert_eq!(site.page("/account", &first).status, 200);
    assert_eq!(site.does(end, &second, &[]), "/account");
    assert_eq!([&first, &second].map(|cookie| site.page("/account", cookie).status), [303, 200]);
    assert_eq!(site.post(end, &second, &[]).status, 404, "it has ended");
    assert!(others(&second).is_empty());
    // Signing out ends the session, also for who kept its cookie.
    site.does("/sign-out", &second, &[]);
    assert_eq!(site.page("/account", &second).status, 303);
}

#[test]
fn a_publisher_tells_of_itself_and_of_its_keys() {
    let site = Site::new();
    let (ann, bob) = (site.user("ann"), site.user("bob"));
    site.does("/orgs/new", &ann, &[("name", "acme"), ("full_name", "Acme")]);
    let settings = "/orgs/acme/settings";
    let about =
        |link| [("full_name", "Acme Ltd"), ("description", "We make *images*."), ("link", link), ("location", "Berne")];
    let page = site.refused(settings, &ann, &about("javascript:alert(1)"), 400);
    assert!(page.contains("is no address of the web") && page.contains("value=\"Berne\""), "{page}");
    site.does(settings, &ann, &about("https://acme.example/?a=1&b=2"));
    let page = site.page("/u/acme", "").text();
    for shown in
        ["<p>We make *images*.</p>", "<li>Berne</li>", "Acme Ltd", "rel=\"nofollow noopener ugc\">https://acme"]
    {
        assert!(page.contains(shown), "{shown} in {page}");
    }

    let (key, other) = (public_key(), public_key());
    site.does("/new", &ann, &[("namespace", "acme"), ("name", "app"), ("visibility", "private")]);
    for path in ["/orgs/acme/keys", "/account/keys", "/r/acme/app/settings/keys"] {
        let page = site.refused(path, &ann, &[("name", "release"), ("pem", "no key")], 400);
        assert!(page.contains("is no public key") && page.contains(">\nno key</textarea>"), "{page}");
        assert!(site.refused(path, &ann, &[("name", " "), ("pem", &key)], 400).contains("is missing"));
        for name in ["releases", "release"] {
            assert_eq!(site.does(path, &ann, &[("name", name), ("pem", &key)]), path);
        }
        site.does(path, &ann, &[("name", "spare"), ("pem", &other)]);
        let page = site.page(path, &ann).text();
        assert!(page.contains("release") && !page.contains("releases"), "renamed, not twice: {page}");
        let remove = format!("{path}/{}/remove", between(&page, &format!("action=\"{path}/"), "/remove"));
        if path != "/account/keys" {
            assert_eq!(site.post(path, &bob, &[("name", "mine"), ("pem", &key)]).status, 404, "{path}");
            assert_eq!(site.post(&remove, &bob, &[]).status, 404, "{path}");
        }
        assert_eq!(site.does(&remove, &ann, &[]), path);
        assert_eq!(site.page(path, &ann).text().matches("/remove\"").count(), 1);
    }
    let log = site.page("/orgs/acme/audit", &ann).text();
    assert!(log.contains("key added") && log.contains("Organization created") && log.contains("acme/app"), "{log}");
    for path in ["/orgs/acme/audit", "/orgs/acme/keys"] {
        assert_eq!(site.page(path, &bob).status, 404);
        assert_eq!(site.page(path, "").status, 404);
    }
}

#[test]
fn a_repository_is_made_described_and_deleted() {
    let site = Site::new();
    let (ann, bob) = (site.user("ann"), site.user("bob"));
    let new = |namespace, name| {
        [("namespace", namespace), ("name", name), ("description", "What I made"), ("visibility", "private")]
    };
    let page = site.refused("/new", &ann, &new("ann", "Bad Name"), 400);
    assert!(
        page.contains("value=\"Bad Name\"") && page.contains("What I made") && page.contains("lower-case"),
        "{page}"
    );
    site.refused("/new", &ann, &new("bob", "app"), 404);
    site.refused("/new", &ann, &new("library", "app"), 404);
    assert_eq!(site.does("/new", &ann, &new("ann", "app")), "/r/ann/app");
    site.refused("/new", &ann, &new("ann", "app"), 409);
    assert_eq!(site.page("/r/ann/app", &bob).status, 404);

    let describe = "/r/ann/app/settings/describe";
    let text = [("description", "Short"), ("full_description", "# Title\r\n\r\n*word*"), ("do", "preview")];
    let preview = site.post(describe, &ann, &text).text();
    assert!(preview.contains(">Title</h2>") && preview.contains("*word*</textarea>"), "{preview}");
    assert!(!site.page("/r/ann/app", &ann).text().contains("<em>word</em>"), "a preview saves nothing");
    site.does(describe, &ann, &text[..2]);
    assert!(site.page("/r/ann/app", &ann).text().contains("<em>word</em>"));
    let page = site.refused(describe, &ann, &[("description", "x"), ("source", "javascript:alert(1)")], 400);
    assert!(page.contains("is no address of the web") && page.contains("value=\"javascript:alert(1)\""), "{page}");
    site.does("/r/ann/app/settings/visibility", &ann, &[("visibility", "public")]);
    assert_eq!(site.page("/r/ann/app", &bob).status, 200);

    // Two tags and another's repositories share a layer; one of these is private.
    for (repository, tag, seed) in
        [("ann/app", "one", 1), ("ann/app", "two", 2), ("bob/open", "1", 1), ("bob/hidden", "1", 1)]
    {
        site.push(repository, tag, &image(seed));
    }
    site.patch("bob/hidden", &json!({ "is_private": true }));
    // While a layer is looked through it would stay, too.
    eventually("a layer of its own that nothing else needs", || {
        let page = site.page("/r/ann/app/settings/delete?tag=two", &ann).text();
        let freed = page.split("<p>This frees ").nth(1)?.split(".</p>").next()?.to_owned();
        (freed.ends_with(" kB") && freed.len() == 6).then_some(())
    });
    let page = site.page("/r/ann/app/settings/delete?tag=one", &ann).text();
    assert!(page.contains("stay because bob/open shares them.") && !page.contains("bob/hidden"), "{page}");
    site.does("/r/ann/app/settings/delete-tags", &ann, &[("tag", "two")]);
    assert_eq!(site.page("/r/ann/app/tags/two", &ann).status, 404);

    let delete = "/r/ann/app/settings/delete-repository";
    let page = site.refused(delete, &ann, &[("confirmation", "app")], 400);
    assert!(page.contains("type ann/app to confirm"), "{page}");
    assert_eq!(site.does(delete, &ann, &[("confirmation", "ann/app")]), "/my");
    assert_eq!(site.page("/r/ann/app", &ann).status, 404);
    assert_eq!(site.page("/r/bob/open", "").status, 200);
}

#[test]
fn tags_stay_or_go_by_rules() {
    let site = Site::new();
    let admin = site.sign_in();
    for (tag, seed) in [("1.0", 1), ("1.1", 2), ("dev", 3)] {
        site.push("admin/app", tag, &image(seed));
    }
    site.patch("admin/app", &json!({}));
    let (immutable, retention) = ("/r/admin/app/settings/immutable", "/r/admin/app/settings/retention");
    let page = site.refused(immutable, &admin, &[("enabled", "yes"), ("immutable_tags_settings", "(")], 400);
    assert!(page.contains("aria-invalid=\"true\"") && page.contains(">\n(</textarea>"), "{page}");
    site.does(immutable, &admin, &[("enabled", "yes"), ("immutable_tags_settings", "1\\.0\r\n")]);
    let delete = "/r/admin/app/settings/delete-tags";
    assert!(site.refused(delete, &admin, &[("tag", "1.0")], 409).contains("immutable"));

    let rules = [("enabled", "yes"), ("keep", "0"), ("older_than_days", ""), ("retention", "de.*")];
    let page = site.post(retention, &admin, &[&rules[..], &[("do", "preview")]].concat()).text();
    let dry = between(&page, "Dry run (not saved)", "</section>");
    assert!(dry.contains("One tag would go now") && dry.contains("<code>1.1</code>"), "{dry}");
    let page = site.refused(retention, &admin, &[("keep", "many"), ("do", "preview")], 400);
    assert!(page.contains("must be a whole number") && page.contains("value=\"many\""), "{page}");
    assert!(site.refused(retention, &admin, &[("keep", "1"), ("retention", "[")], 400).contains("aria-invalid"));
    site.does(retention, &admin, &rules);
    assert!(site.page("/r/admin/app/settings/rules", &admin).text().contains("de.*"));
}

#[test]
fn only_admins_of_a_repository_know_its_settings() {
    let site = Site::new();
    let ann = site.user("ann");
    let (reader, writer, other) = (site.user("reader"), site.user("writer"), site.user("other"));
    for (name, visibility) in [("open", "public"), ("closed", "private")] {
        site.does("/new", &ann, &[("namespace", "ann"), ("name", name), ("visibility", visibility)]);
        let give = format!("/r/ann/{name}/settings/give-role");
        site.does(&give, &ann, &[("user", "reader"), ("role", "read")]);
        site.does(&give, &ann, &[("user", "Writer"), ("role", "write")]);
        assert!(
            site.refused(&give, &ann, &[("user", "nobody"), ("role", "read")], 404).contains("user nobody not found")
        );
    }
    let pages = ["", "/access", "/rules", "/webhooks", "/delete"];
    let actions = [
        "describe",
        "visibility",
        "give-role",
        "set-role",
        "take-role",
        "immutable",
        "retention",
        "webhooks",
        "delete-tags",
        "delete-repository",
        "webhooks/x/delete",
    ];
    for name in ["open", "closed"] {
        for part in pages {
            assert_eq!(site.page(&format!("/r/ann/{name}/settings{part}"), &ann).status, 200, "{part}");
        }
        for cookie in [&reader, &writer, &other, &String::new()] {
            let absent = site.page("/r/ann/absent/settings", cookie).text().replace("absent", name);
            for part in pages {
                let page = site.page(&format!("/r/ann/{name}/settings{part}"), cookie);
                assert_eq!(page.status, 404, "{name} {part}");
                // The page says its own address, as it is and in the link for signing in.
                let text = page.text().replace(&format!("settings{}", part.replace('/', "%2F")), "settings");
                assert_eq!(text.replace(&format!("settings{part}"), "settings"), absent);
            }
            for action in actions {
                let form = [("confirmation", &*format!("ann/{name}")), ("visibility", "public"), ("user", "other")];
                let answer = site.post(&format!("/r/ann/{name}/settings/{action}"), cookie, &form);
                assert_eq!(answer.status, 404, "{name} {action}");
            }
            assert!(!site.page("/r/ann/open", cookie).text().contains("Settings"));
        }
        let sees = [&ann, &reader, &writer, &other].map(|who| site.page(&format!("/r/ann/{name}"), who).status);
        assert_eq!(sees, if name == "open" { [200; 4] } else { [200, 200, 200, 404] });
    }
    site.does("/r/ann/closed/settings/set-role", &ann, &[("user", "writer"), ("role", "admin")]);
    assert_eq!(site.page("/r/ann/closed/settings", &writer).status, 200);
    site.does("/r/ann/closed/settings/take-role", &ann, &[("user", "writer")]);
    assert_eq!(site.page("/r/ann/closed", &writer).status, 404);
}

#[test]
fn access_tokens_are_shown_once_and_revoked() {
    let site = Site::new();
    let ann = site.user("ann");
    let tokens = "/account/tokens";
    for (pairs, problem) in [
        ([("token_label", ""), ("scopes", "repo:read"), ("expires_at", "")], "1 to 100 characters"),
        ([("token_label", "ci"), ("scopes", "root"), ("expires_at", "")], "choose one"),
        ([("token_label", "ci"), ("scopes", "repo:read"), ("expires_at", "soon")], "2026-12-31"),
        ([("token_label", "ci"), ("scopes", "repo:read"), ("expires_at", "2001-01-01")], "is in the past"),
    ] {
        let page = site.refused(tokens, &ann, &pairs, 400);
        assert!(page.contains(problem), "{page}");
    }
    let page =
        site.post(tokens, &ann, &[("token_label", "laptop"), ("scopes", "repo:write"), ("expires_at", "2099-12-31")]);
    let page = page.text();
    let secret = between(&page, "<code id=\"secret\" tabindex=\"0\">", "</code>").to_owned();
    assert!(secret.starts_with("strata_pat_") && page.contains("docker login"), "{page}");
    let list = site.page(tokens, &ann).text();
    assert!(list.contains("laptop") && list.contains("2100-01-01") && !list.contains(&secret), "{list}");
    let works = || site.send(Request::new("GET", "/v2/user/").token(&secret)).status == 200;
    assert!(works());
    let id = between(&list, "action=\"/account/tokens/", "/").to_owned();
    site.does(&format!("{tokens}/{id}/switch"), &ann, &[("active", "no")]);
    assert!(!works());
    site.does(&format!("{tokens}/{id}/switch"), &ann, &[("active", "yes")]);
    assert!(works());
    let bob = site.user("bob");
    assert_eq!(site.post(&format!("{tokens}/{id}/revoke"), &bob, &[]).status, 404, "another's token");
    site.does(&format!("{tokens}/{id}/revoke"), &ann, &[]);
    assert!(!works());
}

#[test]
fn organizations_are_kept_by_their_owners() {
    let site = Site::new();
    let (ann, bob, other) = (site.user("ann"), site.user("bob"), site.user("other"));
    assert!(site.refused("/orgs/new", &ann, &[("name", "new")], 400).contains("reserved"));
    assert!(site.refused("/orgs/new", &ann, &[("name", "bob")], 409).contains("taken"));
    let made = site.does("/orgs/new", &ann, &[("name", "acme"), ("full_name", "Acme & Co")]);
    assert_eq!(made, "/orgs/acme/members");
    let members = "/orgs/acme/members";
    let page = site.refused(members, &ann, &[("user", "nobody"), ("role", "member")], 404);
    assert!(page.contains("user nobody not found") && page.contains("value=\"nobody\""), "{page}");
    site.does(members, &ann, &[("user", "bob"), ("role", "member")]);
    assert!(site.refused("/orgs/acme/members/ann/remove", &ann, &[], 409).contains("must keep an owner"));
    for cookie in [&bob, &other, &String::new()] {
        for part in ["members", "teams", "teams/developers", "tokens", "settings"] {
            assert_eq!(site.page(&format!("/orgs/acme/{part}"), cookie).status, 404, "{part}");
        }
        for action in ["members", "teams", "settings", "tokens", "members/ann/remove", "teams/developers/delete"] {
            assert_eq!(site.post(&format!("/orgs/acme/{action}"), cookie, &[("user", "bob")]).status, 404, "{action}");
        }
    }
    let shown = site.page("/orgs/acme", "").text();
    assert!(shown.contains("Acme &#38; Co") && shown.contains("Organization with 2 members"), "{shown}");
    assert!(!shown.contains("/orgs/acme/members"), "for owners");

    let team = site.does("/orgs/acme/teams", &ann, &[("name", "developers"), ("description", "They push")]);
    site.refused("/orgs/acme/teams", &ann, &[("name", "developers")], 409);
    assert!(site.refused(&format!("{team}/add-member"), &ann, &[("user", "other")], 404).contains("other"));
    site.does(&format!("{team}/add-member"), &ann, &[("user", "bob")]);
    site.does("/new", &ann, &[("namespace", "acme"), ("name", "app"), ("visibility", "private")]);
    assert_eq!(site.page("/r/acme/app", &bob).status, 404);
    site.does(&format!("{team}/give-role"), &ann, &[("repository", "acme/app"), ("role", "read")]);
    assert_eq!(site.page("/r/acme/app", &bob).status, 200);
    site.refused(&format!("{team}/give-role"), &ann, &[("repository", "bob/app"), ("role", "read")], 404);
    site.does("/r/acme/app/settings/give-team-role", &ann, &[("team", "developers"), ("role", "admin")]);
    assert_eq!(site.page("/r/acme/app/settings", &bob).status, 200);
    site.does(&format!("{team}/take-role"), &ann, &[("repository", "acme/app")]);
    assert_eq!(site.page("/r/acme/app", &bob).status, 404);

    let robot = [("token_label", "ci"), ("resources", "acme/*"), ("scopes", "read")];
    let page = site.post("/orgs/acme/tokens", &ann, &robot).text();
    let secret = between(&page, "<code id=\"secret\" tabindex=\"0\">", "</code>");
    assert!(secret.starts_with("strata_rat_") && page.contains("--username &#39;acme/ci&#39;"), "{page}");
    site.refused("/orgs/acme/tokens", &ann, &robot, 409);
    let elsewhere = [("token_label", "x"), ("resources", "bob/*"), ("scopes", "read")];
    assert!(site.refused("/orgs/acme/tokens", &ann, &elsewhere, 400).contains("neither a repository of acme"));
    site.does(&format!("{team}/delete"), &ann, &[]);
    site.does("/orgs/acme/members/bob/remove", &ann, &[]);
    assert!(site.page("/u/acme", "").text().contains("Organization with 1 member<"));
}

#[test]
fn webhooks_are_made_and_sent_again() {
    let site = Site::new();
    let admin = site.sign_in();
    site.push("admin/app", "1", &image(1));
    site.patch("admin/app", &json!({}));
    let webhooks = "/r/admin/app/settings/webhooks";
    let page = site.refused(webhooks, &admin, &[("name", "ci"), ("url", "ftp://example.org/")], 400);
    assert!(page.contains("only http and https") && page.contains("value=\"ftp://example.org/\""), "{page}");
    let page =
        site.post(webhooks, &admin, &[("name", "ci"), ("url", "http://127.0.0.1:1/hook"), ("events", "push")]).text();
    let secret = between(&page, "<code id=\"secret\" tabindex=\"0\">", "</code>").to_owned();
    let list = site.page(webhooks, &admin).text();
    assert!(!list.contains(&secret) && list.contains("http://127.0.0.1:1/hook"), "{list}");
    let id = between(&list, &format!("href=\"{webhooks}/"), "\"").to_owned();
    site.push("admin/app", "2", &image(2));
    let one = format!("{webhooks}/{id}");
    eventually("a delivery", || site.page(&one, &admin).text().contains("private").then_some(()));
    assert_eq!(site.page(&format!("{webhooks}/nothing"), &admin).status, 404);
    site.does(&format!("{one}/resend"), &admin, &[("delivery", "1")]);
    assert_eq!(site.post(&format!("{one}/resend"), &admin, &[("delivery", "77")]).status, 404);
    site.does(&format!("{one}/switch"), &admin, &[("active", "no")]);
    assert!(site.page(&one, &admin).text().contains("Switch on"));
    assert_eq!(site.does(&format!("{one}/delete"), &admin, &[]), webhooks);
    assert_eq!(site.page(&one, &admin).status, 404);
}

#[test]
fn administrators_run_the_hub_and_nobody_else_sees_how() {
    let site = Site::new();
    let (admin, ann) = (site.sign_in(), site.user("ann"));
    site.push("ann/app", "1", &image(1));
    site.patch("ann/app", &json!({}));
    let pages = ["", "/users", "/users/ann", "/badges", "/storage", "/mirrors", "/health", "/audit"]
        .map(|p| format!("/admin{p}"));
    let actions =
        ["users", "users/ann/promote", "badges/official/new", "badges/verified", "storage/collect", "storage/check"];
    for path in &pages {
        assert_eq!(site.page(path, &admin).status, 200, "{path}");
    }
    for cookie in [&ann, &String::new()] {
        for path in &pages {
            assert_eq!(site.page(path, cookie).status, 404, "{path}");
        }
        for action in actions {
            assert_eq!(site.post(&format!("/admin/{action}"), cookie, &[("account", "ann")]).status, 404, "{action}");
        }
        assert!(!site.page("/", cookie).text().contains("/admin"));
    }
    assert!(site.page("/admin/users?q=nn", &admin).text().contains("/admin/users/ann"));
    assert!(site.page("/admin/users?q=zz", &admin).text().contains("No account is like this"));
    assert!(site.refused("/admin/users", &admin, &[("name", "ann")], 409).contains("taken"));
    assert!(site.refused("/admin/users/admin/demote", &admin, &[], 409).contains("must keep an administrator"));

    site.does("/admin/badges/verified/new", &admin, &[("account", "ann")]);
    assert!(site.page("/u/ann", "").text().contains("Verified publisher"));
    assert!(site.page("/", "").text().contains("<h2>Verified publishers</h2>"));
    site.refused("/admin/badges/verified/new", &admin, &[("account", "nobody")], 404);
    site.does("/admin/badges/official/new", &admin, &[("repository", "ann/app")]);
    assert!(site.page("/r/ann/app", "").text().contains("badge official"));

    let storage = site.page("/admin/storage", &admin).text();
    assert!(storage.contains("ann/app") && storage.contains("Saved by sharing"), "{storage}");
    let checked = site.post("/admin/storage/check", &admin, &[]).text();
    assert!(checked.contains("all is well"), "{checked}");
    site.does("/admin/storage/collect", &admin, &[("at_once", "yes")]);

    let once = site.post("/admin/users/ann/reset", &admin, &[]).text();
    assert!(once.contains("One-time password of ann"), "{once}");
    assert_eq!(site.page("/account", &ann).status, 303, "its sessions ended");
    site.does("/admin/users/ann/disable", &admin, &[]);
    assert_eq!(site.post("/sign-in", "", &[("name", "ann"), ("password", PASSWORD)]).status, 401);
    let logged = site.page("/admin/audit?actor=admin&action=account.password.reset", &admin).text();
    assert!(
        logged.contains("Password reset") && logged.contains("1 entry") && logged.contains("127.0.0.1"),
        "{logged}"
    );
    assert!(site.page("/admin/audit?account=nobody", &admin).status == 200);
}
