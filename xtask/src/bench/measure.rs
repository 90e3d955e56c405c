//! One measurement and what many of them say: medians, spread, peaks.

use crate::{process, sys};
use anyhow::{Context as _, Result, bail};
use serde_json::{Value, json};
use std::fs::File;
use std::process::{Command, Stdio};
use std::time::Instant;

/// What one run took.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct Sample {
    /// Wall-clock seconds.
    pub wall: f64,
    /// CPU seconds of the client, and of the daemon where there is one.
    pub cpu: f64,
    /// Largest resident set in KiB of the client, plus that of the daemon where there is one.
    pub peak_kib: u64,
}

/// Runs commands one after the other as one measurement. Fails, with what they wrote to stderr, when one fails.
pub fn sample(commands: Vec<Command>) -> Result<Sample> {
    let mut total = Sample { wall: 0.0, cpu: 0.0, peak_kib: 0 };
    for mut command in commands {
        let errors = tempfile::NamedTempFile::new()?;
        command.stdin(Stdio::null()).stdout(Stdio::null()).stderr(errors.reopen()?);
        let started = Instant::now();
        let child = command.spawn().with_context(|| format!("starting {}", process::shown(&command)))?;
        let usage = sys::wait_with_usage(child)?;
        total.wall += started.elapsed().as_secs_f64();
        total.cpu += usage.cpu.as_secs_f64();
        total.peak_kib = total.peak_kib.max(usage.peak_kib);
        if !usage.success {
            let errors = std::fs::read_to_string(errors.path())?;
            bail!("`{}` failed: {}", process::shown(&command), errors.trim());
        }
    }
    Ok(total)
}

/// A running daemon whose share is counted in: forgets its peak before, adds CPU and peak after.
pub struct Daemon {
    pids: Vec<u32>,
    cpu_before: f64,
}

impl Daemon {
    pub fn watch(pids: Vec<u32>) -> Self {
        for pid in &pids {
            let _ = std::fs::write(format!("/proc/{pid}/clear_refs"), "5"); // 5: set the peak to what is resident now
        }
        let cpu_before = pids.iter().map(|&pid| cpu_seconds(pid)).sum();
        Self { pids, cpu_before }
    }

    pub fn add_to(&self, sample: &mut Sample) {
        sample.cpu += self.pids.iter().map(|&pid| cpu_seconds(pid)).sum::<f64>() - self.cpu_before;
        sample.peak_kib += self.pids.iter().map(|&pid| peak_kib(pid)).sum::<u64>();
    }
}

/// User and system time of a process and its waited-for children, in seconds (proc(5): fields 14 to 17 of `stat`).
fn cpu_seconds(pid: u32) -> f64 {
    const TICKS_PER_SECOND: f64 = 100.0; // USER_HZ, fixed on Linux
    let stat = std::fs::read_to_string(format!("/proc/{pid}/stat")).unwrap_or_default();
    let after_name = stat.rsplit(')').next().unwrap_or_default();
    let ticks = after_name.split_whitespace().skip(11).take(4).filter_map(|field| field.parse::<f64>().ok());
    ticks.sum::<f64>() / TICKS_PER_SECOND
}

fn peak_kib(pid: u32) -> u64 {
    let status = std::fs::read_to_string(format!("/proc/{pid}/status")).unwrap_or_default();
    let line = status.lines().find_map(|line| line.strip_prefix("VmHWM:")).unwrap_or_default();
    line.split_whitespace().next().and_then(|kib| kib.parse().ok()).unwrap_or(0)
}

/// All runs of one tool in one row, or why there are none.
#[derive(Clone, Debug)]
pub struct Series {
    pub tool: String,
    pub samples: Vec<Sample>,
    pub failure: Option<String>,
}

impl Series {
    pub fn new(tool: impl Into<String>) -> Self {
        Self { tool: tool.into(), samples: Vec::new(), failure: None }
    }

    /// Median wall-clock seconds; none when nothing ran.
    pub fn median(&self) -> Option<f64> {
        median(self.samples.iter().map(|sample| sample.wall).collect())
    }

    pub fn median_cpu(&self) -> Option<f64> {
        median(self.samples.iter().map(|sample| sample.cpu).collect())
    }

    pub fn fastest(&self) -> f64 {
        self.samples.iter().map(|sample| sample.wall).fold(f64::INFINITY, f64::min)
    }

    pub fn slowest(&self) -> f64 {
        self.samples.iter().map(|sample| sample.wall).fold(0.0, f64::max)
    }

    pub fn peak_kib(&self) -> u64 {
        self.samples.iter().map(|sample| sample.peak_kib).max().unwrap_or(0)
    }

    pub fn to_json(&self) -> Value {
        let samples = self.samples.iter().map(|sample| json!([sample.wall, sample.cpu, sample.peak_kib]));
        json!({"tool": self.tool, "samples": samples.collect::<Vec<_>>(), "failure": self.failure})
    }

    pub fn from_json(value: &Value) -> Option<Self> {
        let sample = |value: &Value| {
            Some(Sample { wall: value[0].as_f64()?, cpu: value[1].as_f64()?, peak_kib: value[2].as_u64()? })
        };
        let samples = value["samples"].as_array()?.iter().filter_map(sample).collect();
        let failure = value["failure"].as_str().map(str::to_owned);
        Some(Self { tool: value["tool"].as_str()?.into(), samples, failure })
    }
}

fn median(mut values: Vec<f64>) -> Option<f64> {
    values.sort_by(f64::total_cmp);
    let middle = values.len() / 2;
    match values.len() {
        0 => None,
        count if count % 2 == 1 => Some(values[middle]),
        _ => Some((values[middle - 1] + values[middle]) / 2.0),
    }
}

/// A measured thing: `prepare` is not timed, `measure` is.
pub struct Entry<'a> {
    pub tool: String,
    pub prepare: Box<dyn FnMut() -> Result<()> + 'a>,
    pub measure: Box<dyn FnMut() -> Result<Sample> + 'a>,
}

/// Runs all entries in turn, `runs` times after one warm-up, so that drift of the machine meets all of them alike.
/// An entry that fails is left out from then on and keeps the reason.
pub fn race(entries: Vec<Entry<'_>>, runs: usize) -> Vec<Series> {
    let series = |entry: &Entry<'_>| Series::new(&entry.tool);
    let mut racing: Vec<(Series, Entry<'_>)> = entries.into_iter().map(|entry| (series(&entry), entry)).collect();
    for run in 0..=runs {
        for (series, entry) in racing.iter_mut().filter(|(series, _)| series.failure.is_none()) {
            match (entry.prepare)().and_then(|()| (entry.measure)()) {
                Ok(sample) if run > 0 => series.samples.push(sample),
                Ok(_) => {}
                Err(error) => {
                    println!("  {}: {error:#}", series.tool);
                    series.failure = Some(format!("{error:#}"));
                }
            }
        }
    }
    racing.into_iter().map(|(series, _)| series).collect()
}

/// Bytes of blocks that a folder occupies on disk.
pub fn occupied(folder: &std::path::Path) -> u64 {
    use std::os::unix::fs::MetadataExt as _;
    let Ok(entries) = std::fs::read_dir(folder) else { return 0 };
    let size = |entry: std::fs::DirEntry| match entry.metadata() {
        Ok(metadata) if metadata.is_dir() => metadata.blocks() * 512 + occupied(&entry.path()),
        Ok(metadata) => metadata.blocks() * 512 / metadata.nlink().max(1),
        Err(_) => 0,
    };
    entries.flatten().map(size).sum()
}

/// Opens a fresh log file for a daemon.
pub fn log_file(path: &std::path::Path) -> Result<File> {
    File::create(path).with_context(|| format!("creating {}", path.display()))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn medians() {
        assert_eq!(median(vec![]), None);
        assert_eq!(median(vec![3.0, 1.0, 2.0]), Some(2.0));
        assert_eq!(median(vec![4.0, 1.0, 2.0, 3.0]), Some(2.5));
    }

    #[test]
    fn the_warm_up_is_not_counted_and_failures_are_kept() {
        let mut count = 0;
        let good = Entry {
            tool: "good".into(),
            prepare: Box::new(|| Ok(())),
            measure: Box::new(move || {
                count += 1;
                Ok(Sample { wall: f64::from(count), cpu: 0.0, peak_kib: 1 })
            }),
        };
        let bad =
            Entry { tool: "bad".into(), prepare: Box::new(|| Ok(())), measure: Box::new(|| bail!("no such command")) };
        let series = race(vec![good, bad], 3);
        assert_eq!(series[0].median(), Some(3.0));
        assert_eq!((series[1].samples.len(), series[1].failure.as_deref()), (0, Some("no such command")));
        let again = Series::from_json(&series[0].to_json()).expect("round trip");
        assert_eq!(again.samples, series[0].samples);
    }
}
