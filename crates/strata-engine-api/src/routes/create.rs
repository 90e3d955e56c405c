//! `containers/create` and `update`: settings as docker's clients send them become the engine's.

use std::collections::BTreeMap;

use http::StatusCode;
use serde_json::{Map, Value, json};
use strata_engine::document::{Config, HostConfig};
use strata_engine::{CreateRequest, create_container, update_container};

use crate::answer::{json_with, ok};
use crate::call::Call;
use crate::status::{Answer, Failure};
use crate::version::ApiVersion;

pub(super) async fn create(mut call: Call) -> Answer {
    let body: Value = call.json().await?;
    let Settings { config, host_config, networks, has_old_mac_address } = Settings::parse(body)?;
    let request = CreateRequest {
        name: call.query.text("name").map(|name| name.trim_start_matches('/').to_owned()),
        platform: call.query.platform_text()?,
        config,
        host_config,
        networks,
    };
    let mut created = create_container(call.store(), call.root(), request).await?;
    if has_old_mac_address && call.version >= ApiVersion(44) {
        created.warnings.push(
            "The container-wide MacAddress field is now deprecated. It should be specified in EndpointsConfig instead."
                .to_owned(),
        );
    }
    json_with(StatusCode::CREATED, &json!({ "Id": created.id, "Warnings": created.warnings }))
}

pub(super) async fn update(mut call: Call, name: &str) -> Answer {
    let mut body: Value = call.json().await?;
    drop_nulls(&mut body, &[&[], &["RestartPolicy"]]);
    let change: HostConfig = typed(body)?;
    let warnings = update_container(call.store(), call.root(), name, &change).await?;
    ok(&json!({ "Warnings": if warnings.is_empty() { Value::Null } else { json!(warnings) } }))
}

/// What a client asks for.
struct Settings {
    config: Config,
    host_config: HostConfig,
    networks: BTreeMap<String, Value>,
    /// The hardware address was said where clients before 1.44 say it.
    has_old_mac_address: bool,
}

impl Settings {
    fn parse(mut body: Value) -> Result<Settings, Failure> {
        let Some(fields) = body.as_object_mut() else {
            return Err(Failure::bad_request("invalid JSON: config cannot be empty in order to create a container"));
        };
        let mut host = fields.remove("HostConfig").unwrap_or_default();
        let mac_address = fields.remove("MacAddress").and_then(|address| Some(address.as_str()?.to_owned()));
        let runtime = fields.remove("Runtime");
        let mut networking = fields.remove("NetworkingConfig").unwrap_or_default();
        drop_nulls(&mut host, &[&[], &["LogConfig"], &["LogConfig", "Config"], &["RestartPolicy"]]);
        refuse_unsupported(&host)?;
        if host.is_null() {
            host = Value::Object(Map::new());
        }
        if let (Some(runtime), Some(fields)) = (runtime.filter(Value::is_string), host.as_object_mut()) {
            // Old clients say it there.
            fields.entry("Runtime").or_insert(runtime);
        }
        let config = parse_config(body)?;
        if config.image.is_empty() {
            return Err(Failure::bad_request("no image specified"));
        }
        let endpoints = networking.get_mut("EndpointsConfig").map(Value::take).unwrap_or_default();
        let (host_config, mut networks) = (typed::<HostConfig>(host)?, networks(endpoints));
        let mac_address = mac_address.filter(|address| !address.is_empty());
        if let Some(address) = &mac_address {
            set_mac_address(&mut networks, &host_config.network_mode, address)?;
        }
        Ok(Settings { config, host_config, networks, has_old_mac_address: mac_address.is_some() })
    }
}

/// The default network's name.
const BRIDGE: &str = "bridge";

/// The networks that a container is to be in.
fn networks(endpoints: Value) -> BTreeMap<String, Value> {
    let Value::Object(endpoints) = endpoints else { return BTreeMap::new() };
    endpoints.into_iter().map(|(name, settings)| (network_of(&name).to_owned(), settings)).collect()
}

/// What docker calls by two names.
fn network_of(mode: &str) -> &str {
    if matches!(mode, "" | "default") { BRIDGE } else { mode }
}

/// Gives a container this hardware address on its main network.
fn set_mac_address(networks: &mut BTreeMap<String, Value>, mode: &str, address: &str) -> Result<(), Failure> {
    let mode = network_of(mode);
    if matches!(mode, "host" | "none") || mode.starts_with("container:") {
        return Err(Failure::bad_request("conflicting options: mac-address and the network mode"));
    }
    let settings = networks.entry(mode.to_owned()).or_default();
    match settings.get("MacAddress").and_then(Value::as_str).unwrap_or_default() {
        "" => settings["MacAddress"] = json!(address),
        same if same == address => {}
        _ => {
            return Err(Failure::bad_request(
                "the container-wide MAC address must match the endpoint-specific MAC address for the main network, \
                 or be left empty",
            ));
        }
    }
    Ok(())
}

/// What runs.
pub(super) fn parse_config(mut body: Value) -> Result<Config, Failure> {
    for key in ["Cmd", "Entrypoint"] {
        // Docker takes one word for a list of one.
        if let Some(word) = body.get(key).filter(|value| value.is_string()) {
            body[key] = json!([word]);
        }
    }
    drop_nulls(&mut body, &[&[], &["Healthcheck"]]);
    typed(body)
}

/// In Go `null` leaves a field as it is. `places` are the objects whose fields are meant, each by the keys that lead to it.
fn drop_nulls(document: &mut Value, places: &[&[&str]]) {
    for place in places {
        let found = place.iter().try_fold(&mut *document, |value, key| value.get_mut(*key));
        if let Some(Value::Object(fields)) = found {
            fields.retain(|_, value| !value.is_null());
        }
    }
}

fn typed<T: serde::de::DeserializeOwned>(document: Value) -> Result<T, Failure> {
    serde_json::from_value(document).map_err(|cause| Failure::bad_request(format!("invalid JSON: {cause}")))
}

/// Settings that would be lost without a word.
fn refuse_unsupported(host: &Value) -> Result<(), Failure> {
    const LISTS: &[(&str, &str)] = &[
        ("DeviceRequests", "device requests (--gpus)"),
        ("BlkioWeightDevice", "--blkio-weight-device"),
        ("BlkioDeviceReadBps", "--device-read-bps"),
        ("BlkioDeviceWriteBps", "--device-write-bps"),
        ("BlkioDeviceReadIOps", "--device-read-iops"),
        ("BlkioDeviceWriteIOps", "--device-write-iops"),
    ];
    let is_given = |key: &str| host.get(key).and_then(Value::as_array).is_some_and(|list| !list.is_empty());
    match LISTS.iter().find(|(key, _)| is_given(key)) {
        Some((_, what)) => Err(Failure::not_supported(what)),
        None => Ok(()),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// What docker 28.2 sends for `docker create -p 8080:80 -e A=b box httpd`.
    const SENT: &str = r#"{
        "Hostname": "", "Domainname": "", "User": "", "AttachStdin": false, "AttachStdout": true, "AttachStderr": true,
        "ExposedPorts": { "80/tcp": {} }, "Tty": false, "OpenStdin": false, "StdinOnce": false, "Env": ["A=b"],
        "Cmd": ["httpd"], "Image": "box", "Volumes": {}, "WorkingDir": "", "Entrypoint": null, "OnBuild": null,
        "Labels": {},
        "HostConfig": {
            "Binds": null, "ContainerIDFile": "", "LogConfig": { "Type": "", "Config": {} }, "NetworkMode": "default",
            "PortBindings": { "80/tcp": [{ "HostIp": "", "HostPort": "8080" }] },
            "RestartPolicy": { "Name": "no", "MaximumRetryCount": 0 }, "AutoRemove": false, "VolumeDriver": "",
            "VolumesFrom": null, "ConsoleSize": [0, 0], "CapAdd": null, "CapDrop": null, "CgroupnsMode": "",
            "Dns": null, "DnsOptions": [], "DnsSearch": [], "ExtraHosts": null, "GroupAdd": null, "IpcMode": "",
            "Cgroup": "", "Links": null, "OomScoreAdj": 0, "PidMode": "", "Privileged": false,
            "PublishAllPorts": false, "ReadonlyRootfs": false, "SecurityOpt": null, "UTSMode": "", "UsernsMode": "",
            "ShmSize": 0, "Isolation": "", "CpuShares": 0, "Memory": 0, "NanoCpus": 0, "CgroupParent": "",
            "BlkioWeight": 0, "BlkioWeightDevice": [], "BlkioDeviceReadBps": [], "CpuPeriod": 0, "CpuQuota": 0,
            "CpuRealtimePeriod": 0, "CpuRealtimeRuntime": 0, "CpusetCpus": "", "CpusetMems": "", "Devices": [],
            "DeviceCgroupRules": null, "DeviceRequests": null, "MemoryReservation": 0, "MemorySwap": 0,
            "MemorySwappiness": -1, "OomKillDisable": false, "PidsLimit": 0, "Ulimits": [], "CpuCount": 0,
            "CpuPercent": 0, "IOMaximumIOps": 0, "IOMaximumBandwidth": 0, "MaskedPaths": null, "ReadonlyPaths": null
        },
        "NetworkingConfig": { "EndpointsConfig": { "default": { "IPAMConfig": null, "Aliases": null } } }
    }"#;

    #[test]
    fn what_docker_s_client_sends_is_understood() {
        let settings = Settings::parse(serde_json::from_str(SENT).unwrap()).unwrap();
        assert_eq!((settings.config.image.as_str(), settings.config.cmd.clone()), ("box", Some(vec!["httpd".into()])));
        assert_eq!(settings.config.entrypoint, None);
        let ports = settings.host_config.port_bindings.clone().unwrap();
        assert_eq!(ports["80/tcp"].as_ref().unwrap()[0].host_port, "8080");
        assert_eq!(settings.networks.keys().collect::<Vec<_>>(), ["bridge"]);
    }

    #[test]
    fn null_is_nothing_and_one_word_is_a_list() {
        let body = json!({
            "Image": "box", "Hostname": null, "Cmd": "true", "Labels": null,
            "HostConfig": { "NetworkMode": null, "LogConfig": { "Type": null, "Config": null }, "PortBindings": { "1/tcp": null } },
            "NetworkingConfig": { "EndpointsConfig": { "net": null } },
        });
        let settings = Settings::parse(body).unwrap();
        assert_eq!(settings.config.cmd, Some(vec!["true".into()]));
        assert_eq!(settings.host_config.port_bindings.unwrap()["1/tcp"], None);
        assert_eq!(settings.networks.keys().collect::<Vec<_>>(), ["net"]);
        let body = json!({ "Image": "box", "MacAddress": "02:00:00:00:00:01", "Runtime": "runc", "HostConfig": {} });
        let settings = Settings::parse(body).unwrap();
        assert!(settings.has_old_mac_address);
        assert_eq!(settings.networks["bridge"], json!({ "MacAddress": "02:00:00:00:00:01" }));
        assert_eq!(settings.host_config.runtime, "runc");
        let refused = |body: Value| Settings::parse(body).err().map(|failure| failure.message).unwrap_or_default();
        assert_eq!(refused(json!({ "Image": "" })), "no image specified");
        assert!(refused(json!([])).starts_with("invalid JSON: "));
        assert!(refused(json!({ "Image": "x", "Env": 1 })).starts_with("invalid JSON: "));
        let gpus = json!({ "Image": "x", "HostConfig": { "DeviceRequests": [{}] } });
        assert_eq!(refused(gpus), "not supported by strata: device requests (--gpus)");
    }
}
