//! What a running container uses, and which processes it has.

use std::fs;
use std::path::Path;

use serde::{Deserialize, Serialize};

use crate::cgroup::{Cgroup, Statistics};
use crate::error::RuntimeError;
use crate::state::{Record, state};

/// What a running container uses.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct Usage {
    /// What its control groups count.
    pub statistics: Statistics,
    /// What its interfaces count, one after the other; none when it shares the network of its supervisor's starter.
    pub interfaces: Vec<InterfaceCounters>,
}

/// Counters of a network interface since it was made.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[expect(missing_docs, reason = "each says what it is")]
pub struct InterfaceCounters {
    pub name: String,
    pub received_bytes: u64,
    pub received_packets: u64,
    pub received_errors: u64,
    pub received_dropped: u64,
    pub sent_bytes: u64,
    pub sent_packets: u64,
    pub sent_errors: u64,
    pub sent_dropped: u64,
}

/// What a container uses now; `None` when it does not run.
///
/// # Errors
/// When its state cannot be read.
pub fn usage(directory: &Path) -> Result<Option<Usage>, RuntimeError> {
    let Some((pid, cgroup)) = running(directory)? else { return Ok(None) };
    Ok(Some(Usage { statistics: cgroup.statistics(), interfaces: interfaces(pid) }))
}

/// All processes of a container, as this process counts processes; none when it does not run.
///
/// # Errors
/// When its state cannot be read.
pub fn processes(directory: &Path) -> Result<Vec<u32>, RuntimeError> {
    Ok(match running(directory)? {
        // Where no control group could be made there is still init.
        Some((pid, cgroup)) if cgroup.is_empty() => vec![pid],
        Some((_, cgroup)) => cgroup.processes(),
        None => Vec::new(),
    })
}

fn running(directory: &Path) -> Result<Option<(u32, Cgroup)>, RuntimeError> {
    let pid = state(directory)?.pid;
    if pid == 0 {
        return Ok(None);
    }
    let record = Record::read(directory)?;
    record.map(|record| Ok((pid, Cgroup::open(&record.cgroup)?))).transpose()
}

fn interfaces(pid: u32) -> Vec<InterfaceCounters> {
    let namespace = |process: &str| fs::read_link(format!("/proc/{process}/ns/net")).ok();
    if namespace(&pid.to_string()) == namespace("self") {
        return Vec::new();
    }
    let text = fs::read_to_string(format!("/proc/{pid}/net/dev")).unwrap_or_default();
    text.lines().filter_map(counters).filter(|counters| counters.name != "lo").collect()
}

/// A line `name: bytes packets errs drop fifo frame compressed multicast bytes packets errs drop …` of `/proc/net/dev`.
fn counters(line: &str) -> Option<InterfaceCounters> {
    let (name, rest) = line.split_once(':')?;
    let numbers: Vec<u64> = rest.split_whitespace().map(str::parse).collect::<Result<_, _>>().ok()?;
    let at = |index: usize| numbers.get(index).copied();
    Some(InterfaceCounters {
        name: name.trim().to_owned(),
        received_bytes: at(0)?,
        received_packets: at(1)?,
        received_errors: at(2)?,
        received_dropped: at(3)?,
        sent_bytes: at(8)?,
        sent_packets: at(9)?,
        sent_errors: at(10)?,
        sent_dropped: at(11)?,
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn interfaces_are_lines_of_numbers() {
        let line = "  eth0: 1500      12    1    2    0     0          0         0     900       9    3    4    0     0       0          0";
        let found = counters(line).expect("an interface");
        assert_eq!((found.name.as_str(), found.received_bytes, found.sent_bytes), ("eth0", 1500, 900));
        assert_eq!((found.received_packets, found.received_errors, found.received_dropped), (12, 1, 2));
        assert_eq!((found.sent_packets, found.sent_errors, found.sent_dropped), (9, 3, 4));
        for line in ["Inter-|   Receive                                                |  Transmit", "eth0: 1 2", ""] {
            assert_eq!(counters(line), None, "{line}");
        }
    }
}
