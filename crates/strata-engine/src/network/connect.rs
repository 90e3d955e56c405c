//! `network connect` and `disconnect`: the row first, then the running container's interfaces.

use std::path::Path;

use serde_json::Value;
use strata_network::{NetworkPlan, connect, disconnect};
use strata_store::{ContainerRow, Store, fault};

use super::create::default_network;
use super::document::EndpointDocument;
use super::find::{find_network, refuse_without_bridge};
use super::place::{next_number, settle};
use super::{DEFAULT, network_event};
use crate::container::{ContainerDocument, container_directory, find_container};
use crate::{EngineError, Result};

/// What to connect.
#[derive(Clone, Debug, Default)]
pub struct ConnectRequest {
    /// The network.
    pub network: String,
    /// The container.
    pub container: String,
    /// Its place there, as docker's API has it: `Aliases`, `Links`, `IPAMConfig`, `MacAddress`.
    pub settings: Value,
}

/// Puts a container into a network; a running one at once. Returns warnings.
///
/// # Errors
/// `NotFound`; `Refused` when it is there already, the address is taken, or it has no network of its own.
pub async fn connect_network(store: &Store, root: &Path, request: &ConnectRequest) -> Result<Vec<String>> {
    refuse_without_bridge(&request.network)?;
    let mut txn = store.write("connecting a container").await?;
    let container = find_container(&*txn, &request.container).await?;
    refuse_shared(&container)?;
    let network = match request.network.as_str() {
        DEFAULT => default_network(&mut *txn, store.now()).await?,
        name => find_network(&*txn, name).await?,
    };
    let joined = txn.endpoints_of_container(&container.id).await?;
    let directory = container_directory(root, &container.id);
    if joined.iter().any(|endpoint| endpoint.network == network.id) {
        if running(&directory)?.is_some() {
            return Err(EngineError::Refused {
                message: format!("endpoint with name {} already exists in network {}", container.name, network.name),
            });
        }
        txn.delete_endpoint(&network.id, &container.id).await?;
    }
    let place = EndpointDocument::of_settings(&request.settings, next_number(&joined)?)?;
    let row = place.row(&network.id, &container.id, None);
    txn.put_endpoint(&row).await?;
    let (_, endpoint) = settle(&mut *txn, root, &container, &network, row).await?;
    remember(&mut *txn, &container, &network.name, Some(request.settings.clone())).await?;
    txn.insert_event(&network_event(store.now(), "connect", &network, Some(&container))).await?;
    txn.commit().await?;
    fault::point("network-connected");

    let Some(pid) = running(&directory)? else { return Ok(Vec::new()) };
    let warnings = connect(&container.id, &endpoint, pid)?;
    change_plan(&directory, |plan| plan.endpoints.push(endpoint))?;
    Ok(warnings)
}

/// Takes a container out of a network; a running one at once.
///
/// # Errors
/// `NotFound`; `Refused` when it is not there.
pub async fn disconnect_network(store: &Store, root: &Path, network: &str, container: &str) -> Result<()> {
    refuse_without_bridge(network)?;
    let mut txn = store.write("disconnecting a container").await?;
    let container = find_container(&*txn, container).await?;
    let network = find_network(&*txn, network).await?;
    // Before its first start it only has a wish.
    let was_there = txn.delete_endpoint(&network.id, &container.id).await?;
    if !was_there && !ContainerDocument::parse(&container)?.networks.contains_key(&network.name) {
        return Err(EngineError::Refused {
            message: format!("container {} is not connected to network {}", container.id, network.name),
        });
    }
    remember(&mut *txn, &container, &network.name, None).await?;
    txn.insert_event(&network_event(store.now(), "disconnect", &network, Some(&container))).await?;
    txn.commit().await?;
    fault::point("network-disconnected");

    let directory = container_directory(root, &container.id);
    if running(&directory)?.is_some() {
        let plan = NetworkPlan::read(&directory)?;
        if let Some(endpoint) = plan.endpoints.iter().find(|endpoint| endpoint.network == network.id) {
            disconnect(&container.id, endpoint)?;
        }
        change_plan(&directory, |plan| plan.endpoints.retain(|endpoint| endpoint.network != network.id))?;
    }
    Ok(())
}

/// A container in somebody else's namespace has no interfaces of its own.
fn refuse_shared(container: &ContainerRow) -> Result<()> {
    let mode = ContainerDocument::parse(container)?.host_config.network_mode;
    if mode == "host" || mode == "none" || mode.starts_with("container:") {
        return Err(EngineError::Refused {
            message: format!(
                "container sharing network namespace with another container or host cannot be connected to any other network (its network is {mode})"
            ),
        });
    }
    Ok(())
}

/// The next start does what was done now.
async fn remember(
    txn: &mut dyn strata_store::WriteTxn,
    container: &ContainerRow,
    network: &str,
    settings: Option<Value>,
) -> Result<()> {
    let mut document = ContainerDocument::parse(container)?;
    match settings {
        Some(settings) => drop(document.networks.insert(network.to_owned(), settings)),
        None => {
            document.networks.remove(network);
        }
    }
    let row = ContainerRow { document: document.to_text(), ..container.clone() };
    Ok(txn.update_container(&row).await?)
}

fn running(directory: &Path) -> Result<Option<i32>> {
    let pid = strata_runtime::state(directory)?.pid;
    Ok(i32::try_from(pid).ok().filter(|pid| *pid > 0))
}

fn change_plan(directory: &Path, change: impl FnOnce(&mut NetworkPlan)) -> Result<()> {
    let mut plan = NetworkPlan::read(directory)?;
    change(&mut plan);
    Ok(plan.write(directory)?)
}
