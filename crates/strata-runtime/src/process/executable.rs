//! This program's own file, so that no container can write it.
//!
//! What runs in a container can open `/proc/<pid>/exe` of a runtime that enters it, and write to it once that process ended
//! (CVE-2019-5736). Therefore processes that meet containers run from a read-only overlay without an upper directory: it
//! can never be made writable, costs no copy, and shares the page cache.

use std::fs::{self, File};
use std::io;
use std::os::fd::{AsRawFd, OwnedFd};
use std::os::unix::process::CommandExt;
use std::path::Path;
use std::process::Command;

use rustix::fs::{CWD, MemfdFlags, Mode, OFlags, SealFlags, fcntl_add_seals, memfd_create, openat};
use rustix::io::Errno;
use rustix::mount::{FsMountFlags, FsOpenFlags, MountAttrFlags, fsconfig_create, fsconfig_set_string, fsmount, fsopen};

/// A second lower directory, which the kernel asks for; nothing of it is seen.
const OTHER: &[&str] = &["/etc", "/dev", "/usr"];

/// This program, to be executed again from where nobody can write it.
pub(crate) struct Executable(Option<OwnedFd>);

impl Executable {
    /// Finds or makes that place. It is there as long as this value.
    pub(crate) fn sealed() -> io::Result<Executable> {
        sealed().map(Executable)
    }

    /// A command that executes it; `name` is its `argv[0]`.
    pub(crate) fn command(&self, name: &str) -> Command {
        let mut command = match &self.0 {
            Some(file) => Command::new(format!("/proc/self/fd/{}", file.as_raw_fd())),
            None => Command::new("/proc/self/exe"),
        };
        command.arg0(name);
        command
    }
}

/// The file to execute, or `None` when this process runs from it already.
fn sealed() -> io::Result<Option<OwnedFd>> {
    if is_sealed() {
        return Ok(None);
    }
    let path = fs::read_link("/proc/self/exe")?;
    if let Some(file) = through_overlay(&path) {
        return Ok(Some(file));
    }
    match openat(CWD, "/proc/self/exe", OFlags::WRONLY | OFlags::CLOEXEC, Mode::empty()) {
        // Root in the container is this user, who may not write it either.
        Err(Errno::ACCESS) => Ok(None),
        _ => copy().map(Some),
    }
}

/// Whether the program's file lies where nothing can be written: the kernel says so before it says that it is running.
pub(crate) fn is_sealed() -> bool {
    matches!(
        openat(CWD, "/proc/self/exe", OFlags::WRONLY | OFlags::CLOEXEC, Mode::empty()),
        Err(Errno::ROFS | Errno::PERM)
    )
}

fn through_overlay(path: &Path) -> Option<OwnedFd> {
    let (directory, name) = (path.parent()?.to_str()?, path.file_name()?);
    if directory.len() > 200 || directory.contains([':', '\\', ',']) {
        return None;
    }
    let other = OTHER.iter().find(|other| !directory.starts_with(**other))?;
    let mount = || -> rustix::io::Result<OwnedFd> {
        let context = fsopen("overlay", FsOpenFlags::FSOPEN_CLOEXEC)?;
        fsconfig_set_string(&context, "lowerdir", format!("{directory}:{other}"))?;
        fsconfig_create(&context)?;
        let attributes = MountAttrFlags::MOUNT_ATTR_RDONLY | MountAttrFlags::MOUNT_ATTR_NODEV;
        let mount = fsmount(&context, FsMountFlags::FSMOUNT_CLOEXEC, attributes)?;
        openat(&mount, name, OFlags::PATH | OFlags::CLOEXEC | OFlags::NOFOLLOW, Mode::empty())
    };
    mount().ok()
}

/// A copy in memory that nothing can change: where overlays cannot be mounted.
fn copy() -> io::Result<OwnedFd> {
    let flags = MemfdFlags::CLOEXEC | MemfdFlags::ALLOW_SEALING;
    let mut copy = File::from(memfd_create("strata", flags)?);
    io::copy(&mut File::open("/proc/self/exe")?, &mut copy)?;
    let seals = SealFlags::SEAL | SealFlags::SHRINK | SealFlags::GROW | SealFlags::WRITE;
    fcntl_add_seals(&copy, seals)?;
    Ok(copy.into())
}
