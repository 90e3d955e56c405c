//! `/api/v1/admin/storage`: what is stored, for administrators of the hub.

use axum::{Extension, Json, Router};
use serde::Serialize;
use utoipa::ToSchema;

use crate::endpoints::Endpoints;
use crate::error::Result;
use crate::identity::Signed;
use crate::operations::Operations;

/// The endpoints, which take [`Operations`] as an extension.
pub(super) fn endpoints() -> Endpoints {
    Endpoints::about("administration").get("/api/v1/admin/storage", "What is stored, and what waits", storage)
}

pub(super) fn router(operations: Operations) -> Router {
    let hub = operations.hub().clone();
    endpoints().into_router().layer(Extension(operations)).with_state(hub)
}

/// What is stored, and what waits.
#[derive(Serialize, ToSchema)]
struct StorageBody {
    repositories: u64,
    objects: u64,
    /// Bytes of blobs, manifests and configurations, each once.
    stored_bytes: u64,
    /// Bytes that repositories show, counted for each: more than is stored, as far as they share.
    logical_bytes: u64,
    layers: u64,
    /// Bytes of the contents of indexed layers.
    content_bytes: u64,
    open_uploads: u64,
    /// Links that garbage collection will look at.
    waiting_reviews: u64,
    /// Bytes that garbage collection gave back in the last 90 days.
    freed_bytes: u64,
    waiting_deliveries: u64,
    waiting_index_jobs: u64,
    failed_index_jobs: u64,
    disk_size_bytes: Option<u64>,
    disk_free_bytes: Option<u64>,
}

async fn storage(Signed(who): Signed, Extension(operations): Extension<Operations>) -> Result<Json<StorageBody>> {
    who.administers()?;
    let hub = operations.hub();
    let (totals, queues) = (operations.totals().await?, hub.queue_lengths().await?);
    let freed = hub.freed_by_day(90).await?;
    let disk = operations.disk().ok();
    let body = StorageBody {
        repositories: totals.repositories,
        objects: totals.objects,
        stored_bytes: totals.object_bytes,
        logical_bytes: totals.linked_bytes,
        layers: totals.layers,
        content_bytes: totals.pack_bytes,
        open_uploads: totals.uploads,
        waiting_reviews: totals.reviews,
        freed_bytes: freed.iter().map(|(_, bytes)| bytes).sum(),
        waiting_deliveries: queues.deliveries,
        waiting_index_jobs: queues.index_jobs,
        failed_index_jobs: queues.failed_index_jobs,
        disk_size_bytes: disk.map(|disk| disk.size),
        disk_free_bytes: disk.map(|disk| disk.free),
    };
    Ok(Json(body))
}

/// Nanoseconds since 1970 as RFC 3339 writes them, in UTC.
pub(super) fn time(nanoseconds: i64) -> String {
    jiff::Timestamp::from_nanosecond(nanoseconds.into()).unwrap_or_default().to_string()
}
