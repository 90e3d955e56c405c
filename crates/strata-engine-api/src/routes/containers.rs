//! Containers: lists, what is known of one, its files as a whole, names, removal.

use http::StatusCode;
use serde_json::{Map, Value, json};
use strata_engine::{
    CommitRequest, ContainerFilter, ContainerSize, ContainerSummary, PathChange, PathChangeKind, RemoveContainer,
    commit_container, container_changes, container_networks, container_status, export_container, inspect_container,
    link_names, list_containers, prune_containers, remove_container, remove_link, rename_container,
};

use super::create::parse_config;
use super::transfers::written;
use crate::answer::{begin, empty, error_text, json_with, ok};
use crate::call::{Call, parse_reference};
use crate::status::{Answer, Failure};

/// Nanoseconds in a second.
const SECOND: i64 = 1_000_000_000;

pub(super) async fn list(call: &Call) -> Answer {
    let filter = ContainerFilter::parse(call.query.filters()?)?;
    let limit = call.query.number("limit")?.and_then(|limit| usize::try_from(limit).ok()).filter(|limit| *limit > 0);
    let mut found = list_containers(call.store(), call.root(), &filter).await?;
    if !call.query.is_set("all") && limit.is_none() && !filter.asks_for_all() {
        found.retain(ContainerSummary::is_running);
    }
    found.truncate(limit.unwrap_or(usize::MAX));
    let links = link_names(&*call.store().read().await?).await?;
    let mut rows = Vec::with_capacity(found.len());
    for summary in &found {
        let size = match call.query.is_set("size") {
            true => Some(summary.size(call.store(), call.root()).await?),
            false => None,
        };
        let mut row = row(call, summary, size).await?;
        if let (Some(more), Some(names)) = (links.get(&summary.row.name), row["Names"].as_array_mut()) {
            names.extend(more.iter().map(|name| json!(name)));
        }
        rows.push(row);
    }
    ok(&Value::Array(rows))
}

/// A container as lists show it.
pub(super) async fn row(
    call: &Call,
    summary: &ContainerSummary,
    size: Option<ContainerSize>,
) -> Result<Value, Failure> {
    let (record, document) = (&summary.row, &summary.document);
    let txn = call.store().read().await?;
    let mut settings = container_networks(&*txn, call.root(), record, document, summary.is_running()).await?;
    let networks = settings.get_mut("Networks").map(Value::take).unwrap_or_default();
    let mut host = Map::new();
    host.insert("NetworkMode".into(), json!(document.host_config.network_mode));
    if let Some(annotations) = &document.host_config.annotations {
        host.insert("Annotations".into(), json!(annotations));
    }
    let mounts: Vec<_> = document.mounts.iter().filter(|point| point.kind != "tmpfs").collect();
    let mut fields = Map::new();
    let mut add = |key: &str, value: Value| drop(fields.insert(key.to_owned(), value));
    add("Id", json!(record.id));
    add("Names", json!([format!("/{}", record.name)]));
    add("Image", json!(summary.image));
    add("ImageID", json!(record.image));
    add("Command", json!(document.command()));
    add("Created", json!(record.created.div_euclid(SECOND)));
    add("Ports", ports(summary));
    if let Some(size) = size {
        add("SizeRw", json!(size.writable));
        add("SizeRootFs", json!(size.total));
    }
    add("Labels", json!(document.config.labels.clone().unwrap_or_default()));
    add("State", json!(summary.status()));
    add("Status", json!(container_status(summary, call.store().now())));
    add("HostConfig", Value::Object(host));
    add("NetworkSettings", json!({ "Networks": networks }));
    add("Mounts", json!(mounts));
    Ok(Value::Object(fields))
}

/// What leads to a container that runs, and what it exposes without that.
fn ports(summary: &ContainerSummary) -> Value {
    if !summary.is_running() {
        return json!([]);
    }
    let bound = summary.ports.iter().map(|port| {
        json!({
            "IP": port.host_address.to_string(),
            "PrivatePort": port.container_port,
            "PublicPort": port.host_port,
            "Type": port.protocol.word(),
        })
    });
    let is_bound = |number: u16, protocol: &str| {
        summary.ports.iter().any(|port| (port.container_port, port.protocol.word()) == (number, protocol))
    };
    let exposed = summary.document.config.exposed_ports.iter().flatten().filter_map(|(port, _)| {
        let (number, protocol) = port.split_once('/').unwrap_or((port, "tcp"));
        let number: u16 = number.parse().ok()?;
        (!is_bound(number, protocol)).then(|| json!({ "PrivatePort": number, "Type": protocol }))
    });
    bound.chain(exposed).collect()
}

pub(super) async fn inspect(call: &Call, name: &str) -> Answer {
    ok(&inspect_container(call.store(), call.root(), name, call.query.is_set("size")).await?)
}

pub(super) async fn changes(call: &Call, name: &str) -> Answer {
    let changes = container_changes(call.store(), call.root(), name).await?;
    let row = |change: &PathChange| {
        let kind = match change.kind {
            PathChangeKind::Modified => 0,
            PathChangeKind::Added => 1,
            PathChangeKind::Deleted => 2,
        };
        json!({ "Path": String::from_utf8_lossy(&change.path), "Kind": kind })
    };
    ok(&if changes.is_empty() { Value::Null } else { changes.iter().map(row).collect() })
}

pub(super) async fn export(call: &Call, name: &str) -> Answer {
    let (store, root, name) = (call.store().clone(), call.root().to_owned(), name.to_owned());
    begin("application/octet-stream", error_text, move |output| async move {
        written(&output, |out| export_container(&store, &root, &name, out)).await
    })
    .await
}

pub(super) async fn rename(call: &Call, name: &str) -> Answer {
    rename_container(call.store(), name, call.query.text("name").unwrap_or_default()).await?;
    empty(StatusCode::NO_CONTENT)
}

pub(super) async fn remove(call: &Call, name: &str) -> Answer {
    if call.query.is_set("link") {
        remove_link(call.store(), name).await?;
        return empty(StatusCode::NO_CONTENT);
    }
    let options = RemoveContainer { force: call.query.is_set("force"), volumes: call.query.is_set("v") };
    remove_container(call.store(), call.root(), name, options).await?;
    empty(StatusCode::NO_CONTENT)
}

pub(super) async fn prune(call: &Call) -> Answer {
    let pruned = prune_containers(call.store(), call.root(), &call.query.filters()?).await?;
    let ids = if pruned.ids.is_empty() { Value::Null } else { json!(pruned.ids) };
    ok(&json!({ "ContainersDeleted": ids, "SpaceReclaimed": pruned.freed }))
}

pub(super) async fn commit(mut call: Call) -> Answer {
    let config = call.optional_json::<Value>().await?.map(parse_config).transpose()?;
    let name = |repository: &str| match call.query.text("tag") {
        Some(tag) => format!("{repository}:{tag}"),
        None => repository.to_owned(),
    };
    let reference = match call.query.text("repo") {
        Some(repository) => Some(parse_reference(&name(repository))?.with_default_tag()),
        None => None,
    };
    let request = CommitRequest {
        reference,
        author: call.query.text("author").unwrap_or_default().to_owned(),
        message: call.query.text("comment").unwrap_or_default().to_owned(),
        config,
        changes: call.query.all("changes"),
        pause: call.query.is_set_or_absent("pause"),
        view: call.engine.view,
    };
    let container = call.query.text("container").unwrap_or_default();
    let id = commit_container(call.store(), call.root(), container, &request).await?;
    json_with(StatusCode::CREATED, &json!({ "Id": id }))
}
