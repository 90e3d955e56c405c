//! `--publish` and `--expose`: ports and their ranges, as docker's client reads them.

use std::collections::BTreeMap;
use std::net::IpAddr;

use serde_json::json;
use strata_engine::document::PortBinding;

use crate::report::{Failure, Outcome};

/// Bindings of the container's ports, and what is exposed.
pub(super) type Published = (BTreeMap<String, Option<Vec<PortBinding>>>, BTreeMap<String, serde_json::Value>);

/// `[[IP:][HOST]:]CONTAINER[/PROTOCOL]`, ports as ranges, too; or `published=HOST,target=CONTAINER,protocol=PROTOCOL`.
pub(super) fn published(texts: &[String]) -> Outcome<Published> {
    let (mut bindings, mut exposed) = Published::default();
    for text in texts {
        let text = if text.contains('=') { long_form(text)? } else { text.clone() };
        let publication = Publication::parse(&text).map_err(Failure::bare)?;
        let (first, last) = publication.container;
        for port in first..=last {
            let host_port = match publication.host {
                None => String::new(),
                Some((from, to)) if first == last && from != to => format!("{from}-{to}"),
                Some((from, _)) => (from + (port - first)).to_string(),
            };
            let key = format!("{port}/{}", publication.protocol);
            let binding = PortBinding { host_ip: publication.address.clone(), host_port };
            exposed.insert(key.clone(), json!({}));
            bindings.entry(key).or_default().get_or_insert_default().push(binding);
        }
    }
    Ok((bindings, exposed))
}

/// `80`, `80/udp` or `80-90/tcp`: every port with its protocol.
pub(super) fn exposed(text: &str) -> Outcome<Vec<String>> {
    if text.contains(':') {
        return Err(Failure::bare(format!("invalid port format for --expose: {text}")));
    }
    let (numbers, protocol) = text.split_once('/').unwrap_or((text, "tcp"));
    let (first, last) = range(numbers)
        .map_err(|cause| Failure::bare(format!("invalid range format for --expose: {text}, error: {cause}")))?;
    Ok((first..=last).map(|port| format!("{port}/{protocol}")).collect())
}

fn long_form(text: &str) -> Outcome<String> {
    let (mut host, mut container, mut protocol) = ("", "", "tcp");
    for field in text.split(',') {
        match field.split_once('=') {
            Some(("published", value)) => host = value,
            Some(("target", value)) => container = value,
            Some(("protocol", value)) => protocol = value,
            Some((key, _)) if !key.is_empty() => {}
            _ => {
                let message = format!("invalid publish opts format (should be name=value but got '{field}')");
                return Err(Failure::bare(message));
            }
        }
    }
    Ok(format!("{host}:{container}/{protocol}"))
}

struct Publication {
    /// Empty for all.
    address: String,
    /// The machine's ports, from and to; `None` for any.
    host: Option<(u16, u16)>,
    container: (u16, u16),
    protocol: String,
}

impl Publication {
    fn parse(text: &str) -> Result<Publication, String> {
        let (rest, container) = text.rsplit_once(':').unwrap_or(("", text));
        let (address, host) = rest.rsplit_once(':').unwrap_or(("", rest));
        let (container, protocol) = container.split_once('/').unwrap_or((container, "tcp"));
        let address = address.strip_prefix('[').and_then(|rest| rest.strip_suffix(']')).unwrap_or(address);
        if !address.is_empty() && address.parse::<IpAddr>().is_err() {
            return Err(format!("invalid IP address: {address}"));
        }
        if container.is_empty() {
            return Err(format!("no port specified: {text}<empty>"));
        }
        let ports = range(container).map_err(|_| format!("invalid containerPort: {container}"))?;
        let host_ports = match host {
            "" => None,
            host => Some(range(host).map_err(|_| format!("invalid hostPort: {host}"))?),
        };
        let (first, last) = ports;
        if host_ports.is_some_and(|(from, to)| to - from != last - first && first != last) {
            return Err(format!("invalid ranges specified for container and host Ports: {container} and {host}"));
        }
        let protocol = protocol.to_ascii_lowercase();
        if !matches!(protocol.as_str(), "tcp" | "udp" | "sctp") {
            return Err(format!("invalid proto: {protocol}"));
        }
        Ok(Publication { address: address.to_owned(), host: host_ports, container: ports, protocol })
    }
}

/// First and last of `80` or `80-90`; what is wrong with it in Go's words.
fn range(text: &str) -> Result<(u16, u16), String> {
    if text.is_empty() {
        return Err("empty string specified for ports".to_owned());
    }
    let number = |text: &str| {
        text.parse::<u16>().map_err(|_| {
            let is_number = !text.is_empty() && text.bytes().all(|byte| byte.is_ascii_digit());
            let cause = if is_number { "value out of range" } else { "invalid syntax" };
            format!("strconv.ParseUint: parsing {text:?}: {cause}")
        })
    };
    let (first, last) = text.split_once('-').unwrap_or((text, text));
    let (first, last) = (number(first)?, number(last)?);
    if first <= last { Ok((first, last)) } else { Err(format!("invalid range specified for port: {text}")) }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn published_ports() {
        // Specification; container's port, address, the machine's port.
        let cases = [
            ("80", ("80/tcp", "", "")),
            ("8080:80", ("80/tcp", "", "8080")),
            ("127.0.0.1:8080:80/udp", ("80/udp", "127.0.0.1", "8080")),
            ("127.0.0.1::80", ("80/tcp", "127.0.0.1", "")),
            ("[::1]:8080:80", ("80/tcp", "::1", "8080")),
            ("8000-8010:80", ("80/tcp", "", "8000-8010")),
            ("published=8080,target=80,protocol=udp", ("80/udp", "", "8080")),
            ("target=80", ("80/tcp", "", "")),
        ];
        for (text, (port, address, host)) in cases {
            let (bindings, _) = published(&[text.to_owned()]).unwrap();
            let binding = PortBinding { host_ip: address.into(), host_port: host.into() };
            assert_eq!(bindings, BTreeMap::from([(port.to_owned(), Some(vec![binding]))]), "{text}");
        }
        let (bindings, exposed) = published(&["8000-8001:80-81".to_owned()]).unwrap();
        assert_eq!((bindings.len(), exposed.len()), (2, 2));
    }

    #[test]
    fn ports_that_make_no_sense() {
        for (text, expected) in [
            ("", "no port specified: <empty>"),
            ("x", "invalid containerPort: x"),
            ("80:x", "invalid containerPort: x"),
            ("x:80", "invalid hostPort: x"),
            ("99999:80", "invalid hostPort: 99999"),
            ("80:80:80:80", "invalid IP address: 80:80"),
            ("1-2:80-82", "invalid ranges specified for container and host Ports: 80-82 and 1-2"),
            ("80/nosuch", "invalid proto: nosuch"),
            ("target=80,x", "invalid publish opts format (should be name=value but got 'x')"),
        ] {
            assert_eq!(published(&[text.to_owned()]).unwrap_err().message, expected, "{text}");
        }
        for (text, cause) in [
            ("abc", "strconv.ParseUint: parsing \"abc\": invalid syntax"),
            ("70000", "strconv.ParseUint: parsing \"70000\": value out of range"),
            ("9-8", "invalid range specified for port: 9-8"),
            ("", "empty string specified for ports"),
        ] {
            let expected = format!("invalid range format for --expose: {text}, error: {cause}");
            assert_eq!(exposed(text).unwrap_err().message, expected);
        }
    }
}
