//! The mirror over HTTP: another registry behind a server of ours, and clients that know nothing of it.
//!
//! The server is a process of its own, this program run again, so that it can be killed.

mod support;
#[path = "tools/mod.rs"]
mod tools;

use std::collections::BTreeMap;
use std::path::Path;
use std::process::Command;
use std::sync::Arc;
use std::time::{Duration, Instant};

use strata_blobs_fs::{FsBlobs, FsPacks};
use strata_catalog_sql::SqliteCatalog;
use strata_mirror::{Mirror, MirrorSettings, Span, UpstreamSettings};
use strata_model::Digest;
use strata_registry::{Registry, RegistryRules, RegistryService, router, serve};
use strata_store::{Durability, Store, StoreOptions};
use strata_testkit::{FakeRegistry, Fault, FaultRule, Image, ImageBuilder, Layer};

use support::{Sandbox, run, sample_image};
use tools::{Podman, Server, docker_registry, free_address, have, output, program, skopeo, skopeo_copy, skopeo_digest};

const ADDRESS: &str = "STRATA_TEST_MIRROR_ADDRESS";
const ROOT: &str = "STRATA_TEST_MIRROR_ROOT";
const UPSTREAM: &str = "STRATA_TEST_MIRROR_UPSTREAM";
const FRESH_FOR: &str = "STRATA_TEST_MIRROR_FRESH_FOR";

/// Not a test: what [`mirror`] starts.
#[test]
#[ignore = "the server of the other tests"]
fn server() {
    let (Ok(address), Ok(root)) = (std::env::var(ADDRESS), std::env::var(ROOT)) else { return };
    let _ = rustls::crypto::ring::default_provider().install_default();
    let upstream = UpstreamSettings {
        url: Some(std::env::var(UPSTREAM).unwrap()),
        default: true,
        prefix: Some("hub".into()),
        fresh_for: Some(Span::try_from(std::env::var(FRESH_FOR).unwrap()).unwrap()),
        ..UpstreamSettings::default()
    };
    let settings = MirrorSettings { upstream: BTreeMap::from([("docker.io".into(), upstream)]), max_size: None };
    let runtime = tokio::runtime::Builder::new_multi_thread().enable_all().build().unwrap();
    runtime.block_on(async {
        let root = Path::new(&root);
        let catalog = SqliteCatalog::open_with(root.join("catalog.sqlite"), Durability::Unsynced).unwrap();
        let options = StoreOptions { durability: Durability::Unsynced, ..StoreOptions::default() };
        let store =
            Store::new(Arc::new(FsBlobs::open(root)), Arc::new(FsPacks::open(root)), Arc::new(catalog), options);
        let registry = Registry::new(store, RegistryRules::default());
        let upstream = Arc::new(Mirror::new(registry.clone(), &settings).unwrap());
        let service = RegistryService { upstream: Some(upstream), ..RegistryService::default() };
        let listener = tokio::net::TcpListener::bind(address).await.unwrap();
        serve(listener, router(registry, service), std::future::pending()).await.unwrap();
    });
}

/// Starts a mirror of `upstream` (`host:port`) as `docker.io`, over the store of a sandbox.
fn mirror(sandbox: &Sandbox, upstream: &str, fresh_for: &str) -> Server {
    std::fs::create_dir_all(sandbox.root()).unwrap();
    let address = free_address();
    let mut command = Command::new(std::env::current_exe().unwrap());
    command.args(["--ignored", "--exact", "server", "--nocapture"]);
    command.env(ADDRESS, &address).env(ROOT, sandbox.root()).env(FRESH_FOR, fresh_for);
    command.env(UPSTREAM, format!("http://{upstream}"));
    Server::start(command, address, &sandbox.path("mirror.log")).expect("a mirror")
}

/// What `curl` prints for a path of a server; `options` come before the address.
fn curl(server: &Server, options: &[&str], path: &str) -> String {
    let url = format!("http://{}{path}", server.address);
    output("curl", &[&["-sS", "--max-time", "60"], options, &[&url]].concat())
}

fn large_image(seed: u64) -> (Image, Digest, Vec<u8>) {
    let image = ImageBuilder::new().layer(Layer::of_noise(seed, 24 << 20)).build();
    let (digest, bytes) = (image.layers[0].digest(), image.layers[0].blob.clone());
    (image, digest, bytes)
}

#[test]
fn our_own_client_pulls_through_a_mirror() {
    let upstream = FakeRegistry::start();
    let image = sample_image(51);
    upstream.add_image("library/sample", "1", &image);
    let hub = Sandbox::new();
    let server = mirror(&hub, &upstream.host(), "1h");
    for number in 0..2 {
        let client = Sandbox::new();
        let configuration = client.path(".config/strata");
        std::fs::create_dir_all(&configuration).unwrap();
        let text = format!("[registry.\"docker.io\"]\nmirrors = [\"http://{}\"]\n", server.address);
        std::fs::write(configuration.join("config.toml"), text).unwrap();
        let pulled = client.run(&["pull", "sample:1"]).success();
        assert!(pulled.contains(&format!("Digest: {}\n", image.digest())), "{number}: {pulled}");
        assert_eq!(client.run(&["image", "cat", "sample:1", "/top"]).success(), "top of 51\n");
    }
    assert_eq!(upstream.count("GET", "/manifests/"), 1);
    assert_eq!(upstream.count("GET", "/blobs/"), image.blobs().len());
}

#[test]
fn names_ranges_and_headers() {
    if !have(&["curl"]) {
        return;
    }
    let upstream = FakeRegistry::start();
    let (image, digest, bytes) = large_image(52);
    upstream.add_image("library/app", "1", &image);
    let hub = Sandbox::new();
    let server = mirror(&hub, &upstream.host(), "0s");
    for path in
        ["/v2/app/", "/v2/library/app/", "/v2/hub/app/", "/v2/hub/library/app/", "/v2/mirror/docker.io/library/app/"]
    {
        let got = curl(&server, &["-i"], &format!("{path}manifests/1"));
        assert!(got.contains(std::str::from_utf8(&image.manifest).unwrap()), "{path}: {got}");
        assert!(!got.to_lowercase().contains("oci-namespace") && !got.to_lowercase().contains("warning"), "{got}");
    }
    let got = curl(&server, &["-i"], "/v2/library/app/manifests/1?ns=docker.io").to_lowercase();
    assert!(got.contains("oci-namespace: docker.io"), "{got}");
    let got = curl(&server, &["-i"], "/v2/library/app/manifests/1?ns=ghcr.io");
    assert!(got.contains(" 404 "), "{got}");
    let got = curl(&server, &["-i", "-X", "POST"], "/v2/hub/library/app/blobs/uploads/");
    assert!(got.contains(" 405 "), "a mirror takes no pushes: {got}");

    let blob = format!("/v2/hub/app/blobs/{digest}");
    upstream.forget_requests();
    let file = hub.path("part");
    curl(&server, &["-r", "1000-1999", "-o", file.to_str().unwrap()], &blob);
    assert!(std::fs::read(&file).unwrap() == bytes[1000..2000]);
    let whole = hub.path("whole");
    curl(&server, &["-o", whole.to_str().unwrap()], &blob);
    assert!(std::fs::read(&whole).unwrap() == bytes);
    // The first client left early, which may have ended its fetch; the second one goes on with what was left.
    let ranges: Vec<_> = upstream.requests().into_iter().filter(|request| request.method == "GET").collect();
    assert!(ranges.len() == 1 || ranges.len() == 2 && ranges[1].range.is_some(), "{ranges:?}");

    upstream.fault(FaultRule::too_many_requests("/manifests/", 3600));
    let got = curl(&server, &["-i"], "/v2/app/manifests/1");
    assert!(got.contains(" 200 ") && got.to_lowercase().contains("warning: 299"), "{got}");
    assert!(curl(&server, &["-i"], "/v2/app/manifests/2").contains(" 429 "));

    // A repository that is pushed here has its own content, beside the mirror's.
    if have(&["skopeo"]) {
        let own = sample_image(53);
        let place = Sandbox::new();
        let archive = place.path("own.tar");
        let tar = strata_testkit::archive::oci(&own, &[]).tar(strata_testkit::tar::TarFormat::Ustar);
        std::fs::write(&archive, tar).unwrap();
        let here = format!("docker://{}/team/own:1", server.address);
        skopeo_copy(&format!("oci-archive:{}", archive.display()), &here);
        assert_eq!(skopeo_digest(&here), own.digest());
        assert_eq!(upstream.count("GET", "team/own") + upstream.count("PUT", ""), 0);
    }
}

#[test]
fn sixteen_clients_at_once_are_one_fetch() {
    if !have(&["curl"]) {
        return;
    }
    let upstream = FakeRegistry::start();
    let (image, digest, bytes) = large_image(54);
    upstream.add_image("acme/app", "1", &image);
    upstream.fault(FaultRule::new(digest.to_string(), Fault::DropAfter(9 << 20)).method("GET").times(1));
    let hub = Sandbox::new();
    let server = mirror(&hub, &upstream.host(), "1h");
    let url = format!("http://{}/v2/acme/app/blobs/{digest}?ns=docker.io", server.address);
    let files: Vec<_> = (0..16).map(|number| hub.path(&format!("blob-{number}"))).collect();
    let clients: Vec<_> = files
        .iter()
        .map(|file| program("curl", ["-sSf", "--max-time", "60", "-o", file.to_str().unwrap(), &url]).spawn().unwrap())
        .collect();
    for mut client in clients {
        assert!(client.wait().unwrap().success());
    }
    for file in &files {
        assert!(std::fs::read(file).unwrap() == bytes);
    }
    let requests: Vec<_> = upstream.requests().into_iter().map(|request| (request.method, request.range)).collect();
    assert_eq!(requests.len(), 2, "one fetch, whose stream broke once: {requests:?}");
    assert!(requests[1].1.is_some());
}

#[test]
fn a_killed_mirror_goes_on_where_it_stopped() {
    if !have(&["curl"]) {
        return;
    }
    let upstream = FakeRegistry::start();
    let (image, digest, bytes) = large_image(55);
    upstream.add_image("acme/app", "1", &image);
    upstream.fault(FaultRule::new(digest.to_string(), Fault::HangAfter(8 << 20)).method("GET").times(1));
    let hub = Sandbox::new();
    let server = mirror(&hub, &upstream.host(), "1h");
    let path = format!("/v2/acme/app/blobs/{digest}");
    let file = hub.path("blob");
    let url = format!("http://{}{path}", server.address);
    let mut client = program("curl", ["-sS", "-o", file.to_str().unwrap(), &url]).spawn().unwrap();
    let began = Instant::now();
    while std::fs::metadata(&file).map_or(0, |file| file.len()) < 4 << 20 {
        assert!(began.elapsed() < Duration::from_secs(30), "no bytes came");
        std::thread::sleep(Duration::from_millis(20));
    }
    server.kill();
    assert!(!client.wait().unwrap().success());
    upstream.forget_requests();
    let server = mirror(&hub, &upstream.host(), "1h");
    curl(&server, &["-f", "-o", file.to_str().unwrap()], &path);
    assert!(std::fs::read(&file).unwrap() == bytes);
    let ranges: Vec<_> = upstream.requests().into_iter().filter(|request| request.method == "GET").collect();
    let from =
        ranges[0].range.as_deref().and_then(|range| range.strip_prefix("bytes=")?.strip_suffix('-')?.parse().ok());
    assert!(ranges.len() == 1 && from.is_some_and(|from: u64| from >= 4 << 20), "{ranges:?}");
}

#[test]
fn a_wrong_blob_breaks_the_connection() {
    if !have(&["curl"]) {
        return;
    }
    let upstream = FakeRegistry::start();
    let (image, digest, bytes) = large_image(56);
    upstream.add_image("acme/app", "1", &image);
    upstream.fault(FaultRule::new(digest.to_string(), Fault::WrongBytes).times(1));
    let hub = Sandbox::new();
    let server = mirror(&hub, &upstream.host(), "1h");
    let file = hub.path("blob");
    let url = format!("http://{}/v2/acme/app/blobs/{digest}", server.address);
    let first = run(program("curl", ["-sS", "-f", "-o", file.to_str().unwrap(), &url]));
    assert!(!first.status.success(), "{first:?}");
    run(program("curl", ["-sS", "-f", "-o", file.to_str().unwrap(), &url])).success();
    assert!(std::fs::read(&file).unwrap() == bytes);
}

#[test]
fn other_clients_of_debians_registry() {
    if !have(&["docker-registry", "skopeo", "podman"]) {
        return;
    }
    let hub = Sandbox::new();
    let upstream = docker_registry(&hub);
    let image = sample_image(57);
    let archive = hub.path("image.tar");
    let tar = strata_testkit::archive::oci(&image, &[]).tar(strata_testkit::tar::TarFormat::Ustar);
    std::fs::write(&archive, tar).unwrap();
    let place = format!("docker://{}/library/sample:1", upstream.address);
    skopeo_copy(&format!("oci-archive:{}", archive.display()), &place);

    let server = mirror(&hub, &upstream.address, "0s");
    let mirrored = format!("docker://{}/hub/sample:1", server.address);
    assert_eq!(skopeo_digest(&mirrored), image.digest());
    let folder = hub.path("copied");
    skopeo_copy(&mirrored, &format!("dir:{}", folder.display()));
    for layer in &image.layers {
        assert_eq!(std::fs::read(folder.join(layer.digest().hex())).unwrap(), layer.blob);
    }
    let listed = skopeo(&["list-tags", "--tls-verify=false", &mirrored[..mirrored.len() - 2]]);
    assert!(listed.contains("\"1\""), "{listed}");

    let configuration = hub.path("registries.conf");
    let text = format!(
        "[[registry]]\nprefix = \"docker.io\"\nlocation = \"127.0.0.1:1\"\ninsecure = true\n\
         [[registry.mirror]]\nlocation = \"{}\"\ninsecure = true\n",
        server.address
    );
    std::fs::write(&configuration, text).unwrap();
    // Nothing of the upstream is needed any more.
    drop(upstream);
    let podman = Podman::new(hub.path("podman"));
    let mut command = podman.command(&["pull", "-q", "docker.io/library/sample:1"]);
    command.env("CONTAINERS_REGISTRIES_CONF", &configuration);
    let pulled = run(command).success();
    assert_eq!(pulled.trim(), image.id().to_string().trim_start_matches("sha256:"));
}
