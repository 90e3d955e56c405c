//! One file for each package: Python's core metadata, Node's `package.json`.

use serde::Deserialize;

use super::{Package, PackageKind};

/// The package that a `METADATA` or `PKG-INFO` describes (packaging.python.org, core metadata specifications): header
/// fields up to the first empty line.
pub fn python(bytes: &[u8]) -> Option<Package> {
    let (mut name, mut version) = (None, None);
    for line in bytes.split(|byte| *byte == b'\n').map(|line| line.strip_suffix(b"\r").unwrap_or(line)) {
        if line.is_empty() {
            break;
        }
        let Some(colon) = line.iter().position(|byte| *byte == b':') else { continue };
        let value = String::from_utf8_lossy(&line[colon + 1..]);
        match &line[..colon] {
            b"Name" => name = name.or(Some(value)),
            b"Version" => version = version.or(Some(value)),
            _ => {}
        }
    }
    Package::of(PackageKind::Python, &name?, &version.unwrap_or_default())
}

/// The package that a `package.json` describes. One without version was not installed from anywhere.
pub fn node(bytes: &[u8]) -> Option<Package> {
    #[derive(Deserialize)]
    struct Document {
        name: String,
        version: String,
    }
    let document: Document = serde_json::from_slice(bytes).ok()?;
    Package::of(PackageKind::Node, &document.name, &document.version)
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    fn package(kind: PackageKind, name: &str, version: &str) -> Option<Package> {
        Some(Package { kind, name: name.into(), version: version.into() })
    }

    #[test]
    fn metadata_of_python() {
        for (text, expected) in [
            ("Metadata-Version: 2.1\nName: six\nVersion: 1.16.0\n\nName: no\n", ("six", "1.16.0")),
            ("Name: a b\r\nVersion: 1\r\n\r\n", ("a b", "1")),
            ("Name: x", ("x", "")),
        ] {
            assert_eq!(python(text.as_bytes()), package(PackageKind::Python, expected.0, expected.1), "{text}");
        }
        for text in ["", "\nName: x\n", "Version: 1\n", "Name: \n"] {
            assert_eq!(python(text.as_bytes()), None, "{text:?}");
        }
    }

    #[test]
    fn documents_of_node() {
        assert_eq!(
            node(br#"{"name":"@types/node","version":"20.1.0"}"#),
            package(PackageKind::Node, "@types/node", "20.1.0")
        );
        for text in ["", "[]", r#"{"name":"x"}"#, r#"{"name":1,"version":"1"}"#, r#"{"type":"module"}"#] {
            assert_eq!(node(text.as_bytes()), None, "{text}");
        }
    }

    proptest! {
        #![proptest_config(ProptestConfig::with_cases(64))]

        #[test]
        fn any_bytes_end(bytes in prop::collection::vec(any::<u8>(), 0..300)) {
            let _ = node(&bytes);
            let named = [b"Name: n", &bytes[..]].concat();
            let found = python(&named);
            prop_assert!(found.is_some_and(|found| found.name.starts_with('n')));
        }
    }
}
