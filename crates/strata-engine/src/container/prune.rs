//! `container prune`: those that do not run.

use std::path::Path;

use strata_runtime::{ContainerStatus, state};
use strata_store::Store;

use super::container_directory;
use super::document::ContainerDocument;
use super::list::container_size;
use super::remove::{sweep_containers, take_away};
use crate::label_filter::LabelFilter;
use crate::{EngineError, Result};

/// What was removed.
#[derive(Clone, Debug, Default)]
pub struct PrunedContainers {
    /// The IDs.
    pub ids: Vec<String>,
    /// Bytes of their writable layers.
    pub freed: u64,
}

/// Removes every container that does not run and that the filters (`until`, `label`, `label!`) let through, and what is
/// left of removals that were cut off.
///
/// # Errors
/// `Invalid` for bad filters.
pub async fn prune_containers(store: &Store, root: &Path, filters: &[(String, String)]) -> Result<PrunedContainers> {
    for (key, _) in filters {
        if !matches!(key.as_str(), "until" | "label" | "label!") {
            return Err(EngineError::invalid(format!("invalid filter '{key}'")));
        }
    }
    let filter = LabelFilter::parse(store, filters)?;
    sweep_containers(store, root).await?;
    let mut pruned = PrunedContainers::default();
    let rows = store.read().await?.containers().await?;
    for row in rows {
        let labels = ContainerDocument::parse(&row)?.config.labels.unwrap_or_default();
        let status = state(&container_directory(root, &row.id))?.status;
        let is_over = matches!(status, ContainerStatus::Created | ContainerStatus::Exited | ContainerStatus::Dead);
        if !is_over || !filter.accepts(row.created, &labels) {
            continue;
        }
        pruned.freed += container_size(root, &row.id)?;
        pruned.ids.push(row.id.clone());
        take_away(store, root, row, false).await?;
    }
    Ok(pruned)
}
