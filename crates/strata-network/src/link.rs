//! Bridges, veth pairs, addresses and routes, by netlink.
//!
//! Everything that is made here is there already after a second call: a bridge that exists is left as it is.

use std::net::{IpAddr, Ipv4Addr};
use std::thread;

use futures_util::TryStreamExt;
use ipnet::Ipv4Net;
use rtnetlink::packet_route::link::{InfoData, InfoKind, InfoVeth, LinkAttribute, LinkMessage};
use rtnetlink::{
    Error, Handle, LinkBridge, LinkMessageBuilder, LinkUnspec, LinkVeth, RouteMessageBuilder, new_connection,
};

use crate::lock::lock;
use crate::plan::{Bridge, Endpoint};
use crate::subnet::{hardware_address, host_routes};
use crate::{NetworkError, Result};

const EXISTS: i32 = 17;
const NO_SUCH_DEVICE: i32 = 19;

/// Does `work` with a connection to the kernel, in the calling thread's network namespace. It has a thread of its own, so that
/// a caller may be part of an asynchronous runtime.
pub(crate) fn with_links<T: Send>(work: impl AsyncFnOnce(Handle) -> Result<T> + Send) -> Result<T> {
    thread::scope(|scope| {
        let worker = scope.spawn(|| {
            let runtime = tokio::runtime::Builder::new_current_thread()
                .enable_all()
                .build()
                .map_err(|error| NetworkError::system("starting to talk to the kernel's network", error))?;
            runtime.block_on(async {
                let (connection, handle, _) =
                    new_connection().map_err(|error| NetworkError::system("talking to the kernel's network", error))?;
                let connection = tokio::spawn(connection);
                let done = work(handle).await;
                connection.abort();
                done
            })
        });
        worker.join().unwrap_or_else(|panic| std::panic::resume_unwind(panic))
    })
}

/// A network's bridge, made when it is not there, with this machine's address on it. Its alias says whose it is; a link
/// without one is somebody's who gave its name to the network.
pub(crate) async fn ensure_bridge(links: &Handle, bridge: &Bridge<'_>) -> Result<u32> {
    let Bridge { network, name, subnet, gateway, mtu } = *bridge;
    let mark = format!("strata network {network}");
    let _lock = lock()?;
    if let Some(link) = get(links, name).await? {
        let alias = link.attributes.iter().find_map(|attribute| match attribute {
            LinkAttribute::IfAlias(alias) => Some(alias),
            _ => None,
        });
        if alias.is_some_and(|alias| *alias != mark) {
            return Err(NetworkError::BridgeTaken { bridge: name.to_owned() });
        }
        add_address(links, link.header.index, gateway, subnet.prefix_len(), name).await?;
        return Ok(link.header.index);
    }
    let overlaps = |other: &Ipv4Net| other.contains(&subnet.network()) || subnet.contains(&other.network());
    if host_routes()?.iter().any(overlaps) {
        return Err(NetworkError::SubnetTaken { subnet });
    }
    let link = LinkBridge::new(name).address(hardware_address(gateway).to_vec()).mtu(mtu).up().build();
    let failed = |error| NetworkError::link(format!("making the bridge {name}"), &error);
    links.link().add(link).execute().await.map_err(failed)?;
    let index = find(links, name)
        .await?
        .ok_or_else(|| NetworkError::Attendant(format!("the bridge {name} went away while it was made")))?;
    // The kernel takes no alias from who makes a link.
    let marked = LinkUnspec::new_with_index(index).alias(mark).build();
    links.link().change(marked).execute().await.map_err(failed)?;
    add_address(links, index, gateway, subnet.prefix_len(), name).await?;
    Ok(index)
}

/// Takes a bridge away; one that is not there is gone already.
pub(crate) async fn remove_link(links: &Handle, name: &str) -> Result<()> {
    let Some(index) = find(links, name).await? else { return Ok(()) };
    match links.link().del(index).execute().await {
        Err(error) if code(&error) != Some(NO_SUCH_DEVICE) => {
            Err(NetworkError::link(format!("removing the link {name}"), &error))
        }
        _ => Ok(()),
    }
}

/// A veth pair: `host_name` in this namespace as a port of the bridge, the endpoint's interface in that of `pid`.
pub(crate) async fn add_pair(
    links: &Handle,
    host_name: &str,
    endpoint: &Endpoint,
    bridge: u32,
    pid: i32,
) -> Result<()> {
    // What a cut-off container left under this name.
    remove_link(links, host_name).await?;
    let inside = LinkUnspec::new_with_name(&endpoint.interface)
        .setns_by_pid(pid.unsigned_abs())
        .address(endpoint.hardware.unwrap_or_else(|| hardware_address(endpoint.address)).to_vec())
        .mtu(endpoint.mtu)
        .build();
    let pair = LinkMessageBuilder::<LinkVeth>::new_with_info_kind(InfoKind::Veth)
        .name(host_name)
        .controller(bridge)
        .mtu(endpoint.mtu)
        .up()
        .set_info_data(InfoData::Veth(InfoVeth::Peer(inside)))
        .build();
    let what = || format!("making the interface {} of the container", endpoint.interface);
    links.link().add(pair).execute().await.map_err(|error| NetworkError::link(what(), &error))
}

/// Sets up, in the container's namespace, what [`add_pair`] put there. `gateway` says whether the way out leads through it.
pub(crate) async fn configure(links: &Handle, endpoint: &Endpoint, gateway: bool) -> Result<()> {
    let interface = &endpoint.interface;
    let index = find(links, interface)
        .await?
        .ok_or_else(|| NetworkError::Attendant(format!("the container's interface {interface} went away")))?;
    add_address(links, index, endpoint.address, endpoint.subnet.prefix_len(), interface).await?;
    set_up(links, index, interface).await?;
    if gateway && !endpoint.internal {
        let route = RouteMessageBuilder::<Ipv4Addr>::new().gateway(endpoint.gateway).build();
        existing_is_fine(links.route().add(route).execute().await).map_err(|error| {
            NetworkError::link(format!("adding the container's route by {}", endpoint.gateway), &error)
        })?;
    }
    Ok(())
}

/// The loopback interface of a new namespace is down.
pub(crate) async fn raise_loopback(links: &Handle) -> Result<()> {
    match find(links, "lo").await? {
        Some(index) => set_up(links, index, "lo").await,
        None => Ok(()),
    }
}

async fn set_up(links: &Handle, index: u32, name: &str) -> Result<()> {
    let up = LinkUnspec::new_with_index(index).up().build();
    let changed = links.link().change(up).execute().await;
    changed.map_err(|error| NetworkError::link(format!("setting the interface {name} up"), &error))
}

async fn add_address(links: &Handle, index: u32, address: Ipv4Addr, prefix: u8, name: &str) -> Result<()> {
    let added = links.address().add(index, IpAddr::V4(address), prefix).execute().await;
    existing_is_fine(added)
        .map_err(|error| NetworkError::link(format!("giving {name} the address {address}/{prefix}"), &error))
}

async fn find(links: &Handle, name: &str) -> Result<Option<u32>> {
    Ok(get(links, name).await?.map(|link| link.header.index))
}

async fn get(links: &Handle, name: &str) -> Result<Option<LinkMessage>> {
    match links.link().get().match_name(name.to_owned()).execute().try_next().await {
        Ok(found) => Ok(found),
        Err(error) if code(&error) == Some(NO_SUCH_DEVICE) => Ok(None),
        Err(error) => Err(NetworkError::link(format!("looking for the link {name}"), &error)),
    }
}

fn existing_is_fine(done: std::result::Result<(), Error>) -> std::result::Result<(), Error> {
    match done {
        Err(error) if code(&error) == Some(EXISTS) => Ok(()),
        other => other,
    }
}

fn code(error: &Error) -> Option<i32> {
    match error {
        Error::NetlinkError(message) => Some(message.raw_code().abs()),
        _ => None,
    }
}

/// The kernel's answer in words, without the message that it repeats.
pub(crate) fn reason(error: &Error) -> String {
    match error {
        Error::NetlinkError(message) => message.to_io().to_string(),
        other => other.to_string(),
    }
}
