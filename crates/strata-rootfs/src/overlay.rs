//! The writable part of a container: an overlay of its own directory over the image.

use std::os::fd::{AsRawFd, OwnedFd};
use std::path::Path;

use rustix::fs::{CWD, Mode, OFlags, openat};
use rustix::mount::{
    FsMountFlags, FsOpenFlags, MountAttrFlags, fsconfig_create, fsconfig_set_flag, fsconfig_set_string, fsmount, fsopen,
};

use crate::erofs::{attach, log_of, mount_error};
use crate::error::RootfsError;

/// Longest value of a mount option, without its NUL.
const MAX_OPTION: usize = 255;

/// An overlay to be mounted.
#[derive(Clone, Copy, Debug)]
pub struct Overlay<'a> {
    /// The image: a mounted EROFS or a directory.
    pub lower: &'a Path,
    /// The container's own files; survives the mount.
    pub upper: &'a Path,
    /// Scratch space of the kernel, empty, on the file system of `upper`.
    pub work: &'a Path,
    /// Whether marks are kept as `user.overlay.*` (in a user namespace, which may not write `trusted.*`).
    pub user_xattrs: bool,
}

/// Mounts an overlay at `target`, an existing directory.
///
/// Redirects, metadata-only copies and the index are off: what an image or a committed layer brings along must not act
/// on the overlay.
pub fn mount_overlay(overlay: &Overlay<'_>, target: &Path) -> Result<(), RootfsError> {
    let directory = open(target)?;
    let mount = detached_overlay(overlay, target)?;
    attach(&mount, &directory).map_err(|cause| mount_error("overlay", target, cause, String::new()))
}

/// The overlay as a mount that has no place yet; it goes away with its descriptor.
pub(crate) fn detached_overlay(overlay: &Overlay<'_>, target: &Path) -> Result<OwnedFd, RootfsError> {
    let context = fsopen("overlay", FsOpenFlags::FSOPEN_CLOEXEC)
        .map_err(|cause| mount_error("overlay", target, cause.into(), String::new()))?;
    let directories =
        [("lowerdir", overlay.lower), ("upperdir", overlay.upper), ("workdir", overlay.work)].map(|(key, path)| {
            let handle = open(path)?;
            Ok::<_, RootfsError>((key, option(key, path, &handle), handle))
        });
    let configured = (|| {
        for directory in directories {
            let (key, value, handle) = directory?;
            fsconfig_set_string(&context, key, value.as_slice())
                .map_err(|cause| mount_error("overlay", target, cause.into(), log_of(&context)))?;
            drop(handle);
        }
        Ok::<_, RootfsError>(())
    })();
    configured?;
    create(&context, overlay.user_xattrs)
        .map_err(|cause| mount_error("overlay", target, cause.into(), log_of(&context)))
}

fn create(context: &OwnedFd, user_xattrs: bool) -> rustix::io::Result<OwnedFd> {
    for (key, value) in [("redirect_dir", "nofollow"), ("metacopy", "off"), ("index", "off")] {
        fsconfig_set_string(context, key, value)?;
    }
    if user_xattrs {
        fsconfig_set_flag(context, "userxattr")?;
    }
    fsconfig_create(context)?;
    // Device nodes work as under docker: the container's control group says which.
    fsmount(context, FsMountFlags::FSMOUNT_CLOEXEC, MountAttrFlags::empty())
}

/// The path as an option: as it is, or by its descriptor when it is too long. Colons separate lower directories.
fn option(key: &str, path: &Path, handle: &OwnedFd) -> Vec<u8> {
    let bytes = path.as_os_str().as_encoded_bytes();
    let mut value = Vec::with_capacity(bytes.len());
    for byte in bytes {
        if key == "lowerdir" && matches!(byte, b':' | b'\\') {
            value.push(b'\\');
        }
        value.push(*byte);
    }
    if value.len() > MAX_OPTION { format!("/proc/self/fd/{}", handle.as_raw_fd()).into_bytes() } else { value }
}

fn open(path: &Path) -> Result<OwnedFd, RootfsError> {
    openat(CWD, path, OFlags::PATH | OFlags::DIRECTORY | OFlags::CLOEXEC, Mode::empty())
        .map_err(|cause| RootfsError::system("opening directory", path, cause))
}
