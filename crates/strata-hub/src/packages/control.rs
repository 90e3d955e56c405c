//! Databases of paragraphs with one field a line: Debian's control files, and apk's `installed`.

use super::{Package, PackageKind};

/// Most packages that are taken from one database.
const MAX_PACKAGES: usize = 50_000;

/// The installed packages of dpkg: `var/lib/dpkg/status`, or a file of `status.d`, whose paragraphs have no status
/// (deb-status(5), `dpkg-query(1)`).
pub fn dpkg(bytes: &[u8]) -> Vec<Package> {
    paragraphs(bytes, |fields| {
        let is_installed = match field(fields, b"Status:") {
            Some(status) => status.split_ascii_whitespace().nth(2) == Some("installed"),
            None => true,
        };
        let name = field(fields, b"Package:").filter(|_| is_installed)?;
        Package::of(PackageKind::Dpkg, &name, &field(fields, b"Version:").unwrap_or_default())
    })
}

/// The packages in apk's `installed` (apk-tools' database of installed packages, version 2).
pub fn apk(bytes: &[u8]) -> Vec<Package> {
    paragraphs(bytes, |fields| {
        let name = field(fields, b"P:")?;
        Package::of(PackageKind::Apk, &name, &field(fields, b"V:").unwrap_or_default())
    })
}

fn paragraphs(bytes: &[u8], package: impl Fn(&[&[u8]]) -> Option<Package>) -> Vec<Package> {
    let lines: Vec<&[u8]> = bytes.split(|byte| *byte == b'\n').collect();
    let is_end = |line: &&[u8]| line.trim_ascii().is_empty();
    lines.split(is_end).filter_map(package).take(MAX_PACKAGES).collect()
}

/// The first line of a field.
fn field<'a>(lines: &[&'a [u8]], name: &[u8]) -> Option<std::borrow::Cow<'a, str>> {
    lines.iter().find_map(|line| line.strip_prefix(name)).map(String::from_utf8_lossy)
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    fn shown(packages: &[Package]) -> Vec<String> {
        packages.iter().map(|package| format!("{} {}", package.name, package.version)).collect()
    }

    #[test]
    fn only_installed_packages_of_dpkg_count() {
        let status = "Package: bash\nStatus: install ok installed\nVersion: 5.2-1\nDescription: shell\n a shell\n\n\
                      Package: gone\nStatus: deinstall ok config-files\nVersion: 1\n\n\n\
                      Package: half\nStatus: install\nVersion: 1\n\nVersion: 3\n\nPackage: tzdata\nVersion: 2025b\n";
        assert_eq!(shown(&dpkg(status.as_bytes())), ["bash 5.2-1", "tzdata 2025b"]);
        assert_eq!(dpkg(b""), []);
    }

    #[test]
    fn packages_of_apk() {
        let installed = "C:Q1abc=\nP:musl\nV:1.2.5-r0\nA:x86_64\nF:lib\nR:ld.so\n\nP:busybox\nV:1.36\n";
        assert_eq!(shown(&apk(installed.as_bytes())), ["musl 1.2.5-r0", "busybox 1.36"]);
    }

    proptest! {
        #![proptest_config(ProptestConfig::with_cases(64))]

        #[test]
        fn what_is_written_is_read(packages in prop::collection::vec(("[a-z][a-z0-9+.-]{1,20}", "[0-9][0-9.:~-]{0,10}"), 0..20)) {
            let written: String =
                packages.iter().map(|(name, version)| format!("Package: {name}\nVersion: {version}\n\n")).collect();
            let expected: Vec<String> = packages.iter().map(|(name, version)| format!("{name} {version}")).collect();
            prop_assert_eq!(shown(&dpkg(written.as_bytes())), expected);
        }

        #[test]
        fn any_bytes_end_in_clean_words(bytes in prop::collection::vec(any::<u8>(), 0..400)) {
            let text = [b"Package:", &bytes[..], b"\nVersion:", &bytes[..], b"\nP:", &bytes[..]].concat();
            for package in dpkg(&text).into_iter().chain(apk(&text)) {
                prop_assert!(!package.name.is_empty() && !package.name.chars().any(char::is_control));
                prop_assert!(package.name.chars().count() <= 200 && package.version.chars().count() <= 100);
            }
        }
    }
}
