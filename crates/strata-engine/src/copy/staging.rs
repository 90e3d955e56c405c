//! Images that pass through the store without a name: out of archives, and into them.

use std::collections::{HashSet, VecDeque};
use std::fs::File;
use std::io::{self, Read, Write};
use std::path::{Path, PathBuf};
use std::sync::{Arc, Mutex, PoisonError};

use async_trait::async_trait;
use strata_archive::{ArchiveWriter, SavedImage, SavedVariant};
use strata_model::{Descriptor, Digest, Manifest, Raw, Reference};
use strata_registry_client::DockerDaemon;
use strata_store::{ChunkWriter, Lease, Store, StoreError};
use strata_transfer::{BlobOutcome, BlobSpec, ImageSink, ImageSource, Progress};
use tokio::sync::mpsc;

use super::CopyOptions;
use super::choice::{Wanted, choose_image, choose_variant};
use super::pipe::DEPTH;
use crate::layout_directory::NewFile;
use crate::load::read_images;
use crate::save::write_archive;
use crate::{EngineError, Result};

/// The annotation that names an entry of `index.json`.
const REF_NAME: &str = "org.opencontainers.image.ref.name";

/// The store, taking an image that gets no name: it stays as long as the lease.
pub(super) struct StagingSink<'a> {
    store: &'a Store,
    lease: &'a Lease,
    manifests: Mutex<Vec<Raw<Manifest>>>,
}

impl<'a> StagingSink<'a> {
    pub(super) fn new(store: &'a Store, lease: &'a Lease) -> StagingSink<'a> {
        StagingSink { store, lease, manifests: Mutex::default() }
    }
}

#[async_trait]
impl ImageSink for StagingSink<'_> {
    async fn missing(&self, wanted: &[BlobSpec]) -> strata_transfer::Result<Vec<BlobSpec>> {
        Ok(self.store.missing(wanted).await?)
    }

    async fn put_blob(
        &self,
        source: &dyn ImageSource,
        blob: &BlobSpec,
        progress: &dyn Progress,
    ) -> strata_transfer::Result<BlobOutcome> {
        self.store.fetch(self.lease, source, blob, progress).await
    }

    async fn put_manifest(&self, manifest: &Raw<Manifest>, _descriptor: &Descriptor) -> strata_transfer::Result<()> {
        self.manifests.lock().unwrap_or_else(PoisonError::into_inner).push(manifest.clone());
        Ok(())
    }

    fn keeps_sparse_indexes(&self) -> bool {
        false
    }

    async fn finish(&self, _resolved: &Descriptor, _image: &Descriptor) -> strata_transfer::Result<()> {
        let manifests = std::mem::take(&mut *self.manifests.lock().unwrap_or_else(PoisonError::into_inner));
        self.store.publish_images(self.lease, &manifests, &[], &[]).await?;
        Ok(())
    }
}

/// What was read from an archive.
pub(super) struct StagedImage {
    /// Digest of the manifest or index in the store.
    pub(super) root: Digest,
    /// Whether the archive had no manifest, so that one was made.
    pub(super) synthesized: bool,
}

/// Reads an archive and keeps the wanted image under the lease.
pub(super) async fn read_archive(
    store: &Store,
    lease: &Arc<Lease>,
    input: impl Read + Send + 'static,
    wanted: &Wanted<'_>,
    options: &CopyOptions,
    progress: Arc<dyn Progress>,
) -> Result<StagedImage> {
    let archive = read_images(store, lease, input, progress).await?;
    let image = choose_image(&archive.images, wanted)?;
    if !options.all {
        let variant = choose_variant(image, options.platform.as_ref())?;
        let manifest = archive.stage(store, lease, variant).await?;
        let staged = StagedImage { root: manifest.digest(), synthesized: variant.synthesized };
        store.publish_images(lease, &[manifest], &[], &[]).await?;
        return Ok(staged);
    }
    let mut manifests = Vec::new();
    for variant in &image.variants {
        manifests.push(archive.stage(store, lease, variant).await?);
    }
    let synthesized = image.variants.iter().any(|variant| variant.synthesized);
    manifests.extend(image.indexes.iter().rev().cloned());
    let root = manifests
        .last()
        .map(Raw::digest)
        .ok_or_else(|| EngineError::invalid("the archive holds no container image"))?;
    store.publish_images(lease, &manifests, &[], &[]).await?;
    Ok(StagedImage { root, synthesized })
}

/// What an archive is to hold of a manifest or index of the store: as much of it as is there.
pub(super) async fn saved_image(store: &Store, root: Digest, names: Vec<Reference>) -> Result<SavedImage> {
    let txn = store.read().await?;
    let mut image = SavedImage { names, indexes: Vec::new(), variants: Vec::new() };
    let mut pending = VecDeque::from([root]);
    let mut seen = HashSet::new();
    while let Some(digest) = pending.pop_front() {
        let row = if seen.insert(digest) { txn.object(&digest).await? } else { None };
        let Some(bytes) = row.and_then(|row| row.bytes) else { continue };
        let manifest = Raw::parse(bytes, |bytes| Manifest::parse(bytes, None))
            .map_err(|cause| StoreError::Malformed { what: format!("manifest {digest}"), cause: cause.to_string() })?;
        match manifest.value() {
            Manifest::Index(index) => {
                let children = index.manifests.iter().filter(|child| child.media_type.is_manifest());
                pending.extend(children.map(|child| child.digest));
                image.indexes.push(manifest);
            }
            Manifest::Image(parsed) => {
                let config = match parsed.config.media_type.is_image_config() {
                    true => txn.object(&parsed.config.digest).await?.and_then(|row| row.bytes),
                    false => None,
                };
                image.variants.push(SavedVariant { manifest, config, layer_sizes: Vec::new() });
            }
        }
    }
    Ok(image)
}

/// An OCI layout in a tar; its entry gets the name as it is written.
pub(super) fn oci_writer(image: SavedImage, name: Option<&str>) -> Result<ArchiveWriter> {
    let images = [image];
    let writer = ArchiveWriter::oci(&images).map_err(EngineError::Archive)?;
    let [image] = images;
    let Some(name) = name else { return Ok(writer) };
    let root = match (image.indexes.first(), image.variants.first()) {
        (Some(index), _) => index,
        (None, Some(variant)) => &variant.manifest,
        (None, None) => return Ok(writer),
    };
    let plain = Descriptor::new(root.value().media_type(), root.digest(), root.size());
    let mut entry = match image.names.first() {
        Some(reference) => strata_archive::layout::with_name(plain, reference),
        None => plain,
    };
    entry.annotations.insert(REF_NAME.to_owned(), name.to_owned());
    Ok(writer.with_entries(&[entry]))
}

/// What `docker save` writes since version 25: every `docker load` reads it, and blobs keep their digests.
pub(super) fn docker_writer(image: SavedImage) -> Result<ArchiveWriter> {
    ArchiveWriter::combined(&[image]).map_err(EngineError::Archive)
}

/// Writes an archive. A regular file appears under its name when it is complete, in the place of a former one.
pub(super) async fn write_file(
    store: &Store,
    writer: ArchiveWriter,
    path: &Path,
    progress: Arc<dyn Progress>,
) -> Result<()> {
    let failed = |source| EngineError::file("writing", path, source);
    let out = OutputFile::create(path).map_err(failed)?;
    let out = write_archive(store, writer, out, progress).await?;
    let finished = tokio::task::spawn_blocking(move || out.finish()).await.map_err(io::Error::other);
    finished.and_then(|result| result).map_err(failed)
}

/// Writes an archive into docker's engine.
pub(super) async fn load_into(
    daemon: &DockerDaemon,
    store: &Store,
    writer: ArchiveWriter,
    progress: Arc<dyn Progress>,
) -> Result<()> {
    let (abort, mut chunks) = mpsc::channel(DEPTH);
    let out = ChunkWriter::new(abort.clone());
    let body = futures_util::stream::poll_fn(move |context| chunks.poll_recv(context));
    let write = async move {
        let written = write_archive(store, writer, out, progress).await.map(drop);
        if written.is_err() {
            // The body must not end as if it were complete.
            let _ = abort.send(Err(io::Error::other("the archive could not be written"))).await;
        }
        written
    };
    let (written, loaded) = tokio::join!(write, daemon.load_archive(body));
    match (written, loaded) {
        // The engine hung up, and says why.
        (Err(EngineError::Archive(strata_archive::ArchiveError::Write(_))), Err(error)) => Err(error.into()),
        (Err(error), _) => Err(error),
        (Ok(()), loaded) => Ok(loaded.map(drop)?),
    }
}

/// Where an archive is written to.
enum OutputFile {
    /// A new file beside its final name.
    New(NewFile, PathBuf),
    /// A pipe or device.
    Direct(File),
}

impl OutputFile {
    fn create(path: &Path) -> io::Result<OutputFile> {
        match std::fs::metadata(path) {
            Ok(metadata) if !metadata.is_file() => File::options().write(true).open(path).map(OutputFile::Direct),
            Err(error) if error.kind() != io::ErrorKind::NotFound => Err(error),
            _ => {
                let parent = path.parent().filter(|parent| !parent.as_os_str().is_empty());
                Ok(OutputFile::New(NewFile::create(parent.unwrap_or(Path::new(".")))?, path.to_owned()))
            }
        }
    }

    fn finish(self) -> io::Result<()> {
        match self {
            OutputFile::New(file, path) => file.keep(&path),
            OutputFile::Direct(mut file) => file.flush(),
        }
    }
}

impl Write for OutputFile {
    fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
        match self {
            OutputFile::New(file, _) => (&*file.file).write(bytes),
            OutputFile::Direct(file) => file.write(bytes),
        }
    }

    fn flush(&mut self) -> io::Result<()> {
        Ok(())
    }
}
