//! Which namespaces a container has of its own, and which it joins.

use std::os::fd::{AsFd, OwnedFd};
use std::path::Path;

use oci_spec::runtime::{LinuxNamespace, LinuxNamespaceType as Type};
use rustix::fs::{CWD, Mode, OFlags, openat};
use rustix::thread::{LinkNameSpaceType, ThreadNameSpaceType, move_into_link_name_space};

use crate::error::RuntimeError;

/// The namespaces of a configuration, with those to be joined opened while paths still mean the machine's.
pub(super) struct Namespaces {
    new: Vec<Type>,
    /// In the order in which they have to be joined.
    joined: Vec<(Type, OwnedFd)>,
}

impl Namespaces {
    pub(super) fn of(namespaces: &[LinuxNamespace]) -> Result<Namespaces, RuntimeError> {
        let (mut new, mut joined) = (Vec::new(), Vec::new());
        for namespace in namespaces {
            let typ = namespace.typ();
            if new.contains(&typ) || joined.iter().any(|(other, _)| *other == typ) {
                return Err(RuntimeError::Invalid(format!("the namespace {typ:?} is named twice")));
            }
            match namespace.path() {
                None if typ == Type::Time => {
                    return Err(RuntimeError::Unsupported("a new time namespace needs another OCI runtime".to_owned()));
                }
                None => new.push(typ),
                Some(path) => joined.push((typ, open(path)?)),
            }
        }
        // A user namespace gives the privileges that joining the others takes; with a mount namespace paths change.
        joined.sort_by_key(|(typ, _)| match typ {
            Type::User => 0,
            Type::Mount => 2,
            _ => 1,
        });
        Ok(Namespaces { new, joined })
    }

    /// Whether one of this type is made.
    pub(super) fn makes(&self, typ: Type) -> bool {
        self.new.contains(&typ)
    }

    /// Whether the container has this one apart from who makes it.
    pub(super) fn has(&self, typ: Type) -> bool {
        self.makes(typ) || self.joined.iter().any(|(other, _)| *other == typ)
    }

    /// For clone3. A cgroup namespace is made later, inside the container's groups.
    pub(super) fn clone_flags(&self) -> u64 {
        self.new.iter().filter(|typ| **typ != Type::Cgroup).fold(0, |flags, typ| flags | u64::from(bits(*typ).bits()))
    }

    /// Joins in init; the PID namespace was joined by who cloned it.
    pub(super) fn join(&self) -> Result<(), RuntimeError> {
        self.joined.iter().filter(|(typ, _)| *typ != Type::Pid).try_for_each(|(typ, namespace)| enter(*typ, namespace))
    }

    /// Lets the next child of this process be in the PID namespace that is joined. What is returned undoes it.
    pub(super) fn join_processes(&self) -> Result<Option<OwnedFd>, RuntimeError> {
        let Some((typ, namespace)) = self.joined.iter().find(|(typ, _)| *typ == Type::Pid) else { return Ok(None) };
        let own = open(Path::new("/proc/self/ns/pid"))?;
        enter(*typ, namespace)?;
        Ok(Some(own))
    }

    /// Undoes [`Namespaces::join_processes`].
    pub(super) fn leave_processes(own: Option<OwnedFd>) -> Result<(), RuntimeError> {
        own.map_or(Ok(()), |own| enter(Type::Pid, &own))
    }
}

fn enter(typ: Type, namespace: &OwnedFd) -> Result<(), RuntimeError> {
    let link = match typ {
        Type::Mount => LinkNameSpaceType::Mount,
        Type::Cgroup => LinkNameSpaceType::ControlGroup,
        Type::Uts => LinkNameSpaceType::HostNameAndNISDomainName,
        Type::Ipc => LinkNameSpaceType::InterProcessCommunication,
        Type::User => LinkNameSpaceType::User,
        Type::Pid => LinkNameSpaceType::ProcessID,
        Type::Network => LinkNameSpaceType::Network,
        Type::Time => LinkNameSpaceType::Time,
    };
    move_into_link_name_space(namespace.as_fd(), Some(link))
        .map_err(|cause| RuntimeError::system(format!("joining the {typ} namespace"), cause))
}

pub(super) fn bits(typ: Type) -> ThreadNameSpaceType {
    match typ {
        Type::Mount => ThreadNameSpaceType::MOUNT,
        Type::Cgroup => ThreadNameSpaceType::CONTROL_GROUP,
        Type::Uts => ThreadNameSpaceType::HOST_NAME_AND_NIS_DOMAIN_NAME,
        Type::Ipc => ThreadNameSpaceType::INTER_PROCESS_COMMUNICATION,
        Type::User => ThreadNameSpaceType::USER,
        Type::Pid => ThreadNameSpaceType::PROCESS_ID,
        Type::Network => ThreadNameSpaceType::NETWORK,
        Type::Time => ThreadNameSpaceType::TIME,
    }
}

/// The namespaces of a process that are not those of this one.
pub(super) fn differing(process: u32) -> Vec<Type> {
    let all = [Type::User, Type::Mount, Type::Pid, Type::Network, Type::Ipc, Type::Uts, Type::Cgroup, Type::Time];
    all.into_iter().filter(|typ| differ(process, *typ)).collect()
}

fn differ(process: u32, typ: Type) -> bool {
    let name = match typ {
        Type::Mount => "mnt",
        Type::Cgroup => "cgroup",
        Type::Uts => "uts",
        Type::Ipc => "ipc",
        Type::User => "user",
        Type::Pid => "pid",
        Type::Network => "net",
        Type::Time => "time",
    };
    let of = |process: &str| std::fs::read_link(format!("/proc/{process}/ns/{name}")).ok();
    let theirs = of(&process.to_string());
    theirs.is_some() && theirs != of("self")
}

fn open(path: &Path) -> Result<OwnedFd, RuntimeError> {
    openat(CWD, path, OFlags::RDONLY | OFlags::CLOEXEC | OFlags::NONBLOCK, Mode::empty())
        .map_err(|cause| RuntimeError::system(format!("opening the namespace {}", path.display()), cause))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn flags_and_refusals() {
        let parse = |json: &str| Namespaces::of(&serde_json::from_str::<Vec<LinuxNamespace>>(json).unwrap());
        let namespaces = parse(r#"[{"type":"pid"},{"type":"mount"},{"type":"cgroup"},{"type":"network"}]"#).unwrap();
        assert_eq!(namespaces.clone_flags(), 0x2000_0000 | 0x2_0000 | 0x4000_0000);
        assert!(namespaces.makes(Type::Cgroup) && !namespaces.has(Type::User));
        for json in [
            r#"[{"type":"pid"},{"type":"pid"}]"#,
            r#"[{"type":"time"}]"#,
            r#"[{"type":"network","path":"/no/such/namespace"}]"#,
        ] {
            assert!(parse(json).is_err(), "{json}");
        }
    }
}
