//! How this crate's work is reached from outside: the program executed again under another name.
//!
//! `strata-network attach DIRECTORY` and `detach DIRECTORY` are OCI hooks: the container's state comes as JSON on standard
//! input. `attendant DIRECTORY PID` is the process that listens for a container.

use std::env;
use std::io::{self, Read, Write};
use std::path::{Path, PathBuf};
use std::process::ExitCode;

use serde::Deserialize;

use crate::{NetworkError, Result, attach, attendant, detach};

/// The name (`argv[0]`) under which the program does the work of this crate.
pub const PROGRAM: &str = "strata-network";

/// The largest state that a runtime hands to a hook, in bytes.
const STATE_LIMIT: u64 = 1 << 20;

/// The arguments, with `argv[0]`, of the hook `verb` (`attach` or `detach`) for the container of `directory`.
pub fn hook_arguments(verb: &str, directory: &Path) -> Vec<String> {
    vec![PROGRAM.to_owned(), verb.to_owned(), directory.display().to_string()]
}

/// Does the work of this crate when the program was executed for it; `None` when it was not. To be called first in `main`.
pub fn entry() -> Option<ExitCode> {
    let mut arguments = env::args_os();
    if arguments.next()? != PROGRAM {
        return None;
    }
    let arguments: Vec<String> = arguments.map(|argument| argument.to_string_lossy().into_owned()).collect();
    let words: Vec<&str> = arguments.iter().map(String::as_str).collect();
    let done = match words[..] {
        ["attach", directory] => init().and_then(|pid| attach(Path::new(directory), pid)).map(|_| ()),
        ["detach", directory] => detach(Path::new(directory)),
        ["attendant", directory, pid] => attendant::run(PathBuf::from(directory), pid),
        _ => Err(NetworkError::Unsupported(format!("{PROGRAM}: attach, detach or attendant is expected"))),
    };
    Some(match done {
        Ok(()) => ExitCode::SUCCESS,
        Err(error) => {
            // Whoever runs the hook reads it from there.
            let _ = writeln!(io::stderr(), "{error}");
            ExitCode::FAILURE
        }
    })
}

/// The process ID of the container's init, from the state that an OCI runtime hands to its hooks.
fn init() -> Result<i32> {
    #[derive(Deserialize)]
    struct State {
        pid: i32,
    }
    let mut bytes = Vec::new();
    io::stdin()
        .take(STATE_LIMIT)
        .read_to_end(&mut bytes)
        .map_err(|error| NetworkError::system("reading the container's state from standard input", error))?;
    let state: State = serde_json::from_slice(&bytes).map_err(|error| NetworkError::Document {
        path: "the container's state on standard input".to_owned(),
        reason: error.to_string(),
    })?;
    Ok(state.pid)
}
