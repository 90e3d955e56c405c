//! Two Stratas, skopeo, podman and docker exchange images through `strata registry serve`.

mod support;
mod tools;

use std::process::Command;

use strata_testkit::{ImageBuilder, Index, Layer, TarFormat, archive};
use support::{Sandbox, run, sample_image};
use tools::{Docker, Podman, Server, have, skopeo, skopeo_copy, skopeo_digest, strata_registry};

fn id(sandbox: &Sandbox, name: &str) -> String {
    sandbox.run(&["inspect", "-f", "{{.Id}}", name]).success().trim().to_owned()
}

/// A registry, and a Strata that has pushed `team/sample:1` into it.
fn served(seed: u64) -> (Sandbox, Server, Sandbox, strata_testkit::Image) {
    let image = sample_image(seed);
    let hub = Sandbox::new();
    let registry = strata_registry(&hub);
    let client = Sandbox::new();
    let file = client.path("image.tar");
    let name = format!("{}/team/sample:1", registry.address);
    let annotations = [("io.containerd.image.name", name.as_str())];
    std::fs::write(&file, archive::oci(&image, &annotations).tar(TarFormat::Ustar)).unwrap();
    client.run(&["load", "-i", file.to_str().unwrap()]).success();
    client.run(&["push", &name]).success();
    (hub, registry, client, image)
}

#[test]
fn two_stratas() {
    let (hub, registry, first, image) = served(21);
    let name = format!("{}/team/sample:1", registry.address);
    let second = Sandbox::new();
    let pulled = second.run(&["pull", &name]).success();
    assert!(pulled.contains(&format!("Digest: {}\n", image.digest())), "{pulled}");
    assert_eq!(id(&second, &name), image.id().to_string());
    assert_eq!(second.run(&["image", "cat", &name, "/top"]).success(), "top of 21\n");
    let again = first.run(&["push", &name]).success();
    assert_eq!(again.matches(": Layer already exists\n").count(), 3, "{again}");

    // What was pushed is not among the local names of the store that serves it, and both are whole.
    assert_eq!(hub.run(&["images", "-q"]).success(), "");
    for sandbox in [&hub, &first, &second] {
        sandbox.run(&["fsck"]).success();
    }
    drop(registry);
    // Another process serves the same store.
    let registry = strata_registry(&hub);
    let third = Sandbox::new();
    third.run(&["pull", "-q", &format!("{}/team/sample:1", registry.address)]).success();
    let tags = third.run(&["tags", &format!("{}/team/sample", registry.address)]).success();
    assert!(tags.contains('1'), "{tags}");
}

#[test]
fn a_lost_catalog_is_made_again_with_what_the_registry_shows() {
    let (hub, registry, client, image) = served(22);
    let local = strata_testkit::Image::small("local and in the registry");
    let file = hub.path("local.tar");
    std::fs::write(&file, archive::docker(&[(&local, &["local:1"])]).tar(TarFormat::Gnu)).unwrap();
    hub.run(&["load", "-q", "-i", file.to_str().unwrap()]).success();
    let second = format!("{}/team/local:1", registry.address);
    hub.run(&["tag", "local:1", &second]).success();
    hub.run(&["push", "-q", &second]).success();
    let before = hub.run(&["images", "-a", "--no-trunc"]).success();
    drop(registry);
    for suffix in ["", "-wal", "-shm"] {
        let _ = std::fs::remove_file(hub.root().join(format!("catalog.sqlite{suffix}")));
    }
    hub.run(&["fsck", "--rebuild"]).success();
    assert_eq!(hub.run(&["images", "-a", "--no-trunc"]).success(), before, "what is only in the registry is no image");
    hub.run(&["fsck"]).success();
    let registry = strata_registry(&hub);
    let name = |rest: &str| format!("{}/team/{rest}", registry.address);
    let third = Sandbox::new();
    third.run(&["pull", "-q", &name("sample:1")]).success();
    assert_eq!(id(&third, &name("sample:1")), image.id().to_string());
    third.run(&["pull", "-q", &name("local:1")]).success();
    assert_eq!(id(&third, &name("local:1")), id(&hub, "local:1"));
    client.run(&["fsck"]).success();
}

#[test]
fn skopeo_pushes_and_pulls() {
    if !have(&["skopeo"]) {
        return;
    }
    let (_hub, registry, client, image) = served(22);
    let name = |rest: &str| format!("docker://{}/{rest}", registry.address);
    assert_eq!(skopeo_digest(&name("team/sample:1")), image.digest());
    let folder = client.path("copied");
    skopeo_copy(&name("team/sample:1"), &format!("dir:{}", folder.display()));
    for layer in &image.layers {
        assert_eq!(std::fs::read(folder.join(layer.digest().hex())).unwrap(), layer.blob);
    }
    skopeo_copy(&name("team/sample:1"), &name("team/copy:2"));
    assert_eq!(skopeo_digest(&name("team/copy:2")), image.digest());
    let listed = skopeo(&["list-tags", "--tls-verify=false", &name("team/copy")]);
    assert!(listed.contains("\"2\""), "{listed}");

    let variant =
        |platform: &str| ImageBuilder::new().platform(platform).layer(Layer::of_file("arch", platform)).build();
    let index = Index::new(vec![variant("linux/amd64"), variant("linux/arm64")]);
    let file = client.path("index.tar");
    std::fs::write(&file, archive::oci_index(&index, &[]).tar(TarFormat::Ustar)).unwrap();
    skopeo_copy(&format!("oci-archive:{}", file.display()), &name("team/many:1"));
    assert_eq!(skopeo_digest(&name("team/many:1")), index.digest());
    let pulled = client.run(&["pull", "-q", "--platform", "linux/arm64", &name("team/many:1")["docker://".len()..]]);
    pulled.success();
    skopeo(&["delete", "--tls-verify=false", &name("team/many:1")]);
    let mut inspect = Command::new("skopeo");
    inspect.args(["inspect", "--raw", "--tls-verify=false", &name("team/many:1")]);
    assert!(!run(inspect).status.success(), "a deleted manifest is still served");
}

#[test]
fn podman_pushes_and_pulls() {
    if !have(&["podman"]) {
        return;
    }
    let (_hub, registry, client, image) = served(23);
    let podman = Podman::new(client.path("podman"));
    let name = |rest: &str| format!("{}/{rest}", registry.address);
    podman.output(&["pull", "-q", "--tls-verify=false", &name("team/sample:1")]);
    let theirs = podman.output(&["images", "--no-trunc", "--format", "{{.ID}}"]);
    assert_eq!(theirs.trim(), image.id().to_string());
    podman.output(&["push", "-q", "--tls-verify=false", &name("team/sample:1"), &name("podman/sample:1")]);
    client.run(&["pull", "-q", &name("podman/sample:1")]).success();
    assert_eq!(id(&client, &name("podman/sample:1")), image.id().to_string());
}

#[test]
fn docker_pushes_and_pulls() {
    let (_hub, registry, client, image) = served(24);
    let Some(docker) = Docker::start(&client) else { return };
    let name = |rest: &str| format!("{}/{rest}", registry.address);
    let pulled = docker.run(&["pull", &name("team/sample:1")]).success();
    assert!(pulled.contains(&format!("Digest: {}\n", image.digest())), "{pulled}");
    let theirs = docker.run(&["images", "-q", "--no-trunc"]).success();
    assert_eq!(theirs.trim(), image.id().to_string());
    docker.run(&["tag", &name("team/sample:1"), &name("docker/sample:1")]).success();
    docker.run(&["push", &name("docker/sample:1")]).success();
    client.run(&["pull", "-q", &name("docker/sample:1")]).success();
    assert_eq!(id(&client, &name("docker/sample:1")), image.id().to_string());
    let missing = docker.run(&["pull", &name("team/sample:nope")]).failure();
    let expected = format!(
        "Error response from daemon: manifest for {} not found: manifest unknown: manifest nope is not in repository team/sample\n",
        name("team/sample:nope")
    );
    assert_eq!(missing, expected);
}
