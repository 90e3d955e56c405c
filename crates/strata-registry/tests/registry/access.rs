//! Every endpoint asks who may do what, before anything else, and says what came of it.

use std::sync::Mutex;

use async_trait::async_trait;
use reqwest::StatusCode;
use strata_model::{Digest, Repository, Target};
use strata_registry::{RegistryRules, RegistryService};
use strata_store::registry::{
    Access, Action, Caller, Credentials, Listed, MirrorName, MirroredBlob, MirroredManifest, Need, Page, Place, Pull,
    PullAllowance, ReferrersPage, Refusal, RegistryError, Upstream,
};
use strata_testkit::{Image, Index};

use crate::support::{Answer, Server};

/// Lets `alice` do everything, `bob` read `public/…`, and anybody else nothing. Counts pulls.
#[derive(Default)]
struct House {
    pulls: Mutex<Vec<Pull>>,
    quota: Option<u64>,
    pull_limit: Option<u64>,
}

#[async_trait]
impl Access for House {
    async fn authorize(&self, credentials: &Credentials<'_>, needs: &[Need<'_>]) -> Result<Caller, Refusal> {
        let challenge = format!("Bearer realm=\"{}/token\",service=\"house\"", credentials.origin);
        let account = match credentials.authorization {
            Some("Basic alice") => "alice",
            Some("Basic bob") => "bob",
            Some("Basic mallory") => {
                return Err(Refusal::RateLimited { retry_after: 17, message: "too many attempts".into() });
            }
            _ => return Err(Refusal::Unauthenticated { challenge, message: "sign in".into() }),
        };
        let allowed = |need: &Need<'_>| match need {
            Need::Repository(repository, action) => {
                account == "alice" || repository.as_str().starts_with("public/") && *action == Action::Pull
            }
            Need::Identity | Need::Catalog => true,
        };
        match needs.iter().all(allowed) {
            true => Ok(Caller { account: Some(account.into()), peer: Some(credentials.peer) }),
            false => Err(Refusal::Denied { message: "not yours".into() }),
        }
    }

    async fn visible(&self, caller: &Caller, mut repositories: Vec<String>) -> Result<Vec<String>, Refusal> {
        repositories.retain(|name| caller.name() == "alice" || name.starts_with("public/"));
        Ok(repositories)
    }

    async fn may_set_tag(
        &self,
        _caller: &Caller,
        _repository: &Repository,
        tag: &str,
        from: Option<&Digest>,
    ) -> Result<(), Refusal> {
        match (tag.starts_with('v'), from) {
            (true, Some(_)) => Err(Refusal::Denied { message: format!("tag {tag} is immutable") }),
            _ => Ok(()),
        }
    }

    async fn may_delete_tag(&self, _caller: &Caller, _repository: &Repository, tag: &str) -> Result<(), Refusal> {
        match tag.starts_with('v') {
            true => Err(Refusal::Denied { message: format!("tag {tag} is immutable") }),
            false => Ok(()),
        }
    }

    async fn push_allowance(&self, _caller: &Caller, _repository: &Repository) -> Result<Option<u64>, Refusal> {
        Ok(self.quota)
    }

    async fn pull_allowance(&self, caller: &Caller, counts: bool) -> Result<Option<PullAllowance>, Refusal> {
        let Some(limit) = self.pull_limit else { return Ok(None) };
        let done = self.pulls.lock().unwrap().len() as u64;
        if counts && done >= limit {
            return Err(Refusal::RateLimited {
                retry_after: 60,
                message: "you have reached your pull rate limit".into(),
            });
        }
        let source = caller.name().to_owned();
        Ok(Some(PullAllowance { limit, remaining: limit - done - u64::from(counts), window: 21600, source }))
    }

    fn pulled(&self, _caller: &Caller, pull: Pull) {
        self.pulls.lock().unwrap().push(pull);
    }
}

async fn send(server: &Server, account: Option<&str>, method: &str, path: &str, body: &[u8]) -> Answer {
    let mut request = server.request(method, path).body(body.to_vec());
    if let Some(account) = account {
        request = request.header("Authorization", format!("Basic {account}"));
    }
    Answer::of(request.send().await.unwrap()).await
}

async fn push(server: &Server, repository: &str, tag: &str, image: &Image) -> Answer {
    for (digest, bytes) in image.blobs() {
        let path = format!("/v2/{repository}/blobs/uploads/?digest={digest}");
        send(server, Some("alice"), "POST", &path, &bytes).await.is(StatusCode::CREATED);
    }
    let path = format!("/v2/{repository}/manifests/{tag}");
    let request = server.request("PUT", &path).header("Authorization", "Basic alice");
    let request = request.header("Content-Type", image.media_type.as_str()).body(image.manifest.clone());
    Answer::of(request.send().await.unwrap()).await
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn every_endpoint_asks() {
    let server = Server::with_access(House::default()).await;
    let image = Image::small("x");
    push(&server, "public/app", "latest", &image).await.is(StatusCode::CREATED);
    let digest = image.digest();
    let id = "4f1c2b3a-0000-4000-8000-000000000000";
    let endpoints = [
        ("GET", "/v2/".to_owned(), true),
        ("GET", "/v2/_catalog".to_owned(), true),
        ("GET", "/v2/public/app/tags/list".to_owned(), true),
        ("GET", format!("/v2/public/app/referrers/{digest}"), true),
        ("GET", "/v2/public/app/manifests/latest".to_owned(), true),
        ("HEAD", "/v2/public/app/manifests/latest".to_owned(), true),
        ("GET", format!("/v2/public/app/blobs/{}", image.id()), true),
        ("HEAD", format!("/v2/public/app/blobs/{}", image.id()), true),
        ("PUT", "/v2/public/app/manifests/latest".to_owned(), false),
        ("DELETE", "/v2/public/app/manifests/latest".to_owned(), false),
        ("DELETE", format!("/v2/public/app/blobs/{}", image.id()), false),
        ("POST", "/v2/public/app/blobs/uploads/".to_owned(), false),
        ("POST", format!("/v2/public/app/blobs/uploads/?mount={digest}&from=public/app"), false),
        ("GET", format!("/v2/public/app/blobs/uploads/{id}"), false),
        ("PATCH", format!("/v2/public/app/blobs/uploads/{id}"), false),
        ("PUT", format!("/v2/public/app/blobs/uploads/{id}?digest={digest}"), false),
        ("DELETE", format!("/v2/public/app/blobs/uploads/{id}"), false),
    ];
    for (method, path, bob_may) in endpoints {
        let anonymous = send(&server, None, method, &path, b"").await.is(StatusCode::UNAUTHORIZED);
        let realm = format!("Bearer realm=\"http://{}/token\",service=\"house\"", server.address);
        assert_eq!(anonymous.header("www-authenticate"), realm, "{method} {path}");
        if method != "HEAD" {
            assert_eq!(anonymous.json()["errors"][0]["code"], "UNAUTHORIZED");
        }
        let bob = send(&server, Some("bob"), method, &path, b"").await;
        assert_eq!(bob.status == StatusCode::OK, bob_may, "{method} {path}: {}", bob.status);
        if !bob_may {
            bob.fails(StatusCode::FORBIDDEN, "DENIED");
        }
        let mallory = send(&server, Some("mallory"), method, &path, b"").await.is(StatusCode::TOO_MANY_REQUESTS);
        assert_eq!(mallory.header("retry-after"), "17");
        if method != "HEAD" {
            mallory.fails(StatusCode::TOO_MANY_REQUESTS, "TOOMANYREQUESTS");
        }
    }
    // What may not be seen looks as what does not exist.
    push(&server, "private/app", "latest", &image).await.is(StatusCode::CREATED);
    let hidden = send(&server, Some("bob"), "GET", "/v2/private/app/manifests/latest", b"").await;
    let absent = send(&server, Some("bob"), "GET", "/v2/private/none/manifests/latest", b"").await;
    assert_eq!((hidden.status, &hidden.body), (absent.status, &absent.body));
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn the_catalog_has_no_gaps_and_no_secrets() {
    let server = Server::with_access(House::default()).await;
    let image = Image::small("x");
    for number in 0..6 {
        push(&server, &format!("private/a{number}"), "latest", &image).await.is(StatusCode::CREATED);
        push(&server, &format!("public/a{number}"), "latest", &image).await.is(StatusCode::CREATED);
    }
    let (mut path, mut found) = ("/v2/_catalog?n=4".to_owned(), Vec::new());
    loop {
        let page = send(&server, Some("bob"), "GET", &path, b"").await.is(StatusCode::OK);
        found.extend(
            page.json()["repositories"].as_array().unwrap().iter().map(|name| name.as_str().unwrap().to_owned()),
        );
        match page.next() {
            Some(next) => path = next,
            None => break,
        }
    }
    assert_eq!(found, (0..6).map(|number| format!("public/a{number}")).collect::<Vec<_>>());
    let searched = send(&server, Some("bob"), "GET", "/v1/search?q=a", b"").await.json();
    assert_eq!(searched["num_results"], 6);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_mount_needs_the_right_to_read_the_other_repository() {
    let server = Server::with_access(House::default()).await;
    let image = Image::small("x");
    push(&server, "private/app", "latest", &image).await.is(StatusCode::CREATED);
    let layer = image.layers[0].digest();
    let mount = |from: &str| format!("/v2/private/new/blobs/uploads/?mount={layer}{from}");
    send(&server, Some("alice"), "POST", &mount("&from=private/none"), b"").await.is(StatusCode::ACCEPTED);
    send(&server, Some("alice"), "POST", &mount("&from=private/app"), b"").await.is(StatusCode::CREATED);
    let nowhere = format!("/v2/private/third/blobs/uploads/?mount={layer}");
    let mounted = send(&server, Some("alice"), "POST", &nowhere, b"").await.is(StatusCode::CREATED);
    assert_eq!(mounted.header("docker-content-digest"), layer.to_string());
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn an_immutable_tag_stays() {
    let manifest = |target: &str| format!("/v2/public/app/manifests/{target}");
    let server = Server::with_access(House::default()).await;
    let (one, two) = (Image::small("1"), Image::small("2"));
    push(&server, "public/app", "v1", &one).await.is(StatusCode::CREATED);
    push(&server, "public/app", "v1", &one).await.is(StatusCode::CREATED);
    push(&server, "public/app", "v1", &two).await.fails(StatusCode::FORBIDDEN, "DENIED");
    push(&server, "public/app", "latest", &two).await.is(StatusCode::CREATED);
    let got = send(&server, Some("bob"), "GET", "/v2/public/app/manifests/v1", b"").await;
    assert_eq!(got.header("docker-content-digest"), one.digest().to_string());
    let history = server.store.read().await.unwrap().registry_tag_history("public/app", "v1", 9).await.unwrap();
    assert!(history.iter().all(|row| row.actor == "alice" && row.digest == Some(one.digest())));

    // Nor does it go, by itself or with its manifest; other tags do.
    let digests = [&one, &two].map(|image| image.digest().to_string());
    push(&server, "public/app", "also", &one).await.is(StatusCode::CREATED);
    for target in ["v1", &digests[0]] {
        let refused = send(&server, Some("alice"), "DELETE", &manifest(target), b"").await;
        let refused = refused.fails(StatusCode::FORBIDDEN, "DENIED");
        assert_eq!(refused.json()["errors"][0]["message"], "tag v1 is immutable");
    }
    // Nor does what it needs.
    let blob = |digest: &Digest| format!("/v2/public/app/blobs/{digest}");
    for (digest, _) in one.blobs() {
        let refused = send(&server, Some("alice"), "DELETE", &blob(&digest), b"").await;
        let refused = refused.fails(StatusCode::FORBIDDEN, "DENIED");
        assert_eq!(refused.json()["errors"][0]["message"], "tag v1 is immutable");
        send(&server, Some("bob"), "HEAD", &blob(&digest), b"").await.is(StatusCode::OK);
    }
    let own = two.layers[0].digest();
    send(&server, Some("alice"), "DELETE", &blob(&own), b"").await.is(StatusCode::ACCEPTED);
    for target in ["also", "latest", &digests[1]] {
        send(&server, Some("alice"), "DELETE", &manifest(target), b"").await.is(StatusCode::ACCEPTED);
    }
    let tags = send(&server, Some("bob"), "GET", "/v2/public/app/tags/list", b"").await;
    assert_eq!(tags.json()["tags"], serde_json::json!(["v1"]));
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn an_immutable_tag_of_an_index_keeps_what_is_below() {
    let server = Server::with_access(House::default()).await;
    let image = Image::small("1");
    push(&server, "public/app", &image.digest().to_string(), &image).await.is(StatusCode::CREATED);
    let index = Index::new(vec![image.clone()]);
    let put = |target: &str| {
        let path = format!("/v2/public/app/manifests/{target}");
        let request = server.request("PUT", &path).header("Authorization", "Basic alice");
        request.header("Content-Type", index.media_type.as_str()).body(index.manifest.clone()).send()
    };
    Answer::of(put("v1").await.unwrap()).await.is(StatusCode::CREATED);
    for path in [
        format!("/v2/public/app/blobs/{}", image.layers[0].digest()),
        format!("/v2/public/app/blobs/{}", image.id()),
        format!("/v2/public/app/manifests/{}", index.digest()),
    ] {
        let refused = send(&server, Some("alice"), "DELETE", &path, b"").await.fails(StatusCode::FORBIDDEN, "DENIED");
        assert_eq!(refused.json()["errors"][0]["message"], "tag v1 is immutable", "{path}");
    }
    // Whatever the index is tagged: it needs its entries.
    let entry = format!("/v2/public/app/manifests/{}", image.digest());
    let refused = send(&server, Some("alice"), "DELETE", &entry, b"").await;
    let refused = refused.fails(StatusCode::METHOD_NOT_ALLOWED, "DENIED");
    let message = format!("manifest {} belongs to index {}: delete that first", image.digest(), index.digest());
    assert_eq!(refused.json()["errors"][0]["message"], message);
    send(&server, Some("bob"), "GET", &entry, b"").await.is(StatusCode::OK);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_quota_holds_while_bytes_stream_in() {
    let server = Server::with_access(House { quota: Some(1000), ..House::default() }).await;
    let alice = Some("alice");
    let (small, large) = (vec![1; 900], vec![2; 1100]);
    let single = |bytes: &[u8]| format!("/v2/public/app/blobs/uploads/?digest={}", Digest::of(bytes));
    send(&server, alice, "POST", &single(&small), &small).await.is(StatusCode::CREATED);
    let refused = send(&server, alice, "POST", &single(&large), &large).await;
    let refused = refused.fails(StatusCode::PAYLOAD_TOO_LARGE, "DENIED");
    assert!(refused.json()["errors"][0]["message"].as_str().unwrap().contains("quota"));
    let session = send(&server, alice, "POST", "/v2/public/app/blobs/uploads/", b"").await.is(StatusCode::ACCEPTED);
    let at = session.header("location").to_owned();
    send(&server, alice, "PATCH", &at, &small).await.is(StatusCode::ACCEPTED);
    send(&server, alice, "PATCH", &at, &small).await.fails(StatusCode::PAYLOAD_TOO_LARGE, "DENIED");
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn pulls_are_counted_and_limited() {
    let house = std::sync::Arc::new(House { pull_limit: Some(2), ..House::default() });
    let service = RegistryService { access: house.clone(), ..RegistryService::default() };
    let server = Server::with(RegistryRules::default(), service).await;
    let image = Image::small("x");
    push(&server, "public/app", "latest", &image).await.is(StatusCode::CREATED);
    let path = "/v2/public/app/manifests/latest";
    for remaining in [1, 0] {
        let head = send(&server, Some("bob"), "HEAD", path, b"").await.is(StatusCode::OK);
        assert_eq!(head.header("ratelimit-remaining"), format!("{};w=21600", remaining + 1));
        let got = send(&server, Some("bob"), "GET", path, b"").await.is(StatusCode::OK);
        assert_eq!(got.header("ratelimit-limit"), "2;w=21600");
        assert_eq!(got.header("ratelimit-remaining"), format!("{remaining};w=21600"));
        assert_eq!(got.header("docker-ratelimit-source"), "bob");
    }
    let over = send(&server, Some("bob"), "GET", path, b"").await;
    assert_eq!(over.fails(StatusCode::TOO_MANY_REQUESTS, "TOOMANYREQUESTS").header("retry-after"), "60");
    let pulls = house.pulls.lock().unwrap();
    assert_eq!(pulls.len(), 2, "neither HEAD nor what was refused counts");
    assert!(pulls.iter().all(|pull| pull.tag.as_deref() == Some("latest") && pull.digest == image.digest()));
}

/// Another registry that counts how often it is asked, and has nothing.
#[derive(Default)]
struct Elsewhere(std::sync::atomic::AtomicUsize);

impl Elsewhere {
    fn asked(&self) -> usize {
        self.0.load(std::sync::atomic::Ordering::SeqCst)
    }
}

#[async_trait]
impl Upstream for Elsewhere {
    fn place(&self, written: &Repository, _namespace: Option<&str>) -> Place {
        let repository = format!("mirror/{written}").parse().unwrap();
        Place::MirrorUnlessHere(MirrorName { repository, namespace: None, requires_sign_in: false })
    }

    async fn manifest(&self, mirror: &Repository, target: &Target) -> Result<MirroredManifest, RegistryError> {
        self.0.fetch_add(1, std::sync::atomic::Ordering::SeqCst);
        Err(RegistryError::ManifestUnknown { repository: mirror.to_string(), target: target.to_string() })
    }

    async fn blob(&self, mirror: &Repository, digest: &Digest, _offset: u64) -> Result<MirroredBlob, RegistryError> {
        Err(RegistryError::BlobUnknown { repository: mirror.to_string(), digest: *digest })
    }

    async fn blob_size(&self, mirror: &Repository, digest: &Digest) -> Result<u64, RegistryError> {
        Err(RegistryError::BlobUnknown { repository: mirror.to_string(), digest: *digest })
    }

    async fn tags(
        &self,
        mirror: &Repository,
        _last: Option<&str>,
        _limit: usize,
    ) -> Result<Listed<Page>, RegistryError> {
        Err(RegistryError::RepositoryUnknown(mirror.to_string()))
    }

    async fn referrers(
        &self,
        mirror: &Repository,
        _subject: &Digest,
        _artifact_type: Option<&str>,
        _last: Option<&Digest>,
    ) -> Result<Listed<ReferrersPage>, RegistryError> {
        Err(RegistryError::RepositoryUnknown(mirror.to_string()))
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn whoever_has_no_pull_left_sets_no_other_registry_to_work() {
    let elsewhere = std::sync::Arc::new(Elsewhere::default());
    let house = House { pull_limit: Some(1), ..House::default() };
    let service = RegistryService {
        access: std::sync::Arc::new(house),
        upstream: Some(elsewhere.clone()),
        ..RegistryService::default()
    };
    let server = Server::with(RegistryRules::default(), service).await;
    push(&server, "public/app", "latest", &Image::small("x")).await.is(StatusCode::CREATED);
    let get = async |path: &str| send(&server, Some("bob"), "GET", path, b"").await;
    get("/v2/other/app/manifests/latest").await.fails(StatusCode::NOT_FOUND, "MANIFEST_UNKNOWN");
    assert_eq!(elsewhere.asked(), 1, "what was not found is no pull");
    get("/v2/public/app/manifests/latest").await.is(StatusCode::OK);
    get("/v2/other/app/manifests/latest").await.fails(StatusCode::TOO_MANY_REQUESTS, "TOOMANYREQUESTS");
    assert_eq!(elsewhere.asked(), 1);
}
