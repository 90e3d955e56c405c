//! `system/df`: what the store takes.

use serde_json::{Map, Value, json};
use strata_engine::{ContainerSize, container_usage, load_documents, mounted_images, volume_usage};

use super::{containers, images};
use crate::answer::ok;
use crate::call::Call;
use crate::status::{Answer, Failure};

const KINDS: [&str; 4] = ["container", "image", "volume", "build-cache"];

pub(super) async fn usage(call: &Call) -> Answer {
    let asked = call.query.all("type");
    if let Some(other) = asked.iter().find(|kind| !KINDS.contains(&kind.as_str())) {
        return Err(Failure::bad_request(format!("unknown object type: {other}")));
    }
    let wants = |kind: &str| asked.is_empty() || asked.iter().any(|asked| asked == kind);
    let mut layers = 0;
    let (mut image_rows, mut container_rows, mut volume_rows) = (Value::Null, Value::Null, Value::Null);
    if wants("image") {
        (layers, image_rows) = all_images(call).await?;
    }
    if wants("container") {
        container_rows = all_containers(call).await?;
    }
    if wants("volume") {
        volume_rows = all_volumes(call).await?;
    }
    let cache = if wants("build-cache") { json!([]) } else { Value::Null };
    let mut fields = Map::new();
    for (key, value) in [
        ("LayersSize", json!(layers)),
        ("Images", image_rows),
        ("Containers", container_rows),
        ("Volumes", volume_rows),
        ("BuildCache", cache),
    ] {
        fields.insert(key.to_owned(), value);
    }
    ok(&Value::Object(fields))
}

async fn all_images(call: &Call) -> Result<(u64, Value), Failure> {
    let usage = strata_engine::usage(call.store(), &mounted_images(call.root())?).await?;
    let txn = call.store().read().await?;
    let mut rows = Vec::with_capacity(usage.images.len());
    for image in &usage.images {
        let row = &image.summary.row;
        let config = load_documents(&*txn, row).await?.config;
        let containers = usage.containers.get(&row.id).copied().unwrap_or(0);
        rows.push(images::row(
            call.version,
            &image.summary,
            json!(config.value().config.labels),
            &config.value().parent,
            Some(i64::try_from(image.shared).unwrap_or(i64::MAX)),
            i64::try_from(containers).unwrap_or(i64::MAX),
        ));
    }
    Ok((usage.layers_size, Value::Array(rows)))
}

async fn all_containers(call: &Call) -> Result<Value, Failure> {
    let mut rows = Vec::new();
    for used in container_usage(call.store(), call.root()).await? {
        let image = call.store().read().await?.image(&used.summary.row.image).await?.map_or(0, |image| image.size);
        let size = ContainerSize { writable: used.written, total: used.written + image };
        rows.push(containers::row(call, &used.summary, Some(size)).await?);
    }
    Ok(Value::Array(rows))
}

async fn all_volumes(call: &Call) -> Result<Value, Failure> {
    let mut rows = Vec::new();
    for used in volume_usage(call.store(), call.root()).await? {
        let mut row = used.volume.json();
        if let Some(fields) = row.as_object_mut() {
            fields.insert("UsageData".into(), json!({ "RefCount": used.volume.links, "Size": used.size }));
        }
        rows.push(row);
    }
    Ok(Value::Array(rows))
}
