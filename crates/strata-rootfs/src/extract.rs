//! The directory fallback: a view written as files.
//!
//! The target is an empty directory that only we write to. Each directory of the view is opened once, from the target's
//! handle, with `RESOLVE_BENEATH | RESOLVE_NO_SYMLINKS`, and all that is in it is made relative to that handle. Modes and
//! times of directories are set last, from the deepest up. Nothing is synced, and a crash leaves a partial directory: the
//! caller extracts beside the final place and renames.

use std::collections::HashMap;
use std::fs::File;
use std::io;
use std::os::fd::{AsRawFd, OwnedFd};
use std::path::Path;

use rustix::fs::{
    AtFlags, CWD, FileType, Gid, Mode, OFlags, ResolveFlags, Timespec, Timestamps, Uid, XattrFlags, chmodat, chownat,
    linkat, lsetxattr, makedev, mkdirat, mknodat, openat, openat2, symlinkat, utimensat,
};
use rustix::io::Errno;
use strata_erofs::Places;
use strata_layer::{ImageView, Inode, InodeId, Kind, Timestamp};

use crate::content::copy_content;
use crate::error::RootfsError;

/// Whose the files become.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Ownership {
    /// As the image says, as far as this user namespace has the IDs; needs the right to give files away.
    AsRecorded,
    /// All of them ours (rootless).
    Squash,
}

/// What was written, and what could not be.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Extracted {
    /// Number of names made, without the root.
    pub names: u64,
    /// Bytes of file contents, each file once.
    pub bytes: u64,
    /// Paths of devices that we may not make.
    pub skipped_devices: Vec<Vec<u8>>,
    /// Number of attributes that we may not set or that the file system does not keep.
    pub skipped_xattrs: u64,
}

/// Writes the view into `target`, an existing empty directory, with contents from `packs` (in the order of the view).
///
/// Devices that may not be made and attributes that may not be set are left out and reported; everything else that fails
/// is an error.
pub fn extract(
    view: &ImageView,
    places: &dyn Places,
    packs: &[File],
    target: &Path,
    ownership: Ownership,
) -> Result<Extracted, RootfsError> {
    extract_below(view, InodeId::ROOT, places, packs, target, ownership)
}

/// The same for a directory of the view: `target` becomes what `from` is.
pub fn extract_below(
    view: &ImageView,
    from: InodeId,
    places: &dyn Places,
    packs: &[File],
    target: &Path,
    ownership: Ownership,
) -> Result<Extracted, RootfsError> {
    let flags = OFlags::RDONLY | OFlags::DIRECTORY | OFlags::CLOEXEC;
    let root = openat(CWD, target, flags, Mode::empty())
        .map_err(|cause| RootfsError::system("opening directory", target, cause))?;
    let mut extraction = Extraction {
        view,
        places,
        packs,
        target,
        root,
        ownership,
        first_names: HashMap::new(),
        done: Extracted::default(),
    };
    let directories = extraction.make_tree(from)?;
    for (path, id) in directories.iter().rev() {
        extraction.finish_directory(path, *id)?;
    }
    Ok(extraction.done)
}

struct Extraction<'a> {
    view: &'a ImageView,
    places: &'a dyn Places,
    packs: &'a [File],
    target: &'a Path,
    root: OwnedFd,
    ownership: Ownership,
    /// Directory and name of files with several names that exist already.
    first_names: HashMap<InodeId, (Vec<u8>, Vec<u8>)>,
    done: Extracted,
}

impl Extraction<'_> {
    /// Makes everything below a directory of the view and returns all directories, parents first.
    fn make_tree(&mut self, from: InodeId) -> Result<Vec<(Vec<u8>, InodeId)>, RootfsError> {
        let mut directories = Vec::new();
        let mut pending = vec![(Vec::new(), from)];
        while let Some((path, id)) = pending.pop() {
            let handle = self.open_directory(&path)?;
            for (name, child) in self.view.children(id) {
                self.done.names += 1;
                let child_path = join(&path, name);
                if self.view.inode(child).kind == Kind::Directory {
                    mkdirat(&handle, name, Mode::RWXU)
                        .map_err(|cause| self.failed("creating directory", &child_path, cause))?;
                    pending.push((child_path, child));
                } else {
                    self.make_file(&handle, &path, name, child)?;
                }
            }
            directories.push((path, id));
        }
        Ok(directories)
    }

    fn make_file(&mut self, handle: &OwnedFd, directory: &[u8], name: &[u8], id: InodeId) -> Result<(), RootfsError> {
        let inode = self.view.inode(id);
        let path = join(directory, name);
        if let Some((first_directory, first_name)) = self.first_names.get(&id) {
            let first_handle = self.open_directory(first_directory)?;
            return linkat(&first_handle, first_name.as_slice(), handle, name, AtFlags::empty())
                .map_err(|cause| self.failed("linking", &path, cause));
        }
        match inode.kind {
            Kind::Regular => self.make_regular(handle, name, &path, &inode)?,
            Kind::Symlink => {
                symlinkat(inode.target, handle, name).map_err(|cause| self.failed("creating link", &path, cause))?;
            }
            kind => match self.make_node(handle, name, kind, inode.device) {
                Ok(()) => {}
                Err(Errno::PERM) => {
                    self.done.skipped_devices.push(path);
                    return Ok(());
                }
                Err(cause) => return Err(self.failed("creating device", &path, cause)),
            },
        }
        self.set_metadata(handle, name, &path, &inode)?;
        if inode.links > 1 {
            self.first_names.insert(id, (directory.to_vec(), name.to_vec()));
        }
        Ok(())
    }

    fn make_regular(
        &mut self,
        handle: &OwnedFd,
        name: &[u8],
        path: &[u8],
        inode: &Inode<'_>,
    ) -> Result<(), RootfsError> {
        let flags = OFlags::CREATE | OFlags::EXCL | OFlags::WRONLY | OFlags::NOFOLLOW | OFlags::CLOEXEC;
        let mut file = openat(handle, name, flags, Mode::RUSR | Mode::WUSR)
            .map(File::from)
            .map_err(|cause| self.failed("creating file", path, cause))?;
        let Some(content) = inode.content else { return Ok(()) };
        let pack = usize::from(content.pack);
        let place = self.places.place(pack, &content.digest).zip(self.packs.get(pack));
        let (offset, pack) =
            place.ok_or_else(|| RootfsError::ContentMissing { path: path.escape_ascii().to_string() })?;
        self.done.bytes += content.size;
        copy_content(pack, offset, content.size, &mut file).map_err(|cause| match cause.kind() {
            io::ErrorKind::UnexpectedEof => RootfsError::ContentMissing { path: path.escape_ascii().to_string() },
            _ => self.failed("writing file", path, cause),
        })
    }

    fn make_node(
        &self,
        handle: &OwnedFd,
        name: &[u8],
        kind: Kind,
        (major, minor): (u32, u32),
    ) -> rustix::io::Result<()> {
        let (file_type, device) = match kind {
            Kind::Fifo => (FileType::Fifo, 0),
            Kind::BlockDevice => (FileType::BlockDevice, makedev(major, minor)),
            _ => (FileType::CharacterDevice, makedev(major, minor)),
        };
        mknodat(handle, name, file_type, Mode::RUSR | Mode::WUSR, device)
    }

    fn finish_directory(&mut self, path: &[u8], id: InodeId) -> Result<(), RootfsError> {
        let handle = self.open_directory(path)?;
        self.set_metadata(&handle, b".", path, &self.view.inode(id))
    }

    /// Owner, mode, attributes, time, in this order: a change of owner clears the set-user-ID bit and capabilities.
    fn set_metadata(
        &mut self,
        handle: &OwnedFd,
        name: &[u8],
        path: &[u8],
        inode: &Inode<'_>,
    ) -> Result<(), RootfsError> {
        let metadata = inode.metadata;
        if self.ownership == Ownership::AsRecorded {
            let (owner, group) = (Uid::from_raw(metadata.uid), Gid::from_raw(metadata.gid));
            match chownat(handle, name, Some(owner), Some(group), AtFlags::SYMLINK_NOFOLLOW) {
                // An ID that this user namespace does not have: the file stays ours.
                Err(Errno::INVAL) => {}
                changed => changed.map_err(|cause| self.failed("changing owner of", path, cause))?,
            }
        }
        if inode.kind != Kind::Symlink {
            chmodat(handle, name, Mode::from_raw_mode(u32::from(metadata.mode)), AtFlags::empty())
                .map_err(|cause| self.failed("changing mode of", path, cause))?;
        }
        for (attribute, value) in inode.xattrs {
            self.set_xattr(handle, name, path, attribute, value)?;
        }
        let time = timespec(metadata.mtime);
        let times = Timestamps { last_access: time, last_modification: time };
        utimensat(handle, name, &times, AtFlags::SYMLINK_NOFOLLOW)
            .map_err(|cause| self.failed("setting time of", path, cause))
    }

    /// There is no call for attributes relative to a handle; the handle's entry in `/proc` is as good, and the last
    /// component is not followed.
    fn set_xattr(
        &mut self,
        handle: &OwnedFd,
        name: &[u8],
        path: &[u8],
        attribute: &[u8],
        value: &[u8],
    ) -> Result<(), RootfsError> {
        let file = [format!("/proc/self/fd/{}/", handle.as_raw_fd()).as_bytes(), name].concat();
        match lsetxattr(file.as_slice(), attribute, value, XattrFlags::empty()) {
            Ok(()) => Ok(()),
            Err(
                Errno::PERM
                | Errno::ACCESS
                | Errno::OPNOTSUPP
                | Errno::INVAL
                | Errno::NOSPC
                | Errno::TOOBIG
                | Errno::RANGE,
            ) => {
                self.done.skipped_xattrs += 1;
                Ok(())
            }
            Err(cause) => Err(self.failed("setting an attribute of", path, cause)),
        }
    }

    fn open_directory(&self, path: &[u8]) -> Result<OwnedFd, RootfsError> {
        let path = if path.is_empty() { b"." } else { path };
        let flags = OFlags::RDONLY | OFlags::DIRECTORY | OFlags::NOFOLLOW | OFlags::CLOEXEC;
        let resolve = ResolveFlags::BENEATH | ResolveFlags::NO_SYMLINKS;
        loop {
            match openat2(&self.root, path, flags, Mode::empty(), resolve) {
                Err(Errno::AGAIN | Errno::INTR) => {}
                other => return other.map_err(|cause| self.failed("opening directory", path, cause)),
            }
        }
    }

    fn failed(&self, action: &'static str, path: &[u8], cause: impl Into<io::Error>) -> RootfsError {
        use std::os::unix::ffi::OsStrExt;
        RootfsError::system(action, self.target.join(std::ffi::OsStr::from_bytes(path)), cause)
    }
}

fn timespec(time: Timestamp) -> Timespec {
    Timespec { tv_sec: time.seconds, tv_nsec: time.nanoseconds.into() }
}

fn join(directory: &[u8], name: &[u8]) -> Vec<u8> {
    if directory.is_empty() { name.to_vec() } else { [directory, b"/", name].concat() }
}
