//! What is to be set up for a container, and what was.

use std::fs;
use std::io;
use std::net::{IpAddr, Ipv4Addr};
use std::path::{Path, PathBuf};

use ipnet::Ipv4Net;
use serde::de::DeserializeOwned;
use serde::{Deserialize, Serialize};

use crate::{NetworkError, Result};

const PLAN: &str = "network.json";
const STATE: &str = "network-state.json";

/// What the engine decided for a container's network.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct NetworkPlan {
    /// The container's ID: 64 hexadecimal digits.
    pub container: String,
    /// How it gets out.
    pub mode: Mode,
    /// Its interfaces, in the order of their names; empty in user mode.
    pub endpoints: Vec<Endpoint>,
    /// The ports of this machine that lead to it.
    pub ports: Vec<PublishedPort>,
    /// Whether it resolves names of its networks' members by [`RESOLVER`](crate::RESOLVER).
    pub resolver: bool,
    /// Who resolves all other names, in the order in which they are asked.
    pub name_servers: Vec<IpAddr>,
}

/// How a container gets out.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub enum Mode {
    /// Through bridges of this machine; needs the right to change its network.
    Bridge,
    /// Through a process of the user, `pasta` or `slirp4netns`.
    User,
}

/// An interface of a container on a network.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Endpoint {
    /// The network's ID.
    pub network: String,
    /// The bridge that the network is.
    pub bridge: String,
    /// The network's addresses.
    pub subnet: Ipv4Net,
    /// This machine's address on it.
    pub gateway: Ipv4Addr,
    /// The container's address on it.
    pub address: Ipv4Addr,
    /// The interface's name in the container.
    pub interface: String,
    /// What others on the network call the container.
    pub names: Vec<String>,
    /// The directory of the network's members.
    pub members: PathBuf,
    /// Whether nothing leaves the network.
    pub internal: bool,
    /// The largest packet, in bytes.
    pub mtu: u32,
    /// The interface's hardware address, when it is not the one that goes with the address.
    #[serde(default)]
    pub hardware: Option<[u8; 6]>,
    /// What the container itself calls others on the network: alias and name.
    #[serde(default)]
    pub links: Vec<(String, String)>,
}

/// A network as a link of this machine.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Bridge<'a> {
    /// The network's ID.
    pub network: &'a str,
    /// The link's name.
    pub name: &'a str,
    /// The network's addresses.
    pub subnet: Ipv4Net,
    /// This machine's address on it.
    pub gateway: Ipv4Addr,
    /// The largest packet, in bytes.
    pub mtu: u32,
}

impl Endpoint {
    pub(crate) fn bridge(&self) -> Bridge<'_> {
        let Endpoint { network, bridge, subnet, gateway, mtu, .. } = self;
        Bridge { network, name: bridge, subnet: *subnet, gateway: *gateway, mtu: *mtu }
    }
}

/// What carries a port.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum Protocol {
    /// Streams.
    Tcp,
    /// Datagrams.
    Udp,
}

impl Protocol {
    /// `tcp` or `udp`.
    pub fn word(self) -> &'static str {
        match self {
            Protocol::Tcp => "tcp",
            Protocol::Udp => "udp",
        }
    }
}

/// A port of this machine that is to lead to a container.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct PublishedPort {
    /// What carries it.
    pub protocol: Protocol,
    /// The address of this machine; unspecified is every one.
    pub host_address: IpAddr,
    /// The first port of this machine that will do; 0 is any free one.
    pub host_port: u16,
    /// The last one that will do, `host_port` for no choice.
    pub host_port_end: u16,
    /// The port in the container.
    pub container_port: u16,
}

/// A port of this machine that leads to a container.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct BoundPort {
    /// What carries it.
    pub protocol: Protocol,
    /// The address of this machine.
    pub host_address: IpAddr,
    /// The port of this machine.
    pub host_port: u16,
    /// The port in the container.
    pub container_port: u16,
}

/// The process that listens for a container.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct AttendantProcess {
    /// Its process ID.
    pub pid: i32,
    /// When it started, in ticks since the machine did: tells it from a later process of the same ID.
    pub started: u64,
}

/// What was set up.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct NetworkState {
    /// The ports that lead to the container.
    pub ports: Vec<BoundPort>,
    /// What could not be done and need not stop the container.
    pub warnings: Vec<String>,
    /// Who listens for it.
    pub attendant: Option<AttendantProcess>,
}

/// What was set up for the container of `directory`; `None` when nothing is.
///
/// # Errors
/// When the document cannot be read or is broken.
pub fn state(directory: &Path) -> Result<Option<NetworkState>> {
    read(&directory.join(STATE))
}

impl NetworkPlan {
    /// Writes `network.json` into a container's directory, by rename.
    ///
    /// # Errors
    /// When it cannot be written.
    pub fn write(&self, directory: &Path) -> Result<()> {
        write(&directory.join(PLAN), self)
    }

    /// Reads `network.json` of a container's directory.
    ///
    /// # Errors
    /// When it is missing, cannot be read or is broken.
    pub fn read(directory: &Path) -> Result<NetworkPlan> {
        let path = directory.join(PLAN);
        read(&path)?.ok_or_else(|| {
            NetworkError::system(format!("reading {}", path.display()), io::Error::from(io::ErrorKind::NotFound))
        })
    }
}

impl NetworkState {
    pub(crate) fn write(&self, directory: &Path) -> Result<()> {
        write(&directory.join(STATE), self)
    }

    pub(crate) fn remove(directory: &Path) -> Result<()> {
        remove(&directory.join(STATE))
    }
}

/// A document, when there is one.
pub(crate) fn read<T: DeserializeOwned>(path: &Path) -> Result<Option<T>> {
    let bytes = match fs::read(path) {
        Ok(bytes) => bytes,
        Err(error) if error.kind() == io::ErrorKind::NotFound => return Ok(None),
        Err(error) => return Err(NetworkError::system(format!("reading {}", path.display()), error)),
    };
    serde_json::from_slice(&bytes)
        .map(Some)
        .map_err(|error| NetworkError::Document { path: path.display().to_string(), reason: error.to_string() })
}

/// Replaces a document as a whole: readers see the old one or the new one.
pub(crate) fn write<T: Serialize>(path: &Path, document: &T) -> Result<()> {
    let failed = |error: io::Error| NetworkError::system(format!("writing {}", path.display()), error);
    let bytes = serde_json::to_vec_pretty(document).map_err(|error| failed(error.into()))?;
    let staged = path.with_extension("json.new");
    fs::write(&staged, bytes).map_err(failed)?;
    fs::rename(&staged, path).map_err(failed)
}

pub(crate) fn remove(path: &Path) -> Result<()> {
    match fs::remove_file(path) {
        Err(error) if error.kind() != io::ErrorKind::NotFound => {
            Err(NetworkError::system(format!("removing {}", path.display()), error))
        }
        _ => Ok(()),
    }
}

#[cfg(test)]
pub(crate) fn tests_endpoint() -> Endpoint {
    Endpoint {
        network: "0".repeat(64),
        bridge: "strata0".to_owned(),
        subnet: Ipv4Net::new_assert(Ipv4Addr::new(172, 17, 0, 0), 16),
        gateway: Ipv4Addr::new(172, 17, 0, 1),
        address: Ipv4Addr::new(172, 17, 0, 2),
        interface: "eth0".to_owned(),
        names: vec!["web".to_owned()],
        members: PathBuf::from("members"),
        internal: false,
        mtu: 1500,
        hardware: None,
        links: Vec::new(),
    }
}
