//! `test`: what CI runs and what a contributor runs before pushing; one command, nothing to prepare.
//!
//! The dev profile is the only one built, so that a fresh clone is done well inside half an hour on two cores. What
//! takes minutes to build first, cargo-deny and the fuzz targets, is for `--full`; the ordinary tests check the parsers
//! with spoilt seeds and with every input that fuzzing ever found (`strata-fuzz`).

use crate::workspace::{self, Workspace, cargo};
use crate::{fuzz, lint_deps, packages, process, tidy};
use anyhow::{Result, bail};
use std::process::Command;
use std::time::{Duration, Instant};

struct Options {
    full: bool,
    /// Names of tests to run; with any, only tests run.
    filters: Vec<String>,
}

/// Runs the command.
pub fn run(arguments: &[String]) -> Result<()> {
    let options = parse(arguments)?;
    let started = Instant::now();
    let missing = packages::ensure(packages::FOR_TESTS);
    if options.filters.is_empty() {
        checks(options.full)?;
    }
    accessibility_engine()?;
    tests(&options)?;
    if options.full && options.filters.is_empty() {
        step("fuzzing", || fuzz::each_for(Duration::from_secs(30)))?;
    }
    if !missing.is_empty() {
        println!("note: tests that need {} were not run", missing.join(", "));
    }
    println!("xtask test: ok in {}", minutes(started.elapsed()));
    Ok(())
}

fn parse(arguments: &[String]) -> Result<Options> {
    let mut options = Options { full: false, filters: Vec::new() };
    let mut arguments = arguments.iter();
    while let Some(argument) = arguments.next() {
        match argument.as_str() {
            "--full" => options.full = true,
            "--" => options.filters.extend(arguments.by_ref().cloned()),
            other => bail!("unknown argument {other:?}; filters go after `--`"),
        }
    }
    Ok(options)
}

fn checks(full: bool) -> Result<()> {
    step("format", || optional(cargo().args(["fmt", "--version"]), cargo().args(["fmt", "--all", "--check"])))?;
    step("lints", || {
        let lints = ["clippy", "--workspace", "--all-targets", "--locked", "--", "-D", "warnings"];
        optional(cargo().args(["clippy", "--version"]), cargo().args(lints))
    })?;
    step("dependency directions", lint_deps::run)?;
    step("repository rules", tidy::run)?;
    step("advisories and licences", || {
        if full && process::find("cargo-deny").is_none() {
            process::run(cargo().args(["install", "--locked", "cargo-deny"]))?;
        }
        let deny = ["deny", "--all-features", "check", "bans", "licenses", "sources"];
        optional(cargo().args(["deny", "--version"]), cargo().args(deny))?;
        if full { advisories() } else { Ok(()) }
    })
}

/// The database of advisories is fetched from outside, which a run without a network must survive.
fn advisories() -> Result<()> {
    match process::capture(cargo().args(["deny", "fetch", "db"])) {
        Ok(_) => process::run(cargo().args(["deny", "check", "advisories"])),
        Err(error) => {
            println!("skipped: the database of advisories cannot be fetched: {error:#}");
            Ok(())
        }
    }
}

/// Fetches axe-core, which tests run in the hub's pages, into the target folder. Without a network they run without it.
fn accessibility_engine() -> Result<()> {
    const ENGINE: &str = "axe-core@4.14.1";
    let folder = Workspace::load()?.target_directory.join("npm");
    if process::find("npm").is_none() || folder.join("node_modules/axe-core").is_dir() {
        return Ok(());
    }
    std::fs::create_dir_all(&folder)?;
    let mut npm = Command::new("npm");
    npm.args(["install", "--no-save", "--ignore-scripts", "--no-audit", "--no-fund", "--prefix"]).arg(&folder);
    if let Err(error) = process::capture(npm.arg(ENGINE)) {
        println!("skipped: {ENGINE} cannot be fetched, pages are tested without it: {error:#}");
    }
    Ok(())
}

fn tests(options: &Options) -> Result<()> {
    let docker_config = tempfile::tempdir()?; // the credentials of whoever runs this are no part of a test
    std::fs::write(docker_config.path().join("config.json"), "{}")?; // podman wants to see one
    let prepare = |command: &mut Command| {
        command.env("DOCKER_CONFIG", docker_config.path()).env("NO_PROXY", "127.0.0.1,localhost,::1");
        command.env("LC_ALL", "C.UTF-8").env("TZ", "UTC").env("RUST_BACKTRACE", "1").env("RUST_LIB_BACKTRACE", "0");
        for variable in ["STRATA_ROOT", "STRATA_HOST", "DOCKER_HOST", "DOCKER_DEFAULT_PLATFORM"] {
            command.env_remove(variable);
        }
        if options.full {
            command.env("STRATA_TEST_FULL", "1").env("PROPTEST_CASES", "2048");
        }
    };
    step("tests", || {
        let mut command = cargo();
        prepare(&mut command);
        if process::find("cargo-nextest").is_some() {
            command.args(["nextest", "run", "--workspace", "--locked", "--no-fail-fast", "--no-tests", "warn"]);
            command.args(options.full.then_some("--run-ignored=all")).args(&options.filters);
        } else {
            command.args(["test", "--workspace", "--locked", "--no-fail-fast", "--all-targets", "--"]);
            command.args(options.full.then_some("--include-ignored")).args(&options.filters);
        }
        process::run(&mut command)
    })?;
    if !options.filters.is_empty() {
        return Ok(());
    }
    step("examples in the documentation", || {
        let mut command = cargo();
        prepare(&mut command);
        process::run(command.args(["test", "--workspace", "--locked", "--quiet", "--doc"]))
    })
}

/// Runs `command` when `probe` shows that the tool is there, and says so when it is not.
fn optional(probe: &mut Command, command: &mut Command) -> Result<()> {
    if process::capture(probe).is_err() {
        println!("skipped, not installed: {}", process::shown(command));
        return Ok(());
    }
    process::run(command)
}

fn step(name: &str, work: impl FnOnce() -> Result<()>) -> Result<()> {
    println!("\n== {name} ({})", workspace::root().display());
    let started = Instant::now();
    work()?;
    println!("== {name}: ok in {}", minutes(started.elapsed()));
    Ok(())
}

fn minutes(duration: Duration) -> String {
    let seconds = duration.as_secs();
    if seconds < 60 {
        format!("{:.1} s", duration.as_secs_f64())
    } else {
        format!("{} min {} s", seconds / 60, seconds % 60)
    }
}
