//! Questions to the user.

use std::io::{self, BufRead as _, IsTerminal as _};

use crate::output::{print, print_line};
use crate::report::{Failure, Outcome};

/// Asks for a yes; everything but `y` and the end of the input are no.
pub(crate) fn confirm(question: &str) -> Outcome<bool> {
    print(&format!("{question} [y/N] "))?;
    Ok(read_line()?.trim().eq_ignore_ascii_case("y"))
}

/// Asks for a line; `default` is shown and taken for an empty one.
pub(crate) fn ask(question: &str, default: &str) -> Outcome<String> {
    match default {
        "" => print(&format!("{question}: "))?,
        default => print(&format!("{question} ({default}): "))?,
    }
    let line = read_line()?;
    let line = line.trim();
    Ok(if line.is_empty() { default } else { line }.to_owned())
}

/// Asks for a password, which is not shown.
pub(crate) fn ask_password() -> Outcome<String> {
    print("Password: ")?;
    let password =
        rpassword::read_password().map_err(|cause| Failure::bare(format!("reading the password: {cause}")))?;
    print_line("")?;
    Ok(password)
}

/// Whether somebody can answer.
pub(crate) fn stdin_is_terminal() -> bool {
    io::stdin().is_terminal()
}

fn read_line() -> Outcome<String> {
    let mut line = String::new();
    io::stdin().lock().read_line(&mut line)?;
    Ok(line)
}
