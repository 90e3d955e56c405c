//! Mounting an EROFS image with its packs.

use std::fs::File;
use std::io;
use std::os::fd::{AsFd, AsRawFd, BorrowedFd, OwnedFd};
use std::path::Path;

use rustix::fs::{CWD, Mode, OFlags, openat};
use rustix::mount::{
    FsMountFlags, FsOpenFlags, MountAttrFlags, MoveMountFlags, UnmountFlags, fsconfig_create, fsconfig_set_flag,
    fsconfig_set_string, fsmount, fsopen, move_mount,
};
use serde::{Deserialize, Serialize};

use crate::error::RootfsError;
use crate::sys::LoopDevice;

/// How the kernel reads the image and the packs.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, Serialize, Deserialize)]
pub enum ErofsSource {
    /// From the files themselves (Linux 6.12 and later). The image must lie on a disk file system, not on tmpfs,
    /// overlayfs or another EROFS; packs may.
    File,
    /// Through one loop device each, freed by the kernel at unmount.
    Loop,
}

/// Mounts the image at `target`, an existing directory, read-only and without device files.
///
/// `packs` are the packs of the view in its order; a wrong order is not noticed by the kernel and serves wrong contents.
/// The files may be closed, and even unlinked, once this returns. The mount lives in this process's mount namespace.
pub fn mount_erofs(source: ErofsSource, image: &File, packs: &[File], target: &Path) -> Result<(), RootfsError> {
    let flags = OFlags::PATH | OFlags::DIRECTORY | OFlags::CLOEXEC;
    let directory = openat(CWD, target, flags, Mode::empty())
        .map_err(|cause| RootfsError::system("opening mount point", target, cause))?;
    let mount = detached_erofs(source, image, packs, target)?;
    attach(&mount, &directory).map_err(|cause| mount_error("erofs", target, cause, String::new()))
}

/// The image as a mount that has no place yet; it goes away with its descriptor.
pub(crate) fn detached_erofs(
    source: ErofsSource,
    image: &File,
    packs: &[File],
    target: &Path,
) -> Result<OwnedFd, RootfsError> {
    let failed = |cause: io::Error| mount_error("erofs", target, cause, String::new());
    // Loop devices must stay open until the file system holds them.
    let loops: Vec<LoopDevice> = match source {
        ErofsSource::File => Vec::new(),
        ErofsSource::Loop => std::iter::once(image)
            .chain(packs)
            .map(|file| LoopDevice::attach(file.as_fd()))
            .collect::<io::Result<_>>()
            .map_err(failed)?,
    };
    let files: Vec<BorrowedFd<'_>> = match source {
        ErofsSource::File => std::iter::once(image).chain(packs).map(AsFd::as_fd).collect(),
        ErofsSource::Loop => loops.iter().map(|device| device.file.as_fd()).collect(),
    };
    let context = fsopen("erofs", FsOpenFlags::FSOPEN_CLOEXEC).map_err(|cause| failed(cause.into()))?;
    configure(&context, &files).map_err(|cause| mount_error("erofs", target, cause.into(), log_of(&context)))
}

/// Sources are named by descriptors: short, and nobody can put another file there meanwhile.
fn configure(context: &OwnedFd, files: &[BorrowedFd<'_>]) -> rustix::io::Result<OwnedFd> {
    for (position, file) in files.iter().enumerate() {
        let key = if position == 0 { "source" } else { "device" };
        fsconfig_set_string(context, key, format!("/proc/self/fd/{}", file.as_raw_fd()))?;
    }
    fsconfig_set_flag(context, "ro")?;
    fsconfig_create(context)?;
    let attributes = MountAttrFlags::MOUNT_ATTR_RDONLY | MountAttrFlags::MOUNT_ATTR_NODEV;
    fsmount(context, FsMountFlags::FSMOUNT_CLOEXEC, attributes)
}

/// Puts a mount without a place on a directory.
pub(crate) fn attach(mount: &OwnedFd, directory: &OwnedFd) -> io::Result<()> {
    let flags = MoveMountFlags::MOVE_MOUNT_F_EMPTY_PATH | MoveMountFlags::MOVE_MOUNT_T_EMPTY_PATH;
    Ok(move_mount(mount, "", directory, "", flags)?)
}

pub(crate) fn mount_error(filesystem: &'static str, target: &Path, cause: io::Error, log: String) -> RootfsError {
    RootfsError::Mount { filesystem, target: target.to_owned(), cause, log }
}

/// What the file system said while it was being configured: one message a read, `e ` before errors.
pub(crate) fn log_of(context: &OwnedFd) -> String {
    let mut log = String::new();
    let mut message = [0; 1024];
    while let Ok(length @ 1..) = rustix::io::read(context, &mut message) {
        log.push_str("; ");
        log.push_str(String::from_utf8_lossy(&message[..length]).trim().trim_start_matches("e "));
    }
    log
}

/// Flags for taking mounts away: never through a link.
pub(crate) const UNMOUNT: UnmountFlags = UnmountFlags::NOFOLLOW;
