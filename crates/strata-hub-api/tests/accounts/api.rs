//! The hub's endpoints for accounts and organizations, for everybody who may ask.

use reqwest::StatusCode;
use serde_json::{Value, json};

use crate::support::{Body, PASSWORD, World, basic};

/// Columns: nobody, otto (no member), rita (a member), ann (an owner), the hub's administrator, a robot of acme, ann with
/// an access token for reading, somebody with a token of the registry.
const COLUMNS: [&str; 8] = ["nobody", "otto", "rita", "ann", "admin", "robot", "reading token", "registry token"];

/// Method, path, document, and a status for each column.
#[rustfmt::skip]
const ENDPOINTS: &[(&str, &str, &str, [u16; 8])] = &[
    ("GET", "/v2/user", "", [401, 200, 200, 200, 200, 200, 200, 200]),
    ("GET", "/v2/users/ann", "", [200, 200, 200, 200, 200, 200, 200, 200]),
    ("GET", "/v2/user/orgs", "", [401, 200, 200, 200, 200, 403, 403, 403]),
    ("PATCH", "/v2/user", r#"{"full_name":"x"}"#, [401, 200, 200, 200, 200, 404, 403, 404]),
    ("GET", "/v2/access-tokens", "", [401, 200, 200, 200, 200, 404, 403, 404]),
    ("POST", "/v2/access-tokens", r#"{"token_label":"x","scopes":["repo:read"]}"#, [401, 201, 201, 201, 201, 403, 403, 403]),
    ("GET", "/v2/orgs/acme", "", [401, 404, 200, 200, 200, 404, 403, 404]),
    ("GET", "/v2/orgs/absent", "", [401, 404, 404, 404, 404, 404, 404, 404]),
    ("GET", "/v2/orgs/otto", "", [401, 404, 404, 404, 404, 404, 404, 404]),
    ("GET", "/v2/orgs/acme/settings", "", [401, 404, 200, 200, 200, 404, 403, 404]),
    ("PUT", "/v2/orgs/acme/settings", r#"{"full_name":"x"}"#, [401, 404, 403, 200, 200, 404, 403, 404]),
    ("GET", "/v2/orgs/acme/members", "", [401, 404, 200, 200, 200, 404, 403, 404]),
    ("POST", "/v2/orgs/acme/members", r#"{"member":"will"}"#, [401, 404, 403, 204, 204, 404, 403, 404]),
    ("PUT", "/v2/orgs/acme/members/carl", r#"{"role":"member"}"#, [401, 404, 403, 204, 204, 404, 403, 404]),
    ("DELETE", "/v2/orgs/acme/members/absent", "", [401, 404, 403, 404, 404, 404, 403, 404]),
    ("GET", "/v2/orgs/acme/groups", "", [401, 404, 200, 200, 200, 404, 403, 404]),
    ("GET", "/v2/orgs/acme/groups/readers", "", [401, 404, 200, 200, 200, 404, 403, 404]),
    ("PUT", "/v2/orgs/acme/groups/readers", r#"{"description":"x"}"#, [401, 404, 403, 200, 200, 404, 403, 404]),
    ("DELETE", "/v2/orgs/acme/groups/absent", "", [401, 404, 403, 404, 404, 404, 403, 404]),
    ("GET", "/v2/orgs/acme/groups/readers/members", "", [401, 404, 200, 200, 200, 404, 403, 404]),
    ("POST", "/v2/orgs/acme/groups/readers/members", r#"{"member":"carl"}"#, [401, 404, 403, 204, 204, 404, 403, 404]),
    ("DELETE", "/v2/orgs/acme/groups/readers/members/absent", "", [401, 404, 403, 404, 404, 404, 403, 404]),
    ("GET", "/v2/orgs/acme/groups/readers/repositories", "", [401, 404, 200, 200, 200, 404, 403, 404]),
    ("GET", "/v2/orgs/acme/access-tokens", "", [401, 404, 403, 200, 200, 404, 403, 404]),
    ("GET", "/v2/orgs/acme/access-tokens/absent", "", [401, 404, 403, 404, 404, 404, 403, 404]),
    ("GET", "/api/v1/grants/acme/secret", "", [401, 404, 403, 200, 200, 403, 403, 404]),
    ("GET", "/api/v1/grants/acme/public", "", [401, 403, 403, 200, 200, 403, 403, 403]),
    ("PUT", "/api/v1/grants/acme/secret", r#"{"user":"will","role":"write"}"#, [401, 404, 403, 204, 204, 403, 403, 404]),
    ("DELETE", "/api/v1/grants/acme/secret?user=otto", "", [401, 404, 403, 404, 404, 403, 403, 404]),
    ("GET", "/v2/auditlogs/acme", "", [401, 404, 403, 200, 200, 403, 403, 404]),
    ("GET", "/v2/auditlogs/ann", "", [401, 404, 404, 200, 200, 404, 403, 404]),
    ("GET", "/v2/auditlogs/absent", "", [401, 404, 404, 404, 404, 404, 404, 404]),
    ("GET", "/v2/auditlogs/acme/actions", "", [401, 200, 200, 200, 200, 200, 200, 200]),
    ("GET", "/api/v1/admin/accounts", "", [401, 403, 403, 403, 200, 403, 403, 403]),
    ("GET", "/api/v1/admin/accounts/ann", "", [401, 403, 403, 403, 200, 403, 403, 403]),
    ("GET", "/api/v1/admin/accounts/absent", "", [401, 403, 403, 403, 404, 403, 403, 403]),
    ("PATCH", "/api/v1/admin/accounts/acme", r#"{"is_verified_publisher":true}"#, [401, 403, 403, 403, 200, 403, 403, 403]),
    ("POST", "/api/v1/admin/users", r#"{"username":"ann"}"#, [401, 403, 403, 403, 409, 403, 403, 403]),
    ("POST", "/api/v1/admin/users/absent/password", "{}", [401, 403, 403, 403, 404, 403, 403, 403]),
];

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn everybody_may_what_the_table_says() {
    let world = World::start().await;
    let robot = world.robot("table", "acme/*", &["scope-image-delete"]).await;
    let reading = world.personal("ann", "repo:read", None).await;
    // A token for the registry of somebody who is no member.
    let registry = world.token("repository:acme/public:pull", Some(&basic("otto", PASSWORD))).await;
    for (method, path, document, statuses) in ENDPOINTS {
        for (column, expected) in COLUMNS.iter().zip(statuses) {
            let authorization = match *column {
                "nobody" => None,
                "robot" => Some(robot.clone()),
                "reading token" => Some(reading.clone()),
                "registry token" => Some(registry.clone()),
                name => Some(basic(name, PASSWORD)),
            };
            let document: Option<Value> = serde_json::from_str(document).ok();
            let body = document.as_ref().map_or(Body::None, Body::Json);
            let answer = world.send(method, path, authorization.as_deref(), body).await;
            assert_eq!(answer.status.as_u16(), *expected, "{column}: {method} {path}: {}", answer.text());
            if *expected >= 400 {
                assert!(answer.json()["message"].is_string(), "{column}: {method} {path}");
            }
        }
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn roles_come_and_go_with_teams_and_grants() {
    let world = World::start().await;
    let ann = basic("ann", PASSWORD);
    let may = async |name: &str, action: &str| {
        let scope = format!("repository:acme/secret:{action}");
        let form = format!("grant_type=password&username={name}&password={PASSWORD}&scope={scope}");
        world.send("POST", "/token", None, Body::Form(&form)).await.is(StatusCode::OK).json()["scope"] == json!(scope)
    };
    assert!(!may("carl", "pull").await);
    world.post("/v2/orgs/acme/groups", Some(&ann), json!({ "name": "builders" })).await.is(StatusCode::CREATED);
    let path = "/v2/orgs/acme/groups/builders/members";
    world.post(path, Some(&ann), json!({ "member": "carl" })).await.is(StatusCode::NO_CONTENT);
    let grant = json!({ "team": "builders", "role": "write" });
    world.send("PUT", "/api/v1/grants/acme/secret", Some(&ann), Body::Json(&grant)).await.is(StatusCode::NO_CONTENT);
    assert!(may("carl", "pull,push").await);
    world.send("DELETE", &format!("{path}/carl"), Some(&ann), Body::None).await.is(StatusCode::NO_CONTENT);
    assert!(!may("carl", "pull").await);
    world.post(path, Some(&ann), json!({ "member": "carl" })).await.is(StatusCode::NO_CONTENT);
    assert!(may("carl", "pull").await);
    let member = "/v2/orgs/acme/members/carl";
    world.send("DELETE", member, Some(&ann), Body::None).await.is(StatusCode::NO_CONTENT);
    assert!(!may("carl", "pull").await);

    assert!(may("will", "push").await);
    let grant = "/api/v1/grants/acme/secret?user=will";
    world.send("DELETE", grant, Some(&ann), Body::None).await.is(StatusCode::NO_CONTENT);
    assert!(!may("will", "pull").await);

    assert!(may("rita", "pull").await);
    let team = "/v2/orgs/acme/groups/readers/";
    world.send("DELETE", team, Some(&ann), Body::None).await.is(StatusCode::NO_CONTENT);
    assert!(!may("rita", "pull").await);

    let last = world.send("DELETE", "/v2/orgs/acme/members/ann", Some(&ann), Body::None).await;
    assert!(last.is(StatusCode::CONFLICT).text().contains("must keep an owner"));
    let other = json!({ "team": "readers", "role": "write" });
    world.send("PUT", "/api/v1/grants/ann/own", Some(&ann), Body::Json(&other)).await.is(StatusCode::NOT_FOUND);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn disabled_accounts_can_do_nothing() {
    let world = World::start().await;
    let admin = basic("admin", PASSWORD);
    let token = world.personal("ann", "repo:admin", None).await;
    world.get("/v2/user", Some(&token)).await.is(StatusCode::OK);
    let off = json!({ "is_active": false });
    let path = "/api/v1/admin/accounts/ann";
    world.send("PATCH", path, Some(&admin), Body::Json(&off)).await.is(StatusCode::OK);
    for authorization in [&token, &basic("ann", PASSWORD)] {
        world.get("/v2/user", Some(authorization)).await.is(StatusCode::UNAUTHORIZED);
        world.get("/token", Some(authorization)).await.is(StatusCode::UNAUTHORIZED);
    }
    let refused = world.send("PATCH", "/api/v1/admin/accounts/admin", Some(&admin), Body::Json(&off)).await;
    assert!(refused.is(StatusCode::CONFLICT).text().contains("must keep an administrator"));
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn the_audit_log_tells_who_did_what() {
    let world = World::start().await;
    let ann = basic("ann", PASSWORD);
    world.post("/v2/orgs/acme/groups", Some(&ann), json!({ "name": "builders" })).await.is(StatusCode::CREATED);
    let log = world.get("/v2/auditlogs/acme?action=org.team&page_size=1", Some(&ann)).await.is(StatusCode::OK).json();
    let entry = &log["logs"][0];
    assert_eq!(log["logs"].as_array().unwrap().len(), 1);
    assert_eq!((&entry["action"], &entry["name"]), (&json!("org.team.create"), &json!("builders")));
    assert_eq!((&entry["actor"], &entry["ip_address"]), (&json!("ann"), &json!("127.0.0.1")));
    for (query, expected) in [
        ("actor=ann&name=builders", 1),
        ("actor=otto", 0),
        ("from=2001-01-01T00:00:00Z&action=org.create", 1),
        ("to=2001-01-01T00:00:00Z", 0),
        ("action=repo", 4),
    ] {
        let log = world.get(&format!("/v2/auditlogs/acme?{query}"), Some(&ann)).await.is(StatusCode::OK).json();
        assert_eq!(log["count"], expected, "{query}");
    }
    world.send("DELETE", "/v2/acme/public/manifests/1.0", Some(&ann), Body::None).await.is(StatusCode::ACCEPTED);
    while world.hub.follow_history().await.unwrap() > 0 {}
    let log = world.get("/v2/auditlogs/acme?action=repo.tag", Some(&ann)).await.is(StatusCode::OK).json();
    let told: Vec<_> = log["logs"].as_array().unwrap().iter().map(|entry| (&entry["action"], &entry["name"])).collect();
    let (pushed, deleted) = (json!("repo.tag.push"), json!("repo.tag.delete"));
    let (public, secret) = (json!("acme/public"), json!("acme/secret"));
    assert_eq!(told, [(&deleted, &public), (&pushed, &secret), (&pushed, &public)]);
    assert_eq!(log["logs"][0]["data"]["tag"], "1.0");
    world.get("/v2/auditlogs/acme?from=yesterday", Some(&ann)).await.is(StatusCode::BAD_REQUEST);
    let actions = world.get("/v2/auditlogs/acme/actions", Some(&ann)).await.is(StatusCode::OK).json();
    assert!(actions["actions"]["repo"]["actions"].as_array().unwrap().len() > 3);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn robots_have_what_they_were_given() {
    let world = World::start().await;
    let ann = basic("ann", PASSWORD);
    for bad in [
        json!({ "label": "x", "resources": [{ "path": "otto/app", "scopes": ["scope-image-pull"] }] }),
        json!({ "label": "x", "resources": [{ "path": "acme/app", "scopes": ["everything"] }] }),
        json!({ "label": "x", "resources": [{ "type": "TYPE_ORG", "path": "acme", "scopes": ["scope-image-pull"] }] }),
        json!({ "label": "", "resources": [] }),
    ] {
        world.post("/v2/orgs/acme/access-tokens", Some(&ann), bad).await.is(StatusCode::BAD_REQUEST);
    }
    let robot = world.robot("ci", "acme/secret", &["scope-image-pull", "scope-image-push"]).await;
    let again = json!({ "label": "ci", "resources": [] });
    world.post("/v2/orgs/acme/access-tokens", Some(&ann), again).await.is(StatusCode::CONFLICT);
    world.push("acme/secret", "by-robot", &robot).await;
    let list = world.get("/v2/orgs/acme/access-tokens", Some(&ann)).await.is(StatusCode::OK).json();
    assert_eq!((&list["total"], &list["results"][0]["label"]), (&json!(1), &json!("ci")));
    assert!(list["results"][0].get("token").is_none());
    let path = format!("/v2/orgs/acme/access-tokens/{}", list["results"][0]["id"].as_str().unwrap());
    let fewer = json!({ "resources": [{ "path": "acme/secret", "scopes": ["scope-image-pull"] }] });
    world.send("PATCH", &path, Some(&ann), Body::Json(&fewer)).await.is(StatusCode::OK);
    let upload = "/v2/acme/secret/blobs/uploads/";
    world.send("POST", upload, Some(&robot), Body::None).await.is(StatusCode::FORBIDDEN);
    world.get("/v2/acme/secret/tags/list", Some(&robot)).await.is(StatusCode::OK);
    world.send("DELETE", &path, Some(&ann), Body::None).await.is(StatusCode::NO_CONTENT);
    world.get("/v2/acme/secret/tags/list", Some(&robot)).await.is(StatusCode::UNAUTHORIZED);
}
