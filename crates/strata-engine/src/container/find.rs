//! Which container a text means.

use strata_store::{ContainerPhase, ContainerRow, ReadTxn};

use crate::{EngineError, Result};

/// Finds a container by its ID, its name, or the beginning of its ID, in this order.
///
/// # Errors
/// `NotFound`; `Invalid` when several IDs begin so.
pub async fn find_container(txn: &dyn ReadTxn, text: &str) -> Result<ContainerRow> {
    let name = text.strip_prefix('/').unwrap_or(text);
    if let Some(row) = txn.container(text).await? {
        return Ok(row);
    }
    if let Some(row) = txn.container_named(name).await? {
        return Ok(row);
    }
    let mut rows = if text.is_empty() { Vec::new() } else { txn.containers_by_prefix(text, 2).await? };
    match (rows.pop(), rows.is_empty()) {
        (Some(row), true) => Ok(row),
        (Some(_), false) => Err(EngineError::invalid(format!("multiple IDs found with provided prefix: {text}"))),
        (None, _) => Err(EngineError::NotFound { message: format!("No such container: {text}") }),
    }
}

/// The same, for what cannot be done with a container that is being removed.
///
/// # Errors
/// As [`find_container`], and `Refused`.
pub(crate) async fn find_ready(txn: &dyn ReadTxn, text: &str) -> Result<ContainerRow> {
    let row = find_container(txn, text).await?;
    match row.phase {
        ContainerPhase::Ready => Ok(row),
        ContainerPhase::Removing => Err(EngineError::Refused {
            message: format!("container {} is marked for removal and cannot be used", row.id),
        }),
    }
}
