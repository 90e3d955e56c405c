//! What `image mount` shows is what `umoci unpack` writes: mode, owner, time, attributes, links, devices, content.

mod support;
mod tools;

use std::collections::BTreeMap;
use std::fs;
use std::os::unix::ffi::OsStrExt as _;
use std::os::unix::fs::{FileTypeExt as _, MetadataExt as _, PermissionsExt as _};
use std::path::{Path, PathBuf};
use std::process::Command;

use rustix::fs::{lgetxattr, llistxattr};
use strata_model::Digest;
use strata_testkit::{Image, ImageBuilder, Layer, Packing, TarBuilder, TarEntry, TarFormat, archive, golden};
use support::{Run, Sandbox, run};
use tools::{have, output};

/// Everything about one name in a tree that an image describes.
#[derive(Clone, Debug, PartialEq, Eq)]
struct Node {
    kind: &'static str,
    mode: u32,
    owner: (u32, u32),
    mtime: (i64, i64),
    device: u64,
    /// The first name, in order, of the same inode.
    same_as: String,
    links: u64,
    xattrs: BTreeMap<String, Vec<u8>>,
    /// Digest of a file, target of a link.
    content: String,
}

type Tree = BTreeMap<Vec<u8>, Node>;

/// The tree below a directory, by path from it; the directory itself is the empty path.
fn tree(root: &Path) -> Tree {
    let mut tree = Tree::new();
    let mut inodes: BTreeMap<u64, Vec<u8>> = BTreeMap::new();
    let mut paths = vec![root.to_owned()];
    while let Some(path) = paths.pop() {
        let metadata = fs::symlink_metadata(&path).unwrap();
        if metadata.is_dir() {
            paths.extend(fs::read_dir(&path).unwrap().map(|entry| entry.unwrap().path()));
        }
        let name = path.strip_prefix(root).unwrap().as_os_str().as_bytes().to_vec();
        let first = inodes.entry(metadata.ino()).or_insert_with(|| name.clone());
        *first = first.clone().min(name.clone());
        tree.insert(name, node(&path, &metadata));
    }
    for (name, node) in &mut tree {
        let path = root.join(std::ffi::OsStr::from_bytes(name));
        let first = &inodes[&fs::symlink_metadata(path).unwrap().ino()];
        node.same_as = String::from_utf8_lossy(first).into_owned();
    }
    tree
}

fn node(path: &Path, metadata: &fs::Metadata) -> Node {
    let kind = metadata.file_type();
    let (name, content) = match kind {
        _ if kind.is_dir() => ("directory", String::new()),
        _ if kind.is_file() => ("file", Digest::of(&fs::read(path).unwrap()).to_string()),
        _ if kind.is_symlink() => ("symbolic link", format!("{:?}", fs::read_link(path).unwrap())),
        _ if kind.is_char_device() => ("character device", String::new()),
        _ if kind.is_block_device() => ("block device", String::new()),
        _ if kind.is_fifo() => ("pipe", String::new()),
        _ => ("socket", String::new()),
    };
    Node {
        kind: name,
        mode: metadata.mode() & 0o7777,
        owner: (metadata.uid(), metadata.gid()),
        mtime: (metadata.mtime(), metadata.mtime_nsec()),
        device: metadata.rdev(),
        same_as: String::new(),
        links: if kind.is_dir() { 0 } else { metadata.nlink() },
        xattrs: xattrs(path),
        content,
    }
}

fn xattrs(path: &Path) -> BTreeMap<String, Vec<u8>> {
    let mut names = vec![0; 64 << 10];
    let Ok(length) = llistxattr(path, &mut names[..]) else { return BTreeMap::new() };
    let names = names[..length].split(|byte| *byte == 0).filter(|name| !name.is_empty());
    // An attribute that is there but empty: umoci drops it, as programs in Go do; Strata keeps it.
    let value = |name: &[u8]| {
        let mut value = vec![0; 64 << 10];
        let length = lgetxattr(path, name, &mut value[..]).unwrap();
        value.truncate(length);
        (String::from_utf8_lossy(name).into_owned(), value)
    };
    names.map(value).filter(|(_, value)| !value.is_empty()).collect()
}

#[track_caller]
fn assert_same(what: &str, expected: &Tree, actual: &Tree) {
    if expected != actual {
        let mut lines: Vec<String> = Vec::new();
        for name in expected.keys().chain(actual.keys().filter(|name| !expected.contains_key(*name))) {
            if expected.get(name) != actual.get(name) {
                let shown = String::from_utf8_lossy(name);
                lines.push(format!("{shown:?}\n- {:?}\n+ {:?}", expected.get(name), actual.get(name)));
            }
        }
        lines.truncate(20);
        panic!("{what} (- umoci, + strata)\n{}", lines.join("\n"));
    }
}

/// Times of these directories are made up by each tool: no layer describes them.
fn forget_times(tree: &mut Tree, names: &[&str]) {
    for name in names {
        if let Some(node) = tree.get_mut(name.as_bytes()) {
            node.mtime = (0, 0);
        }
    }
}

/// What umoci makes of an image.
fn unpacked(folder: &Path, image: &Image, rootless: bool) -> PathBuf {
    let layout = folder.join("layout");
    let annotations = [("org.opencontainers.image.ref.name", "1")];
    for member in archive::oci(image, &annotations).0 {
        let path = layout.join(std::ffi::OsStr::from_bytes(&member.path));
        fs::create_dir_all(path.parent().unwrap()).unwrap();
        fs::write(path, member.data).unwrap();
    }
    let bundle = folder.join("bundle");
    let reference = format!("{}:1", layout.display());
    let mut arguments = vec!["unpack", "--image", &reference];
    arguments.extend(rootless.then_some("--rootless"));
    arguments.push(bundle.to_str().unwrap());
    output("umoci", &arguments);
    bundle.join("rootfs")
}

/// A sandbox whose store has the image as `sample:1`.
fn loaded(image: &Image) -> Sandbox {
    let sandbox = Sandbox::new();
    let file = sandbox.path("image.tar");
    let annotations = [("io.containerd.image.name", "docker.io/library/sample:1")];
    fs::write(&file, archive::oci(image, &annotations).tar(TarFormat::Pax)).unwrap();
    sandbox.run(&["load", "-i", file.to_str().unwrap()]).success();
    sandbox
}

/// Unmounts when the test ends in whatever way.
struct Mounted<'a> {
    sandbox: &'a Sandbox,
    target: PathBuf,
}

impl<'a> Mounted<'a> {
    #[track_caller]
    fn new(sandbox: &'a Sandbox) -> Mounted<'a> {
        let target = sandbox.path("mounted");
        fs::create_dir_all(&target).unwrap();
        sandbox.run(&["image", "mount", "sample:1", target.to_str().unwrap()]).success();
        Mounted { sandbox, target }
    }

    fn filesystem(&self) -> Option<String> {
        let mounts = fs::read_to_string("/proc/self/mountinfo").unwrap();
        let target = self.target.to_str().unwrap();
        let line = mounts.lines().find(|line| line.split(' ').nth(4) == Some(target))?;
        line.split(" - ").nth(1)?.split(' ').next().map(str::to_owned)
    }

    #[track_caller]
    fn unmount(self) {
        self.sandbox.run(&["image", "unmount", self.target.to_str().unwrap()]).success();
        assert_eq!(fs::read_dir(&self.target).unwrap().count(), 0);
    }
}

impl Drop for Mounted<'_> {
    fn drop(&mut self) {
        if self.filesystem().is_some() {
            let _ = Command::new("umount").arg("-l").arg(&self.target).status();
        }
    }
}

/// Runs as root without the right to mount, so that the directory fallback is used.
fn without_mounting(sandbox: &Sandbox, arguments: &[&str]) -> Run {
    run(unable_to_mount(&sandbox.command(arguments)))
}

fn unable_to_mount(ours: &Command) -> Command {
    let mut command = Command::new("setpriv");
    command.args(["--bounding-set=-sys_admin", "--inh-caps=-sys_admin", "--"]);
    command.arg(ours.get_program()).args(ours.get_args());
    for (name, value) in ours.get_envs() {
        command.env(name, value.unwrap_or_default());
    }
    command
}

/// Images, and the directories in them that no layer describes.
fn images() -> Vec<(&'static str, Image, Vec<&'static str>)> {
    let noise = |seed, size| strata_testkit::layer::noise(seed, size);
    let base = || {
        Layer::new(&[
            TarEntry::directory("./").mtime(1_500_000_000),
            TarEntry::directory("bin/"),
            TarEntry::file("bin/tool", noise(1, 70_000)).mode(0o4755),
            TarEntry::file("bin/group", noise(2, 4_096)).mode(0o2755).owner(0, 42),
            TarEntry::symbolic_link("bin/sh", "tool"),
            TarEntry::symbolic_link("bin/broken", "../nowhere/at/all"),
            TarEntry::directory("etc/").mode(0o700).owner(7, 8).mtime(1_400_000_000),
            TarEntry::file("etc/empty", ""),
            TarEntry::file("etc/small", "small\n").owner(100_000, 200_000).mode(0),
            TarEntry::file("etc/page", noise(3, 4_095)),
            TarEntry::file("etc/pages", noise(4, 12_289)).xattr("user.binary", b"\x00\xff\n").xattr("user.empty", ""),
            TarEntry::file("etc/capable", "x")
                .xattr("security.capability", b"\x01\0\0\x02\0\x20\0\0\0\0\0\0\0\0\0\0\0\0\0\0"),
            TarEntry::file("etc/zeros", vec![0; 1 << 20]),
            TarEntry::hard_link("etc/hard", "etc/pages"),
            TarEntry::directory("sticky/").mode(0o1777),
            TarEntry::fifo("sticky/pipe").mode(0o622),
            TarEntry::character_device("sticky/null", 1, 3).mode(0o666),
            TarEntry::block_device("sticky/disk", 8, 1).mode(0o660).owner(0, 6),
            TarEntry::directory("gone/"),
            TarEntry::file("gone/file", "gone"),
            TarEntry::directory("opaque/"),
            TarEntry::file("opaque/below", "below"),
            TarEntry::directory("opaque/deep/"),
            TarEntry::file("opaque/deep/below", "below"),
            TarEntry::directory("types/"),
            TarEntry::file("types/file-to-directory", "file"),
            TarEntry::directory("types/directory-to-file/"),
            TarEntry::file("types/directory-to-file/child", "child"),
            TarEntry::symbolic_link("types/link-to-file", "../etc/small"),
            TarEntry::file("types/file-to-link", "file"),
            TarEntry::directory("types/directory-to-link/"),
            TarEntry::file("types/directory-to-link/child", "child"),
            TarEntry::symbolic_link("types/link-to-directory", "../etc"),
        ])
    };
    let top = Layer::new(&[
        TarEntry::whiteout("gone"),
        TarEntry::whiteout("etc/page"),
        TarEntry::directory("opaque/").mode(0o711),
        TarEntry::opaque("opaque"),
        TarEntry::file("opaque/above", "above"),
        TarEntry::directory("types/file-to-directory/"),
        TarEntry::file("types/file-to-directory/child", "child"),
        TarEntry::file("types/directory-to-file", "now a file"),
        TarEntry::file("types/link-to-file", "now a file"),
        TarEntry::symbolic_link("types/file-to-link", "elsewhere"),
        TarEntry::whiteout("types/directory-to-link"),
        TarEntry::symbolic_link("types/directory-to-link", "../etc"),
        TarEntry::directory("types/link-to-directory/").mode(0o750),
        TarEntry::file("types/link-to-directory/child", "child"),
        TarEntry::hard_link("etc/across", "etc/small"),
        TarEntry::file("etc/empty", "no longer"),
    ]);
    let changed = Layer::new(&[
        TarEntry::directory("etc/").mode(0o755).mtime(1_600_000_001),
        TarEntry::file("etc/small", "changed, and no longer the other name\n"),
        TarEntry::whiteout("opaque/above"),
        TarEntry::directory("gone/").mode(0o555),
        TarEntry::file("gone/back", "back"),
    ]);
    let missing_parents = Layer::new(&[
        TarEntry::file("a/b/c/file", "deep"),
        TarEntry::directory("a/b/"),
        TarEntry::symbolic_link("d/e/link", "/a"),
    ]);
    let long = "long-".repeat(45);
    let names = Layer::of_tar(
        TarBuilder::new(TarFormat::Pax)
            .entries(&[
                TarEntry::directory("names/"),
                TarEntry::file(format!("names/{long}"), "long"),
                TarEntry::file("names/spaces and \"quotes\"", "x"),
                TarEntry::file("names/ünïcode", "x"),
                TarEntry::file(b"names/\xff\xfe", "not utf-8"),
                TarEntry::symbolic_link("names/to-long", format!("/{long}/{long}")),
            ])
            .finish(),
        Packing::Gzip,
    );
    let many: Vec<TarEntry> = std::iter::once(TarEntry::directory("many/"))
        .chain((0..1500).map(|number| TarEntry::file(format!("many/{number:05}"), format!("{number}\n"))))
        .collect();
    let build = |layers: Vec<Layer>| layers.into_iter().fold(ImageBuilder::new(), ImageBuilder::layer).build();
    vec![
        ("every kind of file", build(vec![base()]), vec![]),
        ("whiteouts and replaced types", build(vec![base(), top.clone()]), vec!["types", "etc"]),
        ("three layers", build(vec![base(), top, changed]), vec!["types", "opaque", ""]),
        ("missing parents", build(vec![missing_parents]), vec!["", "a", "a/b/c", "d", "d/e"]),
        ("names", build(vec![names]), vec![""]),
        ("many files", build(vec![Layer::new(&many)]), vec![""]),
        ("nothing", build(vec![Layer::of_tar(vec![0; 1024], Packing::Gzip)]), vec![""]),
    ]
}

#[test]
fn mounts_and_copies_equal_what_umoci_unpacks() {
    if !have(&["root", "umoci", "setpriv"]) {
        return;
    }
    for (what, image, undescribed) in images() {
        let sandbox = loaded(&image);
        let mut expected = tree(&unpacked(&sandbox.path("umoci"), &image, false));
        forget_times(&mut expected, &undescribed);

        let mounted = Mounted::new(&sandbox);
        let filesystem = mounted.filesystem();
        let mut actual = tree(&mounted.target);
        forget_times(&mut actual, &undescribed);
        assert_same(what, &expected, &actual);
        let refused = fs::write(mounted.target.join("new"), "x");
        assert!(filesystem.as_deref() != Some("erofs") || refused.is_err(), "{what}: a mounted image can be changed");
        mounted.unmount();

        let copied = sandbox.path("copied");
        fs::create_dir(&copied).unwrap();
        without_mounting(&sandbox, &["image", "mount", "sample:1", copied.to_str().unwrap()]).success();
        let mut actual = tree(&copied);
        forget_times(&mut actual, &undescribed);
        assert_same(&format!("{what}, copied"), &expected, &actual);
        without_mounting(&sandbox, &["image", "unmount", copied.to_str().unwrap()]).success();
        assert_eq!(fs::read_dir(&copied).unwrap().count(), 0, "{what}");
        sandbox.run(&["fsck"]).success();
    }
}

/// What an ordinary user gets: everything is theirs, and what they may not make is left out.
#[test]
fn an_ordinary_user_gets_the_same_files() {
    if !have(&["root", "umoci", "setpriv"]) {
        return;
    }
    for (what, image, undescribed) in images() {
        let sandbox = loaded(&image);
        let mut expected = tree(&unpacked(&sandbox.path("umoci"), &image, false));
        expected.retain(|_, node| !node.kind.contains("device"));
        for node in expected.values_mut() {
            node.owner = (65534, 65534);
            node.xattrs.retain(|name, _| name.starts_with("user."));
        }
        forget_times(&mut expected, &undescribed);

        for folder in [sandbox.path(""), sandbox.root()] {
            fs::set_permissions(folder, fs::Permissions::from_mode(0o755)).unwrap();
        }
        let program = sandbox.path("strata");
        fs::copy(env!("CARGO_BIN_EXE_strata"), &program).unwrap();
        let theirs = sandbox.path("theirs");
        fs::create_dir(&theirs).unwrap();
        output("chown", &["65534:65534", theirs.to_str().unwrap()]);
        let as_nobody = |arguments: &[&str]| {
            let mut command = Command::new("setpriv");
            command.args(["--reuid=65534", "--regid=65534", "--clear-groups", "--"]).arg(&program).args(arguments);
            command.env_clear().env("HOME", &theirs).env("STRATA_ROOT", theirs.join("store")).current_dir(&theirs);
            run(command).success()
        };
        let target = theirs.join("target");
        as_nobody(&["load", "-i", sandbox.path("image.tar").to_str().unwrap()]);
        let made = Command::new("setpriv")
            .args(["--reuid=65534", "--regid=65534", "--clear-groups", "--", "mkdir"])
            .arg(&target)
            .status();
        assert!(made.is_ok_and(|status| status.success()));
        as_nobody(&["image", "mount", "sample:1", target.to_str().unwrap()]);
        let mut actual = tree(&target);
        forget_times(&mut actual, &undescribed);
        assert_same(what, &expected, &actual);
        as_nobody(&["image", "unmount", target.to_str().unwrap()]);
        assert_eq!(fs::read_dir(&target).unwrap().count(), 0, "{what}");
    }
}

/// A layer of this machine's own files, and a second one over it that changes some.
fn machine_image(folder: &Path) -> Option<Image> {
    let is_full = std::env::var_os("STRATA_TEST_FULL").is_some();
    let wanted: &[&str] = match is_full {
        true => &["bin", "sbin", "lib", "lib64", "etc", "usr/bin", "usr/sbin", "usr/lib", "var/lib/dpkg"],
        false => &["bin", "sbin", "etc", "usr/share/zoneinfo", "usr/share/perl5", "usr/lib/git-core", "var/lib/dpkg"],
    };
    let there: Vec<&str> = wanted.iter().copied().filter(|path| Path::new("/").join(path).exists()).collect();
    if !Path::new("/etc/debian_version").exists() {
        tools::skip("Debian");
        return None;
    }
    let tar = folder.join("machine.tar");
    let mut command = tools::program("tar", ["-C", "/", "--format=pax", "--xattrs", "--numeric-owner", "-cf"]);
    command.arg(&tar).args(["--warning=no-file-changed", "--ignore-failed-read"]).args(there);
    assert!(command.status().unwrap().code().is_some_and(|code| code < 2), "tar failed");
    let top = Layer::new(&[
        TarEntry::directory("etc/"),
        TarEntry::file("etc/debian_version", "changed\n"),
        TarEntry::whiteout("etc/passwd"),
        TarEntry::hard_link("etc/group-too", "etc/group"),
    ]);
    let base = Layer::of_tar(fs::read(&tar).unwrap(), Packing::Plain);
    fs::remove_file(tar).unwrap();
    Some(ImageBuilder::new().layer(base).layer(top).build())
}

#[test]
fn the_files_of_this_machine_come_back_the_same() {
    if !have(&["root", "umoci", "tar"]) {
        return;
    }
    let folder = tempfile::tempdir().unwrap();
    let Some(image) = machine_image(folder.path()) else { return };
    let sandbox = loaded(&image);
    let mut expected = tree(&unpacked(folder.path(), &image, false));
    // The parents of what was packed.
    let undescribed = ["", "usr", "usr/lib", "usr/share", "var", "var/lib"];
    forget_times(&mut expected, &undescribed);
    assert!(expected.len() > 2000, "only {} names", expected.len());
    let mounted = Mounted::new(&sandbox);
    let mut actual = tree(&mounted.target);
    forget_times(&mut actual, &undescribed);
    assert_same("this machine", &expected, &actual);
    mounted.unmount();
    sandbox.run(&["fsck"]).success();
}

/// What is mounted (or copied, where `run` may not mount) is in use until it is taken away.
fn check_a_shown_image_stays(what: &str, run: impl Fn(&Sandbox, &[&str]) -> Run) {
    let (_, image, _) = images().swap_remove(0);
    let sandbox = loaded(&image);
    let id = sandbox.run(&["images", "-q", "--no-trunc"]).success().trim().to_owned();
    let short = &id["sha256:".len()..][..12];
    let target = sandbox.path("shown");
    let target = target.to_str().unwrap();
    fs::create_dir(target).unwrap();
    run(&sandbox, &["image", "mount", "sample:1", target]).success();

    let by_name = format!(
        "Error response from daemon: conflict: unable to remove repository reference \"sample:1\" (must force) - \
         its referenced image {short} is mounted at {target}\nhint: image unmount {target} first\n"
    );
    assert_eq!(sandbox.run(&["rmi", "sample:1"]).failure(), by_name, "{what}");
    assert_eq!(sandbox.run(&["rmi", "--dry-run", "sample:1"]).failure(), by_name, "{what}");
    let by_id = format!(
        "Error response from daemon: conflict: unable to delete {short} (cannot be forced) - image is mounted at \
         {target}\nhint: image unmount {target} first\n"
    );
    assert_eq!(sandbox.run(&["rmi", "-f", &id]).failure(), by_id, "{what}");
    for arguments in [&["image", "prune", "-a", "-f"][..], &["system", "prune", "-a", "-f"]] {
        assert_eq!(sandbox.run(arguments).success(), "Total reclaimed space: 0B\n", "{what}");
    }

    sandbox.run(&["tag", "sample:1", "other:1"]).success();
    let untagged = sandbox.run(&["rmi", "sample:1"]).success();
    assert!(untagged.starts_with("Untagged: sample:1\n") && !untagged.contains("Deleted"), "{what}: {untagged}");
    assert_eq!(sandbox.run(&["rmi", "-f", "other:1"]).success(), "Untagged: other:1\n", "{what}: the last name");
    assert_eq!(sandbox.run(&["image", "prune", "-f"]).success(), "Total reclaimed space: 0B\n", "{what}");
    assert_eq!(fs::read(Path::new(target).join("etc/small")).unwrap(), b"small\n", "{what}");

    run(&sandbox, &["image", "unmount", target]).success();
    assert!(sandbox.run(&["image", "prune", "-f"]).success().contains(&format!("deleted: {id}")), "{what}");
    assert_eq!(sandbox.files(&["mounts", "packs"]), Vec::<PathBuf>::new(), "{what}");
}

#[test]
fn an_image_that_is_shown_in_a_directory_is_not_removed() {
    if !have(&["root", "setpriv"]) {
        return;
    }
    check_a_shown_image_stays("mounted", |sandbox, arguments| sandbox.run(arguments));
    check_a_shown_image_stays("copied", without_mounting);
}

/// Killed at every step, a mount either counts and can be taken away, or does not and can be made again.
#[test]
fn a_mount_killed_at_every_step_can_be_made_again_or_taken_away() {
    use std::os::unix::process::ExitStatusExt as _;
    if !have(&["root", "setpriv", "umount"]) {
        return;
    }
    let (_, image, _) = images().swap_remove(0);
    for is_copied in [false, true] {
        for point in strata_store::fault::MOUNT_POINTS {
            let what = format!("{point}, copied: {is_copied}");
            let sandbox = loaded(&image);
            let mounted = Mounted { sandbox: &sandbox, target: sandbox.path("shown") };
            fs::create_dir(&mounted.target).unwrap();
            let target = mounted.target.to_str().unwrap();
            let under = |fault: &str, arguments: &[&str]| {
                let mut command = sandbox.command(arguments);
                command.env("STRATA_FAULT", fault);
                run(if is_copied { unable_to_mount(&command) } else { command })
            };
            let mut is_killed = false;
            for action in [&["image", "mount", "sample:1", target][..], &["image", "unmount", target]] {
                is_killed |= under(point, action).status.signal().is_some();
                if is_killed {
                    break;
                }
            }
            assert!(is_killed, "{what} was not met");
            let is_there = fs::read_dir(target).unwrap().next().is_some();
            assert_eq!(is_there, *point == "mount-shown", "{what}");
            let removed = sandbox.run(&["rmi", "--dry-run", "sample:1"]);
            assert_eq!(removed.status.success(), !is_there, "{what}: {}{}", removed.stdout, removed.stderr);
            // Whatever was left: it can be taken away, made, and taken away again.
            if is_there {
                under("", &["image", "unmount", target]).success();
            }
            under("", &["image", "mount", "sample:1", target]).success();
            assert_eq!(fs::read(mounted.target.join("etc/small")).unwrap(), b"small\n", "{what}");
            sandbox.run(&["rmi", "sample:1"]).failure();
            under("", &["image", "unmount", target]).success();
            assert_eq!(fs::read_dir(target).unwrap().count(), 0, "{what}");
            sandbox.run(&["rmi", "sample:1"]).success();
            assert_eq!(sandbox.files(&["mounts", "packs"]), Vec::<PathBuf>::new(), "{what}");
            sandbox.run(&["fsck"]).success();
        }
    }
}

/// After a restart, or an `umount` by hand, the record of a mount counts no more.
#[test]
fn a_mount_that_went_away_by_itself_keeps_nothing() {
    if !have(&["root", "umount"]) {
        return;
    }
    let (_, image, _) = images().swap_remove(0);
    let sandbox = loaded(&image);
    let mounted = Mounted::new(&sandbox);
    if mounted.filesystem().as_deref() != Some("erofs") {
        return tools::skip("EROFS");
    }
    sandbox.run(&["rmi", "sample:1"]).failure();
    output("umount", &[mounted.target.to_str().unwrap()]);
    sandbox.run(&["rmi", "sample:1"]).success();
    assert_eq!(sandbox.files(&["mounts"]), Vec::<PathBuf>::new());
}

#[test]
fn files_are_listed_read_and_compared_without_a_mount() {
    let (_, image, _) = images().swap_remove(1);
    let sandbox = loaded(&image);
    let (_, changed, _) = images().swap_remove(2);
    let annotations = [("io.containerd.image.name", "docker.io/library/sample:2")];
    let file = sandbox.path("second.tar");
    fs::write(&file, archive::oci(&changed, &annotations).tar(TarFormat::Pax)).unwrap();
    sandbox.run(&["load", "-i", file.to_str().unwrap()]).success();
    let mut transcript = String::new();
    for arguments in [
        &["image", "ls", "sample:1", "/"][..],
        &["image", "ls", "sample:1", "etc"],
        &["image", "ls", "sample:1", "/sticky/"],
        &["image", "ls", "sample:1", "/bin/sh"],
        &["image", "ls", "sample:1", "/nosuch"],
        &["image", "cat", "sample:1", "/etc/small"],
        &["image", "cat", "sample:1", "types/directory-to-file"],
        &["image", "cat", "sample:1", "/types/directory-to-link/small"],
        &["image", "cat", "sample:1", "/etc"],
        &["image", "cat", "sample:1", "/etc/page"],
        &["image", "cat", "nosuch", "/etc"],
        &["image", "diff", "sample:1", "sample:2"],
        &["image", "diff", "sample:1", "sample:1"],
        &["image", "diff", "sample:1", "nosuch"],
    ] {
        let done = sandbox.run(arguments);
        let code = done.status.code().unwrap_or(-1);
        let stderr: String = done.stderr.lines().map(|line| format!("stderr: {line}\n")).collect();
        transcript.push_str(&format!("$ strata {}\n{}{stderr}exit code: {code}\n\n", arguments.join(" "), done.stdout));
    }
    golden::assert_file(concat!(env!("CARGO_MANIFEST_DIR"), "/tests/golden/files.txt"), &transcript);
}
