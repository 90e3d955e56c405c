//! `tidy`: rules about the repository's text that no compiler checks. Only rules that hold are here.

use crate::workspace::{self, Workspace};
use anyhow::{Context as _, Result, bail};
use std::path::{Path, PathBuf};

/// Longest source file that needs no reason. A longer one says why in a module line beginning with `WHOLE`.
const LONGEST: usize = 700;
const WHOLE: &str = "//! Stays whole:";

/// Crates that talk to a terminal, and those that only tests and developers run.
const MAY_PRINT: &[&str] = &["strata-cli", "strata", "strata-testkit", "xtask"];

/// Crates of bytes and values, and what their code (tests aside) must not name.
const PURE: &[&str] = &["strata-model", "strata-layer", "strata-erofs", "strata-archive", "strata-format"];
const OUTSIDE: &[&str] = &[
    "std::fs::",
    "std::net::",
    "std::process::",
    "env::var",
    "env::args",
    "env::current_dir",
    "SystemTime::now",
    "Instant::now",
];

/// Runs the check on this repository.
pub fn run() -> Result<()> {
    let workspace = Workspace::load()?;
    let mut violations = undocumented(&workspace)?;
    let mut files = 0;
    for member in workspace.members() {
        violations.extend(manifest(&member.name, &read(&member.manifest)?));
        let folder = member.manifest.parent().context("a manifest without a folder")?;
        for path in sources(folder)? {
            let shown = path.strip_prefix(workspace::root()).unwrap_or(&path).display().to_string();
            violations.extend(source(&member.name, &shown, &read(&path)?));
            files += 1;
        }
    }
    if !violations.is_empty() {
        bail!("{} violations\n  {}", violations.len(), violations.join("\n  "));
    }
    println!("tidy: ok ({files} source files)");
    Ok(())
}

/// The code map names every crate.
fn undocumented(workspace: &Workspace) -> Result<Vec<String>> {
    let path = workspace::root().join("ARCHITECTURE.md");
    if !path.exists() {
        return Ok(vec!["ARCHITECTURE.md is missing".to_owned()]);
    }
    let map = read(&path)?;
    let unnamed = workspace.members().filter(|member| !map.contains(&format!("`{}`", member.name)));
    Ok(unnamed.map(|member| format!("ARCHITECTURE.md does not name `{}`", member.name)).collect())
}

/// Versions are in the root manifest only, and every product crate takes the workspace's lints.
fn manifest(crate_name: &str, text: &str) -> Vec<String> {
    let mut found = Vec::new();
    let mut section = String::new();
    for line in text.lines().map(str::trim) {
        if line.starts_with('[') {
            section = line.to_owned();
        } else if section.contains("dependencies") && line.contains('=') && !line.contains("workspace = true") {
            found.push(format!("{crate_name}: `{line}` does not take its version from the workspace"));
        }
    }
    if crate_name != "xtask" && !text.contains("[lints]\nworkspace = true") {
        found.push(format!("{crate_name} does not take the workspace's lints"));
    }
    found
}

fn source(crate_name: &str, path: &str, text: &str) -> Vec<String> {
    let mut found = Vec::new();
    let count = text.lines().count();
    if count > LONGEST && !text.lines().any(|line| line.starts_with(WHOLE)) {
        found.push(format!("{path}: {count} lines; split it, or say why not in a line `{WHOLE} …`"));
    }
    if !text.starts_with("//!") && !text.starts_with("#!") && path.ends_with("src/lib.rs") {
        found.push(format!("{path}: begins without saying what the crate is for"));
    }
    let in_tests = path.contains("/tests/") || path.ends_with("tests.rs") || path.contains("/benches/");
    let mut product = !in_tests;
    for (number, line) in (1..).zip(text.lines()) {
        if line.trim_start().starts_with("#[cfg(test)]") || line.contains("#[cfg(any(test") {
            product = false; // by convention tests are the last thing in a file
        }
        let mut report = |what: &str| found.push(format!("{path}:{number}: {what}"));
        let code = line.trim_start();
        if code.starts_with("//") || crate_name == "xtask" {
            continue;
        }
        if calls(code, &["todo!", "unimplemented!", "dbg!"]) || code.contains("// FIXME") || code.contains("// XXX") {
            report("left open");
        }
        if product && !MAY_PRINT.contains(&crate_name) && calls(code, &["println!", "eprintln!", "print!", "eprint!"]) {
            report("only the command line prints");
        }
        if product && PURE.contains(&crate_name) && OUTSIDE.iter().any(|name| code.contains(name)) {
            report("a pure crate knows no files, network, environment or clock");
        }
    }
    found
}

fn calls(code: &str, macros: &[&str]) -> bool {
    macros.iter().any(|name| {
        code.match_indices(name).any(|(at, _)| !code[..at].ends_with(|c: char| c.is_alphanumeric() || c == '_'))
    })
}

fn sources(folder: &Path) -> Result<Vec<PathBuf>> {
    let mut found = Vec::new();
    let mut pending = vec![folder.to_owned()];
    while let Some(directory) = pending.pop() {
        for entry in std::fs::read_dir(&directory).with_context(|| format!("listing {}", directory.display()))? {
            let path = entry?.path();
            if path.is_dir() {
                pending.push(path);
            } else if path.extension().is_some_and(|extension| extension == "rs") {
                found.push(path);
            }
        }
    }
    found.sort();
    Ok(found)
}

fn read(path: &Path) -> Result<String> {
    std::fs::read_to_string(path).with_context(|| format!("reading {}", path.display()))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn this_repository_is_tidy() {
        run().unwrap_or_else(|error| panic!("{error:#}"));
    }

    #[test]
    fn violations_are_found() {
        for (crate_name, text, expected) in [
            ("strata-store", "fn f() { println!(\"x\") }", Some("only the command line prints")),
            ("strata-store", "// println!(\"x\")", None),
            ("strata-store", "#[cfg(test)]\nmod tests { fn f() { println!() } }", None),
            ("strata-cli", "fn f() { println!() }", None),
            ("strata-engine", "fn f() { todo!() }", Some("left open")),
            ("strata-layer", "fn f() { std::fs::read(p) }", Some("a pure crate")),
            ("strata-rootfs", "fn f() { std::fs::read(p) }", None),
        ] {
            let found = source(crate_name, "crates/x/src/y.rs", text);
            match expected {
                Some(expected) => assert!(found.iter().any(|line| line.contains(expected)), "{text}: {found:?}"),
                None => assert!(found.is_empty(), "{text}: {found:?}"),
            }
        }
        let long = "fn f() {}\n".repeat(LONGEST + 1);
        assert_eq!(source("strata-store", "a.rs", &long).len(), 1);
        assert!(source("strata-store", "a.rs", &format!("{WHOLE} one table\n{long}")).is_empty());
    }

    #[test]
    fn manifests_take_versions_and_lints_from_the_workspace() {
        let good = "[dependencies]\nserde.workspace = true\n\n[lints]\nworkspace = true\n";
        assert!(manifest("strata-model", good).is_empty());
        assert_eq!(manifest("strata-model", "[dependencies]\nserde = \"1\"\n").len(), 2);
    }
}
