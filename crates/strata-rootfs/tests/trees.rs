//! One image, three ways: mounted as EROFS, extracted to a directory, unpacked by umoci. All must show the same tree.
//!
//! Mounts need root; as a plain user only the extraction is tested, and the tests say so.

mod tree;

use std::fs::{self, File};
use std::path::Path;

use strata_layer::Kind;
use strata_model::ErrorKind;
use strata_rootfs::{
    Abilities, ErofsSource, Extracted, Method, MountPlan, Ownership, Step, UpperDirectory, ViewOnDisk, detach, extract,
    mount_erofs, mount_plan, mounts, mounts_below, unmount,
};
use tree::{
    Entry, OnDisk, Tar, assert_same, directory, entry, file, hard_link, installed, is_root, merges, symlink, tree,
    umoci_unpack,
};

/// Two layers with something of everything, every directory described, so that all tools agree on its time.
fn layers() -> Vec<Vec<u8>> {
    let capability = vec![1, 0, 0, 2, 0, 32, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0];
    let acl: Vec<u8> = [
        &[2, 0, 0, 0][..],
        &[1, 0, 7, 0, 255, 255, 255, 255],
        &[2, 0, 5, 0, 232, 3, 0, 0],
        &[4, 0, 5, 0, 255, 255, 255, 255],
        &[16, 0, 5, 0, 255, 255, 255, 255],
        &[32, 0, 0, 0, 255, 255, 255, 255],
    ]
    .concat();
    let large = vec![b'L'; 3 << 20];
    let long_name = format!("many/{}", "n".repeat(250));
    let long_target = "t/".repeat(700);
    let names: Vec<String> = (0..200).map(|number| format!("many/{number}")).collect();
    let mut lower = vec![
        directory("./", 0o755),
        directory("bin", 0o1777),
        Entry { xattrs: vec![("security.capability", capability)], ..entry("bin/ping", b'0', 0o755) },
        Entry { content: b"#!/bin/sh\n", mode: 0o4755, owner: (1000, 70_000), ..file("bin/su", b"") },
        hard_link("bin/su2", "bin/su"),
        symlink("bin/sh", "su"),
        symlink("long", &long_target),
        Entry { mtime: "1600000000.123456789", ..directory("etc", 0o750) },
        Entry { mtime: "-5.5", content: b"old", ..file("etc/old", b"") },
        file("etc/gone", b"gone"),
        file("etc/empty", b""),
        Entry { xattrs: vec![("system.posix_acl_access", acl)], mode: 0o750, ..directory("acl", 0) },
        Entry { xattrs: vec![("user.k", b"v".to_vec()), ("user.z", vec![0, 10, 255])], ..file("acl/x", b"x") },
        Entry { xattrs: vec![("trusted.k", b"v".to_vec())], ..directory("opaque", 0o700) },
        file("opaque/hidden", b"1"),
        directory("dev", 0o755),
        Entry { device: (1, 3), ..entry("dev/null", b'3', 0o666) },
        Entry { device: (7, 300), owner: (0, 6), ..entry("dev/loop300", b'4', 0o660) },
        entry("dev/initctl", b'6', 0o600),
        directory("run", 0o755),
        directory("var", 0o755),
        symlink("var/run", "/run"),
        directory("dir", 0o755),
        file("dir/x", b"1"),
        file("large", &large),
        directory("many", 0o755),
        file(&long_name, b"long"),
    ];
    lower.extend(names.iter().map(|name| file(name, name.as_bytes())));
    let upper = vec![
        file("etc/.wh.gone", b""),
        file("etc/new", b"new"),
        hard_link("etc/su3", "bin/su"),
        file("opaque/.wh..wh..opq", b""),
        file("opaque/shown", b"2"),
        file("var/run/pid", b"42"),
        file("dir", b"now a file"),
        Entry { owner: (3, 4), mtime: "1700000000", ..directory("many", 0o711) },
        file("many/7", b"changed"),
    ];
    vec![Tar::of(&lower), Tar::of(&upper)]
}

/// A directory on a disk file system: EROFS cannot be mounted from a file on tmpfs.
fn scratch() -> tempfile::TempDir {
    tempfile::Builder::new().prefix("rootfs-").tempdir_in(env!("CARGO_TARGET_TMPDIR")).unwrap()
}

/// Mounts go away also when an assertion fails.
struct Unmounted<'a>(&'a Path);

impl Drop for Unmounted<'_> {
    fn drop(&mut self) {
        for mount in mounts_below(self.0).unwrap_or_default() {
            let _ = detach(&mount.target);
        }
    }
}

fn extracted(on_disk: &OnDisk, target: &Path, ownership: Ownership) -> Extracted {
    fs::create_dir(target).unwrap();
    extract(&on_disk.view, on_disk, &on_disk.open_packs(), target, ownership).unwrap()
}

#[test]
fn a_mounted_view_equals_the_extraction_and_umoci() {
    if !is_root() {
        return skipped("mounting");
    }
    let scratch = scratch();
    let on_disk = OnDisk::make(scratch.path(), &layers());
    let done = extracted(&on_disk, &scratch.path().join("extracted"), Ownership::AsRecorded);
    assert_eq!((done.skipped_devices.len(), done.skipped_xattrs), (0, 0));
    assert_eq!(done.names as usize, on_disk.view.walk().count() - 1);
    let expected = tree(&scratch.path().join("extracted"));

    let target = scratch.path().join("mounted");
    fs::create_dir(&target).unwrap();
    let _unmounted = Unmounted(scratch.path());
    let abilities = Abilities::probe(scratch.path());
    if let Some(source) = abilities.image.erofs_source() {
        mount_erofs(source, &File::open(&on_disk.image).unwrap(), &on_disk.open_packs(), &target).unwrap();
        assert_same("mounted", &expected, &tree(&target));
        let mount = mounts_below(&target).unwrap().remove(0);
        assert_eq!((mount.filesystem.as_str(), mount.read_only), ("erofs", true));
        for (path, id) in on_disk.view.walk().filter(|(_, id)| on_disk.view.inode(*id).kind == Kind::Directory) {
            use std::os::unix::{ffi::OsStrExt, fs::MetadataExt};
            let found = target.join(std::ffi::OsStr::from_bytes(&path)).metadata().unwrap().nlink();
            assert_eq!(found, u64::from(on_disk.view.inode(id).links), "links of {}", path.escape_ascii());
        }
        unmount(&target).unwrap();
        assert!(mounts().unwrap().iter().all(|mount| mount.target != target));
        assert_eq!(unmount(&target).unwrap_err().kind(), ErrorKind::NotFound);
    }
    if installed("umoci") {
        let unpacked = umoci_unpack(scratch.path(), &layers()).expect("umoci unpacks it");
        assert_same("umoci", &tree(&unpacked), &expected);
    }
}

#[test]
fn every_way_to_mount_that_works_shows_the_same() {
    if !is_root() {
        return skipped("mounting");
    }
    let scratch = scratch();
    let on_disk = OnDisk::make(scratch.path(), &layers());
    let _unmounted = Unmounted(scratch.path());
    let mut trees = Vec::new();
    for source in [ErofsSource::File, ErofsSource::Loop] {
        let target = scratch.path().join(format!("{source:?}"));
        fs::create_dir(&target).unwrap();
        match mount_erofs(source, &File::open(&on_disk.image).unwrap(), &on_disk.open_packs(), &target) {
            Ok(()) => trees.push(tree(&target)),
            Err(error) => assert!(
                matches!(error.kind(), ErrorKind::Unsupported | ErrorKind::NotFound | ErrorKind::Denied),
                "{error}"
            ),
        }
    }
    trees.windows(2).for_each(|pair| assert_same("loop", &pair[0], &pair[1]));
}

#[test]
fn what_is_no_image_is_not_mounted() {
    if !is_root() {
        return skipped("mounting");
    }
    let scratch = scratch();
    let path = scratch.path().join("no image");
    fs::write(&path, [0; 4096]).unwrap();
    let error = mount_erofs(ErofsSource::File, &File::open(&path).unwrap(), &[], scratch.path()).unwrap_err();
    assert_eq!(error.kind(), ErrorKind::Unsupported, "{error}");
    assert!(error.to_string().starts_with("mounting erofs on "), "{error}");
    let error = mount_erofs(ErofsSource::File, &File::open(&path).unwrap(), &[], Path::new("/not/there")).unwrap_err();
    assert_eq!(error.kind(), ErrorKind::NotFound);
}

/// The whole plan, as a container would have it: written to, unmounted, the image unchanged below.
#[test]
fn a_plan_gives_a_writable_root() {
    if !is_root() {
        return skipped("mounting");
    }
    let scratch = scratch();
    let on_disk = OnDisk::make(scratch.path(), &layers());
    let _unmounted = Unmounted(scratch.path());
    let probed = Abilities::probe(scratch.path());
    let view = ViewOnDisk {
        image: on_disk.image.clone(),
        packs: on_disk.packs.clone(),
        directory: scratch.path().join("shared"),
    };
    let all = [
        probed,
        Abilities { image: Method::Directory, ..probed },
        Abilities { image: Method::Directory, overlay: false },
    ];
    for (number, abilities) in all.into_iter().enumerate() {
        let container = scratch.path().join(format!("container {number}"));
        let upper = UpperDirectory {
            upper: container.join("upper"),
            work: container.join("work"),
            lower: container.join("lower"),
        };
        let root = container.join("root");
        let plan = mount_plan(&view, Some(&upper), &abilities, &root);
        plan.realize(&mut |target| {
            extract(&on_disk.view, &on_disk, &on_disk.open_packs(), target, Ownership::AsRecorded).map(drop)
        })
        .unwrap();
        assert_eq!(fs::read(root.join("etc/new")).unwrap(), b"new", "{abilities}");
        fs::write(root.join("etc/new"), "written").unwrap();
        fs::remove_file(root.join("large")).unwrap();
        fs::create_dir(root.join("etc/made")).unwrap();
        assert_eq!(fs::read(root.join("etc/new")).unwrap(), b"written");
        for mount in mounts_below(&container).unwrap() {
            unmount(&mount.target).unwrap();
        }
        assert_eq!(fs::read_dir(&root).unwrap().count(), 0, "{abilities}");
        assert_eq!(fs::read(upper.upper.join("etc/new")).unwrap(), b"written");
    }
    let read_only = scratch.path().join("read-only");
    for abilities in [probed, Abilities { image: Method::Directory, overlay: true }] {
        let plan = mount_plan(&view, None, &abilities, &read_only);
        plan.realize(&mut |_| unreachable!("the directory exists")).unwrap();
        let error = fs::write(read_only.join("etc/new"), "x").unwrap_err();
        assert_eq!(error.kind(), std::io::ErrorKind::ReadOnlyFilesystem);
        unmount(&read_only).unwrap();
    }
}

#[test]
fn a_failing_plan_takes_its_mounts_away() {
    if !is_root() || !Abilities::probe(scratch().path()).overlay {
        return skipped("mounting");
    }
    let scratch = scratch();
    let target = scratch.path().join("bound");
    let bind = Step::Bind { source: scratch.path().into(), target: target.clone(), read_only: false };
    let erofs = Step::Erofs {
        source: ErofsSource::File,
        image: "/not/there".into(),
        packs: vec![],
        target: scratch.path().join("image"),
    };
    let _unmounted = Unmounted(scratch.path());
    let error = MountPlan { steps: vec![bind, erofs] }.realize(&mut |_| Ok(())).unwrap_err();
    assert_eq!(error.kind(), ErrorKind::NotFound);
    assert!(mounts_below(&target).unwrap().is_empty());
}

/// Also without any rights: everything ours, devices left out when they may not be made.
#[test]
fn extraction_without_rights() {
    let scratch = scratch();
    let on_disk = OnDisk::make(scratch.path(), &layers());
    let target = scratch.path().join("squashed");
    let done = extracted(&on_disk, &target, Ownership::Squash);
    let found = tree(&target);
    let us = (rustix::process::geteuid().as_raw(), rustix::process::getegid().as_raw());
    assert!(found.values().all(|facts| facts.owner == us));
    assert_eq!(found.len() as u64 + done.skipped_devices.len() as u64, done.names + 1);
    assert_eq!(fs::read(target.join("etc/su3")).unwrap(), b"#!/bin/sh\n");
    assert_eq!(found[Path::new("etc/su3")].links, 3);
    assert_eq!(found[Path::new("etc")].mtime, (1_600_000_000, 123_456_789));
    assert_eq!(found[Path::new("dir")].size, 10);
    if !is_root() {
        assert_eq!(done.skipped_devices, [b"dev/loop300".to_vec(), b"dev/null".to_vec()]);
    }
}

#[test]
fn a_short_or_missing_pack_is_corrupt() {
    let scratch = scratch();
    let on_disk = OnDisk::make(scratch.path(), &[Tar::of(&[file("a/b", b"content")])]);
    let empty = tempfile::tempfile().unwrap();
    for (number, packs) in [vec![], vec![empty]].into_iter().enumerate() {
        let target = scratch.path().join(number.to_string());
        fs::create_dir(&target).unwrap();
        let error = extract(&on_disk.view, &on_disk, &packs, &target, Ownership::Squash).unwrap_err();
        assert_eq!(error.kind(), ErrorKind::Corrupt);
        assert!(error.to_string().contains("\"a/b\""), "{error}");
    }
    let busy = scratch.path().join("busy");
    fs::create_dir(&busy).unwrap();
    fs::write(busy.join("a"), "").unwrap();
    let error = extract(&on_disk.view, &on_disk, &on_disk.open_packs(), &busy, Ownership::Squash).unwrap_err();
    assert_eq!(error.kind(), ErrorKind::AlreadyExists);
}

/// Generated layers, applied by umoci and by us. Where umoci refuses layers we may differ (see the merge's rules);
/// where it takes them the trees must be the same, but for the mode, time and attributes of directories, since umoci
/// gives those that no layer describes the current time.
#[test]
fn generated_layers_equal_umoci() {
    if !is_root() || !installed("umoci") {
        return skipped("umoci");
    }
    let images = std::env::var("STRATA_GENERATED_IMAGES").map_or(12, |count| count.parse().unwrap());
    let mut compared = 0;
    for seed in 0..images {
        let tars = generated(seed);
        let scratch = scratch();
        let Some(unpacked) = umoci_unpack(scratch.path(), &tars) else { continue };
        let on_disk = OnDisk::make(scratch.path(), &tars);
        extracted(&on_disk, &scratch.path().join("extracted"), Ownership::AsRecorded);
        let [expected, found] = [unpacked, scratch.path().join("extracted")].map(|root| {
            let mut tree = tree(&root);
            for facts in tree.values_mut().filter(|facts| facts.mode & 0o170_000 == 0o040_000) {
                (facts.mode, facts.mtime) = (0o040_000, (0, 0));
                facts.xattrs.clear();
            }
            tree
        });
        assert_same(&format!("image {seed}"), &expected, &found);
        compared += 1;
    }
    assert!(compared * 4 >= images, "umoci took only {compared} of {images} images");
}

/// Three layers of random entries from few names, so that they meet; entries that do not merge are left out.
fn generated(seed: u64) -> Vec<Vec<u8>> {
    let mut state = seed.wrapping_mul(0x9E37_79B9_7F4A_7C15) | 1;
    let mut below = |limit: usize| {
        state ^= state << 13;
        state ^= state >> 7;
        state ^= state << 17;
        (state >> 33) as usize % limit
    };
    const PATHS: [&str; 12] = ["a", "b", "c", "a/a", "a/b", "b/a", "b/c", "c/a", "a/b/c", "a/a/a", "b/a/c", "c/b/a"];
    const TARGETS: [&str; 6] = ["a", "/b", "../c", "../../b/a", "/a/b", "."];
    const MARKS: [&str; 9] = [
        ".wh.a",
        ".wh.b",
        "a/.wh.a",
        "a/.wh.b",
        "b/.wh.c",
        "c/.wh.a",
        "a/.wh..wh..opq",
        "b/.wh..wh..opq",
        ".wh..wh..opq",
    ];
    const CONTENTS: [&[u8]; 3] = [b"1", b"2", b""];
    let mut tars: Vec<Vec<u8>> = Vec::new();
    for _ in 0..3 {
        let mut entries: Vec<Entry<'_>> = Vec::new();
        tars.push(Tar::of(&entries));
        for _ in 0..4 + below(9) {
            entries.push(match below(12) {
                0..=3 => file(PATHS[below(12)], CONTENTS[below(3)]),
                4..=6 => directory(PATHS[below(12)], 0o755),
                7 => symlink(PATHS[below(12)], TARGETS[below(6)]),
                8..=9 => hard_link(PATHS[below(12)], PATHS[below(12)]),
                _ => file(MARKS[below(9)], b""),
            });
            let before = std::mem::replace(tars.last_mut().unwrap(), Tar::of(&entries));
            if !merges(&tars) {
                entries.pop();
                *tars.last_mut().unwrap() = before;
            }
        }
    }
    tars
}

#[allow(clippy::print_stderr)]
fn skipped(what: &str) {
    eprintln!("skipped: {what} is not possible here");
}
