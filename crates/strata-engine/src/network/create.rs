//! `network create`: a name, addresses that overlap nothing, a bridge's name. The bridge itself is made by the first container.

use std::collections::BTreeMap;
use std::net::Ipv4Addr;

use ipnet::Ipv4Net;
use strata_network::{NetworkError, choose_subnet, claim, host_routes};
use strata_store::{EndpointRow, NetworkRow, ReadTxn, Store, WriteTxn, fault};

use super::document::NetworkDocument;
use super::{DEFAULT, is_predefined, network_event};
use crate::container::{random_id, short_id};
use crate::{EngineError, Result};

const MTU: u32 = 1500;
const MTU_OPTION: &str = "com.docker.network.driver.mtu";
const BRIDGE_OPTION: &str = "com.docker.network.bridge.name";
const DEFAULT_BRIDGE: &str = "strata0";
/// The kernel's limit for names of links, in bytes.
const LINK_NAME: usize = 15;

/// What to make.
#[derive(Clone, Debug, Default)]
pub struct CreateNetwork {
    /// Its name.
    pub name: String,
    /// Its driver; `bridge` is the only one.
    pub driver: String,
    /// Its addresses; `None` for some that are free.
    pub subnet: Option<String>,
    /// The part of them that containers get.
    pub range: Option<String>,
    /// This machine's address on it; `None` for the first.
    pub gateway: Option<String>,
    /// Addresses that no container gets, by what has them.
    pub auxiliary: BTreeMap<String, String>,
    /// Whether nothing leaves it.
    pub internal: bool,
    /// Options of the driver.
    pub options: BTreeMap<String, String>,
    /// Its labels.
    pub labels: BTreeMap<String, String>,
}

/// Makes a network. Returns its ID.
///
/// # Errors
/// `Invalid` for settings that make no sense; `Refused` when the name is taken or the addresses overlap others.
pub async fn create_network(store: &Store, request: CreateNetwork) -> Result<String> {
    check(&request)?;
    let mut txn = store.write("creating a network").await?;
    let taken = txn.networks().await?;
    if is_predefined(&request.name) {
        let message = format!("operation is not permitted on predefined {} network", request.name);
        return Err(EngineError::Forbidden { message });
    }
    if taken.iter().any(|other| other.name == request.name) {
        return Err(EngineError::Refused { message: format!("network with name {} already exists", request.name) });
    }
    let row = insert(&mut *txn, store.now(), request).await?;
    txn.commit().await?;
    fault::point("network-created");
    Ok(row.id)
}

fn check(request: &CreateNetwork) -> Result<()> {
    if !matches!(request.driver.as_str(), "" | "bridge") {
        return Err(EngineError::NotFound {
            message: format!("could not find plugin {} in v1 plugin registry: plugin not found", request.driver),
        });
    }
    match request.name.trim().is_empty() {
        true => Err(EngineError::invalid(format!("invalid name: {}", request.name))),
        false => Ok(()),
    }
}

/// The default network's row, made when it is not there.
pub(super) async fn default_network(txn: &mut dyn WriteTxn, now: i64) -> Result<NetworkRow> {
    if let Some(row) = txn.networks().await?.into_iter().find(|row| row.name == DEFAULT) {
        return Ok(row);
    }
    let request = CreateNetwork {
        name: DEFAULT.to_owned(),
        options: BTreeMap::from([(BRIDGE_OPTION.to_owned(), DEFAULT_BRIDGE.to_owned())]),
        ..CreateNetwork::default()
    };
    insert(txn, now, request).await
}

async fn insert(txn: &mut dyn WriteTxn, now: i64, request: CreateNetwork) -> Result<NetworkRow> {
    let id = random_id()?;
    let document = addresses(txn, &id, request.clone()).await?;
    let row = NetworkRow { id, name: request.name, created: now, document: document.to_text() };
    txn.insert_network(&row).await?;
    txn.insert_event(&network_event(now, "create", &row, None)).await?;
    Ok(row)
}

async fn addresses(txn: &dyn ReadTxn, id: &str, request: CreateNetwork) -> Result<NetworkDocument> {
    let subnet = match &request.subnet {
        Some(text) => wanted_subnet(text, &subnets(txn).await?)?,
        None => free_subnet(txn).await?,
    };
    let range = request.range.as_deref().map(parse_subnet).transpose()?;
    if let Some(range) = range.filter(|range| !subnet.contains(range)) {
        return Err(EngineError::invalid(format!("invalid ip-range {range}: it is not part of the subnet {subnet}")));
    }
    let gateway = match &request.gateway {
        Some(text) => text.parse().map_err(|_| EngineError::invalid(format!("invalid gateway address: {text}")))?,
        None => first_address(&subnet),
    };
    if !subnet.contains(&gateway) {
        return Err(EngineError::invalid(format!("no matching subnet for gateway {gateway}")));
    }
    let auxiliary = request.auxiliary.iter().map(|(name, text)| match text.parse() {
        Ok(address) if subnet.contains(&address) => Ok((name.clone(), address)),
        Ok(address) => Err(EngineError::invalid(format!("no matching subnet for aux-address {address}"))),
        Err(_) => Err(EngineError::invalid(format!("invalid auxiliary address: {text}"))),
    });
    Ok(NetworkDocument {
        auxiliary: auxiliary.collect::<Result<_>>()?,
        bridge: bridge_name(&request, id)?,
        subnet,
        is_chosen: request.subnet.is_none() && request.gateway.is_none(),
        range,
        gateway,
        internal: request.internal,
        mtu: mtu(&request)?,
        options: request.options,
        labels: request.labels,
    })
}

async fn subnets(txn: &dyn ReadTxn) -> Result<Vec<Ipv4Net>> {
    txn.networks().await?.iter().map(|row| Ok(NetworkDocument::parse(row)?.subnet)).collect()
}

/// Addresses that no network has, and that this machine has no route to.
async fn free_subnet(txn: &dyn ReadTxn) -> Result<Ipv4Net> {
    let mut taken = subnets(txn).await?;
    taken.extend(host_routes()?);
    choose_subnet(&taken).ok_or_else(|| EngineError::Refused {
        message: "all predefined address pools have been fully subnetted".to_owned(),
    })
}

fn first_address(subnet: &Ipv4Net) -> Ipv4Addr {
    Ipv4Addr::from(u32::from(subnet.network()).saturating_add(1))
}

/// Sees to it that a network's bridge is on this machine. Addresses that were chosen for it, and the default network's link,
/// become others when somebody else has them: the bridge is not there then, so nobody is on the network.
pub(super) async fn claimed(txn: &mut dyn WriteTxn, network: &NetworkRow) -> Result<NetworkRow> {
    let mut row = network.clone();
    loop {
        let mut document = NetworkDocument::parse(&row)?;
        match claim(&document.bridge(&row.id)) {
            Err(NetworkError::SubnetTaken { .. }) if document.is_chosen => {
                document.subnet = free_subnet(txn).await?;
                document.gateway = first_address(&document.subnet);
                for place in txn.endpoints_of_network(&row.id).await? {
                    txn.put_endpoint(&EndpointRow { address: None, ..place }).await?;
                }
            }
            Err(NetworkError::BridgeTaken { .. }) if document.bridge == DEFAULT_BRIDGE => {
                document.bridge = own_bridge(&row.id);
            }
            claimed => {
                claimed?;
                return Ok(row);
            }
        }
        row.document = document.to_text();
        txn.update_network(&row).await?;
    }
}

/// The name of a link that no other network has.
fn own_bridge(id: &str) -> String {
    format!("br-{}", short_id(id))
}

fn wanted_subnet(text: &str, taken: &[Ipv4Net]) -> Result<Ipv4Net> {
    let subnet = parse_subnet(text)?;
    if subnet.prefix_len() > 30 {
        return Err(EngineError::invalid(format!("invalid subnet {text}: it has no room for a container")));
    }
    let overlaps = |other: &Ipv4Net| other.contains(&subnet.network()) || subnet.contains(&other.network());
    if taken.iter().any(overlaps) {
        return Err(EngineError::Refused {
            message: "invalid pool request: Pool overlaps with other one on this address space".to_owned(),
        });
    }
    Ok(subnet)
}

fn parse_subnet(text: &str) -> Result<Ipv4Net> {
    let parsed: std::result::Result<Ipv4Net, _> = text.parse();
    match parsed {
        Ok(subnet) => Ok(subnet.trunc()),
        Err(_) if text.contains(':') => Err(EngineError::Unsupported {
            message: format!("invalid subnet {text}: networks have addresses of IPv4 only"),
            hint: None,
        }),
        Err(_) => Err(EngineError::invalid(format!("invalid CIDR block notation: {text}"))),
    }
}

fn bridge_name(request: &CreateNetwork, id: &str) -> Result<String> {
    match request.options.get(BRIDGE_OPTION) {
        None => Ok(own_bridge(id)),
        Some(name) if (1..=LINK_NAME).contains(&name.len()) && name.bytes().all(is_link_byte) => Ok(name.clone()),
        Some(name) => Err(EngineError::invalid(format!("invalid name of a bridge: {name:?}"))),
    }
}

/// What is fine in names of links, and needs no quoting anywhere.
fn is_link_byte(byte: u8) -> bool {
    byte.is_ascii_alphanumeric() || matches!(byte, b'-' | b'_')
}

fn mtu(request: &CreateNetwork) -> Result<u32> {
    let Some(text) = request.options.get(MTU_OPTION) else { return Ok(MTU) };
    match text.parse() {
        Ok(mtu @ 68..=65_535) => Ok(mtu),
        _ => Err(EngineError::invalid(format!("invalid value of {MTU_OPTION}: {text}"))),
    }
}
