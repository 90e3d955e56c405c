//! `import`: a root file system tarball as an image of one layer.

use std::io::Read;
use std::sync::Arc;

use bytes::Bytes;
use futures_util::{StreamExt as _, TryStreamExt as _};
use serde_json::{Map, Value, json};
use strata_archive::synthesize_manifest;
use strata_model::{Descriptor, Digest, ImageId, MediaType, Platform, Reference};
use strata_registry_client::RegistryClient;
use strata_store::{NewImage, Store, StoreError};
use strata_transfer::{Phase, Progress, ProgressEvent};

use crate::change::apply_change;
use crate::copy::ChunkReader;
use crate::view::{ViewPolicy, accept_image};
use crate::{EngineError, Result, event};

const CHUNK: usize = 256 << 10;

/// What to import.
#[derive(Clone, Debug)]
pub struct ImportRequest {
    /// The name to give it.
    pub reference: Option<Reference>,
    /// Dockerfile instructions to apply to the configuration.
    pub changes: Vec<String>,
    /// The comment; docker's default is `Imported from -`.
    pub message: String,
    /// The platform; `None` is this machine's.
    pub platform: Option<Platform>,
    /// Whether to prepare the image for mounting.
    pub view: ViewPolicy,
}

/// Opens a tarball at an `http` or `https` address, to be read on a blocking thread. Its progress is told under the digest
/// of the address.
///
/// # Errors
/// What the server answers, or that it cannot be reached.
pub async fn open_address(
    client: &RegistryClient,
    address: &str,
    progress: Arc<dyn Progress>,
) -> Result<impl Read + Send + use<>> {
    let download = client.download(address).await?;
    let (digest, total) = (Digest::of(address.as_bytes()), download.size.unwrap_or(0));
    let mut current = 0;
    let told = download.stream.inspect_ok(move |chunk| {
        current += chunk.len() as u64;
        progress.event(ProgressEvent { digest, phase: Phase::Downloading, current, total });
    });
    Ok(ChunkReader::of(told.boxed()))
}

/// Imports a tarball, plain or compressed, from `input`.
///
/// # Errors
/// `Invalid` for unknown instructions (before anything is read) and for what is no tar.
pub async fn import(store: &Store, input: impl Read + Send + 'static, request: &ImportRequest) -> Result<ImageId> {
    let mut container = Map::new();
    for change in &request.changes {
        apply_change(&mut container, change)?;
    }
    let lease = store.lease("import").await?;
    let layer = ingest(store, &lease, input).await?;
    let config: Bytes = config(store, request, container, &layer.diff_id.to_string())?.into();
    let digest = Digest::of(&config);
    let media_type = docker_layer_media_type(layer.compression);
    let manifest = synthesize_manifest(&config, &[Descriptor::new(media_type, layer.blob, layer.size)]);
    store.put_small_object(&lease, &MediaType::DOCKER_CONFIG, digest, config).await?;
    let names: Vec<(String, String)> = request
        .reference
        .clone()
        .map(Reference::with_default_tag)
        .iter()
        .filter_map(|reference| Some((reference.name(), reference.tag()?.to_string())))
        .collect();
    let image = NewImage { manifest: manifest.digest(), digest_names: Vec::new(), names };
    let id = ImageId(digest);
    let events = [event::image_event(store.now(), "import", &id.to_string(), &id.to_string())];
    accept_image(store, manifest.value(), request.view).await?;
    store.publish_images(&lease, &[manifest], &[image], &events).await?;
    store.release(lease).await?;
    event::snapshot(store).await;
    Ok(id)
}

async fn ingest(
    store: &Store,
    lease: &strata_store::Lease,
    mut input: impl Read + Send + 'static,
) -> Result<strata_store::IngestedLayer> {
    let mut ingest = store.begin_layer(lease, "tarball").await?;
    let (sender, mut receiver) = tokio::sync::mpsc::channel(4);
    tokio::task::spawn_blocking(move || {
        loop {
            let mut chunk = Vec::with_capacity(CHUNK);
            let read = input.by_ref().take(CHUNK as u64).read_to_end(&mut chunk).map(|_| Bytes::from(chunk));
            let is_last = !matches!(&read, Ok(chunk) if !chunk.is_empty());
            if sender.blocking_send(read).is_err() || is_last {
                return;
            }
        }
    });
    while let Some(chunk) = receiver.recv().await {
        let chunk = chunk.map_err(|source| EngineError::file("reading", "the tarball", source))?;
        if chunk.is_empty() {
            break;
        }
        ingest.write(chunk).await?;
    }
    Ok(ingest.finish(lease, None).await?)
}

fn docker_layer_media_type(compression: strata_model::Compression) -> MediaType {
    match compression {
        strata_model::Compression::Gzip => MediaType::DOCKER_LAYER_GZIP,
        strata_model::Compression::Zstd => MediaType::DOCKER_LAYER_ZSTD,
        _ => MediaType::DOCKER_LAYER,
    }
}

fn config(store: &Store, request: &ImportRequest, container: Map<String, Value>, diff_id: &str) -> Result<Vec<u8>> {
    let created = jiff::Timestamp::from_nanosecond(i128::from(store.now()))
        .map(strata_format::timestamp::to_rfc3339)
        .map_err(|cause| StoreError::Malformed { what: "the clock".into(), cause: cause.to_string() })?;
    let platform = request.platform.clone().unwrap_or_else(Platform::host);
    let mut document = Map::new();
    document.insert("architecture".into(), json!(platform.architecture));
    document.insert("comment".into(), json!(request.message));
    document.insert("config".into(), Value::Object(container));
    document.insert("created".into(), json!(created));
    document.insert("history".into(), json!([{ "created": created, "comment": request.message }]));
    document.insert("os".into(), json!(platform.os));
    document.insert("rootfs".into(), json!({ "type": "layers", "diff_ids": [diff_id] }));
    if let Some(variant) = platform.variant {
        document.insert("variant".into(), json!(variant));
    }
    serde_json::to_vec(&Value::Object(document))
        .map_err(|cause| EngineError::invalid(format!("image configuration: {cause}")))
}
