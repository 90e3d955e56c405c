//! `load`: every image of an archive, in one pass over the stream.
//!
//! The archive is read on a blocking thread; each layer is unpacked on two more as it arrives, and sealed and published
//! while the next one is read (at most [`IN_FLIGHT`] at once). Manifests and names come last, in one transaction.

use std::collections::{HashMap, VecDeque};
use std::io::Read;
use std::sync::Arc;

use bytes::Bytes;
use strata_archive::{
    ArchiveImage, ArchiveImages, ArchiveSink, ImageVariant, Member, MemberContent, SinkError, Stored, read_archive,
    synthesize_manifest,
};
use strata_layer::decompressor;
use strata_model::{Compression, Descriptor, DiffId, Digest, Hasher, ImageId, Manifest, MediaType, Platform, Raw};
use strata_store::{IngestedLayer, Lease, LeaseItem, NewImage, Store, StoreError};
use strata_transfer::{Phase, Progress, ProgressEvent};

use crate::view::{ViewPolicy, accept_image};
use crate::{EngineError, Result, event, load_documents};

const CHUNK: usize = 256 << 10;
/// Layers that are being sealed and published while the next one is read.
const IN_FLIGHT: usize = 3;
/// Largest attestation that is kept, in bytes.
const MAX_STATEMENT_SIZE: u64 = 4 << 20;
const IN_TOTO: MediaType = MediaType(std::borrow::Cow::Borrowed("application/vnd.in-toto+json"));

/// What to load.
#[derive(Clone, Debug)]
pub struct LoadRequest {
    /// Only images for this platform.
    pub platform: Option<Platform>,
    /// Whether to prepare images for mounting.
    pub view: ViewPolicy,
}

/// What was loaded.
#[derive(Clone, Debug, Default)]
pub struct Loaded {
    /// Familiar names, in the order of the archive.
    pub names: Vec<String>,
    /// Images without a name.
    pub ids: Vec<ImageId>,
    /// Names that pointed to other images before, and those images.
    pub renamed: Vec<(String, ImageId)>,
}

impl Loaded {
    /// What docker says about it, in lines.
    pub fn told(&self) -> String {
        let mut text = String::new();
        for name in &self.names {
            if let Some((_, old)) = self.renamed.iter().find(|(renamed, _)| renamed == name) {
                text.push_str(&format!(
                    "The image {name} already exists, renaming the old one with ID {old} to empty string\n"
                ));
            }
            text.push_str(&format!("Loaded image: {name}\n"));
        }
        for id in &self.ids {
            text.push_str(&format!("Loaded image ID: {id}\n"));
        }
        text
    }
}

/// Loads every image of an archive: any age of docker archive, an OCI layout, compressed in any way.
///
/// What was complete when a load is killed stays until its lease ends; nothing gets a name before all of it is here.
///
/// # Errors
/// `Invalid` with docker's words for what is no image archive; `Corrupt` when digests do not match.
pub async fn load(
    store: &Store,
    input: impl Read + Send + 'static,
    request: &LoadRequest,
    progress: Arc<dyn Progress>,
) -> Result<Loaded> {
    let lease = Arc::new(store.lease("load").await?);
    let archive = read_images(store, &lease, input, progress).await?;
    let loaded = publish(store, &lease, &archive, request).await?;
    if let Some(lease) = Arc::into_inner(lease) {
        store.release(lease).await?;
    }
    event::snapshot(store).await;
    Ok(loaded)
}

/// What an archive turned out to hold. Its layers are in the store, under the lease.
pub(crate) struct ReadArchive {
    /// The images.
    pub(crate) images: ArchiveImages,
    layers: HashMap<Digest, IngestedLayer>,
}

/// Reads a whole archive: layers go into the store as they come, documents are kept.
///
/// # Errors
/// As [`load`].
pub(crate) async fn read_images(
    store: &Store,
    lease: &Arc<Lease>,
    input: impl Read + Send + 'static,
    progress: Arc<dyn Progress>,
) -> Result<ReadArchive> {
    let handle = tokio::runtime::Handle::current();
    let mut sink = Sink {
        store: store.clone(),
        lease: lease.clone(),
        handle,
        progress,
        in_flight: VecDeque::new(),
        layers: HashMap::new(),
    };
    let (images, mut sink) = tokio::task::spawn_blocking(move || {
        let images = read_input(input, &mut sink);
        (images, sink)
    })
    .await
    .map_err(|cause| StoreError::Malformed { what: "a worker thread".into(), cause: cause.to_string() })?;
    while let Some(task) = sink.in_flight.pop_front() {
        let layer = joined(task.await)?;
        sink.layers.insert(layer.blob, layer);
    }
    Ok(ReadArchive { images: images?, layers: sink.layers })
}

impl ReadArchive {
    /// Puts the configuration of an image into the store, where its layers are; returns its manifest, to be published.
    ///
    /// # Errors
    /// `Invalid` when a layer is not what the configuration says, or the image is an artifact.
    pub(crate) async fn stage(&self, store: &Store, lease: &Lease, variant: &ImageVariant) -> Result<Raw<Manifest>> {
        stage_nothing(store, lease, variant).await?;
        let manifest = match known_manifest(store, lease, variant).await? {
            Some(known) => known,
            None => complete_manifest(store, variant).await?,
        };
        check_diff_ids(variant, &self.layers)?;
        let (media_type, digest) = config_of(&manifest);
        let Some(config) = &variant.config else {
            return Err(EngineError::invalid(format!("{}: an artifact, no container image", manifest.digest())));
        };
        store.put_small_object(lease, &media_type, digest, config.clone()).await?;
        Ok(manifest)
    }
}

fn joined(result: Result<strata_store::Result<IngestedLayer>, tokio::task::JoinError>) -> Result<IngestedLayer> {
    let result = result.map_err(|cause| StoreError::Malformed { what: "a worker".into(), cause: cause.to_string() })?;
    Ok(result?)
}

fn read_input(input: impl Read + Send, sink: &mut Sink) -> Result<ArchiveImages> {
    let (_, plain) =
        decompressor(input).map_err(|cause| EngineError::invalid(format!("reading the archive: {cause}")))?;
    match read_archive(plain, sink) {
        Ok(images) => Ok(images),
        Err(error) => Err(EngineError::Archive(error)),
    }
}

/// Takes the members of the archive.
struct Sink {
    store: Store,
    lease: Arc<Lease>,
    handle: tokio::runtime::Handle,
    progress: Arc<dyn Progress>,
    in_flight: VecDeque<tokio::task::JoinHandle<strata_store::Result<IngestedLayer>>>,
    layers: HashMap<Digest, IngestedLayer>,
}

impl ArchiveSink for Sink {
    fn store(&mut self, member: &Member<'_>, data: &mut dyn Read) -> Result<Stored, SinkError> {
        match member.content {
            MemberContent::Layer(compression) => self.store_layer(member, compression, data),
            MemberContent::Document if member.size <= MAX_STATEMENT_SIZE => self.store_statement(member, data),
            MemberContent::Document | MemberContent::Empty | MemberContent::Other => hash_member(member, data),
        }
    }
}

impl Sink {
    fn store_layer(
        &mut self,
        member: &Member<'_>,
        compression: Compression,
        data: &mut dyn Read,
    ) -> Result<Stored, SinkError> {
        let shown = shown_digest(member);
        let mut ingest = self.handle.block_on(self.store.begin_layer(&self.lease, member.path))?;
        let mut hasher = Hasher::new(strata_model::Algorithm::Sha256);
        let mut size = 0;
        loop {
            let chunk = read_chunk(data)?;
            if chunk.is_empty() {
                break;
            }
            hasher.update(&chunk);
            size += chunk.len() as u64;
            self.handle.block_on(ingest.write(chunk))?;
            self.progress.event(ProgressEvent {
                digest: shown,
                phase: Phase::Extracting,
                current: size,
                total: member.size,
            });
        }
        if matches!(compression, Compression::Bzip2 | Compression::Xz) {
            // No media type for layers says so: what is kept of such a layer is its plain tar.
            let layer = self.handle.block_on(ingest.finish(&self.lease, None))?;
            let stored = Stored {
                digest: layer.blob,
                size: layer.size,
                compression: Compression::None,
                diff_id: Some(layer.diff_id),
            };
            self.layers.insert(layer.blob, layer);
            return Ok(stored);
        }
        let digest = hasher.finish();
        self.publish_in_background(ingest, shown, member.size)?;
        Ok(Stored { digest, size, compression, diff_id: None })
    }

    /// Keeps a document that is a layer of an attestation; all other documents are kept by the reader of the archive.
    fn store_statement(&mut self, member: &Member<'_>, data: &mut dyn Read) -> Result<Stored, SinkError> {
        let mut bytes = Vec::new();
        data.read_to_end(&mut bytes)?;
        let stored = hash_member(member, &mut &bytes[..])?;
        if is_statement(&bytes) {
            let (lease, digest) = (&self.lease, stored.digest);
            self.handle.block_on(self.store.put_small_object(lease, &IN_TOTO, digest, bytes.into()))?;
        }
        Ok(stored)
    }

    fn publish_in_background(
        &mut self,
        ingest: strata_store::LayerIngest,
        shown: Digest,
        total: u64,
    ) -> Result<(), SinkError> {
        if self.in_flight.len() >= IN_FLIGHT
            && let Some(oldest) = self.in_flight.pop_front()
        {
            let layer = self.handle.block_on(oldest)??;
            self.layers.insert(layer.blob, layer);
        }
        let (lease, progress) = (self.lease.clone(), self.progress.clone());
        self.in_flight.push_back(self.handle.spawn(async move {
            let layer = ingest.finish(&lease, None).await?;
            progress.event(ProgressEvent { digest: shown, phase: Phase::Complete, current: total, total });
            Ok(layer)
        }));
        Ok(())
    }
}

/// What identifies a member in progress: the digest in its path, as most writers name layers by one.
fn shown_digest(member: &Member<'_>) -> Digest {
    let from_path = || member.path.split(['/', '.']).find_map(|part| format!("sha256:{part}").parse().ok());
    member.expected.or_else(from_path).unwrap_or_else(|| Digest::of(member.path.as_bytes()))
}

/// Whether a document is an in-toto statement (provenance, SBOM).
fn is_statement(bytes: &[u8]) -> bool {
    #[derive(serde::Deserialize)]
    #[serde(rename_all = "camelCase")]
    struct Shape {
        predicate_type: Option<serde::de::IgnoredAny>,
        schema_version: Option<serde::de::IgnoredAny>,
    }
    serde_json::from_slice::<Shape>(bytes)
        .is_ok_and(|shape| shape.predicate_type.is_some() && shape.schema_version.is_none())
}

fn hash_member(member: &Member<'_>, data: &mut dyn Read) -> Result<Stored, SinkError> {
    let mut hasher = match &member.expected {
        Some(expected) => expected.hasher(),
        None => Hasher::new(strata_model::Algorithm::Sha256),
    };
    let mut size = 0;
    loop {
        let chunk = read_chunk(data)?;
        if chunk.is_empty() {
            break;
        }
        hasher.update(&chunk);
        size += chunk.len() as u64;
    }
    Ok(Stored { digest: hasher.finish(), size, compression: Compression::None, diff_id: None })
}

/// Reads a full chunk, or what is left; empty at the end.
fn read_chunk(data: &mut dyn Read) -> std::io::Result<Bytes> {
    let mut chunk = Vec::with_capacity(CHUNK);
    data.take(CHUNK as u64).read_to_end(&mut chunk)?;
    Ok(chunk.into())
}

/// Publishes what the archive turned out to hold.
async fn publish(store: &Store, lease: &Lease, archive: &ReadArchive, request: &LoadRequest) -> Result<Loaded> {
    let mut manifests: Vec<Raw<Manifest>> = Vec::new();
    let mut images: Vec<NewImage> = Vec::new();
    let mut loaded = Loaded::default();
    let mut events = Vec::new();
    for image in &archive.images.images {
        let mut any = false;
        for variant in image.variants.iter().filter(|variant| is_wanted(variant, request.platform.as_ref())) {
            if variant.config.is_none() {
                continue;
            }
            let manifest = archive.stage(store, lease, variant).await?;
            // Attestations look like images, but have no file system.
            if is_file_system(&manifest) {
                accept_image(store, manifest.value(), request.view).await?;
                images.push(new_image(image, variant, &manifest));
                any = true;
                if image.names.is_empty() {
                    loaded.ids.push(ImageId(config_of(&manifest).1));
                }
            }
            manifests.push(manifest);
        }
        if any {
            manifests.extend(image.indexes.iter().rev().cloned());
            loaded.names.extend(image.names.iter().map(|name| name.familiar()));
            events.extend(
                image
                    .names
                    .iter()
                    .map(|name| event::image_event(store.now(), "load", &name.familiar(), &name.familiar_name())),
            );
        }
    }
    if archive.images.images.is_empty() {
        // A manifest.json that is an empty list: docker takes it, and so do we.
        return Ok(loaded);
    }
    if images.is_empty() {
        let reason = match &request.platform {
            Some(platform) => format!("the archive holds no image for {platform}"),
            None => "the archive holds no container image".into(),
        };
        return Err(EngineError::invalid(reason));
    }
    let published = store.publish_images(lease, &manifests, &images, &events).await?;
    for image in &published {
        let renamed =
            image.moved.iter().filter_map(|(name, former)| Some((crate::name_reference(name)?.familiar(), *former)));
        loaded.renamed.extend(renamed);
    }
    Ok(loaded)
}

fn is_wanted(variant: &ImageVariant, platform: Option<&Platform>) -> bool {
    match (platform, &variant.platform) {
        (None, _) => true,
        (Some(wanted), Some(offered)) => wanted.is_same(offered),
        (Some(_), None) => false,
    }
}

fn is_file_system(manifest: &Raw<Manifest>) -> bool {
    match manifest.value() {
        Manifest::Image(image) => image.layers.iter().all(|layer| layer.media_type.is_layer()),
        Manifest::Index(_) => false,
    }
}

fn config_of(manifest: &Raw<Manifest>) -> (MediaType, Digest) {
    match manifest.value() {
        Manifest::Image(image) => (image.config.media_type.clone(), image.config.digest),
        Manifest::Index(_) => (MediaType::OCTET_STREAM, manifest.digest()),
    }
}

fn new_image(image: &ArchiveImage, variant: &ImageVariant, manifest: &Raw<Manifest>) -> NewImage {
    let names = image.names.iter().filter_map(|name| Some((name.name(), name.tag()?.to_string()))).collect();
    // A manifest that the archive brought has a digest that a registry may know; one made here has not.
    let digest_names = if variant.synthesized {
        Vec::new()
    } else {
        image.names.iter().map(|name| (name.name(), image.root.digest)).collect()
    };
    NewImage { manifest: manifest.digest(), digest_names, names }
}

/// Stages the layer of no bytes if the variant has it: old docker wrote layers without entries so. Any other file without
/// bytes stands for a layer that is left out.
async fn stage_nothing(store: &Store, lease: &Lease, variant: &ImageVariant) -> Result<()> {
    let nothing = DiffId(Digest::of(b""));
    if let Some(layer) = variant.layers.iter().find(|layer| layer.diff_id == Some(nothing)) {
        store.begin_layer(lease, &layer.path).await?.finish(lease, None).await?;
    }
    Ok(())
}

/// The manifest that the store has of the same image, when the archive brought none: the image keeps the digest that it
/// has in registries.
async fn known_manifest(store: &Store, lease: &Lease, variant: &ImageVariant) -> Result<Option<Raw<Manifest>>> {
    let (true, Some(config)) = (variant.synthesized, &variant.config) else { return Ok(None) };
    let txn = store.read().await?;
    let Some(row) = txn.image(&ImageId(Digest::of(config))).await? else { return Ok(None) };
    let Ok(documents) = load_documents(&*txn, &row).await else { return Ok(None) };
    let Manifest::Image(image) = documents.manifest.value() else { return Ok(None) };
    for layer in &image.layers {
        if txn.object(&layer.digest).await?.is_none_or(|object| object.damaged) {
            return Ok(None);
        }
    }
    drop(txn);
    store.protect(lease, &[LeaseItem::Object(documents.manifest.digest())]).await?;
    Ok(Some(documents.manifest))
}

/// The variant's manifest; made anew when the archive left out layers that are here already (an empty file stands for
/// each).
async fn complete_manifest(store: &Store, variant: &ImageVariant) -> Result<Raw<Manifest>> {
    let is_left_out = |layer: &strata_archive::ArchiveLayer| layer.stored.is_some_and(|stored| stored.size == 0);
    if !variant.synthesized || !variant.layers.iter().any(is_left_out) {
        return Ok(variant.manifest.clone());
    }
    let txn = store.read().await?;
    let mut descriptors: Vec<Descriptor> = Vec::with_capacity(variant.layers.len());
    for layer in &variant.layers {
        if !is_left_out(layer) {
            descriptors.push(layer.descriptor.clone());
            continue;
        }
        let missing =
            || EngineError::invalid(format!("{}: the archive leaves this layer out, and it is not here", layer.path));
        let diff_id = layer.diff_id.ok_or_else(missing)?;
        let blob = txn.blobs_of_layer(&diff_id).await?.into_iter().next().ok_or_else(missing)?;
        let row = txn.object(&blob).await?.ok_or_else(missing)?;
        descriptors.push(Descriptor::new(row.media_type, row.digest, row.size));
    }
    let config = variant.config.as_deref().unwrap_or_default();
    Ok(synthesize_manifest(config, &descriptors))
}

/// Compares what the configuration claims with what unpacking found.
fn check_diff_ids(variant: &ImageVariant, layers: &HashMap<Digest, IngestedLayer>) -> Result<()> {
    for (position, layer) in variant.layers.iter().enumerate() {
        let found: Option<DiffId> =
            layer.stored.and_then(|stored| layers.get(&stored.digest)).map(|ingested| ingested.diff_id);
        if let (Some(claimed), Some(found)) = (layer.diff_id, found)
            && claimed != found
        {
            return Err(EngineError::invalid(format!(
                "invalid diffID for layer {position}: expected \"{claimed}\", got \"{found}\""
            )));
        }
    }
    Ok(())
}
