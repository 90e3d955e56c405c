//! `fuzz`: hostile bytes for every parser, for a bounded time.
//!
//! With a nightly compiler, cargo-fuzz and a `fuzz/` folder, each target runs in turn. Otherwise the property tests
//! run again and again with fresh seeds and many cases, which any machine can do.

use crate::process;
use crate::workspace::{self, Workspace, cargo};
use anyhow::{Context as _, Result, bail};
use serde_json::Value;
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};
use std::time::{Duration, Instant};

const CASES: &str = "20000";

/// Runs the command: `fuzz [SECONDS [CRATE...]]`.
pub fn run(arguments: &[String]) -> Result<()> {
    let (seconds, crates) = match arguments {
        [] => (60, &[][..]),
        [seconds, crates @ ..] => {
            (seconds.parse().with_context(|| format!("{seconds:?} is not a number of seconds"))?, crates)
        }
    };
    let budget = Duration::from_secs(seconds);
    if crates.is_empty() { for_at_most(budget) } else { properties(crates, budget) }
}

/// Fuzzes everything there is within `budget`, the time to compile aside.
pub fn for_at_most(budget: Duration) -> Result<()> {
    let targets = targets();
    if targets.is_empty() {
        return properties(&with_properties()?, budget);
    }
    targets.iter().try_for_each(|target| {
        let seconds = (budget.as_secs() / targets.len() as u64).max(1);
        let mut command = Command::new("cargo");
        command.current_dir(workspace::root()).args(["+nightly", "fuzz", "run", target, "--"]);
        process::run(command.arg(format!("-max_total_time={seconds}")))
    })
}

/// Crates whose tests use proptest.
fn with_properties() -> Result<Vec<String>> {
    let workspace = Workspace::load()?;
    let tested = workspace.members().filter(|member| member.dev_dependencies.iter().any(|name| name == "proptest"));
    Ok(tested.map(|member| member.name.clone()).collect())
}

/// The targets of cargo-fuzz, none where it cannot run.
fn targets() -> Vec<String> {
    let mut list = Command::new("cargo");
    list.current_dir(workspace::root()).args(["+nightly", "fuzz", "list"]);
    let listed = process::capture(&mut list).unwrap_or_default();
    listed.lines().map(str::to_owned).collect()
}

fn properties(crates: &[String], budget: Duration) -> Result<()> {
    if crates.is_empty() {
        bail!("no fuzz targets and no crate with property tests");
    }
    println!("tests of {} with {CASES} cases of each property, {} s", crates.join(", "), budget.as_secs());
    let binaries = test_binaries(crates)?;
    let deadline = Instant::now() + budget;
    let mut rounds = 0;
    while Instant::now() < deadline {
        for binary in &binaries {
            if !run_until(binary, deadline)? {
                break;
            }
        }
        rounds += 1;
    }
    println!("fuzz: nothing found ({rounds} rounds begun)");
    Ok(())
}

/// A compiled test program and the folder that cargo would run it in.
struct TestBinary {
    program: PathBuf,
    folder: PathBuf,
}

/// Compiles the crates' tests. They are run without cargo, so that ending one ends all of it.
fn test_binaries(crates: &[String]) -> Result<Vec<TestBinary>> {
    let mut command = cargo();
    command.args(["test", "--locked", "--lib", "--tests", "--no-run", "--message-format", "json-render-diagnostics"]);
    let messages = process::capture(command.args(crates.iter().flat_map(|name| ["--package", name.as_str()])))?;
    let messages = messages.lines().filter_map(|line| serde_json::from_str::<Value>(line).ok());
    let binary = |message: Value| {
        let program = PathBuf::from(message["executable"].as_str()?);
        let folder = Path::new(message["manifest_path"].as_str()?).parent()?.to_owned();
        (message["profile"]["test"] == true).then_some(TestBinary { program, folder })
    };
    Ok(messages.filter_map(binary).collect())
}

/// Runs one test program; false when the time was up before its end.
fn run_until(binary: &TestBinary, deadline: Instant) -> Result<bool> {
    let mut command = Command::new(&binary.program);
    command.current_dir(&binary.folder).arg("--quiet").env("PROPTEST_CASES", CASES).stdin(Stdio::null());
    let mut child = command.spawn().with_context(|| format!("starting {}", binary.program.display()))?;
    loop {
        match child.try_wait()? {
            Some(status) if status.success() => return Ok(true),
            Some(status) => bail!("a property does not hold ({status}); the output above has the smallest example"),
            None if Instant::now() >= deadline => {
                child.kill()?;
                child.wait()?;
                return Ok(false);
            }
            None => std::thread::sleep(Duration::from_millis(50)),
        }
    }
}
