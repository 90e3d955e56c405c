//! `cp`: files between a container and the machine. The rules about paths are those of docker's client; what is done in the
//! container is what its API does ([`super::archive`]).

use std::fs::{self, File};
use std::io::{self, PipeReader, PipeWriter, Read, Write};
use std::os::fd::AsFd as _;
use std::os::unix::fs::FileTypeExt as _;
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};

use rustix::fs::FileType;
use strata_model::system_words;
use strata_store::Store;

use super::archive::{
    ExtractOptions, Files, PathStat, archive_directory, archive_entry, extract, note_extraction, stat_container_path,
};
use super::paths::{Side, base, beside, clean, destination, keep_end, rename, split};
use super::unpack::{Owner, Unpack, unpack};
use crate::{EngineError, Result};

/// How many links a target on this machine may stand behind.
const MAX_LINKS: usize = 10;

/// Why nothing was copied.
#[derive(Debug, thiserror::Error)]
pub enum CopyError {
    /// What docker's client would refuse, in its words.
    #[error("{0}")]
    Here(String),
    /// What was refused about the container.
    #[error(transparent)]
    There(#[from] EngineError),
}

fn here(text: impl Into<String>) -> CopyError {
    CopyError::Here(text.into())
}

/// An error about a path of this machine, as Go tells it.
fn system(doing: &str, path: impl AsRef<Path>, cause: &io::Error) -> CopyError {
    here(format!("{doing} {}: {}", path.as_ref().display(), system_words(cause)))
}

/// What was copied.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct CopiedFiles {
    /// Bytes of the tar that went from one side to the other.
    pub bytes: u64,
    /// The target, as docker names it.
    pub target: String,
}

/// Copies what is at `source` in a container to `target` on this machine; with `follow` what a link leads to.
///
/// # Errors
/// Docker's words.
pub async fn copy_from_container(
    store: &Store,
    root: &Path,
    container: &str,
    source: &str,
    target: &str,
    follow: bool,
) -> Result<CopiedFiles, CopyError> {
    let target = absolute(target)?;
    check_output(&target)?;
    let (source, shown_as) = followed_source(store, root, container, source, follow).await?;
    let stat = stat_container_path(store, root, container, &source).await?;
    let from = Side { path: source.clone(), exists: true, is_directory: stat.is_directory(), shown_as: None };
    let (reader, writer) = pipe()?;
    let counted = Counted::new(reader);
    let bytes = Arc::clone(&counted.count);
    let named = target.clone();
    let unpacked = tokio::task::spawn_blocking(move || unpack_here(counted, &from, shown_as.as_deref(), &named));
    let files = Files::find(store, container, &source).await?;
    let place = files.place.clone();
    let written = files.within(store, root, move |inside| place.archive(inside, writer)).await;
    let unpacked = unpacked.await.map_err(|cause| here(format!("a worker thread failed: {cause}")))?;
    // Who stopped reading says why; the writer only met a closed pipe.
    match written {
        Err(error) if !is_broken_pipe(&error) => return Err(error.into()),
        _ => unpacked?,
    }
    Ok(CopiedFiles { bytes: bytes.load(Ordering::Relaxed), target })
}

/// Copies what is at `source` on this machine to `target` in a container; with `follow` what a link leads to, with
/// `for_user` so that it becomes that of the container's user.
///
/// # Errors
/// Docker's words.
pub async fn copy_to_container(
    store: &Store,
    root: &Path,
    source: &str,
    container: &str,
    target: &str,
    follow: bool,
    for_user: bool,
) -> Result<CopiedFiles, CopyError> {
    let source = absolute(source)?;
    let to = target_side(store, root, container, target).await?;
    let from = local_source(&source, follow)?;
    let place = destination(&from, &to).map_err(here)?;
    let (reader, writer) = pipe()?;
    let counted = Counted::new(reader);
    let bytes = Arc::clone(&counted.count);
    let options = ExtractOptions { replaces_directories: false, for_container_user: for_user };
    let packed = tokio::task::spawn_blocking(move || pack_here(&from, writer));
    let files = Files::find(store, container, &place.directory).await?;
    let (path, document) = (files.place.clone(), files.document.clone());
    let unpacked = files.within(store, root, move |inside| {
        let change = |name: &mut Vec<u8>| {
            if let Some((old, new)) = &place.rename {
                rename(name, old, new);
            }
        };
        extract(inside, &path, &document, counted, options, &change)
    });
    let unpacked = unpacked.await;
    let packed = packed.await.map_err(|cause| here(format!("a worker thread failed: {cause}")))?;
    match packed {
        Err(cause) if cause.kind() != io::ErrorKind::BrokenPipe => return Err(system("reading", &source, &cause)),
        _ => unpacked?,
    }
    note_extraction(store, &files.row).await?;
    Ok(CopiedFiles { bytes: bytes.load(Ordering::Relaxed), target: format!("{container}:{}", to.path) })
}

/// Unpacks a tar in a directory of a container.
///
/// # Errors
/// Docker's words.
pub async fn copy_tar_to_container<R: Read + Send + 'static>(
    store: &Store,
    root: &Path,
    tar: R,
    container: &str,
    target: &str,
    for_user: bool,
) -> Result<(), CopyError> {
    let to = target_side(store, root, container, target).await?;
    if !to.is_directory {
        return Err(here(format!("destination \"{container}:{target}\" must be a directory")));
    }
    let options = ExtractOptions { replaces_directories: false, for_container_user: for_user };
    Ok(super::archive::extract_to_container(store, root, container, &to.path, tar, options).await?)
}

/// Writes what is at `source` in a container as a tar; with `follow` what a link leads to.
///
/// # Errors
/// Docker's words.
pub async fn copy_tar_from_container<W: Write + Send + 'static>(
    store: &Store,
    root: &Path,
    container: &str,
    source: &str,
    out: W,
    follow: bool,
) -> Result<(), CopyError> {
    let (source, _) = followed_source(store, root, container, source, follow).await?;
    Ok(super::archive::archive_container_path(store, root, container, &source, out).await?)
}

fn pipe() -> Result<(PipeReader, PipeWriter), CopyError> {
    io::pipe().map_err(|cause| here(format!("making a pipe: {cause}")))
}

fn is_broken_pipe(error: &EngineError) -> bool {
    matches!(error, EngineError::File { source, .. } if source.kind() == io::ErrorKind::BrokenPipe)
}

/// Counts what is read.
struct Counted<R> {
    reader: R,
    count: Arc<AtomicU64>,
}

impl<R> Counted<R> {
    fn new(reader: R) -> Counted<R> {
        Counted { reader, count: Arc::default() }
    }
}

impl<R: Read> Read for Counted<R> {
    fn read(&mut self, buffer: &mut [u8]) -> io::Result<usize> {
        let count = self.reader.read(buffer)?;
        self.count.fetch_add(count as u64, Ordering::Relaxed);
        Ok(count)
    }
}

/// The source in a container with a link at its end followed, and the name that the user gave it.
async fn followed_source(
    store: &Store,
    root: &Path,
    container: &str,
    source: &str,
    follow: bool,
) -> Result<(String, Option<String>)> {
    if !follow {
        return Ok((source.to_owned(), None));
    }
    match stat_container_path(store, root, container, source).await {
        Ok(stat) if stat.is_link() => Ok(shown(source, &stat.link_target)),
        _ => Ok((source.to_owned(), None)),
    }
}

/// A path that another one leads to, with the other's end, and the other's name when it is not the same.
fn shown(given: &str, target: &str) -> (String, Option<String>) {
    let path = keep_end(target.to_owned(), given);
    let name = (base(given) != base(&path)).then(|| base(given).to_owned());
    (path, name)
}

/// The target in a container, a link at its end followed.
async fn target_side(store: &Store, root: &Path, container: &str, target: &str) -> Result<Side, CopyError> {
    let mut path = target.to_owned();
    let mut found = match target.is_empty() {
        true => None,
        false => found(stat_container_path(store, root, container, target).await)?,
    };
    if let Some(link) = found.take_if(|stat| stat.is_link()) {
        path = beside(target, &link.link_target);
        found = self::found(stat_container_path(store, root, container, &path).await)?;
    }
    if let Some(stat) = &found
        && let Some(kind) = special(FileType::from_raw_mode(stat.mode))
    {
        return Err(here(format!(
            "destination \"{container}:{target}\" must be a directory or a regular file: got {kind}"
        )));
    }
    let is_directory = found.as_ref().is_some_and(PathStat::is_directory);
    Ok(Side { path, exists: found.is_some(), is_directory, shown_as: None })
}

/// A path that is not there may be made; a container that is not there is an error.
fn found(stat: Result<PathStat>) -> Result<Option<PathStat>> {
    match stat {
        Err(EngineError::NotFound { message }) if message.starts_with("No such container") => {
            Err(EngineError::NotFound { message })
        }
        Err(EngineError::NotFound { .. } | EngineError::Invalid { .. }) => Ok(None),
        stat => stat.map(Some),
    }
}

fn special(kind: FileType) -> Option<&'static str> {
    match kind {
        FileType::CharacterDevice | FileType::BlockDevice => Some("a device"),
        FileType::Fifo | FileType::Socket => Some("an irregular file"),
        _ => None,
    }
}

/// An absolute path of this machine with the end that it had.
fn absolute(path: &str) -> Result<String, CopyError> {
    let absolute = match path.starts_with('/') {
        true => path.to_owned(),
        false => {
            let current = std::env::current_dir().map_err(|cause| here(format!("getwd: {}", system_words(&cause))))?;
            format!("{}/{path}", current.display())
        }
    };
    Ok(keep_end(clean(&absolute), path))
}

/// Docker's first look at where something is to be written.
fn check_output(path: &str) -> Result<(), CopyError> {
    let parent = split(&clean(path)).0;
    if fs::metadata(&parent).is_err_and(|cause| cause.kind() == io::ErrorKind::NotFound) {
        return Err(here(format!("invalid output path: directory {parent:?} does not exist")));
    }
    let kind = match fs::metadata(path) {
        Err(cause) if cause.kind() == io::ErrorKind::NotFound => return Ok(()),
        Err(cause) => return Err(system("stat", path, &cause)),
        Ok(metadata) => metadata.file_type(),
    };
    let kind = match () {
        () if kind.is_char_device() || kind.is_block_device() => "a device",
        () if kind.is_fifo() || kind.is_socket() => "an irregular file",
        () => return Ok(()),
    };
    Err(here(format!("invalid output path: {path:?} must be a directory or a regular file: got {kind}")))
}

/// What is copied from this machine.
fn local_source(path: &str, follow: bool) -> Result<Side, CopyError> {
    let evaluate = |path: &str| fs::canonicalize(path).map_err(|cause| system("lstat", clean(path), &cause));
    let (path, shown_as) = if follow {
        shown(path, &evaluate(path)?.display().to_string())
    } else {
        // Links before the last slash are followed, the last part is left as it is.
        let (directory, last) = path.rsplit_once('/').unwrap_or(("", path));
        let directory = evaluate(if directory.is_empty() { "/" } else { directory })?.display().to_string();
        let resolved = format!("{directory}/{last}");
        let is_other = path.ends_with('/') && base(path) != base(&resolved);
        let shown_as = is_other.then(|| base(path).to_owned());
        (resolved, shown_as)
    };
    let metadata = fs::symlink_metadata(&path).map_err(|cause| match cause.kind() {
        io::ErrorKind::NotADirectory => here("not a directory"),
        _ => system("lstat", &path, &cause),
    })?;
    Ok(Side { path, exists: true, is_directory: metadata.is_dir(), shown_as })
}

/// Writes a file or directory of this machine as a tar whose names begin with its own.
fn pack_here(source: &Side, out: PipeWriter) -> io::Result<()> {
    let (directory, name) = split(&source.path);
    let shown = source.shown_as.as_deref().unwrap_or(&name);
    if source.is_directory {
        let directory = File::open(&source.path)?;
        return archive_directory(directory.as_fd(), shown, &|_| true, out);
    }
    let directory = File::open(directory)?;
    archive_entry(directory.as_fd(), &name, shown, out)
}

/// Where something from a container goes on this machine: links at the end of the path are followed.
fn local_target(path: &str) -> Result<Side, CopyError> {
    let mut path = path.to_owned();
    for _ in 0..=MAX_LINKS {
        match fs::symlink_metadata(&path) {
            Ok(metadata) if metadata.is_symlink() => {
                let target = fs::read_link(&path).map_err(|cause| system("readlink", &path, &cause))?;
                path = beside(&path, &target.display().to_string());
            }
            Ok(metadata) => {
                return Ok(Side { path, exists: true, is_directory: metadata.is_dir(), shown_as: None });
            }
            Err(cause) if cause.kind() != io::ErrorKind::NotFound => return Err(system("lstat", &path, &cause)),
            Err(_) => {
                let parent = split(&path).0;
                let metadata = fs::metadata(&parent).map_err(|cause| system("stat", &parent, &cause))?;
                let side = Side { path, ..Side::default() };
                return if metadata.is_dir() { Ok(side) } else { Err(here("not a directory")) };
            }
        }
    }
    Err(here(format!("too many symlinks in {path}")))
}

fn unpack_here(tar: impl Read, from: &Side, shown_as: Option<&str>, target: &str) -> Result<(), CopyError> {
    let to = local_target(target)?;
    // The members come under the source's own name; under the name that the user gave they are known from here on.
    let own = split(&from.path).1;
    let from = Side { shown_as: shown_as.map(str::to_owned), ..from.clone() };
    let place = destination(&from, &to).map_err(here)?;
    let directory = PathBuf::from(&place.directory);
    let directory = File::open(&directory).map_err(|cause| system("open", &directory, &cause))?;
    let change = |name: &mut Vec<u8>| {
        if let Some(shown) = shown_as {
            rename(name, &own, shown);
        }
        if let Some((old, new)) = &place.rename {
            rename(name, old, new);
        }
    };
    let how = Unpack {
        root: directory.as_fd(),
        base: Path::new(""),
        owner: Owner::Own,
        replaces_directories: false,
        rename: &change,
    };
    unpack(tar, &how).map_err(|error| here(error.to_string()))
}
