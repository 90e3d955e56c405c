//! What a container may use, and how it is said to the kernel.

use std::fs;
use std::io;
use std::path::Path;

use oci_spec::runtime::LinuxResources;
use rustix::io::Errno;
use serde::{Deserialize, Serialize};

use crate::error::RuntimeError;

use super::hierarchy::{Controller, Version};
use super::{Cgroup, Place, devices, is_denied, version2};

/// Limits of a container; what is `None` or empty is left as it is. Sizes are bytes, times microseconds, -1 is without
/// limit, as in the OCI runtime configuration.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(default)]
pub struct Limits {
    /// Memory.
    pub memory: Option<i64>,
    /// Memory and swap together.
    pub memory_and_swap: Option<i64>,
    /// What the kernel tries to leave to it when memory is short.
    pub memory_reservation: Option<i64>,
    /// How readily its memory is swapped, 0 to 100.
    pub swappiness: Option<u64>,
    /// Whether its processes wait for memory instead of being killed.
    pub no_out_of_memory_kill: Option<bool>,
    /// Share of processor time among groups that want it, 2 to 262144.
    pub cpu_shares: Option<u64>,
    /// Processor time in each period.
    pub cpu_quota: Option<i64>,
    /// The period of the quota.
    pub cpu_period: Option<u64>,
    /// Processors it may run on, as in `0-2,4`.
    pub cpuset_cpus: Option<String>,
    /// Memory nodes it may use.
    pub cpuset_mems: Option<String>,
    /// Processes and threads.
    pub pids: Option<i64>,
    /// Share of block device time, 10 to 1000.
    pub block_weight: Option<u16>,
    /// Rates of single block devices.
    pub throttles: Vec<Throttle>,
    /// Which devices may be used; the last rule that fits decides, and without any rule nothing is changed.
    pub devices: Vec<DeviceRule>,
}

/// The rate of a block device.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Throttle {
    /// What is counted.
    pub what: Throttled,
    /// The device.
    pub major: i64,
    /// The device.
    pub minor: i64,
    /// Bytes or operations a second.
    pub rate: u64,
}

/// What of a block device is limited.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[expect(missing_docs, reason = "each says what it is")]
pub enum Throttled {
    ReadBytes,
    WriteBytes,
    ReadOperations,
    WriteOperations,
}

/// Whether devices may be used.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct DeviceRule {
    /// Whether it allows or denies.
    pub allow: bool,
    /// `b`, `c`, or `a` for both.
    pub kind: char,
    /// `None` is every number.
    pub major: Option<u32>,
    /// `None` is every number.
    pub minor: Option<u32>,
    /// For what.
    pub access: DeviceAccess,
}

/// Uses of a device.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[expect(missing_docs, reason = "each says what it is")]
pub struct DeviceAccess {
    pub read: bool,
    pub write: bool,
    pub make_node: bool,
}

/// Something asked for that this machine cannot do; the container runs without it.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Warning {
    /// What was asked for, as `memory`.
    pub limit: String,
    /// Why it is not there.
    pub reason: String,
}

impl Warning {
    pub(super) fn new(limit: &str, reason: impl Into<String>) -> Warning {
        Warning { limit: limit.to_owned(), reason: reason.into() }
    }
}

impl std::fmt::Display for Warning {
    fn fmt(&self, formatter: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(formatter, "{} is not limited: {}", self.limit, self.reason)
    }
}

impl From<&LinuxResources> for Limits {
    fn from(resources: &LinuxResources) -> Limits {
        let mut limits = Limits::default();
        if let Some(memory) = resources.memory() {
            limits.memory = memory.limit();
            limits.memory_and_swap = memory.swap();
            limits.memory_reservation = memory.reservation();
            limits.swappiness = memory.swappiness();
            limits.no_out_of_memory_kill = memory.disable_oom_killer();
        }
        if let Some(cpu) = resources.cpu() {
            limits.cpu_shares = cpu.shares();
            limits.cpu_quota = cpu.quota();
            limits.cpu_period = cpu.period();
            limits.cpuset_cpus = cpu.cpus().clone();
            limits.cpuset_mems = cpu.mems().clone();
        }
        limits.pids = resources.pids().as_ref().map(|pids| pids.limit());
        if let Some(block) = resources.block_io() {
            limits.block_weight = block.weight();
            let lists = [
                (Throttled::ReadBytes, block.throttle_read_bps_device()),
                (Throttled::WriteBytes, block.throttle_write_bps_device()),
                (Throttled::ReadOperations, block.throttle_read_iops_device()),
                (Throttled::WriteOperations, block.throttle_write_iops_device()),
            ];
            for (what, devices) in lists {
                limits.throttles.extend(devices.iter().flatten().map(|device| Throttle {
                    what,
                    major: device.major(),
                    minor: device.minor(),
                    rate: device.rate(),
                }));
            }
        }
        limits.devices = resources.devices().iter().flatten().map(DeviceRule::from).collect();
        limits
    }
}

/// Writes each limit to the controller that has it.
pub(super) fn set(cgroup: &Cgroup, limits: &Limits) -> Result<Vec<Warning>, RuntimeError> {
    let mut writer = Writer { cgroup, warnings: Vec::new() };
    writer.memory(limits)?;
    writer.cpu(limits)?;
    writer.cpuset(limits)?;
    if let Some(pids) = limits.pids {
        let value = if pids <= 0 { "max".to_owned() } else { pids.to_string() };
        writer.write("pids", Controller::Pids, |_| ("pids.max", value.clone()))?;
    }
    writer.block(limits)?;
    if !limits.devices.is_empty() {
        writer.devices(&limits.devices)?;
    }
    Ok(writer.warnings)
}

struct Writer<'a> {
    cgroup: &'a Cgroup,
    warnings: Vec<Warning>,
}

impl<'a> Writer<'a> {
    fn memory(&mut self, limits: &Limits) -> Result<(), RuntimeError> {
        match self.place("memory", Controller::Memory, limits.memory.is_some() || limits.memory_and_swap.is_some()) {
            Some(place) if place.version == Version::One => self.memory_of_version1(place, limits)?,
            Some(place) => self.memory_of_version2(place, limits)?,
            None => {}
        }
        if let Some(reservation) = limits.memory_reservation {
            self.write("memory reservation", Controller::Memory, |version| match version {
                Version::One => ("memory.soft_limit_in_bytes", reservation.to_string()),
                Version::Two => ("memory.low", or_max(reservation)),
            })?;
        }
        if let Some(swappiness) = limits.swappiness {
            self.write_version1("swappiness", Controller::Memory, "memory.swappiness", swappiness)?;
        }
        if limits.no_out_of_memory_kill == Some(true) {
            self.write_version1("oom-kill-disable", Controller::Memory, "memory.oom_control", 1)?;
        }
        Ok(())
    }

    /// The sum with swap may never be below the limit of memory, so that the order depends on where both are going.
    fn memory_of_version1(&mut self, place: &Place, limits: &Limits) -> Result<(), RuntimeError> {
        let memory = limits.memory.map(|memory| ("memory", "memory.limit_in_bytes", memory));
        let sum = limits.memory_and_swap.map(|sum| ("memory and swap", "memory.memsw.limit_in_bytes", sum));
        let write = |(_, file, value): (&str, &str, i64)| fs::write(place.directory.join(file), value.to_string());
        let pair = match (memory, sum) {
            (Some(memory), Some(sum)) if write(memory).is_err() => [Some(sum), Some(memory)],
            _ => [memory, sum],
        };
        for (limit, file, value) in pair.into_iter().flatten() {
            self.write_in(place, limit, file, &value.to_string())?;
        }
        Ok(())
    }

    /// Here swap is limited by itself.
    fn memory_of_version2(&mut self, place: &Place, limits: &Limits) -> Result<(), RuntimeError> {
        if let Some(sum) = limits.memory_and_swap {
            let swap = match limits.memory {
                _ if sum < 0 => -1,
                Some(memory) if memory >= 0 => sum.checked_sub(memory).filter(|swap| *swap >= 0).ok_or_else(|| {
                    RuntimeError::Invalid("memory and swap together are limited below memory".to_owned())
                })?,
                _ => return Err(RuntimeError::Invalid("swap cannot be limited without memory".to_owned())),
            };
            self.write_in(place, "memory and swap", "memory.swap.max", &or_max(swap))?;
        }
        match limits.memory {
            Some(memory) => self.write_in(place, "memory", "memory.max", &or_max(memory)),
            None => Ok(()),
        }
    }

    fn cpu(&mut self, limits: &Limits) -> Result<(), RuntimeError> {
        if let Some(shares) = limits.cpu_shares.filter(|shares| *shares != 0) {
            self.write("cpu shares", Controller::Cpu, |version| match version {
                Version::One => ("cpu.shares", shares.to_string()),
                Version::Two => ("cpu.weight", version2::cpu_weight(shares).to_string()),
            })?;
        }
        let (quota, period) = (limits.cpu_quota, limits.cpu_period.filter(|period| *period != 0));
        let wanted = quota.is_some() || period.is_some();
        let Some(place) = self.place("cpu quota", Controller::Cpu, wanted) else { return Ok(()) };
        match place.version {
            Version::One => {
                // A quota that is too short for the old period may be long enough for the new one, and the other way round.
                let period = period.map(|period| ("cpu period", "cpu.cfs_period_us", period.to_string()));
                let quota = quota.map(|quota| ("cpu quota", "cpu.cfs_quota_us", quota.to_string()));
                let refused = period
                    .as_ref()
                    .is_some_and(|(_, file, value)| fs::write(place.directory.join(file), value).is_err());
                let pair = if refused { [quota, period] } else { [period, quota] };
                for (limit, file, value) in pair.into_iter().flatten() {
                    self.write_in(place, limit, file, &value)?;
                }
                Ok(())
            }
            Version::Two => {
                let current = fs::read_to_string(place.directory.join("cpu.max")).unwrap_or_default();
                let (old_quota, old_period) = current.trim().split_once(' ').unwrap_or(("max", "100000"));
                let quota = quota.map_or(old_quota.to_owned(), |quota| or_max(if quota == 0 { -1 } else { quota }));
                let period = period.map_or(old_period.to_owned(), |period| period.to_string());
                self.write_in(place, "cpu quota", "cpu.max", &format!("{quota} {period}"))
            }
        }
    }

    fn cpuset(&mut self, limits: &Limits) -> Result<(), RuntimeError> {
        let sets =
            [("processors", "cpuset.cpus", &limits.cpuset_cpus), ("memory nodes", "cpuset.mems", &limits.cpuset_mems)];
        for (limit, file, value) in sets {
            if let Some(value) = value.as_ref().filter(|value| !value.is_empty()) {
                self.write(limit, Controller::Cpuset, |_| (file, value.clone()))?;
            }
        }
        Ok(())
    }

    fn block(&mut self, limits: &Limits) -> Result<(), RuntimeError> {
        let weight = limits.block_weight.filter(|weight| *weight != 0);
        if let Some(weight) = weight
            && let Some(place) = self.place("block weight", Controller::Block, true)
        {
            let files: [(&str, u64); 2] = match place.version {
                Version::One => [("blkio.weight", weight.into()), ("blkio.bfq.weight", weight.into())],
                Version::Two => [("io.bfq.weight", weight.into()), ("io.weight", version2::io_weight(weight))],
            };
            let present = files.iter().find(|(file, _)| place.directory.join(file).exists()).unwrap_or(&files[0]);
            self.write_in(place, "block weight", present.0, &present.1.to_string())?;
        }
        for throttle in &limits.throttles {
            let device = format!("{}:{}", throttle.major, throttle.minor);
            let rate = if throttle.rate == 0 { "max".to_owned() } else { throttle.rate.to_string() };
            let (old, new) = match throttle.what {
                Throttled::ReadBytes => ("blkio.throttle.read_bps_device", "rbps"),
                Throttled::WriteBytes => ("blkio.throttle.write_bps_device", "wbps"),
                Throttled::ReadOperations => ("blkio.throttle.read_iops_device", "riops"),
                Throttled::WriteOperations => ("blkio.throttle.write_iops_device", "wiops"),
            };
            self.write("block device rate", Controller::Block, |version| match version {
                Version::One => (old, format!("{device} {}", throttle.rate)),
                Version::Two => ("io.max", format!("{device} {new}={rate}")),
            })?;
        }
        Ok(())
    }

    fn devices(&mut self, rules: &[DeviceRule]) -> Result<(), RuntimeError> {
        if let Some(place) = self.cgroup.place(Controller::Devices) {
            for rule in rules {
                let file = if rule.allow { "devices.allow" } else { "devices.deny" };
                self.write_in(place, "devices", file, &rule.to_string())?;
            }
            return Ok(());
        }
        let Some(unified) = self.cgroup.unified() else {
            self.warnings.push(Warning::new("devices", "no control group has the controller devices"));
            return Ok(());
        };
        match devices::attach(unified, rules) {
            Ok(()) => Ok(()),
            Err(cause) if is_denied(&cause) || Errno::from_io_error(&cause) == Some(Errno::NOSYS) => {
                self.warnings.push(Warning::new("devices", format!("loading its BPF program: {cause}")));
                Ok(())
            }
            Err(cause) => {
                Err(RuntimeError::system(format!("loading the device program of {}", unified.display()), cause))
            }
        }
    }

    fn write(
        &mut self,
        limit: &str,
        controller: Controller,
        value: impl Fn(Version) -> (&'static str, String),
    ) -> Result<(), RuntimeError> {
        let Some(place) = self.place(limit, controller, true) else { return Ok(()) };
        let (file, value) = value(place.version);
        self.write_in(place, limit, file, &value)
    }

    /// A limit that version 2 has not.
    fn write_version1(
        &mut self,
        limit: &str,
        controller: Controller,
        file: &str,
        value: u64,
    ) -> Result<(), RuntimeError> {
        match self.place(limit, controller, true) {
            Some(place) if place.version == Version::One => self.write_in(place, limit, file, &value.to_string()),
            Some(_) => {
                self.warnings.push(Warning::new(limit, "control groups of version 2 have no such setting"));
                Ok(())
            }
            None => Ok(()),
        }
    }

    /// Where the controller is; that it is nowhere is a warning, when it is `wanted`.
    fn place(&mut self, limit: &str, controller: Controller, wanted: bool) -> Option<&'a Place> {
        let place = self.cgroup.place(controller).filter(|_| wanted);
        if wanted && place.is_none() {
            self.warnings.push(Warning::new(limit, format!("no control group has the controller for {controller:?}")));
        }
        place
    }

    fn write_in(&mut self, place: &Place, limit: &str, file: &str, value: &str) -> Result<(), RuntimeError> {
        let path = place.directory.join(file);
        match fs::write(&path, value) {
            Ok(()) => Ok(()),
            Err(cause) if is_missing(&path, &cause) => {
                self.warnings.push(Warning::new(limit, format!("writing {}: {cause}", path.display())));
                Ok(())
            }
            Err(cause) => Err(RuntimeError::system(format!("writing {value:?} to {}", path.display()), cause)),
        }
    }
}

/// Whether the machine has not what is written to, or not for us. (A file that is there and busy is a refused value.)
fn is_missing(path: &Path, cause: &io::Error) -> bool {
    match Errno::from_io_error(cause) {
        Some(Errno::BUSY) => false,
        Some(Errno::NOENT | Errno::OPNOTSUPP) => true,
        // Files of groups cannot be created, which is refused as a permission.
        _ => is_denied(cause) || !path.exists(),
    }
}

fn or_max(value: i64) -> String {
    if value < 0 { "max".to_owned() } else { value.to_string() }
}
