//! The container's root as its program sees it: mounts, devices, what is hidden, what may not be written.
//!
//! Runs in init, in the container's namespaces, before its identity is taken. Before the pivot the machine's files can
//! be reached by path, and the container's by the descriptor of its root.

use std::fs;
use std::os::fd::{AsFd, BorrowedFd, OwnedFd};
use std::path::{Path, PathBuf};

use oci_spec::runtime::{Linux, LinuxDevice, LinuxDeviceType, Mount, Spec};
use rustix::fs::{
    AtFlags, CWD, FileType, Gid, Mode, OFlags, ResolveFlags, Uid, chmodat, chownat, fstat, makedev, mknodat, openat,
    openat2, symlinkat,
};
use rustix::io::Errno;
use rustix::mount::MountAttrFlags as Attributes;
use strata_rootfs::{Detached, RootfsError, TargetKind, directory_inside, open_inside, open_source, target_inside};

use super::cgroup_mount;
use super::message::{Failure, Stage};
use super::mount_options::{MountOptions, propagation};

/// The root before the pivot.
pub(super) struct Root<'a> {
    spec: &'a Spec,
    linux: &'a Linux,
    bundle: &'a Path,
    directory: OwnedFd,
    in_user_namespace: bool,
    new_cgroup_namespace: bool,
}

/// The devices that every container has (OCI runtime specification, "Default Devices"): name, major, minor.
const DEVICES: &[(&str, u32, u32)] =
    &[("null", 1, 3), ("zero", 1, 5), ("full", 1, 7), ("random", 1, 8), ("urandom", 1, 9), ("tty", 5, 0)];

/// (OCI runtime specification, "Dev symbolic links"): name in `/dev`, what it leads to.
const LINKS: &[(&str, &str)] = &[
    ("fd", "/proc/self/fd"),
    ("stdin", "/proc/self/fd/0"),
    ("stdout", "/proc/self/fd/1"),
    ("stderr", "/proc/self/fd/2"),
];

impl From<RootfsError> for Failure {
    fn from(error: RootfsError) -> Failure {
        Failure::new(Stage::Root, error)
    }
}

impl<'a> Root<'a> {
    /// Makes `rootfs` of the bundle a mount of its own and opens it.
    pub(super) fn open(
        spec: &'a Spec,
        linux: &'a Linux,
        bundle: &'a Path,
        in_user_namespace: bool,
        new_cgroup_namespace: bool,
    ) -> Result<Root<'a>, Failure> {
        let path = spec.root().as_ref().map_or(Path::new("rootfs"), |root| root.path().as_path());
        let path = bundle.join(path);
        let failed = |cause| Failure::system(Stage::Root, format!("opening {}", path.display()), cause);
        let original = open_source(&path)?;
        Detached::copy(original.as_fd(), true, &path)?.attach(original.as_fd(), &path)?;
        let directory = openat(CWD, &path, OFlags::PATH | OFlags::DIRECTORY | OFlags::CLOEXEC, Mode::empty());
        let directory = directory.map_err(failed)?;
        Ok(Root { spec, linux, bundle, directory, in_user_namespace, new_cgroup_namespace })
    }

    /// Everything that is mounted or made before the pivot.
    pub(super) fn assemble(&self) -> Result<(), Failure> {
        let mounts = self.spec.mounts().as_deref().unwrap_or_default();
        for mount in mounts {
            self.mount(mount)?;
        }
        let bound_dev =
            mounts.iter().any(|mount| mount.destination() == Path::new("/dev") && options_of(mount).bind.is_some());
        if !bound_dev {
            self.devices()?;
        }
        if let Some(process) = self.spec.process() {
            directory_inside(self.root(), process.cwd()).map_err(|error| match error {
                RootfsError::System { cause, .. } if Errno::from_io_error(&cause) == Some(Errno::NOTDIR) => {
                    Failure::new(Stage::Root, format!("Cannot mkdir: {} is not a directory", process.cwd().display()))
                }
                other => other.into(),
            })?;
        }
        self.sysctl()?;
        self.protect()
    }

    fn mount(&self, mount: &Mount) -> Result<(), Failure> {
        let options = options_of(mount);
        let target = mount.destination();
        let kind = mount.typ().as_deref().unwrap_or("none");
        if options.bind.is_some() || kind == "bind" {
            return self.bind(mount, &options);
        }
        match kind {
            "cgroup" | "cgroup2" => {
                return cgroup_mount::mount(self.root(), target, &options, self.new_cgroup_namespace);
            }
            "proc" | "sysfs" => {
                let at = target_inside(self.root(), target, TargetKind::Strict)?;
                self.filesystem(kind, mount, &options, None)?.attach(at.as_fd(), target)?;
            }
            _ => {
                // As the directory below, when there was one.
                let mode = if kind == "tmpfs" { self.mode_of(target)? } else { None };
                let at = target_inside(self.root(), target, TargetKind::Directory)?;
                let detached = self.filesystem(kind, mount, &options, mode)?;
                if options.copy_up {
                    copy_into(&at, &detached).map_err(|cause| {
                        Failure::system(Stage::Root, format!("copying {} into its mount", target.display()), cause)
                    })?;
                }
                detached.attach(at.as_fd(), target)?;
            }
        }
        Ok(())
    }

    /// The mode of what the image has at `path`, if it has anything there.
    fn mode_of(&self, path: &Path) -> Result<Option<u32>, Failure> {
        let Ok(at) = open_inside(self.root(), path) else { return Ok(None) };
        let status =
            fstat(&at).map_err(|cause| Failure::system(Stage::Root, "reading the mode of a mount point", cause))?;
        Ok(Some(status.st_mode & 0o7777))
    }

    fn filesystem(
        &self,
        kind: &str,
        mount: &Mount,
        options: &MountOptions,
        mode: Option<u32>,
    ) -> Result<Detached, Failure> {
        let target = mount.destination();
        // A tmpfs that takes a copy is written before it is read-only.
        let set = if options.copy_up { options.set - Attributes::MOUNT_ATTR_RDONLY } else { options.set };
        let source = mount.source().as_deref();
        let mut data = options.data.clone();
        if let Some(mode) = mode.filter(|_| !data.iter().any(|option| option.starts_with("mode="))) {
            data.push(format!("mode={mode:o}"));
        }
        let detached = Detached::filesystem(kind, source, &data, set, target)?;
        for (propagation, recursive) in &options.propagation {
            detached.propagate(*propagation, *recursive, target)?;
        }
        Ok(detached)
    }

    fn bind(&self, mount: &Mount, options: &MountOptions) -> Result<(), Failure> {
        let target = mount.destination();
        let source = mount
            .source()
            .as_ref()
            .ok_or_else(|| Failure::new(Stage::Root, format!("the mount at {} has no source", target.display())))?;
        let source = open_source(&self.bundle.join(source))?;
        let status =
            fstat(&source).map_err(|cause| Failure::system(Stage::Root, "reading the source of a mount", cause))?;
        let kind = match FileType::from_raw_mode(status.st_mode) {
            FileType::Directory => TargetKind::Directory,
            _ => TargetKind::File,
        };
        let at = target_inside(self.root(), target, kind)?;
        let detached = Detached::copy(source.as_fd(), options.bind.unwrap_or(false), target)?;
        detached.change(options.set, options.clear, false, target)?;
        detached.change(options.recursive_set, options.recursive_clear, true, target)?;
        // What the container mounts is not seen outside, unless the configuration says so.
        let private = [(strata_rootfs::Propagation::Private, true)];
        let propagation = if options.propagation.is_empty() { &private } else { options.propagation.as_slice() };
        for (propagation, recursive) in propagation {
            detached.propagate(*propagation, *recursive, target)?;
        }
        Ok(detached.attach(at.as_fd(), target)?)
    }

    fn devices(&self) -> Result<(), Failure> {
        let dev = directory_inside(self.root(), Path::new("/dev"))?;
        let asked: &[LinuxDevice] = self.linux.devices().as_deref().unwrap_or_default();
        for (name, major, minor) in DEVICES {
            let path = Path::new("/dev").join(name);
            if !asked.iter().any(|device| *device.path() == path) {
                let wanted = Device {
                    path,
                    kind: FileType::CharacterDevice,
                    number: makedev(*major, *minor),
                    mode: 0o666,
                    owner: (0, 0),
                };
                self.device(&wanted)?;
            }
        }
        for device in asked {
            self.device(&Device::of(device)?)?;
        }
        for (name, target) in LINKS {
            link(&dev, name, target)?;
        }
        if Path::new("/proc/kcore").exists() {
            link(&dev, "core", "/proc/kcore")?;
        }
        // The machine's multiplexer would give terminals of the machine.
        let _ = rustix::fs::unlinkat(&dev, "ptmx", AtFlags::empty());
        link(&dev, "ptmx", "pts/ptmx")
    }

    fn device(&self, device: &Device) -> Result<(), Failure> {
        let failed =
            |cause: Errno| Failure::system(Stage::Root, format!("making the device {}", device.path.display()), cause);
        let (Some(parent), Some(name)) = (device.path.parent(), device.path.file_name()) else {
            return Err(Failure::new(Stage::Root, format!("{} is no path of a device", device.path.display())));
        };
        if self.in_user_namespace {
            return self.bind_device(device);
        }
        let parent = directory_inside(self.root(), parent)?;
        match mknodat(&parent, name, device.kind, Mode::empty(), device.number) {
            Ok(()) => {}
            Err(Errno::EXIST) => return self.existing_device(device),
            Err(Errno::PERM) => return self.bind_device(device),
            Err(cause) => return Err(failed(cause)),
        }
        let (uid, gid) = device.owner;
        chownat(&parent, name, Some(Uid::from_raw(uid)), Some(Gid::from_raw(gid)), AtFlags::SYMLINK_NOFOLLOW)
            .map_err(failed)?;
        chmodat(&parent, name, Mode::from_raw_mode(device.mode), AtFlags::empty()).map_err(failed)
    }

    /// What the image has there is the device itself, or is covered by it.
    fn existing_device(&self, device: &Device) -> Result<(), Failure> {
        let there = open_inside(self.root(), &device.path)?;
        let status = fstat(&there).map_err(|cause| Failure::system(Stage::Root, "reading a device", cause))?;
        let same = FileType::from_raw_mode(status.st_mode) == device.kind && status.st_rdev == device.number;
        if same || device.kind == FileType::Fifo {
            return Ok(());
        }
        self.bind_device(device)
    }

    /// Where devices cannot be made, as in a user namespace, the machine's of the same path appears (OCI: an error when it is
    /// another device).
    fn bind_device(&self, device: &Device) -> Result<(), Failure> {
        let source = open_source(&device.path)?;
        let status = fstat(&source).map_err(|cause| Failure::system(Stage::Root, "reading a device", cause))?;
        if FileType::from_raw_mode(status.st_mode) != device.kind || status.st_rdev != device.number {
            let message = format!("{} of this machine is another device than the one asked for", device.path.display());
            return Err(Failure::new(Stage::Root, message));
        }
        let at = target_inside(self.root(), &device.path, TargetKind::File)?;
        Ok(Detached::copy(source.as_fd(), false, &device.path)?.attach(at.as_fd(), &device.path)?)
    }

    /// Kernel settings of this container's namespaces.
    fn sysctl(&self) -> Result<(), Failure> {
        const PROC: i64 = 0x9fa0;
        for (name, value) in self.linux.sysctl().iter().flatten() {
            let path = sysctl_path(name);
            let failed =
                |cause: std::io::Error| Failure::system(Stage::Limits, format!("setting {name} to {value}"), cause);
            let flags = OFlags::WRONLY | OFlags::CLOEXEC;
            let resolve = ResolveFlags::IN_ROOT | ResolveFlags::NO_SYMLINKS;
            let file = openat2(self.root(), &path, flags, Mode::empty(), resolve);
            let file = fs::File::from(file.map_err(|cause| failed(cause.into()))?);
            let kind = rustix::fs::fstatfs(&file).map_err(|cause| failed(cause.into()))?.f_type;
            if kind != PROC {
                return Err(Failure::new(Stage::Limits, format!("setting {name}: /proc is not the kernel's")));
            }
            std::io::Write::write_all(&mut &file, value.as_bytes()).map_err(failed)?;
        }
        Ok(())
    }

    /// What may not be written and what may not be seen.
    fn protect(&self) -> Result<(), Failure> {
        let existing = |path: &str| match open_inside(self.root(), Path::new(path)) {
            Ok(there) => Ok(Some(there)),
            Err(RootfsError::System { cause, .. }) if is_missing(&cause) => Ok(None),
            Err(error) => Err(Failure::from(error)),
        };
        for path in self.linux.readonly_paths().iter().flatten() {
            let Some(there) = existing(path)? else { continue };
            let copy = Detached::copy(there.as_fd(), true, Path::new(path))?;
            copy.change(Attributes::MOUNT_ATTR_RDONLY, Attributes::empty(), true, Path::new(path))?;
            copy.attach(there.as_fd(), Path::new(path))?;
        }
        let null = self.null()?;
        let mut empty: Option<Detached> = None;
        for path in self.linux.masked_paths().iter().flatten() {
            let Some(there) = existing(path)? else { continue };
            let status =
                fstat(&there).map_err(|cause| Failure::system(Stage::Root, format!("reading {path}"), cause))?;
            let path = Path::new(path);
            if FileType::from_raw_mode(status.st_mode).is_dir() {
                // One empty directory hides all of them.
                let covering = match &empty {
                    Some(empty) => Detached::copy(empty.as_fd(), false, path)?,
                    None => Detached::filesystem(
                        "tmpfs",
                        Some(Path::new("tmpfs")),
                        &[],
                        Attributes::MOUNT_ATTR_RDONLY,
                        path,
                    )?,
                };
                covering.attach(there.as_fd(), path)?;
                empty.get_or_insert(covering);
            } else {
                Detached::copy(null.as_fd(), false, path)?.attach(there.as_fd(), path)?;
            }
        }
        Ok(())
    }

    /// What hides files: the null device, and nothing that an image put in its place.
    fn null(&self) -> Result<OwnedFd, Failure> {
        let path = Path::new("/dev/null");
        let is_null = |file: &OwnedFd| {
            fstat(file).is_ok_and(|status| {
                FileType::from_raw_mode(status.st_mode) == FileType::CharacterDevice && status.st_rdev == makedev(1, 3)
            })
        };
        match open_inside(self.root(), path).ok().filter(is_null) {
            Some(null) => Ok(null),
            None => Some(open_source(path)?)
                .filter(is_null)
                .ok_or_else(|| Failure::new(Stage::Root, "/dev/null of this machine is not the null device")),
        }
    }

    /// Makes it the root of this process. What is left is done by path, on what is inside.
    pub(super) fn enter(self) -> Result<Inside<'a>, Failure> {
        strata_rootfs::pivot(self.directory.as_fd())?;
        Ok(Inside { spec: self.spec, linux: self.linux })
    }

    fn root(&self) -> BorrowedFd<'_> {
        self.directory.as_fd()
    }
}

/// The root after the pivot.
pub(super) struct Inside<'a> {
    spec: &'a Spec,
    linux: &'a Linux,
}

impl Inside<'_> {
    /// `/dev/console` is the slave of the terminal.
    pub(super) fn console(&self, slave: BorrowedFd<'_>) -> Result<(), Failure> {
        let path = Path::new("/dev/console");
        let root = open_source(Path::new("/"))?;
        let at = target_inside(root.as_fd(), path, TargetKind::File)?;
        Ok(Detached::copy(slave, false, path)?.attach(at.as_fd(), path)?)
    }

    /// What holds for the root itself.
    pub(super) fn finish(&self) -> Result<(), Failure> {
        let root = open_source(Path::new("/"))?;
        if let Some((propagation, recursive)) = self.linux.rootfs_propagation().as_deref().and_then(propagation) {
            strata_rootfs::change_propagation(root.as_fd(), propagation, recursive, Path::new("/"))?;
        }
        if self.spec.root().as_ref().and_then(|root| root.readonly()).unwrap_or(false) {
            let (read_only, nothing) = (Attributes::MOUNT_ATTR_RDONLY, Attributes::empty());
            strata_rootfs::change_attributes(root.as_fd(), read_only, nothing, Path::new("/"))?;
        }
        Ok(())
    }
}

/// A device to be made.
struct Device {
    path: PathBuf,
    kind: FileType,
    number: u64,
    mode: u32,
    owner: (u32, u32),
}

impl Device {
    fn of(device: &LinuxDevice) -> Result<Device, Failure> {
        let kind = match device.typ() {
            LinuxDeviceType::C | LinuxDeviceType::U => FileType::CharacterDevice,
            LinuxDeviceType::B => FileType::BlockDevice,
            LinuxDeviceType::P => FileType::Fifo,
            LinuxDeviceType::A => {
                let message = format!("the device {} has no type", device.path().display());
                return Err(Failure::new(Stage::Root, message));
            }
        };
        let part = |number: i64| u32::try_from(number).unwrap_or(0);
        Ok(Device {
            path: device.path().clone(),
            kind,
            number: if kind == FileType::Fifo { 0 } else { makedev(part(device.major()), part(device.minor())) },
            mode: device.file_mode().unwrap_or(0o666) & 0o7777,
            owner: (device.uid().unwrap_or(0), device.gid().unwrap_or(0)),
        })
    }
}

fn options_of(mount: &Mount) -> MountOptions {
    let mut options = MountOptions::parse(mount.options().as_deref().unwrap_or_default());
    if mount.typ().as_deref() == Some("bind") && options.bind.is_none() {
        options.bind = Some(false);
    }
    options
}

fn link(directory: &OwnedFd, name: &str, target: &str) -> Result<(), Failure> {
    match symlinkat(target, directory, name) {
        Ok(()) | Err(Errno::EXIST) => Ok(()),
        Err(cause) => Err(Failure::system(Stage::Root, format!("making the link /dev/{name}"), cause)),
    }
}

fn is_missing(cause: &std::io::Error) -> bool {
    matches!(Errno::from_io_error(cause), Some(Errno::NOENT | Errno::NOTDIR))
}

/// `net.ipv4.ip_forward`, or with slashes when a name has dots, as of interfaces.
fn sysctl_path(name: &str) -> PathBuf {
    let relative = match name.contains('/') {
        true => name.to_owned(),
        false => name.replace('.', "/"),
    };
    let clean: PathBuf =
        Path::new(&relative).components().filter(|part| matches!(part, std::path::Component::Normal(_))).collect();
    Path::new("/proc/sys").join(clean)
}

/// Copies the files of a directory into a file system that has no place yet. Runs in the container's own processes; the
/// links of the image are copied as links.
fn copy_into(from: &OwnedFd, to: &Detached) -> std::io::Result<()> {
    use std::os::fd::AsRawFd;
    let (from, to) = (from.as_raw_fd(), to.as_fd().as_raw_fd());
    copy_directory(Path::new(&format!("/proc/self/fd/{from}")), Path::new(&format!("/proc/self/fd/{to}")))
}

fn copy_directory(from: &Path, to: &Path) -> std::io::Result<()> {
    use std::os::unix::fs::{MetadataExt, PermissionsExt, lchown, symlink};
    for entry in fs::read_dir(from)? {
        let entry = entry?;
        let (metadata, target) = (entry.metadata()?, to.join(entry.file_name()));
        if metadata.is_dir() {
            fs::create_dir(&target)?;
            copy_directory(&entry.path(), &target)?;
        } else if metadata.is_symlink() {
            symlink(fs::read_link(entry.path())?, &target)?;
        } else if metadata.is_file() {
            fs::copy(entry.path(), &target)?;
        } else {
            continue;
        }
        lchown(&target, Some(metadata.uid()), Some(metadata.gid()))?;
        if !metadata.is_symlink() {
            fs::set_permissions(&target, fs::Permissions::from_mode(metadata.mode() & 0o7777))?;
        }
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn names_of_settings() {
        for (name, expected) in [
            ("net.ipv4.ip_forward", "/proc/sys/net/ipv4/ip_forward"),
            ("net/ipv4/conf/eth0.1/forwarding", "/proc/sys/net/ipv4/conf/eth0.1/forwarding"),
            ("../../etc/passwd", "/proc/sys/etc/passwd"),
        ] {
            assert_eq!(sysctl_path(name), Path::new(expected), "{name}");
        }
    }
}
