//! `push`: from the store to a registry, under the same name.
//!
//! What came from a registry goes back byte for byte. Layers that are held as plain tars (from old archives, `import`) are
//! compressed first, as docker does, which gives the image a manifest of its own on the registry.

use std::sync::Arc;

use strata_archive::synthesize_manifest;
use strata_model::{
    Descriptor, DiffId, Digest, Manifest, MediaType, Platform, Raw, Reference, Repository, Tag, Target,
};
use strata_registry_client::{RegistryClient, RepositoryClient};
use strata_store::{DigestNameRow, ImageRow, Lease, NameRow, ReadTxn, Store, StoreSource};
use strata_transfer::{CopyLimits, CopyPlan, PlatformChoice, Progress, copy};

use crate::compress::compress;
use crate::lookup::find_image_in;
use crate::{EngineError, ImageDocuments, Result, event, load_documents};

/// Repositories that are tried for mounting layers from.
const MOUNT_CANDIDATES: usize = 8;

/// What to push.
#[derive(Clone, Debug)]
pub struct PushRequest {
    /// The name; without a tag, `latest` is meant.
    pub reference: Reference,
    /// Every local tag of the repository.
    pub all_tags: bool,
    /// Only the image for this platform.
    pub platform: Option<Platform>,
    /// How much at once.
    pub limits: CopyLimits,
}

/// One pushed tag.
#[derive(Clone, Debug)]
pub struct Pushed {
    /// The tag.
    pub tag: Tag,
    /// Digest of the manifest or index.
    pub digest: Digest,
    /// Its length in bytes.
    pub size: u64,
}

/// A tag that a request means, and what will be pushed for it.
#[derive(Clone, Debug)]
pub struct PushTarget {
    /// The tag.
    pub tag: Tag,
    /// The layers of the image as docker shows them in progress: blob and diff ID.
    pub layers: Vec<(Digest, DiffId)>,
    image: ImageRow,
    root: Digest,
}

/// Finds what a request means and makes it ready: plain layers get a compressed blob.
///
/// # Errors
/// `Invalid` with docker's words when no local image has the name.
pub async fn prepare_push(store: &Store, lease: &Lease, request: &PushRequest) -> Result<Vec<PushTarget>> {
    let names = names_to_push(store, request).await?;
    let mut targets = Vec::with_capacity(names.len());
    for name in names {
        let txn = store.read().await?;
        let reference = format!("{}:{}", name.repository, name.tag);
        let image = find_image_in(&*txn, &reference, request.platform.as_ref()).await?.row;
        let whole =
            if request.platform.is_none() { complete_index(&*txn, &image, &name.repository).await? } else { None };
        drop(txn);
        let (root, layers) = match whole {
            Some(index) => (index, image_layers(store, &image).await?),
            None => {
                let documents = load_documents(&*store.read().await?, &image).await?;
                compressed_manifest(store, lease, image.manifest, &documents).await?
            }
        };
        let tag = name.tag.parse().map_err(EngineError::Reference)?;
        targets.push(PushTarget { tag, layers, image, root });
    }
    Ok(targets)
}

/// Pushes one prepared tag.
///
/// # Errors
/// With docker's wording for what the registry refuses.
pub async fn push_target(
    store: &Store,
    client: &RegistryClient,
    request: &PushRequest,
    target: &PushTarget,
    progress: &dyn Progress,
) -> Result<Pushed> {
    let source = StoreSource::new(store, target.root);
    let sink = sink(store, client, request, target).await?;
    let platforms = PlatformChoice::All;
    let plan = CopyPlan { target: Target::Tag(target.tag.clone()), platforms, limits: request.limits };
    let copied = copy(&source, &sink, &plan, progress).await?;
    let pushed = Pushed { tag: target.tag.clone(), digest: copied.image.digest, size: copied.image.size };
    let name = request.reference.with_tag(target.tag.clone());
    let mut txn = store.write("noting a push").await?;
    let row = DigestNameRow { repository: request.reference.name(), digest: pushed.digest, image: target.image.id };
    txn.put_digest_name(&row).await?;
    txn.insert_event(&event::image_event(store.now(), "push", &name.familiar(), &name.familiar_name())).await?;
    txn.commit().await?;
    Ok(pushed)
}

async fn sink(
    store: &Store,
    client: &RegistryClient,
    request: &PushRequest,
    target: &PushTarget,
) -> Result<RepositoryClient> {
    Ok(client
        .repository(request.reference.host(), request.reference.repository())
        .with_target(Target::Tag(target.tag.clone()))
        .with_mount_candidates(mount_candidates(store, &request.reference).await?))
}

/// Other repositories on the target's registry that local images came from: they may have the blobs.
pub(crate) async fn mount_candidates(store: &Store, target: &Reference) -> Result<Vec<Repository>> {
    let prefix = format!("{}/", target.host());
    let txn = store.read().await?;
    let mut candidates: Vec<Repository> = Vec::new();
    for row in txn.digest_names().await? {
        let Some(Ok(repository)) = row.repository.strip_prefix(&prefix).map(str::parse::<Repository>) else { continue };
        if repository != *target.repository() && !candidates.contains(&repository) {
            candidates.push(repository);
        }
    }
    candidates.truncate(MOUNT_CANDIDATES);
    Ok(candidates)
}

async fn names_to_push(store: &Store, request: &PushRequest) -> Result<Vec<NameRow>> {
    let mut names = store.read().await?.names_of_repository(&request.reference.name()).await?;
    names.sort();
    names.dedup_by(|a, b| a.tag == b.tag);
    let familiar = request.reference.familiar_name();
    if names.is_empty() {
        return Err(EngineError::invalid(format!("An image does not exist locally with the tag: {familiar}")));
    }
    if request.all_tags {
        return Ok(names);
    }
    let tag = request.reference.tag().cloned().unwrap_or_else(Tag::latest);
    names.retain(|name| name.tag == tag.as_str());
    if names.is_empty() {
        return Err(EngineError::invalid(format!("tag does not exist: {familiar}:{tag}")));
    }
    Ok(names)
}

/// The index that the image was pulled as from a repository, when everything in it is here.
pub(crate) async fn complete_index(txn: &dyn ReadTxn, image: &ImageRow, repository: &str) -> Result<Option<Digest>> {
    for known in txn.digest_names_of_image(&image.id).await? {
        if known.repository != repository || known.digest == image.manifest {
            continue;
        }
        let Some(bytes) = txn.object(&known.digest).await?.and_then(|row| row.bytes) else { continue };
        let Ok(Manifest::Index(index)) = Manifest::parse(&bytes, None) else { continue };
        let children: Vec<Digest> = index.manifests.iter().map(|entry| entry.digest).collect();
        if txn.present(&children).await?.len() == children.len() {
            return Ok(Some(known.digest));
        }
    }
    Ok(None)
}

async fn image_layers(store: &Store, image: &ImageRow) -> Result<Vec<(Digest, DiffId)>> {
    let txn = store.read().await?;
    let documents = load_documents(&*txn, image).await?;
    Ok(shown_layers(&documents))
}

fn shown_layers(documents: &ImageDocuments) -> Vec<(Digest, DiffId)> {
    let diff_ids = &documents.config.value().rootfs.diff_ids;
    documents.image().layers.iter().map(|layer| layer.digest).zip(diff_ids.iter().copied()).collect()
}

/// The manifest to push for an image: its own, unless a layer is a plain tar.
pub(crate) async fn compressed_manifest(
    store: &Store,
    lease: &Lease,
    own: Digest,
    documents: &ImageDocuments,
) -> Result<(Digest, Vec<(Digest, DiffId)>)> {
    let manifest = documents.image();
    let diff_ids = &documents.config.value().rootfs.diff_ids;
    let is_plain =
        |layer: &Descriptor| layer.media_type == MediaType::OCI_LAYER || layer.media_type == MediaType::DOCKER_LAYER;
    if !manifest.layers.iter().any(is_plain) {
        return Ok((own, shown_layers(documents)));
    }
    let mut layers = Vec::with_capacity(manifest.layers.len());
    for (layer, diff_id) in manifest.layers.iter().zip(diff_ids) {
        if !is_plain(layer) {
            layers.push(layer.clone());
            continue;
        }
        let (digest, size) = match gzip_blob(store, diff_id).await? {
            Some(known) => known,
            None => {
                let reader = Arc::new(store.open_layer(diff_id).await?);
                store.add_layer_blob(lease, diff_id, MediaType::DOCKER_LAYER_GZIP, compress(reader)).await?
            }
        };
        layers.push(Descriptor::new(MediaType::DOCKER_LAYER_GZIP, digest, size));
    }
    let raw: Raw<Manifest> = synthesize_manifest(documents.config.bytes(), &layers);
    store.publish_images(lease, std::slice::from_ref(&raw), &[], &[]).await?;
    let shown = layers.iter().map(|layer| layer.digest).zip(diff_ids.iter().copied()).collect();
    Ok((raw.digest(), shown))
}

/// A gzip blob of a layer that is here already.
async fn gzip_blob(store: &Store, diff_id: &DiffId) -> Result<Option<(Digest, u64)>> {
    let txn = store.read().await?;
    for blob in txn.blobs_of_layer(diff_id).await? {
        if let Some(row) = txn.object(&blob).await?
            && !row.damaged
            && (row.media_type == MediaType::DOCKER_LAYER_GZIP || row.media_type == MediaType::OCI_LAYER_GZIP)
        {
            return Ok(Some((row.digest, row.size)));
        }
    }
    Ok(None)
}
