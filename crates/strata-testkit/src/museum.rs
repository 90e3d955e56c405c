//! Hostile and odd layers and archives, each by name with how it is to be taken.

use std::io::Write as _;

use serde_json::json;
use strata_model::{Digest, MediaType};

use crate::archive::{self, blob_path};
use crate::image::{Image, ImageBuilder};
use crate::layer::{Layer, Packing};
use crate::tar::{TarBuilder, TarEntry, TarFormat, seal};

/// What a reader is to do with an exhibit.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Verdict {
    /// It is malformed: an error, no panic, no unbounded memory.
    Refuse,
    /// It may be refused or taken, but nothing outside the root may be read, written or changed, and memory stays
    /// bounded.
    Contain,
    /// It is odd, but valid, and must be taken.
    Accept,
}

/// One exhibit.
#[derive(Clone, Copy, Debug)]
pub struct Exhibit {
    /// A name that is unique within its room.
    pub name: &'static str,
    /// How it is to be taken.
    pub verdict: Verdict,
    /// Makes the bytes: the tar of a layer or archive, or a compressed layer.
    pub bytes: fn() -> Vec<u8>,
}

macro_rules! room {
    ($($name:literal $verdict:ident $bytes:expr;)*) => {
        vec![$(Exhibit { name: $name, verdict: Verdict::$verdict, bytes: $bytes },)*]
    };
}

fn pax(entries: &[TarEntry]) -> Vec<u8> {
    TarBuilder::new(TarFormat::Pax).entries(entries).finish()
}

/// Layer tars, uncompressed.
pub fn layers() -> Vec<Exhibit> {
    room! {
        "dotdot-file" Contain || pax(&[TarEntry::file("../../../../tmp/strata-museum-escape", "x")]);
        "dotdot-inside" Contain || pax(&[TarEntry::directory("a/"), TarEntry::file("a/../../b", "x")]);
        "absolute-path" Contain || pax(&[TarEntry::file("/tmp/strata-museum-absolute", "x")]);
        "symlink-then-file-through-it" Contain || pax(&[
            TarEntry::symbolic_link("out", "/tmp"),
            TarEntry::file("out/strata-museum-through", "x"),
        ]);
        "relative-symlink-then-file" Contain || pax(&[
            TarEntry::symbolic_link("out", "../../../../tmp"),
            TarEntry::file("out/strata-museum-relative", "x"),
        ]);
        "symlink-replaced-by-directory" Accept || pax(&[
            TarEntry::symbolic_link("d", "/tmp"),
            TarEntry::directory("d/"),
            TarEntry::file("d/file", "x"),
        ]);
        "directory-replaced-by-symlink" Contain || pax(&[
            TarEntry::directory("d/"),
            TarEntry::file("d/file", "x"),
            TarEntry::symbolic_link("d", "/tmp"),
            TarEntry::file("d/strata-museum-replaced", "x"),
        ]);
        "symlink-loop" Contain || pax(&[
            TarEntry::symbolic_link("a", "b"),
            TarEntry::symbolic_link("b", "a"),
            TarEntry::file("a/file", "x"),
        ]);
        "hard-link-outside" Contain || pax(&[TarEntry::hard_link("passwd", "../../../../etc/passwd")]);
        "hard-link-absolute" Contain || pax(&[TarEntry::hard_link("passwd", "/etc/passwd")]);
        "hard-link-through-symlink" Contain || pax(&[
            TarEntry::symbolic_link("etc", "/etc"),
            TarEntry::hard_link("passwd", "etc/passwd"),
        ]);
        "hard-link-to-itself" Contain || pax(&[TarEntry::hard_link("a", "a")]);
        "hard-link-to-later-file" Contain || pax(&[TarEntry::hard_link("a", "b"), TarEntry::file("b", "x")]);
        "hard-link-to-directory" Contain || pax(&[TarEntry::directory("d/"), TarEntry::hard_link("a", "d")]);
        "hard-link-to-whiteout" Contain || pax(&[TarEntry::whiteout("x"), TarEntry::hard_link("a", ".wh.x")]);
        "hard-link-to-lower-layer" Contain || pax(&[TarEntry::hard_link("a", "not/in/this/layer")]);
        "device-memory" Contain || pax(&[TarEntry::character_device("dev/mem", 1, 1).mode(0o666)]);
        "device-disk" Contain || pax(&[TarEntry::block_device("dev/sda", 8, 0).mode(0o666)]);
        "device-zero-zero" Contain || pax(&[TarEntry::character_device("looks-like-a-whiteout", 0, 0)]);
        "device-huge-numbers" Contain || TarBuilder::new(TarFormat::Gnu)
            .entry(&TarEntry::character_device("device", u32::MAX, u32::MAX)).finish();
        "setuid-root" Accept || pax(&[TarEntry::file("bin/su", "#!").mode(0o6755)]);
        "sticky-world-writable" Accept || pax(&[TarEntry::directory("tmp/").mode(0o1777)]);
        "mode-beyond-permissions" Contain || pax(&[TarEntry::file("file", "").mode(0o107_7777 & 0o777_7777)]);
        "owner-huge" Contain || pax(&[TarEntry::file("file", "").owner(u64::from(u32::MAX), u64::MAX >> 1)]);
        "time-far-future" Contain || TarBuilder::new(TarFormat::Gnu)
            .entry(&TarEntry::file("file", "").mtime(u64::MAX >> 1)).finish();
        "time-negative" Accept || TarBuilder::new(TarFormat::Pax)
            .pax(b'x', &[("mtime", b"-62135596800.5")]).entry(&TarEntry::file("file", "")).finish();
        "xattr-overlay-redirect" Contain || pax(&[
            TarEntry::directory("d/").xattr("trusted.overlay.redirect", "/etc").xattr("trusted.overlay.opaque", "y"),
        ]);
        "xattr-capability" Accept || pax(&[
            TarEntry::file("ping", "x").xattr("security.capability", b"\x01\0\0\x02\0\x20\0\0\0\0\0\0\0\0\0\0\0\0\0\0"),
        ]);
        "xattr-binary-value" Accept || pax(&[TarEntry::file("file", "").xattr("user.bytes", b"a\0b\nc=d")]);
        "whiteout-of-dotdot" Contain || pax(&[TarEntry::file("a/.wh...", "")]);
        "whiteout-without-a-name" Contain || pax(&[TarEntry::file("a/.wh.", "")]);
        "whiteout-of-the-root" Contain || pax(&[TarEntry::file(".wh..", "")]);
        "whiteout-and-file-of-one-name" Accept || pax(&[TarEntry::whiteout("a"), TarEntry::file("a", "new")]);
        "whiteout-after-file" Accept || pax(&[TarEntry::file("a", "new"), TarEntry::whiteout("a")]);
        "whiteout-aufs-metadata" Accept || pax(&[
            TarEntry::directory(".wh..wh.plnk/"),
            TarEntry::file(".wh..wh.plnk/1.2", "linked"),
            TarEntry::file(".wh..wh.aufs", ""),
        ]);
        "whiteout-opaque-last" Accept || pax(&[
            TarEntry::directory("d/"), TarEntry::file("d/kept", "x"), TarEntry::opaque("d"),
        ]);
        "duplicate-files" Accept || pax(&[TarEntry::file("a", "first"), TarEntry::file("a", "last")]);
        "duplicate-file-and-directory" Accept || pax(&[
            TarEntry::file("a", "first"), TarEntry::directory("a/"), TarEntry::file("a/b", "x"),
        ]);
        "file-below-file" Contain || pax(&[TarEntry::file("a", "x"), TarEntry::file("a/b", "x")]);
        "directory-after-its-content" Accept || pax(&[
            TarEntry::file("d/e/file", "x"), TarEntry::directory("d/e/").mode(0o700), TarEntry::directory("d/").mode(0o711),
        ]);
        "root-entry" Accept || pax(&[TarEntry::directory("./").mode(0o755), TarEntry::file("./file", "x")]);
        "root-as-file" Contain || pax(&[TarEntry::file("/", "x")]);
        "root-as-symlink" Contain || pax(&[TarEntry::symbolic_link(".", "/tmp"), TarEntry::file("file", "x")]);
        "empty-name" Contain || pax(&[TarEntry::file("", "x")]);
        "name-with-newline" Accept || pax(&[TarEntry::file("a\nb", "x")]);
        "name-not-utf8" Accept || pax(&[TarEntry::file(b"caf\xe9", "x")]);
        "name-of-255-bytes" Accept || pax(&[TarEntry::file("n".repeat(255), "x")]);
        "name-of-256-bytes" Contain || pax(&[TarEntry::file("n".repeat(256), "x")]);
        "path-of-5000-bytes" Contain || pax(&[TarEntry::file("d/".repeat(2500) + "f", "x")]);
        "nesting-of-1000" Accept || pax(&[TarEntry::file("d/".repeat(1000) + "f", "x")]);
        "nesting-of-100000" Contain || pax(&[TarEntry::file("d/".repeat(100_000) + "f", "x")]);
        "symlink-of-10000-bytes" Contain || pax(&[TarEntry::symbolic_link("a", "t".repeat(10_000))]);
        "symlink-empty" Contain || pax(&[TarEntry::symbolic_link("a", "")]);
        "size-declared-huge" Refuse || pax(&[TarEntry::file("a", "x").declared_size(u64::MAX >> 1)]);
        "size-declared-8-eib" Refuse || TarBuilder::new(TarFormat::Gnu)
            .entry(&TarEntry::file("a", "x").declared_size(u64::MAX >> 1)).finish();
        "size-negative" Refuse || raw_size(b"\xff\xff\xff\xff\xff\xff\xff\xff\xff\xff\xff\xff");
        "size-not-a-number" Refuse || raw_size(b"0000000009x\0");
        "size-on-directory" Contain || pax(&[TarEntry::directory("d/").declared_size(512), TarEntry::file("f", "x")]);
        "size-on-symlink" Contain || pax(&[
            TarEntry::symbolic_link("l", "f").declared_size(512), TarEntry::file("f", "x"),
        ]);
        "checksum-wrong" Refuse || { let mut tar = pax(&[TarEntry::file("a", "x")]); tar[0] ^= 1; tar };
        "pax-record-malformed" Refuse || pax_data(b"5 a=");
        "pax-record-length-lies" Refuse || pax_data(b"99999999 path=a\n");
        "pax-record-without-key" Refuse || pax_data(b"5 =x\n");
        "pax-header-of-2-mib" Refuse || pax_data(&[b'x'; 2 << 20]);
        "pax-header-declared-huge" Refuse || TarBuilder::new(TarFormat::Gnu)
            .entry(&TarEntry::new(b'x', "x").declared_size(1 << 40)).finish();
        "pax-path-with-nul" Refuse || TarBuilder::new(TarFormat::Pax)
            .pax(b'x', &[("path", b"a\0b")]).entry(&TarEntry::file("a", "")).finish();
        "pax-size-overrides" Accept || TarBuilder::new(TarFormat::Pax)
            .pax(b'x', &[("size", b"3")]).entry(&TarEntry::file("a", "abc").declared_size(0)).finish();
        "pax-many-headers" Contain || {
            let header = TarBuilder::new(TarFormat::Pax).pax(b'x', &[("comment", &[b'c'; 1000])]).unfinished();
            TarBuilder::new(TarFormat::Pax).raw(&header.repeat(1000)).entry(&TarEntry::file("a", "")).finish()
        };
        "pax-10000-xattrs" Contain || {
            let names: Vec<String> = (0..10_000).map(|number| format!("SCHILY.xattr.user.{number}")).collect();
            let records: Vec<(&str, &[u8])> = names.iter().map(|name| (name.as_str(), &b"v"[..])).collect();
            TarBuilder::new(TarFormat::Pax).pax(b'x', &records).entry(&TarEntry::file("a", "")).finish()
        };
        "pax-global-path" Contain || TarBuilder::new(TarFormat::Pax)
            .pax(b'g', &[("path", b"../escape")]).entry(&TarEntry::file("a", "")).finish();
        "pax-header-at-the-end" Contain || TarBuilder::new(TarFormat::Pax).pax(b'x', &[("path", b"a")]).unfinished();
        "gnu-long-name-of-1-mib" Contain || TarBuilder::new(TarFormat::Gnu)
            .entry(&TarEntry::file("n".repeat(1 << 20), "x")).finish();
        "sparse-map-overlapping" Contain || sparse(&[("GNU.sparse.map", b"0,512,256,512"), ("GNU.sparse.size", b"1024")]);
        "sparse-map-beyond-size" Contain || sparse(&[("GNU.sparse.map", b"0,512,4096,512"), ("GNU.sparse.size", b"1024")]);
        "sparse-real-size-huge" Contain || sparse(&[
            ("GNU.sparse.map", b"0,1024"), ("GNU.sparse.size", b"9223372036854775807"),
        ]);
        "type-unknown" Contain || pax(&[TarEntry::new(b'Z', "a")]);
        "type-contiguous" Accept || pax(&[TarEntry { data: b"x".to_vec(), ..TarEntry::new(b'7', "a") }]);
        "type-nul" Accept || TarBuilder::new(TarFormat::V7)
            .entry(&TarEntry { data: b"x".to_vec(), ..TarEntry::new(0, "a") }).finish();
        "empty" Accept || TarBuilder::new(TarFormat::Pax).finish();
        "no-bytes" Contain Vec::new;
        "one-zero-block" Contain || vec![0; 512];
        "data-after-the-end" Accept || TarBuilder::new(TarFormat::Pax).raw(&pax(&[TarEntry::file("a", "x")]))
            .raw(&[0; 8192]).unfinished();
        "noise" Refuse || crate::layer::noise(1, 4096);
        "text" Refuse || b"<html><body>502 Bad Gateway</body></html>\n".repeat(20);
    }
}

/// Compressed layers that are small on the wire and large when unpacked, or broken.
pub fn compressed_layers() -> Vec<Exhibit> {
    room! {
        "gzip-bomb-1-gib-file" Accept || bomb(Packing::Gzip, 1 << 10);
        "zstd-bomb-1-gib-file" Accept || bomb(Packing::Zstd, 1 << 10);
        "gzip-trailing-garbage" Contain || [Packing::Gzip.pack(&small_tar()), b"garbage".to_vec()].concat();
        "gzip-truncated" Refuse || { let mut blob = Packing::Gzip.pack(&small_tar()); blob.truncate(blob.len() / 2); blob };
        "gzip-wrong-crc" Refuse || {
            let mut blob = Packing::Gzip.pack(&small_tar());
            let at = blob.len() - 8;
            blob[at] ^= 1;
            blob
        };
        "gzip-two-members" Accept || {
            let tar = small_tar();
            [Packing::Gzip.pack(&tar[..700]), Packing::Gzip.pack(&tar[700..])].concat()
        };
        "gzip-of-gzip" Refuse || Packing::Gzip.pack(&Packing::Gzip.pack(&small_tar()));
        "zstd-truncated" Refuse || { let mut blob = Packing::Zstd.pack(&small_tar()); blob.truncate(blob.len() / 2); blob };
        "zstd-skippable-frame" Accept || {
            let mut blob = b"\x50\x2a\x4d\x18\x04\0\0\0skip".to_vec();
            blob.extend(Packing::Zstd.pack(&small_tar()));
            blob
        };
        "zstd-two-frames" Accept || {
            let tar = small_tar();
            [Packing::Zstd.pack(&tar[..700]), Packing::Zstd.pack(&tar[700..])].concat()
        };
        "zstd-window-of-2-gib" Contain || {
            // A frame header that asks for a window of 2^31 bytes, and one empty last block.
            b"\x28\xb5\x2f\xfd\x00\xa8\x01\0\0".to_vec()
        };
    }
}

/// Image archives (tars).
pub fn archives() -> Vec<Exhibit> {
    room! {
        "empty-tar" Refuse || TarBuilder::new(TarFormat::Ustar).finish();
        "no-bytes" Refuse Vec::new;
        "not-an-image" Refuse || pax(&[TarEntry::file("hello", "world")]);
        "manifest-null" Refuse || pax(&[TarEntry::file("manifest.json", "null")]);
        "manifest-empty-list" Accept || pax(&[TarEntry::file("manifest.json", "[]")]);
        "manifest-object" Refuse || pax(&[TarEntry::file("manifest.json", "{}")]);
        "manifest-not-json" Refuse || pax(&[TarEntry::file("manifest.json", "[{")]);
        "manifest-nested-100000-deep" Refuse || pax(&[TarEntry::file("manifest.json", "[".repeat(100_000))]);
        "manifest-of-20-mib" Refuse || pax(&[TarEntry::file("manifest.json", " ".repeat(20 << 20))]);
        "manifest-declared-huge" Refuse || pax(&[TarEntry::file("manifest.json", "[]").declared_size(1 << 40)]);
        "config-missing" Refuse || docker().without(".json").with("manifest.json", manifest_of("nowhere.json", &[])).tar(TarFormat::Ustar);
        "config-outside" Refuse || pax(&[TarEntry::file("manifest.json", manifest_of("../../../etc/passwd", &[]))]);
        "config-through-symlink-outside" Refuse || pax(&[
            TarEntry::symbolic_link("config", "/etc/passwd"),
            TarEntry::file("manifest.json", manifest_of("config", &[])),
        ]);
        "config-symlink-loop" Refuse || pax(&[
            TarEntry::symbolic_link("a", "b"),
            TarEntry::symbolic_link("b", "a"),
            TarEntry::file("manifest.json", manifest_of("a", &[])),
        ]);
        "config-not-json" Refuse || pax(&[
            TarEntry::file("config", "#!/bin/sh"),
            TarEntry::file("manifest.json", manifest_of("config", &[])),
        ]);
        "layers-length-mismatch" Refuse || {
            let image = Image::small("x");
            pax(&[
                TarEntry::file("config.json", &image.config),
                TarEntry::file("a", &image.layers[0].tar),
                TarEntry::file("manifest.json", manifest_of("config.json", &["a", "a"])),
            ])
        };
        "layer-missing" Refuse || docker().without("/layer.tar").tar(TarFormat::Ustar);
        "layer-with-another-diff-id" Refuse || {
            let image = Image::small("x");
            pax(&[
                TarEntry::file("config.json", &image.config),
                TarEntry::file("layer.tar", &Image::small("other").layers[0].tar),
                TarEntry::file("manifest.json", manifest_of("config.json", &["layer.tar"])),
            ])
        };
        "layer-empty-because-present" Accept || {
            let image = Image::small("x");
            pax(&[
                TarEntry::file("config.json", &image.config),
                TarEntry::file("layer.tar", ""),
                TarEntry::file("manifest.json", manifest_of("config.json", &["layer.tar"])),
            ])
        };
        "layer-is-manifest" Refuse || {
            let image = Image::small("x");
            pax(&[
                TarEntry::file("config.json", &image.config),
                TarEntry::file("manifest.json", manifest_of("config.json", &["manifest.json"])),
            ])
        };
        "tag-without-tag" Refuse || archive::docker(&[(&Image::small("x"), &["name"])]).tar(TarFormat::Ustar);
        "tag-malformed" Refuse || archive::docker(&[(&Image::small("x"), &["UPPER:x"])]).tar(TarFormat::Ustar);
        "tag-twice" Accept || {
            archive::docker(&[(&Image::small("x"), &["a:1", "a:1"]), (&Image::small("y"), &["a:1"])]).tar(TarFormat::Ustar)
        };
        "100000-layers" Contain many_layers;
        "300000-members" Contain || {
            let entry = TarBuilder::new(TarFormat::Ustar).entry(&TarEntry::file("f", "")).unfinished();
            let mut tar = Vec::with_capacity(300_000 * 512);
            for number in 0..300_000u32 {
                let mut block: [u8; 512] = entry[..].try_into().expect("one block");
                let name = number.to_string();
                block[..name.len()].copy_from_slice(name.as_bytes());
                seal(&mut block);
                tar.extend(block);
            }
            tar
        };
        "documents-of-80-mib" Refuse || {
            let document = format!("{{\"x\":\"{}\"}}", "y".repeat(4_000_000));
            let entries: Vec<TarEntry> = (0..21).map(|number| TarEntry::file(format!("{number}.json"), &document)).collect();
            pax(&entries)
        };
        "v1-cycle" Refuse || {
            let v1 = |id: &str, parent: &str| [
                TarEntry::file(format!("{id}/json"), json!({ "id": id, "parent": parent }).to_string()),
                TarEntry::file(format!("{id}/layer.tar"), small_tar()),
            ];
            let repositories = TarEntry::file("repositories", r#"{"a":{"latest":"aa"}}"#);
            pax(&[v1("aa", "bb"), v1("bb", "aa")].concat().into_iter().chain([repositories]).collect::<Vec<_>>())
        };
        "v1-parent-missing" Refuse || pax(&[
            TarEntry::file("aa/json", r#"{"id":"aa","parent":"bb"}"#),
            TarEntry::file("aa/layer.tar", small_tar()),
            TarEntry::file("repositories", r#"{"a":{"latest":"aa"}}"#),
        ]);
        "v1-target-missing" Refuse || pax(&[
            TarEntry::file("aa/json", r#"{"id":"aa"}"#),
            TarEntry::file("aa/layer.tar", small_tar()),
            TarEntry::file("repositories", r#"{"a":{"latest":"cc"}}"#),
        ]);
        "oci-without-index" Refuse || oci().without("index.json").tar(TarFormat::Ustar);
        "oci-version-2" Refuse || oci().with("oci-layout", r#"{"imageLayoutVersion":"2.0.0"}"#).tar(TarFormat::Ustar);
        "oci-manifest-wrong-digest" Refuse || spoilt_oci(|image| (image.digest(), b"{}".to_vec()));
        "oci-config-wrong-digest" Refuse || spoilt_oci(|image| (image.id().0, b"{}".to_vec()));
        "oci-layer-wrong-digest" Refuse || spoilt_oci(|image| {
            let mut blob = image.layers[0].blob.clone();
            blob.push(0);
            (image.layers[0].digest(), blob)
        });
        "oci-layer-missing" Refuse || {
            let image = Image::small("x");
            archive::oci(&image, &[]).without(&image.layers[0].digest().hex()).tar(TarFormat::Ustar)
        };
        "oci-schema1" Refuse || oci_root(MediaType::DOCKER_SCHEMA1_SIGNED, br#"{"schemaVersion":1,"fsLayers":[]}"#);
        "oci-ambiguous-manifest" Refuse || {
            oci_root(MediaType::OCI_MANIFEST, br#"{"schemaVersion":2,"layers":[],"manifests":[]}"#)
        };
        "oci-unknown-root" Accept || oci_root(MediaType::parse("application/vnd.oci.descriptor.v1+json"), b"{}");
        "oci-index-names-itself" Refuse cyclic_index;
        "oci-indexes-nested-100-deep" Refuse || nested_indexes(100);
        "oci-indexes-nested-3-deep" Accept || nested_indexes(3);
        "oci-name-malformed" Refuse || {
            archive::oci(&Image::small("x"), &[("io.containerd.image.name", "not a name")]).tar(TarFormat::Ustar)
        };
    }
}

/// A tar with every kind of block, to be cut and spoilt.
pub fn small_tar() -> Vec<u8> {
    pax(&[
        TarEntry::directory("d/"),
        TarEntry::file("d/file", [b'x'; 700]),
        TarEntry::file("long/".repeat(40) + "name", "y").xattr("user.a", "b"),
        TarEntry::symbolic_link("link", "d/file"),
        TarEntry::hard_link("hard", "d/file"),
    ])
}

/// Every prefix of `bytes` that ends at a block, or one byte before or after one.
pub fn truncations(bytes: &[u8]) -> impl Iterator<Item = &[u8]> {
    let near = |block: usize| [block * 512, block * 512 + 1, (block * 512 + 511).max(1)];
    (0..bytes.len() / 512).flat_map(near).map(|length| &bytes[..length])
}

fn raw_size(field: &[u8; 12]) -> Vec<u8> {
    let tar = TarBuilder::new(TarFormat::Ustar).entry(&TarEntry::file("a", "")).unfinished();
    let mut block: [u8; 512] = tar[..].try_into().expect("one block");
    block[124..136].copy_from_slice(field);
    seal(&mut block);
    TarBuilder::new(TarFormat::Ustar).raw(&block).finish()
}

fn pax_data(data: &[u8]) -> Vec<u8> {
    let header = TarEntry { data: data.to_vec(), ..TarEntry::new(b'x', "x") };
    TarBuilder::new(TarFormat::Ustar).entry(&header).entry(&TarEntry::file("a", "x")).finish()
}

fn sparse(records: &[(&str, &[u8])]) -> Vec<u8> {
    TarBuilder::new(TarFormat::Pax).pax(b'x', records).entry(&TarEntry::file("sparse", [b'x'; 1024])).finish()
}

/// One file of `mebibytes` zeros. Members and frames may follow each other, so the zeros are packed only once.
fn bomb(packing: Packing, mebibytes: u64) -> Vec<u8> {
    let header = TarEntry::file("zeros", "").declared_size(mebibytes << 20);
    let mut blob = packing.pack(&TarBuilder::new(TarFormat::Ustar).entry(&header).unfinished());
    let zeros = packing.pack(&vec![0; 1 << 20]);
    (0..mebibytes).for_each(|_| blob.write_all(&zeros).expect("writing to memory"));
    blob.extend(packing.pack(&[0; 1024]));
    blob
}

fn docker() -> archive::ArchiveMembers {
    archive::docker(&[(&Image::small("x"), &["museum:latest"])])
}

fn oci() -> archive::ArchiveMembers {
    archive::oci(&Image::small("x"), &[])
}

fn manifest_of(config: &str, layers: &[&str]) -> String {
    json!([{ "Config": config, "RepoTags": null, "Layers": layers }]).to_string()
}

fn spoilt_oci(spoil: fn(&Image) -> (Digest, Vec<u8>)) -> Vec<u8> {
    let image = Image::small("x");
    let (digest, bytes) = spoil(&image);
    archive::oci(&image, &[]).with(&blob_path(&digest), bytes).tar(TarFormat::Ustar)
}

fn oci_root(media_type: MediaType, bytes: &[u8]) -> Vec<u8> {
    let digest = Digest::of(bytes);
    let entry = json!({ "mediaType": media_type, "digest": digest, "size": bytes.len() });
    pax(&[
        TarEntry::file("oci-layout", r#"{"imageLayoutVersion":"1.0.0"}"#),
        TarEntry::file("index.json", json!({ "schemaVersion": 2, "manifests": [entry] }).to_string()),
        TarEntry::file(blob_path(&digest), bytes),
    ])
}

/// No index can name its own digest, so this one lies about it.
fn cyclic_index() -> Vec<u8> {
    let digest = Digest::of(b"cycle");
    let entry = json!({ "mediaType": MediaType::OCI_INDEX, "digest": digest, "size": 300 });
    let index = json!({ "schemaVersion": 2, "mediaType": MediaType::OCI_INDEX, "manifests": [entry] });
    let padded = format!("{:<300}", index.to_string());
    pax(&[
        TarEntry::file("oci-layout", r#"{"imageLayoutVersion":"1.0.0"}"#),
        TarEntry::file("index.json", json!({ "schemaVersion": 2, "manifests": [entry] }).to_string()),
        TarEntry::file(blob_path(&digest), padded),
    ])
}

fn nested_indexes(depth: usize) -> Vec<u8> {
    let image = Image::small("x");
    let mut members = archive::oci(&image, &[]);
    let mut entry = json!(image.descriptor());
    for _ in 0..depth {
        let index = json!({ "schemaVersion": 2, "mediaType": MediaType::OCI_INDEX, "manifests": [entry] }).to_string();
        let digest = Digest::of(index.as_bytes());
        entry = json!({ "mediaType": MediaType::OCI_INDEX, "digest": digest, "size": index.len() });
        members = members.with(&blob_path(&digest), index);
    }
    let root = json!({ "schemaVersion": 2, "manifests": [entry] }).to_string();
    members.with("index.json", root).tar(TarFormat::Ustar)
}

fn many_layers() -> Vec<u8> {
    let layer = Layer::of_tar(TarBuilder::new(TarFormat::Ustar).finish(), Packing::Plain);
    let diff_ids = vec![layer.diff_id().to_string(); 100_000];
    let image = ImageBuilder::new()
        .config(|config| {
            // The whole must stay below the size that documents may have, so the list is of short paths.
            config["rootfs"] = json!({ "type": "layers", "diff_ids": diff_ids });
            config["history"] = json!([]);
        })
        .build();
    pax(&[
        TarEntry::file("config.json", &image.config),
        TarEntry::file("l", &layer.tar),
        TarEntry::file("manifest.json", manifest_of("config.json", &vec!["l"; 100_000])),
    ])
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::collections::HashSet;

    #[test]
    fn exhibits_have_unique_names_and_can_be_made() {
        for room in [layers(), compressed_layers(), archives()] {
            let mut names = HashSet::new();
            for exhibit in room {
                assert!(names.insert(exhibit.name), "{} is there twice", exhibit.name);
                let bytes = (exhibit.bytes)();
                assert!(bytes.len() < 200 << 20, "{} has {} bytes", exhibit.name, bytes.len());
            }
        }
    }

    #[test]
    fn bombs_are_small() {
        assert!(bomb(Packing::Gzip, 1 << 10).len() < 6 << 20);
        assert!(bomb(Packing::Zstd, 1 << 10).len() < 1 << 20);
    }
}
