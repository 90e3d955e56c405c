//! Images through other tools and back: every digest stays what it was.

mod support;
mod tools;

use std::path::Path;
use std::process::Stdio;

use serde_json::Value;
use strata_model::{Digest, MediaType};
use strata_testkit::{
    FakeRegistry, Image, ImageBuilder, Index, Layer, Packing, TarEntry, TarFormat, archive, fixture, golden,
};
use support::{Sandbox, run, sample_image};
use tools::{Podman, docker_registry, have, output, skopeo_copy, skopeo_digest};

fn text(path: &Path) -> &str {
    path.to_str().expect("a path in UTF-8")
}

fn id(sandbox: &Sandbox, name: &str) -> String {
    sandbox.run(&["inspect", "-f", "{{.Id}}", name]).success().trim().to_owned()
}

/// The manifest's digest in a layout directory of one image.
fn layout_digest(layout: &Path) -> Digest {
    let index: Value = serde_json::from_slice(&std::fs::read(layout.join("index.json")).unwrap()).unwrap();
    assert_eq!(index["manifests"].as_array().map(Vec::len), Some(1), "{index}");
    index["manifests"][0]["digest"].as_str().unwrap().parse().unwrap()
}

/// A sandbox that has loaded `image` under `name` from an OCI archive, which keeps the digest of its manifest.
fn loaded(image: &Image, name: &str) -> Sandbox {
    let sandbox = Sandbox::new();
    let annotations = [("io.containerd.image.name", name)];
    std::fs::write(sandbox.path("image.tar"), archive::oci(image, &annotations).tar(TarFormat::Ustar)).unwrap();
    sandbox.run(&["load", "-i", text(&sandbox.path("image.tar"))]).success();
    assert_eq!(id(&sandbox, name), image.id().to_string());
    sandbox
}

fn images() -> Vec<(&'static str, Image)> {
    let layer = |packing| Layer::of_noise(5, 50_000).packed(packing);
    vec![
        ("three layers", sample_image(1)),
        ("docker's media types", ImageBuilder::new().docker().layer(layer(Packing::Gzip)).build()),
        ("without compression", ImageBuilder::new().layer(layer(Packing::Plain)).build()),
        ("zstd", ImageBuilder::new().layer(layer(Packing::Zstd)).build()),
        ("one layer twice", ImageBuilder::new().layer(layer(Packing::Gzip)).layer(layer(Packing::Gzip)).build()),
    ]
}

#[test]
fn skopeo_reads_what_save_writes() {
    if !have(&["skopeo"]) {
        return;
    }
    for (what, image) in images() {
        let sandbox = loaded(&image, "docker.io/library/sample:1");
        let saved = sandbox.path("saved.tar");
        sandbox.run(&["save", "-o", text(&saved), "sample:1"]).success();
        let [as_oci, as_docker] = [sandbox.path("as-oci"), sandbox.path("as-docker")];
        skopeo_copy(&format!("oci-archive:{}", text(&saved)), &format!("dir:{}", text(&as_oci)));
        let manifest = std::fs::read(as_oci.join("manifest.json")).unwrap();
        assert_eq!(Digest::of(&manifest), image.digest(), "{what}");
        skopeo_copy(&format!("docker-archive:{}", text(&saved)), &format!("dir:{}", text(&as_docker)));
        let manifest: Value = serde_json::from_slice(&std::fs::read(as_docker.join("manifest.json")).unwrap()).unwrap();
        assert_eq!(manifest["config"]["digest"], image.id().to_string(), "{what}");
    }
}

#[test]
fn load_reads_what_skopeo_writes() {
    if !have(&["skopeo"]) {
        return;
    }
    for (what, image) in images() {
        let sandbox = Sandbox::new();
        let source = sandbox.path("source.tar");
        std::fs::write(&source, archive::oci(&image, &[]).tar(TarFormat::Ustar)).unwrap();
        let source = format!("oci-archive:{}", text(&source));
        let (oci, docker) = (sandbox.path("oci.tar"), sandbox.path("docker.tar"));
        skopeo_copy(&source, &format!("oci-archive:{}:example.com/from/oci:1", text(&oci)));
        if what == "zstd" {
            // Skopeo cannot write such layers into a docker archive.
            sandbox.run(&["load", "-i", text(&oci)]).success();
            assert_eq!(id(&sandbox, "example.com/from/oci:1"), image.id().to_string(), "{what}");
            continue;
        }
        skopeo_copy(&source, &format!("docker-archive:{}:example.com/from/docker:1", text(&docker)));
        let printed = sandbox.run(&["load", "-i", text(&oci)]).success();
        assert_eq!(printed, "Loaded image: example.com/from/oci:1\n", "{what}");
        let printed = sandbox.run(&["load", "-i", text(&docker)]).success();
        assert_eq!(printed, "Loaded image: example.com/from/docker:1\n", "{what}");
        assert_eq!(id(&sandbox, "example.com/from/docker:1"), image.id().to_string(), "{what}");
        if image.media_type == MediaType::OCI_MANIFEST {
            assert_eq!(id(&sandbox, "example.com/from/oci:1"), image.id().to_string(), "{what}");
            let back = sandbox.path("back");
            sandbox.run(&["copy", "store:example.com/from/oci:1", &format!("oci:{}", text(&back))]).success();
            // Into a layout, skopeo compresses what is not compressed.
            let is_kept = what != "without compression";
            assert_eq!(layout_digest(&back) == image.digest(), is_kept, "{what}");
        }
        sandbox.run(&["fsck"]).success();
    }
}

#[test]
fn copy_and_skopeo_read_each_others_layouts() {
    if !have(&["skopeo"]) {
        return;
    }
    let image = sample_image(4);
    let sandbox = loaded(&image, "docker.io/library/sample:1");
    let (ours, theirs) = (sandbox.path("ours"), sandbox.path("theirs"));
    sandbox.run(&["copy", "store:sample:1", &format!("oci:{}:one", text(&ours))]).success();
    assert_eq!(layout_digest(&ours), image.digest());
    skopeo_copy(&format!("oci:{}:one", text(&ours)), &format!("oci:{}:two", text(&theirs)));
    assert_eq!(layout_digest(&theirs), image.digest());
    sandbox.run(&["copy", &format!("oci:{}:two", text(&theirs)), "store:example.com/back:2"]).success();
    assert_eq!(id(&sandbox, "example.com/back:2"), image.id().to_string());
    let archive = sandbox.path("archive.tar");
    sandbox.run(&["copy", "store:sample:1", &format!("docker-archive:{}:sample:1", text(&archive))]).success();
    assert_eq!(
        output(
            "skopeo",
            &["--insecure-policy", "inspect", "--config", "--raw", &format!("docker-archive:{}", text(&archive))]
        )
        .as_bytes(),
        image.config
    );
}

#[test]
fn umoci_and_strata_read_each_others_layouts() {
    if !have(&["umoci"]) {
        return;
    }
    let image = sample_image(4);
    let sandbox = loaded(&image, "docker.io/library/sample:1");
    let layout = sandbox.path("layout");
    sandbox.run(&["copy", "store:sample:1", &format!("oci:{}:one", text(&layout))]).success();
    let shown = output("umoci", &["list", "--layout", text(&layout)]);
    assert_eq!(shown, "one\n");
    std::fs::write(sandbox.path("inserted"), "by umoci\n").unwrap();
    let reference = format!("{}:one", text(&layout));
    output(
        "umoci",
        &["insert", "--image", &reference, "--tag", "two", text(&sandbox.path("inserted")), "/opt/inserted"],
    );
    output("umoci", &["config", "--image", &format!("{}:two", text(&layout)), "--config.label", "by=umoci"]);
    sandbox.run(&["copy", &format!("oci:{}:two", text(&layout)), "store:inserted:2"]).success();
    assert_eq!(sandbox.run(&["image", "cat", "inserted:2", "/opt/inserted"]).success(), "by umoci\n");
    assert_eq!(sandbox.run(&["inspect", "-f", "{{.Config.Labels.by}}", "inserted:2"]).success(), "umoci\n");
    assert_eq!(sandbox.run(&["image", "cat", "inserted:2", "/etc/os-release"]).success(), "NAME=sample\n");
    sandbox.run(&["fsck"]).success();
}

#[test]
fn podman_loads_what_save_writes_and_load_reads_what_podman_writes() {
    if !have(&["podman"]) {
        return;
    }
    let image = sample_image(6);
    let sandbox = loaded(&image, "docker.io/library/sample:1");
    let saved = sandbox.path("saved.tar");
    sandbox.run(&["save", "-o", text(&saved), "sample:1"]).success();
    let podman = Podman::new(sandbox.path("podman"));
    let printed = podman.output(&["load", "-q", "-i", text(&saved)]);
    assert!(printed.contains("docker.io/library/sample:1"), "{printed}");
    let theirs = podman.output(&["images", "--no-trunc", "--format", "{{.ID}}"]);
    assert_eq!(theirs.trim(), image.id().to_string());
    for format in ["docker-archive", "oci-archive"] {
        let archive = sandbox.path(format);
        podman.output(&["save", "-q", "--format", format, "-o", text(&archive), "docker.io/library/sample:1"]);
        let second = Sandbox::new();
        let printed = second.run(&["load", "-i", text(&archive)]).success();
        assert_eq!(printed, "Loaded image: sample:1\n", "{format}");
        assert_eq!(second.run(&["image", "cat", "sample:1", "/etc/os-release"]).success(), "NAME=sample\n");
        let history = second.run(&["history", "-q", "--no-trunc", "sample:1"]).success();
        assert_eq!(history.lines().count(), 3, "{format}: {history}");
        if format == "docker-archive" {
            assert_eq!(id(&second, "sample:1"), image.id().to_string());
        }
        second.run(&["fsck"]).success();
    }
}

#[test]
fn a_registry_of_others_keeps_every_digest() {
    if !have(&["docker-registry", "skopeo"]) {
        return;
    }
    let image = sample_image(8);
    let first = loaded(&image, "docker.io/library/sample:1");
    let registry = docker_registry(&first);
    let name = |rest: &str| format!("{}/{rest}", registry.address);
    first.run(&["tag", "sample:1", &name("team/sample:1")]).success();
    let pushed = first.run(&["push", &name("team/sample:1")]).success();
    assert_eq!(pushed.matches(": Pushed\n").count(), 3, "{pushed}");
    let last = format!("1: digest: {} size: {}\n", image.digest(), image.manifest.len());
    assert!(pushed.ends_with(&last), "{pushed}");
    assert_eq!(skopeo_digest(&format!("docker://{}", name("team/sample:1"))), image.digest());

    let second = Sandbox::new();
    let pulled = second.run(&["pull", &name("team/sample:1")]).success();
    assert!(pulled.contains(&format!("Digest: {}\n", image.digest())), "{pulled}");
    assert_eq!(id(&second, &name("team/sample:1")), image.id().to_string());
    second.run(&["tag", &name("team/sample:1"), &name("other/sample:2")]).success();
    let mounted = second.run(&["push", &name("other/sample:2")]).success();
    assert_eq!(mounted.matches(": Mounted from team/sample\n").count(), 3, "{mounted}");
    assert_eq!(skopeo_digest(&format!("docker://{}", name("other/sample:2"))), image.digest());
    let again = second.run(&["push", &name("other/sample:2")]).success();
    assert_eq!(again.matches(": Layer already exists\n").count(), 3, "{again}");
}

#[test]
fn several_platforms_go_through_a_registry_and_an_archive_together() {
    if !have(&["docker-registry", "skopeo"]) {
        return;
    }
    let variant =
        |platform: &str| ImageBuilder::new().platform(platform).layer(Layer::of_file("arch", platform)).build();
    let index = Index::new(vec![variant("linux/amd64"), variant("linux/arm64"), variant("linux/arm/v7")]);
    let sandbox = Sandbox::new();
    let source = sandbox.path("index.tar");
    let annotations = [("io.containerd.image.name", "docker.io/library/many:1")];
    std::fs::write(&source, archive::oci_index(&index, &annotations).tar(TarFormat::Ustar)).unwrap();
    let registry = docker_registry(&sandbox);
    let [theirs, ours] = ["theirs:1", "ours:1"].map(|name| format!("{}/{name}", registry.address));
    skopeo_copy(&format!("oci-archive:{}", text(&source)), &format!("docker://{theirs}"));
    assert_eq!(skopeo_digest(&format!("docker://{theirs}")), index.digest());

    sandbox.run(&["copy", "--all", &format!("docker://{theirs}"), &format!("docker://{ours}")]).success();
    assert_eq!(skopeo_digest(&format!("docker://{ours}")), index.digest());
    let layout = sandbox.path("layout");
    sandbox.run(&["copy", "--all", &format!("docker://{theirs}"), &format!("oci:{}", text(&layout))]).success();
    assert_eq!(layout_digest(&layout), index.digest());

    for (platform, image) in
        [("linux/amd64", &index.images[0]), ("linux/arm64", &index.images[1]), ("linux/arm/v7", &index.images[2])]
    {
        sandbox.run(&["pull", "-q", "--platform", platform, &theirs]).success();
        let shown = sandbox.run(&["image", "inspect", "--platform", platform, "-f", "{{.Id}}", &theirs]).success();
        assert_eq!(shown.trim(), image.id().to_string(), "{platform}");
    }
    sandbox.run(&["fsck"]).success();
}

/// Two images over one base, and the names they are saved under.
fn family() -> [Image; 2] {
    let base = Layer::of_noise(9, 400_000);
    ["left", "right"].map(|name| ImageBuilder::new().layer(base.clone()).layer(Layer::of_file(name, name)).build())
}

#[test]
fn images_in_one_archive_share_layers() {
    let [left, right] = family();
    let sandbox = loaded(&left, "docker.io/library/left:1");
    let annotations = [("io.containerd.image.name", "docker.io/library/right:1")];
    std::fs::write(sandbox.path("image.tar"), archive::oci(&right, &annotations).tar(TarFormat::Ustar)).unwrap();
    sandbox.run(&["load", "-i", text(&sandbox.path("image.tar"))]).success();
    sandbox.run(&["tag", "left:1", "left:2"]).success();
    let archive = sandbox.path("both.tar");
    sandbox.run(&["save", "-o", text(&archive), "left", "right:1"]).success();
    let size = std::fs::metadata(&archive).unwrap().len() as usize;
    assert!(size < left.layers[0].blob.len() + 60_000, "the base is in the archive twice: {size} bytes");

    let second = Sandbox::new();
    let printed = second.run(&["load", "-i", text(&archive)]).success();
    golden::assert_text("Loaded image: left:1\nLoaded image: left:2\nLoaded image: right:1\n", &printed);
    for (name, image) in [("left:1", &left), ("left:2", &left), ("right:1", &right)] {
        assert_eq!(id(&second, name), image.id().to_string());
    }
    second.run(&["fsck"]).success();
}

#[test]
fn save_pipes_into_load_and_is_the_same_each_time() {
    let [left, _] = family();
    let sandbox = loaded(&left, "docker.io/library/left:1");
    let second = sandbox.path("second-store");
    let mut save = sandbox.command(&["save", "left:1"]);
    let mut save = save.stdout(Stdio::piped()).spawn().unwrap();
    let mut load = sandbox.command_on(&second, &["load"]);
    load.stdin(save.stdout.take().unwrap());
    assert_eq!(run(load).success(), "Loaded image: left:1\n");
    assert!(save.wait().unwrap().success());

    let archives: Vec<Vec<u8>> = [sandbox.root(), second.clone(), second]
        .iter()
        .map(|root| {
            let output = sandbox.command_on(root, &["save", "left:1"]).output().unwrap();
            assert!(output.status.success(), "{}", String::from_utf8_lossy(&output.stderr));
            output.stdout
        })
        .collect();
    assert!(archives[0] == archives[1] && archives[1] == archives[2], "the same image gave different archives");
}

#[test]
fn archives_of_every_age_and_compression_load() {
    let image = sample_image(3);
    let tags: &[&str] = &["sample:1"];
    let docker = archive::docker(&[(&image, tags)]);
    let plain = docker.tar(TarFormat::Gnu);
    let sandbox = Sandbox::new();
    std::fs::write(sandbox.path("plain.tar"), &plain).unwrap();
    let compressed = |program: &str| {
        have(&[program]).then(|| {
            let path = sandbox.path("plain.tar");
            let output = tools::program(program, ["-c", text(&path)]).output().unwrap();
            assert!(output.status.success(), "{program}");
            output.stdout
        })
    };
    let archives = [
        ("docker 1.10 to 24", Some(plain.clone())),
        ("in the opposite order", Some(docker.clone().reversed().tar(TarFormat::Pax))),
        ("with ./ at each path", Some(docker.clone().prefixed("./").tar(TarFormat::Ustar))),
        ("crane", Some(archive::crane(&[(&image, tags)]).tar(TarFormat::Ustar))),
        ("gzip", compressed("gzip")),
        ("bzip2", compressed("bzip2")),
        ("xz", compressed("xz")),
        ("zstd", compressed("zstd")),
    ];
    for (what, bytes) in archives {
        let Some(bytes) = bytes else { continue };
        let second = Sandbox::new();
        std::fs::write(second.path("archive"), bytes).unwrap();
        let printed = second.run(&["load", "-i", text(&second.path("archive"))]).success();
        assert_eq!(printed, "Loaded image: sample:1\n", "{what}");
        assert_eq!(id(&second, "sample:1"), image.id().to_string(), "{what}");
        assert_eq!(second.run(&["image", "cat", "sample:1", "/top"]).success(), "top of 3\n", "{what}");
        second.run(&["fsck"]).success();
    }
    let v1 = Sandbox::new();
    std::fs::write(v1.path("v1.tar"), archive::docker_v1(&image, "old", "1").tar(TarFormat::Ustar)).unwrap();
    assert_eq!(v1.run(&["load", "-i", text(&v1.path("v1.tar"))]).success(), "Loaded image: old:1\n");
    assert_eq!(v1.run(&["image", "cat", "old:1", "/etc/os-release"]).success(), "NAME=sample\n");
}

/// What an archive of other projects must give: the whole of stdout, or the whole of stderr.
enum Expected {
    Loads(&'static str),
    Refused(&'static str),
}
use Expected::{Loads, Refused};

/// Every archive under `testdata/`.
const ARCHIVES: &[(&str, Expected)] = &[
    ("docker-archives/almostempty.tar", Loads("Loaded image: emptyimage:latest\n")),
    ("docker-archives/buildkit-docker.tar", Loads("Loaded image: github.com/buildkit/archive:docker\n")),
    ("docker-archives/buildkit-oci.tar", Loads("Loaded image: github.com/buildkit/archive:oci\n")),
    ("docker-archives/docker-name-only.tar.xz", Loads("Loaded image: pretty-empty:latest\n")),
    ("docker-archives/docker-registry-name.tar.xz", Loads("Loaded image: example.com/empty:latest\n")),
    (
        "docker-archives/docker-two-images.tar.xz",
        Loads("Loaded image: example.com/empty:latest\nLoaded image: example.com/empty/but:different\n"),
    ),
    (
        "docker-archives/docker-two-names.tar.xz",
        Loads("Loaded image: pretty-empty:latest\nLoaded image: example.com/empty:latest\n"),
    ),
    (
        "docker-archives/docker-unnamed.tar.xz",
        Loads("Loaded image ID: sha256:ec9293436c2e66da44edb9efb8d41f6b13baf62283ebe846468bc992d76d7951\n"),
    ),
    ("docker-archives/emptyLayer.tar", Loads("Loaded image: matthughes/library-centos:6-2015.03.20\n")),
    ("docker-archives/oci-name-only.tar.gz", Loads("Loaded image: pretty-empty:latest\n")),
    (
        "docker-archives/oci-non-docker-name.tar.gz",
        Loads("Loaded image ID: sha256:5c8aca8137ac47e84c69ae93ce650ce967917cc001ba7aad5494073fac75b8b6\n"),
    ),
    ("docker-archives/oci-registry-name.tar.gz", Loads("Loaded image: example.com/empty:latest\n")),
    (
        "docker-archives/oci-unnamed.tar.gz",
        Loads("Loaded image ID: sha256:5c8aca8137ac47e84c69ae93ce650ce967917cc001ba7aad5494073fac75b8b6\n"),
    ),
    (
        "docker-archives/tarsum/collision/collision-0.tar",
        Refused(
            "not an image archive: open repositories: no such file or directory (nor manifest.json, nor index.json with oci-layout)\n",
        ),
    ),
    ("ggcr-tarballs/mutate/overwritten_file.tar", Loads("Loaded image: bazel/pkg/v1/mutate:overwritten_file\n")),
    ("ggcr-tarballs/mutate/source_image.tar", Loads("Loaded image: bazel/pkg/v1/mutate:source_image\n")),
    (
        "ggcr-tarballs/mutate/source_image_with_empty_layer_history.tar",
        Loads("Loaded image: bazel/pkg/v1/mutate:source_image\n"),
    ),
    ("ggcr-tarballs/mutate/whiteout_dir.tar", Loads("Loaded image: localhost:5000/whiteout:latest\n")),
    ("ggcr-tarballs/mutate/whiteout_image.tar", Loads("Loaded image: bazel/pkg/v1/mutate:whiteout_image\n")),
    (
        "ggcr-tarballs/tarball/content.tar",
        Refused(
            "not an image archive: open repositories: no such file or directory (nor manifest.json, nor index.json with oci-layout)\n",
        ),
    ),
    ("ggcr-tarballs/tarball/no_manifest.tar", Loads("Loaded image: bazel/v1/tarball:test_image\n")),
    ("ggcr-tarballs/tarball/null_manifest.tar", Refused("invalid manifest, manifest cannot be null (but can be [])\n")),
    ("ggcr-tarballs/tarball/test_bundle.tar", Refused("invalid tag \"test_image_2\"\n")),
    ("ggcr-tarballs/tarball/test_image_1.tar", Loads("Loaded image: bazel/v1/tarball:test_image_1\n")),
    ("ggcr-tarballs/tarball/test_image_2.tar", Loads("Loaded image: bazel/v1/tarball:test_image_2\n")),
    (
        "ggcr-tarballs/tarball/test_link.tar",
        Loads("Loaded image: bazel/v1/tarball:test_image_1\nLoaded image: bazel/v1/tarball:test_image_3\n"),
    ),
    ("ggcr-tarballs/tarball/test_load_manifest.tar", Loads("Loaded image: bazel/v1/tarball:test_image_1\n")),
];

#[test]
fn every_archive_of_other_projects_loads_or_is_refused_in_dockers_words() {
    let mut wrong = Vec::new();
    for (file, expected) in ARCHIVES {
        let sandbox = Sandbox::new();
        let loaded = sandbox.run(&["load", "-i", text(&fixture::path(file))]);
        let (code, shown, wanted) = match expected {
            Loads(stdout) => (0, &loaded.stdout, stdout),
            Refused(stderr) => (1, &loaded.stderr, stderr),
        };
        if loaded.status.code() != Some(code) || shown != wanted {
            wrong.push(format!("{file}: {}\n{}{}", loaded.status, loaded.stdout, loaded.stderr));
        }
        let checked = sandbox.run(&["fsck"]);
        assert!(checked.status.success(), "{file}: {}{}", checked.stdout, checked.stderr);
        if code == 0 {
            for id in sandbox.run(&["images", "-q", "--no-trunc"]).success().lines() {
                sandbox.run(&["inspect", id]).success();
                sandbox.run(&["history", id]).success();
                sandbox.run(&["save", "-o", text(&sandbox.path("saved.tar")), id]).success();
                let again = sandbox.path("again");
                let loaded =
                    run(sandbox.command_on(&again, &["load", "-i", text(&sandbox.path("saved.tar"))])).success();
                assert_eq!(loaded, format!("Loaded image ID: {id}\n"), "{file}");
            }
        }
    }
    assert!(wrong.is_empty(), "{}", wrong.join("\n"));
}

#[test]
fn every_archive_is_in_the_table() {
    let folders = ["docker-archives", "ggcr-tarballs"].map(fixture::path);
    let root = fixture::path("");
    let mut unknown = Vec::new();
    for file in folders.iter().flat_map(|folder| fixture::files(folder)) {
        let name = file.strip_prefix(&root).unwrap().to_str().unwrap().to_owned();
        let is_archive = [".tar", ".tar.gz", ".tar.xz"].iter().any(|suffix| name.ends_with(suffix));
        let is_layer = name.ends_with("/layer.tar") || name.contains("/collision-");
        if is_archive && !is_layer && !ARCHIVES.iter().any(|(known, _)| *known == name) {
            unknown.push(name);
        }
    }
    assert_eq!(unknown, Vec::<String>::new());
}

/// Every layout directory under `testdata/` that holds its blobs, and what must come of copying it into the store.
const LAYOUTS: &[(&str, Expected)] = &[
    (
        "ggcr-tarballs/layout/test_gc_image_unknown_mediatype",
        Refused(
            "OCI layout TESTDATA/ggcr-tarballs/layout/test_gc_image_unknown_mediatype: sha256:32589985702551b6c56033bb3334432a0a513bf9d6aceda0f67c42b003850720 is of type application/vnd.oci.descriptor.v1+json, no image\n",
        ),
    ),
    (
        "ggcr-tarballs/layout/test_gc_index",
        Refused(
            "OCI layout TESTDATA/ggcr-tarballs/layout/test_gc_index: it holds no image or more than one, choose an image\nhint: images of this layout: 1, 3, 4\n",
        ),
    ),
    (
        "ggcr-tarballs/layout/test_index",
        Refused(
            "OCI layout TESTDATA/ggcr-tarballs/layout/test_index: it holds no image or more than one, choose an image\nhint: images of this layout: 1, 2, 3, 4\n",
        ),
    ),
    (
        "ggcr-tarballs/layout/test_index_media_type",
        Refused(
            "sha256:b544f71ecd82372bc9a3c0dbef378abfd2734fe437df81ff6e242a0d720d8e3e holds no container image: artifacts can be copied between registries, not pulled\n",
        ),
    ),
    ("ggcr-tarballs/layout/test_index_one_image", Loads("")),
    (
        "manifests/oci-layout/delete_image_only_one_image",
        Refused(
            "blob sha256:a527179158cd5cebc11c152b8637b47ce96c838ba2aa0de66d14f45cedc11423: got more than the expected 585 bytes\n",
        ),
    ),
    (
        "manifests/oci-layout/delete_image_multiple_images",
        Refused(
            "OCI layout TESTDATA/manifests/oci-layout/delete_image_multiple_images: it holds no image or more than one, choose an image\nhint: images of this layout: latest, 3.18.3, 3, 3.18, 3.17.5, 3.16.7, 1.0.0\n",
        ),
    ),
    (
        "manifests/oci-layout/delete_image_shared_blobs_dir",
        Refused(
            "reading TESTDATA/manifests/oci-layout/delete_image_shared_blobs_dir/blobs/sha256/eaa95f3cfaac07c8a5153eb77c933269586ad0226c83405776be08547e4d2a18: No such file or directory (os error 2)\n",
        ),
    ),
    (
        "manifests/oci-layout/manifest",
        Refused("reading TESTDATA/manifests/oci-layout/manifest/oci-layout: No such file or directory (os error 2)\n"),
    ),
    (
        "manifests/oci-layout/two_images_manifest",
        Refused(
            "reading TESTDATA/manifests/oci-layout/two_images_manifest/oci-layout: No such file or directory (os error 2)\n",
        ),
    ),
];

#[test]
fn every_layout_of_other_projects_is_read_or_refused() {
    let mut wrong = Vec::new();
    for (folder, expected) in LAYOUTS {
        let sandbox = Sandbox::new();
        let from = format!("oci:{}", text(&fixture::path(folder)));
        let copied = sandbox.run(&["copy", &from, "store:layout:1"]);
        let (code, shown, wanted) = match expected {
            Loads(_) => (0, "", &""),
            Refused(stderr) => (1, copied.stderr.as_str(), stderr),
        };
        let shown = shown.replace(text(&fixture::path("")), "TESTDATA/");
        if copied.status.code() != Some(code) || shown != *wanted {
            wrong.push(format!("{folder}: {}\n{}{}", copied.status, copied.stdout, copied.stderr));
        }
        let checked = sandbox.run(&["fsck"]);
        assert!(checked.status.success(), "{folder}: {}{}", checked.stdout, checked.stderr);
    }
    assert!(wrong.is_empty(), "{}", wrong.join("\n"));
}

/// Blobs are fetched at once; which one is missed first is chance.
fn without_blob(said: &str) -> String {
    match said.split_once("blob sha256:") {
        Some((before, rest)) => format!("{before}blob BLOB{}", &rest[64..]),
        None => said.to_owned(),
    }
}

/// The media type that a registry would deliver a manifest with.
fn type_of(manifest: &[u8]) -> String {
    let document: Value = serde_json::from_slice(manifest).unwrap_or_default();
    let unnamed = match &document {
        _ if document["schemaVersion"] == 1 => "application/vnd.docker.distribution.manifest.v1+prettyjws",
        _ if document["manifests"].is_array() => "application/vnd.oci.image.index.v1+json",
        _ => "application/vnd.oci.image.manifest.v1+json",
    };
    document["mediaType"].as_str().unwrap_or(unnamed).to_owned()
}

/// Manifests of other projects in a registry: what `manifest inspect` and `pull` say. The blobs are not there, so that the
/// best that a pull can do is to miss the first of them.
#[test]
fn every_manifest_of_other_projects_is_understood_or_refused() {
    let registry = FakeRegistry::start();
    let sandbox = Sandbox::new();
    let mut transcript = String::new();
    for file in fixture::files(&fixture::path("manifests")) {
        let name = file.file_name().unwrap().to_str().unwrap();
        let is_manifest =
            name.ends_with(".json") && !name.ends_with("config.json") && !text(&file).contains("oci-layout");
        if !is_manifest {
            continue;
        }
        let bytes = std::fs::read(&file).unwrap();
        let media_type = MediaType::parse(type_of(&bytes).as_str());
        registry.add_manifest("given", "1", &media_type, &bytes);
        let reference = registry.reference("given:1");
        // Layers with addresses elsewhere would be fetched from there.
        let elsewhere = name.contains(".everything.");
        let shown = text(&file).strip_prefix(text(&fixture::path("manifests/"))).unwrap();
        for arguments in [&["manifest", "inspect", &reference][..], &["pull", "-q", &reference]] {
            if elsewhere && arguments[0] == "pull" {
                continue;
            }
            let done = sandbox.run(arguments);
            assert!(!done.stderr.contains("panicked"), "{name}: {}", done.stderr);
            let said = if done.status.success() { "understood\n".to_owned() } else { done.stderr };
            let said = without_blob(&said.replace(&registry.host(), "REGISTRY"));
            transcript.push_str(&format!("{shown}: {}: {said}", arguments[0]));
        }
    }
    assert_eq!(sandbox.run(&["images", "-aq"]).success(), "");
    sandbox.run(&["fsck"]).success();
    golden::assert_file(concat!(env!("CARGO_MANIFEST_DIR"), "/tests/golden/manifests.txt"), &transcript);
}

#[test]
fn a_root_filesystem_is_exported_and_imported() {
    let sandbox = Sandbox::new();
    let tar = strata_testkit::TarBuilder::new(TarFormat::Pax)
        .entries(&[TarEntry::directory("etc/"), TarEntry::file("etc/motd", "hello\n").owner(7, 8).mode(0o4755)])
        .finish();
    std::fs::write(sandbox.path("root.tar"), &tar).unwrap();
    let printed = sandbox
        .run(&[
            "import",
            "-c",
            "CMD [\"/bin/sh\"]",
            "-c",
            "ENV A=b",
            "-m",
            "made",
            text(&sandbox.path("root.tar")),
            "made:1",
        ])
        .success();
    assert_eq!(printed.trim(), id(&sandbox, "made:1"));
    let shown = sandbox.run(&["inspect", "-f", "{{.Config.Cmd}} {{.Config.Env}} {{.Comment}}", "made:1"]).success();
    assert_eq!(shown, "[/bin/sh] [A=b] made\n");
    let exported = sandbox.path("exported.tar");
    sandbox.run(&["export", "-o", text(&exported), "made:1"]).success();
    let listing = output("tar", &["--numeric-owner", "-tvf", text(&exported)]);
    assert!(listing.contains("-rwsr-xr-x 7/8"), "{listing}");
    let again = sandbox.run(&["import", text(&exported), "made:2"]).success();
    sandbox.run(&["import", text(&exported), "untagged"]).success();
    assert_eq!(sandbox.run(&["images", "--format", "{{.Tag}}", "untagged"]).success(), "latest\n");
    assert!(again.starts_with("sha256:"), "{again}");
    assert_eq!(sandbox.run(&["image", "cat", "made:2", "/etc/motd"]).success(), "hello\n");
    assert_eq!(sandbox.run(&["image", "diff", "made:1", "made:2"]).success(), "");
}
