//! `network prune`: networks that no container is in.

use std::path::Path;

use strata_store::Store;

use super::list::{NetworkFilter, list_networks};
use super::remove::remove_network;
use crate::label_filter::LabelFilter;
use crate::{EngineError, Result};

/// Removes the networks that no container is in, running or not. Returns their names.
///
/// # Errors
/// `Invalid` for bad filters.
pub async fn prune_networks(store: &Store, root: &Path, filters: &[(String, String)]) -> Result<Vec<String>> {
    if let Some((key, _)) = filters.iter().find(|(key, _)| !matches!(key.as_str(), "label" | "label!" | "until")) {
        return Err(EngineError::invalid(format!("invalid filter '{key}'")));
    }
    let filter = LabelFilter::parse(store, filters)?;
    let unused = NetworkFilter::parse(&[("dangling".to_owned(), "true".to_owned())])?;
    let mut removed = Vec::new();
    for network in list_networks(store, &unused).await? {
        let labels = network.document.map(|document| document.labels).unwrap_or_default();
        if !filter.accepts(network.created, &labels) {
            continue;
        }
        match remove_network(store, root, &network.id).await {
            Ok(name) => removed.push(name),
            // A container has come meanwhile, or somebody else removed it.
            Err(EngineError::Refused { .. } | EngineError::NotFound { .. }) => {}
            Err(error) => return Err(error),
        }
    }
    Ok(removed)
}
