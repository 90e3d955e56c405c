//! The container's view of its control groups.

use std::fs;
use std::os::fd::{AsFd, BorrowedFd};
use std::path::{Path, PathBuf};

use rustix::fs::{CWD, Mode, OFlags, openat};
use strata_rootfs::{Detached, TargetKind, directory_inside, mounts, open_source, target_inside};

use super::message::{Failure, Stage};
use super::mount_options::MountOptions;
use rustix::mount::MountAttrFlags as Attributes;

const MACHINE: &str = "/sys/fs/cgroup";

/// Mounts what is at `/sys/fs/cgroup` of this machine, seen from the container's own groups: one file system of version
/// 2, or one for each hierarchy of version 1 below a tmpfs.
pub(super) fn mount(
    root: BorrowedFd<'_>,
    target: &Path,
    options: &MountOptions,
    new_namespace: bool,
) -> Result<(), Failure> {
    let at = target_inside(root, target, TargetKind::Strict)?;
    let mounted = mounts()?;
    let version_2 = mounted.iter().any(|mount| mount.target == Path::new(MACHINE) && mount.filesystem == "cgroup2");
    if version_2 {
        let whole = match Detached::filesystem("cgroup2", Some(Path::new("cgroup")), &options.data, options.set, target)
        {
            Ok(whole) if new_namespace => whole,
            // Not permitted in a user namespace without one for groups, or the whole tree: only the own group is shown.
            _ => bound(&own_group("", Path::new(MACHINE))?, options.set, target)?,
        };
        return Ok(whole.attach(at.as_fd(), target)?);
    }
    let data = ["mode=755".to_owned()];
    let writable = options.set - Attributes::MOUNT_ATTR_RDONLY;
    let directory = Detached::filesystem("tmpfs", Some(Path::new("tmpfs")), &data, writable, target)?;
    for hierarchy in mounted.iter().filter(|mount| mount.filesystem == "cgroup") {
        let Some(name) = hierarchy.target.strip_prefix(MACHINE).ok().and_then(Path::to_str) else { continue };
        let below = directory_inside(directory.as_fd(), Path::new(name))?;
        let shown = target.join(name);
        let (controllers, source) = match name {
            "systemd" => (vec!["none".to_owned(), "name=systemd".to_owned()], "systemd"),
            _ => (name.split(',').map(str::to_owned).collect(), "cgroup"),
        };
        let mounted = match new_namespace {
            true => Detached::filesystem("cgroup", Some(Path::new(source)), &controllers, options.set, &shown).ok(),
            false => None,
        };
        let mounted = match mounted {
            Some(mounted) => mounted,
            None => bound(&own_group(name, &hierarchy.target)?, options.set, &shown)?,
        };
        mounted.attach(below.as_fd(), &shown)?;
        for single in name.split(',').filter(|single| *single != name) {
            rustix::fs::symlinkat(name, directory.as_fd(), single)
                .map_err(|cause| Failure::system(Stage::Root, format!("making the link {single}"), cause))?;
        }
    }
    directory.attach(at.as_fd(), target)?;
    if options.set.contains(Attributes::MOUNT_ATTR_RDONLY) {
        directory.change(Attributes::MOUNT_ATTR_RDONLY, Attributes::empty(), false, target)?;
    }
    Ok(())
}

fn bound(group: &Path, attributes: Attributes, target: &Path) -> Result<Detached, Failure> {
    let copy = Detached::copy(open_source(group)?.as_fd(), false, target)?;
    copy.change(attributes, Attributes::empty(), false, target)?;
    Ok(copy)
}

/// The directory of this process's group in one hierarchy (`controllers`: empty for version 2).
fn own_group(controllers: &str, hierarchy: &Path) -> Result<PathBuf, Failure> {
    let failed = |cause: std::io::Error| Failure::system(Stage::Root, "reading /proc/self/cgroup", cause);
    let text = fs::read_to_string("/proc/self/cgroup").map_err(failed)?;
    let named = if controllers == "systemd" { "name=systemd" } else { controllers };
    let path = text.lines().find_map(|line| {
        let (_, rest) = line.split_once(':')?;
        let (names, path) = rest.split_once(':')?;
        (names == named).then_some(path)
    });
    let group = hierarchy.join(path.unwrap_or("/").trim_start_matches('/'));
    // In a namespace of groups the path is one of the namespace, whose root the mount of the machine does not know.
    match openat(CWD, &group, OFlags::PATH | OFlags::CLOEXEC, Mode::empty()) {
        Ok(_) => Ok(group),
        Err(_) => Ok(hierarchy.to_owned()),
    }
}
