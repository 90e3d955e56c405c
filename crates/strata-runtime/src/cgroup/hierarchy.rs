//! Where the machine has its control groups: `/proc/self/mountinfo` and `/proc/self/cgroup`.

use std::fs;
use std::io;
use std::path::{Path, PathBuf};

use rustix::fs::{Access, access};

use crate::error::RuntimeError;

use super::version1;

/// What a group limits or counts. The names are those of version 1.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Controller {
    Memory,
    Cpu,
    CpuAccounting,
    Cpuset,
    Pids,
    Block,
    Devices,
    Freezer,
}

const NAMES: [(&str, Controller); 8] = [
    ("memory", Controller::Memory),
    ("cpu", Controller::Cpu),
    ("cpuacct", Controller::CpuAccounting),
    ("cpuset", Controller::Cpuset),
    ("pids", Controller::Pids),
    ("blkio", Controller::Block),
    ("devices", Controller::Devices),
    ("freezer", Controller::Freezer),
];

/// The version of the kernel's interface.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Version {
    One,
    Two,
}

/// A tree of groups.
#[derive(Clone, Debug)]
pub(super) struct Hierarchy {
    pub(super) version: Version,
    /// Below which groups are made: the outermost directory that this process may write, along its own group.
    pub(super) base: PathBuf,
    /// Those of a hierarchy of version 1; of version 2 they are known for each directory.
    pub(super) controllers: Vec<Controller>,
}

/// All trees of the machine that have to do with containers.
#[derive(Clone, Debug, Default)]
pub(super) struct Hierarchies {
    pub(super) all: Vec<Hierarchy>,
}

impl Hierarchies {
    pub(super) fn of_machine() -> Result<Hierarchies, RuntimeError> {
        let read = |file: &str| {
            fs::read_to_string(file).map_err(|cause| RuntimeError::system(format!("reading {file}"), cause))
        };
        Ok(Hierarchies::parse(&read("/proc/self/mountinfo")?, &read("/proc/self/cgroup")?, |directory| {
            access(directory.join("cgroup.procs"), Access::WRITE_OK).is_ok()
        }))
    }

    /// Reads the two files of proc; `may_write` says whether groups can be made in a directory.
    pub(super) fn parse(mounts: &str, own: &str, may_write: impl Fn(&Path) -> bool) -> Hierarchies {
        let mut all: Vec<Hierarchy> = Vec::new();
        for mount in mounts.lines().filter_map(Mount::parse) {
            let (version, controllers, group) = match mount.kind {
                "cgroup2" => (Version::Two, Vec::new(), own_group(own, None)),
                "cgroup" => {
                    let controllers: Vec<Controller> = mount.options.split(',').filter_map(controller).collect();
                    // Named hierarchies (systemd's) limit nothing.
                    let Some(first) = controllers.first() else { continue };
                    let name = NAMES.iter().find(|(_, controller)| controller == first).map(|(name, _)| *name);
                    (Version::One, controllers, own_group(own, name))
                }
                _ => continue,
            };
            let is_known = |other: &Hierarchy| other.version == version && other.controllers == controllers;
            if !all.iter().any(is_known) {
                let base = base(&mount, group.unwrap_or("/"), &may_write);
                all.push(Hierarchy { version, base, controllers });
            }
        }
        Hierarchies { all }
    }
}

impl Hierarchy {
    /// Makes the group at `relative` with all above it and returns the controllers it has.
    pub(super) fn make(&self, relative: &Path) -> io::Result<Vec<Controller>> {
        let mut directory = self.base.clone();
        for part in relative {
            if self.version == Version::Two {
                enable(&directory);
            }
            directory.push(part);
            match fs::create_dir(&directory) {
                Err(cause) if cause.kind() != io::ErrorKind::AlreadyExists => return Err(cause),
                _ => {}
            }
            if self.controllers.contains(&Controller::Cpuset) {
                version1::inherit_cpuset(&directory)?;
            }
        }
        Ok(match self.version {
            Version::One => self.controllers.clone(),
            Version::Two => controllers_of(&directory),
        })
    }
}

/// The controllers of a group of version 2.
pub(super) fn controllers_of(directory: &Path) -> Vec<Controller> {
    let available = fs::read_to_string(directory.join("cgroup.controllers")).unwrap_or_default();
    let mut controllers: Vec<Controller> = available.split_whitespace().filter_map(controller).collect();
    if controllers.contains(&Controller::Cpu) {
        controllers.push(Controller::CpuAccounting);
    }
    controllers
}

/// Gives all available controllers to the groups inside `directory`. Each is written by itself, since one that is refused
/// (by a group that has processes of its own, or without privileges) must not keep the others away; what is missing
/// becomes a warning when a limit needs it.
fn enable(directory: &Path) {
    let available = fs::read_to_string(directory.join("cgroup.controllers")).unwrap_or_default();
    let file = directory.join("cgroup.subtree_control");
    let enabled = fs::read_to_string(&file).unwrap_or_default();
    let is_wanted = |name: &&str| controller(name).is_some() && !enabled.split_whitespace().any(|other| other == *name);
    for name in available.split_whitespace().filter(is_wanted) {
        let _ = fs::write(&file, format!("+{name}"));
    }
}

fn controller(name: &str) -> Option<Controller> {
    let name = if name == "io" { "blkio" } else { name };
    NAMES.iter().find(|(known, _)| *known == name).map(|(_, controller)| *controller)
}

/// The group that `/proc/self/cgroup` names for a controller of version 1, or for version 2.
fn own_group<'a>(own: &'a str, controller: Option<&str>) -> Option<&'a str> {
    own.lines().find_map(|line| {
        let mut fields = line.splitn(3, ':');
        let (number, controllers, path) = (fields.next()?, fields.next()?, fields.next()?);
        let is_it = match controller {
            None => number == "0" && controllers.is_empty(),
            Some(name) => controllers.split(',').any(|other| other == name),
        };
        is_it.then_some(path)
    })
}

/// The outermost directory between the mount point and the own group in which groups can be made. Who is not permitted
/// anything gets the mount point, where making one then fails and says why.
fn base(mount: &Mount<'_>, group: &str, may_write: &impl Fn(&Path) -> bool) -> PathBuf {
    let inside = group.strip_prefix(mount.root.trim_end_matches('/')).unwrap_or("");
    let mut directory = PathBuf::from(mount.point);
    for part in inside.split('/').filter(|part| !part.is_empty()) {
        if may_write(&directory) {
            return directory;
        }
        directory.push(part);
    }
    if may_write(&directory) { directory } else { PathBuf::from(mount.point) }
}

/// What a line of mountinfo says.
struct Mount<'a> {
    root: &'a str,
    point: &'a str,
    kind: &'a str,
    options: &'a str,
}

impl Mount<'_> {
    fn parse(line: &str) -> Option<Mount<'_>> {
        let (left, right) = line.split_once(" - ")?;
        let mut left = left.split(' ').skip(3);
        let (root, point) = (left.next()?, left.next()?);
        let mut right = right.split(' ');
        let (kind, _source, options) = (right.next()?, right.next()?, right.next()?);
        Some(Mount { root, point, kind, options })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const HYBRID: &str = "\
32 31 0:29 / /sys/fs/cgroup/cpu,cpuacct rw,relatime - cgroup cgroup rw,cpu,cpuacct
35 31 0:32 / /sys/fs/cgroup/memory rw,relatime - cgroup cgroup rw,memory
40 31 0:37 / /sys/fs/cgroup/systemd rw,relatime - cgroup cgroup rw,xattr,name=systemd
41 31 0:38 / /sys/fs/cgroup/unified rw,relatime shared:9 - cgroup2 cgroup2 rw,nsdelegate
41 31 0:39 / /proc rw - proc proc rw";

    #[test]
    fn a_hybrid_machine_has_a_hierarchy_for_each() {
        let own = "5:memory:/a/b\n4:cpu,cpuacct:/\n1:name=systemd:/x\n0::/u\n";
        let found = Hierarchies::parse(HYBRID, own, |_| true).all;
        let summary: Vec<_> = found.iter().map(|one| (one.version, one.base.to_str().unwrap())).collect();
        let expected = [
            (Version::One, "/sys/fs/cgroup/cpu,cpuacct"),
            (Version::One, "/sys/fs/cgroup/memory"),
            (Version::Two, "/sys/fs/cgroup/unified"),
        ];
        assert_eq!(summary, expected);
        assert_eq!(found[0].controllers, [Controller::Cpu, Controller::CpuAccounting]);
    }

    #[test]
    fn without_privileges_groups_are_made_in_the_outermost_delegated_one() {
        let mounts = "30 1 0:26 / /sys/fs/cgroup rw - cgroup2 cgroup2 rw";
        let own = "0::/user.slice/user-7.slice/user@7.service/app.slice/shell.scope";
        let delegated = Hierarchies::parse(mounts, own, |path| path.to_str().unwrap().contains("user@7.service"));
        assert_eq!(delegated.all[0].base, Path::new("/sys/fs/cgroup/user.slice/user-7.slice/user@7.service"));
        let nowhere = Hierarchies::parse(mounts, own, |_| false);
        assert_eq!(nowhere.all[0].base, Path::new("/sys/fs/cgroup"));
    }

    #[test]
    fn a_mount_of_a_part_is_read_from_that_part_on() {
        let mounts = "30 1 0:26 /docker/abc /sys/fs/cgroup/memory rw - cgroup cgroup rw,memory";
        let found = Hierarchies::parse(mounts, "3:memory:/docker/abc/inner", |path| path.ends_with("inner"));
        assert_eq!(found.all[0].base, Path::new("/sys/fs/cgroup/memory/inner"));
    }
}
