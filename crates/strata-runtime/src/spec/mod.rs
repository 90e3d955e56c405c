//! Docker's defaults as values of the OCI runtime configuration: what a container has when nobody says otherwise.
//!
//! Sources: the defaults of the Docker Engine (capabilities, mounts, masked and read-only paths, device rules, seccomp
//! profile) and the OCI runtime specification. Everything is a pure function; who makes a configuration takes these and
//! changes what the user asked for.

mod profile;
mod seccomp;

use std::path::PathBuf;

use oci_spec::runtime::{
    Capabilities, Capability, LinuxCapabilities, LinuxCapabilitiesBuilder, LinuxDeviceCgroup, LinuxDeviceCgroupBuilder,
    LinuxDeviceType, LinuxNamespace, LinuxNamespaceBuilder, LinuxNamespaceType, Mount, MountBuilder,
};

pub use profile::seccomp_profile;
pub use seccomp::default_seccomp;

/// The capabilities of a container's root.
pub const DEFAULT_CAPABILITIES: &[Capability] = &[
    Capability::Chown,
    Capability::DacOverride,
    Capability::Fsetid,
    Capability::Fowner,
    Capability::Mknod,
    Capability::NetRaw,
    Capability::Setgid,
    Capability::Setuid,
    Capability::Setfcap,
    Capability::Setpcap,
    Capability::NetBindService,
    Capability::SysChroot,
    Capability::Kill,
    Capability::AuditWrite,
];

/// What a container must not see.
pub const MASKED_PATHS: &[&str] = &[
    "/proc/acpi",
    "/proc/asound",
    "/proc/interrupts",
    "/proc/kcore",
    "/proc/keys",
    "/proc/latency_stats",
    "/proc/sched_debug",
    "/proc/scsi",
    "/proc/timer_list",
    "/proc/timer_stats",
    "/sys/devices/virtual/powercap",
    "/sys/firmware",
];

/// What a container must not write.
pub const READONLY_PATHS: &[&str] = &["/proc/bus", "/proc/fs", "/proc/irq", "/proc/sys", "/proc/sysrq-trigger"];

/// Bytes of `/dev/shm`.
pub const SHM_SIZE: u64 = 64 << 20;

/// The sets of a process that has these capabilities. A user other than root gets them only through files, unless they are
/// `ambient`.
pub fn capabilities(of: &[Capability], ambient: bool) -> LinuxCapabilities {
    let set: Capabilities = of.iter().copied().collect();
    let builder = LinuxCapabilitiesBuilder::default()
        .bounding(set.clone())
        .permitted(set.clone())
        .effective(set.clone())
        .inheritable(if ambient { set.clone() } else { Capabilities::new() })
        .ambient(if ambient { set } else { Capabilities::new() });
    builder.build().unwrap_or_default()
}

/// Whether this process could give the capability to a container: a machine may have taken it away from its root, too.
pub fn is_available(capability: Capability) -> bool {
    crate::process::is_capability_available(capability)
}

/// The file systems that every container has. In a user namespace that has no network namespace of its own (`shares_network`)
/// `/sys` is the machine's, which cannot be mounted anew there.
pub fn default_mounts(shm_size: u64, shares_network: bool) -> Vec<Mount> {
    let mut mounts = vec![
        mount("/proc", "proc", "proc", &["nosuid", "noexec", "nodev"]),
        mount("/dev", "tmpfs", "tmpfs", &["nosuid", "strictatime", "mode=755", "size=65536k"]),
        mount(
            "/dev/pts",
            "devpts",
            "devpts",
            &["nosuid", "noexec", "newinstance", "ptmxmode=0666", "mode=0620", "gid=5"],
        ),
        match shares_network {
            true => mount("/sys", "bind", "/sys", &["rbind", "nosuid", "noexec", "nodev", "ro"]),
            false => mount("/sys", "sysfs", "sysfs", &["nosuid", "noexec", "nodev", "ro"]),
        },
    ];
    if !shares_network {
        mounts.push(mount("/sys/fs/cgroup", "cgroup", "cgroup", &["ro", "nosuid", "noexec", "nodev"]));
    }
    mounts.push(mount("/dev/mqueue", "mqueue", "mqueue", &["nosuid", "noexec", "nodev"]));
    let size = format!("size={shm_size}");
    mounts.push(mount("/dev/shm", "tmpfs", "shm", &["nosuid", "noexec", "nodev", "mode=1777", &size]));
    mounts
}

/// A mount of a configuration.
pub fn mount(destination: &str, kind: &str, source: &str, options: &[&str]) -> Mount {
    let options: Vec<String> = options.iter().map(|option| (*option).to_owned()).collect();
    let builder = MountBuilder::default()
        .destination(PathBuf::from(destination))
        .typ(kind)
        .source(PathBuf::from(source))
        .options(options);
    builder.build().unwrap_or_default()
}

/// The namespaces of a container of its own.
pub fn default_namespaces() -> Vec<LinuxNamespace> {
    use LinuxNamespaceType as Type;
    [Type::Mount, Type::Network, Type::Uts, Type::Pid, Type::Ipc, Type::Cgroup]
        .into_iter()
        .filter_map(|typ| LinuxNamespaceBuilder::default().typ(typ).build().ok())
        .collect()
}

/// Which devices a container may use: none but these.
pub fn default_device_rules() -> Vec<LinuxDeviceCgroup> {
    use LinuxDeviceType::{A, B, C};
    let rule = |allow, typ, major: Option<i64>, minor: Option<i64>, access: &str| {
        let mut rule = LinuxDeviceCgroupBuilder::default().allow(allow).typ(typ).access(access);
        if let Some(major) = major {
            rule = rule.major(major);
        }
        if let Some(minor) = minor {
            rule = rule.minor(minor);
        }
        rule.build().unwrap_or_default()
    };
    let mut rules =
        vec![rule(false, A, None, None, "rwm"), rule(true, C, None, None, "m"), rule(true, B, None, None, "m")];
    // null, zero, full, tty, urandom, random, console, terminals, their multiplexer
    let devices = [(1, 3), (1, 5), (1, 7), (5, 0), (1, 9), (1, 8), (5, 1)];
    rules.extend(devices.map(|(major, minor)| rule(true, C, Some(major), Some(minor), "rwm")));
    rules.push(rule(true, C, Some(136), None, "rwm"));
    rules.push(rule(true, C, Some(5), Some(2), "rwm"));
    rules
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_default_capabilities_are_dockers() {
        let bits =
            DEFAULT_CAPABILITIES.iter().fold(0u64, |bits, one| bits | 1 << crate::process::capability_number(*one));
        assert_eq!(bits, 0xa804_25fb);
    }
}
