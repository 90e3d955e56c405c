//! The texts of a container's `/etc/hosts` and `/etc/resolv.conf`. Pure.

use std::fmt::Write as _;
use std::net::{IpAddr, Ipv4Addr};

/// Where a container's own resolver listens, inside its network namespace; Docker's address.
pub const RESOLVER: IpAddr = IpAddr::V4(Ipv4Addr::new(127, 0, 0, 11));

/// Whom to ask when this machine's own resolver listens on loopback only, where no container can reach it; Docker's choice.
const PUBLIC: [IpAddr; 2] = [IpAddr::V4(Ipv4Addr::new(8, 8, 8, 8)), IpAddr::V4(Ipv4Addr::new(8, 8, 4, 4))];

/// What `--dns`, `--dns-search` and `--dns-option` said.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct ResolverSettings {
    /// Servers instead of this machine's.
    pub servers: Vec<IpAddr>,
    /// Domains instead of this machine's; a single `.` is none.
    pub search: Vec<String>,
    /// Options instead of this machine's.
    pub options: Vec<String>,
}

/// The servers to ask and the text of `resolv.conf`, out of this machine's text and the settings.
///
/// With `resolver` the text names [`RESOLVER`] alone, which asks the servers. `reachable_loopback` says that the container
/// shares this machine's loopback (`--network host`).
pub fn resolv_conf(
    host: &str,
    settings: &ResolverSettings,
    resolver: bool,
    reachable_loopback: bool,
) -> (Vec<IpAddr>, String) {
    let words = |line: &str| line.split_whitespace().skip(1).map(str::to_owned).collect::<Vec<_>>();
    let lines = || host.lines().map(str::trim);
    let mut servers = settings.servers.clone();
    if servers.is_empty() {
        servers = lines()
            .filter(|line| line.starts_with("nameserver"))
            .filter_map(|line| line.split_whitespace().nth(1)?.parse().ok())
            .filter(|server: &IpAddr| reachable_loopback || !server.is_loopback())
            .collect();
    }
    if servers.is_empty() {
        servers = PUBLIC.to_vec();
    }
    let own_or = |own: &[String], word: &str| match own {
        [] => lines().rfind(|line| line.starts_with(word)).map(words).unwrap_or_default(),
        [dot] if dot == "." => Vec::new(),
        own => own.to_vec(),
    };
    let search = own_or(&settings.search, "search");
    let mut options = own_or(&settings.options, "options");
    if resolver && settings.options.is_empty() {
        options.retain(|option| !option.starts_with("ndots"));
        options.push("ndots:0".to_owned());
    }

    let mut text = String::new();
    let named = if resolver { vec![RESOLVER] } else { servers.clone() };
    for server in named {
        let _ = writeln!(text, "nameserver {server}");
    }
    if !search.is_empty() {
        let _ = writeln!(text, "search {}", search.join(" "));
    }
    if !options.is_empty() {
        let _ = writeln!(text, "options {}", options.join(" "));
    }
    (servers, text)
}

/// The text of `/etc/hosts`: loopback as Docker writes it, `--add-host` entries, then the container's own addresses.
pub fn hosts(extra: &[(String, IpAddr)], own: &[(IpAddr, Vec<String>)]) -> String {
    let mut text = "127.0.0.1\tlocalhost\n::1\tlocalhost ip6-localhost ip6-loopback\nfe00::\tip6-localnet\n\
        ff00::\tip6-mcastprefix\nff02::1\tip6-allnodes\nff02::2\tip6-allrouters\n"
        .to_owned();
    for (name, address) in extra {
        let _ = writeln!(text, "{address}\t{name}");
    }
    for (address, names) in own {
        let _ = writeln!(text, "{address}\t{}", names.join(" "));
    }
    text
}

#[cfg(test)]
mod tests {
    use super::*;

    const HOST: &str =
        "# made by something\nnameserver 127.0.0.53\nnameserver 192.0.2.7\nsearch one two\noptions edns0 ndots:2\n";

    #[test]
    fn the_machines_servers_are_kept_without_its_loopback() {
        let (servers, text) = resolv_conf(HOST, &ResolverSettings::default(), false, false);
        assert_eq!(servers, ["192.0.2.7".parse::<IpAddr>().expect("an address")]);
        assert_eq!(text, "nameserver 192.0.2.7\nsearch one two\noptions edns0 ndots:2\n");
        let (_, host) = resolv_conf(HOST, &ResolverSettings::default(), false, true);
        assert!(host.starts_with("nameserver 127.0.0.53\nnameserver 192.0.2.7\n"), "{host}");
    }

    #[test]
    fn the_own_resolver_is_named_alone() {
        let (servers, text) = resolv_conf(HOST, &ResolverSettings::default(), true, false);
        assert_eq!(servers.len(), 1);
        assert_eq!(text, "nameserver 127.0.0.11\nsearch one two\noptions edns0 ndots:0\n");
    }

    #[test]
    fn settings_come_before_the_machine_and_public_servers_last() {
        let settings = ResolverSettings {
            servers: vec!["198.51.100.1".parse().expect("an address")],
            search: vec![".".to_owned()],
            options: vec!["timeout:1".to_owned()],
        };
        let (_, text) = resolv_conf(HOST, &settings, false, false);
        assert_eq!(text, "nameserver 198.51.100.1\noptions timeout:1\n");
        let (servers, _) = resolv_conf("nameserver 127.0.0.1\n", &ResolverSettings::default(), false, false);
        assert_eq!(servers, PUBLIC);
    }

    #[test]
    fn hosts_end_with_the_containers_own_names() {
        let address = |text: &str| text.parse::<IpAddr>().expect("an address");
        let text = hosts(
            &[("db".to_owned(), address("192.0.2.9"))],
            &[(address("172.17.0.2"), vec!["1a2b3c4d5e6f".to_owned()])],
        );
        assert!(text.starts_with("127.0.0.1\tlocalhost\n"));
        assert!(text.ends_with("ff02::2\tip6-allrouters\n192.0.2.9\tdb\n172.17.0.2\t1a2b3c4d5e6f\n"), "{text}");
    }
}
