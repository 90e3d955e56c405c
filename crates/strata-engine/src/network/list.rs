//! `network ls`.

use std::collections::BTreeMap;

use strata_store::{NetworkRow, Store};

use super::document::NetworkDocument;
use super::{DEFAULT, WITHOUT_BRIDGE};
use crate::label_filter::Labels;
use crate::{EngineError, Result};

/// Which networks are meant.
#[derive(Clone, Debug, Default)]
pub struct NetworkFilter {
    dangling: Option<bool>,
    drivers: Vec<String>,
    ids: Vec<String>,
    labels: Labels,
    names: Vec<String>,
    kinds: Vec<String>,
    scopes: Vec<String>,
}

/// A network as the list shows it.
#[derive(Clone, Debug, PartialEq)]
pub struct NetworkInfo {
    /// Its ID; empty for one that no container has needed yet.
    pub id: String,
    /// Its name.
    pub name: String,
    /// `bridge`, `host` or `null`.
    pub driver: &'static str,
    /// When it was made, nanoseconds since 1970.
    pub created: i64,
    /// Its settings; `None` for those without a bridge.
    pub document: Option<NetworkDocument>,
    /// How many containers are in it.
    pub containers: usize,
}

impl NetworkFilter {
    /// Parses filters: `dangling`, `driver`, `id`, `label`, `name`, `scope`, `type`.
    ///
    /// # Errors
    /// `Invalid` in docker's words.
    pub fn parse(filters: &[(String, String)]) -> Result<NetworkFilter> {
        let mut parsed = NetworkFilter::default();
        for (key, value) in filters {
            let value = value.clone();
            match key.as_str() {
                "dangling" => parsed.dangling = Some(crate::list::parse_bool(key, &value)?),
                "driver" => parsed.drivers.push(value),
                "id" => parsed.ids.push(value),
                "label" => parsed.labels.push(&value, true),
                "name" => parsed.names.push(value),
                "scope" => parsed.scopes.push(value),
                "type" if matches!(value.as_str(), "builtin" | "custom") => parsed.kinds.push(value),
                "type" => return Err(EngineError::invalid(format!("invalid filter: 'type'='{value}'"))),
                _ => return Err(EngineError::invalid(format!("invalid filter '{key}'"))),
            }
        }
        Ok(parsed)
    }

    fn accepts(&self, network: &NetworkInfo) -> bool {
        let any = |wanted: &[String], fits: &dyn Fn(&str) -> bool| {
            wanted.is_empty() || wanted.iter().any(|value| fits(value))
        };
        let kind = if super::is_predefined(&network.name) { "builtin" } else { "custom" };
        let none = BTreeMap::new();
        let labels = network.document.as_ref().map_or(&none, |document| &document.labels);
        self.dangling.is_none_or(|dangling| dangling == (kind == "custom" && network.containers == 0))
            && any(&self.drivers, &|driver| driver == network.driver)
            && any(&self.ids, &|id| network.id.starts_with(id))
            && any(&self.names, &|name| network.name.contains(name))
            && any(&self.kinds, &|wanted| wanted == kind)
            && any(&self.scopes, &|scope| scope == "local")
            && self.labels.accept(labels)
    }
}

/// The networks that a filter lets through, sorted by name.
///
/// # Errors
/// When the catalog cannot be read.
pub async fn list_networks(store: &Store, filter: &NetworkFilter) -> Result<Vec<NetworkInfo>> {
    let txn = store.read().await?;
    let mut networks = Vec::new();
    for row in txn.networks().await? {
        let containers = txn.endpoints_of_network(&row.id).await?.len();
        networks.push(info(&row, containers)?);
    }
    if !networks.iter().any(|network| network.name == DEFAULT) {
        networks.push(always(DEFAULT, "bridge"));
    }
    networks.extend([always(WITHOUT_BRIDGE[0], "host"), always(WITHOUT_BRIDGE[1], "null")]);
    networks.sort_by(|one, other| one.name.cmp(&other.name));
    networks.retain(|network| filter.accepts(network));
    Ok(networks)
}

fn info(row: &NetworkRow, containers: usize) -> Result<NetworkInfo> {
    Ok(NetworkInfo {
        id: row.id.clone(),
        name: row.name.clone(),
        driver: "bridge",
        created: row.created,
        document: Some(NetworkDocument::parse(row)?),
        containers,
    })
}

/// A network that is there without a row. Its ID is made of its name, so that it is the same every time.
pub(super) fn always(name: &str, driver: &'static str) -> NetworkInfo {
    let id = strata_model::Digest::of(name.as_bytes()).hex();
    NetworkInfo { id, name: name.to_owned(), driver, created: 0, document: None, containers: 0 }
}
