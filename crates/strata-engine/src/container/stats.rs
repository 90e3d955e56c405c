//! `stats`: what containers use, as docker shows it.

use std::fs;
use std::path::Path;
use std::time::Instant;

use strata_runtime::{Usage, usage};

use super::container_directory;
use crate::Result;

/// What a container used at a moment; `usage` is `None` for one that does not run.
#[derive(Clone, Debug)]
pub struct UsageSample {
    time: Instant,
    /// All that is counted.
    pub usage: Option<Usage>,
}

/// Looks what a container uses now.
///
/// # Errors
/// When its state cannot be read.
pub fn sample_usage(root: &Path, id: &str) -> Result<UsageSample> {
    Ok(UsageSample { time: Instant::now(), usage: usage(&container_directory(root, id))? })
}

/// What docker's columns show.
#[derive(Clone, Copy, Debug, Default, PartialEq)]
pub struct UsageSummary {
    /// Of one processor; `None` before there is an earlier sample.
    pub cpu_percent: Option<f64>,
    /// Bytes in memory, without the file cache that goes first.
    pub memory: u64,
    /// Its limit in bytes, or all memory of the machine.
    pub memory_limit: u64,
    /// Bytes received.
    pub received: u64,
    /// Bytes sent.
    pub sent: u64,
    /// Bytes read from block devices.
    pub read: u64,
    /// Bytes written to block devices.
    pub written: u64,
    /// Processes and threads.
    pub processes: u64,
}

impl UsageSummary {
    /// How much of its limit the memory is.
    pub fn memory_percent(&self) -> f64 {
        if self.memory_limit == 0 { 0.0 } else { self.memory as f64 / self.memory_limit as f64 * 100.0 }
    }
}

impl UsageSample {
    /// The columns; `before` is an earlier sample of the same container. All are 0 for one that does not run.
    pub fn summary(&self, before: Option<&UsageSample>) -> UsageSummary {
        let Some(usage) = &self.usage else {
            return UsageSummary { cpu_percent: Some(0.0), ..UsageSummary::default() };
        };
        let statistics = &usage.statistics;
        let memory = statistics.memory.clone().unwrap_or_default();
        let block = statistics.block.clone().unwrap_or_default();
        let all = machine_memory();
        UsageSummary {
            cpu_percent: before.map(|before| self.cpu_percent(before)),
            memory: memory.usage.checked_sub(memory.inactive_file).unwrap_or(memory.usage),
            memory_limit: memory.limit.map_or(all, |limit| limit.min(all)),
            received: usage.interfaces.iter().map(|interface| interface.received_bytes).sum(),
            sent: usage.interfaces.iter().map(|interface| interface.sent_bytes).sum(),
            read: block.read_bytes,
            written: block.written_bytes,
            processes: statistics.pids.as_ref().map_or(0, |pids| pids.current),
        }
    }

    fn cpu_percent(&self, before: &UsageSample) -> f64 {
        let total = |sample: &UsageSample| sample.usage.as_ref()?.statistics.cpu.as_ref().map(|cpu| cpu.total);
        let elapsed = self.time.duration_since(before.time).as_nanos() as f64;
        match (total(before), total(self)) {
            // A container that was started again counts from 0.
            (Some(old), Some(new)) if new >= old && elapsed > 0.0 => (new - old) as f64 / elapsed * 100.0,
            _ => 0.0,
        }
    }
}

/// Bytes of memory of this machine.
fn machine_memory() -> u64 {
    let text = fs::read_to_string("/proc/meminfo").unwrap_or_default();
    let total = text.lines().find_map(|line| line.strip_prefix("MemTotal:"));
    total.and_then(|rest| rest.trim().trim_end_matches(" kB").parse::<u64>().ok()).unwrap_or(0) * 1024
}

#[cfg(test)]
mod tests {
    use std::time::Duration;

    use strata_runtime::cgroup::{CpuStatistics, MemoryStatistics, Statistics};

    use super::*;

    fn sample(time: Instant, cpu: u64) -> UsageSample {
        let memory = MemoryStatistics { usage: 3000, inactive_file: 1000, limit: Some(8000), ..Default::default() };
        let cpu = CpuStatistics { total: cpu, ..CpuStatistics::default() };
        let statistics = Statistics { memory: Some(memory), cpu: Some(cpu), ..Statistics::default() };
        UsageSample { time, usage: Some(Usage { statistics, interfaces: Vec::new() }) }
    }

    #[test]
    fn columns() {
        let now = Instant::now();
        let (first, second) = (sample(now, 1_000), sample(now + Duration::from_millis(2), 3_001_000));
        let summary = second.summary(Some(&first));
        assert_eq!(summary.cpu_percent, Some(150.0));
        assert_eq!((summary.memory, summary.memory_limit, summary.memory_percent()), (2000, 8000, 25.0));
        assert_eq!(first.summary(None).cpu_percent, None);
        assert_eq!(first.summary(Some(&second)).cpu_percent, Some(0.0), "started again");
        let stopped = UsageSample { time: now, usage: None }.summary(None);
        assert_eq!((stopped.cpu_percent, stopped.memory_percent()), (Some(0.0), 0.0));
    }
}
