//! Directory trees that somebody else may be changing: walked on directory handles without following any link, and
//! written as tar.

use std::collections::HashMap;
use std::ffi::CStr;
use std::fs::File;
use std::io::{self, Read, Write};
use std::os::fd::{AsFd, AsRawFd as _, BorrowedFd, OwnedFd};
use std::path::Path;

use rustix::fs::{
    AtFlags, CWD, Dir, FileType, Mode, OFlags, Stat, fgetxattr, flistxattr, fstat, major, minor, openat, readlinkat,
    statat,
};
use rustix::io::Errno;
use strata_layer::{Inode, Kind, Metadata, Timestamp, Xattrs};

use crate::export::header::{BLOCK, Header};

const CHUNK: usize = 256 << 10;
const DIRECTORY: OFlags = OFlags::RDONLY.union(OFlags::DIRECTORY).union(OFlags::NOFOLLOW).union(OFlags::CLOEXEC);
/// How deep a tree may be: each level holds a descriptor.
const MAX_DEPTH: usize = 512;

/// One name of a tree.
pub(crate) struct Entry<'a> {
    /// Below the tree's root, without a leading slash.
    pub(crate) path: &'a [u8],
    /// Its directory.
    directory: &'a OwnedFd,
    name: &'a CStr,
    /// What it is.
    pub(crate) stat: Stat,
}

impl Entry<'_> {
    /// What it is; `None` for a socket.
    pub(crate) fn kind(&self) -> Option<Kind> {
        match FileType::from_raw_mode(self.stat.st_mode) {
            FileType::RegularFile => Some(Kind::Regular),
            FileType::Directory => Some(Kind::Directory),
            FileType::Symlink => Some(Kind::Symlink),
            FileType::CharacterDevice => Some(Kind::CharDevice),
            FileType::BlockDevice => Some(Kind::BlockDevice),
            FileType::Fifo => Some(Kind::Fifo),
            _ => None,
        }
    }

    /// Whether an overlay takes it for the absence of a name.
    pub(crate) fn is_whiteout(&self) -> bool {
        self.kind() == Some(Kind::CharDevice) && self.stat.st_rdev == 0
    }

    /// Whether an overlay takes it for a directory that hides the one below.
    pub(crate) fn is_opaque(&self) -> bool {
        let Ok(handle) = openat(self.directory, self.name, DIRECTORY, Mode::empty()) else { return false };
        ["trusted.overlay.opaque", "user.overlay.opaque"].iter().any(|name| {
            let mut value = [0; 8];
            matches!(fgetxattr(&handle, *name, &mut value), Ok(1)) && value[0] == b'y'
        })
    }

    /// Opens a file or directory. Somebody may have put a device in its place, which is not opened.
    fn open(&self) -> io::Result<File> {
        let place =
            openat(self.directory, self.name, OFlags::PATH | OFlags::NOFOLLOW | OFlags::CLOEXEC, Mode::empty())?;
        let kind = FileType::from_raw_mode(fstat(&place)?.st_mode);
        if kind != FileType::from_raw_mode(self.stat.st_mode) {
            return Err(Errno::STALE.into());
        }
        File::open(format!("/proc/self/fd/{}", place.as_raw_fd()))
    }
}

/// What has this name in a directory.
pub(crate) fn entry_in<'a>(directory: &'a OwnedFd, name: &'a CStr, path: &'a [u8]) -> io::Result<Entry<'a>> {
    Ok(Entry { path, directory, name, stat: statat(directory, name, AtFlags::SYMLINK_NOFOLLOW)? })
}

/// A directory that is open for its place only, opened for reading.
pub(crate) fn reopened(directory: BorrowedFd<'_>) -> io::Result<OwnedFd> {
    Ok(openat(directory, c".", DIRECTORY, Mode::empty())?)
}

/// Opens the root of a tree.
pub(crate) fn open_root(path: &Path) -> io::Result<OwnedFd> {
    Ok(openat(CWD, path, DIRECTORY, Mode::empty())?)
}

/// Visits everything below a directory, names sorted, each directory before what is in it. What goes away meanwhile is left
/// out. What is in a directory of another file system is visited when `enters` says so of its path.
pub(crate) fn walk(
    root: &OwnedFd,
    enters: &dyn Fn(&[u8]) -> bool,
    visit: &mut dyn FnMut(&Entry<'_>) -> io::Result<()>,
) -> io::Result<()> {
    // Only directories: an overlay shows files of its layers with devices of their own.
    let device = fstat(root)?.st_dev;
    Walk { enters, visit, path: Vec::new() }.below(root, device, 0)
}

struct Walk<'a> {
    enters: &'a dyn Fn(&[u8]) -> bool,
    visit: &'a mut dyn FnMut(&Entry<'_>) -> io::Result<()>,
    path: Vec<u8>,
}

impl Walk<'_> {
    fn below(&mut self, directory: &OwnedFd, device: u64, depth: usize) -> io::Result<()> {
        if depth > MAX_DEPTH {
            return Err(Errno::NAMETOOLONG.into());
        }
        let mut names = Vec::new();
        for entry in Dir::read_from(directory)? {
            let entry = entry?;
            if !matches!(entry.file_name().to_bytes(), b"." | b"..") {
                names.push(entry.file_name().to_owned());
            }
        }
        names.sort();
        let length = self.path.len();
        for name in &names {
            let stat = match statat(directory, name, AtFlags::SYMLINK_NOFOLLOW) {
                Err(Errno::NOENT) => continue,
                stat => stat?,
            };
            if length > 0 {
                self.path.push(b'/');
            }
            self.path.extend_from_slice(name.to_bytes());
            (self.visit)(&Entry { path: &self.path, directory, name, stat })?;
            let is_directory = FileType::from_raw_mode(stat.st_mode) == FileType::Directory;
            if is_directory && (stat.st_dev == device || (self.enters)(&self.path)) {
                match openat(directory, name, DIRECTORY, Mode::empty()) {
                    Err(Errno::NOENT | Errno::NOTDIR | Errno::LOOP) => {}
                    child => self.below(&child?, stat.st_dev, depth + 1)?,
                }
            }
            self.path.truncate(length);
        }
        Ok(())
    }
}

/// Bytes of all files below a directory, each file once; 0 when it is not there.
pub(crate) fn directory_usage(path: &Path) -> crate::Result<u64> {
    let measure = || {
        let mut total = 0;
        let mut seen = std::collections::HashSet::new();
        walk(&open_root(path)?, &|_| false, &mut |entry| {
            let is_counted = entry.kind() == Some(Kind::Regular);
            if is_counted && (entry.stat.st_nlink < 2 || seen.insert(entry.stat.st_ino)) {
                total += entry.stat.st_size as u64;
            }
            Ok(())
        })?;
        Ok(total)
    };
    match measure() {
        Err(cause) if io::Error::kind(&cause) == io::ErrorKind::NotFound => Ok(0),
        measured => measured.map_err(|cause: io::Error| crate::EngineError::file("measuring", path, cause)),
    }
}

/// Writes entries of trees as one tar.
pub(crate) struct TreeTar<W> {
    out: W,
    /// First names of files that have several.
    names: HashMap<(u64, u64), Vec<u8>>,
}

impl<W: Write> TreeTar<W> {
    pub(crate) fn new(out: W) -> TreeTar<W> {
        TreeTar { out, names: HashMap::new() }
    }

    /// Writes an entry under this path. Sockets are left out, and what went away meanwhile.
    pub(crate) fn add(&mut self, path: &[u8], entry: &Entry<'_>) -> io::Result<()> {
        let Some(kind) = entry.kind() else { return Ok(()) };
        let stat = &entry.stat;
        let is_gone = |cause: &io::Error| matches!(Errno::from_io_error(cause), Some(Errno::NOENT | Errno::STALE));
        let target = match kind {
            Kind::Symlink => match readlinkat(entry.directory, entry.name, Vec::new()) {
                Err(Errno::NOENT | Errno::INVAL) => return Ok(()),
                target => target?.into_bytes(),
            },
            _ => Vec::new(),
        };
        let file = match kind {
            Kind::Regular | Kind::Directory => match entry.open() {
                Err(cause) if is_gone(&cause) => return Ok(()),
                file => Some(file?),
            },
            _ => None,
        };
        let xattrs = file.as_ref().map(xattrs).unwrap_or_default();
        let inode = Inode {
            kind,
            metadata: Metadata {
                mode: (stat.st_mode & 0o7777) as u16,
                uid: stat.st_uid,
                gid: stat.st_gid,
                mtime: Timestamp { seconds: stat.st_mtime, nanoseconds: stat.st_mtime_nsec as u32 },
            },
            xattrs: &xattrs,
            device: (major(stat.st_rdev), minor(stat.st_rdev)),
            target: &target,
            content: None,
            links: 1,
            layer: 0,
        };
        if kind != Kind::Directory && stat.st_nlink > 1 {
            if let Some(first) = self.names.get(&(stat.st_dev, stat.st_ino)) {
                return self.out.write_all(&Header::hard_link(path, first, &inode).blocks());
            }
            self.names.insert((stat.st_dev, stat.st_ino), path.to_vec());
        }
        let size = if kind == Kind::Regular { stat.st_size as u64 } else { 0 };
        self.out.write_all(&Header::of(path, &inode).with_size(size).blocks())?;
        match file {
            Some(file) if kind == Kind::Regular => self.content(file, size),
            _ => Ok(()),
        }
    }

    /// Writes an empty file that only its name matters of.
    pub(crate) fn mark(&mut self, path: &[u8], entry: &Entry<'_>) -> io::Result<()> {
        let mtime = Timestamp { seconds: entry.stat.st_mtime, nanoseconds: 0 };
        let inode = Inode {
            kind: Kind::Regular,
            metadata: Metadata { mode: 0o600, uid: 0, gid: 0, mtime },
            xattrs: &[],
            device: (0, 0),
            target: b"",
            content: None,
            links: 1,
            layer: 0,
        };
        self.out.write_all(&Header::of(path, &inode).blocks())
    }

    /// A file that changes while it is read still has the length that its header says.
    fn content(&mut self, file: File, size: u64) -> io::Result<()> {
        let mut buffer = vec![0; CHUNK.min(size.max(1) as usize)];
        let mut source = file.take(size);
        let mut written = 0;
        loop {
            let count = source.read(&mut buffer)?;
            if count == 0 {
                break;
            }
            self.out.write_all(&buffer[..count])?;
            written += count as u64;
        }
        io::copy(&mut io::repeat(0).take(size.next_multiple_of(BLOCK as u64) - written), &mut self.out)?;
        Ok(())
    }

    /// Ends the tar.
    pub(crate) fn finish(mut self) -> io::Result<W> {
        self.out.write_all(&[0; 2 * BLOCK])?;
        self.out.flush()?;
        Ok(self.out)
    }
}

/// The extended attributes that belong to a file itself, sorted; none where they cannot be read.
fn xattrs(file: &File) -> Xattrs {
    let mut list = vec![0; 64 << 10];
    let Ok(length) = flistxattr(file.as_fd(), &mut list) else { return Vec::new() };
    let mut found: Xattrs = Vec::new();
    for name in list[..length].split(|byte| *byte == 0).filter(|name| !name.is_empty()) {
        let is_foreign = [&b"trusted.overlay."[..], b"user.overlay.", b"security.selinux"]
            .iter()
            .any(|start| name.starts_with(start));
        let mut value = vec![0; 64 << 10];
        if let (false, Ok(length)) = (is_foreign, fgetxattr(file.as_fd(), name, &mut value)) {
            value.truncate(length);
            found.push((name.to_vec(), value));
        }
    }
    found.sort();
    found
}
