//! Which limits and policies make sense, in docker's words.

use std::collections::BTreeSet;
use std::fs;

use strata_model::Healthcheck;

use super::document::{HostConfig, RestartSettings};
use crate::{EngineError, Result};

/// The least memory that a container runs in, bytes.
const LEAST_MEMORY: i64 = 6 << 20;
/// Length of the period of a processor quota, microseconds.
const PERIODS: std::ops::RangeInclusive<i64> = 1_000..=1_000_000;
/// The shortest quota, microseconds.
const LEAST_QUOTA: i64 = 1_000;
/// Weights of block devices.
const WEIGHTS: std::ops::RangeInclusive<u16> = 10..=1000;

/// Checks a policy.
///
/// # Errors
/// `Invalid`.
pub(super) fn check_restart_policy(policy: &RestartSettings) -> Result<()> {
    if !matches!(policy.name.as_str(), "no" | "always" | "unless-stopped" | "on-failure") {
        return Err(EngineError::invalid(format!(
            "invalid restart policy: unknown policy '{}'; use one of 'no', 'always', 'on-failure', or 'unless-stopped'",
            policy.name
        )));
    }
    if policy.maximum_retry_count != 0 && policy.name != "on-failure" {
        return Err(EngineError::invalid(
            "invalid restart policy: maximum retry count can only be used with 'on-failure'",
        ));
    }
    if policy.maximum_retry_count < 0 {
        return Err(EngineError::invalid("invalid restart policy: maximum retry count cannot be negative"));
    }
    Ok(())
}

/// Checks limits of memory, processors and block devices.
///
/// # Errors
/// `Invalid`.
pub(super) fn check(host: &HostConfig) -> Result<()> {
    let refuse_if = |is_wrong: bool, message: &str| match is_wrong {
        true => Err(EngineError::invalid(message)),
        false => Ok(()),
    };
    refuse_if(host.memory != 0 && host.memory < LEAST_MEMORY, "Minimum memory limit allowed is 6MB")?;
    refuse_if(
        host.memory_swap > 0 && host.memory_swap < host.memory,
        "Minimum memoryswap limit should be larger than memory limit, see usage",
    )?;
    let reservation = host.memory_reservation;
    refuse_if(reservation != 0 && reservation < LEAST_MEMORY, "Minimum memory reservation allowed is 6MB")?;
    refuse_if(
        host.memory > 0 && reservation > host.memory,
        "Minimum memory limit can not be less than memory reservation limit, see usage",
    )?;
    let has_cpus = host.nano_cpus > 0;
    refuse_if(has_cpus && host.cpu_period > 0, "Conflicting options: Nano CPUs and CPU Period cannot both be set")?;
    refuse_if(has_cpus && host.cpu_quota > 0, "Conflicting options: Nano CPUs and CPU Quota cannot both be set")?;
    let processors = std::thread::available_parallelism().map_or(1, usize::from);
    refuse_if(
        host.nano_cpus < 0 || host.nano_cpus > processors as i64 * 1_000_000_000,
        &format!("range of CPUs is from 0.01 to {processors}.00, as there are only {processors} CPUs available"),
    )?;
    refuse_if(
        host.cpu_period != 0 && !PERIODS.contains(&host.cpu_period),
        "CPU cfs period can not be less than 1ms (i.e. 1000) or larger than 1s (i.e. 1000000)",
    )?;
    refuse_if(
        host.cpu_quota > 0 && host.cpu_quota < LEAST_QUOTA,
        "CPU cfs quota can not be less than 1ms (i.e. 1000)",
    )?;
    refuse_if(
        host.blkio_weight > 0 && !WEIGHTS.contains(&host.blkio_weight),
        "Range of blkio weight is from 10 to 1000",
    )?;
    check_processors(&host.cpuset_cpus)
}

/// Checks what the kernel is told of whom it ends first when memory is short.
///
/// # Errors
/// `Invalid`.
pub(super) fn check_out_of_memory_score(score: i64) -> Result<()> {
    match (-1000..=1000).contains(&score) {
        true => Ok(()),
        false => Err(EngineError::invalid(format!("Invalid value {score}, range for oom score adj is [-1000, 1000]"))),
    }
}

/// Checks which namespaces are to be the machine's or another container's.
///
/// # Errors
/// `Invalid`.
pub(super) fn check_namespaces(host: &HostConfig) -> Result<()> {
    let modes = [
        ("IPC", &host.ipc_mode, &["", "none", "private", "host", "shareable"][..], true),
        ("PID", &host.pid_mode, &["", "host"], true),
        ("UTS", &host.uts_mode, &["", "host"], false),
        ("userns", &host.userns_mode, &["", "host"], false),
        ("cgroup namespace", &host.cgroupns_mode, &["", "host", "private"], false),
    ];
    for (name, mode, words, may_join) in modes {
        let joins = may_join && mode.strip_prefix("container:").is_some_and(|other| !other.is_empty());
        if !joins && !words.contains(&mode.as_str()) {
            return Err(EngineError::invalid(format!("invalid {name} mode: {mode}")));
        }
    }
    Ok(())
}

/// Checks the times of a probe.
///
/// # Errors
/// `Invalid`.
pub(super) fn check_health(check: Option<&Healthcheck>) -> Result<()> {
    const SHORTEST: i64 = 1_000_000;
    let Some(check) = check else { return Ok(()) };
    let times = [
        ("Interval", check.interval),
        ("Timeout", check.timeout),
        ("StartPeriod", check.start_period),
        ("StartInterval", check.start_interval),
    ];
    for (name, time) in times {
        if time.is_some_and(|time| time != 0 && time < SHORTEST) {
            return Err(EngineError::invalid(format!("{name} in Healthcheck cannot be less than 1ms")));
        }
    }
    match check.retries {
        Some(..0) => Err(EngineError::invalid("Retries in Healthcheck cannot be negative")),
        _ => Ok(()),
    }
}

/// Checks that processors exist.
fn check_processors(wanted: &str) -> Result<()> {
    if wanted.is_empty() {
        return Ok(());
    }
    let numbers =
        ranges(wanted).ok_or_else(|| EngineError::invalid(format!("Invalid value {wanted} for cpuset cpus")))?;
    let Ok(online) = fs::read_to_string("/sys/devices/system/cpu/online") else { return Ok(()) };
    let available = ranges(online.trim()).unwrap_or_default();
    match numbers.is_subset(&available) {
        true => Ok(()),
        false => Err(EngineError::invalid(format!(
            "Requested CPUs are not available - requested {wanted}, available: {}",
            online.trim()
        ))),
    }
}

/// `0-2,5` as numbers.
fn ranges(text: &str) -> Option<BTreeSet<u16>> {
    let mut numbers = BTreeSet::new();
    for part in text.split(',') {
        let (first, last) = part.split_once('-').unwrap_or((part, part));
        let (first, last): (u16, u16) = (first.parse().ok()?, last.parse().ok()?);
        numbers.extend(first..=last);
    }
    Some(numbers)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn namespaces_and_probes_that_make_no_sense() {
        let mut host =
            HostConfig { ipc_mode: "shareable".into(), pid_mode: "container:x".into(), ..HostConfig::default() };
        assert!(check_namespaces(&host).is_ok());
        host.uts_mode = "container:x".into();
        assert_eq!(check_namespaces(&host).unwrap_err().to_string(), "invalid UTS mode: container:x");
        let probe = |interval, retries| Healthcheck { interval, retries, ..Healthcheck::default() };
        assert!(check_health(Some(&probe(Some(0), Some(0)))).is_ok());
        let short = check_health(Some(&probe(Some(1000), None))).unwrap_err();
        assert_eq!(short.to_string(), "Interval in Healthcheck cannot be less than 1ms");
        let negative = check_health(Some(&probe(None, Some(-1)))).unwrap_err();
        assert_eq!(negative.to_string(), "Retries in Healthcheck cannot be negative");
        assert!(check_out_of_memory_score(-1000).is_ok() && check_out_of_memory_score(1001).is_err());
    }

    #[test]
    fn limits_that_make_no_sense() {
        let refused = |change: &dyn Fn(&mut HostConfig)| {
            let mut host = HostConfig::default();
            change(&mut host);
            check(&host).err().map(|error| error.to_string()).unwrap_or_default()
        };
        assert_eq!(refused(&|_| {}), "");
        assert_eq!(refused(&|host| host.memory = 1 << 20), "Minimum memory limit allowed is 6MB");
        assert_eq!(
            refused(&|host| (host.memory, host.memory_swap) = (64 << 20, 32 << 20)),
            "Minimum memoryswap limit should be larger than memory limit, see usage"
        );
        assert_eq!(refused(&|host| (host.memory, host.memory_swap) = (64 << 20, -1)), "");
        assert!(refused(&|host| host.nano_cpus = 4_000_000_000_000).starts_with("range of CPUs is from 0.01 to "));
        assert_eq!(
            refused(&|host| (host.nano_cpus, host.cpu_quota) = (10_000_000, 5_000)),
            "Conflicting options: Nano CPUs and CPU Quota cannot both be set"
        );
        assert_eq!(refused(&|host| host.blkio_weight = 5), "Range of blkio weight is from 10 to 1000");
        assert!(refused(&|host| host.cpuset_cpus = "0,9999".into()).starts_with("Requested CPUs are not available"));
        assert_eq!(refused(&|host| host.cpuset_cpus = "0-".into()), "Invalid value 0- for cpuset cpus");
    }
}
