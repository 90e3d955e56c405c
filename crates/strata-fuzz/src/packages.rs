//! What package managers write into images.

use strata_hub::{apk, dpkg, node, printable, python};

/// Databases of installed packages of every kind: what is found is one line of plain text, not too long. Any bytes can be
/// shown, and what is shown turns no text around.
pub fn packages(bytes: &[u8]) {
    let singles = [python(bytes), node(bytes)];
    for package in dpkg(bytes).into_iter().chain(apk(bytes)).chain(singles.into_iter().flatten()) {
        assert!(!package.name.is_empty() && package.name.chars().count() <= 200);
        assert!(package.version.chars().count() <= 100);
        assert!(!package.name.chars().chain(package.version.chars()).any(char::is_control));
    }
    let shown = printable(bytes);
    assert!(!shown.chars().any(|character| character.is_control() || character == '\u{202e}'));
}
