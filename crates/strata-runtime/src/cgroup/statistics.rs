//! What a container uses.

use std::fs;
use std::path::Path;

use serde::{Deserialize, Serialize};

use super::hierarchy::{Controller, Version};
use super::{Cgroup, number, value_of};

/// What a container uses; a part is `None` where the machine does not count it.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct Statistics {
    /// Memory.
    pub memory: Option<MemoryStatistics>,
    /// Processor time.
    pub cpu: Option<CpuStatistics>,
    /// Processes.
    pub pids: Option<PidStatistics>,
    /// Block devices.
    pub block: Option<BlockStatistics>,
}

/// Memory in bytes.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct MemoryStatistics {
    /// All that is in use, with the file cache.
    pub usage: u64,
    /// The most that was; `None` where the kernel does not say.
    pub highest: Option<u64>,
    /// The limit; `None` is none.
    pub limit: Option<u64>,
    /// File cache that the kernel takes away first. `docker stats` shows usage without it.
    pub inactive_file: u64,
    /// How often the limit was in the way.
    pub failures: u64,
}

/// Processor time in nanoseconds.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct CpuStatistics {
    /// All.
    pub total: u64,
    /// In programs.
    pub user: u64,
    /// In the kernel.
    pub system: u64,
    /// Periods of the quota that went by.
    pub periods: u64,
    /// Those in which it had to wait.
    pub throttled_periods: u64,
    /// How long it had to wait.
    pub throttled: u64,
}

/// Processes and threads.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct PidStatistics {
    /// Those that are there.
    pub current: u64,
    /// How many there may be; `None` is without limit.
    pub limit: Option<u64>,
}

/// Transfers to and from block devices since the start.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[expect(missing_docs, reason = "each says what it is")]
pub struct BlockStatistics {
    pub read_bytes: u64,
    pub written_bytes: u64,
    pub read_operations: u64,
    pub write_operations: u64,
}

pub(super) fn read(cgroup: &Cgroup) -> Statistics {
    Statistics {
        memory: cgroup.place(Controller::Memory).and_then(|place| match place.version {
            Version::One => memory1(&place.directory),
            Version::Two => memory2(&place.directory),
        }),
        cpu: cpu(cgroup),
        pids: cgroup.place(Controller::Pids).and_then(|place| {
            let limit = limit(number(&place.directory.join("pids.max")));
            Some(PidStatistics { current: number(&place.directory.join("pids.current"))?, limit })
        }),
        block: cgroup.place(Controller::Block).and_then(|place| match place.version {
            Version::One => block1(&place.directory),
            Version::Two => fs::read_to_string(place.directory.join("io.stat")).ok().map(|text| block2(&text)),
        }),
    }
}

/// A number beyond all memory (version 1 says none that way) is no limit.
fn limit(value: Option<u64>) -> Option<u64> {
    value.filter(|value| *value < 1 << 62)
}

fn memory1(directory: &Path) -> Option<MemoryStatistics> {
    let text = fs::read_to_string(directory.join("memory.stat")).unwrap_or_default();
    Some(MemoryStatistics {
        usage: number(&directory.join("memory.usage_in_bytes"))?,
        highest: number(&directory.join("memory.max_usage_in_bytes")),
        limit: limit(number(&directory.join("memory.limit_in_bytes"))),
        inactive_file: value_of(&text, "total_inactive_file").unwrap_or(0),
        failures: number(&directory.join("memory.failcnt")).unwrap_or(0),
    })
}

fn memory2(directory: &Path) -> Option<MemoryStatistics> {
    let text = fs::read_to_string(directory.join("memory.stat")).unwrap_or_default();
    let events = fs::read_to_string(directory.join("memory.events")).unwrap_or_default();
    Some(MemoryStatistics {
        usage: number(&directory.join("memory.current"))?,
        highest: number(&directory.join("memory.peak")),
        limit: limit(number(&directory.join("memory.max"))),
        inactive_file: value_of(&text, "inactive_file").unwrap_or(0),
        failures: value_of(&events, "max").unwrap_or(0),
    })
}

/// Version 2 counts processor time without a controller, so that a hybrid machine has it there as well.
fn cpu(cgroup: &Cgroup) -> Option<CpuStatistics> {
    let throttling = cgroup.place(Controller::Cpu);
    let stat = throttling.map(|place| fs::read_to_string(place.directory.join("cpu.stat")).unwrap_or_default());
    let value = |key| stat.as_deref().and_then(|text| value_of(text, key)).unwrap_or(0);
    let throttled = match throttling.map(|place| place.version) {
        Some(Version::One) => value("throttled_time"),
        _ => value("throttled_usec") * 1000,
    };
    let (total, user, system) = match cgroup.place(Controller::CpuAccounting) {
        Some(place) if place.version == Version::One => {
            let of = |file| number(&place.directory.join(file));
            (of("cpuacct.usage")?, of("cpuacct.usage_user").unwrap_or(0), of("cpuacct.usage_sys").unwrap_or(0))
        }
        _ => {
            let text = fs::read_to_string(cgroup.unified()?.join("cpu.stat")).ok()?;
            let of = |key| value_of(&text, key).unwrap_or(0) * 1000;
            (of("usage_usec"), of("user_usec"), of("system_usec"))
        }
    };
    Some(CpuStatistics {
        total,
        user,
        system,
        periods: value("nr_periods"),
        throttled_periods: value("nr_throttled"),
        throttled,
    })
}

/// Lines `major:minor operation count`, in files of the throttling policy or of BFQ.
fn block1(directory: &Path) -> Option<BlockStatistics> {
    let read = |name: &str| {
        let file = |policy: &str| fs::read_to_string(directory.join(format!("blkio.{policy}.{name}_recursive")));
        let throttle = file("throttle").ok()?;
        let sum = |text: &str, operation: &str| -> u64 {
            let fields = text.lines().map(|line| line.split(' ').collect::<Vec<_>>());
            let counts = fields.filter(|fields| fields.len() == 3 && fields[1] == operation);
            counts.filter_map(|fields| fields[2].parse::<u64>().ok()).sum()
        };
        Some((sum(&throttle, "Read"), sum(&throttle, "Write")))
    };
    let (read_bytes, written_bytes) = read("io_service_bytes")?;
    let (read_operations, write_operations) = read("io_serviced")?;
    Some(BlockStatistics { read_bytes, written_bytes, read_operations, write_operations })
}

/// Lines `major:minor rbytes=N wbytes=N rios=N wios=N …`.
fn block2(text: &str) -> BlockStatistics {
    let sum = |key: &str| -> u64 {
        let values = text.split_whitespace().filter_map(|field| field.split_once('='));
        values.filter(|(name, _)| *name == key).filter_map(|(_, value)| value.parse::<u64>().ok()).sum()
    };
    BlockStatistics {
        read_bytes: sum("rbytes"),
        written_bytes: sum("wbytes"),
        read_operations: sum("rios"),
        write_operations: sum("wios"),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn devices_add_up() {
        let text = "8:0 rbytes=10 wbytes=1 rios=2 wios=1 dbytes=0 dios=0\n8:16 rbytes=5 wbytes=2 rios=1 wios=1\n7:0\n";
        let expected = BlockStatistics { read_bytes: 15, written_bytes: 3, read_operations: 3, write_operations: 2 };
        assert_eq!(block2(text), expected);
    }
}
