//! `fuzz`: hostile bytes for every parser, for a bounded time.
//!
//! With a nightly compiler, cargo-fuzz and a `fuzz/` folder, each target runs in turn. Otherwise the property tests
//! run again and again with fresh seeds and many cases, which any machine can do.

use crate::process;
use crate::workspace::{self, Workspace, cargo};
use anyhow::{Context as _, Result, bail};
use std::process::{Command, Stdio};
use std::time::{Duration, Instant};

const CASES: &str = "20000";

/// Runs the command: `fuzz [SECONDS]`.
pub fn run(arguments: &[String]) -> Result<()> {
    let seconds = match arguments {
        [] => 60,
        [seconds] => seconds.parse().with_context(|| format!("{seconds:?} is not a number of seconds"))?,
        other => bail!("unknown arguments {other:?}"),
    };
    for_at_most(Duration::from_secs(seconds))
}

/// Fuzzes everything there is within `budget`, the time to compile aside.
pub fn for_at_most(budget: Duration) -> Result<()> {
    match targets() {
        targets if targets.is_empty() => properties(budget),
        targets => targets.iter().try_for_each(|target| {
            let seconds = (budget.as_secs() / targets.len() as u64).max(1);
            let mut command = Command::new("cargo");
            command.current_dir(workspace::root()).args(["+nightly", "fuzz", "run", target, "--"]);
            process::run(command.arg(format!("-max_total_time={seconds}")))
        }),
    }
}

/// The targets of cargo-fuzz, none where it cannot run.
fn targets() -> Vec<String> {
    let mut list = Command::new("cargo");
    list.current_dir(workspace::root()).args(["+nightly", "fuzz", "list"]);
    let listed = process::capture(&mut list).unwrap_or_default();
    listed.lines().map(str::to_owned).collect()
}

fn properties(budget: Duration) -> Result<()> {
    let workspace = Workspace::load()?;
    let tested = workspace.members().filter(|member| member.dev_dependencies.iter().any(|name| name == "proptest"));
    let crates: Vec<&str> = tested.map(|member| member.name.as_str()).collect();
    if crates.is_empty() {
        bail!("no fuzz targets and no crate with property tests");
    }
    println!("property tests of {} with {CASES} cases each, {} s", crates.join(", "), budget.as_secs());
    let selected = || {
        let mut command = cargo();
        command.args(["test", "--locked", "--quiet", "--lib", "--tests"]);
        command.args(crates.iter().flat_map(|name| ["--package", name]));
        command
    };
    process::run(selected().arg("--no-run"))?;
    let deadline = Instant::now() + budget;
    let mut rounds = 0;
    while Instant::now() < deadline {
        let mut child = selected().env("PROPTEST_CASES", CASES).stdin(Stdio::null()).spawn()?;
        let finished = loop {
            match child.try_wait()? {
                Some(status) => break Some(status),
                None if Instant::now() >= deadline => break None,
                None => std::thread::sleep(Duration::from_millis(100)),
            }
        };
        match finished {
            Some(status) if status.success() => rounds += 1,
            Some(status) => bail!("a property does not hold ({status}); the output above has the smallest example"),
            None => {
                child.kill()?;
                child.wait()?;
            }
        }
    }
    println!("fuzz: nothing found ({rounds} whole rounds)");
    Ok(())
}
