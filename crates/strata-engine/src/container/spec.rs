//! From a container's settings to its OCI runtime configuration. Pure; the rules are docker's.

use std::collections::BTreeMap;
use std::path::Path;

use oci_spec::runtime::{Capability, Spec};
use serde_json::{Value, json};
use strata_model::system_words;
use strata_runtime::GROUPS_ANNOTATION;
use strata_runtime::cgroup::Cgroup;
use strata_runtime::spec::{
    DEFAULT_CAPABILITIES, capabilities, default_device_rules, default_mounts, default_seccomp, is_available,
    seccomp_profile,
};

use super::document::{Config, ContainerDocument, HostConfig, MountPoint};
use super::is_root_of_machine;
use super::merge::command_line;
use crate::{EngineError, Result};

const PATH: &str = "PATH=/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin";

/// The namespaces of a container as the configuration has them, but for those that it shares with the machine.
#[derive(Clone, Debug, Default)]
pub(super) struct SharedNamespaces {
    /// `network`, `pid` and so on, with the path of the namespace to join.
    pub(super) joined: Vec<(&'static str, String)>,
}

/// The configuration of a container whose directory is `directory`.
///
/// # Errors
/// `Invalid` for capabilities, options and limits that do not exist.
pub(super) fn configuration(document: &ContainerDocument, directory: &Path, shared: &SharedNamespaces) -> Result<Spec> {
    let (config, host) = (&document.config, &document.host_config);
    let bounding = capability_set(host)?;
    let malformed = |cause: serde_json::Error| EngineError::invalid(format!("container configuration: {cause}"));
    // Named here, so that every OCI runtime uses the same groups.
    let id = directory.file_name().unwrap_or_default().to_string_lossy();
    let linux = json!({
        "namespaces": namespaces(host, shared),
        "resources": resources(host)?,
        "cgroupsPath": Cgroup::path(Some(&host.cgroup_parent).filter(|parent| !parent.is_empty()).map(String::as_str), &id),
        "sysctl": host.sysctls.clone().unwrap_or_default(),
        "maskedPaths": host.masked_paths.clone().unwrap_or_default(),
        "readonlyPaths": host.readonly_paths.clone().unwrap_or_default(),
        "devices": devices(host)?,
    });
    let shares_network = host.network_mode == "host" && !is_root_of_machine();
    let mut mounts = match json!(default_mounts(host.shm_size.max(0) as u64, shares_network)) {
        Value::Array(mounts) => mounts,
        _ => Vec::new(),
    };
    if host.ipc_mode == "host" {
        mounts.retain(|mount| mount["destination"] != "/dev/shm" && mount["destination"] != "/dev/mqueue");
        mounts.push(bind("/dev/shm", "/dev/shm", &["rbind", "rprivate"]));
    }
    if host.privileged {
        for mount in
            mounts.iter_mut().filter(|mount| mount["destination"].as_str().is_some_and(|at| at.starts_with("/sys")))
        {
            if let Some(options) = mount["options"].as_array_mut() {
                options.retain(|option| option != "ro");
            }
        }
    }
    for (name, target) in [("hosts", "/etc/hosts"), ("hostname", "/etc/hostname"), ("resolv.conf", "/etc/resolv.conf")]
    {
        if document.mounts.iter().all(|point| point.destination != target) {
            mounts.push(bind(&directory.join(name).display().to_string(), target, &["rbind", "rprivate"]));
        }
    }
    let mut own: Vec<&MountPoint> = document.mounts.iter().collect();
    own.sort_by_key(|point| point.destination.matches('/').count());
    mounts.extend(own.into_iter().map(|point| mount_of(point, host)));
    let mut spec: Spec = serde_json::from_value(json!({
        "ociVersion": "1.2.0",
        "hostname": config.hostname,
        "domainname": Some(&config.domainname).filter(|name| !name.is_empty()),
        "root": { "path": "rootfs", "readonly": host.readonly_rootfs },
        "process": process(config, host)?,
        "mounts": mounts,
        "linux": linux,
        "annotations": annotations(host),
    }))
    .map_err(malformed)?;
    if let Some(process) = spec.process_mut() {
        process.set_capabilities(Some(capabilities(&bounding, false)));
    }
    if let (Some(linux), false) = (spec.linux_mut(), is_unconfined(host)) {
        linux.set_seccomp(Some(seccomp(host, &bounding)?));
    }
    Ok(spec)
}

fn annotations(host: &HostConfig) -> BTreeMap<String, String> {
    let mut annotations = host.annotations.clone().unwrap_or_default();
    let is_name = |group: &&String| group.parse::<u32>().is_err();
    let names: Vec<&str> = host.group_add.iter().flatten().filter(is_name).map(String::as_str).collect();
    if !names.is_empty() {
        annotations.insert(GROUPS_ANNOTATION.to_owned(), names.join(","));
    }
    annotations
}

fn is_unconfined(host: &HostConfig) -> bool {
    host.privileged
        || host
            .security_opt
            .iter()
            .flatten()
            .any(|option| matches!(&**option, "seccomp=unconfined" | "seccomp:unconfined"))
}

fn seccomp(host: &HostConfig, bounding: &[Capability]) -> Result<oci_spec::runtime::LinuxSeccomp> {
    let given = host.security_opt.iter().flatten().find_map(|option| option.strip_prefix("seccomp="));
    match given {
        None | Some("builtin") => Ok(default_seccomp(bounding)),
        Some(profile) => seccomp_profile(profile, bounding).map_err(EngineError::invalid),
    }
}

/// The size that the terminal begins with, when the client has one.
fn console_size(config: &Config, host: &HostConfig) -> Option<Value> {
    let [height, width] = host.console_size;
    (config.tty && height > 0 && width > 0).then(|| json!({ "height": height, "width": width }))
}

fn process(config: &Config, host: &HostConfig) -> Result<Value> {
    let mut environment = vec![PATH.to_owned(), format!("HOSTNAME={}", config.hostname)];
    if config.tty {
        environment.push("TERM=xterm".to_owned());
    }
    for variable in config.env.iter().flatten() {
        let key = variable.split('=').next().unwrap_or_default();
        let prefix = format!("{key}=");
        let there = environment.iter().position(|other| other.starts_with(&prefix));
        match (variable.contains('='), there) {
            (true, Some(there)) => environment[there] = variable.clone(),
            (true, None) => environment.push(variable.clone()),
            (false, Some(there)) => drop(environment.remove(there)),
            (false, None) => {}
        }
    }
    // Names are those of the container's own file, which its init can read.
    let groups: Vec<u32> = host.group_add.iter().flatten().filter_map(|group| group.parse().ok()).collect();
    let limits: Vec<Value> = host
        .ulimits
        .iter()
        .flatten()
        .map(|limit| {
            let number = |value: i64| u64::try_from(value).unwrap_or(u64::MAX);
            json!({
                "type": format!("RLIMIT_{}", limit.name.to_ascii_uppercase()),
                "soft": number(limit.soft),
                "hard": number(limit.hard),
            })
        })
        .collect();
    let no_new_privileges = host.security_opt.iter().flatten().any(|option| {
        matches!(option.as_str(), "no-new-privileges" | "no-new-privileges=true" | "no-new-privileges:true")
    });
    let (uid, gid) = config.user.split_once(':').unwrap_or((&config.user, "0"));
    Ok(json!({
        "terminal": config.tty,
        "consoleSize": console_size(config, host),
        "user": {
            "uid": uid.parse::<u32>().unwrap_or(0),
            "gid": gid.parse::<u32>().unwrap_or(0),
            "additionalGids": groups,
            "username": if config.user.is_empty() { "0" } else { &config.user },
        },
        "args": command_line(config),
        "env": environment,
        "cwd": if config.working_dir.is_empty() { "/" } else { &config.working_dir },
        "rlimits": limits,
        "noNewPrivileges": no_new_privileges,
        "oomScoreAdj": host.oom_score_adj,
    }))
}

/// Docker's set, or all, with what is added and without what is dropped.
fn capability_set(host: &HostConfig) -> Result<Vec<Capability>> {
    let parse = |name: &String| {
        let bare = name.to_ascii_uppercase();
        let bare = bare.strip_prefix("CAP_").unwrap_or(&bare).to_owned();
        let found = serde_json::from_value::<Capability>(json!(format!("CAP_{bare}")));
        found.map_err(|_| EngineError::invalid(format!("invalid CapAdd: unknown capability: \"CAP_{bare}\"")))
    };
    let is_all = |name: &String| name.eq_ignore_ascii_case("all");
    let (added, dropped) = (host.cap_add.iter().flatten(), host.cap_drop.iter().flatten());
    let has_all = host.privileged || added.clone().any(is_all);
    let mut set: Vec<Capability> = match (has_all, dropped.clone().any(is_all)) {
        (true, _) => all_capabilities(),
        (false, true) => Vec::new(),
        (false, false) => DEFAULT_CAPABILITIES.to_vec(),
    };
    for name in added.filter(|name| !is_all(name)) {
        let capability = parse(name)?;
        if !set.contains(&capability) {
            set.push(capability);
        }
    }
    for name in dropped.filter(|name| !is_all(name)) {
        let capability = parse(name)?;
        set.retain(|other| *other != capability);
    }
    Ok(set)
}

/// Every capability that is to be had here.
fn all_capabilities() -> Vec<Capability> {
    const NAMES: &[&str] = &[
        "AUDIT_CONTROL",
        "AUDIT_READ",
        "AUDIT_WRITE",
        "BLOCK_SUSPEND",
        "BPF",
        "CHECKPOINT_RESTORE",
        "CHOWN",
        "DAC_OVERRIDE",
        "DAC_READ_SEARCH",
        "FOWNER",
        "FSETID",
        "IPC_LOCK",
        "IPC_OWNER",
        "KILL",
        "LEASE",
        "LINUX_IMMUTABLE",
        "MAC_ADMIN",
        "MAC_OVERRIDE",
        "MKNOD",
        "NET_ADMIN",
        "NET_BIND_SERVICE",
        "NET_BROADCAST",
        "NET_RAW",
        "PERFMON",
        "SETFCAP",
        "SETGID",
        "SETPCAP",
        "SETUID",
        "SYSLOG",
        "SYS_ADMIN",
        "SYS_BOOT",
        "SYS_CHROOT",
        "SYS_MODULE",
        "SYS_NICE",
        "SYS_PACCT",
        "SYS_PTRACE",
        "SYS_RAWIO",
        "SYS_RESOURCE",
        "SYS_TIME",
        "SYS_TTY_CONFIG",
        "WAKE_ALARM",
    ];
    let all = NAMES.iter().filter_map(|name| serde_json::from_value(json!(format!("CAP_{name}"))).ok());
    all.filter(|capability| is_available(*capability)).collect()
}

fn namespaces(host: &HostConfig, shared: &SharedNamespaces) -> Vec<Value> {
    let all = [
        ("mount", ""),
        ("network", host.network_mode.as_str()),
        ("uts", &host.uts_mode),
        ("pid", &host.pid_mode),
        ("ipc", &host.ipc_mode),
        ("cgroup", &host.cgroupns_mode),
    ];
    all.into_iter()
        .filter(|(_, mode)| *mode != "host")
        .map(|(kind, _)| match shared.joined.iter().find(|(name, _)| *name == kind) {
            Some((_, path)) => json!({ "type": kind, "path": path }),
            None => json!({ "type": kind }),
        })
        .collect()
}

/// The limits and device rules of a container.
///
/// # Errors
/// `Invalid` for devices that are none.
pub(super) fn resources(host: &HostConfig) -> Result<Value> {
    let some = |value: i64| (value != 0).then_some(value);
    let (quota, period) = match host.nano_cpus {
        0 => (some(host.cpu_quota), some(host.cpu_period)),
        cpus => (Some(cpus / 10_000), Some(100_000)),
    };
    let mut rules = match host.privileged {
        true => json!([{ "allow": true, "type": "a", "access": "rwm" }]),
        false => json!(default_device_rules()),
    };
    if let Some(rules) = rules.as_array_mut() {
        for device in host.devices.iter().flatten() {
            let (kind, major, minor) = device_number(&device.path_on_host)?;
            let access = if device.cgroup_permissions.is_empty() { "rwm" } else { &device.cgroup_permissions };
            rules.push(json!({ "allow": true, "type": kind, "major": major, "minor": minor, "access": access }));
        }
        for rule in host.device_cgroup_rules.iter().flatten() {
            rules.push(
                device_rule(rule)
                    .ok_or_else(|| EngineError::invalid(format!("invalid device cgroup rule format: '{rule}'")))?,
            );
        }
    }
    let text = |text: &str| (!text.is_empty()).then(|| text.to_owned());
    Ok(without_nulls(json!({
        "memory": {
            "limit": some(host.memory),
            "reservation": some(host.memory_reservation),
            "swap": some(host.memory_swap),
            "swappiness": host.memory_swappiness.filter(|value| *value >= 0),
            "disableOOMKiller": host.oom_kill_disable,
        },
        "cpu": {
            "shares": some(host.cpu_shares),
            "quota": quota,
            "period": period,
            "cpus": text(&host.cpuset_cpus),
            "mems": text(&host.cpuset_mems),
        },
        "pids": host.pids_limit.filter(|limit| *limit > 0).map(|limit| json!({ "limit": limit })),
        "blockIO": (host.blkio_weight > 0).then(|| json!({ "weight": host.blkio_weight })),
        "devices": rules,
    })))
}

/// A rule like `c 7:* rwm`.
fn device_rule(text: &str) -> Option<Value> {
    let [kind, numbers, access] = text.split(' ').collect::<Vec<_>>().try_into().ok()?;
    let (major, minor) = numbers.split_once(':')?;
    // All of them.
    let number = |text: &str| if text == "*" { Some(-1) } else { text.parse::<u32>().ok().map(i64::from) };
    let is_known = matches!(kind, "a" | "b" | "c") && (1..=3).contains(&access.len());
    if !is_known || !access.bytes().all(|letter| matches!(letter, b'r' | b'w' | b'm')) {
        return None;
    }
    let (major, minor) = (number(major)?, number(minor)?);
    Some(json!({ "allow": true, "type": kind, "major": major, "minor": minor, "access": access }))
}

fn without_nulls(value: Value) -> Value {
    match value {
        Value::Object(fields) => Value::Object(
            fields
                .into_iter()
                .filter(|(_, value)| !value.is_null())
                .map(|(key, value)| (key, without_nulls(value)))
                .collect(),
        ),
        other => other,
    }
}

fn devices(host: &HostConfig) -> Result<Vec<Value>> {
    let mut devices = Vec::new();
    for device in host.devices.iter().flatten() {
        let (kind, major, minor) = device_number(&device.path_on_host)?;
        devices.push(json!({ "path": device.path_in_container, "type": kind, "major": major, "minor": minor, "fileMode": 0o660, "uid": 0, "gid": 0 }));
    }
    Ok(devices)
}

fn device_number(path: &str) -> Result<(&'static str, u32, u32)> {
    use std::os::unix::fs::{FileTypeExt as _, MetadataExt as _};
    let failed = |cause: std::io::Error| {
        EngineError::invalid(format!(
            "error gathering device information while adding custom device {path:?}: {}",
            system_words(&cause)
        ))
    };
    let metadata = std::fs::metadata(path).map_err(failed)?;
    let kind = match metadata.file_type() {
        kind if kind.is_block_device() => "b",
        kind if kind.is_char_device() => "c",
        _ => return Err(failed(std::io::Error::other("not a device node"))),
    };
    Ok((kind, rustix::fs::major(metadata.rdev()), rustix::fs::minor(metadata.rdev())))
}

fn bind(source: &str, target: &str, options: &[&str]) -> Value {
    json!({ "destination": target, "type": "bind", "source": source, "options": options })
}

fn mount_of(point: &MountPoint, host: &HostConfig) -> Value {
    if point.kind == "tmpfs" {
        let mut options = vec!["nosuid", "nodev", "noexec"];
        options.extend(point.mode.split(',').filter(|option| !option.is_empty()));
        if !point.rw {
            options.push("ro");
        }
        return json!({ "destination": point.destination, "type": "tmpfs", "source": "tmpfs", "options": options });
    }
    let propagation = if point.propagation.is_empty() { "rprivate" } else { &point.propagation };
    let request = host.mounts.iter().flatten().find(|request| request.target == point.destination);
    let options = request.and_then(|request| request.bind_options.clone()).unwrap_or_default();
    let kind = if options.non_recursive { "bind" } else { "rbind" };
    let access = match point.rw {
        true => "rw",
        // What is mounted below is read-only, too, as docker has it since 25.
        false if kind == "rbind" && point.kind == "bind" && !options.read_only_non_recursive => "rro",
        false => "ro",
    };
    bind(&point.source, &point.destination, &[kind, access, propagation])
}
