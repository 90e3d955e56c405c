//! Files of a container as a tar, both ways, as docker's API has them: what a path is, a tar of it, a tar unpacked there.
//!
//! Works on what the container sees: the root of its process, or, when it has none, its root file system with its volumes
//! and binds, mounted where nobody else sees it. Every path is resolved by the kernel below that root, which no link leaves,
//! whatever the container does meanwhile (CVE-2018-15664); nothing of the container is executed or loaded (CVE-2019-14271).

use std::ffi::{CString, OsStr};
use std::io::{self, Read, Write};
use std::os::fd::{AsFd as _, BorrowedFd};
use std::os::unix::ffi::OsStrExt as _;
use std::path::{Component, Path, PathBuf};

use rustix::fs::{FileType, OFlags, Stat, fstat, readlinkat};
use rustix::io::Errno;
use strata_layer::{Kind, decompressor};
use strata_model::system_words;
use strata_rootfs::{InnerBind, open_inside_with};
use strata_runtime::user::Accounts;
use strata_store::{ContainerRow, Store};

use super::document::ContainerDocument;
use super::find::find_ready;
use super::mounts::clean;
use super::paths;
use super::root::in_container_root;
use super::tree::{TreeTar, entry_in, reopened, walk};
use super::unpack::{Owner, Unpack, unpack};
use super::{container_directory, container_event};
use crate::{EngineError, Result, volume};

/// How many links a path may lead through.
const MAX_LINKS: usize = 255;
/// Mounts of the machine in a container, which hold no files of its own.
const OF_THE_MACHINE: [&str; 3] = ["/proc", "/sys", "/dev"];

/// What is at a path in a container.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct PathStat {
    /// The last part of the path.
    pub name: String,
    /// Bytes.
    pub size: u64,
    /// Type and permissions, as `st_mode` has them.
    pub mode: u32,
    /// When it was changed last, nanoseconds since 1970.
    pub mtime: i64,
    /// Where a symbolic link leads in the end, as an absolute path in the container; empty for all else.
    pub link_target: String,
}

impl PathStat {
    /// Whether it is a directory.
    pub fn is_directory(&self) -> bool {
        FileType::from_raw_mode(self.mode) == FileType::Directory
    }

    /// Whether it is a symbolic link.
    pub fn is_link(&self) -> bool {
        FileType::from_raw_mode(self.mode) == FileType::Symlink
    }
}

/// How a tar is unpacked in a container.
#[derive(Clone, Copy, Debug, Default)]
pub struct ExtractOptions {
    /// Whether files may take the place of directories, and directories that of files.
    pub replaces_directories: bool,
    /// Whether everything becomes the container's user's, if it has one; else owners are as recorded.
    pub for_container_user: bool,
}

/// Looks at a path in a container. Without a slash or `/.` at its end a link is not followed.
///
/// # Errors
/// `NotFound` for container or path.
pub async fn stat_container_path(store: &Store, root: &Path, text: &str, path: &str) -> Result<PathStat> {
    let files = Files::find(store, text, path).await?;
    let place = files.place.clone();
    files.within(store, root, move |inside| place.stat(inside)).await
}

/// Writes what is at a path in a container to `out`, as a tar whose names begin with the last part of the path.
///
/// # Errors
/// `NotFound`; `File` when it cannot be read or `out` fails, which leaves an incomplete tar behind.
pub async fn archive_container_path<W: Write + Send + 'static>(
    store: &Store,
    root: &Path,
    text: &str,
    path: &str,
    out: W,
) -> Result<()> {
    let files = Files::find(store, text, path).await?;
    let place = files.place.clone();
    files.within(store, root, move |inside| place.archive(inside, out)).await
}

/// Unpacks a tar, compressed or not, in a directory of a container.
///
/// # Errors
/// `NotFound`; `Invalid` when the path is no directory, or the container may not write there; `File`.
pub async fn extract_to_container<R: Read + Send + 'static>(
    store: &Store,
    root: &Path,
    text: &str,
    path: &str,
    tar: R,
    options: ExtractOptions,
) -> Result<()> {
    let files = Files::find(store, text, path).await?;
    let (place, document, row) = (files.place.clone(), files.document.clone(), files.row.clone());
    let name = |_: &mut Vec<u8>| {};
    let extract = move |inside: BorrowedFd<'_>| extract(inside, &place, &document, tar, options, &name);
    files.within(store, root, extract).await?;
    note_extraction(store, &row).await
}

pub(super) async fn note_extraction(store: &Store, row: &ContainerRow) -> Result<()> {
    let mut txn = store.write("noting an event").await?;
    txn.insert_event(&container_event(store.now(), "extract-to-dir", row)).await?;
    Ok(txn.commit().await?)
}

/// Unpacks below a root; `rename` changes the names of members.
pub(super) fn extract<R: Read + Send>(
    inside: BorrowedFd<'_>,
    place: &ContainerPath,
    document: &ContainerDocument,
    tar: R,
    options: ExtractOptions,
    rename: &dyn Fn(&mut Vec<u8>),
) -> Result<()> {
    let directory = place.directory(inside)?;
    let mount = document.mounts.iter().filter(|point| is_below(&directory, &point.destination));
    match mount.max_by_key(|point| point.destination.len()) {
        Some(point) if !point.rw => return Err(EngineError::invalid("mounted volume is marked read-only")),
        None if document.host_config.readonly_rootfs => {
            return Err(EngineError::invalid("container rootfs is marked read-only"));
        }
        _ => {}
    }
    let user = &document.config.user;
    let owner = match options.for_container_user && !user.is_empty() {
        true => {
            let identity = Accounts::read(inside).resolve(user, &[])?;
            Owner::Fixed(identity.uid, identity.gid)
        }
        false => Owner::AsRecorded,
    };
    let failed = |cause: io::Error| EngineError::file("reading", "the archive", cause);
    let (_, tar) = decompressor(tar).map_err(failed)?;
    let replaces_directories = options.replaces_directories;
    unpack(tar, &Unpack { root: inside, base: Path::new(&directory), owner, replaces_directories, rename })
}

fn is_below(path: &str, directory: &str) -> bool {
    path.strip_prefix(directory).is_some_and(|rest| rest.is_empty() || rest.starts_with('/') || directory == "/")
}

/// A container and a path in it.
pub(super) struct Files {
    pub(super) row: ContainerRow,
    pub(super) document: ContainerDocument,
    pub(super) place: ContainerPath,
}

impl Files {
    pub(super) async fn find(store: &Store, text: &str, path: &str) -> Result<Files> {
        let row = find_ready(&*store.read().await?, text).await?;
        let document = ContainerDocument::parse(&row)?;
        Ok(Files { place: ContainerPath::new(text, path)?, row, document })
    }

    /// Works on the files as the container sees them.
    pub(super) async fn within<T: Send + 'static>(
        &self,
        store: &Store,
        root: &Path,
        work: impl FnOnce(BorrowedFd<'_>) -> Result<T> + Send + 'static,
    ) -> Result<T> {
        let real = volume::prepare_volumes(store, root, &self.row, &self.document, None).await?;
        in_container_root(store, root, &self.row, self.binds(root, &real), work).await?
    }

    /// What a container that runs would have mounted from the machine.
    fn binds(&self, root: &Path, real: &ContainerDocument) -> Vec<InnerBind> {
        let bind = |source: PathBuf, target: &str, read_only| InnerBind { source, target: target.into(), read_only };
        let directory = container_directory(root, &self.row.id);
        let files = [("hosts", "/etc/hosts"), ("hostname", "/etc/hostname"), ("resolv.conf", "/etc/resolv.conf")];
        let files = files.into_iter().map(|(name, target)| bind(directory.join(name), target, false));
        let mut points: Vec<_> = real.mounts.iter().filter(|point| point.kind != "tmpfs").collect();
        points.sort_by_key(|point| point.destination.matches('/').count());
        let points = points.into_iter().map(|point| bind((&point.source).into(), &point.destination, !point.rw));
        files.chain(points).filter(|bind| bind.source.exists()).collect()
    }
}

/// A path in a container, clean and absolute, with a slash or `/.` at its end as it was given.
#[derive(Clone, Debug)]
pub(super) struct ContainerPath {
    container: String,
    path: String,
}

impl ContainerPath {
    fn new(container: &str, path: &str) -> Result<ContainerPath> {
        if path.is_empty() {
            return Err(EngineError::invalid("bad parameter: path cannot be empty"));
        }
        let path = paths::keep_end(clean(path)?, path);
        Ok(ContainerPath { container: container.to_owned(), path })
    }

    /// Whether a link at its end is followed, since what it names must be a directory.
    fn is_directory_asserted(&self) -> bool {
        paths::asserts_directory(&self.path)
    }

    fn failed(&self, path: &str, cause: Errno) -> EngineError {
        match cause {
            Errno::NOENT => EngineError::NotFound {
                message: format!("Could not find the file {path} in container {}", self.container),
            },
            cause => EngineError::invalid(format!("lstat {path}: {}", system_words(&cause.into()))),
        }
    }

    fn open(&self, inside: BorrowedFd<'_>) -> Result<(std::os::fd::OwnedFd, Stat)> {
        let end = if self.is_directory_asserted() { OFlags::DIRECTORY } else { OFlags::NOFOLLOW };
        let failed = |cause| self.failed(&self.path, cause);
        let place = open_inside_with(inside, Path::new(&self.path), OFlags::PATH | end).map_err(failed)?;
        let stat = fstat(&place).map_err(failed)?;
        Ok((place, stat))
    }

    pub(super) fn stat(&self, inside: BorrowedFd<'_>) -> Result<PathStat> {
        let (_, stat) = self.open(inside)?;
        let is_link = FileType::from_raw_mode(stat.st_mode) == FileType::Symlink;
        Ok(PathStat {
            name: paths::base(&self.path).to_owned(),
            size: stat.st_size as u64,
            mode: stat.st_mode,
            mtime: stat.st_mtime * 1_000_000_000 + stat.st_mtime_nsec as i64,
            link_target: if is_link { self.followed(inside, &self.path)? } else { String::new() },
        })
    }

    /// Where a path leads when all links are followed, absolute; what does not exist stays as it is.
    fn followed(&self, inside: BorrowedFd<'_>, path: &str) -> Result<String> {
        let mut pending: Vec<String> = parts(path).rev().collect();
        let mut done: Vec<String> = Vec::new();
        let mut links = 0;
        while let Some(part) = pending.pop() {
            if part == ".." {
                done.pop();
                continue;
            }
            done.push(part);
            let so_far = format!("/{}", done.join("/"));
            let opened = open_inside_with(inside, Path::new(&so_far), OFlags::PATH | OFlags::NOFOLLOW);
            let target = opened.and_then(|place| readlinkat(&place, c"", Vec::new()));
            let Ok(target) = target else { continue };
            links += 1;
            if links > MAX_LINKS {
                return Err(self.failed(path, Errno::LOOP));
            }
            let target = String::from_utf8_lossy(target.as_bytes()).into_owned();
            if target.starts_with('/') {
                done.clear();
            } else {
                done.pop();
            }
            pending.extend(parts(&target).rev());
        }
        Ok(format!("/{}", done.join("/")))
    }

    /// The directory that it is, with all links followed.
    fn directory(&self, inside: BorrowedFd<'_>) -> Result<String> {
        let path = self.followed(inside, &self.path)?;
        let opened = open_inside_with(inside, Path::new(&path), OFlags::PATH).and_then(|place| fstat(&place));
        let stat = opened.map_err(|cause| self.failed(&self.path, cause))?;
        match FileType::from_raw_mode(stat.st_mode) {
            FileType::Directory => Ok(path),
            _ => Err(EngineError::invalid("extraction point is not a directory")),
        }
    }

    /// Writes what is there as a tar.
    pub(super) fn archive<W: Write>(&self, inside: BorrowedFd<'_>, out: W) -> Result<()> {
        let (place, stat) = self.open(inside)?;
        let base = paths::base(&self.path);
        let written = match FileType::from_raw_mode(stat.st_mode) {
            FileType::Directory => {
                let at =
                    if self.is_directory_asserted() { self.followed(inside, &self.path)? } else { self.path.clone() };
                let is_file_system_of_its_own = |path: &[u8]| {
                    let path = format!("{}/{}", at.trim_end_matches('/'), String::from_utf8_lossy(path));
                    !OF_THE_MACHINE.contains(&path.as_str())
                };
                archive_directory(place.as_fd(), base, &is_file_system_of_its_own, out)
            }
            _ => {
                let parent = Path::new(&self.path).parent().unwrap_or(Path::new("/"));
                let parent = open_inside_with(inside, parent, OFlags::PATH | OFlags::DIRECTORY)
                    .map_err(|cause| self.failed(&self.path, cause))?;
                archive_entry(parent.as_fd(), base, base, out)
            }
        };
        written.map_err(|cause| EngineError::file("writing the archive of", &self.path, cause))
    }
}

fn parts(path: &str) -> impl DoubleEndedIterator<Item = String> + '_ {
    Path::new(path).components().filter_map(|part| match part {
        Component::Normal(name) => Some(name.to_string_lossy().into_owned()),
        Component::ParentDir => Some("..".to_owned()),
        _ => None,
    })
}

/// Writes a directory with all that is in it under another name, which may be `/` or `.`.
pub(super) fn archive_directory<W: Write>(
    directory: BorrowedFd<'_>,
    name: &str,
    enters: &dyn Fn(&[u8]) -> bool,
    out: W,
) -> io::Result<()> {
    let mut tar = TreeTar::new(out);
    let directory = reopened(directory)?;
    tar.add(name.as_bytes(), &entry_in(&directory, c".", b"")?)?;
    let prefix = if name == "/" { "" } else { name };
    walk(&directory, enters, &mut |entry| tar.add(&[prefix.as_bytes(), b"/", entry.path].concat(), entry))?;
    tar.finish().map(drop)
}

/// Writes one entry of a directory that is none itself.
pub(super) fn archive_entry<W: Write>(directory: BorrowedFd<'_>, entry: &str, name: &str, out: W) -> io::Result<()> {
    let mut tar = TreeTar::new(out);
    let directory = reopened(directory)?;
    let entry = CString::new(OsStr::new(entry).as_bytes())?;
    let entry = entry_in(&directory, &entry, b"")?;
    if entry.kind() == Some(Kind::Directory) {
        return Err(Errno::STALE.into());
    }
    tar.add(name.as_bytes(), &entry)?;
    tar.finish().map(drop)
}
