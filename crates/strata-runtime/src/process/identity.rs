//! What a process of the container may do: user, groups, capabilities, labels, limits, filter. Applied last, in the order
//! in which each step still may be done.

use std::fs;

use oci_spec::runtime::{IOPriorityClass, LinuxPersonalityDomain, PosixRlimit, PosixRlimitType, Process, Spec};
use rustix::fs::{Gid, Mode, Uid};
use rustix::process::{
    DumpableBehavior, Resource, Rlimit, Signal, set_dumpable_behavior, set_parent_process_death_signal, setrlimit,
    umask,
};
use rustix::thread::{
    set_keep_capabilities, set_no_new_privs, set_thread_groups, set_thread_res_gid, set_thread_res_uid,
};

use super::capabilities::Sets;
use super::message::{Failure, Stage};
use super::sys;
use crate::error::RuntimeError;
use crate::seccomp::{self, Filter};
use crate::user::{Accounts, Identity};

/// Everything about it that can be computed before the container exists.
pub(super) struct Confinement {
    sets: Sets,
    filter: Option<Filter>,
    no_new_privileges: bool,
}

impl Confinement {
    /// From the configuration; `privileged` has all capabilities.
    pub(super) fn of(spec: &Spec, process: &Process, privileged: bool) -> Result<Confinement, RuntimeError> {
        let seccomp = spec.linux().as_ref().and_then(|linux| linux.seccomp().as_ref());
        Ok(Confinement {
            sets: if privileged { Sets::all() } else { Sets::of(process.capabilities().as_ref()) },
            filter: seccomp.map(seccomp::compile).transpose()?,
            no_new_privileges: process.no_new_privileges().unwrap_or(false),
        })
    }

    /// Takes the identity. Afterwards the process can do only what its program may.
    pub(super) fn apply(&self, process: &Process, identity: &Identity) -> Result<(), Failure> {
        let failed = |action: &'static str| move |cause| Failure::system(Stage::Identity, action, cause);
        labels(process)?;
        if self.no_new_privileges {
            set_no_new_privs(true).map_err(failed("setting no_new_privs"))?;
        }
        // Without no_new_privs only a privileged process may install a filter: before it gives its privileges away.
        if !self.no_new_privileges {
            self.install()?;
        }
        self.sets.limit_bounding()?;
        set_keep_capabilities(true).map_err(failed("keeping capabilities"))?;
        set_groups(&identity.groups)?;
        let gid = Gid::from_raw(identity.gid);
        set_thread_res_gid(gid, gid, gid).map_err(failed("setting the group"))?;
        let uid = Uid::from_raw(identity.uid);
        set_thread_res_uid(uid, uid, uid).map_err(failed("setting the user"))?;
        set_keep_capabilities(false).map_err(failed("keeping capabilities"))?;
        self.sets.apply()?;
        umask(Mode::from_raw_mode(process.user().umask().unwrap_or(0o022)));
        // Changing the user took it back. A filter that forbids it costs only this.
        let _ = set_parent_process_death_signal(Some(Signal::KILL));
        Ok(())
    }

    /// The filter, when nothing but `execve` is to follow.
    pub(super) fn apply_last(&self) -> Result<(), Failure> {
        if self.no_new_privileges { self.install() } else { Ok(()) }
    }

    fn install(&self) -> Result<(), Failure> {
        let Some(filter) = &self.filter else { return Ok(()) };
        filter.install().map_err(|cause| Failure::system(Stage::Identity, "installing the seccomp filter", cause))
    }
}

/// Nobody inside may look into this process while it still is the runtime's.
pub(super) fn hide() -> Result<(), Failure> {
    set_dumpable_behavior(DumpableBehavior::NotDumpable)
        .map_err(|cause| Failure::system(Stage::Identity, "hiding the runtime's process", cause))
}

/// The annotation that names further groups, separated by commas: the configuration itself has numbers only.
pub const GROUPS_ANNOTATION: &str = "strata.groups";

/// Groups besides those of the user, by number and by name.
pub(crate) fn additional_groups(spec: &Spec, process: &Process) -> Vec<String> {
    let numbers = process.user().additional_gids().iter().flatten().map(u32::to_string);
    let named = spec.annotations().as_ref().and_then(|all| all.get(GROUPS_ANNOTATION));
    numbers.chain(named.into_iter().flat_map(|names| names.split(',')).map(str::to_owned)).collect()
}

/// Who the process is: a name in the configuration is looked up in the container's own files, whose root is `/`.
pub(super) fn identity(spec: &Spec, process: &Process) -> Result<Identity, Failure> {
    let user = process.user();
    let root = strata_rootfs::open_source(std::path::Path::new("/"))?;
    let accounts = Accounts::read(std::os::fd::AsFd::as_fd(&root));
    match user.username().as_deref().filter(|name| !name.is_empty()) {
        Some(name) => {
            let additional = additional_groups(spec, process);
            accounts.resolve(name, &additional).map_err(|error| Failure::new(Stage::Identity, error))
        }
        None => Ok(Identity {
            uid: user.uid(),
            gid: user.gid(),
            groups: user.additional_gids().clone().unwrap_or_default(),
            home: accounts.home(user.uid()),
        }),
    }
}

/// Limits of the kernel for one process, and how it is scheduled.
pub(super) fn limits(process: &Process) -> Result<(), Failure> {
    for limit in process.rlimits().iter().flatten() {
        set_limit(limit)?;
    }
    if let Some(priority) = process.io_priority() {
        let class = match priority.class() {
            IOPriorityClass::IoprioClassRt => 1,
            IOPriorityClass::IoprioClassBe => 2,
            IOPriorityClass::IoprioClassIdle => 3,
        };
        let level = u32::try_from(priority.priority()).unwrap_or(0) & 7;
        sys::set_io_priority(class, level)
            .map_err(|cause| Failure::system(Stage::Limits, "setting the IO priority", cause))?;
    }
    Ok(())
}

/// The execution domain of the process.
pub(super) fn personality(spec: &Spec) -> Result<(), Failure> {
    let personality = spec.linux().as_ref().and_then(|linux| linux.personality().as_ref());
    let Some(personality) = personality else { return Ok(()) };
    let domain = match personality.domain() {
        LinuxPersonalityDomain::PerLinux => 0,
        LinuxPersonalityDomain::PerLinux32 => 8,
    };
    sys::set_personality(domain).map_err(|cause| Failure::system(Stage::Limits, "setting the personality", cause))
}

fn set_limit(limit: &PosixRlimit) -> Result<(), Failure> {
    let resource = match limit.typ() {
        PosixRlimitType::RlimitCpu => Resource::Cpu,
        PosixRlimitType::RlimitFsize => Resource::Fsize,
        PosixRlimitType::RlimitData => Resource::Data,
        PosixRlimitType::RlimitStack => Resource::Stack,
        PosixRlimitType::RlimitCore => Resource::Core,
        PosixRlimitType::RlimitRss => Resource::Rss,
        PosixRlimitType::RlimitNproc => Resource::Nproc,
        PosixRlimitType::RlimitNofile => Resource::Nofile,
        PosixRlimitType::RlimitMemlock => Resource::Memlock,
        PosixRlimitType::RlimitAs => Resource::As,
        PosixRlimitType::RlimitLocks => Resource::Locks,
        PosixRlimitType::RlimitSigpending => Resource::Sigpending,
        PosixRlimitType::RlimitMsgqueue => Resource::Msgqueue,
        PosixRlimitType::RlimitNice => Resource::Nice,
        PosixRlimitType::RlimitRtprio => Resource::Rtprio,
        PosixRlimitType::RlimitRttime => Resource::Rttime,
    };
    let value = |number: u64| (number != u64::MAX).then_some(number);
    let wanted = Rlimit { current: value(limit.soft()), maximum: value(limit.hard()) };
    setrlimit(resource, wanted).map_err(|cause| {
        let (name, soft, hard) = (limit.typ(), limit.soft(), limit.hard());
        Failure::system(Stage::Limits, format!("setting {name} to {soft}:{hard}"), cause)
    })
}

fn set_groups(groups: &[u32]) -> Result<(), Failure> {
    let groups: Vec<Gid> = groups.iter().map(|group| Gid::from_raw(*group)).collect();
    match set_thread_groups(&groups) {
        Ok(()) => Ok(()),
        // A user namespace with one group may not set any.
        Err(_) if groups.is_empty() && fs::read("/proc/self/setgroups").is_ok_and(|text| text.starts_with(b"deny")) => {
            Ok(())
        }
        Err(cause) => Err(Failure::system(Stage::Identity, "setting groups", cause)),
    }
}

/// AppArmor and SELinux, where the configuration names a label and the kernel has them. They hold from the next exec on.
fn labels(process: &Process) -> Result<(), Failure> {
    let active = fs::read_to_string("/sys/kernel/security/lsm").unwrap_or_default();
    let wanted = [
        ("apparmor", process.apparmor_profile(), "/proc/self/attr/apparmor/exec", "exec "),
        ("selinux", process.selinux_label(), "/proc/self/attr/exec", ""),
    ];
    for (module, label, file, prefix) in wanted {
        let Some(label) = label.as_deref().filter(|label| !label.is_empty() && *label != "unconfined") else {
            continue;
        };
        let written = fs::write(file, format!("{prefix}{label}"));
        if let Err(cause) = written
            && (active.split(',').any(|name| name.trim() == module) || active.is_empty())
        {
            return Err(Failure::system(Stage::Identity, format!("setting the {module} label {label}"), cause));
        }
    }
    Ok(())
}
