//! The settings of a network and of a container's place in it, as their rows keep them.

use std::collections::BTreeMap;
use std::net::Ipv4Addr;

use ipnet::Ipv4Net;
use serde::{Deserialize, Serialize};
use serde_json::Value;
use strata_network::{Bridge, hardware_address};
use strata_store::{EndpointRow, NetworkRow, StoreError};

use crate::{EngineError, Result};

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
    /// Addresses that no container gets, by what has them.
    #[serde(default)]
    pub auxiliary: BTreeMap<String, Ipv4Addr>,
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
    /// The hardware address that was asked for.
    pub(crate) hardware: Option<[u8; 6]>,
    /// What it calls others there: `NAME:ALIAS`.
    pub(crate) links: Vec<String>,
}

impl EndpointDocument {
    pub(crate) fn parse(row: &EndpointRow) -> Result<EndpointDocument> {
        parse(&row.document, || format!("the place of container {} in network {}", row.container, row.network))
    }

    /// Out of what docker's API calls endpoint settings.
    ///
    /// # Errors
    /// `Invalid` for addresses that are none.
    pub(crate) fn of_settings(settings: &Value, number: u32) -> Result<EndpointDocument> {
        let text = |place: &str| settings.pointer(place).and_then(Value::as_str).filter(|text| !text.is_empty());
        let texts = |key: &str| -> Vec<String> {
            let list = settings.get(key).and_then(Value::as_array).into_iter().flatten();
            list.filter_map(Value::as_str).map(str::to_owned).collect()
        };
        let bad = |what: &str, text: &str| EngineError::invalid(format!("invalid {what} address: {text}"));
        let wanted = text("/IPAMConfig/IPv4Address");
        let hardware = text("/MacAddress");
        Ok(EndpointDocument {
            number,
            wanted: wanted.map(|text| text.parse().map_err(|_| bad("IPv4", text))).transpose()?,
            aliases: texts("Aliases"),
            hardware: hardware.map(|text| parse_hardware(text).ok_or_else(|| bad("MAC", text))).transpose()?,
            links: texts("Links"),
        })
    }

    /// The interface's hardware address where it has this address.
    pub(crate) fn hardware_text(&self, address: Ipv4Addr) -> String {
        let bytes = self.hardware.unwrap_or_else(|| hardware_address(address));
        bytes.map(|byte| format!("{byte:02x}")).join(":")
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

/// `02:42:ac:11:00:02`, also with `-`.
fn parse_hardware(text: &str) -> Option<[u8; 6]> {
    let bytes: Option<Vec<u8>> =
        text.split([':', '-']).map(|byte| u8::from_str_radix(byte, 16).ok().filter(|_| byte.len() == 2)).collect();
    bytes?.try_into().ok()
}

fn parse<T: serde::de::DeserializeOwned>(text: &str, what: impl FnOnce() -> String) -> Result<T> {
    serde_json::from_str(text).map_err(|cause| StoreError::Malformed { what: what(), cause: cause.to_string() }.into())
}
