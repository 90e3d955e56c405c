//! `--network`, `--network-alias` and `--ip`: which networks a container is in, and how.

use std::collections::BTreeMap;

use serde_json::json;

use crate::command_line::Flags;
use crate::report::{Failure, Outcome};

/// What the first `--network` names, and the settings of all, as docker's API has them.
pub(super) fn networks(flags: &Flags<'_>) -> Outcome<(String, BTreeMap<String, serde_json::Value>)> {
    let (aliases, address) = (flags.texts("network-alias"), flags.text("ip"));
    let mut networks = BTreeMap::new();
    let mut mode = String::new();
    let mut given = flags.texts("network");
    if given.is_empty() {
        given.push(String::new());
    }
    for (number, text) in given.iter().enumerate() {
        let mut network = Attachment::parse(text)?;
        let is_users = !matches!(network.name.as_str(), "" | "default" | "bridge" | "host" | "none")
            && !network.name.starts_with("container:");
        if !is_users && given.len() > 1 {
            let message = "conflicting options: cannot attach both user-defined and non-user-defined network-modes";
            return Err(Failure::bare(message));
        }
        if number == 0 {
            mode.clone_from(&network.name);
            if !network.aliases.is_empty() && !aliases.is_empty() {
                let message = "conflicting options: cannot specify both --network-alias and per-network alias";
                return Err(Failure::bare(message));
            }
            if network.address.is_some() && address.is_some() {
                let message = "conflicting options: cannot specify both --ip and per-network IPv4 address";
                return Err(Failure::bare(message));
            }
            network.aliases.extend(aliases.iter().cloned());
            network.address = network.address.or_else(|| address.clone());
        }
        if !network.aliases.is_empty() && !is_users {
            return Err(Failure::bare("network-scoped aliases are only supported for user-defined networks"));
        }
        if network.aliases.is_empty() && network.address.is_none() && number == 0 {
            continue;
        }
        let name = if network.name.is_empty() { "bridge".to_owned() } else { network.name };
        let mut settings = json!({});
        if !network.aliases.is_empty() {
            settings["Aliases"] = json!(network.aliases);
        }
        if let Some(address) = network.address {
            settings["IPAMConfig"] = json!({ "IPv4Address": address });
        }
        networks.insert(name, settings);
    }
    Ok((mode, networks))
}

/// One `--network`: a name, or `name=…,alias=…,ip=…`.
#[derive(Default)]
struct Attachment {
    name: String,
    aliases: Vec<String>,
    address: Option<String>,
}

impl Attachment {
    fn parse(text: &str) -> Outcome<Attachment> {
        if !text.contains('=') {
            return Ok(Attachment { name: text.to_owned(), ..Attachment::default() });
        }
        let mut parsed = Attachment::default();
        for field in text.split(',') {
            match field.split_once('=') {
                Some(("name", name)) => name.clone_into(&mut parsed.name),
                Some(("alias", alias)) => parsed.aliases.push(alias.to_owned()),
                Some(("ip", address)) => parsed.address = Some(address.to_owned()),
                _ => {
                    let message = format!("invalid argument {text:?} for \"--network\" flag: invalid field {field:?}");
                    return Err(Failure::bare(message));
                }
            }
        }
        Ok(parsed)
    }
}
