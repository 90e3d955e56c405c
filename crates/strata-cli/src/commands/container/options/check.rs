//! What docker's client says of values before it asks its daemon: the words after `invalid argument … for … flag: `.

use std::net::IpAddr;

use strata_engine::document::Ulimit;
use strata_format::{duration, size};

use crate::command_line::Check;

/// The kernel's settings that a container may have: those of its IPC and network namespaces.
const SYSCTLS: &[&str] = &[
    "kernel.msgmax",
    "kernel.msgmnb",
    "kernel.msgmni",
    "kernel.sem",
    "kernel.shmall",
    "kernel.shmmax",
    "kernel.shmmni",
    "kernel.shm_rmid_forced",
];
const SYSCTL_PREFIXES: &[&str] = &["net.", "fs.mqueue."];

const LIMITS: &[&str] = &[
    "core",
    "cpu",
    "data",
    "fsize",
    "locks",
    "memlock",
    "msgqueue",
    "nice",
    "nofile",
    "nproc",
    "rss",
    "rtprio",
    "rttime",
    "sigpending",
    "stack",
];

/// The flags whose values are looked at, by their long names.
pub(super) const CHECKS: &[(&str, Check)] = &[
    ("add-host", extra_host),
    ("attach", stream),
    ("blkio-weight", weight),
    ("cpus", |text| processors(text).map(drop)),
    ("dns", address),
    ("env", variable),
    ("health-interval", time),
    ("health-start-interval", time),
    ("health-start-period", time),
    ("health-timeout", time),
    ("label", label),
    ("memory", |text| bytes(text).map(drop)),
    ("memory-reservation", |text| bytes(text).map(drop)),
    ("memory-swap", |text| bytes(text).map(drop)),
    ("mount", |text| super::mount::mount(text).map(drop)),
    ("shm-size", |text| bytes(text).map(drop)),
    ("sysctl", sysctl),
    ("ulimit", |text| ulimit(text).map(drop)),
];

/// Bytes, or -1.
pub(super) fn bytes(text: &str) -> Result<i64, String> {
    if text == "-1" {
        return Ok(-1);
    }
    let bytes = size::parse_binary(text).ok().and_then(|bytes| i64::try_from(bytes).ok());
    bytes.ok_or_else(|| format!("invalid size: '{text}'"))
}

/// Billionths of processors.
pub(super) fn processors(text: &str) -> Result<i64, String> {
    match text.parse::<f64>() {
        Ok(count) if count.is_finite() && count >= 0.0 => Ok((count * 1e9).round() as i64),
        _ => Err(format!("failed to parse {text} as a rational number")),
    }
}

/// `NAME=SOFT[:HARD]`.
pub(super) fn ulimit(text: &str) -> Result<Ulimit, String> {
    let malformed = || format!("invalid ulimit argument: {text}");
    let (name, limits) = text.split_once('=').ok_or_else(malformed)?;
    if !LIMITS.contains(&name) {
        return Err(format!("invalid ulimit type: {name}"));
    }
    let number =
        |text: &str| text.parse::<i64>().map_err(|_| format!("strconv.ParseInt: parsing {text:?}: invalid syntax"));
    let parts: Vec<&str> = limits.split(':').collect();
    let (soft, hard) = match parts.as_slice() {
        [both] => (number(both)?, number(both)?),
        [soft, hard] => (number(soft)?, number(hard)?),
        _ => return Err(format!("too many limit value arguments - {limits}, can only have up to two, `soft[:hard]`")),
    };
    if hard != -1 && (soft == -1 || soft > hard) {
        let hard_is = "ulimit soft limit must be less than or equal to hard limit";
        let soft = if soft == -1 { "-1 (unlimited)".to_owned() } else { soft.to_string() };
        return Err(format!("{hard_is}: {soft} > {hard}"));
    }
    Ok(Ulimit { name: name.into(), soft, hard })
}

fn weight(text: &str) -> Result<(), String> {
    match text.parse::<i64>() {
        Ok(number) if u16::try_from(number).is_err() => {
            Err(format!("strconv.ParseUint: parsing {text:?}: value out of range"))
        }
        _ => Ok(()),
    }
}

fn extra_host(text: &str) -> Result<(), String> {
    let parts = text.split_once('=').or_else(|| text.split_once(':')).filter(|(name, _)| !name.is_empty());
    let Some((_, address)) = parts else { return Err(format!("bad format for add-host: {text:?}")) };
    let address = address.trim_start_matches('[').trim_end_matches(']');
    match address == "host-gateway" || address.parse::<IpAddr>().is_ok() {
        true => Ok(()),
        false => Err(format!("invalid IP address in add-host: {address:?}")),
    }
}

fn address(text: &str) -> Result<(), String> {
    text.trim().parse::<IpAddr>().map(drop).map_err(|_| format!("IP address is not correctly formatted: {text}"))
}

fn stream(text: &str) -> Result<(), String> {
    match text.to_ascii_lowercase().as_str() {
        "stdin" | "stdout" | "stderr" => Ok(()),
        _ => Err("valid streams are STDIN, STDOUT and STDERR".to_owned()),
    }
}

fn variable(text: &str) -> Result<(), String> {
    match text.is_empty() || text.starts_with('=') {
        true => Err(format!("invalid environment variable: {text}")),
        false => Ok(()),
    }
}

fn label(text: &str) -> Result<(), String> {
    match text.split('=').next().is_some_and(str::is_empty) {
        true => Err(format!("invalid label '{text}': empty name")),
        false => Ok(()),
    }
}

fn sysctl(text: &str) -> Result<(), String> {
    let is_known = text.split_once('=').is_some_and(|(name, _)| {
        SYSCTLS.contains(&name) || SYSCTL_PREFIXES.iter().any(|prefix| name.starts_with(prefix))
    });
    if is_known { Ok(()) } else { Err(format!("sysctl '{text}' is not allowed")) }
}

fn time(text: &str) -> Result<(), String> {
    duration::parse(text).map(drop).map_err(|error| error.to_string())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn words_of_docker() {
        let check = |flag: &str, value: &str| {
            let (_, check) = CHECKS.iter().find(|(name, _)| *name == flag).unwrap();
            check(value).err().unwrap_or_default()
        };
        for (flag, value, expected) in [
            ("add-host", "a:1.2.3.4", ""),
            ("add-host", "a=::1", ""),
            ("add-host", "a:[::1]", ""),
            ("add-host", "a:host-gateway", ""),
            ("add-host", "a", "bad format for add-host: \"a\""),
            ("add-host", "a:b", "invalid IP address in add-host: \"b\""),
            ("attach", "STDERR", ""),
            ("attach", "stdall", "valid streams are STDIN, STDOUT and STDERR"),
            ("blkio-weight", "70000", "strconv.ParseUint: parsing \"70000\": value out of range"),
            ("cpus", "1.5", ""),
            ("cpus", "abc", "failed to parse abc as a rational number"),
            ("dns", "abc", "IP address is not correctly formatted: abc"),
            ("env", "A", ""),
            ("env", "=x", "invalid environment variable: =x"),
            ("health-interval", "x", "time: invalid duration \"x\""),
            ("label", "=x", "invalid label '=x': empty name"),
            ("memory", "1g", ""),
            ("memory", "abc", "invalid size: 'abc'"),
            ("mount", "type=volume", "target is required"),
            ("sysctl", "net.ipv4.ip_forward=1", ""),
            ("sysctl", "kernel.shmmax=1", ""),
            ("sysctl", "kernel.hostname=x", "sysctl 'kernel.hostname=x' is not allowed"),
            ("ulimit", "nofile=1:2", ""),
            ("ulimit", "nofile=-1", ""),
            ("ulimit", "nofile", "invalid ulimit argument: nofile"),
            ("ulimit", "nosuch=1", "invalid ulimit type: nosuch"),
            ("ulimit", "nofile=2:1", "ulimit soft limit must be less than or equal to hard limit: 2 > 1"),
            ("ulimit", "nofile=x", "strconv.ParseInt: parsing \"x\": invalid syntax"),
        ] {
            assert_eq!(check(flag, value), expected, "--{flag} {value}");
        }
    }
}
