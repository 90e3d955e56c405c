//! The root directory: where things lie, how names come to be and go.

use std::collections::hash_map::RandomState;
use std::fs::{File, Metadata};
use std::hash::{BuildHasher, Hasher};
use std::io;
use std::os::unix::fs::MetadataExt;
use std::path::{Path, PathBuf};
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Condvar, Mutex, PoisonError};

use strata_store::{Durability, Location, Result, Scanned, StoreError, Usage};

use crate::file_layer::FileLayer;

/// One of the flat directories below the root.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Directory {
    Blobs,
    Indexes,
    Views,
    Packs,
    Staging,
}

impl Directory {
    const ALL: [Directory; 5] =
        [Directory::Blobs, Directory::Indexes, Directory::Views, Directory::Packs, Directory::Staging];

    pub(crate) fn name(self) -> &'static str {
        match self {
            Directory::Blobs => "blobs",
            Directory::Indexes => "indexes",
            Directory::Views => "views",
            Directory::Packs => "packs",
            Directory::Staging => "staging",
        }
    }
}

/// The root directory of blobs and packs, with what this process knows about it.
pub(crate) struct Root {
    path: PathBuf,
    pub(crate) files: Box<dyn FileLayer>,
    made: [AtomicBool; Directory::ALL.len()],
    syncs: [SharedSync; Directory::ALL.len()],
}

/// How an unsealed file can be linked.
#[derive(Clone, Copy)]
pub(crate) enum Source<'a> {
    /// It has no name yet.
    Anonymous,
    /// It lies in staging.
    Named(&'a Path),
}

impl Root {
    pub(crate) fn new(path: &Path, files: Box<dyn FileLayer>) -> Root {
        Root { path: path.to_owned(), files, made: Default::default(), syncs: Default::default() }
    }

    pub(crate) fn path(&self, directory: Directory) -> PathBuf {
        self.path.join(directory.name())
    }

    /// The path of a location; one that this backend did not make is refused.
    pub(crate) fn locate(&self, at: &Location, among: &[Directory]) -> Result<PathBuf> {
        let known = at.0.split_once('/').is_some_and(|(directory, name)| {
            among.iter().any(|known| known.name() == directory) && is_sealed_name(name.as_bytes())
        });
        if !known {
            let cause = io::Error::new(io::ErrorKind::InvalidInput, "not a location in this storage");
            return Err(StoreError::file("locating", &at.0, cause));
        }
        Ok(self.path.join(&at.0))
    }

    /// Makes a directory unless it is there.
    ///
    /// Its name is made durable at once. Whoever finds it made by another process relies on that one: before anything can
    /// be published the catalog, which lies beside it, has to be synced too.
    pub(crate) fn ensure(&self, directory: Directory) -> Result<PathBuf> {
        let path = self.path(directory);
        if self.made[directory as usize].load(Ordering::Acquire) {
            return Ok(path);
        }
        self.make(&path).map_err(|cause| StoreError::file("creating", &path, cause))?;
        self.made[directory as usize].store(true, Ordering::Release);
        Ok(path)
    }

    fn make(&self, path: &Path) -> io::Result<()> {
        let parent = path.parent().unwrap_or(Path::new("/"));
        match self.files.make_directory(path) {
            Err(error) if error.kind() == io::ErrorKind::AlreadyExists => Ok(()),
            Err(error) if error.kind() == io::ErrorKind::NotFound && parent != path => {
                self.make(parent)?;
                self.make(path)
            }
            Err(error) => Err(error),
            Ok(()) => self.files.sync_directory(parent),
        }
    }

    /// A file to be sealed in `directory`: without a name, or with one in staging that its lock protects.
    pub(crate) fn create(&self, directory: Directory) -> Result<(File, Option<PathBuf>)> {
        let path = self.ensure(directory)?;
        match self.files.create_anonymous(&path) {
            Ok(file) => Ok((file, None)),
            Err(error) if error.kind() == io::ErrorKind::Unsupported => {
                let (file, path) = self.create_locked()?;
                Ok((file, Some(path)))
            }
            Err(error) => Err(StoreError::file("creating a file in", &path, error)),
        }
    }

    /// A new file in staging, locked.
    pub(crate) fn create_locked(&self) -> Result<(File, PathBuf)> {
        let path = self.ensure(Directory::Staging)?.join(format!("anonymous-{}", unique()));
        let file = self.files.open_or_create(&path).map_err(|cause| StoreError::file("creating", &path, cause))?;
        file.lock().map_err(|cause| StoreError::file("locking", &path, cause))?;
        Ok((file, path))
    }

    /// Makes a file durable, as asked, at `name` in `directory`.
    pub(crate) fn seal(
        &self,
        file: &File,
        source: Source<'_>,
        directory: Directory,
        name: &str,
        durability: Durability,
    ) -> Result<Location> {
        let to = self.ensure(directory)?.join(name);
        if durability == Durability::Synced {
            self.files.sync_data(file).map_err(|cause| StoreError::file("syncing", &to, cause))?;
        }
        let linked = match source {
            Source::Anonymous => self.files.link_anonymous(file, &to),
            Source::Named(from) => self.files.link(from, &to),
        };
        linked.map_err(|cause| StoreError::file("linking", &to, cause))?;
        if durability == Durability::Synced {
            let path = self.path(directory);
            self.syncs[directory as usize]
                .run(|| self.files.sync_directory(&path))
                .map_err(|cause| StoreError::file("syncing", &path, cause))?;
        }
        Ok(Location(format!("{}/{name}", directory.name())))
    }

    /// What a file takes; `None` when it is not there.
    pub(crate) fn usage(path: &Path) -> Result<Option<Usage>> {
        match std::fs::symlink_metadata(path) {
            Ok(metadata) => Ok(Some(usage(&metadata))),
            Err(error) if error.kind() == io::ErrorKind::NotFound => Ok(None),
            Err(error) => Err(StoreError::file("looking at", path, error)),
        }
    }

    /// Removes a name, so that it is not there now.
    pub(crate) fn remove(&self, path: &Path) -> Result<()> {
        match self.files.unlink(path) {
            Err(error) if error.kind() != io::ErrorKind::NotFound => Err(StoreError::file("removing", path, error)),
            _ => Ok(()),
        }
    }

    /// The sealed files of a directory. What vanishes meanwhile is left out.
    pub(crate) fn scan(&self, directory: Directory) -> Result<Vec<Scanned>> {
        let mut found = Vec::new();
        for (name, metadata) in self.list(directory)? {
            if is_sealed_name(name.as_bytes()) {
                found.push(Scanned {
                    location: Location(format!("{}/{name}", directory.name())),
                    modified: modified(&metadata),
                    usage: usage(&metadata),
                });
            }
        }
        Ok(found)
    }

    /// Names and metadata of the files in a directory; none when it was not made yet.
    pub(crate) fn list(&self, directory: Directory) -> Result<Vec<(String, Metadata)>> {
        let path = self.path(directory);
        let listing = || -> io::Result<Vec<(String, Metadata)>> {
            let mut found = Vec::new();
            for entry in std::fs::read_dir(&path)? {
                let entry = entry?;
                match (entry.file_name().into_string(), entry.metadata()) {
                    (Ok(name), Ok(metadata)) if metadata.is_file() => found.push((name, metadata)),
                    (_, Err(error)) if error.kind() != io::ErrorKind::NotFound => return Err(error),
                    _ => {}
                }
            }
            Ok(found)
        };
        match listing() {
            Err(error) if error.kind() == io::ErrorKind::NotFound => Ok(Vec::new()),
            result => result.map_err(|cause| StoreError::file("listing", &path, cause)),
        }
    }
}

pub(crate) fn modified(metadata: &Metadata) -> i64 {
    metadata.mtime().saturating_mul(1_000_000_000).saturating_add(metadata.mtime_nsec())
}

pub(crate) fn usage(metadata: &Metadata) -> Usage {
    // The unit of st_blocks is 512 bytes, whatever the block size.
    Usage { length: metadata.len(), allocated: metadata.blocks() * 512 }
}

/// 128 random bits.
pub(crate) fn random() -> [u8; 16] {
    // Keys of SipHash come from the system's random source and differ for each state.
    let word = || RandomState::new().build_hasher().finish();
    (u128::from(word()) << 64 | u128::from(word())).to_be_bytes()
}

/// A name that was never used.
pub(crate) fn unique() -> String {
    format!("{:032x}", u128::from_be_bytes(random()))
}

fn is_sealed_name(name: &[u8]) -> bool {
    let is_hex = |part: &[u8]| part.len() == 32 && part.iter().all(u8::is_ascii_hexdigit);
    match name.iter().position(|byte| *byte == b'.') {
        Some(dot) => is_hex(&name[..dot]) && is_hex(&name[dot + 1..]),
        None => is_hex(name),
    }
}

/// Syncs of one directory by several threads: a sync serves all that asked before it started.
#[derive(Default)]
struct SharedSync {
    progress: Mutex<Progress>,
    ended: Condvar,
}

#[derive(Default)]
struct Progress {
    started: u64,
    succeeded: u64,
    running: bool,
}

impl SharedSync {
    /// Returns once a sync that started after this call has ended well.
    fn run(&self, sync: impl FnOnce() -> io::Result<()>) -> io::Result<()> {
        let mut progress = self.progress.lock().unwrap_or_else(PoisonError::into_inner);
        let needed = progress.started + 1;
        while progress.running {
            progress = self.ended.wait(progress).unwrap_or_else(PoisonError::into_inner);
            if progress.succeeded >= needed {
                return Ok(());
            }
        }
        progress.running = true;
        progress.started += 1;
        let number = progress.started;
        drop(progress);
        let result = sync();
        let mut progress = self.progress.lock().unwrap_or_else(PoisonError::into_inner);
        progress.running = false;
        if result.is_ok() {
            progress.succeeded = number;
        }
        drop(progress);
        self.ended.notify_all();
        result
    }
}
