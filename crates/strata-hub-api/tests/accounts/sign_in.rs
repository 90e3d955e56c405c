//! Signing in: passwords, sessions, access tokens, refresh tokens, and what stops guessing.

use reqwest::StatusCode;
use serde_json::json;
use strata_hub::{AccountSettings, Challenge, HubCatalog as _, HubSettings, Registration};

use crate::support::{Answer, Body, PASSWORD, World, basic};

impl World {
    async fn log_in(&self, name: &str, password: &str) -> Answer {
        self.post("/v2/users/login", None, json!({ "username": name, "password": password })).await
    }

    async fn session(&self, name: &str, password: &str) -> String {
        let answer = self.log_in(name, password).await.is(StatusCode::OK);
        format!("Bearer {}", answer.json()["token"].as_str().unwrap())
    }

    /// The OAuth 2 form of `/token`.
    async fn grant(&self, form: &str) -> Answer {
        self.send("POST", "/token", None, Body::Form(form)).await
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn sessions_stand_for_what_they_began_with() {
    let world = World::start().await;
    let session = world.session("Ann", PASSWORD).await;
    let answer = world.get("/v2/user/", Some(&session)).await.is(StatusCode::OK);
    assert_eq!(answer.json()["username"], "ann");
    assert!(!answer.text().contains("argon2"));

    let secret = json!({ "identifier": "ann", "secret": PASSWORD });
    let short = world.post("/v2/auth/token", None, secret).await.is(StatusCode::OK).json();
    let short = format!("Bearer {}", short["access_token"].as_str().unwrap());
    world.get("/v2/user", Some(&short)).await.is(StatusCode::OK);
    world.get("/v2/acme/secret/tags/list", Some(&short)).await.is(StatusCode::UNAUTHORIZED);

    let wrong = world.log_in("ann", "wrong").await.is(StatusCode::UNAUTHORIZED);
    let nobody = world.log_in("nobody", "wrong").await.is(StatusCode::UNAUTHORIZED);
    assert_eq!(wrong.json()["detail"], "Incorrect authentication credentials");
    assert_eq!(wrong.everything(), nobody.everything());
    world.log_in("acme", PASSWORD).await.is(StatusCode::UNAUTHORIZED);

    for bad in ["Bearer nonsense", "Basic nonsense", "Bearer a.b.c", "Digest x", "Bearer"] {
        world.get("/v2/user", Some(bad)).await.is(StatusCode::UNAUTHORIZED);
        world.get("/v2/orgs/acme", Some(bad)).await.is(StatusCode::UNAUTHORIZED);
    }
    let none = session.strip_prefix("Bearer ").unwrap().split('.').nth(1).unwrap();
    // {"alg":"none","typ":"JWT","kid":""}
    let unsigned = format!("Bearer eyJhbGciOiJub25lIiwidHlwIjoiSldUIiwia2lkIjoiIn0.{none}.");
    world.get("/v2/user", Some(&unsigned)).await.is(StatusCode::UNAUTHORIZED);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_new_password_ends_what_began_with_the_old_one() {
    let world = World::start().await;
    let session = world.session("otto", PASSWORD).await;
    let form = format!("grant_type=password&service=x&access_type=offline&username=otto&password={PASSWORD}");
    let refresh = world.grant(&form).await.is(StatusCode::OK).json()["refresh_token"].as_str().unwrap().to_owned();
    let personal = world.personal("otto", "repo:read", None).await;

    let change = json!({ "username": "otto", "password": PASSWORD, "new_password": "battery staple" });
    world.post("/api/v1/account/password", None, change.clone()).await.is(StatusCode::NO_CONTENT);
    world.post("/api/v1/account/password", None, change).await.is(StatusCode::UNAUTHORIZED);
    world.get("/v2/user", Some(&session)).await.is(StatusCode::UNAUTHORIZED);
    world.get("/v2/user", Some(&basic("otto", PASSWORD))).await.is(StatusCode::UNAUTHORIZED);
    world.get("/v2/user", Some(&basic("otto", "battery staple"))).await.is(StatusCode::OK);
    world.grant(&format!("grant_type=refresh_token&refresh_token={refresh}")).await.is(StatusCode::UNAUTHORIZED);
    world.get("/v2/", Some(&personal)).await.is(StatusCode::OK);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn one_time_passwords_are_good_for_choosing_another() {
    let world = World::start().await;
    let admin = basic("admin", PASSWORD);
    let answer = world.post("/api/v1/admin/users", Some(&admin), json!({ "username": "new.user" })).await;
    let one_time = answer.is(StatusCode::CREATED).json()["one_time_password"].as_str().unwrap().to_owned();
    let refused = world.log_in("new.user", &one_time).await.is(StatusCode::FORBIDDEN);
    assert!(refused.text().contains("must be changed"), "{}", refused.text());
    world.get("/v2/", Some(&basic("new.user", &one_time))).await.is(StatusCode::FORBIDDEN);
    world.get("/token", Some(&basic("new.user", &one_time))).await.is(StatusCode::FORBIDDEN);
    let change = json!({ "username": "new.user", "password": one_time, "new_password": "my own password" });
    world.post("/api/v1/account/password", None, change).await.is(StatusCode::NO_CONTENT);
    world.log_in("new.user", "my own password").await.is(StatusCode::OK);

    let path = "/api/v1/admin/users/new.user/password";
    let reset = world.post(path, Some(&admin), json!({})).await.is(StatusCode::OK);
    assert!(reset.json()["one_time_password"].is_string());
    world.log_in("new.user", "my own password").await.is(StatusCode::UNAUTHORIZED);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn access_tokens_are_kept_as_docker_hub_keeps_them() {
    let world = World::start().await;
    let otto = basic("otto", PASSWORD);
    let new = json!({ "token_label": "laptop", "scopes": ["repo:write"] });
    let created = world.post("/v2/access-tokens", Some(&otto), new).await.is(StatusCode::CREATED).json();
    let secret = created["token"].as_str().unwrap();
    assert!(secret.starts_with("strata_pat_"), "{secret}");
    let path = format!("/v2/access-tokens/{}", created["uuid"].as_str().unwrap());
    let shown = world.get(&path, Some(&otto)).await.is(StatusCode::OK).json();
    assert_eq!((&shown["token"], &shown["scopes"]), (&json!(""), &json!(["repo:write"])));
    assert_eq!(shown["last_used"], json!(null));

    let with_token = basic("otto", secret);
    world.get("/v2/", Some(&with_token)).await.is(StatusCode::OK);
    world.get("/v2/", Some(&format!("Bearer {secret}"))).await.is(StatusCode::OK);
    world.get("/v2/", Some(&basic("ann", secret))).await.is(StatusCode::UNAUTHORIZED);
    world.hub.tend_accounts().await.unwrap();
    let list = world.get("/v2/access-tokens/?page_size=1", Some(&otto)).await.is(StatusCode::OK).json();
    assert_eq!(list["count"], 1);
    assert!(list["results"][0]["last_used"].is_string());

    let again = json!({ "token_label": "worm", "scopes": ["repo:admin"] });
    world.post("/v2/access-tokens", Some(&with_token), again).await.is(StatusCode::FORBIDDEN);
    world.get(&path, Some(&basic("ann", PASSWORD))).await.is(StatusCode::NOT_FOUND);
    for bad in [
        json!({ "token_label": "", "scopes": ["repo:read"] }),
        json!({ "token_label": "x", "scopes": [] }),
        json!({ "token_label": "x", "scopes": ["repo:root"] }),
        json!({ "token_label": "x", "scopes": ["repo:read"], "expires_at": "2001-01-01T00:00:00Z" }),
        json!({ "token_label": "x", "scopes": ["repo:read"], "expires_at": "tomorrow" }),
        json!({ "scopes": ["repo:read"] }),
    ] {
        world.post("/v2/access-tokens", Some(&otto), bad).await.is(StatusCode::BAD_REQUEST);
    }

    let off = json!({ "is_active": false });
    world.send("PATCH", &path, Some(&otto), Body::Json(&off)).await.is(StatusCode::OK);
    world.get("/v2/", Some(&with_token)).await.is(StatusCode::UNAUTHORIZED);
    let on = json!({ "is_active": true });
    world.send("PATCH", &path, Some(&otto), Body::Json(&on)).await.is(StatusCode::OK);
    let session = world.session("otto", secret).await;
    world.get("/v2/users/otto", Some(&session)).await.is(StatusCode::OK);
    world.send("DELETE", &path, Some(&otto), Body::None).await.is(StatusCode::NO_CONTENT);
    world.get("/v2/", Some(&with_token)).await.is(StatusCode::UNAUTHORIZED);
    world.get("/v2/user", Some(&session)).await.is(StatusCode::UNAUTHORIZED);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn access_tokens_end_at_their_time() {
    let world = World::start().await;
    let soon = jiff::Timestamp::now() + jiff::SignedDuration::from_millis(1500);
    let token = world.personal("otto", "repo:read", Some(soon.to_string())).await;
    world.get("/v2/", Some(&token)).await.is(StatusCode::OK);
    tokio::time::sleep(std::time::Duration::from_millis(1600)).await;
    world.get("/v2/", Some(&token)).await.is(StatusCode::UNAUTHORIZED);
    world.get("/token", Some(&token)).await.is(StatusCode::UNAUTHORIZED);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn the_token_server_speaks_both_forms() {
    let world = World::start().await;
    let rita = basic("rita", PASSWORD);
    let path = "/token?service=hub&client_id=docker&offline_token=true&account=rita\
                &scope=repository:acme/secret:pull,push&scope=repository:acme/public:pull%20registry:catalog:*";
    let answer = world.get(path, Some(&rita)).await.is(StatusCode::OK);
    assert_eq!(answer.header("cache-control"), "no-store");
    let token = answer.json();
    assert_eq!(token["token"], token["access_token"]);
    assert_eq!(token["expires_in"], 300);
    assert!(token["issued_at"].as_str().unwrap().parse::<jiff::Timestamp>().is_ok());
    let refresh = token["refresh_token"].as_str().unwrap();
    assert!(refresh.starts_with("strata_rt_"));
    let anybody = world.get("/token?offline_token=true", None).await.is(StatusCode::OK).json();
    assert!(anybody.get("refresh_token").is_none());

    let scope = "repository:acme/secret:pull,push repository:rita/own:push";
    let form = format!("grant_type=refresh_token&service=hub&client_id=docker&refresh_token={refresh}&scope={scope}");
    let token = world.grant(&form).await.is(StatusCode::OK).json();
    assert_eq!(token["scope"], "repository:acme/secret:pull repository:rita/own:push");
    assert_eq!(token["refresh_token"], refresh);
    let authorization = format!("Bearer {}", token["access_token"].as_str().unwrap());
    world.get("/v2/acme/secret/tags/list", Some(&authorization)).await.is(StatusCode::OK);

    let refused = world.get("/token", Some(&basic("rita", "wrong"))).await.is(StatusCode::UNAUTHORIZED);
    assert_eq!(refused.json()["errors"][0]["code"], "UNAUTHORIZED");
    assert!(refused.header("www-authenticate").starts_with("Basic"));
    for (form, status, error) in [
        ("grant_type=password&username=rita&password=wrong", 401, "invalid_grant"),
        ("grant_type=refresh_token&refresh_token=strata_rt_x", 401, "invalid_grant"),
        ("grant_type=authorization_code&code=x", 400, "unsupported_grant_type"),
        ("grant_type=password&username=rita", 400, "invalid_request"),
        ("", 400, "invalid_request"),
    ] {
        let answer = world.grant(form).await;
        assert_eq!((answer.status.as_u16(), &answer.json()["error"]), (status, &json!(error)), "{form}");
    }
    world.hub.revoke_refresh_token(refresh).await.unwrap();
    world.grant(&form).await.is(StatusCode::UNAUTHORIZED);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn guessing_is_slowed_down() {
    let world = World::start().await;
    for _ in 0..5 {
        world.log_in("otto", "wrong").await.is(StatusCode::UNAUTHORIZED);
    }
    let waiting = world.log_in("otto", PASSWORD).await.is(StatusCode::TOO_MANY_REQUESTS);
    assert_eq!(waiting.header("retry-after"), "1");
    world.get("/v2/", Some(&basic("otto", PASSWORD))).await.is(StatusCode::TOO_MANY_REQUESTS);
    world.log_in("ann", PASSWORD).await.is(StatusCode::OK);
    // Another process over the same records does not begin anew.
    let other = strata_hub::Hub::new(world.hub.registry().clone(), world.records.clone(), HubSettings::default());
    let refused = other.authenticate("otto", PASSWORD, None).await.unwrap_err();
    assert_eq!(refused.kind(), strata_model::ErrorKind::RateLimited);
    tokio::time::sleep(std::time::Duration::from_millis(1100)).await;
    world.log_in("otto", PASSWORD).await.is(StatusCode::OK);
    for _ in 0..4 {
        world.log_in("otto", "wrong").await.is(StatusCode::UNAUTHORIZED);
    }
    world.log_in("otto", PASSWORD).await.is(StatusCode::OK);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn replicas_share_signing_keys() {
    let world = World::start().await;
    let session = world.session("ann", PASSWORD).await;
    let other = strata_hub::Hub::new(world.hub.registry().clone(), world.records.clone(), HubSettings::default());
    assert_eq!(other.identify(Some(&session), None).await.unwrap().unwrap().account, "ann");
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn registration_is_off_unless_it_is_open() {
    let new =
        |name: &str| json!({ "username": name, "password": "my password", "email": format!("{name}@example.org") });
    let closed = World::empty(HubSettings::default()).await;
    closed.post("/v2/users/", None, new("eve")).await.is(StatusCode::FORBIDDEN);

    let accounts = AccountSettings { registration: Registration::Open, ..AccountSettings::default() };
    let open = World::empty(HubSettings { accounts, ..HubSettings::default() }).await;
    open.post("/v2/users", None, new("eve")).await.is(StatusCode::CREATED);
    open.log_in("eve", "my password").await.is(StatusCode::OK);
    open.post("/v2/users", None, new("eve")).await.is(StatusCode::CONFLICT);
    for bad in ["library", "../x", "a b", "v2"] {
        open.post("/v2/users", None, new(bad)).await.is(StatusCode::BAD_REQUEST);
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_small_hub_can_do_without_tokens() {
    let accounts = AccountSettings { challenge: Challenge::Basic, ..AccountSettings::default() };
    let world = World::with(HubSettings { accounts, ..HubSettings::default() }).await;
    let answer = world.get("/v2/", None).await.is(StatusCode::UNAUTHORIZED);
    assert!(answer.header("www-authenticate").starts_with("Basic realm="));
    world.get("/v2/acme/public/tags/list", None).await.is(StatusCode::OK);
    world.get("/v2/acme/secret/tags/list", None).await.is(StatusCode::UNAUTHORIZED);
    world.get("/v2/acme/secret/tags/list", Some(&basic("rita", PASSWORD))).await.is(StatusCode::OK);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_new_key_signs_and_the_old_one_is_accepted_until_what_it_signed_has_ended() {
    const DAY: i64 = 86_400_000_000_000;
    let world = World::start().await;
    let session = world.session("ann", PASSWORD).await;
    for (days, keys, is_accepted) in [(91, 2, true), (93, 1, false)] {
        let mut txn = world.records.write("aging the keys").await.unwrap();
        for key in txn.signing_keys().await.unwrap() {
            txn.delete_signing_key(&key.id).await.unwrap();
            let created = jiff::Timestamp::now().as_nanosecond() as i64 - days * DAY;
            txn.insert_signing_key(&strata_hub::records::SigningKeyRow { created, ..key }).await.unwrap();
        }
        txn.commit().await.unwrap();
        let fresh = strata_hub::Hub::new(world.hub.registry().clone(), world.records.clone(), HubSettings::default());
        let ann = fresh.authenticate("ann", PASSWORD, None).await.unwrap();
        let anew = format!("Bearer {}", fresh.session(&ann, 60, "").await.unwrap());
        assert!(fresh.identify(Some(&anew), None).await.is_ok());
        assert_eq!(fresh.identify(Some(&session), None).await.is_ok(), is_accepted, "{days}");
        assert_eq!(world.records.read().await.unwrap().signing_keys().await.unwrap().len(), keys);
    }
}
