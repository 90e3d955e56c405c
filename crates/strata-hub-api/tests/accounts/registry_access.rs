//! Every endpoint of the registry for everybody who may ask, on a public and on a private repository.

use std::time::{Duration, Instant};

use reqwest::StatusCode;
use strata_hub::{HubSettings, PullLimitSettings};

use strata_hub::records::Grantee;

use crate::support::{Body, PASSWORD, PUBLIC, SECRET, World, basic};

/// What an actor may do.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
enum May {
    Nothing,
    Pull,
    Push,
    Delete,
}
use May::{Delete, Nothing, Pull, Push};

/// Who, and what they may do on the public and on the private repository.
const ACTORS: &[(&str, May, May)] = &[
    ("anonymous", Pull, Nothing),
    ("otto", Pull, Nothing),
    ("carl", Pull, Nothing),
    ("rita", Pull, Pull),
    ("will", Push, Push),
    ("ann", Delete, Delete),
    ("admin", Delete, Delete),
    ("ann, repo:public_read", Pull, Nothing),
    ("ann, repo:read", Pull, Pull),
    ("ann, repo:write", Push, Push),
    ("ann, repo:admin", Delete, Delete),
    ("robot that reads acme/secret", Pull, Pull),
    ("robot that pushes to acme/*", Push, Push),
    ("robot for acme/another", Pull, Nothing),
    ("expired token of ann", Nothing, Nothing),
    ("token of ann for another host", Nothing, Nothing),
    ("token of ann for another repository", Nothing, Nothing),
    ("token of ann that was tampered with", Nothing, Nothing),
];

/// Method and path of every endpoint, what it needs, and its status when that is there. `{digest}` and `{blob}` are there,
/// `{none}` is not.
const ENDPOINTS: &[(&str, &str, May, u16)] = &[
    ("GET", "tags/list", Pull, 200),
    ("GET", "manifests/1.0", Pull, 200),
    ("HEAD", "manifests/1.0", Pull, 200),
    ("GET", "manifests/{digest}", Pull, 200),
    ("HEAD", "manifests/{digest}", Pull, 200),
    ("GET", "manifests/none", Pull, 404),
    ("GET", "blobs/{blob}", Pull, 200),
    ("HEAD", "blobs/{blob}", Pull, 200),
    ("GET", "blobs/{none}", Pull, 404),
    ("GET", "referrers/{digest}", Pull, 200),
    ("POST", "blobs/uploads/", Push, 202),
    ("POST", "blobs/uploads/?digest={none}", Push, 400),
    ("POST", "blobs/uploads/?mount={blob}&from=acme/secret", Push, 201),
    ("GET", "blobs/uploads/00000000-0000-4000-8000-000000000000", Push, 404),
    ("PATCH", "blobs/uploads/00000000-0000-4000-8000-000000000000", Push, 404),
    ("PUT", "blobs/uploads/00000000-0000-4000-8000-000000000000?digest={none}", Push, 404),
    ("DELETE", "blobs/uploads/00000000-0000-4000-8000-000000000000", Push, 404),
    ("PUT", "manifests/bad", Push, 400),
    ("DELETE", "manifests/none", Delete, 404),
    ("DELETE", "manifests/{none}", Delete, 404),
    ("DELETE", "blobs/{none}", Delete, 404),
];

impl World {
    fn path(&self, repository: &str, path: &str) -> String {
        let (blob, _) = self.image.blobs().remove(0);
        let none = format!("sha256:{}", "0".repeat(64));
        let path = path.replace("{digest}", &self.digest().to_string()).replace("{none}", &none);
        format!("/v2/{repository}/{}", path.replace("{blob}", &blob.to_string()))
    }

    /// What an actor sends with a request for this scope.
    async fn actor(&self, name: &str, scope: &str) -> Option<String> {
        let all = format!("{scope},push,delete");
        let of_ann = self.token(&all, Some(&basic("ann", PASSWORD))).await;
        Some(match name {
            "anonymous" => self.token(&all, None).await,
            "expired token of ann" => {
                self.signed_anew(&of_ann, |claims| claims["exp"] = (claims["iat"].as_i64().unwrap() - 61).into()).await
            }
            "token of ann for another host" => {
                self.signed_anew(&of_ann, |claims| claims["aud"] = "elsewhere".into()).await
            }
            "token of ann for another repository" => {
                self.token("repository:acme/another:pull,push,delete", Some(&basic("ann", PASSWORD))).await
            }
            "token of ann that was tampered with" => of_ann.replacen("ey", "eY", 2),
            _ => {
                let credentials = self.credentials(name).await;
                self.token(&all, Some(&credentials)).await
            }
        })
    }

    async fn credentials(&self, name: &str) -> String {
        match name.split_once(", ") {
            Some((name, scope)) => self.personal(name, scope, None).await,
            None if name.starts_with("robot") => {
                let label = format!("{name} {:?}", Instant::now());
                let label = &label[..label.len().min(100)];
                let (path, scope) = match name {
                    "robot that reads acme/secret" => ("acme/secret", "scope-image-pull"),
                    "robot that pushes to acme/*" => ("acme/*", "scope-image-push"),
                    _ => ("acme/another", "scope-image-delete"),
                };
                self.robot(label, path, &[scope]).await
            }
            None => basic(name, PASSWORD),
        }
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn everybody_may_what_the_table_says() {
    let world = World::start().await;
    for (actor, on_public, on_secret) in ACTORS {
        for (repository, may) in [(PUBLIC, on_public), (SECRET, on_secret)] {
            let authorization = world.actor(actor, &format!("repository:{repository}:pull")).await;
            for (method, path, needs, status) in ENDPOINTS {
                // What is mounted must be readable too.
                let mounts = path.contains("mount=");
                let authorization = match mounts && may >= needs && repository == PUBLIC {
                    true => {
                        let scope = format!("repository:{PUBLIC}:pull,push&scope=repository:{SECRET}:pull");
                        let credentials = world.credentials(actor).await;
                        Some(world.token(&scope, Some(&credentials)).await)
                    }
                    false => authorization.clone(),
                };
                let path = world.path(repository, path);
                let answer = world.send(method, &path, authorization.as_deref(), Body::None).await;
                let expected = if may >= needs { *status } else { 401 };
                assert_eq!(answer.status.as_u16(), expected, "{actor}: {method} {path}: {}", answer.text());
                if may < needs {
                    tells_nothing(&world, repository, &path, &answer.everything());
                }
            }
        }
    }
}

/// Neither digests nor sizes of what may not be seen.
fn tells_nothing(world: &World, repository: &str, path: &str, answer: &str) {
    assert!(answer.contains("www-authenticate: Bearer realm="), "{path}: {answer}");
    let blobs = world.image.blobs();
    let secrets = blobs.iter().flat_map(|(digest, bytes)| [digest.to_string(), bytes.len().to_string()]);
    let secrets = secrets.chain([world.digest().to_string(), world.image.manifest.len().to_string()]);
    for secret in secrets.filter(|secret| secret.len() > 3) {
        assert!(!answer.contains(&secret), "{path} of {repository} tells {secret}: {answer}");
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn what_everybody_may_read_is_mounted_without_a_scope_for_it() {
    let world = World::start().await;
    for (repository, from, status) in [
        ("acme/named", "&from=acme/public", 201),
        ("acme/unnamed", "", 201),
        ("acme/secretive", "&from=acme/secret", 202),
    ] {
        let token = world.token(&format!("repository:{repository}:pull,push"), Some(&basic("ann", PASSWORD))).await;
        let path = world.path(repository, &format!("blobs/uploads/?mount={{blob}}{from}"));
        let answer = world.send("POST", &path, Some(&token), Body::None).await;
        assert_eq!(answer.status.as_u16(), status, "{path}: {}", answer.text());
    }
}

/// The official conformance suite begins so, and deletes by tokens that it gets for that alone.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_repository_that_was_never_pushed_to_is_empty_for_who_may_make_it() {
    let world = World::start().await;
    let digest = world.digest();
    for (method, path, action, status) in [
        ("GET", "tags/list".to_owned(), "pull", 404),
        ("GET", format!("referrers/{digest}"), "pull", 200),
        ("GET", format!("blobs/{digest}"), "pull", 404),
        ("DELETE", format!("manifests/{digest}"), "delete", 404),
        ("DELETE", format!("blobs/{digest}"), "delete", 404),
    ] {
        let scope = format!("repository:acme/never-pushed:{action}");
        let token = world.token(&scope, Some(&basic("ann", PASSWORD))).await;
        let path = format!("/v2/acme/never-pushed/{path}");
        let answer = world.send(method, &path, Some(&token), Body::None).await;
        assert_eq!(answer.status.as_u16(), status, "{method} {path}: {}", answer.text());
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn unknown_and_forbidden_are_alike() {
    let world = World::start().await;
    let unknown = "acme/absent";
    for actor in ["anonymous", "otto", "carl", "ann, repo:public_read", "robot for acme/another"] {
        for (method, path, ..) in ENDPOINTS.iter().filter(|(_, path, ..)| !path.contains("mount=")) {
            let mut answers = Vec::new();
            for repository in [SECRET, unknown] {
                let authorization = world.actor(actor, &format!("repository:{repository}:pull")).await;
                let path = world.path(repository, path);
                let answer = world.send(method, &path, authorization.as_deref(), Body::None).await;
                let direct = match actor {
                    "anonymous" => world.send(method, &path, None, Body::None).await,
                    _ => world.send(method, &path, Some(&world.credentials(actor).await), Body::None).await,
                };
                answers.push([answer.everything(), direct.everything()].map(|text| text.replace(repository, "NAME")));
            }
            assert_eq!(answers[0], answers[1], "{actor}: {method} {path}");
        }
        let scope = |name| format!("repository:{name}:pull,push,delete");
        for repository in [SECRET, unknown] {
            let credentials = if actor == "anonymous" { None } else { Some(world.credentials(actor).await) };
            let path = format!("/token?service=x&scope={}", scope(repository));
            let token = world.get(&path, credentials.as_deref()).await.is(StatusCode::OK).json();
            let claims = claims(token["token"].as_str().unwrap());
            assert_eq!(claims["access"], serde_json::json!([]), "{actor} on {repository}");
        }
    }
}

fn claims(token: &str) -> serde_json::Value {
    use base64::Engine as _;
    let part = token.split('.').nth(1).unwrap();
    serde_json::from_slice(&base64::engine::general_purpose::URL_SAFE_NO_PAD.decode(part).unwrap()).unwrap()
}

/// The medians of many requests differ by less than a third.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn unknown_and_forbidden_take_the_same_time() {
    let world = World::start().await;
    let token = world.personal("otto", "repo:admin", None).await;
    let mut times = [Vec::new(), Vec::new()];
    for _ in 0..200 {
        for (repository, times) in [SECRET, "acme/absent"].into_iter().zip(&mut times) {
            let began = Instant::now();
            world.get(&format!("/v2/{repository}/manifests/1.0"), Some(&token)).await.is(StatusCode::FORBIDDEN);
            times.push(began.elapsed());
        }
    }
    let [forbidden, unknown] = times.map(|mut times| {
        times.sort();
        times[times.len() / 2].max(Duration::from_micros(1))
    });
    let ratio = forbidden.as_secs_f64() / unknown.as_secs_f64();
    assert!((0.66..1.5).contains(&ratio), "{forbidden:?} and {unknown:?}");
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn the_first_request_is_answered_with_a_challenge() {
    let world = World::start().await;
    let challenge = |scope: &str| {
        let address = &world.address;
        format!("Bearer realm=\"http://{address}/token\",service=\"{address}\"{scope}")
    };
    for (method, path, scope) in [
        ("GET", "/v2/", ""),
        ("GET", "/v2/acme/public/manifests/1.0", ",scope=\"repository:acme/public:pull\""),
        ("POST", "/v2/acme/public/blobs/uploads/", ",scope=\"repository:acme/public:pull,push\""),
        ("DELETE", "/v2/acme/public/manifests/1.0", ",scope=\"repository:acme/public:pull,delete\""),
        ("GET", "/v2/_catalog", ",scope=\"registry:catalog:*\""),
    ] {
        let answer = world.send(method, path, None, Body::None).await.is(StatusCode::UNAUTHORIZED);
        assert_eq!(answer.header("www-authenticate"), challenge(scope), "{method} {path}");
        assert_eq!(answer.json()["errors"][0]["code"], "UNAUTHORIZED");
    }
    let token = world.token("repository:acme/public:pull", Some(&basic("otto", PASSWORD))).await;
    let answer = world.get("/v2/acme/secret/tags/list", Some(&token)).await.is(StatusCode::UNAUTHORIZED);
    assert!(answer.header("www-authenticate").ends_with(",error=\"insufficient_scope\""), "{answer:?}");
    world.get("/v2/", Some(&token)).await.is(StatusCode::OK);
    world.get("/v2/", Some(&world.token("", None).await)).await.is(StatusCode::UNAUTHORIZED);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn catalogs_show_what_may_be_seen() {
    let world = World::start().await;
    for (actor, expected) in [
        ("anonymous", vec![PUBLIC]),
        ("otto", vec![PUBLIC]),
        ("rita", vec![PUBLIC, SECRET]),
        ("ann", vec![PUBLIC, SECRET]),
        ("robot that reads acme/secret", vec![PUBLIC, SECRET]),
        ("robot for acme/another", vec![PUBLIC]),
    ] {
        let credentials = if actor == "anonymous" { None } else { Some(world.credentials(actor).await) };
        let token = world.token("registry:catalog:*", credentials.as_deref()).await;
        let answer = world.get("/v2/_catalog", Some(&token)).await.is(StatusCode::OK);
        assert_eq!(answer.json()["repositories"], serde_json::json!(expected), "{actor}");
    }
    let narrow = world.personal("ann", "repo:public_read", None).await;
    let token = world.token("registry:catalog:*", Some(&narrow)).await;
    world.get("/v2/_catalog", Some(&token)).await.is(StatusCode::UNAUTHORIZED);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_push_makes_repositories_in_ones_own_namespace_only() {
    let world = World::start().await;
    world.push("otto/app", "latest", &basic("otto", PASSWORD)).await;
    world.push("library/base", "latest", &basic("admin", PASSWORD)).await;
    let admin = basic("admin", PASSWORD);
    world.get("/v2/base/manifests/latest", Some(&admin)).await.is(StatusCode::OK);
    for (name, repository) in
        [("otto", "rita/app"), ("otto", "acme/app"), ("carl", "acme/app"), ("otto", "base"), ("admin", "nobody/app")]
    {
        let path = format!("/v2/{repository}/blobs/uploads/");
        world.send("POST", &path, Some(&basic(name, PASSWORD)), Body::None).await.is(StatusCode::FORBIDDEN);
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn pushes_stop_at_the_quota() {
    let world = World::start().await;
    let admin = basic("admin", PASSWORD);
    let quota = |bytes: serde_json::Value| serde_json::json!({ "quota": bytes });
    let set = |document| {
        let world = &world;
        let admin = &admin;
        async move {
            let path = "/api/v1/admin/accounts/otto";
            world.send("PATCH", path, Some(admin), Body::Json(&document)).await.is(StatusCode::OK);
        }
    };
    set(quota(1000.into())).await;
    let otto = basic("otto", PASSWORD);
    let bytes = vec![7; 1001];
    let path = format!("/v2/otto/app/blobs/uploads/?digest={}", strata_model::Digest::of(&bytes));
    let body = || Body::Bytes("application/octet-stream", &bytes);
    let answer = world.send("POST", &path, Some(&otto), body()).await.is(StatusCode::PAYLOAD_TOO_LARGE);
    assert_eq!(answer.json()["errors"][0]["code"], "DENIED");
    set(quota(1001.into())).await;
    world.send("POST", &path, Some(&otto), body()).await.is(StatusCode::CREATED);
    let path = format!("/v2/otto/app/blobs/uploads/?digest={}", strata_model::Digest::of(b"more"));
    let more = || Body::Bytes("application/octet-stream", b"more");
    world.send("POST", &path, Some(&otto), more()).await.is(StatusCode::PAYLOAD_TOO_LARGE);
    set(quota(serde_json::Value::Null)).await;
    world.send("POST", &path, Some(&otto), more()).await.is(StatusCode::CREATED);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn pulls_are_counted_when_there_is_a_limit() {
    let pull_limits = PullLimitSettings { anonymous: Some(2), signed_in: Some(100), window_seconds: 3600 };
    let world = World::with(HubSettings { pull_limits, ..HubSettings::default() }).await;
    let anybody = world.token("repository:acme/public:pull", None).await;
    let path = "/v2/acme/public/manifests/1.0";
    let head = world.send("HEAD", path, Some(&anybody), Body::None).await.is(StatusCode::OK);
    assert_eq!(head.header("ratelimit-remaining"), "2;w=3600");
    for left in ["1;w=3600", "0;w=3600"] {
        let answer = world.get(path, Some(&anybody)).await.is(StatusCode::OK);
        assert_eq!(answer.header("ratelimit-limit"), "2;w=3600");
        assert_eq!(answer.header("ratelimit-remaining"), left);
        assert_eq!(answer.header("docker-ratelimit-source"), "127.0.0.1");
    }
    let over = world.get(path, Some(&anybody)).await.is(StatusCode::TOO_MANY_REQUESTS);
    assert_eq!(over.json()["errors"][0]["code"], "TOOMANYREQUESTS");
    assert!(!over.header("retry-after").is_empty());
    world.send("HEAD", path, Some(&anybody), Body::None).await.is(StatusCode::OK);
    let otto = world.token("repository:acme/public:pull", Some(&basic("otto", PASSWORD))).await;
    let answer = world.get(path, Some(&otto)).await.is(StatusCode::OK);
    assert_eq!(answer.header("ratelimit-remaining"), "99;w=3600");
    assert_eq!(answer.header("docker-ratelimit-source"), "otto");
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn tokens_end_with_the_roles_that_they_were_signed_for() {
    let world = World::start().await;
    let ann = world.hub.authenticate("ann", PASSWORD, None).await.unwrap();
    let path = "/v2/acme/secret/manifests/1.0";
    let will = world.token("repository:acme/secret:pull,push", Some(&basic("will", PASSWORD))).await;
    let rita = world.token("repository:acme/secret:pull", Some(&basic("rita", PASSWORD))).await;
    let robot = world.robot("ends", SECRET, &["scope-image-pull"]).await;
    let robot = world.token("repository:acme/secret:pull", Some(&robot)).await;
    let anybody = world.token("repository:acme/public:pull", None).await;
    for token in [&will, &rita, &robot] {
        world.get(path, Some(token)).await.is(StatusCode::OK);
    }
    let public = "/v2/acme/public/manifests/1.0";
    world.get(public, Some(&anybody)).await.is(StatusCode::OK);

    world.hub.take_role(&ann, SECRET, &Grantee::User("will".into())).await.unwrap();
    world.hub.remove_team_member(&ann, "acme", "readers", "rita").await.unwrap();
    let tokens = world.get("/v2/orgs/acme/access-tokens", Some(&basic("ann", PASSWORD))).await.json();
    let id = tokens["results"][0]["id"].as_str().unwrap().to_owned();
    let of_robot = format!("/v2/orgs/acme/access-tokens/{id}");
    world.send("DELETE", &of_robot, Some(&basic("ann", PASSWORD)), Body::None).await.is(StatusCode::NO_CONTENT);
    let hidden = strata_hub::RepositoryUpdate { is_private: Some(true), ..Default::default() };
    world.hub.update_repository(PUBLIC, hidden).await.unwrap();
    tokio::time::sleep(std::time::Duration::from_millis(2100)).await;
    for token in [&will, &rita, &robot] {
        let refused = world.get(path, Some(token)).await.is(StatusCode::UNAUTHORIZED);
        assert!(refused.header("www-authenticate").contains("insufficient_scope"));
    }
    world.send("POST", "/v2/acme/secret/blobs/uploads/", Some(&will), Body::None).await.is(StatusCode::UNAUTHORIZED);
    world.get(public, Some(&anybody)).await.is(StatusCode::UNAUTHORIZED);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn tokens_end_with_what_they_were_got_with() {
    let world = World::start().await;
    let ann = Some(basic("ann", PASSWORD));
    let (public, secret) = ("/v2/acme/public/manifests/1.0", "/v2/acme/secret/manifests/1.0");
    let scopes = "registry:catalog:*&scope=repository:acme/secret:pull&scope=repository:acme/public:pull";
    let with = async |credentials: &str| world.token(scopes, Some(credentials)).await;
    let (removed, narrowed) =
        (world.personal("ann", "repo:read", None).await, world.personal("ann", "repo:read", None).await);
    let by_password = with(&basic("will", PASSWORD)).await;
    let (by_removed, by_narrowed) = (with(&removed).await, with(&narrowed).await);
    let others = with(ann.as_deref().unwrap()).await;
    for token in [&by_password, &by_removed, &by_narrowed, &others] {
        for path in ["/v2/", "/v2/_catalog", public, secret] {
            world.get(path, Some(token)).await.is(StatusCode::OK);
        }
        // It gets no other, which might outlive what it was got with.
        world.get(&format!("/token?service={}", world.address), Some(token)).await.is(StatusCode::FORBIDDEN);
    }

    let listed = world.get("/v2/access-tokens", ann.as_deref()).await.json();
    let id = |index: usize| listed["results"][index]["uuid"].as_str().unwrap().to_owned();
    // The newest is listed first.
    let path = format!("/v2/access-tokens/{}", id(1));
    world.send("DELETE", &path, ann.as_deref(), Body::None).await.is(StatusCode::NO_CONTENT);
    world.hub.change_password("will", PASSWORD, "another horse", "", None).await.unwrap();
    tokio::time::sleep(std::time::Duration::from_millis(2100)).await;
    for token in [&by_password, &by_removed] {
        // Also what everybody may read: the client finds out that it is signed in no more.
        for path in ["/v2/", "/v2/_catalog", public, secret] {
            world.get(path, Some(token)).await.is(StatusCode::UNAUTHORIZED);
        }
        world.get("/v2/search/repositories?query=acme", Some(token)).await.is(StatusCode::UNAUTHORIZED);
    }
    for token in [&by_narrowed, &others] {
        world.get(secret, Some(token)).await.is(StatusCode::OK);
    }
    // Less scope takes away what went beyond it.
    let scopes = serde_json::json!({ "scopes": ["repo:public_read"] });
    let path = format!("/v2/access-tokens/{}", id(0));
    world.send("PATCH", &path, ann.as_deref(), Body::Json(&scopes)).await.is(StatusCode::OK);
    tokio::time::sleep(std::time::Duration::from_millis(2100)).await;
    world.get(secret, Some(&by_narrowed)).await.is(StatusCode::UNAUTHORIZED);
    world.get(public, Some(&by_narrowed)).await.is(StatusCode::OK);
    world.get(secret, Some(&others)).await.is(StatusCode::OK);
}
