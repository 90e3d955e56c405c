//! Which network a text means.

use strata_store::{NetworkRow, ReadTxn};

use super::{WITHOUT_BRIDGE, is_predefined};
use crate::{EngineError, Result};

/// A network by its ID, its name, or the beginning of its ID, in this order.
///
/// # Errors
/// `NotFound`; `Invalid` when several IDs begin so.
pub async fn find_network(txn: &dyn ReadTxn, text: &str) -> Result<NetworkRow> {
    let networks = txn.networks().await?;
    let exact = networks.iter().find(|row| row.id == text).or_else(|| networks.iter().find(|row| row.name == text));
    if let Some(row) = exact {
        return Ok(row.clone());
    }
    let mut matching = networks.into_iter().filter(|row| !text.is_empty() && row.id.starts_with(text));
    match (matching.next(), matching.next()) {
        (Some(row), None) => Ok(row),
        (Some(_), Some(_)) => Err(EngineError::invalid(format!(
            "network {text} is ambiguous (several networks have an ID that begins so)"
        ))),
        (None, _) => Err(EngineError::NotFound { message: format!("network {text} not found") }),
    }
}

/// The name of the network that a text means; one that is not there is as it was called.
///
/// # Errors
/// `Invalid` when several IDs begin so.
pub(crate) async fn network_name(txn: &dyn ReadTxn, text: &str) -> Result<String> {
    if is_predefined(text) {
        return Ok(text.to_owned());
    }
    match find_network(txn, text).await {
        Ok(row) => Ok(row.name),
        Err(EngineError::NotFound { .. }) => Ok(text.to_owned()),
        Err(error) => Err(error),
    }
}

/// Refuses what cannot be done to the networks that are always there.
pub(super) fn refuse_predefined(name: &str, what: &str) -> Result<()> {
    if is_predefined(name) {
        return Err(EngineError::Forbidden {
            message: format!("{name} is a pre-defined network and cannot be {what}"),
        });
    }
    Ok(())
}

/// Refuses networks that nothing can be connected to.
pub(super) fn refuse_without_bridge(name: &str) -> Result<()> {
    if WITHOUT_BRIDGE.contains(&name) {
        return Err(EngineError::Refused {
            message: format!("container cannot be connected to or disconnected from the {name} network"),
        });
    }
    Ok(())
}
