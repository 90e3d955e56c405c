//! Mounts inside a container's root, on descriptors.
//!
//! A target is resolved once, by `openat2` with `RESOLVE_IN_ROOT`, into a descriptor, and the mount is put on that
//! descriptor: whoever changes the tree meanwhile (CVE-2021-30465) moves nothing out of the root. Every function works on
//! the mount namespace of the calling process.

use std::ffi::OsStr;
use std::os::fd::{AsFd, BorrowedFd, OwnedFd};
use std::os::unix::ffi::OsStrExt;
use std::path::{Component, Path, PathBuf};

use rustix::fs::{CWD, Mode, OFlags, ResolveFlags, mkdirat, open, openat, openat2, readlinkat};
use rustix::io::Errno;
use rustix::mount::{
    FsMountFlags, FsOpenFlags, MountAttrFlags, MoveMountFlags, OpenTreeFlags, fsconfig_create, fsconfig_set_flag,
    fsconfig_set_string, fsmount, fsopen, move_mount, open_tree,
};

use crate::erofs::{log_of, mount_error};
use crate::error::RootfsError;
use crate::sys::{self, Propagation};

/// How many links a missing target may stand behind.
const MAX_LINKS: usize = 40;

/// How often somebody may rename something while a path is followed.
const MAX_RENAMES: usize = 1024;

/// What a target has to be, when it does not exist yet.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum TargetKind {
    /// A directory, made with its parents.
    Directory,
    /// An empty file; its parents are made.
    File,
    /// It has to be a directory reached without any link, as where the kernel's own file systems go (CVE-2019-19921).
    Strict,
}

/// A mount that has no place yet; it goes away with this value.
#[derive(Debug)]
pub struct Detached(OwnedFd);

impl Detached {
    /// A new file system. `options` are `key=value` or single words, as after `-o` of mount(8) without the flags that
    /// `attributes` holds.
    pub fn filesystem(
        kind: &str,
        source: Option<&Path>,
        options: &[String],
        attributes: MountAttrFlags,
        target: &Path,
    ) -> Result<Detached, RootfsError> {
        let failed = |cause: Errno, log| mount_error("a file system", target, cause.into(), log);
        let context = fsopen(kind, FsOpenFlags::FSOPEN_CLOEXEC).map_err(|cause| failed(cause, format!("; {kind}")))?;
        let configured = (|| {
            if let Some(source) = source {
                fsconfig_set_string(&context, "source", source)?;
            }
            for option in options {
                match option.split_once('=') {
                    Some((key, value)) => fsconfig_set_string(&context, key, value)?,
                    None => fsconfig_set_flag(&context, option.as_str())?,
                }
            }
            if attributes.contains(MountAttrFlags::MOUNT_ATTR_RDONLY) {
                fsconfig_set_flag(&context, "ro")?;
            }
            fsconfig_create(&context)?;
            fsmount(&context, FsMountFlags::FSMOUNT_CLOEXEC, attributes)
        })();
        configured.map(Detached).map_err(|cause| failed(cause, format!("; {kind}{}", log_of(&context))))
    }

    /// What is at `source` once more, with all mounts below when `recursive`.
    pub fn copy(source: BorrowedFd<'_>, recursive: bool, target: &Path) -> Result<Detached, RootfsError> {
        let mut flags =
            OpenTreeFlags::OPEN_TREE_CLOEXEC | OpenTreeFlags::OPEN_TREE_CLONE | OpenTreeFlags::AT_EMPTY_PATH;
        flags.set(OpenTreeFlags::AT_RECURSIVE, recursive);
        open_tree(source, "", flags)
            .map(Detached)
            .map_err(|cause| mount_error("bind", target, cause.into(), String::new()))
    }

    /// Adds `set` to its attributes and takes `clear` away, of everything below too when `recursive`.
    pub fn change(
        &self,
        set: MountAttrFlags,
        clear: MountAttrFlags,
        recursive: bool,
        target: &Path,
    ) -> Result<(), RootfsError> {
        if set.is_empty() && clear.is_empty() {
            return Ok(());
        }
        sys::mount_setattr(self.0.as_fd(), set.bits().into(), clear.bits().into(), None, recursive)
            .map_err(|cause| mount_error("attributes", target, cause, String::new()))
    }

    /// Sets how mounts below travel between namespaces.
    pub fn propagate(&self, propagation: Propagation, recursive: bool, target: &Path) -> Result<(), RootfsError> {
        sys::mount_setattr(self.0.as_fd(), 0, 0, Some(propagation), recursive)
            .map_err(|cause| mount_error("propagation", target, cause, String::new()))
    }

    /// Puts it on what `at` is.
    pub fn attach(&self, at: BorrowedFd<'_>, target: &Path) -> Result<(), RootfsError> {
        let flags = MoveMountFlags::MOVE_MOUNT_F_EMPTY_PATH | MoveMountFlags::MOVE_MOUNT_T_EMPTY_PATH;
        move_mount(&self.0, "", at, "", flags).map_err(|cause| mount_error("move", target, cause.into(), String::new()))
    }
}

impl AsFd for Detached {
    fn as_fd(&self) -> BorrowedFd<'_> {
        self.0.as_fd()
    }
}

/// Changes a mount that has a place: the one whose root `mount` is.
pub fn change_attributes(
    mount: BorrowedFd<'_>,
    set: MountAttrFlags,
    clear: MountAttrFlags,
    target: &Path,
) -> Result<(), RootfsError> {
    sys::mount_setattr(mount, set.bits().into(), clear.bits().into(), None, false)
        .map_err(|cause| mount_error("attributes", target, cause, String::new()))
}

/// Changes how mounts below a mount that has a place travel between namespaces.
pub fn change_propagation(
    mount: BorrowedFd<'_>,
    propagation: Propagation,
    recursive: bool,
    target: &Path,
) -> Result<(), RootfsError> {
    sys::mount_setattr(mount, 0, 0, Some(propagation), recursive)
        .map_err(|cause| mount_error("propagation", target, cause, String::new()))
}

/// What exists at `path` below `root`, as a descriptor that cannot be read or written. No link leads out of the root.
pub fn open_inside(root: BorrowedFd<'_>, path: &Path) -> Result<OwnedFd, RootfsError> {
    resolve(root, path, flags_of_file()).map_err(|cause| RootfsError::system("opening in the container", path, cause))
}

/// The same with flags of `open(2)` of one's own, and with the bare error.
///
/// # Errors
/// Those of `openat2(2)`.
pub fn open_inside_with(root: BorrowedFd<'_>, path: &Path, flags: OFlags) -> rustix::io::Result<OwnedFd> {
    open_again(root, &inside(path), flags, flags_of_file())
}

/// The place at `path` below `root` where something may be mounted; made when it does not exist.
pub fn target_inside(root: BorrowedFd<'_>, path: &Path, kind: TargetKind) -> Result<OwnedFd, RootfsError> {
    let failed = |cause| RootfsError::system("making the mount point", path, cause);
    let mut flags = ResolveFlags::IN_ROOT | ResolveFlags::NO_MAGICLINKS;
    flags.set(ResolveFlags::NO_SYMLINKS, kind == TargetKind::Strict);
    match resolve(root, path, flags) {
        Err(Errno::NOENT) => {}
        other => return other.map_err(failed),
    }
    let clean = inside(path);
    match (kind, clean.parent(), clean.file_name()) {
        (TargetKind::File, Some(parent), Some(name)) => {
            let parent = directory_inside(root, parent)?;
            let flags = OFlags::CREATE | OFlags::WRONLY | OFlags::NOFOLLOW | OFlags::CLOEXEC | OFlags::NONBLOCK;
            match openat(&parent, name, flags, Mode::from_raw_mode(0o755)) {
                Ok(_) => resolve(root, path, flags_of_file()).map_err(failed),
                // A link that leads to nothing: what it names is made.
                Err(Errno::LOOP) => {
                    let link = readlinkat(&parent, name, Vec::new()).map_err(failed)?;
                    let linked = clean.with_file_name(OsStr::from_bytes(link.as_bytes()));
                    target_inside(root, &linked, kind)
                }
                Err(cause) => Err(failed(cause)),
            }
        }
        _ => directory_inside(root, path),
    }
}

/// The directory at `path` below `root`, made with its parents (mode 0755) where it is missing.
pub fn directory_inside(root: BorrowedFd<'_>, path: &Path) -> Result<OwnedFd, RootfsError> {
    let failed = |cause| RootfsError::system("making the directory in the container", path, cause);
    make_directories(root, inside(path), 0).map_err(failed)
}

fn make_directories(root: BorrowedFd<'_>, path: PathBuf, links: usize) -> rustix::io::Result<OwnedFd> {
    let open = |path: &Path| open_again(root, path, OFlags::PATH | OFlags::DIRECTORY, flags_of_file());
    match open(&path) {
        Err(Errno::NOENT) => {}
        other => return other,
    }
    let names: Vec<Component<'_>> = path.components().collect();
    let mut there = PathBuf::from(".");
    let mut parent = open(&there)?;
    for (position, name) in names.iter().enumerate() {
        let next = there.join(name);
        parent = match open(&next) {
            Err(Errno::NOENT) => match mkdirat(&parent, name.as_os_str(), Mode::from_raw_mode(0o755)) {
                Ok(()) => open(&next)?,
                Err(Errno::EXIST) if links < MAX_LINKS => {
                    let link = readlinkat(&parent, name.as_os_str(), Vec::new())?;
                    let rest: PathBuf = names[position + 1..].iter().collect();
                    let linked = there.join(OsStr::from_bytes(link.as_bytes())).join(rest);
                    return make_directories(root, inside(&linked), links + 1);
                }
                Err(cause) => return Err(cause),
            },
            other => other?,
        };
        there = next;
    }
    Ok(parent)
}

fn flags_of_file() -> ResolveFlags {
    ResolveFlags::IN_ROOT | ResolveFlags::NO_MAGICLINKS
}

fn resolve(root: BorrowedFd<'_>, path: &Path, resolve: ResolveFlags) -> rustix::io::Result<OwnedFd> {
    open_again(root, &inside(path), OFlags::PATH, resolve)
}

/// Opens a path; when somebody renamed something meanwhile, once more.
fn open_again(root: BorrowedFd<'_>, path: &Path, flags: OFlags, resolve: ResolveFlags) -> rustix::io::Result<OwnedFd> {
    for _ in 0..MAX_RENAMES {
        match openat2(root, path, flags | OFlags::CLOEXEC, Mode::empty(), resolve) {
            Err(Errno::AGAIN | Errno::INTR) => {}
            other => return other,
        }
    }
    Err(Errno::AGAIN)
}

/// The path without its leading slash; the root itself is `.`. What `..` means is left to the kernel.
fn inside(path: &Path) -> PathBuf {
    let relative: PathBuf =
        path.components().filter(|part| matches!(part, Component::Normal(_) | Component::ParentDir)).collect();
    if relative.as_os_str().is_empty() { PathBuf::from(".") } else { relative }
}

/// A directory or file of the machine, links followed, as a source for [`Detached::copy`].
pub fn open_source(path: &Path) -> Result<OwnedFd, RootfsError> {
    openat(CWD, path, OFlags::PATH | OFlags::CLOEXEC, Mode::empty())
        .map_err(|cause| RootfsError::system("opening", path, cause))
}

/// Nothing that is mounted later is seen by another namespace, nor the other way round.
pub fn make_private() -> Result<(), RootfsError> {
    use rustix::mount::{MountPropagationFlags, mount_change};
    mount_change("/", MountPropagationFlags::PRIVATE | MountPropagationFlags::REC)
        .map_err(|cause| mount_error("propagation", Path::new("/"), cause.into(), String::new()))
}

/// Makes the directory `root`, which must be a mount, the root of this process and takes the former root away.
pub fn pivot(root: BorrowedFd<'_>) -> Result<(), RootfsError> {
    let failed = |cause: Errno| RootfsError::system("changing the root to", "the container's", cause);
    let former = open("/", OFlags::PATH | OFlags::DIRECTORY | OFlags::CLOEXEC, Mode::empty()).map_err(failed)?;
    rustix::process::fchdir(root).map_err(failed)?;
    // The same directory twice puts the former root on top of the new one, so that it needs no place inside.
    rustix::process::pivot_root(".", ".").map_err(failed)?;
    rustix::process::fchdir(&former).map_err(failed)?;
    rustix::mount::unmount(".", rustix::mount::UnmountFlags::DETACH).map_err(failed)?;
    rustix::process::chdir("/").map_err(failed)
}

#[cfg(test)]
mod tests {
    use std::fs;
    use std::os::unix::fs::symlink;

    use super::*;

    fn is_directory(fd: &OwnedFd) -> bool {
        let mode = rustix::fs::fstat(fd).unwrap().st_mode;
        rustix::fs::FileType::from_raw_mode(mode).is_dir()
    }

    #[test]
    fn targets_stay_inside() {
        let outside = tempfile::tempdir().unwrap();
        let root = outside.path().join("root");
        fs::create_dir(&root).unwrap();
        symlink(outside.path(), root.join("absolute")).unwrap();
        symlink("../../../../..", root.join("up")).unwrap();
        symlink("/run/deep", root.join("dangling")).unwrap();
        symlink("loop", root.join("loop")).unwrap();
        symlink("elsewhere", root.join("proc")).unwrap();
        let handle = open_source(&root).unwrap();
        let target = |path: &str, kind| target_inside(handle.as_fd(), Path::new(path), kind);
        for (path, kind, expected) in [
            ("/a/b/c", TargetKind::Directory, "a/b/c"),
            ("/a/file", TargetKind::File, "a/file"),
            ("/up/x", TargetKind::Directory, "x"),
            ("../../y", TargetKind::Directory, "y"),
            ("/dangling/z", TargetKind::Directory, "run/deep/z"),
            ("/dangling/f", TargetKind::File, "run/deep/f"),
        ] {
            let made = target(path, kind).unwrap_or_else(|error| panic!("{path}: {error}"));
            assert_eq!(is_directory(&made), kind == TargetKind::Directory, "{path}");
            let metadata = root.join(expected).symlink_metadata().unwrap();
            assert_eq!(metadata.is_dir(), kind == TargetKind::Directory, "{path}");
        }
        target("/absolute/w", TargetKind::Directory).unwrap();
        assert!(!outside.path().join("w").exists(), "an absolute link leads into the root");
        assert!(target("/loop", TargetKind::Directory).is_err());
        assert!(target("/proc", TargetKind::Strict).is_err());
        assert!(is_directory(&target("/sys", TargetKind::Strict).unwrap()));
    }
}
