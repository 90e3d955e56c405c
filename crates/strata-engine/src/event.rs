//! Events: what was done to images, as `events` prints it.

use std::collections::BTreeMap;

use strata_store::{EventRow, Store};

use crate::Result;

/// An event about an image: `actor` is what was acted on (a familiar reference or an identity), `name` its attribute.
pub(crate) fn image_event(time: i64, action: &str, actor: &str, name: &str) -> EventRow {
    let attributes = BTreeMap::from([("name", name)]);
    EventRow {
        time,
        action: action.to_owned(),
        actor: actor.to_owned(),
        attributes: serde_json::to_string(&attributes).unwrap_or_else(|_| "{}".to_owned()),
    }
}

/// Notes one event that belongs to no other transaction.
pub(crate) async fn note(store: &Store, action: &str, actor: &str, name: &str) -> Result<()> {
    let mut txn = store.write("noting an event").await?;
    txn.insert_event(&image_event(store.now(), action, actor, name)).await?;
    txn.commit().await?;
    Ok(())
}

/// Writes the names through to storage, for a rebuild of a lost catalog. What was done stands without it.
pub(crate) async fn snapshot(store: &Store) {
    if let Err(error) = store.snapshot_names().await {
        tracing::warn!(%error, "the snapshot of names could not be written");
    }
}

/// Events after `since` (nanoseconds since 1970), oldest first, at most `limit`.
///
/// # Errors
/// When the catalog cannot be read.
pub async fn events(store: &Store, since: i64, limit: usize) -> Result<Vec<EventRow>> {
    Ok(store.read().await?.events(since, limit).await?)
}
