//! Which addresses a network and its members get. Pure, besides reading the machine's routes.

use std::collections::BTreeSet;
use std::fs;
use std::net::Ipv4Addr;

use ipnet::Ipv4Net;

use crate::{NetworkError, Result};

const ROUTES: &str = "/proc/net/route";

/// The first subnet of Docker's pools that overlaps none of `taken` (networks, and the machine's own routes).
///
/// The pools are 172.17.0.0/16 to 172.31.0.0/16, then 192.168.0.0/20 to 192.168.240.0/20. `None` when all are taken.
pub fn choose_subnet(taken: &[Ipv4Net]) -> Option<Ipv4Net> {
    let large = (17..=31).map(|second| Ipv4Net::new_assert(Ipv4Addr::new(172, second, 0, 0), 16));
    let small = (0..=240).step_by(16).map(|third| Ipv4Net::new_assert(Ipv4Addr::new(192, 168, third, 0), 20));
    large.chain(small).find(|candidate| !taken.iter().any(|other| overlap(candidate, other)))
}

fn overlap(one: &Ipv4Net, other: &Ipv4Net) -> bool {
    one.contains(&other.network()) || other.contains(&one.network())
}

/// The first address of `range` (a subnet or a part of it) that is neither in `taken` nor special in `subnet`.
///
/// Addresses after `last` come first, so that an address that was just given back is not given out again at once. `None`
/// when all are taken.
pub fn choose_address(
    subnet: &Ipv4Net,
    range: &Ipv4Net,
    taken: &BTreeSet<Ipv4Addr>,
    last: Option<Ipv4Addr>,
) -> Option<Ipv4Addr> {
    let free =
        |address: &Ipv4Addr| *address != subnet.network() && *address != subnet.broadcast() && !taken.contains(address);
    let (first, end) = (u32::from(range.network()), u32::from(range.broadcast()));
    let start = match last {
        Some(last) if range.contains(&last) => u32::from(last).saturating_add(1),
        _ => first,
    };
    (start..=end).chain(first..start).map(Ipv4Addr::from).find(free)
}

/// The hardware address that goes with an address: `02:42` and the address, as Docker's.
pub fn hardware_address(address: Ipv4Addr) -> [u8; 6] {
    let [a, b, c, d] = address.octets();
    [0x02, 0x42, a, b, c, d]
}

/// The subnets that this machine already has a route to, the default route left out.
///
/// # Errors
/// When the kernel's table cannot be read.
pub fn host_routes() -> Result<Vec<Ipv4Net>> {
    let table = fs::read_to_string(ROUTES).map_err(|error| NetworkError::system(format!("reading {ROUTES}"), error))?;
    Ok(parse_routes(&table))
}

/// Columns 1 and 7 of each line: destination and mask, hexadecimal in the machine's byte order.
fn parse_routes(table: &str) -> Vec<Ipv4Net> {
    let number = |text: &str| u32::from_str_radix(text, 16).ok().map(|number| Ipv4Addr::from(number.to_ne_bytes()));
    table
        .lines()
        .skip(1)
        .filter_map(|line| {
            let columns: Vec<&str> = line.split_whitespace().collect();
            let (destination, mask) = (number(columns.get(1)?)?, number(columns.get(7)?)?);
            Ipv4Net::with_netmask(destination, mask).ok()
        })
        .filter(|net| net.prefix_len() > 0)
        .collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    fn net(text: &str) -> Ipv4Net {
        text.parse().expect("a subnet")
    }

    #[test]
    fn subnets_come_in_dockers_order_and_overlap_nothing() {
        assert_eq!(choose_subnet(&[]), Some(net("172.17.0.0/16")));
        assert_eq!(choose_subnet(&[net("172.17.5.0/24")]), Some(net("172.18.0.0/16")));
        assert_eq!(choose_subnet(&[net("172.16.0.0/12")]), Some(net("192.168.0.0/20")));
        assert_eq!(choose_subnet(&[net("172.16.0.0/12"), net("192.168.17.1/32")]), Some(net("192.168.0.0/20")));
        assert_eq!(choose_subnet(&[net("0.0.0.0/0")]), None);
    }

    #[test]
    fn addresses_are_free_and_go_round() {
        let subnet = net("10.0.0.0/29");
        let mut taken = BTreeSet::from(["10.0.0.1".parse().expect("an address")]);
        let mut given = Vec::new();
        let mut last = None;
        while let Some(address) = choose_address(&subnet, &subnet, &taken, last) {
            taken.insert(address);
            given.push(address.octets()[3]);
            last = Some(address);
        }
        assert_eq!(given, [2, 3, 4, 5, 6]);
        taken.remove(&"10.0.0.3".parse::<Ipv4Addr>().expect("an address"));
        assert_eq!(choose_address(&subnet, &subnet, &taken, last), Some("10.0.0.3".parse().expect("an address")));
    }

    #[test]
    fn an_address_just_given_back_waits() {
        let subnet = net("10.0.0.0/24");
        let last = "10.0.0.7".parse().ok();
        assert_eq!(choose_address(&subnet, &subnet, &BTreeSet::new(), last), "10.0.0.8".parse().ok());
        assert_eq!(choose_address(&subnet, &net("10.0.0.128/25"), &BTreeSet::new(), last), "10.0.0.128".parse().ok());
    }

    #[test]
    fn routes_are_read_as_the_kernel_writes_them() {
        let table = "Iface\tDestination\tGateway \tFlags\tRefCnt\tUse\tMetric\tMask\t\tMTU\tWindow\tIRTT\n\
            eth0\t00000000\t010011AC\t0003\t0\t0\t0\t00000000\t0\t0\t0\n\
            eth0\t000011AC\t00000000\t0001\t0\t0\t0\t0000FFFF\t0\t0\t0\nbroken line\n";
        if cfg!(target_endian = "little") {
            assert_eq!(parse_routes(table), [net("172.17.0.0/16")]);
        }
    }
}
