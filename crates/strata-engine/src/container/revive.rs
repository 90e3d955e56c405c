//! After a start of the machine: containers run again whose restart policy wants it. Without a daemon somebody has to ask for
//! it once, as the unit in `packaging/` does.

use std::path::Path;

use strata_runtime::is_to_be_revived;
use strata_store::{ContainerPhase, ContainerRow, Store};

use super::document::ContainerDocument;
use super::start::{restart_policy, start_container};
use super::{container_directory, sweep_containers};
use crate::Result;

/// Starts what is to run, the oldest first. Returns the name of each with what became of it: one that cannot be started
/// keeps no other from it.
///
/// # Errors
/// When the catalog cannot be read.
pub async fn revive_containers(store: &Store, root: &Path) -> Result<Vec<(String, Result<()>)>> {
    sweep_containers(store, root).await?;
    let mut rows = store.read().await?.containers().await?;
    rows.retain(|row| row.phase == ContainerPhase::Ready);
    rows.sort_by_key(|row| row.created);
    let mut revived = Vec::new();
    for row in rows {
        let started = match is_wanted(root, &row) {
            Ok(false) => continue,
            Ok(true) => start_container(store, root, &row.id, None).await.map(drop),
            Err(error) => Err(error),
        };
        revived.push((row.name, started));
    }
    Ok(revived)
}

fn is_wanted(root: &Path, row: &ContainerRow) -> Result<bool> {
    let policy = restart_policy(&ContainerDocument::parse(row)?.host_config);
    Ok(is_to_be_revived(&container_directory(root, &row.id), &policy)?)
}
