//! Which ports of this machine lead to a container: what `-p`, `-P` and `EXPOSE` ask for.

use std::net::{IpAddr, Ipv4Addr};
use std::path::Path;

use strata_network::{BoundPort, Protocol, PublishedPort};
use strata_store::Store;

use crate::container::document::PortBinding;
use crate::container::{ContainerDocument, container_directory, find_container};
use crate::{EngineError, Result};

/// The ports of this machine that lead to a container now, sorted by the container's port.
///
/// # Errors
/// `NotFound`.
pub async fn bound_ports(store: &Store, root: &Path, container: &str) -> Result<Vec<BoundPort>> {
    let container = find_container(&*store.read().await?, container).await?;
    let directory = container_directory(root, &container.id);
    if strata_runtime::state(&directory)?.pid == 0 {
        return Ok(Vec::new());
    }
    let mut ports = strata_network::state(&directory)?.unwrap_or_default().ports;
    ports.sort_by_key(|port| (port.container_port, port.protocol));
    Ok(ports)
}

/// The ports that a container's settings publish, sorted by the container's port.
///
/// # Errors
/// `Invalid` for a malformed port or address; `Unsupported` for SCTP.
pub fn published_ports(document: &ContainerDocument) -> Result<Vec<PublishedPort>> {
    let mut ports = Vec::new();
    let host = &document.host_config;
    for (text, bindings) in host.port_bindings.iter().flatten() {
        let (container_port, protocol) = parse_port(text)?;
        let any = [PortBinding::default()];
        let bindings = bindings.as_deref().filter(|bindings| !bindings.is_empty()).unwrap_or(&any);
        for binding in bindings {
            ports.push(published(protocol, container_port, binding)?);
        }
    }
    if host.publish_all_ports {
        for (text, _) in document.config.exposed_ports.iter().flatten() {
            let (container_port, protocol) = parse_port(text)?;
            if !ports.iter().any(|port| (port.container_port, port.protocol) == (container_port, protocol)) {
                ports.push(published(protocol, container_port, &PortBinding::default())?);
            }
        }
    }
    ports.sort_by_key(|port| (port.container_port, port.protocol, port.host_port));
    Ok(ports)
}

fn published(protocol: Protocol, container_port: u16, binding: &PortBinding) -> Result<PublishedPort> {
    let host_address = match binding.host_ip.as_str() {
        "" => IpAddr::V4(Ipv4Addr::UNSPECIFIED),
        text => text.parse().map_err(|_| EngineError::invalid(format!("invalid IP address: {text}")))?,
    };
    let (first, last) = parse_range(&binding.host_port)?;
    Ok(PublishedPort { protocol, host_address, host_port: first, host_port_end: last, container_port })
}

/// `80/tcp`; without protocol it is TCP.
pub(super) fn parse_port(text: &str) -> Result<(u16, Protocol)> {
    let (number, protocol) = text.split_once('/').unwrap_or((text, "tcp"));
    let protocol = match protocol.to_ascii_lowercase().as_str() {
        "tcp" => Protocol::Tcp,
        "udp" => Protocol::Udp,
        "sctp" => {
            return Err(EngineError::Unsupported {
                message: format!("port {text}: SCTP is not supported"),
                hint: Some("use tcp or udp".to_owned()),
            });
        }
        _ => return Err(EngineError::invalid(format!("invalid proto: {protocol}"))),
    };
    let number = number.parse().ok().filter(|number| *number > 0);
    number
        .map(|number| (number, protocol))
        .ok_or_else(|| EngineError::invalid(format!("invalid containerPort: {text}")))
}

/// ``, `8080` or `8080-8090`.
fn parse_range(text: &str) -> Result<(u16, u16)> {
    if text.is_empty() {
        return Ok((0, 0));
    }
    let (first, last) = text.split_once('-').unwrap_or((text, text));
    match (first.parse(), last.parse()) {
        (Ok(first), Ok(last)) if first <= last => Ok((first, last)),
        _ => Err(EngineError::invalid(format!("invalid hostPort: {text}"))),
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::collections::BTreeMap;

    fn document(bindings: &[(&str, &str, &str)], exposed: &[&str], all: bool) -> ContainerDocument {
        let mut document = ContainerDocument::default();
        let mut ports: BTreeMap<String, Option<Vec<PortBinding>>> = BTreeMap::new();
        for (port, host_ip, host_port) in bindings {
            let binding = PortBinding { host_ip: (*host_ip).to_owned(), host_port: (*host_port).to_owned() };
            ports.entry((*port).to_owned()).or_default().get_or_insert_default().push(binding);
        }
        document.host_config.port_bindings = Some(ports);
        document.host_config.publish_all_ports = all;
        document.config.exposed_ports =
            Some(exposed.iter().map(|port| ((*port).to_owned(), serde_json::json!({}))).collect());
        document
    }

    #[test]
    fn bindings_and_exposed_ports_become_published_ones() {
        let ports =
            published_ports(&document(&[("80/tcp", "", "8080"), ("53/udp", "127.0.0.1", "")], &["443/tcp"], false));
        let ports = ports.expect("ports");
        assert_eq!(ports.iter().map(|port| port.container_port).collect::<Vec<_>>(), [53, 80]);
        assert_eq!((ports[0].protocol, ports[0].host_port), (Protocol::Udp, 0));
        assert_eq!(ports[1].host_address.to_string(), "0.0.0.0");
        let all =
            published_ports(&document(&[("80/tcp", "", "8080-8090")], &["443/tcp", "80/tcp"], true)).expect("ports");
        assert_eq!(
            all.iter().map(|port| (port.container_port, port.host_port)).collect::<Vec<_>>(),
            [(80, 8080), (443, 0)]
        );
        assert_eq!(all[0].host_port_end, 8090);
    }

    #[test]
    fn bad_ports_are_told() {
        for (port, host_ip, host_port, message) in [
            ("0/tcp", "", "", "invalid containerPort: 0/tcp"),
            ("80/sctp", "", "", "port 80/sctp: SCTP is not supported"),
            ("80/icmp", "", "", "invalid proto: icmp"),
            ("80/tcp", "here", "", "invalid IP address: here"),
            ("80/tcp", "", "9-8", "invalid hostPort: 9-8"),
            ("80/tcp", "", "70000", "invalid hostPort: 70000"),
        ] {
            let error = published_ports(&document(&[(port, host_ip, host_port)], &[], false)).expect_err("bad");
            assert_eq!(error.to_string(), message);
        }
    }
}
