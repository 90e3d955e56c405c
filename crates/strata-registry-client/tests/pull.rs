//! Pulling from a scripted registry: authorization, redirects, faults, wording.

mod support;

use std::sync::Arc;
use std::sync::atomic::{AtomicU32, Ordering};
use std::time::{Duration, Instant};

use futures_util::TryStreamExt;
use strata_model::{Descriptor, Digest, ErrorKind, MediaType, Target};
use strata_registry_client::{Credentials, Mirror, RegistryClient, RepositoryClient};
use strata_transfer::{ImageSource, Result, TransferError};
use support::{FakeServer, Reply, Request, config, repository, repository_with};

const MANIFEST: &str = r#"{"schemaVersion":2,"mediaType":"application/vnd.oci.image.manifest.v1+json","config":{"mediaType":"application/vnd.oci.image.config.v1+json","digest":"sha256:44136fa355b3678a1146ad16f7e8649e94fb4fc21fe77e8310c060f61caaff8a","size":2},"layers":[]}"#;
const BLOB: &[u8] = b"0123456789abcdef";

fn tag(text: &str) -> Target {
    Target::Tag(text.parse().unwrap())
}

fn manifest_reply() -> Reply {
    Reply::new(200)
        .header("Content-Type", "application/vnd.oci.image.manifest.v1+json; charset=utf-8")
        .header("Docker-Content-Digest", Digest::of(MANIFEST.as_bytes()).to_string())
        .body(MANIFEST)
}

fn blob() -> Descriptor {
    Descriptor::new(MediaType::OCI_LAYER, Digest::of(BLOB), BLOB.len() as u64)
}

async fn read(repository: &RepositoryClient, from: u64) -> Result<(u64, Vec<u8>)> {
    let blob = repository.blob(&blob(), from).await?;
    let pieces: Vec<_> = blob.stream.try_collect().await?;
    Ok((blob.from, pieces.concat()))
}

fn password(username: &str, password: &str) -> Credentials {
    Credentials::Password { username: username.into(), password: password.into() }
}

fn is_basic(request: &Request, pair: &str) -> bool {
    use base64::Engine;
    let expected = format!("Basic {}", base64::engine::general_purpose::STANDARD.encode(pair));
    request.header("authorization") == Some(&expected)
}

/// A registry with a token service of its own. The tokens are numbered.
async fn token_registry(content: impl Fn(&Request) -> Reply + Send + Sync + 'static) -> FakeServer {
    let issued = AtomicU32::new(0);
    FakeServer::start(move |request| match request.path() {
        "/token" if request.method == "POST" => Reply::new(405),
        "/token" => {
            let number = issued.fetch_add(1, Ordering::SeqCst) + 1;
            Reply::new(200).body(format!(r#"{{"token":"t{number}","expires_in":300}}"#))
        }
        _ if request.header("authorization").is_some_and(|value| value.starts_with("Bearer t")) => content(request),
        _ => {
            let host = request.header("host").unwrap_or_default();
            let challenge = format!(
                r#"Bearer realm="http://{host}/token",service="fake",scope="repository:library/app:pull",error="invalid_token""#
            );
            Reply::error(401, "UNAUTHORIZED", "authentication required").header("WWW-Authenticate", challenge)
        }
    })
    .await
}

#[tokio::test]
async fn a_token_is_fetched_once_for_many_requests() {
    let server =
        token_registry(
            |request| if request.path().contains("blobs") { Reply::new(200).body(BLOB) } else { manifest_reply() },
        )
        .await;
    let repository = repository(&server.authority, "library/app");
    let descriptor = repository.resolve(&tag("latest")).await.unwrap();
    assert_eq!(descriptor.digest, Digest::of(MANIFEST.as_bytes()));
    assert_eq!(descriptor.size, MANIFEST.len() as u64);
    let manifest = repository.manifest(&descriptor).await.unwrap();
    assert_eq!(manifest.bytes(), MANIFEST.as_bytes());
    let reads = (0..4).map(|_| read(&repository, 0));
    for result in futures_util::future::join_all(reads).await {
        assert_eq!(result.unwrap().1, BLOB);
    }
    let tokens: Vec<Request> = server.requests().into_iter().filter(|request| request.path() == "/token").collect();
    assert_eq!(tokens.len(), 1);
    assert_eq!(tokens[0].target, "/token?service=fake&scope=repository%3Alibrary%2Fapp%3Apull&client_id=strata");
    assert!(tokens[0].header("user-agent").unwrap().starts_with("strata/"));
}

#[tokio::test]
async fn credentials_go_to_the_token_service_and_an_expired_token_is_replaced() {
    let server = token_registry(|request| match request.header("authorization") {
        Some("Bearer t1") => {
            let host = request.header("host").unwrap_or_default();
            Reply::new(401).header("WWW-Authenticate", format!(r#"Bearer realm="http://{host}/token",service="fake""#))
        }
        _ => manifest_reply(),
    })
    .await;
    let host = server.authority.parse().unwrap();
    let client = RegistryClient::new(config()).with_credentials(&host, password("bob", "hunter2"));
    let repository = client.repository(&host, &"library/app".parse().unwrap());
    // The first request gets t1, which is refused: the second try of the caller brings t2.
    let first = repository.resolve(&tag("latest")).await;
    assert!(first.is_ok(), "{first:?}");
    let tokens: Vec<Request> = server.requests().into_iter().filter(|request| request.path() == "/token").collect();
    assert_eq!(tokens.len(), 2);
    assert!(tokens.iter().all(|request| is_basic(request, "bob:hunter2") && request.target.contains("account=bob")));
    assert!(
        server
            .requests()
            .iter()
            .filter(|request| request.path() != "/token")
            .all(|request| !is_basic(request, "bob:hunter2"))
    );
}

#[tokio::test]
async fn identity_tokens_are_posted_and_fall_back_to_get() {
    for post_works in [true, false] {
        let server = FakeServer::start(move |request| match (request.method.as_str(), request.path()) {
            ("POST", "/token") if post_works => Reply::new(200).body(r#"{"access_token":"good"}"#),
            ("POST", "/token") => Reply::new(404),
            ("GET", "/token") => Reply::new(200).body(r#"{"token":"good"}"#),
            _ if request.header("authorization") == Some("Bearer good") => manifest_reply(),
            _ => Reply::new(401).header("WWW-Authenticate", "Bearer realm=\"/token\",service=\"s\""),
        })
        .await;
        let host = server.authority.parse().unwrap();
        let identity = Credentials::IdentityToken { username: String::new(), token: "secret token".into() };
        let client = RegistryClient::new(config()).with_credentials(&host, identity);
        client.repository(&host, &"app".parse().unwrap()).resolve(&tag("x")).await.unwrap();
        let posted = server.requests().into_iter().find(|request| request.method == "POST").unwrap();
        let form = String::from_utf8(posted.body).unwrap();
        assert_eq!(
            form,
            "grant_type=refresh_token&client_id=strata&service=s&refresh_token=secret+token&scope=repository%3Aapp%3Apull"
        );
        assert_eq!(
            server.requests().iter().any(|request| request.method == "GET" && request.path() == "/token"),
            !post_works
        );
    }
}

#[tokio::test]
async fn basic_credentials_are_sent_when_asked_for() {
    let server = FakeServer::start(|request| {
        if is_basic(request, "bob:pw") {
            manifest_reply()
        } else {
            Reply::error(401, "UNAUTHORIZED", "authentication required").header("WWW-Authenticate", "Basic realm=\"x\"")
        }
    })
    .await;
    let host = server.authority.parse().unwrap();
    let client = RegistryClient::new(config()).with_credentials(&host, password("bob", "pw"));
    client.repository(&host, &"app".parse().unwrap()).resolve(&tag("x")).await.unwrap();
    client.repository(&host, &"app".parse().unwrap()).resolve(&tag("y")).await.unwrap();
    assert_eq!(server.requests().len(), 3, "the challenge is remembered");
}

#[tokio::test]
async fn a_redirect_to_another_host_carries_no_credentials() {
    let storage = FakeServer::start(|_| Reply::new(200).body(BLOB)).await;
    let elsewhere = storage.url("/blob?signature=s3cret");
    let server = token_registry(move |_| Reply::new(307).header("Location", elsewhere.clone())).await;
    assert_eq!(read(&repository(&server.authority, "library/app"), 0).await.unwrap().1, BLOB);
    let requests = storage.requests();
    assert_eq!(requests.len(), 1);
    assert_eq!(requests[0].target, "/blob?signature=s3cret");
    assert_eq!(requests[0].header("authorization"), None);
}

#[tokio::test]
async fn redirects_end_and_signed_addresses_are_not_shown() {
    let server = FakeServer::start(|request| match request.path() {
        "/gone" => Reply::new(403).body("<Error>no</Error>"),
        path if path.contains("blobs") => Reply::new(307).header("Location", "/gone?signature=s3cret"),
        _ => Reply::new(302).header("Location", request.target.clone()),
    })
    .await;
    let repository = repository(&server.authority, "app");
    let error = read(&repository, 0).await.unwrap_err();
    assert_eq!(error.kind, ErrorKind::Denied);
    assert!(!error.message.contains("s3cret"), "{}", error.message);
    let error = repository.resolve(&tag("x")).await.unwrap_err();
    assert!(error.message.contains("redirects"), "{}", error.message);
}

#[tokio::test]
async fn a_blob_goes_on_where_it_was_broken_off() {
    for ranges in [true, false] {
        let server = FakeServer::start(move |request| match request.header("range") {
            Some("bytes=10-") if ranges => Reply::new(206).header("Content-Range", "bytes 10-15/16").body(&BLOB[10..]),
            _ => Reply::new(200).body(BLOB),
        })
        .await;
        let expected = if ranges { (10, BLOB[10..].to_vec()) } else { (0, BLOB.to_vec()) };
        let repository = repository(&server.authority, "app");
        assert_eq!(read(&repository, 10).await.unwrap(), expected);
        assert_eq!(read(&repository, 16).await.unwrap(), (16, Vec::new()));
    }
    let lying = FakeServer::start(|_| Reply::new(206).header("Content-Range", "bytes 3-15/16").body(&BLOB[3..])).await;
    let error = read(&repository(&lying.authority, "app"), 10).await.unwrap_err();
    assert_eq!(error.kind, ErrorKind::Corrupt);
}

#[tokio::test]
async fn broken_and_silent_streams_are_errors_that_may_be_retried() {
    let broken = Reply::new(200).body(&BLOB[..5]).told_length(16);
    let silent = broken.clone().hang_after_body();
    for (reply, cause) in [(broken, "reading the answer"), (silent, "no data for 0.3 s")] {
        let server = FakeServer::start(move |_| reply.clone()).await;
        let started = Instant::now();
        let error = read(&repository(&server.authority, "app"), 0).await.unwrap_err();
        assert!(error.retryable);
        assert!(error.message.starts_with(&format!("blob {}: ", Digest::of(BLOB))), "{}", error.message);
        assert!(error.message.contains(cause), "{}", error.message);
        assert!(started.elapsed() < Duration::from_secs(5));
    }
}

#[tokio::test]
async fn a_registry_that_never_answers_ends_in_an_error() {
    let server =
        FakeServer::start(|request| if request.path() == "/v2/" { Reply::new(200) } else { Reply::hang() }).await;
    let mut config = config();
    config.retry.tries = 2;
    let started = Instant::now();
    let error = repository_with(config, &server.authority, "app").resolve(&tag("x")).await.unwrap_err();
    assert_eq!(error.kind, ErrorKind::Unavailable);
    assert!(error.message.contains("timeout awaiting response headers"), "{}", error.message);
    assert!(started.elapsed() < Duration::from_secs(5));
}

/// Answers with these statuses in turn, the last for ever, and counts.
async fn in_turn(
    statuses: &'static [u16],
    headers: &'static [(&'static str, &'static str)],
) -> (FakeServer, Arc<AtomicU32>) {
    let count = Arc::new(AtomicU32::new(0));
    let counted = Arc::clone(&count);
    let server = FakeServer::start(move |request| {
        if request.path() == "/v2/" {
            return Reply::new(200);
        }
        let position = counted.fetch_add(1, Ordering::SeqCst) as usize;
        match statuses[position.min(statuses.len() - 1)] {
            200 => manifest_reply(),
            status => {
                headers.iter().fold(Reply::error(status, "TOOMANYREQUESTS", "slow down"), |reply, (name, value)| {
                    reply.header(name, *value)
                })
            }
        }
    })
    .await;
    (server, count)
}

#[tokio::test]
async fn busy_registries_are_asked_again() {
    let (server, count) = in_turn(&[500, 503, 200], &[]).await;
    repository(&server.authority, "app").resolve(&tag("x")).await.unwrap();
    assert_eq!(count.load(Ordering::SeqCst), 3);

    let (server, count) = in_turn(&[429, 200], &[("Retry-After", "1")]).await;
    let started = Instant::now();
    repository(&server.authority, "app").resolve(&tag("x")).await.unwrap();
    assert!(started.elapsed() >= Duration::from_secs(1));
    assert_eq!(count.load(Ordering::SeqCst), 2);

    let (server, count) = in_turn(&[500], &[]).await;
    let error = repository(&server.authority, "app").resolve(&tag("x")).await.unwrap_err();
    assert_eq!(error.kind, ErrorKind::Unavailable);
    assert!(!error.retryable, "all tries were made");
    assert_eq!(count.load(Ordering::SeqCst), 6, "five tries, and one to learn why");
}

#[tokio::test]
async fn a_used_up_limit_is_reported_at_once() {
    let (server, count) =
        in_turn(&[429], &[("ratelimit-limit", "100;w=21600"), ("ratelimit-remaining", "0;w=21600")]).await;
    let repository = repository(&server.authority, "app");
    let error = repository.resolve(&tag("x")).await.unwrap_err();
    assert_eq!((error.kind, error.message.as_str()), (ErrorKind::RateLimited, "toomanyrequests: slow down"));
    assert_eq!(count.load(Ordering::SeqCst), 2);
}

#[tokio::test]
async fn limits_are_remembered() {
    let server = FakeServer::start(|_| {
        manifest_reply().header("ratelimit-limit", "100;w=21600").header("ratelimit-remaining", "7;w=21600")
    })
    .await;
    let host = server.authority.parse().unwrap();
    let client = RegistryClient::new(config());
    assert_eq!(client.rate_limit(&host), None);
    client.repository(&host, &"app".parse().unwrap()).resolve(&tag("x")).await.unwrap();
    let limit = client.rate_limit(&host).unwrap();
    assert_eq!((limit.limit, limit.remaining, limit.window_seconds), (Some(100), Some(7), Some(21600)));
}

#[tokio::test]
async fn refusals_in_dockers_words() {
    let denied = "denied: requested access to the resource is denied";
    let access = |name: &str, cause: &str| {
        format!("pull access denied for {name}, repository does not exist or may require 'docker login': {cause}")
    };
    for (reply, kind, expected) in [
        (
            Reply::error(403, "DENIED", "requested access to the resource is denied"),
            ErrorKind::Denied,
            access("HOST/app", denied),
        ),
        (Reply::new(401), ErrorKind::Unauthenticated, access("HOST/app", denied)),
        (
            Reply::error(401, "UNAUTHORIZED", "authentication required"),
            ErrorKind::Unauthenticated,
            access("HOST/app", "unauthorized: authentication required"),
        ),
        (
            Reply::error(404, "MANIFEST_UNKNOWN", "manifest unknown"),
            ErrorKind::NotFound,
            "manifest for HOST/app:nope not found: manifest unknown: manifest unknown".into(),
        ),
        (
            Reply::new(404),
            ErrorKind::NotFound,
            "manifest for HOST/app:nope not found: manifest unknown: manifest unknown".into(),
        ),
        (
            Reply::error(404, "NAME_UNKNOWN", "repository name not known to registry"),
            ErrorKind::NotFound,
            "repository HOST/app not found: name unknown: repository name not known to registry".into(),
        ),
    ] {
        let server = FakeServer::start(move |_| reply.clone()).await;
        let error = repository(&server.authority, "app").resolve(&tag("nope")).await.unwrap_err();
        assert_eq!(error.kind, kind);
        assert_eq!(error.message.replace(&server.authority, "HOST"), expected);
        if kind != ErrorKind::NotFound {
            assert!(error.hint.unwrap().contains(&format!("strata login {}", server.authority)));
        }
    }
}

#[tokio::test]
async fn wrong_credentials_are_named_as_such() {
    let server = FakeServer::start(|request| match request.path() {
        "/token" => Reply::new(401).body(r#"{"details":"incorrect username or password"}"#),
        _ => Reply::new(401).header("WWW-Authenticate", "Bearer realm=\"/token\""),
    })
    .await;
    let host = server.authority.parse().unwrap();
    let client = RegistryClient::new(config()).with_credentials(&host, password("bob", "hunter2"));
    let error = client.repository(&host, &"app".parse().unwrap()).resolve(&tag("x")).await.unwrap_err();
    let expected = format!("Get \"http://{}/v2/\": unauthorized: incorrect username or password", server.authority);
    assert_eq!((error.kind, error.message), (ErrorKind::Unauthenticated, expected));
    let error = client.login(&server.authority, password("bob", "hunter2")).await.unwrap_err();
    assert!(error.message.ends_with("unauthorized: incorrect username or password"), "{}", error.message);
}

#[tokio::test]
async fn unreachable_hosts_in_dockers_words() {
    let listener = std::net::TcpListener::bind("127.0.0.1:0").unwrap();
    let authority = listener.local_addr().unwrap().to_string();
    drop(listener);
    let error = repository(&authority, "app").resolve(&tag("x")).await.unwrap_err();
    let expected = format!("Get \"http://{authority}/v2/\": dial tcp {authority}: connect: connection refused");
    assert_eq!((error.kind, error.message), (ErrorKind::Unavailable, expected));
    let error = read(&repository(&authority, "app"), 0).await.unwrap_err();
    assert!(error.message.ends_with("connection refused"));
}

#[tokio::test]
async fn lying_manifests_are_refused() {
    let other = Digest::of(b"other");
    let lying = move |request: &Request| match request.path() {
        "/v2/app/manifests/tag" => Reply::new(200)
            .header("Content-Type", "application/vnd.oci.image.manifest.v1+json")
            .header("Docker-Content-Digest", other.to_string())
            .body(MANIFEST),
        _ => manifest_reply(),
    };
    let server = FakeServer::start(lying).await;
    let repository = repository(&server.authority, "app");
    let error = repository.get_manifest_bytes(&tag("tag")).await.unwrap_err();
    assert_eq!(error.kind, ErrorKind::Corrupt, "{}", error.message);
    let error = repository.resolve(&Target::Digest(other)).await.unwrap_err();
    assert_eq!(error.kind, ErrorKind::Corrupt);
    let error = repository.manifest(&Descriptor::new(MediaType::OCI_MANIFEST, other, 0)).await.unwrap_err();
    assert_eq!(error.kind, ErrorKind::Corrupt);
    let right = Digest::of(MANIFEST.as_bytes());
    let error = repository.manifest(&Descriptor::new(MediaType::OCI_MANIFEST, right, 3)).await.unwrap_err();
    assert!(error.message.contains("expected 3"), "{}", error.message);
}

#[tokio::test]
async fn a_registry_that_tells_nothing_on_head_is_asked_with_get() {
    let server = FakeServer::start(|request| match request.method.as_str() {
        "HEAD" => Reply::new(405),
        _ => Reply::new(200).header("Content-Type", "application/vnd.oci.image.manifest.v1+json").body(MANIFEST),
    })
    .await;
    let repository = repository(&server.authority, "app");
    let descriptor = repository.resolve(&tag("x")).await.unwrap();
    assert_eq!(descriptor.digest, Digest::of(MANIFEST.as_bytes()));
    repository.manifest(&descriptor).await.unwrap();
    let gets = server.lines().iter().filter(|line| line.starts_with("GET /v2/app/manifests")).count();
    assert_eq!(gets, 1, "the manifest is not fetched twice");
}

#[tokio::test]
async fn schema_1_is_refused_with_advice() {
    let server = FakeServer::start(|_| {
        Reply::new(200)
            .header("Content-Type", "application/vnd.docker.distribution.manifest.v1+prettyjws")
            .body(r#"{"schemaVersion":1,"fsLayers":[]}"#)
    })
    .await;
    let repository = repository(&server.authority, "app");
    let descriptor = repository.resolve(&tag("x")).await.unwrap();
    let error: TransferError = repository.manifest(&descriptor).await.unwrap_err();
    assert_eq!(error.kind, ErrorKind::Unsupported);
    assert!(error.message.contains("schema 1"), "{}", error.message);
}

#[tokio::test]
async fn mirrors_are_asked_first_and_passed_over_when_they_fail() {
    let origin =
        FakeServer::start(
            |request| if request.path().contains("blobs") { Reply::new(200).body(BLOB) } else { manifest_reply() },
        )
        .await;
    let good = FakeServer::start(|_| manifest_reply()).await;
    let bad =
        FakeServer::start(|request| if request.method == "HEAD" { Reply::new(500) } else { Reply::new(404) }).await;
    let host = origin.authority.parse().unwrap();
    let mut config = config();
    config.mirrors.insert(
        origin.authority.parse().unwrap(),
        vec![Mirror::parse(&bad.url("/")).unwrap(), Mirror::parse(&good.url("/cache")).unwrap()],
    );
    let client = RegistryClient::new(config);
    let repository = client.repository(&host, &"library/app".parse().unwrap());
    repository.resolve(&tag("x")).await.unwrap();
    let ns = origin.authority.replace(':', "%3A");
    assert_eq!(good.lines(), [format!("HEAD /v2/cache/library/app/manifests/x?ns={ns}")]);
    assert_eq!(bad.lines()[0], format!("HEAD /v2/library/app/manifests/x?ns={ns}"));
    assert!(origin.lines().iter().all(|line| !line.contains("manifests")));

    // A mirror with other bytes under the digest is passed over too.
    let wrong = FakeServer::start(|_| {
        Reply::new(200).header("Content-Type", "application/vnd.oci.image.manifest.v1+json").body("{}")
    })
    .await;
    let mut config = support::config();
    config.mirrors.insert(host.clone(), vec![Mirror::parse(&wrong.url("/")).unwrap()]);
    let repository = repository_with(config, &origin.authority, "library/app");
    let digest = Digest::of(MANIFEST.as_bytes());
    repository.manifest(&Descriptor::new(MediaType::OCI_MANIFEST, digest, 0)).await.unwrap();
    assert_eq!(wrong.requests().len(), 1);
}

#[tokio::test]
async fn lists_are_read_page_by_page() {
    let server = FakeServer::start(|request| match request.target.as_str() {
        "/v2/app/tags/list?n=1000" => Reply::new(200)
            .header("Link", "</v2/app/tags/list?n=1000&last=b>; rel=\"next\"")
            .body(r#"{"name":"app","tags":["a","b","not a tag"]}"#),
        "/v2/app/tags/list?n=1000&last=b" => Reply::new(200).body(r#"{"name":"app","tags":null}"#),
        "/v2/_catalog?n=1000" => Reply::new(200).body(r#"{"repositories":["app","b/c"]}"#),
        "/v1/search?q=app&n=5" => Reply::new(404),
        "/v2/search/repositories/?query=app&page_size=5" => {
            Reply::new(200).body(r#"{"results":[{"repo_name":"x/app","short_description":"d","star_count":1}]}"#)
        }
        _ => Reply::new(404),
    })
    .await;
    let host = server.authority.parse().unwrap();
    let client = RegistryClient::new(config());
    let repository = client.repository(&host, &"app".parse().unwrap());
    let tags: Vec<String> = repository.tags().await.unwrap().iter().map(ToString::to_string).collect();
    assert_eq!(tags, ["a", "b"]);
    let names: Vec<String> = client.catalog(&host).await.unwrap().iter().map(ToString::to_string).collect();
    assert_eq!(names, ["app", "b/c"]);
    let found = client.search(&host, "app", 5).await.unwrap();
    assert_eq!((found.len(), found[0].name.as_str()), (1, "x/app"));
    assert_eq!(repository.referrers(&Digest::of(b"x"), None).await.unwrap(), []);
    client.ping(&host).await.unwrap_err();
}
