//! Networks of containers: made, found, shown, connected to, removed; and what a container that starts is to be attached to.
//!
//! The row in the catalog says that a network exists, the row of an endpoint that a container is in it and which address it
//! has there. An address is a container's from its first start until it leaves the network or is removed. What is set up on
//! this machine is `strata-network`'s matter; on disk: `<root>/networks/<id>/<container>.json`, who is there now.
//!
//! `bridge`, `host` and `none` are always there, as in docker. `bridge` gets its row, and with it its addresses, when a
//! container first needs it.

mod connect;
mod create;
mod document;
mod find;
mod inspect;
mod list;
mod place;
mod ports;
mod prune;
mod remove;

use std::path::{Path, PathBuf};

use strata_store::{ContainerRow, EventRow, NetworkRow};

pub use connect::{ConnectRequest, connect_network, disconnect_network};
pub use create::{CreateNetwork, create_network};
pub(crate) use document::EndpointDocument;
pub use document::NetworkDocument;
pub use find::find_network;
pub(crate) use find::network_name;
pub use inspect::{container_networks, inspect_network};
pub use list::{NetworkFilter, NetworkInfo, list_networks};
pub(crate) use place::parse_link;
pub use place::{NetworkSetup, prepare_network};
pub use ports::{bound_ports, published_ports};
pub use prune::prune_networks;
pub use remove::remove_network;

/// The network of containers that name none.
pub(crate) const DEFAULT: &str = "bridge";
/// The networks that need no bridge.
pub(crate) const WITHOUT_BRIDGE: [&str; 2] = ["host", "none"];

/// Where it is noted who is on a network.
pub(crate) fn members_directory(root: &Path, network: &str) -> PathBuf {
    root.join("networks").join(network)
}

pub(crate) fn is_predefined(name: &str) -> bool {
    name == DEFAULT || WITHOUT_BRIDGE.contains(&name)
}

pub(crate) fn network_event(time: i64, action: &str, row: &NetworkRow, container: Option<&ContainerRow>) -> EventRow {
    let mut attributes = serde_json::json!({ "name": row.name, "type": "bridge" });
    if let (Some(container), Some(fields)) = (container, attributes.as_object_mut()) {
        fields.insert("container".to_owned(), container.id.clone().into());
    }
    EventRow { time, action: format!("network {action}"), actor: row.id.clone(), attributes: attributes.to_string() }
}
