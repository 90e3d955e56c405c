//! Networks of containers in network namespaces of the tests' own: a "machine", the "world" outside it, "containers".
//!
//! They need root; without it each test says so and ends.

#![allow(clippy::print_stderr)]

mod peers;
mod support;

use std::fs;
use std::net::{IpAddr, Ipv4Addr};
use std::time::Duration;

use peers::{ask_name, datagram_echo, exchange, exchange_datagram, may_connect, stream_echo};
use strata_network::{BoundPort, NetworkState, Protocol};
use support::{Container, Machine, eventually};

const MACHINE: Ipv4Addr = Ipv4Addr::new(192, 0, 2, 1);
const WORLD: Ipv4Addr = Ipv4Addr::new(192, 0, 2, 2);

#[test]
fn published_ports_lead_to_the_container_from_everywhere() {
    let Some(machine) = Machine::new() else { return };
    let mut web = Container::new(&machine, "web", 2);
    web.publish(Protocol::Tcp, 8080, 80);
    web.publish(Protocol::Udp, 8053, 53);
    let _streams = stream_echo(web.pid(), 80);
    let _datagrams = datagram_echo(web.pid(), 53);
    let state = web.attach().expect("attached");
    assert_eq!(state.warnings, Vec::<String>::new());
    let bound = |host_address: &str, host_port, container_port, protocol| BoundPort {
        protocol,
        host_address: host_address.parse().expect("an address"),
        host_port,
        container_port,
    };
    assert_eq!(
        state.ports,
        [
            bound("0.0.0.0", 8080, 80, Protocol::Tcp),
            bound("::", 8080, 80, Protocol::Tcp),
            bound("0.0.0.0", 8053, 53, Protocol::Udp),
            bound("::", 8053, 53, Protocol::Udp),
        ]
    );

    // From the machine by loopback of both families: the attendant. The container sees the machine's address on the bridge.
    let gateway = IpAddr::V4(machine.gateway());
    for loopback in ["127.0.0.1", "::1"] {
        assert_eq!(exchange(machine.pid(), loopback, 8080), Some(gateway), "{loopback}");
        assert!(exchange_datagram(machine.pid(), loopback, 8053), "{loopback}");
    }
    // From the machine by an address of its own, and from the world, which the container sees as itself: the filter.
    assert!(exchange(machine.pid(), "192.0.2.1", 8080).is_some());
    assert_eq!(exchange(machine.world(), "192.0.2.1", 8080), Some(WORLD.into()));
    assert!(exchange_datagram(machine.world(), "192.0.2.1", 8053));
    // From another container, through the attendant.
    let other = Container::new(&machine, "other", 3);
    other.attach().expect("attached");
    assert!(exchange(other.pid(), "192.0.2.1", 8080).is_some());
    // What is not published is not reached.
    assert!(!may_connect(machine.world(), "192.0.2.1", 81));
}

#[test]
fn without_nftables_ports_are_still_reached_and_a_warning_names_what_is_missing() {
    let Some(machine) = Machine::new() else { return };
    let mut web = Container::new(&machine, "web", 2);
    web.publish(Protocol::Tcp, 8080, 80);
    let _streams = stream_echo(web.pid(), 80);
    let state = web.attach_without_programs().expect("attached");
    assert!(state.warnings.iter().any(|warning| warning.contains("nftables")), "{:?}", state.warnings);
    assert!(exchange(machine.pid(), "127.0.0.1", 8080).is_some());
    assert!(exchange(machine.world(), "192.0.2.1", 8080).is_some());
}

#[test]
fn containers_reach_the_world_by_the_machines_address() {
    let Some(machine) = Machine::new() else { return };
    let container = Container::new(&machine, "one", 2);
    container.attach().expect("attached");
    let _world = stream_echo(machine.world(), 9000);
    assert_eq!(exchange(container.pid(), "192.0.2.2", 9000), Some(MACHINE.into()));
}

#[test]
fn networks_are_apart_and_internal_ones_closed() {
    let Some(machine) = Machine::new() else { return };
    let one = Container::new(&machine, "one", 2);
    let two = Container::new(&machine, "two", 3);
    let mut elsewhere = Container::new(&machine, "elsewhere", 2);
    elsewhere.move_to_network("strata1", "10.77.0.0/24", false);
    let mut inside = Container::new(&machine, "inside", 2);
    inside.move_to_network("strata2", "10.78.0.0/24", true);
    for container in [&one, &two, &elsewhere, &inside] {
        container.attach().expect("attached");
    }
    let _one = stream_echo(one.pid(), 80);
    let _world = stream_echo(machine.world(), 9000);
    let address = one.address().to_string();
    assert_eq!(exchange(two.pid(), &address, 80), Some(two.address().into()));
    assert!(!may_connect(elsewhere.pid(), &address, 80), "another network");
    assert!(exchange(elsewhere.pid(), "192.0.2.2", 9000).is_some(), "the way out of the other network");
    assert!(!may_connect(inside.pid(), &address, 80), "from an internal network");
    assert!(!may_connect(inside.pid(), "192.0.2.2", 9000), "out of an internal network");
}

#[test]
fn members_find_each_other_by_name() {
    let Some(machine) = Machine::new() else { return };
    let mut web = Container::new(&machine, "web", 2);
    web.resolve_names(&[]);
    web.attach().expect("attached");
    assert_eq!(ask_name(web.pid(), "web"), Some(vec![web.address()]));
    assert_eq!(ask_name(web.pid(), "db"), None, "nobody knows it");
    let database = Container::new(&machine, "db", 3);
    database.attach().expect("attached");
    assert_eq!(ask_name(web.pid(), "db"), Some(vec![database.address()]), "known as soon as it is there");
    database.detach().expect("detached");
    assert_eq!(ask_name(web.pid(), "db"), None, "forgotten as soon as it is gone");
}

#[test]
fn other_names_are_asked_of_the_machines_servers() {
    let Some(machine) = Machine::new() else { return };
    // A resolver outside: another container's own, which knows itself.
    let mut outside = Container::new(&machine, "outside", 2);
    outside.resolve_names(&[]);
    outside.attach().expect("attached");
    let mut asking = Container::new(&machine, "asking", 3);
    asking.move_to_network("strata1", "10.77.0.0/24", false);
    let server = peers::name_server(machine.world(), "far.example", Ipv4Addr::new(203, 0, 113, 9));
    asking.resolve_names(&[Ipv4Addr::new(192, 0, 2, 77).into(), WORLD.into()]);
    asking.attach().expect("attached");
    assert_eq!(ask_name(asking.pid(), "far.example"), Some(vec![Ipv4Addr::new(203, 0, 113, 9)]));
    drop(server);
}

#[test]
fn a_taken_port_is_told_and_nothing_is_left() {
    let Some(machine) = Machine::new() else { return };
    let mut first = Container::new(&machine, "first", 2);
    first.publish(Protocol::Tcp, 8080, 80);
    first.attach().expect("attached");
    let mut second = Container::new(&machine, "second", 3);
    second.publish(Protocol::Tcp, 8080, 80);
    let before = machine.links();
    let error = second.attach().expect_err("the port is taken");
    assert_eq!(error, "Bind for 0.0.0.0:8080 failed: port is already allocated");
    assert_eq!(machine.links(), before);
    assert!(!second.members().contains(&"second".to_owned()), "its name is withdrawn");
}

#[test]
fn detaching_leaves_nothing_and_can_be_repeated() {
    let Some(machine) = Machine::new() else { return };
    let before = machine.links();
    let mut web = Container::new(&machine, "web", 2);
    web.publish(Protocol::Tcp, 8080, 80);
    web.resolve_names(&[]);
    web.attach().expect("attached");
    assert!(machine.filter().contains("8080"));
    for _ in 0..2 {
        web.detach().expect("detached");
        assert!(!machine.filter().contains("8080"));
        assert!(!may_connect(machine.pid(), "127.0.0.1", 8080));
        assert_eq!(web.state(), None);
    }
    // The bridge stays until its network goes.
    machine.remove_network();
    assert_eq!(machine.links(), before);
    assert!(!machine.filter().contains("strata0"));
}

#[test]
fn the_attendant_ends_with_the_container() {
    let Some(machine) = Machine::new() else { return };
    let mut web = Container::new(&machine, "web", 2);
    web.publish(Protocol::Tcp, 8080, 80);
    let state = web.attach().expect("attached");
    let attendant = state.attendant.expect("an attendant").pid;
    web.kill();
    eventually("the attendant ends", || !fs::exists(format!("/proc/{attendant}/exe")).unwrap_or(false));
    // What only `detach` can take away does not stand in the way of the next container.
    let mut next = Container::new(&machine, "next", 3);
    next.publish(Protocol::Tcp, 8080, 80);
    let _streams = stream_echo(next.pid(), 80);
    next.attach().expect("attached");
    assert!(exchange(machine.world(), "192.0.2.1", 8080).is_some());
    // Late, and for a port that is another's by now.
    web.detach().expect("detached");
    assert!(exchange(machine.world(), "192.0.2.1", 8080).is_some());
}

#[test]
fn a_killed_hook_leaves_what_the_next_one_clears() {
    let Some(machine) = Machine::new() else { return };
    let mut web = Container::new(&machine, "web", 2);
    web.publish(Protocol::Tcp, 8080, 80);
    web.resolve_names(&[]);
    let _streams = stream_echo(web.pid(), 80);
    for milliseconds in (0..40).step_by(4) {
        web.attach_and_kill(Duration::from_millis(milliseconds));
        web.detach().expect("cleared");
    }
    let state = web.attach().expect("attached");
    assert_eq!(state, NetworkState { warnings: Vec::new(), ..state.clone() });
    assert!(exchange(machine.world(), "192.0.2.1", 8080).is_some());
}
