//! Bytes being staged, without a name or under one that another owner can go on with.
//!
//! A staged name and the location it was sealed at are two names of one file, until [`Ingest::finish`]. After a crash in
//! between, the next owner finds a file with two names: it may seal it again, but before it changes a byte it detaches, so
//! that a sealed file never changes.

use std::fs::{File, TryLockError};
use std::io;
use std::os::unix::fs::MetadataExt;
use std::path::{Path, PathBuf};
use std::sync::Arc;

use async_trait::async_trait;
use strata_store::{BlobBytes, Durability, Ingest, Location, Result, StoreError};

use crate::blobs::FsBytes;
use crate::root::{Directory, Root, Source, unique};

/// Staged bytes of one owner.
pub(crate) struct FsIngest {
    root: Arc<Root>,
    file: Arc<File>,
    length: u64,
    directory: Directory,
    name: Name,
    is_sealed: bool,
}

/// The staged name.
enum Name {
    /// None: the kernel forgets the file.
    Anonymous,
    /// One that nobody can find a use for; removed on drop.
    Temporary(PathBuf),
    /// One that stays for the next owner.
    Lasting(PathBuf),
}

impl FsIngest {
    pub(crate) fn anonymous(root: Arc<Root>, directory: Directory) -> Result<FsIngest> {
        let (file, path) = root.create(directory)?;
        let name = path.map_or(Name::Anonymous, Name::Temporary);
        Ok(FsIngest { root, file: Arc::new(file), length: 0, directory, name, is_sealed: false })
    }

    /// Owns the staged file `name`; `None` when someone else does.
    pub(crate) fn named(root: Arc<Root>, directory: Directory, name: &str) -> Result<Option<FsIngest>> {
        let path = root.ensure(Directory::Staging)?.join(name);
        let opened = own(&path, || root.files.open_or_create(&path));
        let Some(file) = opened.map_err(|cause| StoreError::file("staging in", &path, cause))? else {
            return Ok(None);
        };
        let length = file.metadata().map_err(|cause| StoreError::file("looking at", &path, cause))?.len();
        let (file, name) = (Arc::new(file), Name::Lasting(path));
        Ok(Some(FsIngest { root, file, length, directory, name, is_sealed: false }))
    }

    fn path(&self) -> Option<&Path> {
        match &self.name {
            Name::Anonymous => None,
            Name::Temporary(path) | Name::Lasting(path) => Some(path),
        }
    }

    fn failure(&self, doing: &'static str, cause: io::Error) -> StoreError {
        match self.path() {
            Some(path) => StoreError::file(doing, path, cause),
            None => StoreError::file(doing, self.root.path(self.directory), cause),
        }
    }

    /// Gives the staged name a file of its own, with the first `keep` bytes, when a sealed location shares the present one.
    fn detach(&mut self, keep: u64) -> Result<()> {
        let links = self.file.metadata().map_err(|cause| self.failure("looking at", cause))?.nlink();
        let Name::Lasting(path) = &self.name else { return Ok(()) };
        if links < 2 {
            return Ok(());
        }
        let (file, temporary) = self.root.create_locked()?;
        let moved = copy(&self.root, &self.file, &file, keep).and_then(|()| self.root.files.rename(&temporary, path));
        if let Err(cause) = moved {
            let failure = self.failure("copying", cause);
            self.root.remove(&temporary)?;
            return Err(failure);
        }
        self.file = Arc::new(file);
        self.length = keep;
        Ok(())
    }

    fn append(&mut self, bytes: &[u8]) -> Result<()> {
        if self.is_sealed {
            return Err(self.failure("writing after sealing", io::ErrorKind::InvalidInput.into()));
        }
        if self.length > 0 {
            self.detach(self.length)?;
        }
        self.root.files.write_at(&self.file, bytes, self.length).map_err(|cause| self.failure("writing", cause))?;
        self.length += bytes.len() as u64;
        Ok(())
    }
}

#[async_trait]
impl Ingest for FsIngest {
    fn length(&self) -> u64 {
        self.length
    }

    fn staged(&self) -> Result<Arc<dyn BlobBytes>> {
        let file = match self.path() {
            // Opened anew: a duplicate would keep the lock after this owner is gone.
            Some(path) => File::open(path),
            None => self.file.try_clone(),
        };
        let file = file.map_err(|cause| self.failure("opening", cause))?;
        Ok(Arc::new(FsBytes::new(file, self.length)))
    }

    async fn write(&mut self, bytes: &[u8]) -> Result<()> {
        self.append(bytes)
    }

    async fn restart(&mut self) -> Result<()> {
        self.detach(0)?;
        self.root.files.set_length(&self.file, 0).map_err(|cause| self.failure("truncating", cause))?;
        self.length = 0;
        self.is_sealed = false;
        Ok(())
    }

    async fn seal(&mut self, durability: Durability) -> Result<Location> {
        let (root, file, directory) = (Arc::clone(&self.root), Arc::clone(&self.file), self.directory);
        let path = self.path().map(Path::to_owned);
        let seal = move || {
            let source = path.as_deref().map_or(Source::Anonymous, Source::Named);
            root.seal(&file, source, directory, &unique(), durability)
        };
        if self.is_sealed && self.path().is_none() {
            return Err(self.failure("sealing twice", io::ErrorKind::InvalidInput.into()));
        }
        let sealed = match durability {
            Durability::Unsynced => seal(),
            Durability::Synced => match tokio::task::spawn_blocking(seal).await {
                Ok(sealed) => sealed,
                Err(cause) => Err(self.failure("sealing", io::Error::other(cause))),
            },
        };
        match &sealed {
            Ok(_) => self.is_sealed = true,
            // After a failed sync the kernel may have dropped bytes and would report success the next time.
            Err(StoreError::File { doing: "syncing", .. }) => self.restart().await?,
            Err(_) => {}
        }
        sealed
    }

    async fn finish(self: Box<Self>) -> Result<()> {
        match &self.name {
            Name::Lasting(path) => self.root.remove(path),
            Name::Anonymous | Name::Temporary(_) => Ok(()),
        }
    }
}

impl Drop for FsIngest {
    fn drop(&mut self) {
        if let Name::Temporary(path) = &self.name
            && let Err(error) = self.root.remove(path)
        {
            tracing::warn!(%error, "a staged file could not be removed");
        }
    }
}

/// Opens and locks the file at `path`; `None` when another owner has it. The owner before may have removed or replaced
/// the name between our opening and our locking; then the lock is on a file that is no longer there, and we try again.
pub(crate) fn own(path: &Path, open: impl Fn() -> io::Result<File>) -> io::Result<Option<File>> {
    loop {
        let file = open()?;
        match file.try_lock() {
            Err(TryLockError::WouldBlock) => return Ok(None),
            Err(TryLockError::Error(error)) => return Err(error),
            Ok(()) => {}
        }
        let locked = file.metadata()?;
        match std::fs::symlink_metadata(path) {
            Ok(named) if (named.dev(), named.ino()) == (locked.dev(), locked.ino()) => return Ok(Some(file)),
            Err(error) if error.kind() != io::ErrorKind::NotFound => return Err(error),
            _ => {}
        }
    }
}

fn copy(root: &Root, from: &File, to: &File, length: u64) -> io::Result<()> {
    use std::os::unix::fs::FileExt;
    let mut buffer = vec![0; 1 << 20];
    let mut offset = 0;
    while offset < length {
        let wanted = usize::try_from(length - offset).unwrap_or(usize::MAX).min(buffer.len());
        from.read_exact_at(&mut buffer[..wanted], offset)?;
        root.files.write_at(to, &buffer[..wanted], offset)?;
        offset += wanted as u64;
    }
    Ok(())
}
