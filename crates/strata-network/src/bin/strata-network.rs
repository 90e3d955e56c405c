//! The hooks and the attendant as a program of their own, for an OCI runtime without the rest.

use std::io::{self, Write};
use std::process::ExitCode;

fn main() -> ExitCode {
    strata_network::entry().unwrap_or_else(|| {
        let _ = writeln!(io::stderr(), "to be executed under the name {}", strata_network::PROGRAM);
        ExitCode::FAILURE
    })
}
