//! The settings of a network and of a container's place in it, as their rows keep them.

use std::collections::BTreeMap;
use std::net::Ipv4Addr;

use ipnet::Ipv4Net;
use serde::{Deserialize, Serialize};
use serde_json::Value;
use strata_network::Bridge;
use strata_store::{EndpointRow, NetworkRow, StoreError};

use crate::Result;

/// The settings of a network that is a bridge.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "PascalCase")]
pub struct NetworkDocument {
    /// The bridge's name on this machine.
    pub bridge: String,
    /// Its addresses.
    pub subnet: Ipv4Net,
    /// Whether they were chosen here, and may become others while nobody is on the network.
    #[serde(default)]
    pub is_chosen: bool,
    /// The part of them that containers get; `None` is all.
    pub range: Option<Ipv4Net>,
    /// This machine's address on it.
    pub gateway: Ipv4Addr,
    /// Whether nothing leaves it.
    pub internal: bool,
    /// The largest packet, in bytes.
    pub mtu: u32,
    /// Options of the driver, as given.
    pub options: BTreeMap<String, String>,
    /// Its labels.
    pub labels: BTreeMap<String, String>,
}

impl NetworkDocument {
    pub(crate) fn parse(row: &NetworkRow) -> Result<NetworkDocument> {
        parse(&row.document, || format!("the settings of network {}", row.name))
    }

    /// The bridge of the network with this ID.
    pub(crate) fn bridge<'a>(&'a self, network: &'a str) -> Bridge<'a> {
        let NetworkDocument { bridge, subnet, gateway, mtu, .. } = self;
        Bridge { network, name: bridge, subnet: *subnet, gateway: *gateway, mtu: *mtu }
    }

    pub(crate) fn to_text(&self) -> String {
        serde_json::to_string(self).unwrap_or_default()
    }
}

/// The settings of a container's place in a network.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "PascalCase", default)]
pub(crate) struct EndpointDocument {
    /// The interface's number: 0 is `eth0`.
    pub(crate) number: u32,
    /// The address that was asked for.
    pub(crate) wanted: Option<Ipv4Addr>,
    /// Further names.
    pub(crate) aliases: Vec<String>,
}

impl EndpointDocument {
    pub(crate) fn parse(row: &EndpointRow) -> Result<EndpointDocument> {
        parse(&row.document, || format!("the place of container {} in network {}", row.container, row.network))
    }

    /// Out of what docker's API calls endpoint settings.
    pub(crate) fn of_settings(settings: &Value, number: u32) -> EndpointDocument {
        let wanted = settings.pointer("/IPAMConfig/IPv4Address").and_then(Value::as_str);
        let aliases = settings.get("Aliases").and_then(Value::as_array);
        EndpointDocument {
            number,
            wanted: wanted.and_then(|address| address.parse().ok()),
            aliases: aliases.into_iter().flatten().filter_map(Value::as_str).map(str::to_owned).collect(),
        }
    }

    pub(crate) fn row(&self, network: &str, container: &str, address: Option<Ipv4Addr>) -> EndpointRow {
        EndpointRow {
            network: network.to_owned(),
            container: container.to_owned(),
            address: address.map(|address| address.to_string()),
            document: serde_json::to_string(self).unwrap_or_default(),
        }
    }
}

fn parse<T: serde::de::DeserializeOwned>(text: &str, what: impl FnOnce() -> String) -> Result<T> {
    serde_json::from_str(text).map_err(|cause| StoreError::Malformed { what: what(), cause: cause.to_string() }.into())
}
