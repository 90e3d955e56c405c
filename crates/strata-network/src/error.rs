//! Why a network could not be set up.

use std::io;

use strata_model::ErrorKind;

/// A failure of this crate.
#[derive(Debug, thiserror::Error)]
pub enum NetworkError {
    /// A file or a system call.
    #[error("{action}: {cause}")]
    System {
        /// What was being done to which thing.
        action: String,
        /// The system's answer.
        cause: io::Error,
    },
    /// The kernel refused a change of links, addresses or routes.
    #[error("{action}: {cause}")]
    Link {
        /// What was being done to which thing.
        action: String,
        /// The kernel's answer.
        cause: String,
    },
    /// A published port belongs to somebody else. Docker's words.
    #[error("Bind for {address}:{port} failed: port is already allocated")]
    PortAllocated {
        /// The address of this machine.
        address: std::net::IpAddr,
        /// The port of this machine.
        port: u16,
    },
    /// This machine has a route to addresses of a network that is to be set up.
    #[error("the addresses {subnet} are in use on this machine: Pool overlaps with other one on this address space")]
    SubnetTaken {
        /// The network's addresses.
        subnet: ipnet::Ipv4Net,
    },
    /// The link that is to be a network's bridge is another network's, perhaps of another store.
    #[error("the bridge {bridge} belongs to another network of this machine")]
    BridgeTaken {
        /// The link's name.
        bridge: String,
    },
    /// A document does not say what it should.
    #[error("reading {path}: {reason}")]
    Document {
        /// Where it lies.
        path: String,
        /// What is wrong.
        reason: String,
    },
    /// The machine lacks what is asked for.
    #[error("{0}")]
    Unsupported(String),
    /// The attendant could not do its part.
    #[error("{0}")]
    Attendant(String),
}

impl NetworkError {
    pub(crate) fn system(action: impl Into<String>, cause: impl Into<io::Error>) -> NetworkError {
        NetworkError::System { action: action.into(), cause: cause.into() }
    }

    pub(crate) fn link(action: impl Into<String>, cause: &rtnetlink::Error) -> NetworkError {
        NetworkError::Link { action: action.into(), cause: crate::link::reason(cause) }
    }

    /// What sort of failure it is.
    pub fn kind(&self) -> ErrorKind {
        match self {
            NetworkError::PortAllocated { .. }
            | NetworkError::SubnetTaken { .. }
            | NetworkError::BridgeTaken { .. } => ErrorKind::Conflict,
            NetworkError::Document { .. } => ErrorKind::Invalid,
            NetworkError::Unsupported(_) => ErrorKind::Unsupported,
            NetworkError::System { .. } | NetworkError::Link { .. } | NetworkError::Attendant(_) => ErrorKind::Storage,
        }
    }
}
