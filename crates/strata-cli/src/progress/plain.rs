//! Progress as plain lines.

use std::io::{self, Write as _};

/// Prints a line; a reader that went away does not stop a transfer.
pub(crate) fn print(line: &str) {
    let _ = writeln!(io::stdout().lock(), "{line}");
}
