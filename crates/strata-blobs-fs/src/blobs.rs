//! Blob storage on a directory.

use std::fs::File;
use std::io;
use std::os::unix::fs::{FileExt, MetadataExt};
use std::path::Path;
use std::sync::Arc;

use async_trait::async_trait;
use strata_store::{BlobBytes, BlobKind, Blobs, Ingest, Location, Result, Scanned, StageName, StoreError, Usage};

use crate::file_layer::{FileLayer, SystemFiles};
use crate::ingest::{FsIngest, own};
use crate::root::{Directory, Root, modified, usage};

/// Where blobs lie.
const SEALED: [Directory; 3] = [Directory::Blobs, Directory::Indexes, Directory::Views];

/// Blobs below a directory. Several processes may use one.
pub struct FsBlobs {
    root: Arc<Root>,
}

impl FsBlobs {
    /// Blobs below `root`. Touches nothing: directories are made when something is first written.
    pub fn open(root: impl AsRef<Path>) -> FsBlobs {
        FsBlobs::on(root.as_ref(), Box::new(SystemFiles))
    }

    pub(crate) fn on(root: &Path, files: Box<dyn FileLayer>) -> FsBlobs {
        FsBlobs { root: Arc::new(Root::new(root, files)) }
    }

    /// Removes a staged file if nobody owns it; returns the bytes that the disk got back.
    fn sweep(&self, path: &Path) -> io::Result<u64> {
        let Some(file) = own(path, || File::open(path))? else { return Ok(0) };
        let metadata = file.metadata()?;
        self.root.files.unlink(path)?;
        // What was sealed keeps its blocks under its other name.
        Ok(if metadata.nlink() > 1 { 0 } else { usage(&metadata).allocated })
    }
}

#[async_trait]
impl Blobs for FsBlobs {
    async fn begin(&self, kind: BlobKind) -> Result<Box<dyn Ingest>> {
        let directory = match kind {
            BlobKind::Object => Directory::Blobs,
            BlobKind::Index => Directory::Indexes,
            BlobKind::View => Directory::Views,
        };
        Ok(Box::new(FsIngest::anonymous(Arc::clone(&self.root), directory)?))
    }

    async fn stage(&self, name: &StageName) -> Result<Option<Box<dyn Ingest>>> {
        let ingest = FsIngest::named(Arc::clone(&self.root), Directory::Blobs, &file_name(name)?)?;
        Ok(ingest.map(|ingest| Box::new(ingest) as Box<dyn Ingest>))
    }

    async fn open(&self, at: &Location) -> Result<Arc<dyn BlobBytes>> {
        let path = self.root.locate(at, &SEALED)?;
        let open = || {
            let file = File::open(&path)?;
            let size = file.metadata()?.len();
            Ok(FsBytes::new(file, size))
        };
        Ok(Arc::new(open().map_err(|cause| StoreError::file("opening", &path, cause))?))
    }

    async fn usage(&self, at: &Location) -> Result<Option<Usage>> {
        Root::usage(&self.root.locate(at, &SEALED)?)
    }

    async fn remove(&self, at: &Location) -> Result<()> {
        self.root.remove(&self.root.locate(at, &SEALED)?)
    }

    async fn scan(&self) -> Result<Vec<Scanned>> {
        let mut found = Vec::new();
        for directory in SEALED {
            found.extend(self.root.scan(directory)?);
        }
        Ok(found)
    }

    async fn sweep_staged(&self, older_than: i64) -> Result<u64> {
        let mut freed = 0;
        for (name, metadata) in self.root.list(Directory::Staging)? {
            if modified(&metadata) >= older_than {
                continue;
            }
            let path = self.root.path(Directory::Staging).join(name);
            freed += match self.sweep(&path) {
                Err(error) if error.kind() == io::ErrorKind::NotFound => 0,
                swept => swept.map_err(|cause| StoreError::file("sweeping", &path, cause))?,
            };
        }
        Ok(freed)
    }
}

/// The file of a staged name. Upload sessions are named by outsiders, hence the check.
fn file_name(name: &StageName) -> Result<String> {
    match name {
        StageName::Download(digest) => Ok(format!("download-{}-{}", digest.algorithm().name(), digest.hex())),
        StageName::Upload(id) => {
            let is_plain = |byte: u8| byte.is_ascii_alphanumeric() || matches!(byte, b'-' | b'_');
            if id.is_empty() || id.len() > 128 || !id.bytes().all(is_plain) {
                let cause = io::Error::new(io::ErrorKind::InvalidInput, "not an upload session");
                return Err(StoreError::file("staging", id, cause));
            }
            Ok(format!("upload-{id}"))
        }
    }
}

/// The bytes of an open file.
pub(crate) struct FsBytes {
    file: File,
    size: u64,
}

impl FsBytes {
    pub(crate) fn new(file: File, size: u64) -> FsBytes {
        FsBytes { file, size }
    }
}

impl BlobBytes for FsBytes {
    fn size(&self) -> u64 {
        self.size
    }

    fn read_at(&self, offset: u64, buffer: &mut [u8]) -> io::Result<usize> {
        // What is staged may grow; this is what it was.
        let left = usize::try_from(self.size.saturating_sub(offset)).unwrap_or(usize::MAX);
        let wanted = buffer.len().min(left);
        loop {
            match self.file.read_at(&mut buffer[..wanted], offset) {
                Err(error) if error.kind() == io::ErrorKind::Interrupted => {}
                result => return result,
            }
        }
    }

    fn file(&self) -> Option<&File> {
        Some(&self.file)
    }
}
