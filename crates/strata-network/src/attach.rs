//! Attaching a container's init to its networks, step by step; what was begun is taken back when a step fails.

use std::fs;
use std::path::Path;
use std::slice;

use crate::attendant;
use crate::detach::detach;
use crate::filter;
use crate::link;
use crate::member::Member;
use crate::namespace;
use crate::plan::{BoundPort, Bridge, Endpoint, Mode, NetworkPlan, NetworkState};
use crate::{NetworkError, Result};

const FORWARDING: &str = "/proc/sys/net/ipv4/ip_forward";

/// Sets up what `network.json` of `directory` says for the container whose init is `pid`, and writes `network-state.json`.
///
/// # Errors
/// When an interface cannot be made or a port not be bound; nothing is left then. A filter that cannot be set is a warning
/// in the state: published ports and the other members of the network can be reached without.
pub fn attach(directory: &Path, pid: i32) -> Result<NetworkState> {
    let plan = NetworkPlan::read(directory)?;
    let attached = match plan.mode {
        Mode::Bridge => attach_bridges(directory, &plan, pid),
        Mode::User => attach_user(directory, pid),
    };
    if attached.is_err() {
        // The first failure is the one to tell.
        let _ = detach(directory);
    }
    attached
}

fn attach_bridges(directory: &Path, plan: &NetworkPlan, pid: i32) -> Result<NetworkState> {
    let mut state = NetworkState::default();
    raise_loopback(pid)?;
    for (number, endpoint) in plan.endpoints.iter().enumerate() {
        connect_endpoint(&plan.container, endpoint, number == 0, pid)?;
    }
    let ready = match plan.ports.is_empty() && !plan.resolver {
        true => None,
        false => Some(attendant::start(directory, pid)?),
    };
    if let Some(ready) = &ready {
        state.attendant = Some(ready.process);
        state.ports.clone_from(&ready.ports);
    }
    // Written before the filter knows the ports: a kill between the two leaves something that `detach` can find.
    state.write(directory)?;
    if let Some(ready) = ready {
        ready.go_on()?;
    }
    if let Err(error) = open_the_ways(&plan.endpoints, &state.ports) {
        state.warnings.push(error.to_string());
        state.write(directory)?;
    }
    Ok(state)
}

/// The attendant starts the user's program and asks it for the ports.
fn attach_user(directory: &Path, pid: i32) -> Result<NetworkState> {
    raise_loopback(pid)?;
    let ready = attendant::start(directory, pid)?;
    let state = NetworkState { ports: ready.ports.clone(), warnings: Vec::new(), attendant: Some(ready.process) };
    state.write(directory)?;
    ready.go_on()?;
    Ok(state)
}

/// Connects a running container to one more network.
///
/// # Errors
/// When its interface cannot be made.
pub fn connect(container: &str, endpoint: &Endpoint, pid: i32) -> Result<Vec<String>> {
    connect_endpoint(container, endpoint, false, pid)?;
    Ok(open_the_ways(slice::from_ref(endpoint), &[]).err().map(|error| error.to_string()).into_iter().collect())
}

/// Sees to it that a network's bridge is there and its own.
///
/// # Errors
/// `SubnetTaken` when it is not there and this machine knows its addresses otherwise, `BridgeTaken` when it is another's.
pub fn claim(bridge: &Bridge<'_>) -> Result<()> {
    link::with_links(async |links| link::ensure_bridge(&links, bridge).await).map(drop)
}

fn connect_endpoint(container: &str, endpoint: &Endpoint, first: bool, pid: i32) -> Result<()> {
    let name = host_link(container, &endpoint.interface);
    link::with_links(async |links| {
        let bridge = link::ensure_bridge(&links, &endpoint.bridge()).await?;
        link::add_pair(&links, &name, endpoint, bridge, pid).await
    })?;
    let namespace = namespace::of(pid)?;
    namespace::within(&namespace, || link::with_links(async |links| link::configure(&links, endpoint, first).await))?;
    Member::announce(endpoint, container)
}

/// Out of the networks, and in to a container's ports, which are on the first.
fn open_the_ways(endpoints: &[Endpoint], ports: &[BoundPort]) -> Result<()> {
    if endpoints.iter().any(|endpoint| !endpoint.internal) {
        let failed = |action: &str| format!("{action} {FORWARDING}");
        let forwarding =
            fs::read_to_string(FORWARDING).map_err(|error| NetworkError::system(failed("reading"), error))?;
        if forwarding.trim() == "0" {
            fs::write(FORWARDING, "1").map_err(|error| NetworkError::system(failed("writing"), error))?;
        }
    }
    filter::open(endpoints, ports)
}

fn raise_loopback(pid: i32) -> Result<()> {
    let namespace = namespace::of(pid)?;
    namespace::within(&namespace, || link::with_links(async |links| link::raise_loopback(&links).await))
}

/// The name of this machine's end of an interface's veth pair: `st`, twelve digits of the container's ID, a letter for the
/// interface's number (the kernel takes 15 bytes).
pub(crate) fn host_link(container: &str, interface: &str) -> String {
    let digits: String = container.chars().take(12).collect();
    let number: u8 = interface.trim_start_matches(|letter: char| !letter.is_ascii_digit()).parse().unwrap_or(0);
    format!("st{digits}{}", char::from(b'a' + number % 26))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn names_of_links_fit_the_kernel_and_tell_interfaces_apart() {
        let container = "0123456789abcdef".repeat(4);
        assert_eq!(host_link(&container, "eth0"), "st0123456789aba");
        assert_eq!(host_link(&container, "eth3"), "st0123456789abd");
        assert!(host_link(&container, "eth25").len() <= 15);
    }
}
