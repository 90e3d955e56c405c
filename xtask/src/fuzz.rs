//! `fuzz`: hostile bytes for every parser, chosen by what they reach, for a bounded time.
//!
//! Builds the programs in `fuzz/` as cargo-fuzz does, but needs neither it nor a nightly compiler: the instrumentation is
//! LLVM's own and libFuzzer is compiled from its crate, by a C++ compiler. Inputs that show a bug are kept in
//! `fuzz/regressions/<target>/`, where the ordinary tests of `strata-fuzz` find them.

use crate::workspace::{self, cargo};
use crate::{packages, process};
use anyhow::{Context as _, Result, bail};
use std::path::{Path, PathBuf};
use std::process::Command;
use std::sync::Mutex;
use std::time::Duration;

/// What `rustc` is told: count the edges, tell libFuzzer where the counters are, show it what is compared.
const INSTRUMENTATION: &str = "-Cpasses=sancov-module -Cllvm-args=-sanitizer-coverage-level=4 \
    -Cllvm-args=-sanitizer-coverage-inline-8bit-counters -Cllvm-args=-sanitizer-coverage-pc-table \
    -Cllvm-args=-sanitizer-coverage-trace-compares --cfg fuzzing";

/// Runs the command: `fuzz [--minutes N] [TARGET...]`.
pub fn run(arguments: &[String]) -> Result<()> {
    let mut minutes = 1.0;
    let mut chosen = Vec::new();
    let mut arguments = arguments.iter();
    while let Some(argument) = arguments.next() {
        match argument.as_str() {
            "--minutes" => {
                let given = arguments.next().and_then(|given| given.parse().ok());
                minutes =
                    given.filter(|given| (0.01..=100_000.0).contains(given)).context("--minutes wants a number")?;
            }
            flag if flag.starts_with('-') => bail!("unknown flag {flag}"),
            target => chosen.push(target.to_owned()),
        }
    }
    let known = targets()?;
    if let Some(unknown) = chosen.iter().find(|name| !known.contains(name)) {
        bail!("no target {unknown:?}; there are {}", known.join(", "));
    }
    let targets = if chosen.is_empty() { known } else { chosen };
    fuzz(targets, Duration::from_secs_f64(minutes * 60.0))
}

/// Runs every target for this long, the time to compile aside; says so when there is no compiler for it.
pub fn each_for(time: Duration) -> Result<()> {
    let missing = packages::ensure(packages::FOR_FUZZ);
    if missing.is_empty() {
        return fuzz(targets()?, time);
    }
    println!("skipped: fuzzing needs {}", missing.join(", "));
    Ok(())
}

fn folder() -> PathBuf {
    workspace::root().join("fuzz")
}

fn targets() -> Result<Vec<String>> {
    let folder = folder().join("fuzz_targets");
    let entries = std::fs::read_dir(&folder).with_context(|| format!("listing {}", folder.display()))?;
    let mut names: Vec<String> =
        entries.filter_map(|entry| Some(entry.ok()?.path().file_stem()?.to_str()?.to_owned())).collect();
    names.sort();
    Ok(names)
}

/// Builds the targets and runs as many at once as there are cores. Fails at the end when one has found something.
fn fuzz(targets: Vec<String>, time: Duration) -> Result<()> {
    let programs = build(&targets)?;
    process::run(cargo().args(["run", "--quiet", "--locked", "--package", "strata-fuzz", "--bin", "seeds"]))?;
    let cores = std::thread::available_parallelism().map_or(1, std::num::NonZero::get);
    let rounds = targets.len().div_ceil(cores) as u64;
    println!("{} targets, {} s each, done in {} s", targets.len(), time.as_secs(), rounds * time.as_secs());
    let queue = Mutex::new(targets.into_iter());
    let findings = Mutex::new(Vec::new());
    let next = || queue.lock().expect("no thread panics with the queue").next();
    std::thread::scope(|scope| {
        for _ in 0..cores {
            scope.spawn(|| {
                while let Some(target) = next() {
                    if let Err(finding) = run_one(&programs, &target, time) {
                        println!("  {target}: {finding:#}");
                        findings.lock().expect("no thread panics with the findings").push(target);
                    }
                }
            });
        }
    });
    let findings = findings.into_inner().expect("all threads have ended");
    if !findings.is_empty() {
        bail!("bugs in {}; their inputs are in fuzz/regressions", findings.join(", "));
    }
    Ok(())
}

/// Returns the folder of the programs. Dependencies are built for the same host, as build scripts must not be counted.
fn build(targets: &[String]) -> Result<PathBuf> {
    let host = process::capture(Command::new("rustc").arg("-vV"))?;
    let host = host.lines().find_map(|line| line.strip_prefix("host: ")).context("rustc does not tell its host")?;
    let mut command = cargo();
    command.current_dir(folder()).args(["build", "--release", "--target", host]).env("RUSTFLAGS", INSTRUMENTATION);
    process::run(command.args(targets.iter().flat_map(|target| ["--bin", target])))?;
    let target_directory = std::env::var_os("CARGO_TARGET_DIR").map_or_else(|| folder().join("target"), PathBuf::from);
    Ok(target_directory.join(host).join("release"))
}

/// Runs one program to the end of its time and prints what it has reached, or tells what it has found.
fn run_one(programs: &Path, target: &str, time: Duration) -> Result<()> {
    let corpus = folder().join("corpus").join(target);
    let regressions = folder().join("regressions").join(target);
    std::fs::create_dir_all(&regressions)?;
    let mut command = Command::new(programs.join(target));
    command.current_dir(folder()).arg(format!("-max_total_time={}", time.as_secs().max(1)));
    command.arg(format!("-artifact_prefix={}/", regressions.display()));
    command.args(["-timeout=20", "-report_slow_units=1000", "-rss_limit_mb=2048", "-max_len=65536"]);
    let output = command.arg("-print_final_stats=1").args([&corpus, &regressions]).output();
    let output = output.with_context(|| format!("starting {target}"))?;
    let _ = std::fs::remove_dir(&regressions); // unless something was found, now or earlier
    let log = String::from_utf8_lossy(&output.stderr);
    if !output.status.success() {
        let lines: Vec<&str> = log.lines().filter(|line| !line.starts_with('#')).collect();
        bail!("{}\n{}", output.status, lines[lines.len().saturating_sub(60)..].join("\n"));
    }
    let runs = log.lines().find_map(|line| line.strip_prefix("stat::number_of_executed_units:")).unwrap_or_default();
    let last = log.lines().rfind(|line| line.starts_with('#')).unwrap_or_default();
    let edges = last.split_whitespace().skip_while(|&word| word != "cov:").nth(1).unwrap_or("?");
    println!("  {target}: {} runs, {edges} edges reached", runs.trim());
    Ok(())
}
