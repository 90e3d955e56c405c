//! Archives that are written: the same bytes each time, equal when read again, and read by another tool.

mod memory;

use std::io::Read;
use std::path::Path;
use std::process::Command;

use memory::{Memory, read, saved, summary};
use strata_archive::{ArchiveError, ArchiveImages, ArchiveWriter, BlobSource, SavedImage, SinkError};
use strata_model::{Compression, Descriptor, DiffId};
use strata_testkit::{Image, ImageBuilder, Index, Layer, Packing, TarBuilder, TarEntry, TarFormat, archive, golden};

fn bytes(writer: &ArchiveWriter, memory: &mut Memory) -> Vec<u8> {
    let mut out = Vec::new();
    writer.write(&mut out, memory).unwrap();
    assert_eq!(writer.length(), out.len() as u64);
    out
}

/// A multi-platform image with an attestation, and a single image with two names.
fn museum() -> (ArchiveImages, Memory) {
    let arm = ImageBuilder::new().platform("linux/arm64").layer(Layer::of_file("a", "arm")).build();
    let attestation = ImageBuilder::new()
        .config(|config| (config["os"], config["architecture"]) = ("unknown".into(), "unknown".into()))
        .build();
    let index = Index::new(vec![attestation, ImageBuilder::new().layer(Layer::of_noise(1, 3000)).build(), arm]);
    let mut members = archive::oci_index(&index, &[("io.containerd.image.name", "docker.io/library/multi:1")]);
    let single = ImageBuilder::new()
        .docker()
        .layer(Layer::of_file("b", "1"))
        .layer(Layer::of_file("c", "2").packed(Packing::Zstd))
        .build();
    let docker = archive::oci(&single, &[]);
    let entry = |name: &str| {
        let mut entry = single.descriptor();
        entry.annotations.insert("io.containerd.image.name".into(), name.into());
        entry
    };
    let mut root = index.descriptor();
    root.annotations.insert("io.containerd.image.name".into(), "docker.io/library/multi:1".into());
    let entries = [root, entry("example.com/single:1"), entry("docker.io/library/single:latest")];
    for member in docker.0 {
        members = members.with(std::str::from_utf8(&member.path).unwrap(), &member.data);
    }
    let index = serde_json::json!({ "schemaVersion": 2, "manifests": entries });
    read(&members.with("index.json", index.to_string()).tar(TarFormat::Ustar)).unwrap()
}

#[test]
fn what_is_written_is_read_again() {
    let (images, mut memory) = museum();
    let images_saved = saved(&images);
    for writer in [ArchiveWriter::combined(&images_saved).unwrap(), ArchiveWriter::oci(&images_saved).unwrap()] {
        let tar = bytes(&writer, &mut memory);
        let (again, mut stored) = read(&tar).unwrap();
        assert_eq!(summary(&again), summary(&images));
        for (new, old) in again.images.iter().zip(&images.images) {
            assert_eq!((new.root.digest, &new.root.media_type), (old.root.digest, &old.root.media_type));
            for (new, old) in new.variants.iter().zip(&old.variants) {
                assert_eq!((new.manifest.bytes(), &new.config), (old.manifest.bytes(), &old.config));
            }
        }
        let rewritten = match writer.blobs().count() {
            _ if tar.windows(13).any(|window| window == b"manifest.json") => ArchiveWriter::combined(&saved(&again)),
            _ => ArchiveWriter::oci(&saved(&again)),
        };
        assert!(bytes(&rewritten.unwrap(), &mut stored) == tar, "the same images give the same bytes");
    }
}

#[test]
fn the_layout_of_members_is_dockers() {
    let image = ImageBuilder::new().layer(Layer::of_file("a", "1").packed(Packing::Plain)).build();
    let annotations = [("io.containerd.image.name", "docker.io/library/a:1")];
    let (images, mut memory) = read(&archive::oci(&image, &annotations).tar(TarFormat::Ustar)).unwrap();
    let tar = bytes(&ArchiveWriter::combined(&saved(&images)).unwrap(), &mut memory);
    let folder = tempfile::tempdir().unwrap();
    let file = folder.path().join("a.tar");
    std::fs::write(&file, &tar).unwrap();
    let output = Command::new("tar").args(["--full-time", "--utc", "-tvf"]).arg(&file).output().unwrap();
    assert!(output.status.success(), "{}", String::from_utf8_lossy(&output.stderr));
    let mut paths: Vec<(String, &str)> = vec![
        (archive::blob_path(&image.digest()), "1970-01-01 00:00:00"),
        (archive::blob_path(&image.id().0), "2020-01-01 00:00:00"),
        (archive::blob_path(&image.layers[0].digest()), "2020-01-01 00:00:00"),
    ];
    paths.sort();
    let expected: Vec<String> =
        [("blobs/".to_owned(), "1970-01-01 00:00:00"), ("blobs/sha256/".to_owned(), "1970-01-01 00:00:00")]
            .into_iter()
            .chain(paths)
            .chain(
                ["index.json", "manifest.json", "oci-layout", "repositories"]
                    .map(|path| (path.to_owned(), "1970-01-01 00:00:00")),
            )
            .map(|(path, time)| {
                let mode = if path.ends_with('/') { "drwxr-xr-x" } else { "-rw-r--r--" };
                format!("{mode} 0/0 {time} {path}\n")
            })
            .collect();
    let listing = String::from_utf8(output.stdout).unwrap();
    let shown: Vec<String> = listing
        .lines()
        .map(|line| {
            let words: Vec<&str> = line.split_whitespace().collect();
            format!("{} {} {} {} {}\n", words[0], words[1], words[3], words[4], words[5])
        })
        .collect();
    golden::assert_text(&expected.concat(), &shown.concat());
    let text = String::from_utf8_lossy(&tar).into_owned();
    let [config, layer, digest] = [image.id().0, image.layers[0].digest(), image.digest()].map(|digest| digest.hex());
    let platform = r#""platform":{"architecture":"amd64","os":"linux"}"#;
    for document in [
        format!(r#"[{{"Config":"blobs/sha256/{config}","RepoTags":["a:1"],"Layers":["blobs/sha256/{layer}"]}}]"#)
            + "\n",
        format!(r#"{{"a":{{"1":"{layer}"}}}}"#) + "\n",
        r#"{"imageLayoutVersion":"1.0.0"}"#.to_owned(),
        format!(
            r#"{{"schemaVersion":2,"mediaType":"application/vnd.oci.image.index.v1+json","manifests":[{{"mediaType":"application/vnd.oci.image.manifest.v1+json","digest":"sha256:{digest}","size":{},"annotations":{{"io.containerd.image.name":"docker.io/library/a:1","org.opencontainers.image.ref.name":"1"}},{platform}}}]}}"#,
            image.manifest.len()
        ),
    ] {
        assert!(text.contains(&format!("{document}\0")), "{document}");
    }
}

#[test]
fn images_without_names_or_layers_are_written() {
    let empty = ImageBuilder::new().build();
    let (images, mut memory) = read(&archive::oci(&empty, &[]).tar(TarFormat::Ustar)).unwrap();
    let tar = bytes(&ArchiveWriter::combined(&saved(&images)).unwrap(), &mut memory);
    let text = String::from_utf8_lossy(&tar).into_owned();
    assert!(text.contains(r#""RepoTags":null,"Layers":null}]"#) && !text.contains("repositories"));
    assert_eq!(summary(&read(&tar).unwrap().0), [(vec![], vec![0])]);
    let nothing = bytes(&ArchiveWriter::combined(&[]).unwrap(), &mut memory);
    assert!(read(&nothing).unwrap().0.images.is_empty());
}

#[test]
fn blobs_of_another_length_are_refused() {
    struct Wrong(usize);
    impl BlobSource for Wrong {
        fn write_blob(&mut self, descriptor: &Descriptor, out: &mut dyn std::io::Write) -> Result<(), SinkError> {
            Ok(out.write_all(&vec![0; descriptor.size as usize + self.0 - 1])?)
        }
    }
    let (images, _) = museum();
    let writer = ArchiveWriter::oci(&saved(&images)).unwrap();
    for difference in [0, 2] {
        let error = writer.write(&mut Vec::new(), &mut Wrong(difference)).err().unwrap();
        assert!(matches!(error, ArchiveError::SizeMismatch { .. }), "{error}");
    }
    let error = writer.write(&mut &mut [0u8; 3000][..], &mut Wrong(1)).err().unwrap();
    assert!(matches!(error, ArchiveError::Write(_)), "{error}");
}

/// Delivers uncompressed layers by diff ID.
struct Plain(Vec<Layer>);

impl BlobSource for Plain {
    fn write_blob(&mut self, descriptor: &Descriptor, out: &mut dyn std::io::Write) -> Result<(), SinkError> {
        let layer = self.0.iter().find(|layer| layer.diff_id() == DiffId(descriptor.digest)).ok_or("unknown layer")?;
        Ok(out.write_all(&layer.tar)?)
    }
}

#[test]
fn another_tool_reads_them() {
    let skopeo = |arguments: &[&str]| Command::new("skopeo").args(arguments).output();
    if skopeo(&["--version"]).is_err() {
        return;
    }
    let image = ImageBuilder::new()
        .layer(Layer::of_file("a", "1"))
        .layer(Layer::of_noise(1, 20_000).packed(Packing::Plain))
        .build();
    let annotations = [("io.containerd.image.name", "docker.io/library/a:1")];
    let (images, mut memory) = read(&archive::oci(&image, &annotations).tar(TarFormat::Ustar)).unwrap();
    let mut plain: Vec<SavedImage> = saved(&images);
    plain[0].variants[0].layer_sizes = image.layers.iter().map(|layer| layer.tar.len() as u64).collect();
    let mut docker = Vec::new();
    let writer = ArchiveWriter::docker(&plain).unwrap();
    writer.write(&mut docker, &mut Plain(image.layers.clone())).unwrap();
    assert_eq!(writer.length(), docker.len() as u64);
    assert_eq!(summary(&read(&docker).unwrap().0), [(vec!["a:1".to_owned()], vec![2])]);
    let combined = bytes(&ArchiveWriter::combined(&saved(&images)).unwrap(), &mut memory);
    let oci = bytes(&ArchiveWriter::oci(&saved(&images)).unwrap(), &mut memory);
    let folder = tempfile::tempdir().unwrap();
    for (name, tar, transport) in [
        ("docker", &docker, "docker-archive"),
        ("combined-docker", &combined, "docker-archive"),
        ("combined-oci", &combined, "oci-archive"),
        ("oci", &oci, "oci-archive"),
    ] {
        let file = folder.path().join(name);
        std::fs::write(&file, tar).unwrap();
        let source = format!("{transport}:{}", file.display());
        let output = skopeo(&["inspect", "--config", "--raw", &source]).unwrap();
        assert!(output.status.success(), "{name}: {}", String::from_utf8_lossy(&output.stderr));
        assert_eq!(output.stdout, image.config, "{name}");
        copies(&source, &folder.path().join(format!("{name}-copy")), &image);
    }
}

#[test]
fn archives_of_another_tool_are_read() {
    let image = ImageBuilder::new().layer(Layer::of_file("a", "1")).layer(Layer::of_file("a", "2")).build();
    let folder = tempfile::tempdir().unwrap();
    let source = folder.path().join("source.tar");
    std::fs::write(&source, archive::oci(&image, &[]).tar(TarFormat::Ustar)).unwrap();
    for (transport, layers) in [("docker-archive", 2), ("oci-archive", 2)] {
        let target = folder.path().join(transport);
        let arguments = [
            "copy".to_owned(),
            "--insecure-policy".to_owned(),
            format!("oci-archive:{}", source.display()),
            format!("{transport}:{}:example.com/a:1", target.display()),
        ];
        let Ok(output) = Command::new("skopeo").args(arguments).output() else {
            return;
        };
        assert!(output.status.success(), "{transport}: {}", String::from_utf8_lossy(&output.stderr));
        let (images, _) = read(&std::fs::read(target).unwrap()).unwrap();
        assert_eq!(summary(&images), [(vec!["example.com/a:1".to_owned()], vec![layers])], "{transport}");
        assert_eq!(images.images[0].variants[0].config.as_ref().unwrap(), &image.config, "{transport}");
    }
}

#[test]
fn layers_are_streamed() {
    // 300 MiB of layer in a stream that nobody could keep in the memory that is allowed here.
    struct Count(u64);
    impl strata_archive::ArchiveSink for Count {
        fn store(
            &mut self,
            member: &strata_archive::Member<'_>,
            data: &mut dyn Read,
        ) -> Result<strata_archive::Stored, SinkError> {
            let mut buffer = [0; 1 << 16];
            let mut size = 0;
            loop {
                match data.read(&mut buffer)? {
                    0 => break,
                    count => size += count as u64,
                }
            }
            self.0 = self.0.max(size);
            assert_eq!(size, member.size);
            let digest = strata_model::Digest::of(b"not hashed");
            Ok(strata_archive::Stored { digest, size, compression: Compression::None, diff_id: None })
        }
    }
    let head = TarBuilder::new(TarFormat::Ustar).entry(&TarEntry::file("l", "").declared_size(300 << 20)).unfinished();
    let tail = archive::docker(&[(&Image::small("x"), &["a:1"])]).without("/layer.tar").tar(TarFormat::Ustar);
    let tar = (&head[..]).chain(std::io::repeat(0).take(300 << 20)).chain(&tail[..]);
    let mut sink = Count(0);
    let error = strata_archive::read_archive(tar, &mut sink).err().unwrap();
    assert!(matches!(error, ArchiveError::Missing { .. }), "{error}");
    assert_eq!(sink.0, 300 << 20);
}

/// Copies everything out, which checks all digests.
fn copies(source: &str, target: &Path, image: &Image) {
    let target = format!("dir:{}", target.display());
    let output = Command::new("skopeo").args(["copy", "--insecure-policy", source, &target]).output().unwrap();
    assert!(output.status.success(), "{source}: {}", String::from_utf8_lossy(&output.stderr));
    let config = Path::new(target.trim_start_matches("dir:")).join(image.id().0.hex());
    assert!(config.exists(), "{source} has another configuration");
}
