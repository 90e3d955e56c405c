//! Health and metrics: what whoever runs the hub asks it. No credentials, no names.

use std::io;
use std::path::PathBuf;
use std::sync::Arc;
use std::time::{Duration, Instant};

use axum::extract::State;
use axum::response::{IntoResponse as _, Response};
use axum::routing::get;
use axum::{Json, Router};
use http::StatusCode;
use http::header::CONTENT_TYPE;
use strata_hub::Hub;
use strata_store::Totals;
use tokio::sync::Mutex;

use crate::telemetry::{Exposition, Telemetry};

/// How long totals are shown before they are counted again.
const FRESH: Duration = Duration::from_secs(15);

/// What the answers are made of.
#[derive(Clone)]
pub struct Operations(Arc<Sources>);

struct Sources {
    hub: Hub,
    telemetry: Arc<Telemetry>,
    root: PathBuf,
    least_free: u64,
    totals: Mutex<Option<(Instant, Totals)>>,
}

/// Room on the disk of the store, in bytes.
#[derive(Clone, Copy, Debug)]
pub struct Disk {
    /// All of it.
    pub size: u64,
    /// What is left.
    pub free: u64,
}

impl Operations {
    /// For the hub whose store is below `root`; it is ready while its disk has `least_free` bytes.
    pub fn new(hub: Hub, telemetry: Arc<Telemetry>, root: PathBuf, least_free: u64) -> Operations {
        Operations(Arc::new(Sources { hub, telemetry, root, least_free, totals: Mutex::default() }))
    }

    pub(crate) fn hub(&self) -> &Hub {
        &self.0.hub
    }

    /// The room on the store's disk.
    ///
    /// # Errors
    /// When it cannot be asked.
    pub fn disk(&self) -> io::Result<Disk> {
        let disk = rustix::fs::statvfs(&self.0.root)?;
        let bytes = |blocks: u64| blocks.saturating_mul(disk.f_frsize);
        Ok(Disk { size: bytes(disk.f_blocks), free: bytes(disk.f_bavail) })
    }

    /// How much is in the store, at most some seconds old: counting reads many rows.
    ///
    /// # Errors
    /// When the catalog cannot be read.
    pub async fn totals(&self) -> Result<Totals, strata_hub::HubError> {
        let mut totals = self.0.totals.lock().await;
        if let Some((counted, totals)) = &*totals
            && counted.elapsed() < FRESH
        {
            return Ok(*totals);
        }
        let store = self.0.hub.registry().store();
        let fresh = store.read().await?.totals(store.now()).await?;
        *totals = Some((Instant::now(), fresh));
        Ok(fresh)
    }

    /// Lets totals be counted again, after somebody changed what they count and wants to see it.
    pub async fn recount(&self) {
        *self.0.totals.lock().await = None;
    }

    /// Why the hub is not ready; empty when it is.
    pub async fn obstacles(&self) -> Vec<String> {
        let mut obstacles = Vec::new();
        // The words of the cause may name files: they go to the log, not to whoever asks.
        let mut add = |what: &str, cause: &dyn std::fmt::Display| {
            tracing::warn!(%cause, "not ready: {what}");
            obstacles.push(what.to_owned());
        };
        let store = self.0.hub.registry().store();
        match store.read().await {
            Ok(txn) => {
                if let Err(cause) = txn.registry_repositories(None, 1).await {
                    add("the catalog cannot be read", &cause);
                }
            }
            Err(cause) => add("the catalog cannot be opened", &cause),
        }
        if let Err(cause) = self.0.hub.queue_lengths().await {
            add("the hub's records cannot be read", &cause);
        }
        match self.disk() {
            Ok(disk) if disk.free < self.0.least_free => add("the disk is almost full", &disk.free),
            Ok(_) => {}
            Err(cause) => add("the disk cannot be asked for its room", &cause),
        }
        obstacles
    }

    /// `/metrics` alone, for a listener of its own.
    pub fn metrics_router(&self) -> Router {
        Router::new().route("/metrics", get(metrics)).with_state(self.clone())
    }

    /// `/healthz` and `/readyz`.
    pub fn health_router(&self) -> Router {
        Router::new().route("/healthz", get(alive)).route("/readyz", get(ready)).with_state(self.clone())
    }
}

/// The process answers.
async fn alive() -> &'static str {
    "ok\n"
}

/// Requests can be served: 200, or 503 with what stands in the way.
async fn ready(State(operations): State<Operations>) -> Response {
    let obstacles = operations.obstacles().await;
    let status = if obstacles.is_empty() { StatusCode::OK } else { StatusCode::SERVICE_UNAVAILABLE };
    (status, Json(serde_json::json!({ "ready": obstacles.is_empty(), "obstacles": obstacles }))).into_response()
}

async fn metrics(State(operations): State<Operations>) -> Response {
    let mut text = Exposition::default();
    let build = format!("version=\"{}\"", env!("CARGO_PKG_VERSION"));
    text.family("strata_build_info", "gauge", "Version of the program.");
    text.sample("strata_build_info", &build, 1.0);
    operations.0.telemetry.render(&mut text);
    match operations.totals().await {
        Ok(totals) => store_metrics(&totals, &mut text),
        Err(error) => tracing::warn!(%error, "the store's totals cannot be counted"),
    }
    match operations.0.hub.queue_lengths().await {
        Ok(queues) => {
            let deliveries = queues.deliveries as f64;
            text.single("strata_webhook_queue", "gauge", "Deliveries of webhooks that wait.", deliveries);
            text.family("strata_index_jobs", "gauge", "Layers that wait for their index, or could not get one.");
            text.sample("strata_index_jobs", "state=\"waiting\"", queues.index_jobs as f64);
            text.sample("strata_index_jobs", "state=\"failed\"", queues.failed_index_jobs as f64);
        }
        Err(error) => tracing::warn!(%error, "the hub's queues cannot be counted"),
    }
    if let Ok(disk) = operations.disk() {
        text.single("strata_disk_size_bytes", "gauge", "Size of the store's disk.", disk.size as f64);
        text.single("strata_disk_free_bytes", "gauge", "Room on the store's disk.", disk.free as f64);
    }
    if let Some(bytes) = resident_memory() {
        text.single("process_resident_memory_bytes", "gauge", "Resident memory of the process.", bytes as f64);
    }
    ([(CONTENT_TYPE, "text/plain; version=0.0.4; charset=utf-8")], text.0).into_response()
}

fn store_metrics(totals: &Totals, text: &mut Exposition) {
    for (name, help, value) in [
        ("strata_store_objects", "Blobs, manifests and configurations.", totals.objects),
        ("strata_store_object_bytes", "Bytes of all objects, each once.", totals.object_bytes),
        ("strata_store_linked_bytes", "Bytes that repositories show, counted for each.", totals.linked_bytes),
        ("strata_store_layers", "Layers with an index.", totals.layers),
        ("strata_store_pack_bytes", "Bytes of the contents of indexed layers.", totals.pack_bytes),
        ("strata_store_repositories", "Repositories.", totals.repositories),
        ("strata_uploads_open", "Uploads that are going on.", totals.uploads),
        ("strata_gc_reviews", "Links that garbage collection will look at.", totals.reviews),
        ("strata_gc_doomed_files", "Files that are to be removed.", totals.doomed),
    ] {
        text.single(name, "gauge", help, value as f64);
    }
}

/// Resident memory of this process in bytes (proc(5), `statm`).
pub(crate) fn resident_memory() -> Option<u64> {
    let text = std::fs::read_to_string("/proc/self/statm").ok()?;
    let pages: u64 = text.split_whitespace().nth(1)?.parse().ok()?;
    Some(pages * rustix::param::page_size() as u64)
}
