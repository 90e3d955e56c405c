//! The exact tar comes out again: every tar of the test data and of GNU tar in all its formats.

mod support;

use std::collections::BTreeSet;
use std::io::Read as _;
use std::os::unix::fs::{FileExt as _, symlink};
use std::path::{Path, PathBuf};
use std::process::Command;

use strata_layer::decompressor;
use support::round_trip;

fn files_below(folder: &Path, found: &mut Vec<PathBuf>) {
    for entry in std::fs::read_dir(folder).unwrap() {
        let path = entry.unwrap().path();
        if path.is_dir() { files_below(&path, found) } else { found.push(path) }
    }
}

fn inflated(bytes: &[u8]) -> Option<Vec<u8>> {
    let mut plain = Vec::new();
    decompressor(bytes).ok()?.1.read_to_end(&mut plain).ok()?;
    Some(plain)
}

/// Whether it starts with a header block; test data has other files beside tars.
fn is_tar(bytes: &[u8]) -> bool {
    let Some(block) = bytes.first_chunk::<512>() else { return false };
    let field = String::from_utf8_lossy(&block[148..156]).trim_matches([' ', '\0']).to_owned();
    let sum: u32 = block[..148].iter().chain(&[b' '; 8]).chain(&block[156..]).map(|&byte| u32::from(byte)).sum();
    u32::from_str_radix(&field, 8) == Ok(sum)
}

/// Round trips the tar and every tar in it; returns how many.
fn check(bytes: &[u8], name: &str) -> usize {
    if !is_tar(bytes) {
        return 0;
    }
    round_trip(bytes, name);
    let mut packs = Default::default();
    let layer = support::read(bytes, &mut packs, false).unwrap();
    let paths: BTreeSet<_> = layer.index.entries().map(|entry| entry.path).collect();
    let inner = paths.into_iter().map(|path| {
        let content = support::content_of(&layer.index, &packs, path);
        let name = format!("{name}/{}", String::from_utf8_lossy(path));
        inflated(&content).map_or(0, |plain| check(&plain, &name))
    });
    1 + inner.sum::<usize>()
}

#[test]
fn all_tars_of_the_test_data() {
    let testdata = Path::new(env!("CARGO_MANIFEST_DIR")).join("../../testdata");
    let mut count = 0;
    for folder in ["docker-archives", "ggcr-tarballs", "compression", "manifests"] {
        let mut files = Vec::new();
        files_below(&testdata.join(folder), &mut files);
        for path in files {
            let Some(plain) = inflated(&std::fs::read(&path).unwrap()) else { continue };
            count += check(&plain, &path.display().to_string());
        }
    }
    assert!(count >= 60, "only {count} tars");
}

/// A folder with something of everything that needs no privileges, removed at the end.
struct Tree(PathBuf);

impl Tree {
    fn new() -> Tree {
        let root = std::env::temp_dir().join(format!("strata-layer-{}", std::process::id()));
        let _ = std::fs::remove_dir_all(&root);
        let tree = root.join("tree");
        std::fs::create_dir_all(tree.join("directory/empty")).unwrap();
        std::fs::write(tree.join("empty"), b"").unwrap();
        std::fs::write(tree.join("directory/small"), b"small").unwrap();
        std::fs::write(tree.join("directory/block"), [3; 512]).unwrap();
        let large: Vec<u8> = (0..3_000_001u32).map(|number| (number % 251) as u8).collect();
        std::fs::write(tree.join("large"), &large).unwrap();
        std::fs::write(tree.join("caf\u{e9} \n name"), b"odd name").unwrap();
        symlink("../outside", tree.join("symlink")).unwrap();
        std::fs::hard_link(tree.join("large"), tree.join("hardlink")).unwrap();
        for (name, ranges, size) in [
            ("sparse", &[(0, 4096), (1 << 20, 8192), (5 << 20, 4096)][..], (6 << 20) + 17),
            ("hole", &[], 2 << 20),
            ("small hole", &[(65536, 100)], 100_000),
        ] {
            let file = std::fs::File::create(tree.join(name)).unwrap();
            file.set_len(size).unwrap();
            for &(offset, length) in ranges {
                file.write_all_at(&vec![9; length], offset).unwrap();
            }
        }
        let many = std::fs::File::create(tree.join("many holes")).unwrap();
        many.set_len(20 << 20).unwrap();
        for part in 0..100u64 {
            many.write_all_at(&[part as u8; 4096], part * 200_704).unwrap();
        }
        Tree(root)
    }

    /// The tar that GNU tar makes with these options.
    fn tar(&self, options: &[&str]) -> Vec<u8> {
        let output = Command::new("tar").args(options).arg("-C").arg(&self.0).args(["-c", "tree"]).output().unwrap();
        assert!(!output.stdout.is_empty(), "{}", String::from_utf8_lossy(&output.stderr));
        output.stdout
    }
}

impl Drop for Tree {
    fn drop(&mut self) {
        let _ = std::fs::remove_dir_all(&self.0);
    }
}

#[test]
fn all_formats_of_gnu_tar() {
    let tree = Tree::new();
    let plain = round_trip(&tree.tar(&["--format=gnu"]), "gnu");
    for format in ["v7", "ustar", "oldgnu", "gnu", "posix"] {
        round_trip(&tree.tar(&["--format", format]), format);
    }
    let long = tree.0.join("tree").join(["n"; 4].map(|letter| letter.repeat(75)).join("/"));
    std::fs::create_dir_all(&long).unwrap();
    std::fs::write(long.join("x".repeat(200)), b"long name").unwrap();
    symlink("target".repeat(40), long.join("long target")).unwrap();
    for options in [
        &["--format=gnu", "--sparse"][..],
        &["--format=oldgnu", "--sparse"],
        &["--format=posix", "--sparse", "--sparse-version=0.0"],
        &["--format=posix", "--sparse", "--sparse-version=0.1"],
        &["--format=posix", "--sparse", "--sparse-version=1.0"],
        &["--format=posix", "--xattrs", "--acls", "--mtime=@-1.5"],
        &["--format=gnu", "--owner=#3000000000", "--mtime=@-10000000000"],
        &["--format=gnu", "--label=volume", "--exclude=*"],
    ] {
        if options.contains(&"--label=volume") {
            assert!(support::read(&tree.tar(options), &mut Default::default(), false).is_err());
            continue;
        }
        let name = options.join(" ");
        let index = round_trip(&tree.tar(options), &name);
        // Sparse or not, the contents are the same.
        for entry in plain.entries() {
            let same = index.entries().find(|other| other.path == entry.path).unwrap_or_else(|| panic!("{name}"));
            let digest =
                |entry: strata_layer::EntryRef<'_>| entry.content.map(|content| (content.digest, content.size));
            assert_eq!(digest(same), digest(entry), "{name}: {}", String::from_utf8_lossy(entry.path));
        }
        assert_eq!(index.len(), plain.len() + 6, "{name}");
    }
}
