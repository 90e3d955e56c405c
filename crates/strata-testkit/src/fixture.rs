//! Files of other projects under `testdata/`.

use std::path::{Path, PathBuf};

use crate::archive::ArchiveMembers;
use crate::tar::TarEntry;

/// The path of a file or folder under `testdata/`.
pub fn path(relative: &str) -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("../../testdata").join(relative)
}

/// The bytes of a file under `testdata/`.
///
/// # Panics
/// When it is not there.
pub fn bytes(relative: &str) -> Vec<u8> {
    std::fs::read(path(relative)).unwrap_or_else(|error| panic!("testdata/{relative}: {error}"))
}

/// All files under a folder of `testdata/` as members of a tar, sorted by path.
///
/// # Panics
/// When the folder cannot be read.
pub fn members(relative: &str) -> ArchiveMembers {
    let root = path(relative);
    let mut members = ArchiveMembers::default();
    for file in files(&root) {
        let content = std::fs::read(&file).unwrap_or_else(|error| panic!("{}: {error}", file.display()));
        let name = file.strip_prefix(&root).expect("a path below the root").to_string_lossy().into_owned();
        members.0.push(TarEntry::file(name, content));
    }
    members
}

/// All files under a folder, sorted by path.
///
/// # Panics
/// When the folder cannot be read.
pub fn files(folder: &Path) -> Vec<PathBuf> {
    let entries = std::fs::read_dir(folder).unwrap_or_else(|error| panic!("{}: {error}", folder.display()));
    let mut paths: Vec<PathBuf> = entries.map(|entry| entry.expect("an entry").path()).collect();
    paths.sort();
    paths.into_iter().flat_map(|path| if path.is_dir() { files(&path) } else { vec![path] }).collect()
}
