//! Every endpoint of the hub, asked by everybody: nobody learns of a private repository what is not theirs to know.

use reqwest::StatusCode;
use serde_json::json;

use crate::support::{Body, PASSWORD, PUBLIC, SECRET, World, basic};

/// What an endpoint of a repository needs.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
enum Level {
    Nothing,
    Read,
    Write,
    Admin,
}

use Level::{Admin, Nothing, Read, Write};

/// Method, path, document, what it needs; whether those who have it get a success (or change too much to be tried).
const ENDPOINTS: &[(&str, &str, &str, Level, bool)] = &[
    ("GET", "/v2/repositories/{repository}", "", Read, true),
    ("GET", "/v2/repositories/{repository}/", "", Read, true),
    ("HEAD", "/v2/namespaces/{namespace}/repositories/{name}", "", Read, true),
    ("GET", "/v2/namespaces/{namespace}/repositories/{name}", "", Read, true),
    ("PATCH", "/v2/repositories/{repository}", "{}", Admin, true),
    ("PATCH", "/v2/namespaces/{namespace}/repositories/{name}", "{}", Admin, true),
    ("DELETE", "/v2/repositories/{repository}", "", Admin, false),
    ("GET", "/v2/repositories/{repository}/tags", "", Read, true),
    ("GET", "/v2/namespaces/{namespace}/repositories/{name}/tags", "", Read, true),
    ("GET", "/v2/repositories/{repository}/tags/1.0", "", Read, true),
    ("GET", "/v2/namespaces/{namespace}/repositories/{name}/tags/1.0", "", Read, true),
    ("DELETE", "/v2/repositories/{repository}/tags/1.0", "", Admin, false),
    ("GET", "/api/v1/repositories/{repository}/tags/1.0/history", "", Read, true),
    ("GET", "/api/v1/repositories/{repository}/tags/1.0/aliases", "", Read, true),
    ("POST", "/api/v1/repositories/{repository}/tags/1.0/rollback", "{\"digest\":\"{digest}\"}", Write, false),
    ("GET", "/api/v1/repositories/{repository}/pulls", "", Read, true),
    ("GET", "/api/v1/repositories/{repository}/dockerfile?target=1.0", "", Read, true),
    ("POST", "/api/v1/repositories/{repository}/retention/preview", "{}", Admin, true),
    ("GET", "/api/v1/repositories/{repository}/webhooks", "", Admin, true),
    (
        "POST",
        "/api/v1/repositories/{repository}/webhooks",
        "{\"name\":\"x\",\"url\":\"https://x.example\"}",
        Admin,
        true,
    ),
    ("GET", "/api/v1/repositories/{repository}/webhooks/none", "", Admin, false),
    ("PATCH", "/api/v1/repositories/{repository}/webhooks/none", "{\"active\":false}", Admin, false),
    ("DELETE", "/api/v1/repositories/{repository}/webhooks/none", "", Admin, false),
    ("GET", "/api/v1/repositories/{repository}/webhooks/none/deliveries", "", Admin, false),
    ("POST", "/v2/repositories/{repository}/stars", "", Read, false),
    ("DELETE", "/v2/repositories/{repository}/stars", "", Read, false),
    ("PUT", "/api/v1/repositories/{repository}/star", "", Read, false),
    ("GET", "/api/v1/grants/{namespace}%2F{name}", "", Admin, false),
];

/// Lists, in which what one may not see is left out. They name no part of what is hidden.
const LISTS: &[&str] = &[
    "/v2/repositories/acme",
    "/v2/repositories/acme/?page_size=100&ordering=name",
    "/v2/namespaces/acme/repositories",
    "/v2/namespaces/acme/repositories?name=ecre",
    "/api/v1/repositories?ordering=-pull_count",
    "/v1/search?q=secre",
    "/v1/search?q=acme",
    "/v2/search/repositories?query=secre",
    "/v2/search/repositories?query=acme/",
    "/api/search/v4?query=secre",
    "/api/search/v4?query=acme&sort=pull_count&order=desc",
    "/api/search/v4?query=",
    "/api/v1/search/suggestions?q=secre",
    "/api/v1/search/suggestions?q=acm",
];

/// Who asks, and what they may do with `acme/public` and `acme/secret`. Nothing at all with credentials that are not good.
const ACTORS: &[(&str, Level, Level)] = &[
    ("anonymous", Read, Nothing),
    ("otto", Read, Nothing),
    ("carl", Read, Nothing),
    ("rita", Read, Read),
    ("will", Write, Write),
    ("ann", Admin, Admin),
    ("admin", Admin, Admin),
    ("rita, repo:public_read", Read, Nothing),
    ("robot that reads acme/secret", Read, Read),
    ("robot for acme/another", Read, Nothing),
    ("expired token of rita", Nothing, Nothing),
    ("token for another repository of rita", Read, Nothing),
];

impl World {
    async fn shown_by(&self, actor: &str) -> Option<String> {
        match actor {
            "anonymous" => None,
            "rita, repo:public_read" => Some(self.personal("rita", "repo:public_read", None).await),
            "robot that reads acme/secret" => Some(self.robot("reads", SECRET, &["scope-image-pull"]).await),
            "robot for acme/another" => Some(self.robot("another", "acme/another", &["scope-image-delete"]).await),
            "expired token of rita" => {
                let token = self.token("repository:acme/secret:pull", Some(&basic("rita", PASSWORD))).await;
                let expire =
                    |claims: &mut serde_json::Value| claims["exp"] = (claims["iat"].as_i64().unwrap() - 61).into();
                Some(self.signed_anew(&token, expire).await)
            }
            "token for another repository of rita" => {
                Some(self.token("repository:acme/public:pull", Some(&basic("rita", PASSWORD))).await)
            }
            name => Some(basic(name, PASSWORD)),
        }
    }

    /// A hub that knows what was pushed to it.
    async fn informed() -> World {
        let world = World::start().await;
        while world.hub.follow_registry().await.unwrap() + world.hub.follow_history().await.unwrap() > 0 {}
        world
    }

    /// Asserts that an answer has nothing of the private image.
    #[track_caller]
    fn is_silent(&self, actor: &str, path: &str, answer: &str) {
        let blobs = self.image.blobs();
        let sizes = blobs.iter().flat_map(|(digest, bytes)| [digest.to_string(), bytes.len().to_string()]);
        let sizes = sizes.chain([self.digest().to_string()]).filter(|secret| secret.len() > 4);
        // Whoever names the repository is told the name back; in lists the public one has the same image.
        let secrets: Vec<String> = match path.contains("secret") {
            true => sizes.collect(),
            false => vec![SECRET.to_owned(), "\"secret\"".to_owned()],
        };
        for secret in secrets {
            assert!(!answer.contains(&secret), "{actor}: {path} tells {secret}: {answer}");
        }
    }
}

fn path(template: &str, repository: &str, digest: &str) -> String {
    let (namespace, name) = repository.split_once('/').unwrap();
    let path = template.replace("{repository}", repository).replace("{namespace}", namespace);
    path.replace("{name}", name).replace("{digest}", digest)
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn every_endpoint_of_a_repository_asks_for_the_role() {
    let world = World::informed().await;
    let digest = world.digest().to_string();
    for (actor, on_public, on_secret) in ACTORS {
        let shown = world.shown_by(actor).await;
        for (repository, may) in [(PUBLIC, on_public), (SECRET, on_secret)] {
            for (method, template, document, needs, is_tried) in ENDPOINTS {
                let document: Option<serde_json::Value> =
                    serde_json::from_str(&document.replace("{digest}", &digest)).ok();
                let body = || document.as_ref().map_or(Body::None, Body::Json);
                let asked = path(template, repository, &digest);
                if may >= needs && !is_tried {
                    continue;
                }
                let answer = world.send(method, &asked, shown.as_deref(), body()).await;
                assert_eq!(answer.status.is_success(), may >= needs, "{actor}: {method} {asked}: {}", answer.text());
                if *may > Nothing {
                    continue;
                }
                world.is_silent(actor, &asked, &answer.everything());
                // What is hidden is like what is not there, which nobody without a role on the namespace may know.
                let absent = "acme/absent";
                let other = world.send(method, &path(template, absent, &digest), shown.as_deref(), body()).await;
                let alike = |text: String| text.replace(repository, "NAME").replace(absent, "NAME");
                assert_eq!(alike(answer.everything()), alike(other.everything()), "{actor}: {method} {asked}");
            }
        }
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn lists_and_searches_leave_out_what_is_hidden() {
    let world = World::informed().await;
    for (actor, on_public, on_secret) in ACTORS {
        let shown = world.shown_by(actor).await;
        for list in LISTS {
            let answer = world.get(list, shown.as_deref()).await;
            if *on_public == Nothing {
                answer.is(StatusCode::UNAUTHORIZED);
                continue;
            }
            let answer = answer.is(StatusCode::OK);
            // `docker search` shows no private repository, whoever asks without signing in.
            match on_secret {
                Nothing => world.is_silent(actor, list, &answer.text()),
                _ => assert!(answer.text().contains("secret"), "{actor}: {list}: {}", answer.text()),
            }
        }
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn names_with_several_slashes_are_written_with_an_escape() {
    let world = World::start().await;
    let ann = basic("ann", PASSWORD);
    world.push("ann/tools/build/app", "1.0", &ann).await;
    while world.hub.follow_registry().await.unwrap() > 0 {}
    for path in [
        "/v2/repositories/ann/tools%2Fbuild%2Fapp/",
        "/v2/namespaces/ann/repositories/tools%2Fbuild%2Fapp",
        "/v2/repositories/ann/tools%2Fbuild%2Fapp/tags/1.0",
        "/api/v1/repositories/ann/tools%2Fbuild%2Fapp/pulls",
        "/api/v1/repositories/ann/tools%2fbuild%2fapp/tags/1.0/history",
    ] {
        let answer = world.get(path, None).await.is(StatusCode::OK);
        assert!(!answer.json().is_null());
    }
    let list = world.get("/v2/repositories/ann/", None).await.is(StatusCode::OK).json();
    assert_eq!(list["results"][0]["name"], json!("tools/build/app"));
    let update = json!({ "description": "nested" });
    let path = "/v2/repositories/ann/tools%2Fbuild%2Fapp/";
    world.send("PATCH", path, Some(&ann), Body::Json(&update)).await.is(StatusCode::OK);
    let found = world.get("/v2/search/repositories?query=build", None).await.is(StatusCode::OK).json();
    assert_eq!(found["results"][0]["repo_name"], "ann/tools/build/app");
    world.send("DELETE", path, Some(&ann), Body::None).await.is(StatusCode::ACCEPTED);
    world.get(path, Some(&ann)).await.is(StatusCode::NOT_FOUND);
}
