//! `network rm`: the bridge goes, then the row in a transaction that finds no running container there. A network without its
//! bridge is one that nobody is on: the next container to start there makes it again.

use std::fs;
use std::io;
use std::path::Path;

use strata_store::{NetworkRow, ReadTxn, Store, fault};

use super::document::NetworkDocument;
use super::find::{find_network, refuse_predefined};
use super::{members_directory, network_event};
use crate::container::{container_directory, is_root_of_machine};
use crate::{EngineError, Result};

/// Removes a network. Containers that are in it but do not run leave it. Returns its name.
///
/// # Errors
/// `NotFound`; `Refused` for those that are always there, and while a container runs in it.
pub async fn remove_network(store: &Store, root: &Path, text: &str) -> Result<String> {
    refuse_predefined(text, "removed")?;
    let txn = store.read().await?;
    let network = find_network(&*txn, text).await?;
    refuse_predefined(&network.name, "removed")?;
    refuse_active(&*txn, root, &network).await?;
    drop(txn);
    let document = NetworkDocument::parse(&network)?;
    if is_root_of_machine() {
        strata_network::remove_network(&document.bridge, &document.subnet)?;
    }
    fault::point("network-bridge-removed");
    let mut txn = store.write("removing a network").await?;
    let network = find_network(&*txn, &network.id).await?;
    refuse_active(&*txn, root, &network).await?;
    for endpoint in txn.endpoints_of_network(&network.id).await? {
        txn.delete_endpoint(&network.id, &endpoint.container).await?;
    }
    txn.delete_network(&network.id).await?;
    txn.insert_event(&network_event(store.now(), "destroy", &network, None)).await?;
    txn.commit().await?;

    let members = members_directory(root, &network.id);
    match fs::remove_dir_all(&members) {
        Err(cause) if cause.kind() != io::ErrorKind::NotFound => Err(EngineError::file("removing", &members, cause)),
        _ => Ok(network.name),
    }
}

/// While a container runs in it, a network stays.
async fn refuse_active(txn: &dyn ReadTxn, root: &Path, network: &NetworkRow) -> Result<()> {
    let mut active = Vec::new();
    for endpoint in txn.endpoints_of_network(&network.id).await? {
        let Some(container) = txn.container(&endpoint.container).await? else { continue };
        if strata_runtime::state(&container_directory(root, &container.id))?.pid != 0 {
            let short = crate::container::short_id(&container.id);
            active.push(format!("name:{:?} id:{short:?}", container.name));
        }
    }
    if active.is_empty() {
        return Ok(());
    }
    Err(EngineError::Refused {
        message: format!(
            "error while removing network: network {} has active endpoints ({})",
            network.name,
            active.join(", ")
        ),
    })
}
