//! The exported tar, unpacked by GNU tar, is what umoci makes of the image.

use std::collections::BTreeMap;
use std::io::Read as _;
use std::os::unix::fs::{FileTypeExt as _, MetadataExt as _};
use std::path::Path;
use std::process::Command;

use strata_engine::{ImportRequest, ViewPolicy, export_rootfs, import};
use strata_testkit::layer::{Layer, noise};
use strata_testkit::{ImageBuilder, TarEntry, archive};

use crate::support::{copy, options, run, run_with, test_store, write_members};

fn image() -> strata_testkit::Image {
    let deep = format!("deep/{}/{}", "d".repeat(90), "e".repeat(90));
    let base = [
        TarEntry::directory("bin/"),
        TarEntry::file("bin/tool", noise(1, 700_001)).mode(0o4755).owner(3, 4),
        TarEntry::hard_link("bin/alias", "bin/tool").mode(0o4755).owner(3, 4),
        TarEntry::file("bin/small", "x").xattr("user.note", b"one\n=two").mtime(1_000_000_000),
        TarEntry::file("bin/cap", "y").xattr("security.capability", CAPABILITY),
        TarEntry::symbolic_link("sh", "bin/tool"),
        TarEntry::directory("dev/"),
        TarEntry::character_device("dev/null", 1, 3).mode(0o666),
        TarEntry::block_device("dev/disk", 259, 300),
        TarEntry::fifo("dev/pipe").mode(0o600),
        TarEntry::directory("gone/"),
        TarEntry::file("gone/file", "gone"),
        TarEntry::directory("opaque/"),
        TarEntry::file("opaque/old", "old"),
        TarEntry::directory("becomes-file/"),
        TarEntry::file("becomes-file/inner", "inner"),
        TarEntry::file("empty", "").owner(3_000_000, 4_000_000),
    ];
    let top = [
        TarEntry::whiteout("gone"),
        TarEntry::opaque("opaque"),
        TarEntry::file("opaque/new", "new"),
        TarEntry::file("becomes-file", "now a file"),
        TarEntry::hard_link("bin/third", "bin/tool").mode(0o4755).owner(3, 4),
        TarEntry::directory("deep/"),
        TarEntry::directory(format!("deep/{}/", "d".repeat(90))),
        TarEntry::directory(format!("{deep}/")).mode(0o1777),
        TarEntry::file(format!("{deep}/{}", "f".repeat(120)), "long").mtime(1_234_567_890),
        TarEntry::symbolic_link("long-link", "t".repeat(150)),
        TarEntry::file("caf\u{e9}", "accent"),
        TarEntry::file(format!("{deep}/100"), noise(2, 5000)),
    ];
    ImageBuilder::new().layer(Layer::new(&base)).layer(Layer::new(&top)).build()
}

/// `cap_net_raw+ep`, version 2.
const CAPABILITY: &[u8] = &[1, 0, 0, 2, 0, 0x20, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0];

/// Everything that matters of each name below a directory, but for the directory itself.
fn listing(root: &Path) -> BTreeMap<String, String> {
    let mut found = BTreeMap::new();
    let mut pending = vec![root.to_owned()];
    while let Some(directory) = pending.pop() {
        for entry in std::fs::read_dir(&directory).unwrap() {
            let path = entry.unwrap().path();
            let metadata = std::fs::symlink_metadata(&path).unwrap();
            let kind = metadata.file_type();
            let content = if kind.is_file() {
                let mut bytes = Vec::new();
                std::fs::File::open(&path).unwrap().read_to_end(&mut bytes).unwrap();
                strata_model::Digest::of(&bytes).to_string()
            } else if kind.is_symlink() {
                std::fs::read_link(&path).unwrap().display().to_string()
            } else if kind.is_char_device() || kind.is_block_device() {
                metadata.rdev().to_string()
            } else {
                String::new()
            };
            let links = if kind.is_dir() { 0 } else { metadata.nlink() };
            let xattrs = run_with(xattrs_command().arg(&path));
            let xattrs: Vec<&str> = xattrs.lines().filter(|line| line.contains('=')).collect();
            let line = format!(
                "{:o} {}:{} {} links {links} {content} {xattrs:?}",
                metadata.mode(),
                metadata.uid(),
                metadata.gid(),
                metadata.mtime()
            );
            found.insert(path.strip_prefix(root).unwrap().to_string_lossy().into_owned(), line);
            if kind.is_dir() {
                pending.push(path);
            }
        }
    }
    found
}

fn xattrs_command() -> Command {
    let mut command = Command::new("getfattr");
    command.args(["-h", "-d", "-m", "^(user|security)", "-e", "hex", "--absolute-names"]);
    command
}

#[tokio::test(flavor = "multi_thread")]
async fn the_tar_holds_what_umoci_unpacks() {
    if !rustix::process::geteuid().is_root() {
        // Devices and owners need root; there is nothing to compare without.
        return;
    }
    let directory = tempfile::tempdir().unwrap();
    let layout = directory.path().join("layout");
    write_members(&archive::oci(&image(), &[("org.opencontainers.image.ref.name", "1")]), &layout);
    let own = test_store();
    copy(&own.store, &format!("oci:{}:1", layout.display()), "store:app", &options()).await;

    let (exported, tar) = export_rootfs(&own.store, "app", None, Vec::new()).await.unwrap();
    assert_eq!(exported.bytes, tar.len() as u64);
    let (_, again) = export_rootfs(&own.store, "app", None, Vec::new()).await.unwrap();
    assert!(tar == again, "two exports differ");

    let file = directory.path().join("rootfs.tar");
    std::fs::write(&file, &tar).unwrap();
    let ours = directory.path().join("ours");
    std::fs::create_dir(&ours).unwrap();
    let (file, ours_text) = (file.to_str().unwrap(), ours.to_str().unwrap());
    run("tar", &["-x", "-p", "--numeric-owner", "--xattrs", "--xattrs-include=*", "-f", file, "-C", ours_text]);
    let theirs = directory.path().join("theirs");
    run("umoci", &["unpack", "--image", &format!("{}:1", layout.display()), theirs.to_str().unwrap()]);
    let (ours, theirs) = (listing(&ours), listing(&theirs.join("rootfs")));
    for (path, line) in &theirs {
        assert_eq!(ours.get(path), Some(line), "{path}");
    }
    assert_eq!(
        ours.len(),
        theirs.len(),
        "{:?}",
        ours.keys().filter(|path| !theirs.contains_key(*path)).collect::<Vec<_>>()
    );
    assert_eq!(exported.entries as usize, ours.len() + 1);

    // Imported, it gives the same tar again.
    let request = ImportRequest {
        reference: Some("again:latest".parse().unwrap()),
        changes: Vec::new(),
        message: "Imported from -".into(),
        platform: None,
        view: ViewPolicy::Skip,
    };
    import(&own.store, std::io::Cursor::new(tar.clone()), &request).await.unwrap();
    let (_, imported) = export_rootfs(&own.store, "again", None, Vec::new()).await.unwrap();
    assert!(imported == tar, "an import changes something");
}
