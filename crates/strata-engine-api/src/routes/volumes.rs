//! Volumes.

use std::collections::BTreeMap;

use http::StatusCode;
use serde::Deserialize;
use serde_json::{Value, json};
use strata_engine::{
    VolumeDocument, VolumeFilter, create_volume, find_volume, list_volumes, prune_volumes, remove_volume,
};

use crate::answer::{empty, json_with, ok};
use crate::call::Call;
use crate::status::{Answer, Failure};
use crate::version::ApiVersion;

pub(super) async fn list(call: &Call) -> Answer {
    let filter = VolumeFilter::parse(&call.query.filters()?)?;
    let volumes = list_volumes(call.store(), call.root(), &filter).await?;
    let rows: Vec<Value> = volumes.iter().map(|volume| volume.json()).collect();
    ok(&json!({ "Volumes": rows, "Warnings": null }))
}

/// What a client asks for.
#[derive(Default, Deserialize)]
#[serde(rename_all = "PascalCase", default)]
struct Settings {
    name: Option<String>,
    driver: Option<String>,
    driver_opts: Option<BTreeMap<String, String>>,
    labels: Option<BTreeMap<String, String>>,
}

pub(super) async fn create(mut call: Call) -> Answer {
    let settings: Settings = call.json().await?;
    let name = settings.name.filter(|name| !name.is_empty());
    if let Some(driver) = settings.driver.filter(|driver| !matches!(driver.as_str(), "" | "local")) {
        let message = format!(
            "create {}: error looking up volume plugin {driver}: plugin {driver:?} not found",
            name.unwrap_or_default()
        );
        return Err(Failure::new(StatusCode::NOT_FOUND, message));
    }
    let document = VolumeDocument { labels: settings.labels, options: settings.driver_opts };
    let name = create_volume(call.store(), call.root(), name.as_deref(), document).await?;
    let volume = find_volume(call.store(), call.root(), &name).await?;
    json_with(StatusCode::CREATED, &volume.json())
}

pub(super) async fn inspect(call: &Call, name: &str) -> Answer {
    ok(&find_volume(call.store(), call.root(), name).await?.json())
}

pub(super) async fn remove(call: &Call, name: &str) -> Answer {
    remove_volume(call.store(), call.root(), name, call.query.is_set("force")).await?;
    empty(StatusCode::NO_CONTENT)
}

pub(super) async fn prune(call: &Call) -> Answer {
    let mut filters = call.query.filters()?;
    if call.version < ApiVersion(42) {
        filters.push(("all".into(), "true".into()));
    }
    let pruned = prune_volumes(call.store(), call.root(), &filters).await?;
    let names = if pruned.names.is_empty() { Value::Null } else { json!(pruned.names) };
    ok(&json!({ "VolumesDeleted": names, "SpaceReclaimed": pruned.freed }))
}
