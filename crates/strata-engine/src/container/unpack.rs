//! A tar becomes files below a directory that somebody else may be changing.
//!
//! Each member's parent is resolved by the kernel below a root that no link leaves; the member itself is made by its name in
//! that directory and changed through the descriptor it was made with. No link is followed to what is changed.

use std::ffi::OsStr;
use std::fs::File;
use std::io::{self, Read};
use std::os::fd::{AsRawFd as _, BorrowedFd, OwnedFd};
use std::os::unix::ffi::OsStrExt as _;
use std::path::{Path, PathBuf};

use rustix::fs::{
    AtFlags, Dir, FileType, Gid, Mode, OFlags, Timespec, Timestamps, Uid, XattrFlags, chmod, chownat, fchown, fstat,
    futimens, linkat, makedev, mkdirat, mknodat, openat, statat, symlinkat, unlinkat, utimensat,
};
use rustix::io::Errno;
use strata_layer::{Kind, Member, Members, Timestamp};
use strata_model::system_words;
use strata_rootfs::{directory_inside, open_inside_with};

use crate::{EngineError, Result};

/// How often somebody else may make something where a file is to be made.
const ATTEMPTS: usize = 16;
/// How deep a directory may be that is replaced.
const MAX_DEPTH: usize = 256;

/// Whose the files become.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Owner {
    /// As the tar says.
    AsRecorded,
    /// This user's and group's.
    Fixed(u32, u32),
    /// Those of this process.
    Own,
}

/// Where and how a tar is unpacked.
pub(super) struct Unpack<'a> {
    /// No link leads out of it.
    pub(super) root: BorrowedFd<'a>,
    /// A directory in it.
    pub(super) base: &'a Path,
    /// Whose the files become.
    pub(super) owner: Owner,
    /// Whether files may take the place of directories, and directories that of files.
    pub(super) replaces_directories: bool,
    /// Changes the name of a member.
    pub(super) rename: &'a dyn Fn(&mut Vec<u8>),
}

/// Unpacks a tar to its end.
///
/// # Errors
/// `Invalid` for a malformed tar and names that lead out; `File` with the path that could not be made. What was unpacked
/// before stays.
pub(super) fn unpack<R: Read>(tar: R, how: &Unpack<'_>) -> Result<()> {
    let malformed = |cause: strata_layer::LayerError| EngineError::invalid(format!("unpacking the archive: {cause}"));
    let mut members = Members::new(tar);
    let mut directories = Vec::new();
    while let Some(mut member) = members.next_member().map_err(malformed)? {
        (how.rename)(&mut member.path);
        if member.kind == Kind::HardLink {
            (how.rename)(&mut member.link);
        }
        let place = how.place(&member.path)?;
        how.make(&place, &member, &mut members).map_err(|failure| failure.about(&place))?;
        if member.kind == Kind::Directory {
            directories.push((place, member.metadata.mtime));
        }
    }
    // Making something in a directory changes its time.
    for (place, mtime) in directories.into_iter().rev() {
        if let Ok(directory) = open_inside_with(how.root, &place, OFlags::RDONLY | OFlags::DIRECTORY | OFlags::NOFOLLOW)
        {
            let _ = futimens(&directory, &times(mtime));
        }
    }
    members.drain().map_err(|cause| EngineError::file("reading", "the archive", cause))
}

/// Why a member could not be made.
enum Failure {
    System(Errno),
    Io(io::Error),
    Told(EngineError),
}

impl Failure {
    fn about(self, place: &Path) -> EngineError {
        let cause = match self {
            Failure::Told(error) => return error,
            Failure::System(errno) => errno.into(),
            Failure::Io(cause) => cause,
        };
        EngineError::invalid(format!("{}: {}", place.display(), system_words(&cause)))
    }
}

impl From<Errno> for Failure {
    fn from(errno: Errno) -> Failure {
        Failure::System(errno)
    }
}

impl From<io::Error> for Failure {
    fn from(cause: io::Error) -> Failure {
        Failure::Io(cause)
    }
}

impl Unpack<'_> {
    /// The path of a member below the root.
    fn place(&self, name: &[u8]) -> Result<PathBuf> {
        let mut place = self.base.to_owned();
        let mut depth = 0;
        for part in name.split(|byte| *byte == b'/') {
            match part {
                b"" | b"." => {}
                b".." if depth == 0 => {
                    return Err(EngineError::invalid(format!(
                        "{:?} is outside of {:?}",
                        String::from_utf8_lossy(name),
                        self.base.display()
                    )));
                }
                b".." => {
                    depth -= 1;
                    place.pop();
                }
                part => {
                    depth += 1;
                    place.push(OsStr::from_bytes(part));
                }
            }
        }
        Ok(place)
    }

    /// The directory that a member goes to, made when it is not there, and the member's name in it.
    fn parent<'p>(&self, place: &'p Path) -> Result<(OwnedFd, &'p OsStr), Failure> {
        let name = place.file_name().unwrap_or(OsStr::new("."));
        let parent = match place.parent() {
            Some(parent) if place != self.base => parent,
            _ => return Ok((open_inside_with(self.root, place, OFlags::PATH | OFlags::DIRECTORY)?, OsStr::new("."))),
        };
        match open_inside_with(self.root, parent, OFlags::PATH | OFlags::DIRECTORY) {
            Err(Errno::NOENT) => {
                let made = directory_inside(self.root, parent).map_err(|cause| Failure::Told(cause.into()))?;
                Ok((made, name))
            }
            opened => Ok((opened?, name)),
        }
    }

    fn make<R: Read>(&self, place: &Path, member: &Member, members: &mut Members<R>) -> Result<(), Failure> {
        let (directory, name) = self.parent(place)?;
        if name == "." {
            return match member.kind {
                Kind::Directory => self.finish(&reopen(&directory)?, member),
                _ => Err(Errno::ISDIR.into()),
            };
        }
        self.make_room(&directory, name, place, member.kind)?;
        match member.kind {
            Kind::Directory => {
                match mkdirat(&directory, name, Mode::RWXU) {
                    Err(Errno::EXIST) | Ok(()) => {}
                    Err(cause) => return Err(cause.into()),
                }
                let flags = OFlags::RDONLY | OFlags::DIRECTORY | OFlags::NOFOLLOW | OFlags::CLOEXEC;
                self.finish(&openat(&directory, name, flags, Mode::empty())?, member)
            }
            Kind::Regular => {
                let flags = OFlags::CREATE | OFlags::EXCL | OFlags::WRONLY | OFlags::NOFOLLOW | OFlags::CLOEXEC;
                let make = || openat(&directory, name, flags, Mode::RUSR | Mode::WUSR);
                let mut file = File::from(self.again(&directory, name, place, member.kind, make)?);
                io::copy(members, &mut file)?;
                self.finish(&file.into(), member)
            }
            Kind::HardLink => {
                let target = self.place(&member.link).map_err(Failure::Told)?;
                let (from, old) = self.parent(&target)?;
                self.again(&directory, name, place, member.kind, || {
                    linkat(&from, old, &directory, name, AtFlags::empty())
                })
            }
            Kind::Symlink => {
                let target = OsStr::from_bytes(&member.link);
                self.again(&directory, name, place, member.kind, || symlinkat(target, &directory, name))?;
                if let Some((uid, gid)) = self.owner_of(member) {
                    let (uid, gid) = (Uid::from_raw(uid), Gid::from_raw(gid));
                    chownat(&directory, name, Some(uid), Some(gid), AtFlags::SYMLINK_NOFOLLOW)?;
                }
                let times = times(member.metadata.mtime);
                Ok(utimensat(&directory, name, &times, AtFlags::SYMLINK_NOFOLLOW)?)
            }
            Kind::Fifo | Kind::CharDevice | Kind::BlockDevice => self.make_node(&directory, name, place, member),
        }
    }

    fn make_node(&self, directory: &OwnedFd, name: &OsStr, place: &Path, member: &Member) -> Result<(), Failure> {
        let kind = match member.kind {
            Kind::Fifo => FileType::Fifo,
            Kind::BlockDevice => FileType::BlockDevice,
            _ => FileType::CharacterDevice,
        };
        let device = makedev(member.device.0, member.device.1);
        let mode = Mode::RUSR | Mode::WUSR;
        self.again(directory, name, place, member.kind, || mknodat(directory, name, kind, mode, device))?;
        let node = openat(directory, name, OFlags::PATH | OFlags::NOFOLLOW | OFlags::CLOEXEC, Mode::empty())?;
        let stat = fstat(&node)?;
        if FileType::from_raw_mode(stat.st_mode) != kind || (kind != FileType::Fifo && stat.st_rdev != device) {
            return Err(Errno::STALE.into());
        }
        self.finish(&node, member)
    }

    /// Makes something; takes away what somebody else made there meanwhile.
    fn again<T>(
        &self,
        directory: &OwnedFd,
        name: &OsStr,
        place: &Path,
        kind: Kind,
        make: impl Fn() -> rustix::io::Result<T>,
    ) -> Result<T, Failure> {
        for _ in 0..ATTEMPTS {
            match make() {
                Err(Errno::EXIST) => self.make_room(directory, name, place, kind)?,
                made => return Ok(made?),
            }
        }
        Err(Errno::EXIST.into())
    }

    /// Takes away what stands where a member goes. Directories stay for directories.
    fn make_room(&self, directory: &OwnedFd, name: &OsStr, place: &Path, kind: Kind) -> Result<(), Failure> {
        let stat = match statat(directory, name, AtFlags::SYMLINK_NOFOLLOW) {
            Err(Errno::NOENT) => return Ok(()),
            stat => stat?,
        };
        let is_directory = FileType::from_raw_mode(stat.st_mode) == FileType::Directory;
        let refused = |text: String| Err(Failure::Told(EngineError::invalid(text)));
        match (is_directory, kind == Kind::Directory) {
            (true, true) => Ok(()),
            (true, false) if !self.replaces_directories => refused(format!(
                "cannot overwrite directory {:?} with non-directory {:?}",
                place.display().to_string(),
                self.base.display().to_string()
            )),
            (false, true) if !self.replaces_directories => refused(format!(
                "cannot overwrite non-directory {:?} with directory {:?}",
                place.display().to_string(),
                self.base.display().to_string()
            )),
            (true, false) => Ok(remove_tree(directory, name, 0)?),
            (false, _) => Ok(unlinkat(directory, name, AtFlags::empty())?),
        }
    }

    fn owner_of(&self, member: &Member) -> Option<(u32, u32)> {
        match self.owner {
            Owner::AsRecorded => Some((member.metadata.uid, member.metadata.gid)),
            Owner::Fixed(uid, gid) => Some((uid, gid)),
            Owner::Own => None,
        }
    }

    /// Owner, mode, attributes, time, in this order: a change of owner clears the set-user-ID bit and capabilities.
    fn finish(&self, file: &OwnedFd, member: &Member) -> Result<(), Failure> {
        // What is open for its place only is changed through its descriptor's name, which is the thing itself.
        let own_name = format!("/proc/self/fd/{}", file.as_raw_fd());
        if let Some((uid, gid)) = self.owner_of(member) {
            let (uid, gid) = (Uid::from_raw(uid), Gid::from_raw(gid));
            match fchown(file, Some(uid), Some(gid)) {
                Err(Errno::BADF) => rustix::fs::chown(&own_name, Some(uid), Some(gid))?,
                changed => changed?,
            }
        }
        chmod(&own_name, Mode::from_raw_mode(u32::from(member.metadata.mode)))?;
        for (name, value) in &member.xattrs {
            let is_kept = [&b"security.capability"[..], b"user."].iter().any(|kind| name.starts_with(kind));
            let set = if is_kept {
                rustix::fs::setxattr(&own_name, name.as_slice(), value, XattrFlags::empty())
            } else {
                Ok(())
            };
            match set {
                // Attributes that a file system does not have, or this process may not set.
                Err(Errno::OPNOTSUPP | Errno::PERM | Errno::ACCESS) | Ok(()) => {}
                Err(cause) => return Err(cause.into()),
            }
        }
        let times = times(member.metadata.mtime);
        match futimens(file, &times) {
            Err(Errno::BADF) => Ok(utimensat(rustix::fs::CWD, &own_name, &times, AtFlags::empty())?),
            changed => Ok(changed?),
        }
    }
}

fn times(mtime: Timestamp) -> Timestamps {
    let time = Timespec { tv_sec: mtime.seconds, tv_nsec: mtime.nanoseconds.into() };
    Timestamps { last_access: time, last_modification: time }
}

fn reopen(directory: &OwnedFd) -> rustix::io::Result<OwnedFd> {
    openat(directory, ".", OFlags::RDONLY | OFlags::DIRECTORY | OFlags::CLOEXEC, Mode::empty())
}

/// Removes a directory with all that is in it, by its name in another.
fn remove_tree(parent: &OwnedFd, name: &OsStr, depth: usize) -> rustix::io::Result<()> {
    if depth > MAX_DEPTH {
        return Err(Errno::NAMETOOLONG);
    }
    let flags = OFlags::RDONLY | OFlags::DIRECTORY | OFlags::NOFOLLOW | OFlags::CLOEXEC;
    let directory = openat(parent, name, flags, Mode::empty())?;
    for entry in Dir::read_from(&directory)? {
        let entry = entry?;
        let child = entry.file_name();
        if matches!(child.to_bytes(), b"." | b"..") {
            continue;
        }
        match unlinkat(&directory, child, AtFlags::empty()) {
            Err(Errno::ISDIR | Errno::PERM) => remove_tree(&directory, OsStr::from_bytes(child.to_bytes()), depth + 1)?,
            Err(Errno::NOENT) | Ok(()) => {}
            Err(cause) => return Err(cause),
        }
    }
    unlinkat(parent, name, AtFlags::REMOVEDIR)
}
