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

/// Members of `HostConfig` in docker's order.
const HOST_CONFIG: &[&str] = &[
    "Binds",
    "ContainerIDFile",
    "LogConfig",
    "NetworkMode",
    "PortBindings",
    "RestartPolicy",
    "AutoRemove",
    "VolumeDriver",
    "VolumesFrom",
    "ConsoleSize",
    "Annotations",
    "CapAdd",
    "CapDrop",
    "CgroupnsMode",
    "Dns",
    "DnsOptions",
    "DnsSearch",
    "ExtraHosts",
    "GroupAdd",
    "IpcMode",
    "Cgroup",
    "Links",
    "OomScoreAdj",
    "PidMode",
    "Privileged",
    "PublishAllPorts",
    "ReadonlyRootfs",
    "SecurityOpt",
    "StorageOpt",
    "Tmpfs",
    "UTSMode",
    "UsernsMode",
    "ShmSize",
    "Sysctls",
    "Runtime",
    "Isolation",
    "CpuShares",
    "Memory",
    "NanoCpus",
    "CgroupParent",
    "BlkioWeight",
    "BlkioWeightDevice",
    "BlkioDeviceReadBps",
    "BlkioDeviceWriteBps",
    "BlkioDeviceReadIOps",
    "BlkioDeviceWriteIOps",
    "CpuPeriod",
    "CpuQuota",
    "CpuRealtimePeriod",
    "CpuRealtimeRuntime",
    "CpusetCpus",
    "CpusetMems",
    "Devices",
    "DeviceCgroupRules",
    "DeviceRequests",
    "MemoryReservation",
    "MemorySwap",
    "MemorySwappiness",
    "OomKillDisable",
    "PidsLimit",
    "Ulimits",
    "CpuCount",
    "CpuPercent",
    "IOMaximumIOps",
    "IOMaximumBandwidth",
    "Mounts",
    "MaskedPaths",
    "ReadonlyPaths",
    "Init",
];

/// What docker shows of a setting that is not there or was not given.
fn shown_if_absent(name: &str) -> Option<Value> {
    Some(match name {
        "Dns" | "DnsOptions" | "DnsSearch" | "Devices" | "Ulimits" => json!([]),
        _ if name.starts_with("Blkio") && name != "BlkioWeight" => json!([]),
        "PortBindings" => json!({}),
        "CpuRealtimePeriod" | "CpuRealtimeRuntime" | "CpuCount" | "CpuPercent" => json!(0),
        "IOMaximumIOps" | "IOMaximumBandwidth" => json!(0),
        "OomKillDisable" => json!(false),
        "DeviceRequests" => Value::Null,
        _ => return None,
    })
}

/// How a container runs.
fn host_config(given: &HostConfig, name: &str) -> Value {
    let members = json!(given);
    let member = |name: &&str| {
        let given = members.get(name);
        let value = given.filter(|value| !value.is_null()).cloned();
        let value = value.or_else(|| shown_if_absent(name)).or_else(|| given.cloned())?;
        Some(((*name).to_owned(), value))
    };
    let mut shown = Value::Object(HOST_CONFIG.iter().filter_map(member).collect());
    if let Some(links) = &given.links {
        let whole = |link: &String| {
            let (other, alias) = parse_link(link);
            format!("/{other}:/{name}/{alias}")
        };
        shown["Links"] = links.iter().map(whole).collect();
    }
    shown
}
