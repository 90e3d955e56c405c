//! `inspect` of a container, as docker's API 1.51 shows it.

use std::path::Path;

use serde_json::{Map, Value, json};
use strata_runtime::{ContainerState, HealthStatus, state};
use strata_store::{ContainerPhase, ContainerRow, Store};

use super::document::{ContainerDocument, HostConfig};
use super::list::container_size;
use super::{container_directory, find_container};
use crate::Result;
use crate::inspect::nanosecond_time;
use crate::network::{container_networks, parse_link};

/// Everything about a container; with its sizes if `with_size`.
///
/// # Errors
/// `NotFound`; when its state cannot be read.
pub async fn inspect_container(store: &Store, root: &Path, text: &str, with_size: bool) -> Result<Value> {
    let txn = store.read().await?;
    let row = find_container(&*txn, text).await?;
    let image_size = txn.image(&row.image).await?.map_or(0, |image| image.size);
    let document = ContainerDocument::parse(&row)?;
    let state = state(&container_directory(root, &row.id))?;
    let networks = container_networks(&*txn, root, &row, &document, state.pid != 0).await?;
    drop(txn);
    let sizes = match with_size {
        true => Some(container_size(root, &row.id)?).map(|writable| (writable, writable + image_size)),
        false => None,
    };
    Ok(whole(root, &row, &document, &state, sizes, networks))
}

fn whole(
    root: &Path,
    row: &ContainerRow,
    document: &ContainerDocument,
    state: &ContainerState,
    sizes: Option<(u64, u64)>,
    networks: Value,
) -> Value {
    let directory = container_directory(root, &row.id);
    let file = |name: &str| directory.join(name).display().to_string();
    let mut fields = Map::new();
    let mut add = |key: &str, value: Value| drop(fields.insert(key.to_owned(), value));
    add("Id", json!(row.id));
    add("Created", json!(nanosecond_time(row.created)));
    add("Path", json!(document.path));
    add("Args", json!(document.args));
    add("State", state_json(state, row.phase));
    add("Image", json!(row.image));
    add("ResolvConfPath", json!(file("resolv.conf")));
    add("HostnamePath", json!(file("hostname")));
    add("HostsPath", json!(file("hosts")));
    add("LogPath", json!(file("log.json")));
    add("Name", json!(format!("/{}", row.name)));
    add("RestartCount", json!(state.restarts));
    add("Driver", json!("strata"));
    add("Platform", json!(document.platform));
    add("MountLabel", json!(""));
    add("ProcessLabel", json!(""));
    add("AppArmorProfile", json!(""));
    add("ExecIDs", super::exec::exec_ids(&directory));
    add("HostConfig", host_config(&document.host_config, &row.name));
    let layers = json!({ "UpperDir": file("upper"), "WorkDir": file("work"), "MergedDir": file("rootfs") });
    add("GraphDriver", json!({ "Data": layers, "Name": "strata" }));
    if let Some((writable, total)) = sizes {
        add("SizeRw", json!(writable));
        add("SizeRootFs", json!(total));
    }
    let shown: Vec<_> = document.mounts.iter().filter(|point| point.kind != "tmpfs").collect();
    add("Mounts", json!(shown));
    add("Config", json!(document.config));
    add("NetworkSettings", networks);
    Value::Object(fields)
}

/// `State`.
pub fn state_json(state: &ContainerState, phase: ContainerPhase) -> Value {
    use strata_runtime::ContainerStatus as Status;
    let word = match (phase, state.status) {
        (ContainerPhase::Removing, _) => json!("removing"),
        (_, status) => json!(status),
    };
    let mut value = json!({
        "Status": word,
        "Running": matches!(state.status, Status::Running | Status::Paused | Status::Restarting),
        "Paused": state.status == Status::Paused,
        "Restarting": state.status == Status::Restarting,
        "OOMKilled": state.oom_killed,
        "Dead": state.status == Status::Dead,
        "Pid": state.pid,
        "ExitCode": state.exit_code,
        "Error": state.error,
        "StartedAt": nanosecond_time(state.started_at),
        "FinishedAt": nanosecond_time(state.finished_at),
    });
    if let (Some(health), Some(fields)) = (&state.health, value.as_object_mut()) {
        let status = match health.status {
            HealthStatus::Starting => "starting",
            HealthStatus::Healthy => "healthy",
            HealthStatus::Unhealthy => "unhealthy",
        };
        let log: Vec<Value> = health
            .log
            .iter()
            .map(|probe| {
                json!({
                    "Start": nanosecond_time(probe.start),
                    "End": nanosecond_time(probe.end),
                    "ExitCode": probe.exit_code,
                    "Output": probe.output,
                })
            })
            .collect();
        let health = json!({ "Status": status, "FailingStreak": health.failing_streak, "Log": log });
        fields.insert("Health".into(), health);
    }
    value
}

/// How a container runs, with what docker shows of settings that are not there or were not given.
fn host_config(given: &HostConfig, name: &str) -> Value {
    let mut shown = json!({
        "BlkioDeviceReadBps": [], "BlkioDeviceReadIOps": [], "BlkioDeviceWriteBps": [], "BlkioDeviceWriteIOps": [],
        "BlkioWeightDevice": [], "CpuCount": 0, "CpuPercent": 0, "CpuRealtimePeriod": 0, "CpuRealtimeRuntime": 0,
        "DeviceRequests": null, "Devices": [], "Dns": [], "DnsOptions": [], "DnsSearch": [], "IOMaximumBandwidth": 0,
        "IOMaximumIOps": 0, "OomKillDisable": false, "PortBindings": {}, "Ulimits": [],
    });
    if let (Some(shown), Value::Object(given)) = (shown.as_object_mut(), json!(given)) {
        for (key, value) in given {
            if !value.is_null() || !shown.contains_key(&key) {
                shown.insert(key, value);
            }
        }
    }
    if let Some(links) = &given.links {
        let whole = |link: &String| {
            let (other, alias) = parse_link(link);
            format!("/{other}:/{name}/{alias}")
        };
        shown["Links"] = links.iter().map(whole).collect();
    }
    shown
}
