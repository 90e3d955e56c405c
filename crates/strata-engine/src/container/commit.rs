//! `commit`: a container's writable layer as a layer of a new image.
//!
//! The layer's tar streams from the writable layer into the store; nothing is kept besides. Its digest is computed on both
//! ends.

use std::collections::BTreeMap;
use std::io::{self, Write};
use std::path::Path;

use bytes::Bytes;
use serde_json::{Map, Value, json};
use strata_layer::Kind;
use strata_model::{Algorithm, Descriptor, DiffId, Digest, Hasher, ImageId, Manifest, MediaType, Raw, Reference};
use strata_runtime::{ContainerStatus, Control, RuntimeError, state};
use strata_store::{ChunkWriter, ContainerRow, IngestedLayer, Lease, NewImage, Store, StoreError};

use super::changes::is_made_by_runtime;
use super::document::{Config, ContainerDocument};
use super::find::find_ready;
use super::root::container_image;
use super::tree::{TreeTar, open_root, walk};
use super::{container_directory, container_event, merge};
use crate::change::apply_change;
use crate::inspect::nanosecond_time;
use crate::lookup::ImageDocuments;
use crate::view::{ViewPolicy, accept_image};
use crate::{EngineError, Result, event};

/// What to make of a container.
#[derive(Clone, Debug)]
pub struct CommitRequest {
    /// The name to give the image.
    pub reference: Option<Reference>,
    /// Who made it.
    pub author: String,
    /// A comment.
    pub message: String,
    /// What it is to run, completed by what the container runs; `None` is just that.
    pub config: Option<Config>,
    /// Dockerfile instructions to apply to the configuration.
    pub changes: Vec<String>,
    /// Whether the container stands still meanwhile.
    pub pause: bool,
    /// Whether to prepare the image for mounting.
    pub view: ViewPolicy,
}

/// Makes an image of a container.
///
/// # Errors
/// `NotFound`; `Invalid` for unknown instructions; when the writable layer cannot be read.
pub async fn commit_container(store: &Store, root: &Path, text: &str, request: &CommitRequest) -> Result<ImageId> {
    let row = find_ready(&*store.read().await?, text).await?;
    let document = ContainerDocument::parse(&row)?;
    let base = container_image(store, &row).await?;
    let mut container = image_part(&document.config);
    if let Some(mut config) = request.config.clone() {
        let own = serde_json::from_value(Value::Object(container))
            .map_err(|cause| EngineError::invalid(format!("container configuration: {cause}")))?;
        merge::complete(&mut config, &own)?;
        container = image_part(&config);
    }
    for change in &request.changes {
        apply_change(&mut container, change)?;
    }
    let lease = store.lease("commit").await?;
    let directory = container_directory(root, &row.id);
    let layer = {
        let _pause = request.pause.then(|| Pause::of(&directory)).transpose()?;
        ingest(store, &lease, &directory.join("upper")).await?
    };
    let config: Bytes = image_config(store, request, &base, (&row, &document), container, &layer)?.into();
    let digest = Digest::of(&config);
    let manifest = image_manifest(&base, &config, &layer)?;
    let config_type = base.image().config.media_type.clone();
    store.put_small_object(&lease, &config_type, digest, config).await?;
    let names = request.reference.iter().filter_map(|name| Some((name.name(), name.tag()?.to_string()))).collect();
    let image = NewImage { manifest: manifest.digest(), digest_names: Vec::new(), names };
    accept_image(store, manifest.value(), request.view).await?;
    let events = [container_event(store.now(), "commit", &row)];
    store.publish_images(&lease, &[manifest], &[image], &events).await?;
    store.release(lease).await?;
    event::snapshot(store).await;
    Ok(ImageId(digest))
}

/// A container that stands still until this is dropped.
struct Pause(Option<Control>);

impl Pause {
    fn of(directory: &Path) -> Result<Pause> {
        if state(directory)?.status != ContainerStatus::Running {
            return Ok(Pause(None));
        }
        let mut control = Control::connect(directory)?;
        match control.pause() {
            Ok(()) => Ok(Pause(Some(control))),
            // It goes on meanwhile: this machine lets nobody stop it. Or it has just ended.
            Err(RuntimeError::Unsupported(_) | RuntimeError::NotFound(_)) => Ok(Pause(None)),
            Err(error) => Err(error.into()),
        }
    }
}

impl Drop for Pause {
    fn drop(&mut self) {
        if let Some(control) = &mut self.0
            && let Err(error) = control.unpause()
        {
            tracing::warn!(%error, "a container stays paused");
        }
    }
}

/// Takes the writable layer into the store.
async fn ingest(store: &Store, lease: &Lease, upper: &Path) -> Result<IngestedLayer> {
    let mut ingest = store.begin_layer(lease, "commit").await?;
    let (sender, mut receiver) = tokio::sync::mpsc::channel::<io::Result<Bytes>>(4);
    let source = upper.to_owned();
    let writer = tokio::task::spawn_blocking(move || {
        let hashed = Hashed { out: ChunkWriter::new(sender), hasher: Hasher::new(Algorithm::Sha256) };
        Ok(write_layer(&source, hashed)?.hasher.finish())
    });
    while let Some(chunk) = receiver.recv().await {
        let chunk = chunk.map_err(|cause| EngineError::file("reading", upper, cause))?;
        ingest.write(chunk).await?;
    }
    let digest = writer
        .await
        .map_err(|cause| EngineError::invalid(format!("a worker thread failed: {cause}")))?
        .map_err(|cause: io::Error| EngineError::file("reading", upper, cause))?;
    Ok(ingest.finish(lease, Some(DiffId(digest))).await?)
}

struct Hashed<W> {
    out: W,
    hasher: Hasher,
}

impl<W: Write> Write for Hashed<W> {
    fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
        let written = self.out.write(bytes)?;
        self.hasher.update(&bytes[..written]);
        Ok(written)
    }

    fn flush(&mut self) -> io::Result<()> {
        self.out.flush()
    }
}

/// Writes an overlay's upper directory as a layer: its whiteouts become files `.wh.NAME`, its opaque directories have a
/// file `.wh..wh..opq` (OCI image-spec, layer.md).
fn write_layer<W: Write>(upper: &Path, out: W) -> io::Result<W> {
    let mut tar = TreeTar::new(out);
    walk(&open_root(upper)?, &|_| false, &mut |entry| {
        if is_made_by_runtime(entry) {
            return Ok(());
        }
        if entry.is_whiteout() {
            let (directory, name) = match entry.path.iter().rposition(|byte| *byte == b'/') {
                Some(slash) => entry.path.split_at(slash + 1),
                None => (&b""[..], entry.path),
            };
            return tar.mark(&[directory, b".wh.", name].concat(), entry);
        }
        tar.add(entry.path, entry)?;
        match entry.kind() == Some(Kind::Directory) && entry.is_opaque() {
            true => tar.mark(&[entry.path, b"/.wh..wh..opq"].concat(), entry),
            false => Ok(()),
        }
    })?;
    tar.finish()
}

/// What of a container's configuration an image has.
fn image_part(config: &Config) -> Map<String, Value> {
    const KEYS: &[&str] = &[
        "User",
        "ExposedPorts",
        "Env",
        "Entrypoint",
        "Cmd",
        "Healthcheck",
        "Volumes",
        "WorkingDir",
        "OnBuild",
        "Labels",
        "StopSignal",
        "Shell",
    ];
    let Value::Object(all) = json!(config) else { return Map::new() };
    let is_set = |value: &Value| !matches!(value, Value::Null) && value != "" && *value != json!({});
    all.into_iter().filter(|(key, value)| KEYS.contains(&key.as_str()) && is_set(value)).collect()
}

/// The base's configuration with another container part, one layer and one step more.
fn image_config(
    store: &Store,
    request: &CommitRequest,
    base: &ImageDocuments,
    (row, document): (&ContainerRow, &ContainerDocument),
    container: Map<String, Value>,
    layer: &IngestedLayer,
) -> Result<Vec<u8>> {
    let malformed = |cause: serde_json::Error| EngineError::invalid(format!("image configuration: {cause}"));
    let mut fields: BTreeMap<String, Value> = serde_json::from_slice(base.config.bytes()).map_err(malformed)?;
    for key in ["container", "container_config", "parent", "comment", "author", "docker_version"] {
        fields.remove(key);
    }
    let created = nanosecond_time(store.now());
    let mut step = Map::new();
    step.insert("created".into(), json!(created));
    if !request.author.is_empty() {
        step.insert("author".into(), json!(request.author));
        fields.insert("author".into(), json!(request.author));
    }
    step.insert("created_by".into(), json!(merge::command_line(&document.config).join(" ")));
    if !request.message.is_empty() {
        step.insert("comment".into(), json!(request.message));
        fields.insert("comment".into(), json!(request.message));
    }
    let mut history = fields.remove("history").and_then(|value| value.as_array().cloned()).unwrap_or_default();
    history.push(Value::Object(step));
    let mut layers = base.config.value().rootfs.diff_ids.clone();
    layers.push(layer.diff_id);
    // As docker's engine: what it was made of.
    fields.insert("container".into(), json!(row.id));
    fields.insert("container_config".into(), json!(document.config));
    fields.insert("parent".into(), json!(row.image));
    fields.insert("config".into(), Value::Object(container));
    fields.insert("created".into(), json!(created));
    fields.insert("history".into(), json!(history));
    fields.insert("rootfs".into(), json!({ "type": "layers", "diff_ids": layers }));
    serde_json::to_vec(&fields).map_err(malformed)
}

/// The base's manifest with another configuration and one layer more, in the base's own family of media types.
fn image_manifest(base: &ImageDocuments, config: &[u8], layer: &IngestedLayer) -> Result<Raw<Manifest>> {
    let mut manifest = base.image().clone();
    let is_docker = manifest.config.media_type == MediaType::DOCKER_CONFIG;
    let layer_type =
        if is_docker { MediaType::DOCKER_LAYER } else { strata_store::layer_media_type(layer.compression) };
    manifest.config = Descriptor::new(manifest.config.media_type.clone(), Digest::of(config), config.len() as u64);
    manifest.layers.push(Descriptor::new(layer_type, layer.blob, layer.size));
    manifest.subject = None;
    manifest.annotations.clear();
    let malformed = |cause: String| StoreError::Malformed { what: "the new manifest".into(), cause };
    let bytes = serde_json::to_vec(&manifest).map_err(|cause| malformed(cause.to_string()))?;
    Ok(Raw::parse(Bytes::from(bytes), |bytes| Manifest::parse(bytes, None))
        .map_err(|cause| malformed(cause.to_string()))?)
}
