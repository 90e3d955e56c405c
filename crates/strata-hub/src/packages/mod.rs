//! What is installed in an image, as its package managers wrote it down.
//!
//! These databases are bytes from outside: whatever is in them, parsing ends with fewer or more packages and never fails.
//! Names and versions are cut to a length and freed of control characters; they are text, never markup.

mod control;
mod documents;

use serde::{Deserialize, Serialize};

pub use control::{apk, dpkg};
pub use documents::{node, python};

/// Longest name of a package, in characters.
const MAX_NAME: usize = 200;
/// Longest version, in characters.
const MAX_VERSION: usize = 100;

/// Who installs a package.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum PackageKind {
    /// Debian and what comes from it.
    Dpkg,
    /// Alpine.
    Apk,
    /// Python, by whatever installer.
    Python,
    /// Node.js.
    Node,
}

impl PackageKind {
    /// All of them.
    pub const ALL: [PackageKind; 4] = [PackageKind::Dpkg, PackageKind::Apk, PackageKind::Python, PackageKind::Node];

    /// What a person calls it.
    pub fn as_str(self) -> &'static str {
        match self {
            PackageKind::Dpkg => "dpkg",
            PackageKind::Apk => "apk",
            PackageKind::Python => "Python",
            PackageKind::Node => "Node",
        }
    }
}

/// An installed package.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize)]
pub struct Package {
    /// Who installed it.
    pub kind: PackageKind,
    /// Its name.
    pub name: String,
    /// Its version, as its package manager writes it.
    pub version: String,
}

impl Package {
    /// `None` without a name.
    fn of(kind: PackageKind, name: &str, version: &str) -> Option<Package> {
        let (name, version) = (word(name, MAX_NAME), word(version, MAX_VERSION));
        (!name.is_empty()).then_some(Package { kind, name, version })
    }
}

/// What a file holds, if its path says that it is a database of packages.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Database {
    /// Of dpkg, with a paragraph for each package.
    Dpkg,
    /// Of apk.
    Apk,
    /// One package of Python.
    Python,
    /// One package of Node.js.
    Node,
}

impl Database {
    /// Told by the path from the root, without leading slash.
    pub(crate) fn at(path: &[u8]) -> Option<Database> {
        const DPKG: &[u8] = b"var/lib/dpkg/status";
        if path == DPKG || path.strip_prefix(DPKG).is_some_and(|rest| rest.starts_with(b".d/")) {
            return (!path.ends_with(b".md5sums")).then_some(Database::Dpkg);
        }
        if path == b"lib/apk/db/installed" || path == b"usr/lib/apk/db/installed" {
            return Some(Database::Apk);
        }
        let mut names = path.rsplit(|byte| *byte == b'/');
        let (name, folder, above, over) =
            (names.next()?, names.next()?, names.next().unwrap_or_default(), names.next());
        match name {
            b"METADATA" if folder.ends_with(b".dist-info") => Some(Database::Python),
            b"PKG-INFO" if folder.ends_with(b".egg-info") => Some(Database::Python),
            b"package.json" if above == b"node_modules" => Some(Database::Node),
            b"package.json" if above.starts_with(b"@") && over == Some(b"node_modules") => Some(Database::Node),
            _ => None,
        }
    }

    /// Most bytes of it that are read.
    pub(crate) fn limit(self) -> u64 {
        match self {
            Database::Dpkg | Database::Apk => 32 << 20,
            Database::Python | Database::Node => 256 << 10,
        }
    }

    /// The packages in it.
    pub(crate) fn parse(self, bytes: &[u8]) -> Vec<Package> {
        match self {
            Database::Dpkg => dpkg(bytes),
            Database::Apk => apk(bytes),
            Database::Python => python(bytes).into_iter().collect(),
            Database::Node => node(bytes).into_iter().collect(),
        }
    }
}

/// One line of text, cut to a length.
fn word(text: &str, longest: usize) -> String {
    text.trim().chars().filter(|character| !character.is_control()).take(longest).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn databases_are_told_by_their_paths() {
        for (path, expected) in [
            ("var/lib/dpkg/status", Some(Database::Dpkg)),
            ("var/lib/dpkg/status.d/base-files", Some(Database::Dpkg)),
            ("var/lib/dpkg/status.d/base-files.md5sums", None),
            ("var/lib/dpkg/status-old", None),
            ("srv/var/lib/dpkg/status", None),
            ("lib/apk/db/installed", Some(Database::Apk)),
            ("usr/lib/python3/dist-packages/six-1.16.0.dist-info/METADATA", Some(Database::Python)),
            ("usr/lib/python3/dist-packages/six-1.16.0.egg-info/PKG-INFO", Some(Database::Python)),
            ("METADATA", None),
            ("app/node_modules/left-pad/package.json", Some(Database::Node)),
            ("app/node_modules/@types/node/package.json", Some(Database::Node)),
            ("app/node_modules/left-pad/lib/package.json", None),
            ("app/package.json", None),
        ] {
            assert_eq!(Database::at(path.as_bytes()), expected, "{path}");
        }
    }
}
