//! An OCI layout in a directory, as a place that images are copied from and to (OCI image-spec image-layout.md).
//!
//! Blobs are written to a file named `.strata-…` in the layout, verified, synced and renamed; `index.json` is replaced last,
//! atomically, under a lock on the directory. A copy that was interrupted leaves whole blobs, which the next one finds, and
//! at most one such file each for what was being written. Any number of processes may write at once.

use std::collections::HashMap;
use std::fs::{self, File};
use std::io::{self, Write};
use std::path::{Path, PathBuf};
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Arc, Mutex, PoisonError};

use async_trait::async_trait;
use bytes::{Bytes, BytesMut};
use futures_util::{StreamExt as _, TryStreamExt as _, stream};
use strata_archive::layout;
use strata_model::{Descriptor, Digest, ErrorKind, MAX_MANIFEST_SIZE, Manifest, Raw, Target};
use strata_transfer::{
    BlobOutcome, BlobSpec, BlobStream, ImageSink, ImageSource, Origin, Phase, Progress, ProgressEvent, Result,
    TransferError, Verified, check_manifest,
};
use tokio::io::{AsyncReadExt as _, AsyncSeekExt as _};

const CHUNK: usize = 256 << 10;
/// Largest `index.json` that is read, in bytes.
const MAX_INDEX_SIZE: u64 = 16 << 20;
/// The annotation that names an entry of `index.json`.
const REF_NAME: &str = "org.opencontainers.image.ref.name";

/// A layout, and the entry of its `index.json` that is read or written.
pub struct LayoutDirectory {
    path: PathBuf,
    name: Option<String>,
    /// What was written, by digest: types and sizes as they are, whatever the source's descriptors say.
    written: Mutex<HashMap<Digest, Descriptor>>,
}

impl LayoutDirectory {
    /// A layout that exists. Without a name its only entry is meant.
    ///
    /// # Errors
    /// `NotFound` when there is no layout, `Unsupported` when it is of another version.
    pub fn open(path: impl Into<PathBuf>, name: Option<String>) -> Result<LayoutDirectory> {
        let layout = LayoutDirectory::at(path.into(), name);
        let marker = layout.path.join(layout::MARKER);
        let bytes = fs::read(&marker).map_err(|cause| failed("reading", &marker, &cause))?;
        layout::check_version(&bytes).map_err(|error| layout.archive_error(&error))?;
        Ok(layout)
    }

    /// A layout to be written, made where there is none. With a name, the entry of this name is replaced.
    ///
    /// # Errors
    /// When the directory cannot be made, or holds a layout of another version.
    pub fn create(path: impl Into<PathBuf>, name: Option<String>) -> Result<LayoutDirectory> {
        let layout = LayoutDirectory::at(path.into(), name);
        fs::create_dir_all(&layout.path).map_err(|cause| failed("making", &layout.path, &cause))?;
        let marker = layout.path.join(layout::MARKER);
        match fs::read(&marker) {
            Ok(bytes) => layout::check_version(&bytes).map_err(|error| layout.archive_error(&error))?,
            Err(cause) if cause.kind() == io::ErrorKind::NotFound => {
                write_file(&layout.path, &marker, layout::MARKER_CONTENT)
                    .map_err(|cause| failed("writing", &marker, &cause))?;
            }
            Err(cause) => return Err(failed("reading", &marker, &cause)),
        }
        Ok(layout)
    }

    fn at(path: PathBuf, name: Option<String>) -> LayoutDirectory {
        LayoutDirectory { path, name, written: Mutex::default() }
    }

    fn blob_path(&self, digest: &Digest) -> PathBuf {
        self.path.join(layout::blob_path(digest))
    }

    /// Whether a blob of this size is there; like other tools, this does not read it.
    fn has(&self, descriptor: &Descriptor) -> bool {
        let size = fs::metadata(self.blob_path(&descriptor.digest)).ok().filter(fs::Metadata::is_file);
        size.is_some_and(|metadata| metadata.len() == descriptor.size)
    }

    fn archive_error(&self, error: &strata_archive::ArchiveError) -> TransferError {
        TransferError::new(error.kind(), format!("OCI layout {}: {error}", self.path.display()))
    }

    fn read_limited(&self, path: &Path, limit: u64) -> Result<Bytes> {
        let size = fs::metadata(path).map_err(|cause| failed("reading", path, &cause))?.len();
        if size > limit {
            let message = format!("{}: {size} bytes are more than the limit of {limit}", path.display());
            return Err(TransferError::new(ErrorKind::Invalid, message));
        }
        fs::read(path).map(Bytes::from).map_err(|cause| failed("reading", path, &cause))
    }

    fn find_entry(&self) -> Result<Descriptor> {
        let index = self.read_limited(&self.path.join(layout::INDEX), MAX_INDEX_SIZE)?;
        layout::find(&index, self.name.as_deref()).map_err(|error| {
            let error = match (&error, &self.name) {
                (strata_archive::ArchiveError::NoReference(_), None) => TransferError::new(
                    ErrorKind::Invalid,
                    format!("OCI layout {}: it holds no image or more than one, choose an image", self.path.display()),
                ),
                _ => self.archive_error(&error),
            };
            match names_in(&index) {
                names if names.is_empty() => error,
                names => error.with_hint(format!("images of this layout: {}", names.join(", "))),
            }
        })
    }

    /// Writes a blob from a source into a file of its own, verified.
    async fn receive(
        &self,
        source: &dyn ImageSource,
        descriptor: &Descriptor,
        progress: &dyn Progress,
    ) -> Result<NewFile> {
        let file = NewFile::create(&self.path).map_err(|cause| failed("writing in", &self.path, &cause))?;
        let mut verified = Verified::new(descriptor);
        let mut blob = source.blob(descriptor, 0).await?.stream;
        let event =
            |phase, current| ProgressEvent { digest: descriptor.digest, phase, current, total: descriptor.size };
        while let Some(chunk) = blob.try_next().await? {
            verified.update(&chunk)?;
            let target = file.file.clone();
            blocking(move || (&*target).write_all(&chunk))
                .await
                .map_err(|cause| failed("writing in", &self.path, &cause))?;
            progress.event(event(Phase::Downloading, verified.count()));
        }
        verified.finish()?;
        progress.event(event(Phase::DownloadComplete, descriptor.size));
        Ok(file)
    }

    async fn keep(&self, file: NewFile, digest: &Digest) -> Result<()> {
        let path = self.blob_path(digest);
        // The temporary name stays with this future, so that a copy which is given up leaves none behind.
        let (bytes, parent) = (file.file.clone(), path.parent().unwrap_or(&self.path).to_owned());
        blocking(move || fs::create_dir_all(parent).and_then(|()| bytes.sync_data()))
            .await
            .and_then(|()| file.rename(&path))
            .map_err(|cause| failed("writing", &path, &cause))?;
        let target = path.clone();
        blocking(move || sync_parent(&target)).await.map_err(|cause| failed("writing", &path, &cause))
    }
}

#[async_trait]
impl ImageSource for LayoutDirectory {
    fn origin(&self) -> Origin {
        Origin::Archive
    }

    async fn resolve(&self, _target: &Target) -> Result<Descriptor> {
        let entry = self.find_entry()?;
        if !entry.media_type.is_manifest() && !entry.media_type.is_schema1() {
            return Err(TransferError::new(
                ErrorKind::Unsupported,
                format!(
                    "OCI layout {}: {} is of type {}, no image",
                    self.path.display(),
                    entry.digest,
                    entry.media_type
                ),
            ));
        }
        Ok(entry)
    }

    async fn manifest(&self, descriptor: &Descriptor) -> Result<Raw<Manifest>> {
        let path = self.blob_path(&descriptor.digest);
        let bytes = self.read_limited(&path, MAX_MANIFEST_SIZE as u64)?;
        // Docker and OCI types are confused in many layouts; only an image for an index would be a lie that matters.
        let manifest = check_manifest(bytes, descriptor, None)
            .map_err(|error| error.while_doing(format_args!("OCI layout {}", self.path.display())))?;
        let is_index = matches!(manifest.value(), Manifest::Index(_));
        if descriptor.media_type.is_manifest() && descriptor.media_type.is_index() != is_index {
            let message = format!("manifest {}: it is no {}", descriptor.digest, descriptor.media_type);
            return Err(TransferError::new(ErrorKind::Invalid, message));
        }
        Ok(manifest)
    }

    async fn blob(&self, descriptor: &Descriptor, from: u64) -> Result<BlobStream> {
        let path = self.blob_path(&descriptor.digest);
        let failed = move |cause: io::Error| failed("reading", &path, &cause);
        let mut file = tokio::fs::File::open(self.blob_path(&descriptor.digest)).await.map_err(&failed)?;
        file.seek(io::SeekFrom::Start(from)).await.map_err(&failed)?;
        let stream = stream::try_unfold((file, failed), |(mut file, failed)| async move {
            let mut chunk = BytesMut::with_capacity(CHUNK);
            match file.read_buf(&mut chunk).await {
                Ok(0) => Ok(None),
                Ok(_) => Ok(Some((chunk.freeze(), (file, failed)))),
                Err(cause) => Err(failed(cause)),
            }
        });
        Ok(BlobStream { from, stream: stream.boxed() })
    }
}

#[async_trait]
impl ImageSink for LayoutDirectory {
    async fn missing(&self, wanted: &[BlobSpec]) -> Result<Vec<BlobSpec>> {
        let is_missing =
            |spec: &&BlobSpec| !spec.descriptor.media_type.is_foreign_layer() && !self.has(&spec.descriptor);
        Ok(wanted.iter().filter(is_missing).cloned().collect())
    }

    async fn put_blob(
        &self,
        source: &dyn ImageSource,
        blob: &BlobSpec,
        progress: &dyn Progress,
    ) -> Result<BlobOutcome> {
        let descriptor = &blob.descriptor;
        let file = self.receive(source, descriptor, progress).await?;
        self.keep(file, &descriptor.digest).await?;
        let Descriptor { digest, size, .. } = *descriptor;
        progress.event(ProgressEvent { digest, phase: Phase::Complete, current: size, total: size });
        Ok(BlobOutcome::Copied)
    }

    async fn put_manifest(&self, manifest: &Raw<Manifest>, descriptor: &Descriptor) -> Result<()> {
        let true_descriptor = Descriptor::new(manifest.value().media_type(), descriptor.digest, manifest.size());
        if !self.has(&true_descriptor) {
            let file = NewFile::create(&self.path).map_err(|cause| failed("writing in", &self.path, &cause))?;
            (&*file.file).write_all(manifest.bytes()).map_err(|cause| failed("writing in", &self.path, &cause))?;
            self.keep(file, &descriptor.digest).await?;
        }
        let mut written = self.written.lock().unwrap_or_else(PoisonError::into_inner);
        written.insert(descriptor.digest, true_descriptor);
        Ok(())
    }

    /// Other tools expect every manifest of an index to be there.
    fn keeps_sparse_indexes(&self) -> bool {
        false
    }

    async fn finish(&self, _resolved: &Descriptor, image: &Descriptor) -> Result<()> {
        let known = self.written.lock().unwrap_or_else(PoisonError::into_inner).get(&image.digest).cloned();
        let plain = || Descriptor::new(image.media_type.clone(), image.digest, image.size);
        let mut entry = Descriptor { platform: image.platform.clone(), ..known.unwrap_or_else(plain) };
        entry.annotations.extend(self.name.iter().map(|name| (REF_NAME.to_owned(), name.clone())));
        let directory = self.path.clone();
        let added = blocking(move || Ok(add_entry(&directory, &entry))).await;
        added.map_err(|cause| failed("writing in", &self.path, &cause))?
    }
}

/// Adds an entry to `index.json` while no other process does.
fn add_entry(directory: &Path, entry: &Descriptor) -> Result<()> {
    let index = directory.join(layout::INDEX);
    let lock = File::open(directory).map_err(|cause| failed("opening", directory, &cause))?;
    rustix::fs::flock(&lock, rustix::fs::FlockOperation::LockExclusive)
        .map_err(|cause| failed("locking", directory, &cause.into()))?;
    let existing = match fs::read(&index) {
        Ok(bytes) => Some(bytes),
        Err(cause) if cause.kind() == io::ErrorKind::NotFound => None,
        Err(cause) => return Err(failed("reading", &index, &cause)),
    };
    let changed = layout::add(existing.as_deref(), entry)
        .map_err(|error| TransferError::new(error.kind(), format!("OCI layout {}: {error}", directory.display())))?;
    write_file(directory, &index, &changed).map_err(|cause| failed("writing", &index, &cause))?;
    lock.sync_all().map_err(|cause| failed("writing", directory, &cause))
}

fn write_file(directory: &Path, target: &Path, bytes: &[u8]) -> io::Result<()> {
    let file = NewFile::create(directory)?;
    (&*file.file).write_all(bytes)?;
    file.keep(target)
}

/// A file under a name that nobody looks for; removed when dropped, unless it was kept.
pub(crate) struct NewFile {
    pub(crate) file: Arc<File>,
    path: Option<PathBuf>,
}

impl NewFile {
    /// Makes a file in this directory.
    pub(crate) fn create(directory: &Path) -> io::Result<NewFile> {
        static COUNTER: AtomicU64 = AtomicU64::new(0);
        loop {
            let number = COUNTER.fetch_add(1, Ordering::Relaxed);
            let path = directory.join(format!(".strata-{:x}-{number:x}", std::process::id()));
            match File::create_new(&path) {
                Ok(file) => return Ok(NewFile { file: Arc::new(file), path: Some(path) }),
                // Left by a process that had the same number.
                Err(cause) if cause.kind() == io::ErrorKind::AlreadyExists => {}
                Err(cause) => return Err(cause),
            }
        }
    }

    /// Makes its bytes durable under this name, in the place of what had it. The name itself is durable once the directory
    /// is synced.
    pub(crate) fn keep(self, target: &Path) -> io::Result<()> {
        self.file.sync_data()?;
        self.rename(target)?;
        sync_parent(target)
    }

    fn rename(mut self, target: &Path) -> io::Result<()> {
        if let Some(path) = &self.path {
            fs::rename(path, target)?;
        }
        self.path = None;
        Ok(())
    }
}

/// Makes the name of this file durable.
fn sync_parent(target: &Path) -> io::Result<()> {
    match target.parent().filter(|parent| !parent.as_os_str().is_empty()) {
        Some(parent) => File::open(parent)?.sync_all(),
        None => Ok(()),
    }
}

impl Drop for NewFile {
    fn drop(&mut self) {
        if let Some(path) = &self.path
            && let Err(cause) = fs::remove_file(path)
        {
            tracing::debug!(path = %path.display(), %cause, "a temporary file stays");
        }
    }
}

/// The names of the entries of an index, for advice.
fn names_in(index: &[u8]) -> Vec<String> {
    let Ok(Manifest::Index(index)) = Manifest::parse(index, None) else { return Vec::new() };
    index.manifests.iter().filter_map(|entry| entry.annotations.get(REF_NAME).cloned()).collect()
}

async fn blocking<T: Send + 'static>(work: impl FnOnce() -> io::Result<T> + Send + 'static) -> io::Result<T> {
    tokio::task::spawn_blocking(work).await.map_err(io::Error::other)?
}

fn failed(doing: &str, path: &Path, cause: &io::Error) -> TransferError {
    let kind = if cause.kind() == io::ErrorKind::NotFound { ErrorKind::NotFound } else { ErrorKind::Storage };
    TransferError::new(kind, format!("{doing} {}: {cause}", path.display()))
}

#[cfg(test)]
mod tests {
    use super::*;
    use strata_model::{ImageId, Tag};
    use strata_transfer::{CopyLimits, CopyPlan, PlatformChoice, Silent, copy};

    fn write_blob(directory: &Path, bytes: &[u8]) -> Digest {
        let digest = Digest::of(bytes);
        let path = directory.join(layout::blob_path(&digest));
        fs::create_dir_all(path.parent().unwrap()).unwrap();
        fs::write(path, bytes).unwrap();
        digest
    }

    /// A layout with an index of an index of one artifact; returns the digests of the outer index and of the blob.
    fn nested(directory: &Path) -> (Digest, Digest) {
        use serde_json::json;
        fs::write(directory.join(layout::MARKER), layout::MARKER_CONTENT).unwrap();
        let put = |value: serde_json::Value| {
            let bytes = value.to_string().into_bytes();
            (write_blob(directory, &bytes), bytes.len())
        };
        let blob = write_blob(directory, b"a blob");
        let (config, size) = put(json!({}));
        let (image, image_size) = put(json!({ "schemaVersion": 2,
            "config": { "mediaType": "application/vnd.oci.empty.v1+json", "digest": config, "size": size },
            "layers": [{ "mediaType": "text/plain", "digest": blob, "size": 6 }] }));
        let index = |media: &str, digest: Digest, size: usize| {
            json!({ "schemaVersion": 2, "mediaType": "application/vnd.oci.image.index.v1+json", "manifests": [
                { "mediaType": media, "digest": digest, "size": size, "annotations": { REF_NAME: "1.0" } } ] })
        };
        let (inner, inner_size) = put(index("application/vnd.oci.image.manifest.v1+json", image, image_size));
        let (outer, outer_size) = put(index("application/vnd.oci.image.index.v1+json", inner, inner_size));
        let top = index("application/vnd.oci.image.index.v1+json", outer, outer_size);
        fs::write(directory.join(layout::INDEX), top.to_string()).unwrap();
        (outer, blob)
    }

    async fn copy_all(source: &LayoutDirectory, sink: &LayoutDirectory) -> Result<strata_transfer::Copied> {
        let limits = CopyLimits { tries: 1, ..CopyLimits::default() };
        let plan = CopyPlan { target: Target::Tag(Tag::latest()), platforms: PlatformChoice::All, limits };
        copy(source, sink, &plan, &Silent).await
    }

    #[tokio::test]
    async fn nested_indexes_are_copied_whole() {
        let (from, to) = (tempfile::tempdir().unwrap(), tempfile::tempdir().unwrap());
        let (outer, blob) = nested(from.path());
        let source = LayoutDirectory::open(from.path(), Some("1.0".into())).unwrap();
        for name in ["a", "b", "a"] {
            let sink = LayoutDirectory::create(to.path(), Some(name.into())).unwrap();
            assert_eq!(copy_all(&source, &sink).await.unwrap().image.digest, outer);
            let again = LayoutDirectory::open(to.path(), Some(name.into())).unwrap();
            assert_eq!(again.resolve(&Target::Tag(Tag::latest())).await.unwrap().digest, outer);
        }
        assert_eq!(fs::read(to.path().join(layout::blob_path(&blob))).unwrap(), b"a blob");
        assert_eq!(names_in(&fs::read(to.path().join(layout::INDEX)).unwrap()), ["a", "b"]);
        let left: Vec<_> = fs::read_dir(to.path()).unwrap().map(|entry| entry.unwrap().file_name()).collect();
        assert_eq!(left.len(), 3, "{left:?}");
    }

    #[tokio::test]
    async fn damage_at_the_source_leaves_nothing() {
        let (from, to) = (tempfile::tempdir().unwrap(), tempfile::tempdir().unwrap());
        let (_, blob) = nested(from.path());
        fs::write(from.path().join(layout::blob_path(&blob)), b"A blob").unwrap();
        let source = LayoutDirectory::open(from.path(), None).unwrap();
        let sink = LayoutDirectory::create(to.path(), None).unwrap();
        assert_eq!(copy_all(&source, &sink).await.unwrap_err().kind, ErrorKind::Corrupt);
        assert!(!to.path().join(layout::INDEX).exists());
        assert!(!to.path().join(layout::blob_path(&blob)).exists());
        let left = fs::read_dir(to.path())
            .unwrap()
            .filter(|entry| entry.as_ref().unwrap().file_name().to_string_lossy().starts_with(".strata-"));
        assert_eq!(left.count(), 0);
    }

    #[tokio::test]
    async fn what_is_no_layout_or_no_image_is_refused() {
        let directory = tempfile::tempdir().unwrap();
        let error = LayoutDirectory::open(directory.path(), None).err().unwrap();
        assert_eq!(error.kind, ErrorKind::NotFound);
        nested(directory.path());
        let layout = LayoutDirectory::open(directory.path(), Some("2.0".into())).unwrap();
        let error = layout.resolve(&Target::Tag(Tag::latest())).await.unwrap_err();
        assert_eq!((error.kind, error.hint.as_deref()), (ErrorKind::NotFound, Some("images of this layout: 1.0")));
        let digest = ImageId(Digest::of(b"absent")).0;
        let absent = Descriptor::new(strata_model::MediaType::OCI_MANIFEST, digest, 0);
        assert_eq!(layout.manifest(&absent).await.unwrap_err().kind, ErrorKind::NotFound);
    }
}
