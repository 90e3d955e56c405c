//! A container's place in its networks when it starts: addresses, what is to be set up, its files about names.

use std::collections::BTreeSet;
use std::fs;
use std::io;
use std::net::{IpAddr, Ipv4Addr};
use std::path::Path;

use strata_network::{Endpoint, Mode, NetworkPlan, ResolverSettings, choose_address, hosts, resolv_conf};
use strata_store::{ContainerRow, EndpointRow, NetworkRow, Store, WriteTxn};

use super::create::{claimed, default_network};
use super::document::{EndpointDocument, NetworkDocument};
use super::find::{find_network, network_name};
use super::ports::published_ports;
use super::{DEFAULT, members_directory};
use crate::container::{ContainerDocument, find_container, is_root_of_machine, link_environment, short_id};
use crate::{EngineError, Result};

const HOST_RESOLV_CONF: &str = "/etc/resolv.conf";
const HOST_HOSTS: &str = "/etc/hosts";
/// What `--add-host NAME:host-gateway` means.
const HOST_GATEWAY: &str = "host-gateway";

/// What a container that starts needs of the network.
#[derive(Clone, Debug)]
pub struct NetworkSetup {
    /// What is to be set up in it; `None` is nothing but loopback.
    pub plan: Option<NetworkPlan>,
    /// The text of its `/etc/hosts`.
    pub hosts: String,
    /// The text of its `/etc/resolv.conf`.
    pub resolv_conf: String,
    /// Variables that tell of linked containers.
    pub environment: Vec<String>,
}

/// Gives a container its addresses and says what is to be set up. Can be repeated: addresses stay.
///
/// # Errors
/// `NotFound` for a network that is not there; `Invalid` for settings that make no sense; `Refused` when an address is taken
/// or none is left.
pub async fn prepare_network(store: &Store, root: &Path, row: &ContainerRow) -> Result<NetworkSetup> {
    let document = ContainerDocument::parse(row)?;
    match document.host_config.network_mode.as_str() {
        "host" => {
            let text = read_if_there(HOST_HOSTS)?;
            let extra = extra_hosts(&document, None)?;
            let lines: String = extra.iter().map(|(name, address)| format!("{address}\t{name}\n")).collect();
            let (_, resolv_conf) = resolver_text(&document, false, true)?;
            Ok(NetworkSetup { plan: None, hosts: text + &lines, resolv_conf, environment: Vec::new() })
        }
        "none" => {
            let (_, resolv_conf) = resolver_text(&document, false, false)?;
            let hosts = hosts(&extra_hosts(&document, None)?, &[]);
            Ok(NetworkSetup { plan: None, hosts, resolv_conf, environment: Vec::new() })
        }
        mode => match mode.strip_prefix("container:") {
            Some(other) => share_with(store, root, other).await,
            None if is_root_of_machine() => attach_to_bridges(store, root, row, &document).await,
            None => user_mode(row, &document),
        },
    }
}

/// The other container's namespace, with its files about names.
async fn share_with(store: &Store, root: &Path, other: &str) -> Result<NetworkSetup> {
    let txn = store.read().await?;
    let other = find_container(&*txn, other).await?;
    let directory = crate::container::container_directory(root, &other.id);
    let text = |name: &str| read_if_there(directory.join(name));
    let (hosts, resolv_conf) = (text("hosts")?, text("resolv.conf")?);
    Ok(NetworkSetup { plan: None, hosts, resolv_conf, environment: Vec::new() })
}

/// Without the right to make bridges, one container cannot reach another.
fn user_mode(row: &ContainerRow, document: &ContainerDocument) -> Result<NetworkSetup> {
    let mode = &document.host_config.network_mode;
    if mode != DEFAULT || !document.networks.keys().all(|name| name == DEFAULT) {
        return Err(EngineError::Unsupported {
            message: format!("network {mode}: without root there is one network only"),
            hint: Some("leave --network out, or use --network host or none".to_owned()),
        });
    }
    let (name_servers, resolv_conf) = resolver_text(document, false, false)?;
    let plan = NetworkPlan {
        container: row.id.clone(),
        mode: Mode::User,
        endpoints: Vec::new(),
        ports: published_ports(document)?,
        resolver: false,
        name_servers,
    };
    let hosts = hosts(&extra_hosts(document, None)?, &[(Ipv4Addr::LOCALHOST.into(), own_names(row, document))]);
    Ok(NetworkSetup { plan: Some(plan), hosts, resolv_conf, environment: Vec::new() })
}

async fn attach_to_bridges(
    store: &Store,
    root: &Path,
    row: &ContainerRow,
    document: &ContainerDocument,
) -> Result<NetworkSetup> {
    let mut txn = store.write("giving a container its addresses").await?;
    join_asked(&mut *txn, store.now(), row, document).await?;
    let mut places = Vec::new();
    for endpoint in txn.endpoints_of_container(&row.id).await? {
        let network = find_network(&*txn, &endpoint.network).await?;
        places.push(settle(&mut *txn, root, row, &network, endpoint).await?);
    }
    txn.commit().await?;
    places.sort_by_key(|(number, _)| *number);
    let endpoints: Vec<Endpoint> = places.into_iter().map(|(_, endpoint)| endpoint).collect();

    let resolver = document.host_config.network_mode != DEFAULT;
    let (name_servers, resolv_conf) = resolver_text(document, resolver, false)?;
    let gateway = endpoints.first().map(|endpoint| endpoint.gateway);
    let own: Vec<(IpAddr, Vec<String>)> =
        endpoints.iter().map(|endpoint| (endpoint.address.into(), own_names(row, document))).collect();
    let linked = match document.host_config.network_mode.as_str() {
        DEFAULT => linked(store, root, row, document, endpoints.first()).await?,
        // The resolver knows them.
        _ => Linked::default(),
    };
    let hosts = hosts(&extra_hosts(document, gateway)?, &[linked.hosts, own].concat());
    let ports = published_ports(document)?;
    let plan = NetworkPlan { container: row.id.clone(), mode: Mode::Bridge, endpoints, ports, resolver, name_servers };
    Ok(NetworkSetup { plan: Some(plan), hosts, resolv_conf, environment: linked.environment })
}

/// What a container is told of those that it is linked with.
#[derive(Default)]
struct Linked {
    /// Their addresses on its first network, with their names: alias, ID, name, as docker writes them.
    hosts: Vec<(IpAddr, Vec<String>)>,
    /// Variables.
    environment: Vec<String>,
}

async fn linked(
    store: &Store,
    root: &Path,
    row: &ContainerRow,
    document: &ContainerDocument,
    first: Option<&Endpoint>,
) -> Result<Linked> {
    let txn = store.read().await?;
    let mut found = Linked::default();
    for link in document.host_config.links.iter().flatten() {
        let (name, alias) = parse_link(link);
        let other = find_container(&*txn, name).await?;
        let state = strata_runtime::state(&crate::container::container_directory(root, &other.id))?;
        if state.pid == 0 {
            return Err(EngineError::Refused {
                message: format!("Cannot link to a non running container: /{} AS /{}/{alias}", other.name, row.name),
            });
        }
        let endpoints = txn.endpoints_of_container(&other.id).await?;
        let shared = endpoints.iter().find(|endpoint| first.is_some_and(|first| first.network == endpoint.network));
        let address = shared.and_then(|endpoint| endpoint.address.as_deref()?.parse().ok());
        let address: IpAddr = address.ok_or_else(|| EngineError::Refused {
            message: format!("Cannot link to /{}, as it does not belong to the same network", other.name),
        })?;
        let mut names = vec![alias.to_owned(), short_id(&other.id).to_owned(), other.name.clone()];
        names.dedup();
        found.hosts.push((address, names));
        let theirs = ContainerDocument::parse(&other)?;
        found.environment.extend(link_environment(&row.name, alias, &theirs, address));
    }
    Ok(found)
}

/// `CONTAINER[:ALIAS]`; slashes before names are docker's.
pub(crate) fn parse_link(text: &str) -> (&str, &str) {
    let (name, alias) = text.split_once(':').unwrap_or((text, text));
    let last = |text: &'_ str| text.rsplit('/').next().map_or(0, |name| text.len() - name.len());
    (&name[last(name)..], &alias[last(alias)..])
}

/// Puts a container into the networks that it was made for: the one of its mode first.
async fn join_asked(txn: &mut dyn WriteTxn, now: i64, row: &ContainerRow, document: &ContainerDocument) -> Result<()> {
    let mode = network_name(txn, &document.host_config.network_mode).await?;
    let (first, others): (Vec<_>, Vec<_>) = document.networks.iter().partition(|(name, _)| **name == mode);
    for (name, settings) in first.into_iter().chain(others) {
        let network = match name.as_str() {
            DEFAULT => default_network(txn, now).await?,
            name => find_network(txn, name).await?,
        };
        let joined = txn.endpoints_of_container(&row.id).await?;
        if joined.iter().any(|endpoint| endpoint.network == network.id) {
            continue;
        }
        let mut place = EndpointDocument::of_settings(settings, next_number(&joined)?)?;
        if *name == mode && mode != DEFAULT {
            place.links.extend(document.host_config.links.iter().flatten().cloned());
        }
        txn.put_endpoint(&place.row(&network.id, &row.id, None)).await?;
    }
    Ok(())
}

/// The first interface's number that is not used.
pub(super) fn next_number(joined: &[EndpointRow]) -> Result<u32> {
    let used: BTreeSet<u32> =
        joined.iter().map(|row| EndpointDocument::parse(row).map(|place| place.number)).collect::<Result<_>>()?;
    Ok((0..).find(|number| !used.contains(number)).unwrap_or_default())
}

/// The endpoint of a row, with an address: the one that it has, the one asked for, or a free one.
pub(super) async fn settle(
    txn: &mut dyn WriteTxn,
    root: &Path,
    container: &ContainerRow,
    network: &NetworkRow,
    row: EndpointRow,
) -> Result<(u32, Endpoint)> {
    let network = &claimed(txn, network).await?;
    let (settings, place) = (NetworkDocument::parse(network)?, EndpointDocument::parse(&row)?);
    let address = match row.address.as_deref().map(str::parse) {
        Some(Ok(address)) if settings.subnet.contains(&address) => address,
        _ => {
            let address = free_address(txn, network, &settings, &place).await?;
            txn.put_endpoint(&place.row(&network.id, &container.id, Some(address))).await?;
            address
        }
    };
    let mut names = vec![container.name.clone(), short_id(&container.id).to_owned()];
    names.extend(place.aliases.iter().cloned());
    names.dedup();
    let endpoint = Endpoint {
        network: network.id.clone(),
        bridge: settings.bridge,
        subnet: settings.subnet,
        gateway: settings.gateway,
        address,
        interface: format!("eth{}", place.number),
        names,
        members: members_directory(root, &network.id),
        internal: settings.internal,
        mtu: settings.mtu,
        hardware: place.hardware,
        links: place
            .links
            .iter()
            .map(|link| parse_link(link))
            .map(|(name, alias)| (alias.into(), name.into()))
            .collect(),
    };
    Ok((place.number, endpoint))
}

async fn free_address(
    txn: &dyn WriteTxn,
    network: &NetworkRow,
    settings: &NetworkDocument,
    place: &EndpointDocument,
) -> Result<Ipv4Addr> {
    let given = txn.endpoints_of_network(&network.id).await?;
    let mut taken: BTreeSet<Ipv4Addr> =
        given.iter().filter_map(|other| other.address.as_deref()?.parse().ok()).collect();
    taken.insert(settings.gateway);
    taken.extend(settings.auxiliary.values());
    match place.wanted {
        Some(wanted) if !settings.subnet.contains(&wanted) => {
            Err(EngineError::invalid(format!("no configured subnet or ip-range contain the IP address {wanted}")))
        }
        Some(wanted) if taken.contains(&wanted) => {
            Err(EngineError::Refused { message: "Address already in use".to_owned() })
        }
        Some(wanted) => Ok(wanted),
        None => choose_address(&settings.subnet, &settings.range.unwrap_or(settings.subnet), &taken, None).ok_or_else(
            || EngineError::Refused {
                message: format!("no available IPv4 addresses on this network's address pools: {}", network.name),
            },
        ),
    }
}

fn own_names(row: &ContainerRow, document: &ContainerDocument) -> Vec<String> {
    let hostname = document.config.hostname.clone();
    let names = match document.config.domainname.as_str() {
        "" => vec![hostname],
        domain => vec![format!("{hostname}.{domain}"), hostname],
    };
    if names.iter().all(String::is_empty) { vec![short_id(&row.id).to_owned()] } else { names }
}

/// `--add-host NAME:ADDRESS` (also with `=`); `host-gateway` is this machine.
fn extra_hosts(document: &ContainerDocument, gateway: Option<Ipv4Addr>) -> Result<Vec<(String, IpAddr)>> {
    let parse = |text: &String| {
        let bad = || EngineError::invalid(format!("bad format for add-host: {text:?}"));
        let (name, address) = text.split_once([':', '=']).ok_or_else(bad)?;
        let address = match address.trim_matches(['[', ']']) {
            HOST_GATEWAY => gateway.unwrap_or(Ipv4Addr::LOCALHOST).into(),
            address => address
                .parse()
                .map_err(|_| EngineError::invalid(format!("invalid IP address in add-host: {address:?}")))?,
        };
        Ok((name.to_owned(), address))
    };
    document.host_config.extra_hosts.iter().flatten().map(parse).collect()
}

fn resolver_text(document: &ContainerDocument, resolver: bool, shares_loopback: bool) -> Result<(Vec<IpAddr>, String)> {
    let host = &document.host_config;
    let server = |text: &String| text.parse().map_err(|_| EngineError::invalid(format!("invalid IP address: {text}")));
    let settings = ResolverSettings {
        servers: host.dns.iter().flatten().map(server).collect::<Result<_>>()?,
        search: host.dns_search.clone().unwrap_or_default(),
        options: host.dns_options.clone().unwrap_or_default(),
    };
    Ok(resolv_conf(&read_if_there(HOST_RESOLV_CONF)?, &settings, resolver, shares_loopback))
}

fn read_if_there(path: impl AsRef<Path>) -> Result<String> {
    let path = path.as_ref();
    match fs::read(path) {
        Ok(bytes) => Ok(String::from_utf8_lossy(&bytes).into_owned()),
        Err(cause) if cause.kind() == io::ErrorKind::NotFound => Ok(String::new()),
        Err(cause) => Err(EngineError::file("reading", path, cause)),
    }
}
