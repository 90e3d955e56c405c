//! `save`: images into one archive, streamed in one pass.
//!
//! Sizes are known before the first byte, so there is neither a temporary file nor a second pass. Blobs are written as they
//! are stored: digests survive the round trip, and the same images give the same bytes.

use std::collections::BTreeMap;
use std::io::Write;
use std::sync::Arc;

use strata_archive::{ArchiveWriter, BlobSource, SavedImage, SavedVariant, SinkError};
use strata_model::{Descriptor, Digest, Manifest, Platform, Raw, Reference};
use strata_store::{ImageRow, LeaseItem, ReadTxn, Store, StoreError};
use strata_transfer::{Phase, Progress, ProgressEvent};

use crate::list::name_reference;
use crate::lookup::{FoundBy, find_image_in};
use crate::{EngineError, ImageDocuments, Result, event, load_documents};

/// Which layout to write.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum SaveFormat {
    /// Docker archive and OCI layout in one, as `docker save` writes since version 25.
    Docker,
    /// An OCI layout only.
    Oci,
}

/// What to save.
#[derive(Clone, Debug)]
pub struct SaveRequest {
    /// Names and identities. A name without a tag means all local tags of the repository.
    pub images: Vec<String>,
    /// The platform, where a tag has several; `None` saves all that are here.
    pub platform: Option<Platform>,
    /// The layout.
    pub format: SaveFormat,
}

/// What was saved.
#[derive(Clone, Copy, Debug)]
pub struct Saved {
    /// Length of the archive in bytes.
    pub bytes: u64,
}

/// Saves images to `out`.
///
/// # Errors
/// `NoSuchImage`; when a blob is damaged or `out` fails, which leaves an incomplete archive behind.
pub async fn save(
    store: &Store,
    request: &SaveRequest,
    out: impl Write + Send + 'static,
    progress: Arc<dyn Progress>,
) -> Result<Saved> {
    let txn = store.read().await?;
    let images = collect(&*txn, request).await?;
    drop(txn);
    let lease = store.lease("save").await?;
    let roots = images.iter().flat_map(|image| image.variants.iter().map(|variant| variant.manifest.digest()));
    let items: Vec<LeaseItem> = roots.map(LeaseItem::Object).collect();
    store.protect(&lease, &items).await?;
    let writer = match request.format {
        SaveFormat::Docker => ArchiveWriter::combined(&images),
        SaveFormat::Oci => ArchiveWriter::oci(&images),
    }
    .map_err(EngineError::Archive)?;
    let bytes = writer.length();
    write_archive(store, writer, out, progress).await?;
    store.release(lease).await?;
    for text in &request.images {
        event::note(store, "save", text, text).await?;
    }
    Ok(Saved { bytes })
}

/// Writes an archive on a blocking thread, its blobs from the store; gives `out` back, flushed.
pub(crate) async fn write_archive<W: Write + Send + 'static>(
    store: &Store,
    writer: ArchiveWriter,
    mut out: W,
    progress: Arc<dyn Progress>,
) -> Result<W> {
    let mut blobs = Blobs { store: store.clone(), handle: tokio::runtime::Handle::current(), progress };
    tokio::task::spawn_blocking(move || {
        writer.write(&mut out, &mut blobs)?;
        out.flush().map_err(strata_archive::ArchiveError::Write)?;
        Ok(out)
    })
    .await
    .map_err(|cause| StoreError::Malformed { what: "a worker thread".into(), cause: cause.to_string() })?
    .map_err(EngineError::Archive)
}

struct Blobs {
    store: Store,
    handle: tokio::runtime::Handle,
    progress: Arc<dyn Progress>,
}

impl BlobSource for Blobs {
    fn write_blob(&mut self, descriptor: &Descriptor, out: &mut dyn Write) -> Result<(), SinkError> {
        let Descriptor { digest, size, .. } = *descriptor;
        let reader = self.handle.block_on(self.store.open_reader(&digest))?;
        self.progress.event(ProgressEvent { digest, phase: Phase::Uploading, current: 0, total: size });
        reader.write_to(0, out)?;
        self.progress.event(ProgressEvent { digest, phase: Phase::Complete, current: size, total: size });
        Ok(())
    }
}

/// The images that a request means, each once, in the order asked for; all its names that were asked for together.
async fn collect(txn: &dyn ReadTxn, request: &SaveRequest) -> Result<Vec<SavedImage>> {
    let mut wanted: Vec<(ImageRow, Vec<Reference>)> = Vec::new();
    for text in &request.images {
        for (row, name) in expand(txn, text, request.platform.as_ref()).await? {
            match wanted.iter_mut().find(|(known, _)| known.id == row.id) {
                Some((_, names)) => {
                    names.extend(name.filter(|name| !names.contains(name)).into_iter().collect::<Vec<_>>())
                }
                None => wanted.push((row, name.into_iter().collect())),
            }
        }
    }
    merge_platforms(txn, wanted).await
}

/// What one argument means: image and name.
async fn expand(
    txn: &dyn ReadTxn,
    text: &str,
    platform: Option<&Platform>,
) -> Result<Vec<(ImageRow, Option<Reference>)>> {
    let found = find_image_in(txn, text, platform).await;
    if let Ok(found) = &found
        && !matches!(found.by, FoundBy::Name(_))
    {
        return Ok(vec![(found.row.clone(), None)]);
    }
    let reference = match Reference::parse(text) {
        Ok(reference) => reference,
        Err(error) => return Err(found.err().unwrap_or(error.into())),
    };
    let mut names = txn.names_of_repository(&reference.name()).await?;
    names.retain(|name| reference.tag().is_none_or(|tag| tag.as_str() == name.tag));
    if let Some(wanted) = platform {
        names.retain(|name| name.platform.parse().is_ok_and(|offered: Platform| wanted.is_same(&offered)));
    }
    names.sort();
    let mut images = Vec::new();
    for name in names {
        if let Some(row) = txn.image(&name.image).await? {
            images.push((row, name_reference(&name)));
        }
    }
    if images.is_empty() {
        return Err(EngineError::NoSuchImage(reference.with_default_tag().familiar()));
    }
    Ok(images)
}

/// One saved image for each set of names: the platforms of one index that the names were pulled as stay together, so that
/// the index keeps its digest.
async fn merge_platforms(txn: &dyn ReadTxn, wanted: Vec<(ImageRow, Vec<Reference>)>) -> Result<Vec<SavedImage>> {
    let mut saved: Vec<SavedImage> = Vec::new();
    let mut by_index: BTreeMap<Digest, usize> = BTreeMap::new();
    for (row, names) in wanted {
        let documents = load_documents(txn, &row).await?;
        let variant = saved_variant(&documents);
        let index = index_of(txn, &row, &names).await?;
        match &index {
            Some(index) if by_index.contains_key(&index.digest()) => {
                let known = &mut saved[by_index[&index.digest()]];
                known.variants.push(variant);
                let fresh: Vec<Reference> = names.into_iter().filter(|name| !known.names.contains(name)).collect();
                known.names.extend(fresh);
            }
            _ => {
                if let Some(index) = &index {
                    by_index.insert(index.digest(), saved.len());
                }
                saved.push(SavedImage { names, indexes: index.into_iter().collect(), variants: vec![variant] });
            }
        }
    }
    Ok(saved)
}

fn saved_variant(documents: &ImageDocuments) -> SavedVariant {
    SavedVariant {
        manifest: documents.manifest.clone(),
        config: Some(documents.config.bytes().clone()),
        layer_sizes: Vec::new(),
    }
}

/// The index that one of the names was pulled as, if the store has it.
async fn index_of(txn: &dyn ReadTxn, row: &ImageRow, names: &[Reference]) -> Result<Option<Raw<Manifest>>> {
    for known in txn.digest_names_of_image(&row.id).await? {
        if known.digest == row.manifest || !names.iter().any(|name| name.name() == known.repository) {
            continue;
        }
        let Some(bytes) = txn.object(&known.digest).await?.and_then(|object| object.bytes) else { continue };
        let parsed = Raw::parse(bytes, |bytes| Manifest::parse(bytes, None));
        if let Ok(manifest) = parsed
            && matches!(manifest.value(), Manifest::Index(_))
        {
            return Ok(Some(manifest));
        }
    }
    Ok(None)
}
