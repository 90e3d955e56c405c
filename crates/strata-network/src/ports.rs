//! Binding the ports of this machine that lead to a container.

use std::io;
use std::net::{IpAddr, Ipv6Addr, SocketAddr, TcpListener, UdpSocket};

use rustix::net::{AddressFamily, SocketFlags, SocketType, bind, ipproto, listen, socket_with, sockopt};

use crate::plan::{BoundPort, Protocol, PublishedPort};
use crate::{NetworkError, Result};

/// How many connections may wait to be accepted.
const BACKLOG: i32 = 1024;
/// How often a free port is looked for that is free in both families.
const TRIES: usize = 16;

/// A port that this process holds.
pub(crate) struct Held {
    pub(crate) port: BoundPort,
    pub(crate) socket: Socket,
}

pub(crate) enum Socket {
    Streams(TcpListener),
    Datagrams(UdpSocket),
}

/// Binds all of `ports`; a port of every address of IPv4 is one of every address of IPv6 too, where the machine has that.
pub(crate) fn bind_all(ports: &[PublishedPort]) -> Result<Vec<Held>> {
    let mut held = Vec::new();
    for port in ports {
        held.extend(bind_one(port)?);
    }
    Ok(held)
}

fn bind_one(port: &PublishedPort) -> Result<Vec<Held>> {
    let mut refused = None;
    for candidate in candidates(port) {
        match bind_both(port, candidate) {
            Ok(held) => return Ok(held),
            Err(error) => refused = Some(error),
        }
    }
    let (address, port) = (port.host_address, port.host_port);
    match refused {
        Some(error) if error.kind() != io::ErrorKind::AddrInUse => {
            Err(NetworkError::system(format!("binding {address}:{port} of this machine"), error))
        }
        _ => Err(NetworkError::PortAllocated { address, port }),
    }
}

fn candidates(port: &PublishedPort) -> Vec<u16> {
    match port.host_port {
        0 => vec![0; TRIES],
        first => (first..=port.host_port_end.max(first)).collect(),
    }
}

fn bind_both(port: &PublishedPort, number: u16) -> io::Result<Vec<Held>> {
    let first = hold(port, SocketAddr::new(port.host_address, number))?;
    if port.host_address != IpAddr::V4(std::net::Ipv4Addr::UNSPECIFIED) {
        return Ok(vec![first]);
    }
    match hold(port, SocketAddr::new(Ipv6Addr::UNSPECIFIED.into(), first.port.host_port)) {
        Ok(second) => Ok(vec![first, second]),
        Err(error) if error.kind() == io::ErrorKind::AddrInUse => Err(error),
        // A machine without IPv6.
        Err(_) => Ok(vec![first]),
    }
}

fn hold(port: &PublishedPort, address: SocketAddr) -> io::Result<Held> {
    let socket = match port.protocol {
        Protocol::Tcp => Socket::Streams(streams(address)?),
        Protocol::Udp => Socket::Datagrams(datagrams(address)?),
    };
    let local = match &socket {
        Socket::Streams(listener) => listener.local_addr()?,
        Socket::Datagrams(socket) => socket.local_addr()?,
    };
    let bound = BoundPort {
        protocol: port.protocol,
        host_address: address.ip(),
        host_port: local.port(),
        container_port: port.container_port,
    };
    Ok(Held { port: bound, socket })
}

fn streams(address: SocketAddr) -> io::Result<TcpListener> {
    let socket = socket(address, SocketType::STREAM, ipproto::TCP)?;
    // Connections of a container that just ended must not keep its port.
    sockopt::set_socket_reuseaddr(&socket, true)?;
    bind(&socket, &address)?;
    listen(&socket, BACKLOG)?;
    Ok(socket.into())
}

fn datagrams(address: SocketAddr) -> io::Result<UdpSocket> {
    let socket = socket(address, SocketType::DGRAM, ipproto::UDP)?;
    bind(&socket, &address)?;
    Ok(socket.into())
}

fn socket(address: SocketAddr, kind: SocketType, protocol: rustix::net::Protocol) -> io::Result<std::os::fd::OwnedFd> {
    let family = if address.is_ipv4() { AddressFamily::INET } else { AddressFamily::INET6 };
    let socket = socket_with(family, kind, SocketFlags::CLOEXEC | SocketFlags::NONBLOCK, Some(protocol))?;
    if address.is_ipv6() {
        // The sockets of IPv4 are there of their own.
        sockopt::set_ipv6_v6only(&socket, true)?;
    }
    Ok(socket)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn published(protocol: Protocol, first: u16, last: u16) -> PublishedPort {
        PublishedPort {
            protocol,
            host_address: std::net::Ipv4Addr::LOCALHOST.into(),
            host_port: first,
            host_port_end: last,
            container_port: 80,
        }
    }

    #[test]
    fn a_free_port_is_found_and_a_taken_one_is_told_as_docker_does() {
        let held = bind_all(&[published(Protocol::Tcp, 0, 0)]).expect("a free port");
        let taken = held[0].port.host_port;
        let error = bind_all(&[published(Protocol::Tcp, taken, taken)]).err().expect("taken").to_string();
        assert_eq!(error, format!("Bind for 127.0.0.1:{taken} failed: port is already allocated"));
        // The same number is free for the other protocol, and a range goes on after a taken one.
        bind_all(&[published(Protocol::Udp, taken, taken)]).expect("free for datagrams");
        let range = bind_all(&[published(Protocol::Tcp, taken, taken.saturating_add(20))]).expect("one of the range");
        assert!(range[0].port.host_port > taken);
    }
}
