//! Networks.

use std::collections::BTreeMap;

use http::StatusCode;
use serde::Deserialize;
use serde_json::{Value, json};
use strata_engine::{
    ConnectRequest, CreateNetwork, EngineError, NetworkFilter, NetworkInfo, connect_network, create_network,
    disconnect_network, inspect_network, list_networks, prune_networks, remove_network,
};

use crate::answer::{empty, json_with, ok};
use crate::call::Call;
use crate::status::{Answer, Failure};

pub(super) async fn list(call: &Call) -> Answer {
    let filter = NetworkFilter::parse(&call.query.filters()?)?;
    ok(&list_networks(call.store(), &filter).await?.iter().map(NetworkInfo::json).collect())
}

pub(super) async fn inspect(call: &Call, name: &str) -> Answer {
    ok(&inspect_network(call.store(), call.root(), name).await?)
}

/// What a client asks for.
#[derive(Default, Deserialize)]
#[serde(rename_all = "PascalCase", default)]
struct Settings {
    name: String,
    driver: Option<String>,
    internal: Option<bool>,
    #[serde(rename = "EnableIPv6")]
    enable_ipv6: Option<bool>,
    #[serde(rename = "IPAM")]
    ipam: Option<Ipam>,
    options: Option<BTreeMap<String, String>>,
    labels: Option<BTreeMap<String, String>>,
}

#[derive(Default, Deserialize)]
#[serde(rename_all = "PascalCase", default)]
struct Ipam {
    driver: Option<String>,
    config: Option<Vec<Pool>>,
}

#[derive(Clone, Default, Deserialize)]
#[serde(rename_all = "PascalCase", default)]
struct Pool {
    subnet: Option<String>,
    #[serde(rename = "IPRange")]
    range: Option<String>,
    gateway: Option<String>,
    auxiliary_addresses: Option<BTreeMap<String, String>>,
}

pub(super) async fn create(mut call: Call) -> Answer {
    let Settings { name, driver, internal, enable_ipv6, ipam, options, labels } = call.json().await?;
    if enable_ipv6 == Some(true) {
        return Err(Failure::not_supported("networks with IPv6"));
    }
    let ipam = ipam.unwrap_or_default();
    if ipam.driver.is_some_and(|driver| !matches!(driver.as_str(), "" | "default")) {
        return Err(Failure::not_supported("drivers for addresses other than \"default\""));
    }
    let pools = ipam.config.unwrap_or_default();
    if pools.len() > 1 {
        return Err(Failure::not_supported("networks with several subnets"));
    }
    let pool = pools.first().cloned().unwrap_or_default();
    let some = |text: Option<String>| text.filter(|text| !text.is_empty());
    let request = CreateNetwork {
        name,
        driver: driver.unwrap_or_default(),
        subnet: some(pool.subnet),
        range: some(pool.range),
        gateway: some(pool.gateway),
        auxiliary: pool.auxiliary_addresses.unwrap_or_default(),
        internal: internal.unwrap_or_default(),
        options: options.unwrap_or_default(),
        labels: labels.unwrap_or_default(),
    };
    let id = create_network(call.store(), request).await?;
    json_with(StatusCode::CREATED, &json!({ "Id": id, "Warning": "" }))
}

/// What is refused for what a network is, or who is on it, docker forbids.
fn forbidden(error: EngineError) -> Failure {
    let is_refused = matches!(error, EngineError::Refused { .. });
    let failure = Failure::from(error);
    if is_refused { Failure { status: StatusCode::FORBIDDEN, ..failure } } else { failure }
}

pub(super) async fn remove(call: &Call, name: &str) -> Answer {
    remove_network(call.store(), call.root(), name).await.map_err(forbidden)?;
    empty(StatusCode::NO_CONTENT)
}

pub(super) async fn prune(call: &Call) -> Answer {
    let removed = prune_networks(call.store(), call.root(), &call.query.filters()?).await?;
    ok(&json!({ "NetworksDeleted": if removed.is_empty() { Value::Null } else { json!(removed) } }))
}

/// Who is to be connected, and how.
#[derive(Default, Deserialize)]
#[serde(rename_all = "PascalCase", default)]
struct Member {
    container: String,
    endpoint_config: Value,
}

pub(super) async fn connect(mut call: Call, name: &str) -> Answer {
    let member: Member = call.json().await?;
    let request =
        ConnectRequest { network: name.to_owned(), container: member.container, settings: member.endpoint_config };
    for warning in connect_network(call.store(), call.root(), &request).await.map_err(forbidden)? {
        tracing::warn!(network = name, container = request.container, "{warning}");
    }
    empty(StatusCode::OK)
}

pub(super) async fn disconnect(mut call: Call, name: &str) -> Answer {
    let member: Member = call.json().await?;
    disconnect_network(call.store(), call.root(), name, &member.container).await.map_err(forbidden)?;
    empty(StatusCode::OK)
}
