//! The way out and the way in: the nftables table `ip strata`, written as one script for `nft`.
//!
//! A script is applied whole or not at all. The rules never change: what comes and goes (bridges, subnets, published ports)
//! are elements of sets and maps, so that a container is added and taken away without a rule's handle being kept anywhere.
//!
//! - what leaves a network for elsewhere gets this machine's address (`postrouting`);
//! - what reaches a published port of this machine from elsewhere goes to the container (`prerouting`), from this machine
//!   itself too (`output`) unless it is sent to 127.0.0.0/8: that, and what containers send, is the attendant's;
//! - members of a network reach each other, not those of others; nothing leaves or enters an internal one (`forward`).

use std::fmt::Write as _;
use std::io::{self, Write as _};
use std::net::IpAddr;
use std::process::{Command, Stdio};

use crate::lock::lock;
use crate::plan::{BoundPort, Endpoint};
use crate::{NetworkError, Result};

/// The table, its sets and chains; flushing the chains makes the script repeatable.
const TABLE: &str = "\
add table ip strata
add set ip strata bridges { type ifname; }
add set ip strata internal { type ifname; }
add set ip strata same { type ifname . ifname; }
add set ip strata subnets { type ipv4_addr; flags interval; }
add map ip strata published_tcp { type ipv4_addr . inet_service : ipv4_addr . inet_service; }
add map ip strata published_udp { type ipv4_addr . inet_service : ipv4_addr . inet_service; }
add map ip strata published_any_tcp { type inet_service : ipv4_addr . inet_service; }
add map ip strata published_any_udp { type inet_service : ipv4_addr . inet_service; }
add chain ip strata prerouting { type nat hook prerouting priority -100; policy accept; }
add chain ip strata output { type nat hook output priority -100; policy accept; }
add chain ip strata postrouting { type nat hook postrouting priority 100; policy accept; }
add chain ip strata forward { type filter hook forward priority 0; policy accept; }
add chain ip strata published
flush chain ip strata prerouting
flush chain ip strata output
flush chain ip strata postrouting
flush chain ip strata forward
flush chain ip strata published
add rule ip strata published dnat ip to ip daddr . tcp dport map @published_tcp
add rule ip strata published dnat ip to ip daddr . udp dport map @published_udp
add rule ip strata published dnat ip to tcp dport map @published_any_tcp
add rule ip strata published dnat ip to udp dport map @published_any_udp
add rule ip strata prerouting iifname != @bridges fib daddr type local jump published
add rule ip strata output ip daddr != 127.0.0.0/8 fib daddr type local jump published
add rule ip strata postrouting ip saddr @subnets oifname != @bridges masquerade
add rule ip strata forward ct state established,related accept
add rule ip strata forward iifname . oifname @same accept
add rule ip strata forward iifname @internal drop
add rule ip strata forward oifname @internal drop
add rule ip strata forward iifname @bridges oifname @bridges drop
";

/// Lets the members of networks out, or keeps them in when a network is internal, and leads ports of this machine to a
/// container, which has its address on the first of them. Whoever calls holds the ports: an older entry is a dead container's.
pub(crate) fn open(endpoints: &[Endpoint], ports: &[BoundPort]) -> Result<()> {
    let mut script = TABLE.to_owned();
    for Endpoint { bridge, subnet, internal, .. } in endpoints {
        let _ = writeln!(script, "add element ip strata bridges {{ \"{bridge}\" }}");
        let _ = writeln!(script, "add element ip strata same {{ \"{bridge}\" . \"{bridge}\" }}");
        let _ = match internal {
            true => writeln!(script, "add element ip strata internal {{ \"{bridge}\" }}"),
            false => writeln!(script, "add element ip strata subnets {{ {} }}", subnet.trunc()),
        };
    }
    let entries = entries(ports, endpoints.first());
    script.extend(entries.iter().map(|entry| entry.command("add")));
    match apply(&script) {
        // Perhaps there are older entries. There is no way to say "delete if there".
        Err(_) if !entries.is_empty() => {
            for entry in &entries {
                let _ = apply(&format!("delete element ip strata {} {{ {} }}\n", entry.map, entry.key));
            }
            apply(&script)
        }
        applied => applied,
    }
}

/// Forgets a network. Adding before deleting makes it repeatable.
pub(crate) fn close(bridge: &str, subnet: &ipnet::Ipv4Net) -> Result<()> {
    let mut script = TABLE.to_owned();
    for verb in ["add", "delete"] {
        let _ = writeln!(script, "{verb} element ip strata bridges {{ \"{bridge}\" }}");
        let _ = writeln!(script, "{verb} element ip strata internal {{ \"{bridge}\" }}");
        let _ = writeln!(script, "{verb} element ip strata same {{ \"{bridge}\" . \"{bridge}\" }}");
        let _ = writeln!(script, "{verb} element ip strata subnets {{ {} }}", subnet.trunc());
    }
    apply(&script)
}

/// Takes back what [`open`] did for ports. What is another container's by now, or gone, stays as it is.
pub(crate) fn unpublish(ports: &[BoundPort], endpoint: &Endpoint) {
    let commands: Vec<String> = entries(ports, Some(endpoint)).iter().map(|entry| entry.command("delete")).collect();
    if !commands.is_empty() && apply(&commands.concat()).is_err() && commands.len() > 1 {
        for command in commands {
            let _ = apply(&command);
        }
    }
}

fn entries(ports: &[BoundPort], endpoint: Option<&Endpoint>) -> Vec<Entry> {
    endpoint.map_or_else(Vec::new, |endpoint| ports.iter().filter_map(|port| Entry::of(port, endpoint)).collect())
}

struct Entry {
    map: String,
    key: String,
    value: String,
}

impl Entry {
    /// `None` for addresses of IPv6, which the attendant alone serves.
    fn of(port: &BoundPort, endpoint: &Endpoint) -> Option<Entry> {
        let protocol = port.protocol.word();
        let value = format!("{} . {}", endpoint.address, port.container_port);
        match port.host_address {
            IpAddr::V6(_) => None,
            IpAddr::V4(address) if address.is_unspecified() => {
                Some(Entry { map: format!("published_any_{protocol}"), key: port.host_port.to_string(), value })
            }
            IpAddr::V4(address) => Some(Entry {
                map: format!("published_{protocol}"),
                key: format!("{address} . {}", port.host_port),
                value,
            }),
        }
    }

    fn command(&self, verb: &str) -> String {
        format!("{verb} element ip strata {} {{ {} : {} }}\n", self.map, self.key, self.value)
    }
}

/// One change at a time. `nft` holds the lock, too, as its standard output: when we are killed, it is free only when what was
/// begun is done, so that it cannot undo what somebody else does next.
fn apply(script: &str) -> Result<()> {
    let lock = lock()?;
    let mut nft = Command::new("nft")
        .args(["-f", "-"])
        .stdin(Stdio::piped())
        .stdout(lock)
        .stderr(Stdio::piped())
        .spawn()
        .map_err(|error| match error.kind() {
            io::ErrorKind::NotFound => NetworkError::Unsupported(
                "the program nft is not installed: containers cannot reach other machines (install the package nftables)"
                    .to_owned(),
            ),
            _ => NetworkError::system("starting nft", error),
        })?;
    let failed = |error| NetworkError::system("talking to nft", error);
    nft.stdin.take().map_or(Ok(()), |mut input| input.write_all(script.as_bytes())).map_err(failed)?;
    let output = nft.wait_with_output().map_err(failed)?;
    if output.status.success() {
        return Ok(());
    }
    let said = String::from_utf8_lossy(&output.stderr);
    let first = said.lines().next().unwrap_or("no reason given");
    Err(NetworkError::Unsupported(format!(
        "nftables does not take the rules of container networks: {first} (the kernel needs nf_tables with NAT, the user \
         CAP_NET_ADMIN)"
    )))
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::plan::Protocol;

    #[test]
    fn a_port_is_an_element_of_the_map_of_its_protocol_and_address() {
        let endpoint = crate::plan::tests_endpoint();
        let port = |host_address: &str, protocol| BoundPort {
            protocol,
            host_address: host_address.parse().expect("an address"),
            host_port: 8080,
            container_port: 80,
        };
        let command = |port: &BoundPort| Entry::of(port, &endpoint).map(|entry| entry.command("add"));
        assert_eq!(
            command(&port("0.0.0.0", Protocol::Tcp)).as_deref(),
            Some("add element ip strata published_any_tcp { 8080 : 172.17.0.2 . 80 }\n")
        );
        assert_eq!(
            command(&port("192.0.2.1", Protocol::Udp)).as_deref(),
            Some("add element ip strata published_udp { 192.0.2.1 . 8080 : 172.17.0.2 . 80 }\n")
        );
        assert_eq!(command(&port("::", Protocol::Tcp)), None);
    }
}
