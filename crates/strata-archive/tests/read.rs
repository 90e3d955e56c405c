//! Archives of every age and tool are read.

mod memory;

use std::io::Read;

use memory::{read, summary};
use strata_archive::ArchiveFormat;
use strata_model::Digest;
use strata_testkit::archive::{self, ArchiveMembers};
use strata_testkit::{Image, ImageBuilder, Index, Layer, Packing, TarEntry, TarFormat, fixture};

/// A test file, decompressed by its name.
fn bytes(path: &str) -> Vec<u8> {
    let raw = fixture::bytes(path);
    let mut tar = Vec::new();
    match path {
        _ if path.ends_with(".xz") => liblzma::read::XzDecoder::new(&raw[..]).read_to_end(&mut tar).unwrap(),
        _ if path.ends_with(".gz") => flate2::read::MultiGzDecoder::new(&raw[..]).read_to_end(&mut tar).unwrap(),
        _ => return raw,
    };
    tar
}

#[test]
fn archives_of_other_tools_are_read() {
    use ArchiveFormat::{Docker, DockerV1, Oci};
    type Expected<'a> = &'a [(&'a [&'a str], usize)];
    let table: &[(&str, ArchiveFormat, Expected)] = &[
        ("docker-archives/almostempty.tar", Docker, &[(&["emptyimage:latest"], 1)]),
        ("docker-archives/buildkit-docker.tar", Oci, &[(&["github.com/buildkit/archive:docker"], 0)]),
        ("docker-archives/buildkit-oci.tar", Oci, &[(&["github.com/buildkit/archive:oci"], 0)]),
        ("docker-archives/docker-name-only.tar.xz", Docker, &[(&["pretty-empty:latest"], 1)]),
        ("docker-archives/docker-registry-name.tar.xz", Docker, &[(&["example.com/empty:latest"], 1)]),
        (
            "docker-archives/docker-two-images.tar.xz",
            Docker,
            &[(&["example.com/empty:latest"], 1), (&["example.com/empty/but:different"], 1)],
        ),
        (
            "docker-archives/docker-two-names.tar.xz",
            Docker,
            &[(&["pretty-empty:latest", "example.com/empty:latest"], 1)],
        ),
        ("docker-archives/docker-unnamed.tar.xz", Docker, &[(&[], 1)]),
        ("docker-archives/emptyLayer.tar", DockerV1, &[(&["matthughes/library-centos:6-2015.03.20"], 3)]),
        ("docker-archives/oci-name-only.tar.gz", Oci, &[(&["pretty-empty:latest"], 1)]),
        ("docker-archives/oci-non-docker-name.tar.gz", Oci, &[(&[], 1)]),
        ("docker-archives/oci-registry-name.tar.gz", Oci, &[(&["example.com/empty:latest"], 1)]),
        ("docker-archives/oci-unnamed.tar.gz", Oci, &[(&[], 1)]),
        ("ggcr-tarballs/mutate/overwritten_file.tar", Docker, &[(&["bazel/pkg/v1/mutate:overwritten_file"], 3)]),
        ("ggcr-tarballs/mutate/source_image.tar", Docker, &[(&["bazel/pkg/v1/mutate:source_image"], 1)]),
        (
            "ggcr-tarballs/mutate/source_image_with_empty_layer_history.tar",
            Docker,
            &[(&["bazel/pkg/v1/mutate:source_image"], 1)],
        ),
        ("ggcr-tarballs/mutate/whiteout_dir.tar", Docker, &[(&["localhost:5000/whiteout:latest"], 4)]),
        ("ggcr-tarballs/mutate/whiteout_image.tar", Docker, &[(&["bazel/pkg/v1/mutate:whiteout_image"], 3)]),
        ("ggcr-tarballs/tarball/no_manifest.tar", DockerV1, &[(&["bazel/v1/tarball:test_image"], 1)]),
        ("ggcr-tarballs/tarball/test_bundle.tar", Docker, &[]),
        ("ggcr-tarballs/tarball/test_image_1.tar", Docker, &[(&["bazel/v1/tarball:test_image_1"], 1)]),
        ("ggcr-tarballs/tarball/test_image_2.tar", Docker, &[(&["bazel/v1/tarball:test_image_2"], 1)]),
        (
            "ggcr-tarballs/tarball/test_link.tar",
            Docker,
            &[(&["bazel/v1/tarball:test_image_1"], 1), (&["bazel/v1/tarball:test_image_3"], 2)],
        ),
        ("ggcr-tarballs/tarball/test_load_manifest.tar", Docker, &[(&["bazel/v1/tarball:test_image_1"], 1)]),
    ];
    for (path, format, expected) in table {
        if path.ends_with("test_bundle.tar") {
            // Its names have no tags, which docker refuses.
            let error = read(&bytes(path)).err().unwrap();
            assert_eq!(error.to_string(), "invalid tag \"test_image_2\"");
            continue;
        }
        let (images, memory) = read(&bytes(path)).unwrap_or_else(|error| panic!("{path}: {error}"));
        let expected: Vec<(Vec<String>, Vec<usize>)> = expected
            .iter()
            .map(|(names, layers)| (names.iter().map(|name| (*name).to_owned()).collect(), vec![*layers]))
            .collect();
        assert_eq!((images.format, summary(&images)), (*format, expected), "{path}");
        for layer in images.images.iter().flat_map(|image| &image.variants).flat_map(|variant| &variant.layers) {
            assert!(memory.blobs.contains_key(&layer.descriptor.digest), "{path}: {}", layer.path);
        }
    }
}

#[test]
fn what_is_no_archive_is_refused_in_dockers_words() {
    for (path, expected) in [
        ("ggcr-tarballs/tarball/null_manifest.tar", "invalid manifest, manifest cannot be null (but can be [])"),
        ("ggcr-tarballs/tarball/content.tar", "repositories: no such file or directory"),
        ("docker-archives/tarsum/collision/collision-0.tar", "repositories: no such file or directory"),
    ] {
        let error = read(&bytes(path)).err().unwrap_or_else(|| panic!("{path} was read"));
        assert!(error.to_string().contains(expected), "{path}: {error}");
    }
}

#[test]
fn layouts_of_other_tools_are_read() {
    for (folder, images, skipped) in [
        ("ggcr-tarballs/layout/test_gc_image_unknown_mediatype", 0, 1),
        ("ggcr-tarballs/layout/test_gc_index", 3, 0),
        ("ggcr-tarballs/layout/test_index", 3, 1),
        ("ggcr-tarballs/layout/test_index_media_type", 1, 0),
        ("ggcr-tarballs/layout/test_index_one_image", 1, 0),
    ] {
        let (found, _) = read(&fixture::members(folder).tar(TarFormat::Ustar)).unwrap();
        assert_eq!((found.images.len(), found.skipped.len()), (images, skipped), "{folder}");
        assert!(found.images.iter().all(|image| image.variants.len() == 1 && image.variants[0].layers.len() == 1));
    }
    // Their blobs are left out, or stand-ins of another size or content, which their own tests do not look at.
    for (folder, expected) in [
        ("manifest", "index.json names \"blobs/sha256/84afb"),
        ("name_lookups", "index.json names \"blobs/sha256/aaaaa"),
        ("two_images_manifest", "index.json names \"blobs/sha256/e6924"),
        ("delete_image_shared_blobs_dir", "index.json names \"blobs/sha256/eaa95"),
        ("delete_image_only_one_image", "expected 585 bytes, got 740"),
        ("delete_image_multiple_images", "invalid diffID for layer 0: expected \"sha256:46930"),
        ("delete_image_two_identical_references", "invalid diffID for layer 0: expected \"sha256:03901"),
    ] {
        let error = read(&fixture::members(&format!("manifests/oci-layout/{folder}")).tar(TarFormat::Ustar)).err();
        let message = error.unwrap_or_else(|| panic!("{folder} was read")).to_string();
        assert!(message.contains(expected), "{folder}: {message}");
    }
}

#[test]
fn the_same_image_is_found_whatever_wrote_it() {
    let image = ImageBuilder::new()
        .layer(Layer::of_file("a", "1"))
        .layer(Layer::of_file("b", "2").packed(Packing::Plain))
        .layer(Layer::of_file("a", "1"))
        .build();
    let names: &[&str] = &["example.com/museum:1"];
    let annotations = [("io.containerd.image.name", names[0]), ("org.opencontainers.image.ref.name", "1")];
    let oci = archive::oci(&image, &annotations);
    let combined = oci.clone().with("manifest.json", {
        let path = |digest: Digest| archive::blob_path(&digest);
        let layers: Vec<String> = image.layers.iter().map(|layer| path(layer.digest())).collect();
        serde_json::json!([{ "Config": path(image.id().0), "RepoTags": names, "Layers": layers }]).to_string()
    });
    let docker = archive::docker(&[(&image, names)]);
    let plain = ImageBuilder::new().layer(Layer::of_file("a", "1")).layer(Layer::of_file("b", "2")).build();
    let crane = archive::crane(&[(&plain, names)]);
    let expected = |layers| vec![(vec![names[0].to_owned()], vec![layers])];
    for (members, layers) in [(oci, 3), (combined, 3), (docker, 3), (crane, 2)] {
        for members in [members.clone(), members.clone().reversed(), members.prefixed("./")] {
            for format in TarFormat::ALL.into_iter().filter(|format| *format != TarFormat::V7) {
                let (images, memory) = read(&members.tar(format)).unwrap();
                assert_eq!(summary(&images), expected(layers));
                let variant = &images.images[0].variants[0];
                let config = if layers == 2 { &plain.config } else { &image.config };
                assert_eq!(variant.config.as_ref().unwrap(), config);
                for layer in &variant.layers {
                    assert!(memory.blobs.contains_key(&layer.stored.unwrap().digest));
                }
                if !variant.synthesized {
                    assert_eq!(variant.manifest.bytes(), &image.manifest);
                }
            }
        }
    }
}

#[test]
fn v1_archives_get_the_configuration_that_docker_makes() {
    let image = ImageBuilder::new().layer(Layer::of_file("a", "1")).layer(Layer::of_file("b", "2")).build();
    let (images, _) = read(&archive::docker_v1(&image, "old", "tag").tar(TarFormat::Ustar)).unwrap();
    assert_eq!(summary(&images), [(vec!["old:tag".to_owned()], vec![2])]);
    let config = String::from_utf8(images.images[0].variants[0].config.as_ref().unwrap().to_vec()).unwrap();
    let step = r#"{"created":"2014-01-01T00:00:00Z","created_by":"/bin/sh -c step"}"#;
    let [a, b] = [image.layers[0].diff_id(), image.layers[1].diff_id()];
    let expected = format!(
        r#"{{"architecture":"amd64","config":{{"Cmd":["/bin/sh"]}},"container_config":{{"Cmd":["/bin/sh","-c","step"]}},"created":"2014-01-01T00:00:00Z","docker_version":"1.4.1","history":[{step},{step}],"os":"linux","rootfs":{{"type":"layers","diff_ids":["{a}","{b}"]}}}}"#
    );
    assert_eq!(config, expected);
}

#[test]
fn indexes_are_read_as_far_as_they_are_there() {
    let arm = ImageBuilder::new().platform("linux/arm64").layer(Layer::of_file("a", "arm")).build();
    let index = Index::new(vec![Image::small("amd"), arm.clone()]);
    let members = archive::oci_index(&index, &[("io.containerd.image.name", "docker.io/library/two:1")]);
    let (images, _) = read(&members.tar(TarFormat::Ustar)).unwrap();
    let image = &images.images[0];
    assert_eq!(image.root.digest, index.digest());
    assert_eq!(image.indexes[0].bytes(), &index.manifest);
    let platforms: Vec<String> =
        image.variants.iter().map(|variant| variant.platform.as_ref().unwrap().to_string()).collect();
    assert_eq!(platforms, ["linux/amd64", "linux/arm64"]);
    for dropped in [arm.layers[0].digest(), arm.id().0, arm.digest()] {
        let (images, _) = read(&members.clone().without(&dropped.hex()).tar(TarFormat::Ustar)).unwrap();
        assert_eq!(images.images[0].variants.len(), 1);
        assert_eq!(images.images[0].absent[0].digest, arm.digest());
    }
}

#[test]
fn links_stand_for_layers() {
    let image = Image::small("linked");
    let layer = &image.layers[0].tar;
    let manifest =
        serde_json::json!([{ "Config": "c.json", "RepoTags": null, "Layers": ["v1/layer.tar"] }]).to_string();
    for link in [
        TarEntry::symbolic_link("v1/layer.tar", "../real/layer.tar"),
        TarEntry::hard_link("v1/layer.tar", "./real/layer.tar"),
        TarEntry::symbolic_link("v1", "real"),
        TarEntry::symbolic_link("v1/layer.tar", "../../../../real/layer.tar"),
    ] {
        let members = ArchiveMembers(vec![
            link,
            TarEntry::file("manifest.json", &manifest),
            TarEntry::file("c.json", &image.config),
            TarEntry::file("real/layer.tar", layer),
        ]);
        let (images, _) = read(&members.tar(TarFormat::Gnu)).unwrap();
        let found = &images.images[0].variants[0].layers[0];
        assert_eq!((found.path.as_str(), found.stored.unwrap().digest), ("real/layer.tar", Digest::of(layer)));
    }
}

#[test]
fn the_last_use_of_a_name_counts() {
    let (x, y) = (Image::small("x"), Image::small("y"));
    let members = archive::docker(&[(&x, &["a:1", "a:2", "a:2"]), (&y, &["a:1"])]);
    let (images, _) = read(&members.tar(TarFormat::Ustar)).unwrap();
    assert_eq!(summary(&images), [(vec!["a:2".to_owned()], vec![1]), (vec!["a:1".to_owned()], vec![1])]);
}

#[test]
fn a_wrong_oci_manifest_of_docker_25_0_is_passed_over() {
    let image = Image::small("x");
    let mut manifest: serde_json::Value = serde_json::from_slice(&image.manifest).unwrap();
    manifest["layers"] = serde_json::json!([]);
    let wrong = Image { manifest: manifest.to_string().into_bytes(), ..image.clone() };
    let mut members = archive::oci(&wrong, &[("io.containerd.image.name", "docker.io/library/x:1")]);
    members.0.extend(archive::docker(&[(&image, &["x:1"])]).0);
    let (images, _) = read(&members.tar(TarFormat::Ustar)).unwrap();
    assert_eq!((images.format, summary(&images)), (ArchiveFormat::Docker, vec![(vec!["x:1".to_owned()], vec![1])]));
}
