//! What a container's network needs of the machine: bridges and addresses, a way out, published ports, names.
//!
//! The engine decides ([`NetworkPlan`], written as `network.json` into the container's directory) and names this program in
//! the OCI configuration's hooks, so that every OCI runtime sets up the same network: `createRuntime` attaches, `poststop`
//! detaches. What listens as long as the container lives (published ports, the resolver of its names) is one process for
//! each container, the *attendant*. It holds a pidfd of the container's init and ends with it.
//!
//! ```text
//! <container>/network.json           what to set up: NetworkPlan
//!             network-state.json     what was set up: NetworkState (ports as bound, warnings, the attendant's process)
//! <networks>/<network id>/<container id>.json    who is on a network under which names: Member
//! ```
//!
//! In the kernel: a bridge for each network, a veth pair for each endpoint, and the nftables table `ip strata`
//! ([`filter`]). A veth pair goes with the container's network namespace; the rest is taken away by [`detach`], which can be
//! repeated and does what a killed process left undone.
//!
//! This is the only crate that changes links and filters. Nothing of the store is known here.

mod attach;
mod attendant;
mod detach;
mod entry;
mod error;
mod filter;
mod link;
mod lock;
mod member;
mod namespace;
mod plan;
mod ports;
mod resolver_files;
mod subnet;
mod userspace;

pub use attach::{attach, claim, connect};
pub use detach::{detach, disconnect, remove_network};
pub use entry::{PROGRAM, entry, hook_arguments};
pub use error::NetworkError;
pub use member::Member;
pub use plan::{
    AttendantProcess, BoundPort, Bridge, Endpoint, Mode, NetworkPlan, NetworkState, Protocol, PublishedPort, state,
};
pub use resolver_files::{RESOLVER, ResolverSettings, hosts, resolv_conf};
pub use subnet::{choose_address, choose_subnet, hardware_address, host_routes};

type Result<T> = std::result::Result<T, NetworkError>;
