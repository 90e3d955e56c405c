//! Taking away what [`attach`](crate::attach) set up. Every step can be repeated, and none needs the container to live.

use std::path::Path;

use ipnet::Ipv4Net;

use crate::attach::host_link;
use crate::attendant;
use crate::filter;
use crate::link;
use crate::member::Member;
use crate::plan::{Endpoint, NetworkPlan, NetworkState, state};
use crate::{NetworkError, Result};

/// Takes away what was set up for the container of `directory`: its ports, its attendant, its names, its links.
///
/// # Errors
/// When something is still there; what could be taken away is. A second call goes on.
pub fn detach(directory: &Path) -> Result<()> {
    let Some(plan) = plan_if_any(directory)? else { return Ok(()) };
    let set_up = state(directory)?.unwrap_or_default();
    if let Some(first) = plan.endpoints.first() {
        filter::unpublish(&set_up.ports, first);
    }
    if let Some(process) = set_up.attendant {
        attendant::stop(process)?;
    }
    for endpoint in &plan.endpoints {
        disconnect(&plan.container, endpoint)?;
    }
    NetworkState::remove(directory)
}

fn plan_if_any(directory: &Path) -> Result<Option<NetworkPlan>> {
    match NetworkPlan::read(directory) {
        Ok(plan) => Ok(Some(plan)),
        Err(NetworkError::System { cause, .. }) if cause.kind() == std::io::ErrorKind::NotFound => Ok(None),
        Err(error) => Err(error),
    }
}

/// Takes a container off one network. Its interface goes with this machine's end of the pair.
///
/// # Errors
/// When the link or the name cannot be removed.
pub fn disconnect(container: &str, endpoint: &Endpoint) -> Result<()> {
    Member::withdraw(endpoint, container)?;
    let name = host_link(container, &endpoint.interface);
    link::with_links(async |links| link::remove_link(&links, &name).await)
}

/// Takes a network's bridge and what the filter knows of it away.
///
/// # Errors
/// When the bridge cannot be removed. A filter that cannot be changed is left: it speaks of a bridge that is gone.
pub fn remove_network(bridge: &str, subnet: &Ipv4Net) -> Result<()> {
    let _ = filter::close(bridge, subnet);
    link::with_links(async |links| link::remove_link(&links, bridge).await)
}
