//! Manifest lists, beside docker's own command line on the same registry.

use std::path::Path;
use std::process::{Command, Stdio};

use strata_engine::{Annotation, ManifestInspection, ManifestLists, manifest_inspect, push_list};
use strata_model::{ErrorKind, Reference};
use strata_testkit::{FakeRegistry, Image, ImageBuilder, Index, Layer};
use strata_transfer::{CopyLimits, Silent};

use crate::support::{client, copy, options, run_with, test_store};

fn reference(registry: &FakeRegistry, rest: &str) -> Reference {
    Reference::parse(&registry.reference(rest)).unwrap()
}

/// Debian's `docker-registry` on loopback: docker's command line does not speak with a registry that ends a connection
/// that starts with TLS, as the scripted one does.
struct Registry {
    process: std::process::Child,
    host: String,
    _root: tempfile::TempDir,
}

impl Registry {
    fn start() -> Registry {
        let root = tempfile::tempdir().unwrap();
        let host = std::net::TcpListener::bind("127.0.0.1:0").unwrap().local_addr().unwrap().to_string();
        let config = root.path().join("config.yml");
        let text = format!(
            "version: 0.1\nlog: {{ level: error }}\nstorage: {{ filesystem: {{ rootdirectory: {} }} }}\nhttp: {{ addr: {host} }}\n",
            root.path().join("data").display()
        );
        std::fs::write(&config, text).unwrap();
        let mut command = Command::new("docker-registry");
        command.arg("serve").arg(config).stdout(Stdio::null()).stderr(Stdio::null());
        let process = command.spawn().expect("docker-registry, from Debian's package of this name");
        let registry = Registry { process, host, _root: root };
        for _ in 0..200 {
            if std::net::TcpStream::connect(&registry.host).is_ok() {
                return registry;
            }
            std::thread::sleep(std::time::Duration::from_millis(50));
        }
        panic!("docker-registry did not open {}", registry.host);
    }

    fn reference(&self, rest: &str) -> Reference {
        Reference::parse(&format!("{}/{rest}", self.host)).unwrap()
    }

    /// Copies images from a scripted registry.
    async fn fill(&self, from: &FakeRegistry, images: &[&str]) {
        let own = test_store();
        let all = strata_engine::CopyOptions { all: true, ..options() };
        for image in images {
            let (from, to) = (from.reference(image), self.reference(image));
            copy(&own.store, &format!("docker://{from}"), &format!("docker://{to}"), &all).await;
        }
    }

    async fn manifest(&self, reference: &Reference) -> (String, String) {
        let repository = client().repository(reference.host(), reference.repository());
        let (bytes, media_type, _) = repository.get_manifest_bytes(&reference.target()).await.unwrap();
        (media_type.to_string(), String::from_utf8(bytes.to_vec()).unwrap())
    }
}

impl Drop for Registry {
    fn drop(&mut self) {
        let _ = self.process.kill();
        let _ = self.process.wait();
    }
}

fn docker(config: &Path, arguments: &[&str]) -> String {
    run_with(Command::new("docker").arg("--config").arg(config).arg("manifest").args(arguments))
}

fn image_for(platform: &str, docker: bool) -> Image {
    let builder = ImageBuilder::new().platform(platform).layer(Layer::of_file("for", platform));
    if docker { builder.docker().build() } else { builder.build() }
}

#[tokio::test(flavor = "multi_thread")]
async fn lists_are_those_of_docker() {
    let (images, registry) = (FakeRegistry::start(), Registry::start());
    for (suffix, is_docker) in [("docker", true), ("oci", false)] {
        let (repository, other) = (format!("app-{suffix}"), format!("other-{suffix}"));
        images.add_image(&repository, "amd64", &image_for("linux/amd64", is_docker));
        images.add_image(&other, "arm", &image_for("linux/arm/v7", is_docker));
        registry.fill(&images, &[&format!("{repository}:amd64"), &format!("{other}:arm")]).await;
        let config = tempfile::tempdir().unwrap();
        let lists = ManifestLists::new(config.path().join("manifests"));
        let list = registry.reference(&format!("{repository}:list"));
        let members = [registry.reference(&format!("{repository}:amd64")), registry.reference(&format!("{other}:arm"))];
        let named = lists.create(&client(), &list, &members, false).await.unwrap();
        assert_eq!(named, list.to_string());
        let error = lists.create(&client(), &list, &members, false).await.unwrap_err();
        assert_eq!(error.to_string(), "refusing to amend an existing manifest list with no --amend flag");
        lists.create(&client(), &list, &members, true).await.unwrap();
        let annotation =
            Annotation { os_version: Some("1.2".into()), os_features: vec!["sse4".into()], ..Annotation::default() };
        lists.annotate(&list, &members[1], &annotation).unwrap();

        let pushed = push_list(&client(), &lists, &list, CopyLimits::default(), &Silent).await.unwrap();
        assert_eq!(pushed.copied.len(), 1);
        let ours = registry.manifest(&list).await;
        // Docker reads what lies in the directory and makes the same of it.
        let list_of_docker = registry.reference(&format!("{repository}:theirs"));
        let theirs = list_of_docker.to_string();
        docker(config.path(), &["create", "--insecure", &theirs, &members[0].to_string(), &members[1].to_string()]);
        docker(
            config.path(),
            &["annotate", "--os-version", "1.2", "--os-features", "sse4", &theirs, &members[1].to_string()],
        );
        let printed = docker(config.path(), &["push", "--insecure", &theirs]);
        assert_eq!(ours, registry.manifest(&list_of_docker).await);
        assert!(printed.ends_with(&pushed.digest.to_string()), "{printed}");
        let printed = docker(config.path(), &["push", "--insecure", &list.to_string()]);
        assert!(printed.ends_with(&pushed.digest.to_string()), "{printed}");

        lists.remove(&list).unwrap();
        let error = lists.remove(&list).unwrap_err();
        assert_eq!((error.kind(), error.to_string()), (ErrorKind::NotFound, format!("No such manifest: {list}")));
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn inspection_is_that_of_docker() {
    let (images, registry) = (FakeRegistry::start(), Registry::start());
    let (amd64, arm) = (image_for("linux/amd64", true), image_for("linux/arm64", true));
    images.add_image("app", "1", &amd64);
    images.add_index("app", "all", &Index::of_type(strata_model::MediaType::DOCKER_LIST, vec![amd64.clone(), arm]));
    registry.fill(&images, &["app:1", "app:all"]).await;
    let config = tempfile::tempdir().unwrap();
    for tag in ["1", "all"] {
        let name = registry.reference(&format!("app:{tag}"));
        let theirs = docker(config.path(), &["inspect", "--insecure", "-v", &name.to_string()]);
        let ours = manifest_inspect(&client(), &name, true).await.unwrap().verbose();
        let mut bytes = Vec::new();
        let formatter = serde_json::ser::PrettyFormatter::with_indent(b"\t");
        serde::Serialize::serialize(&ours, &mut serde_json::Serializer::with_formatter(&mut bytes, formatter)).unwrap();
        assert_eq!(String::from_utf8(bytes).unwrap(), theirs);
    }
    match manifest_inspect(&client(), &registry.reference("app:1"), false).await.unwrap() {
        ManifestInspection::Single(single) => assert_eq!(single.manifest.bytes(), &amd64.manifest),
        ManifestInspection::List { .. } => panic!("a list"),
    }
    let error = manifest_inspect(&client(), &registry.reference("app:none"), false).await.unwrap_err();
    let expected = format!("no such manifest: {}", registry.reference("app:none"));
    assert_eq!((error.kind(), error.to_string()), (ErrorKind::NotFound, expected));
}

#[tokio::test(flavor = "multi_thread")]
async fn what_cannot_be_in_a_list_is_refused() {
    let (registry, elsewhere) = (FakeRegistry::start(), FakeRegistry::start());
    registry.add_index("app", "all", &Index::new(vec![image_for("linux/amd64", false)]));
    elsewhere.add_image("app", "1", &image_for("linux/amd64", false));
    let directory = tempfile::tempdir().unwrap();
    let lists = ManifestLists::new(directory.path());
    let list = reference(&registry, "app:list");
    let of = |registry: &FakeRegistry, rest: &str| vec![reference(registry, rest)];
    let error = lists.create(&client(), &list, &of(&registry, "app:all"), false).await.unwrap_err();
    assert!(error.to_string().ends_with("is a manifest list"), "{error}");
    let error = lists.create(&client(), &list, &of(&registry, "app:none"), false).await.unwrap_err();
    assert_eq!(error.kind(), ErrorKind::NotFound);
    assert!(lists.get(&list).unwrap().is_none());

    let members = of(&elsewhere, "app:1");
    lists.create(&client(), &list, &members, false).await.unwrap();
    let error = push_list(&client(), &lists, &list, CopyLimits::default(), &Silent).await.unwrap_err();
    let expected = "cannot use source images from a different registry than the target image";
    assert!(error.to_string().starts_with(expected), "{error}");
    let wrong = Annotation { architecture: Some("toaster".into()), ..Annotation::default() };
    let error = lists.annotate(&list, &members[0], &wrong).unwrap_err();
    assert_eq!(error.to_string(), "manifest entry for image has unsupported os/arch combination: linux/toaster");
    let stranger = reference(&registry, "app:stranger");
    let error = lists.annotate(&list, &stranger, &Annotation::default()).unwrap_err();
    assert!(error.to_string().starts_with("manifest for image "), "{error}");
}
