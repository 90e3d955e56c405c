//! What is damaged on disk is found, and heals.

mod support;

use std::fs;

use support::{Sandbox, sample_registry};

const FOLDERS: &[&str] = &["blobs", "packs", "indexes", "views"];

fn damage(path: &std::path::Path, how: &str) {
    let mut permissions = fs::metadata(path).unwrap().permissions();
    std::os::unix::fs::PermissionsExt::set_mode(&mut permissions, 0o600);
    fs::set_permissions(path, permissions).unwrap();
    let mut bytes = fs::read(path).unwrap();
    match how {
        "flipped" => {
            let middle = bytes.len() / 2;
            // Padding of a pack belongs to no content; the first byte always matters.
            let position = if path.to_string_lossy().contains("/packs/") { 0 } else { middle };
            bytes[position] ^= 0x40;
        }
        "truncated" => bytes.truncate(bytes.len() / 2),
        "emptied" => bytes.clear(),
        _ => unreachable!(),
    }
    fs::write(path, bytes).unwrap();
}

#[test]
fn every_damaged_file_is_found_and_the_next_pull_heals_it() {
    let (registry, _) = sample_registry();
    let reference = registry.reference("sample:1");
    let pristine = Sandbox::new();
    pristine.run(&["pull", "-q", &reference]).success();
    let count = pristine.files(FOLDERS).len();
    assert!(count >= 9, "{:?}", pristine.files(FOLDERS));
    for number in 0..count {
        for how in ["flipped", "truncated", "emptied"] {
            let sandbox = Sandbox::new();
            sandbox.run(&["pull", "-q", &reference]).success();
            let files = sandbox.files(FOLDERS);
            let victim = &files[number.min(files.len() - 1)];
            damage(victim, how);
            let found = sandbox.run(&["fsck"]);
            let is_cache = victim.components().any(|part| part.as_os_str() == "views");
            if !is_cache {
                assert_eq!(found.status.code(), Some(1), "{victim:?} {how} was not found: {}", found.stdout);
            }
            sandbox.run(&["pull", "-q", &reference]).success();
            sandbox.run(&["fsck", "--repair"]).success();
            sandbox.run(&["fsck"]).success();
            let content = sandbox.run(&["image", "cat", &reference, "/etc/os-release"]).success();
            assert_eq!(content, "NAME=sample\n", "{victim:?} {how}");
        }
    }
}

#[test]
fn repair_makes_packs_and_indexes_again_without_a_registry() {
    let (registry, image) = sample_registry();
    let reference = registry.reference("sample:1");
    let sandbox = Sandbox::new();
    sandbox.run(&["pull", "-q", &reference]).success();
    drop(registry);
    for file in sandbox.files(&["packs", "indexes"]) {
        damage(&file, "emptied");
    }
    sandbox.run(&["fsck", "--repair"]).success();
    sandbox.run(&["fsck"]).success();
    let archive = sandbox.path("saved.tar");
    sandbox.run(&["save", "-o", archive.to_str().unwrap(), &reference]).success();
    let second = sandbox.path("second");
    let loaded = support::run(sandbox.command_on(&second, &["load", "-i", archive.to_str().unwrap()])).success();
    assert!(loaded.contains("Loaded image"), "{loaded}");
    let inspect = ["inspect", "--format", "{{.Id}}", &reference];
    let id = support::run(sandbox.command_on(&second, &inspect)).success();
    assert_eq!(id.trim(), image.id().to_string());
}

#[test]
fn a_missing_file_is_found_by_the_pull_itself() {
    let (registry, _) = sample_registry();
    let reference = registry.reference("sample:1");
    let sandbox = Sandbox::new();
    sandbox.run(&["pull", "-q", &reference]).success();
    for file in sandbox.files(&["packs"]) {
        fs::remove_file(file).unwrap();
    }
    sandbox.run(&["pull", "-q", &reference]).success();
    sandbox.run(&["fsck"]).success();
}

#[test]
fn a_lost_catalog_is_made_again_from_the_files() {
    let (registry, image) = sample_registry();
    let reference = registry.reference("sample:1");
    let sandbox = Sandbox::new();
    sandbox.run(&["pull", "-q", &reference]).success();
    let archive = sandbox.path("plain.tar");
    let plain = strata_testkit::Image::small("loaded from an archive with plain layers");
    let members = strata_testkit::archive::docker(&[(&plain, &["plain:1"])]);
    fs::write(&archive, members.tar(strata_testkit::TarFormat::Gnu)).unwrap();
    sandbox.run(&["load", "-q", "-i", archive.to_str().unwrap()]).success();
    sandbox.run(&["tag", &reference, "mine:2"]).success();
    let before = sandbox.run(&["images", "--no-trunc", "--digests"]).success();
    for damage in ["removed", "overwritten"] {
        let catalog = sandbox.root().join("catalog.sqlite");
        match damage {
            "removed" => fs::remove_file(&catalog).unwrap(),
            _ => fs::write(&catalog, b"this is no database, and long enough to be taken for one".repeat(100)).unwrap(),
        }
        for suffix in ["-wal", "-shm"] {
            let _ = fs::remove_file(sandbox.root().join(format!("catalog.sqlite{suffix}")));
        }
        let rebuilt = sandbox.run(&["fsck", "--rebuild"]).success();
        assert!(rebuilt.contains("rebuilt 2 images with 3 names"), "{rebuilt}");
        assert_eq!(sandbox.run(&["images", "--no-trunc", "--digests"]).success(), before, "{damage}");
        sandbox.run(&["fsck"]).success();
    }
    let id = sandbox.run(&["inspect", "--format", "{{.Id}}", "mine:2"]).success();
    assert_eq!(id.trim(), image.id().to_string());
    let again = sandbox.run(&["pull", &reference]).success();
    assert!(again.contains("Image is up to date"), "{again}");
}
