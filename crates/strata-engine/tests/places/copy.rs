//! Copies on every kind of route.

use std::path::Path;

use serde_json::json;
use strata_engine::{ListRequest, list};
use strata_model::{Digest, ErrorKind, MediaType, Tag, Target};
use strata_testkit::layer::{Layer, Packing, noise};
use strata_testkit::tar::TarFormat;
use strata_testkit::{FakeRegistry, Image, ImageBuilder, Index, TarEntry, archive};
use strata_transfer::ImageSource as _;

use crate::support::{copy, options, run, skopeo_digest, test_store, try_copy, write_members};

fn two_layers() -> Image {
    ImageBuilder::new()
        .layer(Layer::new(&[TarEntry::directory("etc/"), TarEntry::file("etc/name", "base")]))
        .layer(Layer::of_noise(1, 300_000))
        .build()
}

fn text(path: &Path) -> &str {
    path.to_str().unwrap()
}

#[tokio::test(flavor = "multi_thread")]
async fn every_route_keeps_the_digest() {
    let (registry, image) = (FakeRegistry::start(), two_layers());
    registry.add_image("a/b", "1", &image);
    let directory = tempfile::tempdir().unwrap();
    let path = |name: &str| format!("{}/{name}", text(directory.path()));
    let route = [
        format!("docker://{}/a/b:1", registry.host()),
        format!("oci:{}:one", path("layout")),
        "store:first".to_owned(),
        format!("oci-archive:{}:v1", path("oci.tar")),
        format!("docker-archive:{}:app:1", path("docker.tar")),
        format!("oci-archive:{}", path("again.tar")),
        "store:second:2".to_owned(),
        "store:third".to_owned(),
        format!("docker://{}/c/d:2", registry.host()),
        format!("docker://{}/e:3", registry.host()),
        format!("docker-archive:{}", path("last.tar")),
        format!("oci:{}", path("last")),
    ];
    let own = test_store();
    for step in route.windows(2) {
        let digest = copy(&own.store, &step[0], &step[1], &options()).await.digest;
        assert_eq!(digest, image.digest(), "{} -> {}", step[0], step[1]);
    }
    // Without the store at an end, nothing remains in it.
    let other = test_store();
    for (from, to) in [(3, 4), (4, 5), (0, 4), (10, 11), (1, 3), (5, 8)] {
        let digest = copy(&other.store, &route[from], &route[to], &options()).await.digest;
        assert_eq!(digest, image.digest(), "{} -> {}", route[from], route[to]);
        assert_eq!(other.files(), Vec::<std::path::PathBuf>::new(), "{} -> {}", route[from], route[to]);
    }
    for place in [&route[0], &route[1], &route[3], &route[5], &route[8], &route[9], &route[11]] {
        assert_eq!(skopeo_digest(place), image.digest().to_string(), "{place}");
    }
    let names: Vec<String> = list(&own.store, &ListRequest::default())
        .await
        .unwrap()
        .iter()
        .flat_map(|summary| summary.names.iter().map(|name| format!("{}:{}", name.repository, name.tag)))
        .collect();
    let mut names = names;
    names.sort();
    assert_eq!(
        names,
        ["docker.io/library/first:latest", "docker.io/library/second:2", "docker.io/library/third:latest"]
    );
    // What was written is found again: nothing moves the second time.
    let report = copy(&own.store, &route[0], &route[1], &options()).await;
    assert_eq!((report.transferred, report.copied, report.existed), (0, 0, 3));
    let report = copy(&own.store, &route[8], &route[9], &options()).await;
    assert_eq!(report.copied, 0);
}

/// An index of two images and an attestation of the first, put into a registry.
fn attested_index(registry: &FakeRegistry, repository: &str, tag: &str) -> Digest {
    let arm = ImageBuilder::new().platform("linux/arm64").layer(Layer::of_file("arm", "arm")).build();
    let index = Index::new(vec![two_layers(), arm]);
    registry.add_index(repository, "unused", &index);
    let statement =
        json!({ "_type": "https://in-toto.io/Statement/v0.1", "predicateType": "https://slsa.dev/provenance/v0.2",
        "subject": [], "predicate": {} })
        .to_string()
        .into_bytes();
    let config = json!({ "architecture": "unknown", "os": "unknown", "config": {},
        "rootfs": { "type": "layers", "diff_ids": [Digest::of(&statement)] } })
    .to_string()
    .into_bytes();
    let descriptor = |media_type: &str, bytes: &[u8]| json!({ "mediaType": media_type, "digest": Digest::of(bytes), "size": bytes.len() });
    let attestation = json!({ "schemaVersion": 2, "mediaType": MediaType::OCI_MANIFEST,
        "config": descriptor("application/vnd.oci.image.config.v1+json", &config),
        "layers": [descriptor("application/vnd.in-toto+json", &statement)] })
    .to_string()
    .into_bytes();
    registry.add_blob(repository, Digest::of(&statement), statement);
    registry.add_blob(repository, Digest::of(&config), config);
    registry.add_manifest(repository, &Digest::of(&attestation).to_string(), &MediaType::OCI_MANIFEST, &attestation);
    let mut document: serde_json::Value = serde_json::from_slice(&index.manifest).unwrap();
    let mut entry = descriptor(MediaType::OCI_MANIFEST.as_str(), &attestation);
    entry["platform"] = json!({ "architecture": "unknown", "os": "unknown" });
    entry["annotations"] = json!({ "vnd.docker.reference.type": "attestation-manifest" });
    document["manifests"].as_array_mut().unwrap().push(entry);
    let document = document.to_string().into_bytes();
    registry.add_manifest(repository, tag, &MediaType::OCI_INDEX, &document);
    Digest::of(&document)
}

#[tokio::test(flavor = "multi_thread")]
async fn all_platforms_keep_the_digest_of_the_index() {
    let registry = FakeRegistry::start();
    let index = attested_index(&registry, "multi", "1");
    let directory = tempfile::tempdir().unwrap();
    let path = |name: &str| format!("{}/{name}", text(directory.path()));
    let route = [
        format!("docker://{}/multi:1", registry.host()),
        format!("oci:{}:m", path("layout")),
        "store:multi:1".to_owned(),
        format!("oci-archive:{}:m", path("multi.tar")),
        "store:multi:2".to_owned(),
        format!("docker-archive:{}:multi:3", path("docker.tar")),
        format!("docker://{}/copied:1", registry.host()),
    ];
    let own = test_store();
    let all = strata_engine::CopyOptions { all: true, ..options() };
    for step in route.windows(2) {
        assert_eq!(copy(&own.store, &step[0], &step[1], &all).await.digest, index, "{} -> {}", step[0], step[1]);
    }
    // Two images, no attestation, are in the store.
    assert_eq!(list(&own.store, &ListRequest { all: true, ..ListRequest::default() }).await.unwrap().len(), 2);
    // One platform of it.
    let one = copy(&own.store, &route[0], &format!("oci:{}", path("one")), &options()).await;
    assert_eq!((one.digest, one.resolved), (two_layers().digest(), index));
    let archived = copy(&own.store, &route[3], &format!("oci:{}", path("other")), &options()).await;
    assert_eq!(archived.digest, two_layers().digest());
    let absent = strata_engine::CopyOptions { platform: Some("linux/s390x".parse().unwrap()), ..options() };
    let error = try_copy(&own.store, &route[0], &format!("oci:{}", path("none")), &absent).await.unwrap_err();
    assert_eq!(error.kind(), ErrorKind::NotFound);
}

#[tokio::test(flavor = "multi_thread")]
async fn layouts_of_other_programs() {
    let (registry, image) = (FakeRegistry::start(), two_layers());
    registry.add_image("a", "1", &image);
    let directory = tempfile::tempdir().unwrap();
    let (theirs, ours) = (directory.path().join("theirs"), directory.path().join("ours"));
    let theirs = format!("oci:{}:1.0", text(&theirs));
    run("skopeo", &["copy", "-q", "--src-tls-verify=false", &format!("docker://{}/a:1", registry.host()), &theirs]);
    let own = test_store();
    copy(&own.store, &theirs, "store:a", &options()).await;
    let ours = format!("oci:{}:2.0", text(&ours));
    copy(&own.store, "store:a", &ours, &options()).await;
    assert_eq!(skopeo_digest(&ours), skopeo_digest(&theirs));
    let stat = run("umoci", &["stat", "--image", ours.strip_prefix("oci:").unwrap()]);
    assert!(stat.contains("layer 1"), "{stat}");
    // What umoci makes of it (a new tag in the same layout) is read again.
    let source = ours.strip_prefix("oci:").unwrap();
    run("umoci", &["config", "--image", source, "--tag", "3.0", "--config.env", "A=b"]);
    let changed = copy(&own.store, &ours.replace(":2.0", ":3.0"), "store:changed", &options()).await;
    assert_eq!(skopeo_digest(&ours.replace(":2.0", ":3.0")), changed.digest.to_string());
    let error = try_copy(&own.store, ours.strip_suffix(":2.0").unwrap(), "store:x", &options()).await.unwrap_err();
    assert!(error.to_string().ends_with("it holds no image or more than one, choose an image"), "{error}");
    assert_eq!(error.hint().unwrap(), "images of this layout: 2.0, 3.0");
}

#[tokio::test(flavor = "multi_thread")]
async fn docker_archives_of_other_programs() {
    let directory = tempfile::tempdir().unwrap();
    let (one, two) = (two_layers(), Image::small("two"));
    let file = directory.path().join("two.tar");
    let members = archive::docker(&[(&one, &["one:1", "uno:1"]), (&two, &["two:2"])]);
    std::fs::write(&file, members.tar(TarFormat::Pax)).unwrap();
    let own = test_store();
    let layout = format!("oci:{}", text(&directory.path().join("layout")));
    for (from, id) in [("one:1", one.id()), ("uno:1", one.id()), ("two:2", two.id()), ("@1", two.id())] {
        let from = format!("docker-archive:{}:{from}", text(&file));
        let to = format!("{layout}:{}", id.0.short());
        copy(&own.store, &from, &to, &options()).await;
        // These manifests are of Docker's type, which skopeo passes over in layouts.
        let read = strata_engine::LayoutDirectory::open(to.split(':').nth(1).unwrap(), Some(id.0.short())).unwrap();
        let resolved = read.resolve(&Target::Tag(Tag::latest())).await.unwrap();
        let manifest = read.manifest(&resolved).await.unwrap();
        assert_eq!(manifest.value().edges().next().unwrap().descriptor.digest, id.0, "{from}");
    }
    assert_eq!(own.files(), Vec::<std::path::PathBuf>::new());
    let from = format!("docker-archive:{}", text(&file));
    let error = try_copy(&own.store, &from, &layout, &options()).await.unwrap_err();
    assert_eq!(error.to_string(), "the archive holds 2 images, choose one");
    let error = try_copy(&own.store, &format!("{from}:three"), &layout, &options()).await.unwrap_err();
    assert_eq!(
        (error.kind(), error.to_string().as_str()),
        (ErrorKind::NotFound, "the archive holds no image three:latest")
    );
    assert_eq!(error.hint().unwrap(), "images of this archive: one:1, uno:1, two:2");

    // Plain layers are compressed on their way to a registry, unless their digests are to be kept.
    let registry = FakeRegistry::start();
    let to = format!("docker://{}/one:1", registry.host());
    copy(&own.store, &format!("{from}:one:1"), &to, &options()).await;
    let manifest = registry.manifest("one", "1").unwrap().1;
    assert!(String::from_utf8(manifest).unwrap().contains("diff.tar.gzip"));
    let kept = strata_engine::CopyOptions { preserve_digests: true, ..options() };
    copy(&own.store, &format!("{from}:one:1"), &format!("docker://{}/one:2", registry.host()), &kept).await;
    let manifest = registry.manifest("one", "2").unwrap().1;
    assert!(!String::from_utf8(manifest).unwrap().contains("gzip"));

    // Ours are read by skopeo: a name, and the same configuration.
    let ours = format!("docker-archive:{}:app:1", text(&directory.path().join("ours.tar")));
    copy(&own.store, &to, &ours, &options()).await;
    let names = run("skopeo", &["inspect", "--config", "--raw", &ours]);
    assert_eq!(Digest::of(names.as_bytes()), one.id().0);
}

#[tokio::test(flavor = "multi_thread")]
async fn damage_and_absence_leave_nothing() {
    let directory = tempfile::tempdir().unwrap();
    let own = test_store();
    let image = ImageBuilder::new().layer(Layer::of_tar(noise(1, 1000), Packing::Plain)).build();
    let layout = directory.path().join("layout");
    write_members(&archive::oci(&two_layers(), &[("org.opencontainers.image.ref.name", "1")]), &layout);
    let blob = strata_archive::layout::blob_path(&two_layers().layers[1].digest());
    let mut bytes = std::fs::read(layout.join(&blob)).unwrap();
    let middle = bytes.len() / 2;
    bytes[middle] ^= 1;
    std::fs::write(layout.join(&blob), bytes).unwrap();
    let target = directory.path().join("out.tar");
    for to in [
        "store:damaged".to_owned(),
        format!("docker-archive:{}", text(&target)),
        format!("oci-archive:{}", text(&target)),
    ] {
        let error = try_copy(&own.store, &format!("oci:{}:1", text(&layout)), &to, &options()).await.unwrap_err();
        assert_eq!(error.kind(), ErrorKind::Corrupt, "{to}: {error}");
    }
    let broken = directory.path().join("broken.tar");
    std::fs::write(&broken, &archive::oci(&image, &[]).tar(TarFormat::Pax)[..2000]).unwrap();
    assert!(try_copy(&own.store, &format!("oci-archive:{}", text(&broken)), "store:x", &options()).await.is_err());
    assert!(!target.exists());
    assert!(list(&own.store, &ListRequest { all: true, ..ListRequest::default() }).await.unwrap().is_empty());
    for (from, to) in [("store:none", "store:x"), ("oci:/nowhere", "store:x"), ("oci-archive:/nowhere", "store:x")] {
        assert!(try_copy(&own.store, from, to, &options()).await.is_err(), "{from}");
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn manifests_of_dockers_type_become_oci_ones_when_asked_for() {
    let registry = FakeRegistry::start();
    let image = |platform: &str| {
        ImageBuilder::new().docker().platform(platform).layer(Layer::of_file("platform", platform)).build()
    };
    let (amd64, arm64) = (image("linux/amd64"), image("linux/arm64"));
    registry.add_index("a", "1", &Index::of_type(MediaType::DOCKER_LIST, vec![amd64.clone(), arm64]));
    let directory = tempfile::tempdir().unwrap();
    let from = format!("docker://{}/a:1", registry.host());
    let own = test_store();
    let oci = strata_engine::CopyOptions { format: strata_engine::ManifestFormat::Oci, ..options() };
    let all = strata_engine::CopyOptions { all: true, ..oci.clone() };
    let path = |name: &str| format!("{}/{name}", text(directory.path()));
    for (to, options) in [
        (format!("oci:{}:one", path("layout")), &oci),
        (format!("oci:{}:all", path("layout")), &all),
        (format!("oci-archive:{}:one", path("one.tar")), &oci),
        (format!("oci-archive:{}:all", path("all.tar")), &all),
    ] {
        let report = copy(&own.store, &from, &to, options).await;
        assert_eq!(Digest::of(run("skopeo", &["inspect", "--raw", &to]).as_bytes()), report.digest, "{to}");
        let config = run("skopeo", &["inspect", "--override-arch=amd64", "--config", "--raw", &to]);
        assert_eq!(Digest::of(config.as_bytes()), amd64.id().0, "{to}");
        // What is converted already stays as it is.
        let again = copy(&own.store, &to, &format!("docker://{}/b:1", registry.host()), options).await;
        assert_eq!(again.digest, report.digest, "{to}");
    }
}

/// A Docker Engine of its own, on a socket in a directory; `None` where it cannot run.
struct Engine {
    process: std::process::Child,
    address: String,
    _root: tempfile::TempDir,
}

impl Engine {
    #[allow(clippy::print_stderr)]
    fn start() -> Option<Engine> {
        let root = tempfile::tempdir().unwrap();
        let path = |name: &str| format!("{}/{name}", root.path().display());
        let address = format!("unix://{}", path("docker.sock"));
        let mut command = std::process::Command::new("dockerd");
        command.args([
            "-H",
            &address,
            "--iptables=false",
            "--ip6tables=false",
            "--bridge=none",
            "--storage-driver=vfs",
        ]);
        command.args(["--data-root", &path("data"), "--exec-root", &path("exec"), "--pidfile", &path("pid")]);
        command.stdout(std::process::Stdio::null()).stderr(std::process::Stdio::null());
        let mut engine = match command.spawn() {
            Ok(process) => Engine { process, address, _root: root },
            Err(error) => {
                eprintln!("skipped: dockerd cannot be started: {error}");
                return None;
            }
        };
        for _ in 0..300 {
            if engine.process.try_wait().unwrap().is_some() {
                break;
            }
            let ready = std::process::Command::new("docker").args(["-H", &engine.address, "version"]).output().unwrap();
            if ready.status.success() {
                return Some(engine);
            }
            std::thread::sleep(std::time::Duration::from_millis(100));
        }
        eprintln!("skipped: dockerd does not run here");
        None
    }

    fn docker(&self, arguments: &[&str]) -> String {
        run("docker", &[&["-H", &self.address], arguments].concat())
    }
}

impl Drop for Engine {
    fn drop(&mut self) {
        // It ends the containerd that it started when it is asked to end.
        let _ = std::process::Command::new("kill").arg(self.process.id().to_string()).status();
        let _ = self.process.wait();
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn dockers_engine_takes_and_gives_images() {
    let Some(engine) = Engine::start() else { return };
    let (registry, image) = (FakeRegistry::start(), two_layers());
    registry.add_image("a", "1", &image);
    let own = test_store();
    let options = strata_engine::CopyOptions { docker_host: Some(engine.address.clone()), ..options() };
    let report = copy(&own.store, &format!("docker://{}/a:1", registry.host()), "docker-daemon:app:1", &options).await;
    assert_eq!(report.digest, image.digest());
    assert_eq!(engine.docker(&["image", "inspect", "--format", "{{.Id}}", "app:1"]), image.id().to_string());
    copy(&own.store, "docker-daemon:app:1", "store:back", &options).await;
    let images = list(&own.store, &ListRequest::default()).await.unwrap();
    assert_eq!(images.iter().map(|summary| summary.row.id).collect::<Vec<_>>(), [image.id()]);
    copy(&own.store, "store:back", "docker-daemon:again", &options).await;
    assert_eq!(engine.docker(&["image", "inspect", "--format", "{{.Id}}", "again:latest"]), image.id().to_string());
    let id = format!("docker-daemon:{}", image.id());
    copy(&own.store, &id, "store:by-id", &options).await;
    let error = try_copy(&own.store, "docker-daemon:none", "store:none", &options).await.unwrap_err();
    assert!(error.to_string().contains("image none:latest: "), "{error}");
}
