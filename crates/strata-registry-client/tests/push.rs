//! Pushing: to a scripted registry with faults, and to a real one (Debian's `docker-registry`), with a pull back.

mod support;

use std::collections::HashMap;
use std::path::Path;
use std::process::{Child, Command, Stdio};
use std::sync::Mutex;
use std::sync::atomic::{AtomicU32, Ordering};
use std::time::Duration;

use async_trait::async_trait;
use bytes::Bytes;
use futures_util::{StreamExt, TryStreamExt, stream};
use strata_model::{Descriptor, Digest, ErrorKind, Manifest, MediaType, Raw, Target};
use strata_registry_client::{ClientConfig, CredentialFiles, Credentials, RegistryClient, RepositoryClient, StoredIn};
use strata_transfer::{
    BlobOutcome, BlobRole, BlobSpec, BlobStream, ImageSink, ImageSource, Origin, Phase, ProgressEvent, Result, Silent,
    TransferError,
};
use support::{FakeServer, Reply, config, repository, repository_with};

/// An image in memory.
struct Memory {
    blobs: HashMap<Digest, Bytes>,
    manifest: Raw<Manifest>,
}

impl Memory {
    /// A configuration and two layers; the larger has `size` bytes.
    fn image(size: usize) -> Memory {
        let large: Vec<u8> = (0..size).map(|position| (position * 31 % 251) as u8).collect();
        let blobs: Vec<Bytes> = vec![Bytes::from_static(b"{}"), large.into(), Bytes::from_static(b"small")];
        let descriptor = |bytes: &Bytes, media_type: &str| {
            format!(r#"{{"mediaType":"{media_type}","digest":"{}","size":{}}}"#, Digest::of(bytes), bytes.len())
        };
        let layer = "application/vnd.oci.image.layer.v1.tar";
        let text = format!(
            r#"{{"schemaVersion":2,"mediaType":"{}","config":{},"layers":[{},{}]}}"#,
            MediaType::OCI_MANIFEST,
            descriptor(&blobs[0], "application/vnd.oci.image.config.v1+json"),
            descriptor(&blobs[1], layer),
            descriptor(&blobs[2], layer),
        );
        let manifest = Raw::parse(text, |bytes| Manifest::parse(bytes, None)).unwrap();
        Memory { blobs: blobs.into_iter().map(|bytes| (Digest::of(&bytes), bytes)).collect(), manifest }
    }

    fn specs(&self) -> Vec<BlobSpec> {
        let descriptors = self.manifest.value().edges().map(|edge| edge.descriptor.clone());
        descriptors.map(|descriptor| BlobSpec { descriptor, role: BlobRole::Plain }).collect()
    }

    fn top(&self) -> Descriptor {
        Descriptor::new(MediaType::OCI_MANIFEST, self.manifest.digest(), self.manifest.size())
    }
}

#[async_trait]
impl ImageSource for Memory {
    fn origin(&self) -> Origin {
        Origin::Store
    }

    async fn resolve(&self, _target: &Target) -> Result<Descriptor> {
        Ok(self.top())
    }

    async fn manifest(&self, _descriptor: &Descriptor) -> Result<Raw<Manifest>> {
        Ok(self.manifest.clone())
    }

    async fn blob(&self, descriptor: &Descriptor, _from: u64) -> Result<BlobStream> {
        let Some(bytes) = self.blobs.get(&descriptor.digest).cloned() else {
            return Err(TransferError::new(ErrorKind::NotFound, "no such blob"));
        };
        let pieces: Vec<Result<Bytes>> =
            bytes.chunks(64 << 10).map(|piece| Ok(Bytes::copy_from_slice(piece))).collect();
        Ok(BlobStream { from: 0, stream: stream::iter(pieces).boxed() })
    }
}

async fn push(source: &dyn ImageSource, image: &Memory, sink: &RepositoryClient) -> Result<Vec<BlobOutcome>> {
    let mut outcomes = Vec::new();
    for blob in sink.missing(&image.specs()).await? {
        outcomes.push(sink.put_blob(source, &blob, &Silent).await?);
    }
    sink.put_manifest(&image.manifest, &image.top()).await?;
    sink.finish(&image.top(), &image.top()).await?;
    Ok(outcomes)
}

async fn pull_and_compare(image: &Memory, source: &RepositoryClient, target: &Target) {
    let descriptor = source.resolve(target).await.unwrap();
    assert_eq!(descriptor, image.top());
    assert_eq!(source.manifest(&descriptor).await.unwrap().bytes(), image.manifest.bytes());
    for blob in image.specs() {
        for from in [0, blob.descriptor.size / 2] {
            let opened = source.blob(&blob.descriptor, from).await.unwrap();
            assert_eq!(opened.from, from);
            let pieces: Vec<Bytes> = opened.stream.try_collect().await.unwrap();
            assert_eq!(pieces.concat(), image.blobs[&blob.descriptor.digest][from as usize..]);
        }
    }
}

fn tag(text: &str) -> Target {
    Target::Tag(text.parse().unwrap())
}

/// Debian's registry on a free port, with its data in a directory that goes away.
struct DebianRegistry {
    process: Child,
    authority: String,
    _data: tempfile::TempDir,
}

impl DebianRegistry {
    /// `None`, with the reason printed, when the program is not installed. `tls` is what the `http` section gets.
    #[allow(clippy::print_stderr)]
    async fn start(http: &str, auth: &str) -> Option<DebianRegistry> {
        let data = tempfile::tempdir().unwrap();
        let port = std::net::TcpListener::bind("127.0.0.1:0").unwrap().local_addr().unwrap().port();
        let authority = format!("127.0.0.1:{port}");
        let root = data.path().join("data");
        let text = format!(
            "version: 0.1\nlog:\n  level: error\nstorage:\n  filesystem:\n    rootdirectory: {}\n  delete:\n    enabled: true\nhttp:\n  addr: {authority}\n  secret: x\n{http}{auth}",
            root.display()
        );
        let path = data.path().join("config.yml");
        std::fs::write(&path, text).unwrap();
        let mut command = Command::new("docker-registry");
        command.arg("serve").arg(&path).stdout(Stdio::null()).stderr(Stdio::null());
        let process = match command.spawn() {
            Ok(process) => process,
            Err(error) => {
                eprintln!("skipped: docker-registry cannot be started: {error}");
                return None;
            }
        };
        let registry = DebianRegistry { process, authority, _data: data };
        for _ in 0..100 {
            if tokio::net::TcpStream::connect(&registry.authority).await.is_ok() {
                return Some(registry);
            }
            tokio::time::sleep(Duration::from_millis(100)).await;
        }
        panic!("docker-registry did not open {}", registry.authority);
    }
}

impl Drop for DebianRegistry {
    fn drop(&mut self) {
        let _ = self.process.kill();
        let _ = self.process.wait();
    }
}

/// A real registry on a busy machine needs more patience than a scripted one.
fn patient() -> ClientConfig {
    let mut config = config();
    config.timeouts.idle = Duration::from_secs(20);
    config.timeouts.commit = Duration::from_secs(30);
    config
}

#[tokio::test]
async fn round_trip_with_a_real_registry() {
    let Some(registry) = DebianRegistry::start("", "").await else { return };
    let host = registry.authority.parse().unwrap();
    let client = RegistryClient::new(patient());
    client.ping(&host).await.unwrap();
    let image = Memory::image(3 << 20);
    let app = client.repository(&host, &"team/app".parse().unwrap());
    let sink = app.clone().with_target(tag("v1"));
    assert_eq!(push(&image, &image, &sink).await.unwrap(), [BlobOutcome::Copied; 3]);
    assert_eq!(push(&image, &image, &sink).await.unwrap(), [], "everything is there");
    let fresh = RegistryClient::new(patient());
    pull_and_compare(&image, &fresh.repository(&host, &"team/app".parse().unwrap()), &tag("v1")).await;

    // From another repository of the registry, by where the source lies and by a list.
    let copy = client.repository(&host, &"team/copy".parse().unwrap()).with_target(tag("v1"));
    assert_eq!(push(&app, &image, &copy).await.unwrap(), [BlobOutcome::Mounted; 3]);
    let candidates = vec!["team/empty".parse().unwrap(), "team/app".parse().unwrap()];
    let listed = client
        .repository(&host, &"team/listed".parse().unwrap())
        .with_mount_candidates(candidates)
        .with_target(tag("v1"));
    assert_eq!(push(&image, &image, &listed).await.unwrap(), [BlobOutcome::Mounted; 3]);

    for number in 0..5 {
        let target = tag(&format!("n{number}"));
        app.put_manifest_bytes(&target, image.manifest.bytes().clone(), &MediaType::OCI_MANIFEST).await.unwrap();
    }
    let mut tags: Vec<String> = app.tags().await.unwrap().iter().map(ToString::to_string).collect();
    tags.sort();
    assert_eq!(tags, ["n0", "n1", "n2", "n3", "n4", "v1"]);
    let names: Vec<String> = client.catalog(&host).await.unwrap().iter().map(ToString::to_string).collect();
    assert_eq!(names, ["team/app", "team/copy", "team/listed"]);

    assert_eq!(copy.referrers(&image.top().digest, None).await.unwrap(), []);
    copy.delete_manifest(&Target::Digest(image.top().digest)).await.unwrap();
    assert_eq!(copy.head(&tag("v1")).await.unwrap(), None);
    let error = client.repository(&host, &"team/none".parse().unwrap()).tags().await.unwrap_err();
    assert_eq!(error.kind, ErrorKind::NotFound);
    let error = fresh.search(&host, "app", 5).await.unwrap_err();
    assert_eq!(error.kind, ErrorKind::Unsupported);
}

#[tokio::test]
async fn what_skopeo_pushed_is_pulled_and_the_other_way_round() {
    let Some(registry) = DebianRegistry::start("", "").await else { return };
    let image = Memory::image(100_000);
    let app = repository_with(patient(), &registry.authority, "app").with_target(tag("ours"));
    push(&image, &image, &app).await.unwrap();
    let (from, to) =
        (format!("docker://{}/app:ours", registry.authority), format!("docker://{}/app:theirs", registry.authority));
    let arguments = ["copy", "--insecure-policy", "--src-tls-verify=false", "--dest-tls-verify=false", &from, &to];
    let Ok(output) = Command::new("skopeo").args(arguments).output() else { return };
    assert!(output.status.success(), "{}", String::from_utf8_lossy(&output.stderr));
    pull_and_compare(&image, &repository_with(patient(), &registry.authority, "app"), &tag("theirs")).await;
}

fn openssl(directory: &Path, arguments: &[&str]) -> bool {
    Command::new("openssl")
        .args(arguments)
        .current_dir(directory)
        .stderr(Stdio::null())
        .status()
        .is_ok_and(|status| status.success())
}

#[tokio::test]
async fn certificates_of_single_registries_are_used() {
    let directory = tempfile::tempdir().unwrap();
    let made = openssl(
        directory.path(),
        &[
            "req",
            "-x509",
            "-newkey",
            "ec",
            "-pkeyopt",
            "ec_paramgen_curve:prime256v1",
            "-nodes",
            "-keyout",
            "key.pem",
            "-out",
            "ca.crt",
            "-days",
            "2",
            "-subj",
            "/CN=registry.test",
            "-addext",
            "subjectAltName=IP:127.0.0.1,IP:0.0.0.0",
            "-addext",
            "basicConstraints=critical,CA:FALSE",
        ],
    );
    if !made {
        return;
    }
    let (certificate, key) = (directory.path().join("ca.crt"), directory.path().join("key.pem"));
    let http = format!("  tls:\n    certificate: {}\n    key: {}\n", certificate.display(), key.display());
    let Some(registry) = DebianRegistry::start(&http, "").await else { return };
    // This machine itself is trusted without proof, as docker does; HTTPS is found out.
    let mut config = patient();
    let image = Memory::image(1000);
    let sink = repository_with(config.clone(), &registry.authority, "app").with_target(tag("v1"));
    push(&image, &image, &sink).await.unwrap();
    pull_and_compare(&image, &repository_with(config.clone(), &registry.authority, "app"), &tag("v1")).await;
    // A malformed certificate is named.
    let host_directory = directory.path().join("certs.d").join(&registry.authority);
    std::fs::create_dir_all(&host_directory).unwrap();
    std::fs::write(host_directory.join("ca.crt"), "-----BEGIN CERTIFICATE-----\n!\n-----END CERTIFICATE-----\n")
        .unwrap();
    config.certificate_directories = vec![directory.path().join("certs.d")];
    let error = repository_with(config.clone(), &registry.authority, "app").resolve(&tag("v1")).await.unwrap_err();
    assert!(error.message.contains("certs.d"), "{}", error.message);
    std::fs::copy(&certificate, host_directory.join("ca.crt")).unwrap();
    repository_with(config, &registry.authority, "app").resolve(&tag("v1")).await.unwrap();

    // The same server under an address that is not trusted without proof: Linux connects 0.0.0.0 to this machine.
    let authority = registry.authority.replace("127.0.0.1", "0.0.0.0");
    let error = repository_with(patient(), &authority, "app").resolve(&tag("v1")).await.unwrap_err();
    let expected = format!(
        "Get \"https://{authority}/v2/\": tls: failed to verify certificate: x509: certificate signed by unknown authority"
    );
    assert_eq!(error.message, expected);
    assert!(error.hint.unwrap().contains(&format!("/etc/docker/certs.d/{authority}/ca.crt")));
    let mut trusting = patient();
    trusting.certificate_directories = vec![directory.path().join("certs.d")];
    let host_directory = directory.path().join("certs.d").join(&authority);
    std::fs::create_dir_all(&host_directory).unwrap();
    std::fs::copy(&certificate, host_directory.join("ca.crt")).unwrap();
    pull_and_compare(&image, &repository_with(trusting, &authority, "app"), &tag("v1")).await;
    let mut careless = patient();
    careless.insecure_registries = vec![strata_registry_client::InsecureRegistry::parse(&authority).unwrap()];
    repository_with(careless, &authority, "app").resolve(&tag("v1")).await.unwrap();
}

#[tokio::test]
async fn a_registry_without_tls_is_named_as_such() {
    let server = FakeServer::start(|_| Reply::new(200)).await;
    let authority = server.authority.replace("127.0.0.1", "0.0.0.0");
    let error = repository(&authority, "app").resolve(&tag("v1")).await.unwrap_err();
    let expected = format!("Get \"https://{authority}/v2/\": http: server gave HTTP response to HTTPS client");
    assert_eq!(error.message, expected);
    assert!(error.hint.unwrap().contains("insecure-registries"));
}

#[tokio::test]
async fn unknown_hosts_in_dockers_words() {
    let error = repository("registry.invalid", "app").resolve(&tag("v1")).await.unwrap_err();
    assert!(
        error.message.starts_with("Get \"https://registry.invalid/v2/\": dial tcp: lookup registry.invalid: "),
        "{}",
        error.message
    );
}

#[tokio::test]
async fn logging_in_to_a_registry_with_passwords() {
    let server = FakeServer::start(|request| {
        use base64::Engine;
        let expected = format!("Basic {}", base64::engine::general_purpose::STANDARD.encode("bob:secret"));
        if request.header("authorization") == Some(&expected) {
            Reply::new(200).body("{}")
        } else {
            Reply::error(401, "UNAUTHORIZED", "authentication required").header("WWW-Authenticate", "Basic realm=\"r\"")
        }
    })
    .await;
    let directory = tempfile::tempdir().unwrap();
    let path = directory.path().join("docker/config.json");
    let mut config = config();
    config.credentials = CredentialFiles { docker_config: Some(path.clone()), ..CredentialFiles::default() };
    let client = RegistryClient::new(config);
    let password = |password: &str| Credentials::Password { username: "bob".into(), password: password.into() };
    let error = client.login(&server.authority, password("wrong")).await.unwrap_err();
    assert_eq!(error.kind, ErrorKind::Unauthenticated);
    assert!(error.message.ends_with("unauthorized: authentication required"), "{}", error.message);
    assert!(!path.exists());
    let login = client.login(&server.url("/v1/"), password("secret")).await.unwrap();
    assert_eq!((login.key.as_str(), login.stored), (server.authority.as_str(), StoredIn::File(path)));
    assert!(client.logout(&server.authority).await.unwrap().was_logged_in);
    assert!(!client.logout(&server.authority).await.unwrap().was_logged_in);
}

#[tokio::test]
async fn a_login_keeps_the_identity_token_it_is_given() {
    let server = FakeServer::start(|request| match request.path() {
        "/token" => Reply::new(200).body(r#"{"token":"t","refresh_token":"identity"}"#),
        _ if request.header("authorization") == Some("Bearer t") => Reply::new(200),
        _ => Reply::new(401).header("WWW-Authenticate", "Bearer realm=\"/token\",service=\"s\""),
    })
    .await;
    let client = RegistryClient::new(config());
    let host = server.authority.parse().unwrap();
    let given = Credentials::Password { username: "bob".into(), password: "pw".into() };
    let kept = client.verify(&host, given).await.unwrap();
    assert_eq!(kept, Credentials::IdentityToken { username: "bob".into(), token: "identity".into() });
    assert!(server.lines().iter().any(|line| line.contains("offline_token=true")));
}

#[tokio::test]
async fn uploads_are_streamed_and_keep_the_locations_parameters() {
    let server = FakeServer::start(|request| match (request.method.as_str(), request.path()) {
        ("POST", "/v2/app/blobs/uploads/") => Reply::new(202).header("Location", "/up/1?state=a%2Bb"),
        ("PATCH", "/up/1") => Reply::new(202).header("Location", "/up/2?state=c"),
        ("PUT", "/up/2") => Reply::new(201),
        _ => Reply::new(404),
    })
    .await;
    let image = Memory::image(300_000);
    let blob = &image.specs()[1];
    let events: Mutex<Vec<ProgressEvent>> = Mutex::default();
    let progress = |event: ProgressEvent| events.lock().unwrap().push(event);
    let outcome = repository(&server.authority, "app").put_blob(&image, blob, &progress).await.unwrap();
    assert_eq!(outcome, BlobOutcome::Copied);
    let encoded = blob.descriptor.digest.to_string().replace(':', "%3A");
    let lines: Vec<String> = server.lines().into_iter().filter(|line| !line.starts_with("GET /v2/ ")).collect();
    let put = format!("PUT /up/2?state=c&digest={encoded}");
    assert_eq!(lines, ["POST /v2/app/blobs/uploads/", "PATCH /up/1?state=a%2Bb", put.as_str()]);
    let patch = server.requests().into_iter().find(|request| request.method == "PATCH").unwrap();
    assert_eq!(patch.body, image.blobs[&blob.descriptor.digest]);
    let events = events.into_inner().unwrap();
    let (last, uploading) = events.split_last().unwrap();
    assert_eq!(last.phase, Phase::Complete);
    assert!(uploading.iter().all(|event| event.phase == Phase::Uploading), "{uploading:?}");
    assert_eq!(events.last().unwrap().current, 300_000);
}

#[tokio::test]
async fn damaged_content_is_never_committed() {
    let server = FakeServer::start(|request| match request.method.as_str() {
        "POST" | "PATCH" => Reply::new(202).header("Location", "/up"),
        _ => Reply::new(204),
    })
    .await;
    let mut image = Memory::image(1000);
    let specs = image.specs();
    for (blob, damaged) in [(&specs[1], vec![1; 1000]), (&specs[2], b"smal".to_vec()), (&specs[0], b"{}}".to_vec())] {
        image.blobs.insert(blob.descriptor.digest, damaged.into());
        let error = repository(&server.authority, "app").put_blob(&image, blob, &Silent).await.unwrap_err();
        assert_eq!(error.kind, ErrorKind::Corrupt, "{}", error.message);
    }
    assert!(server.lines().iter().all(|line| !line.starts_with("PUT")));
    assert!(server.lines().iter().any(|line| line == "DELETE /up"), "the upload is given up");
}

#[tokio::test]
async fn broken_uploads_may_be_retried_and_refused_ones_not() {
    let patches = AtomicU32::new(0);
    let server = FakeServer::start(move |request| match request.method.as_str() {
        "POST" => Reply::new(202).header("Location", "/up"),
        "PATCH" if patches.fetch_add(1, Ordering::SeqCst) == 0 => Reply::new(500),
        "PATCH" => Reply::new(202).header("Location", "/up"),
        "PUT" => Reply::new(201),
        _ => Reply::new(404),
    })
    .await;
    let image = Memory::image(1000);
    let blob = &image.specs()[1];
    let sink = repository(&server.authority, "app");
    assert!(sink.put_blob(&image, blob, &Silent).await.unwrap_err().retryable);
    sink.put_blob(&image, blob, &Silent).await.unwrap();

    let server = FakeServer::start(|request| match request.method.as_str() {
        "GET" => Reply::new(200),
        _ => Reply::error(403, "DENIED", "requested access to the resource is denied"),
    })
    .await;
    let error = repository(&server.authority, "app").put_blob(&image, blob, &Silent).await.unwrap_err();
    assert_eq!(error.kind, ErrorKind::Denied);
    assert!(error.message.ends_with("denied: requested access to the resource is denied"), "{}", error.message);
    assert!(!error.retryable && error.hint.unwrap().contains("strata login"));
}

#[tokio::test]
async fn a_registry_that_hangs_during_an_upload_ends_in_an_error() {
    for (location, size) in [("/up", 1000), ("/stuck", 32 << 20)] {
        let server = FakeServer::start(move |request| match request.method.as_str() {
            "POST" => Reply::new(202).header("Location", location),
            "PATCH" => Reply::hang(),
            _ => Reply::new(404),
        })
        .await;
        let image = Memory::image(size);
        let started = std::time::Instant::now();
        let sink = repository(&server.authority, "app");
        let error = sink.put_blob(&image, &image.specs()[1], &Silent).await.unwrap_err();
        assert!(error.retryable, "{}", error.message);
        assert_eq!(error.kind, ErrorKind::Unavailable);
        assert!(started.elapsed() < Duration::from_secs(10));
    }
}
