//! Links of the default network, docker's oldest way for one container to know another by a name of its own: lines in the
//! hosts file (see `network::place`), variables, and a name for the other one in lists.

use std::collections::BTreeMap;
use std::net::IpAddr;

use strata_store::{ContainerRow, ReadTxn, Store};

use super::document::ContainerDocument;
use super::find::find_ready;
use crate::network::parse_link;
use crate::{EngineError, Result};

/// What the variables of the container `name` tell of one that it calls `alias`: its ports, its name, its own variables.
pub(crate) fn link_environment(name: &str, alias: &str, other: &ContainerDocument, address: IpAddr) -> Vec<String> {
    let prefix = alias.to_uppercase().replace('-', "_");
    let mut ports: Vec<(bool, u16, &str)> = other
        .config
        .exposed_ports
        .iter()
        .flatten()
        .filter_map(|(port, _)| {
            let (number, protocol) = port.split_once('/').unwrap_or((port, "tcp"));
            Some((protocol != "tcp", number.parse().ok()?, protocol))
        })
        .collect();
    ports.sort_unstable();
    let mut variables = Vec::new();
    if let Some((_, number, protocol)) = ports.first() {
        variables.push(format!("{prefix}_PORT={protocol}://{address}:{number}"));
    }
    for (_, number, protocol) in &ports {
        let port = format!("{prefix}_PORT_{number}_{}", protocol.to_uppercase());
        variables.push(format!("{port}={protocol}://{address}:{number}"));
        variables.push(format!("{port}_ADDR={address}"));
        variables.push(format!("{port}_PORT={number}"));
        variables.push(format!("{port}_PROTO={protocol}"));
    }
    variables.push(format!("{prefix}_NAME=/{name}/{alias}"));
    let others = other.config.env.iter().flatten().filter_map(|variable| variable.split_once('='));
    let told = others.filter(|(name, _)| !matches!(*name, "HOME" | "PATH"));
    variables.extend(told.map(|(name, value)| format!("{prefix}_ENV_{name}={value}")));
    variables
}

/// The names that linked containers have by their links, `/CONTAINER/ALIAS`, by their own names.
///
/// # Errors
/// When the catalog cannot be read.
pub async fn link_names(txn: &dyn ReadTxn) -> Result<BTreeMap<String, Vec<String>>> {
    let mut names: BTreeMap<String, Vec<String>> = BTreeMap::new();
    for row in txn.containers().await? {
        // Few have links; reading the settings of all would cost more than all else in a list.
        if row.document.contains("\"Links\":[\"") {
            for link in ContainerDocument::parse(&row)?.host_config.links.iter().flatten() {
                let (name, alias) = parse_link(link);
                names.entry(name.to_owned()).or_default().push(format!("/{}/{alias}", row.name));
            }
        }
    }
    Ok(names)
}

/// Takes a link away, which is called `CONTAINER/ALIAS`. A container that runs keeps what it knows until its next start.
///
/// # Errors
/// `NotFound`; `Refused` for a container's own name.
pub async fn remove_link(store: &Store, text: &str) -> Result<()> {
    let Some((parent, alias)) = text.trim_start_matches('/').split_once('/') else {
        return Err(EngineError::Refused {
            message: "Conflict, cannot remove the default link name of the container".to_owned(),
        });
    };
    let mut txn = store.write("removing a link").await?;
    let row = find_ready(&*txn, parent).await?;
    let mut document = ContainerDocument::parse(&row)?;
    let links = document.host_config.links.get_or_insert_default();
    let count = links.len();
    links.retain(|link| parse_link(link).1 != alias);
    if links.len() == count {
        return Err(EngineError::NotFound { message: format!("No such container: {text}") });
    }
    txn.update_container(&ContainerRow { document: document.to_text(), ..row }).await?;
    Ok(txn.commit().await?)
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    #[test]
    fn variables_of_a_link() {
        let mut other = ContainerDocument::default();
        other.config.exposed_ports =
            Some(BTreeMap::from([("53/udp".to_owned(), json!({})), ("8080/tcp".to_owned(), json!({}))]));
        other.config.env = Some(vec!["PATH=/bin".into(), "USER=me=you".into(), "GONE".into()]);
        assert_eq!(
            link_environment("web", "my-db", &other, "172.17.0.2".parse().unwrap()),
            [
                "MY_DB_PORT=tcp://172.17.0.2:8080",
                "MY_DB_PORT_8080_TCP=tcp://172.17.0.2:8080",
                "MY_DB_PORT_8080_TCP_ADDR=172.17.0.2",
                "MY_DB_PORT_8080_TCP_PORT=8080",
                "MY_DB_PORT_8080_TCP_PROTO=tcp",
                "MY_DB_PORT_53_UDP=udp://172.17.0.2:53",
                "MY_DB_PORT_53_UDP_ADDR=172.17.0.2",
                "MY_DB_PORT_53_UDP_PORT=53",
                "MY_DB_PORT_53_UDP_PROTO=udp",
                "MY_DB_NAME=/web/my-db",
                "MY_DB_ENV_USER=me=you",
            ]
        );
    }
}
