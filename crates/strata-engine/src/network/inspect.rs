//! `network inspect`, and what `inspect` of a container says of its networks, as docker's API 1.51 shows them.

use std::path::Path;

use serde_json::{Map, Value, json};
use strata_network::state;
use strata_store::{ContainerRow, ReadTxn, Store};

use super::document::{EndpointDocument, NetworkDocument};
use super::find::find_network;
use super::list::{NetworkFilter, NetworkInfo, list_networks};
use crate::container::{ContainerDocument, container_directory, short_id};
use crate::inspect::nanosecond_time;
use crate::{EngineError, Result};

/// Everything about a network.
///
/// # Errors
/// `NotFound`.
pub async fn inspect_network(store: &Store, root: &Path, text: &str) -> Result<Value> {
    let all = list_networks(store, &NetworkFilter::default()).await?;
    let exact = all.iter().find(|network| network.name == text || network.id == text);
    let network = match exact {
        Some(network) => network.clone(),
        None => {
            let row = find_network(&*store.read().await?, text).await?;
            let found = all.into_iter().find(|network| network.id == row.id);
            found.ok_or_else(|| EngineError::NotFound { message: format!("network {text} not found") })?
        }
    };
    let txn = store.read().await?;
    let mut containers = Map::new();
    for endpoint in txn.endpoints_of_network(&network.id).await? {
        let Some(container) = txn.container(&endpoint.container).await? else { continue };
        let runs = strata_runtime::state(&container_directory(root, &container.id))?.pid != 0;
        if let (true, Some(address), Some(document)) = (runs, &endpoint.address, &network.document) {
            let place = EndpointDocument::parse(&endpoint)?;
            containers.insert(container.id.clone(), member(&container, address, document, &place));
        }
    }
    Ok(whole(&network, containers))
}

fn member(container: &ContainerRow, address: &str, document: &NetworkDocument, place: &EndpointDocument) -> Value {
    json!({
        "Name": container.name,
        "EndpointID": endpoint_id(&container.id, &document.bridge),
        "MacAddress": hardware_text(place, address),
        "IPv4Address": format!("{address}/{}", document.subnet.prefix_len()),
        "IPv6Address": "",
    })
}

/// An endpoint has no row key of its own; docker shows 64 digits, always the same for one place.
fn endpoint_id(container: &str, bridge: &str) -> String {
    strata_model::Digest::of(format!("{container} {bridge}").as_bytes()).hex()
}

fn hardware_text(place: &EndpointDocument, address: &str) -> String {
    address.parse().map(|address| place.hardware_text(address)).unwrap_or_default()
}

impl NetworkInfo {
    /// A network in a list: who is in it is told by [`inspect_network`] alone.
    pub fn json(&self) -> Value {
        whole(self, Map::new())
    }
}

fn whole(network: &NetworkInfo, containers: Map<String, Value>) -> Value {
    let document = network.document.as_ref();
    let pool = document.map(|document| {
        let mut pool = Map::new();
        pool.insert("Subnet".to_owned(), json!(document.subnet.to_string()));
        if let Some(range) = document.range {
            pool.insert("IPRange".to_owned(), json!(range.to_string()));
        }
        pool.insert("Gateway".to_owned(), json!(document.gateway.to_string()));
        if !document.auxiliary.is_empty() {
            pool.insert("AuxiliaryAddresses".to_owned(), json!(document.auxiliary));
        }
        Value::Object(pool)
    });
    json!({
        "Name": network.name,
        "Id": network.id,
        "Created": nanosecond_time(network.created),
        "Scope": "local",
        "Driver": network.driver,
        "EnableIPv4": true,
        "EnableIPv6": false,
        "IPAM": { "Driver": "default", "Options": null, "Config": pool.into_iter().collect::<Vec<_>>() },
        "Internal": document.is_some_and(|document| document.internal),
        "Attachable": false,
        "Ingress": false,
        "ConfigFrom": { "Network": "" },
        "ConfigOnly": false,
        "Containers": containers,
        "Options": document.map(|document| document.options.clone()).unwrap_or_default(),
        "Labels": document.map(|document| document.labels.clone()).unwrap_or_default(),
    })
}

/// `NetworkSettings` of a container: its ports as they are bound and its networks.
///
/// # Errors
/// When the catalog or what was set up cannot be read.
pub async fn container_networks(
    txn: &dyn ReadTxn,
    root: &Path,
    row: &ContainerRow,
    document: &ContainerDocument,
    runs: bool,
) -> Result<Value> {
    let mut networks = Map::new();
    let mode = document.host_config.network_mode.as_str();
    for (name, settings) in &document.networks {
        networks.insert(name.clone(), endpoint(settings, None));
    }
    for place in txn.endpoints_of_container(&row.id).await? {
        let network = find_network(txn, &place.network).await?;
        let settings = document.networks.get(&network.name).cloned().unwrap_or_default();
        let (network_document, shown) = (NetworkDocument::parse(&network)?, EndpointDocument::parse(&place)?);
        let address = place.address.filter(|_| runs);
        let at = Place { row, id: &network.id, document: &network_document, place: &shown, address };
        networks.insert(network.name, endpoint(&settings, Some(&at)));
    }
    let first = networks.values().next().filter(|_| mode == super::DEFAULT).cloned().unwrap_or_default();
    let legacy = |key: &str, none: Value| first.get(key).cloned().unwrap_or(none);
    let sandbox = strata_model::Digest::of(row.id.as_bytes());
    let pid = strata_runtime::state(&container_directory(root, &row.id))?.pid;
    Ok(json!({
        "Bridge": "",
        "SandboxID": if runs { sandbox.hex() } else { String::new() },
        "SandboxKey": if runs { format!("/proc/{pid}/ns/net") } else { String::new() },
        "Ports": ports(root, row, document, runs)?,
        "HairpinMode": false, "LinkLocalIPv6Address": "", "LinkLocalIPv6PrefixLen": 0, "SecondaryIPAddresses": null,
        "SecondaryIPv6Addresses": null,
        "EndpointID": legacy("EndpointID", json!("")),
        "Gateway": legacy("Gateway", json!("")),
        "GlobalIPv6Address": "", "GlobalIPv6PrefixLen": 0,
        "IPAddress": legacy("IPAddress", json!("")),
        "IPPrefixLen": legacy("IPPrefixLen", json!(0)),
        "IPv6Gateway": "",
        "MacAddress": legacy("MacAddress", json!("")),
        "Networks": networks,
    }))
}

struct Place<'a> {
    row: &'a ContainerRow,
    id: &'a str,
    document: &'a NetworkDocument,
    place: &'a EndpointDocument,
    address: Option<String>,
}

fn endpoint(settings: &Value, at: Option<&Place<'_>>) -> Value {
    let given = |key: &str| settings.get(key).cloned().unwrap_or(Value::Null);
    let running = at.filter(|at| at.address.is_some());
    let address = running.and_then(|at| at.address.clone()).unwrap_or_default();
    let names = at.map(|at| {
        let mut names = vec![at.row.name.clone(), short_id(&at.row.id).to_owned()];
        names.extend(at.place.aliases.iter().cloned());
        names
    });
    json!({
        "IPAMConfig": given("IPAMConfig"), "Links": given("Links"), "Aliases": given("Aliases"),
        "MacAddress": running.map(|at| hardware_text(at.place, &address)).unwrap_or_default(),
        "DriverOpts": given("DriverOpts"), "GwPriority": 0,
        "NetworkID": at.map_or("", |at| at.id),
        "EndpointID": running.map(|at| endpoint_id(&at.row.id, &at.document.bridge)).unwrap_or_default(),
        "Gateway": running.map(|at| at.document.gateway.to_string()).unwrap_or_default(),
        "IPAddress": address,
        "IPPrefixLen": running.map_or(0, |at| at.document.subnet.prefix_len()),
        "IPv6Gateway": "", "GlobalIPv6Address": "", "GlobalIPv6PrefixLen": 0,
        "DNSNames": names,
    })
}

/// Every exposed port; those that are published with where.
fn ports(root: &Path, row: &ContainerRow, document: &ContainerDocument, runs: bool) -> Result<Map<String, Value>> {
    let mut ports = Map::new();
    if !runs {
        return Ok(ports);
    }
    for (port, _) in document.config.exposed_ports.iter().flatten() {
        ports.insert(port.clone(), Value::Null);
    }
    let set_up = state(&container_directory(root, &row.id))?.unwrap_or_default();
    for bound in set_up.ports {
        let protocol = bound.protocol.word();
        let binding = json!({ "HostIp": bound.host_address.to_string(), "HostPort": bound.host_port.to_string() });
        let entry = ports.entry(format!("{}/{protocol}", bound.container_port)).or_insert(Value::Null);
        match entry {
            Value::Array(bindings) => bindings.push(binding),
            other => *other = json!([binding]),
        }
    }
    Ok(ports)
}
