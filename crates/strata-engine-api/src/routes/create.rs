//! `containers/create` and `update`: settings as docker's clients send them become the engine's.

use std::collections::BTreeMap;

use http::StatusCode;
use serde_json::{Map, Value, json};
use strata_engine::document::{Config, HostConfig};
use strata_engine::{CreateRequest, create_container, update_container};

use crate::answer::{json_with, ok};
use crate::call::Call;
use crate::status::{Answer, Failure};

pub(super) async fn create(mut call: Call) -> Answer {
    let body: Value = call.json().await?;
    let Settings { config, host_config, networks } = Settings::parse(body)?;
    let request = CreateRequest {
        name: call.query.text("name").map(|name| name.trim_start_matches('/').to_owned()),
        platform: call.query.platform_text()?,
        config,
        host_config,
        networks,
    };
    let created = create_container(call.store(), call.root(), request).await?;
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
}

impl Settings {
    fn parse(mut body: Value) -> Result<Settings, Failure> {
        let Some(fields) = body.as_object_mut() else {
            return Err(Failure::bad_request("invalid JSON: config cannot be empty in order to create a container"));
        };
        let mut host = fields.remove("HostConfig").unwrap_or_default();
        let mut networking = fields.remove("NetworkingConfig").unwrap_or_default();
        for key in ["Cmd", "Entrypoint"] {
            // Docker takes one word for a list of one.
            if let Some(Value::String(word)) = fields.get(key) {
                let words = json!([word]);
                fields.insert(key.to_owned(), words);
            }
        }
        drop_nulls(&mut body, &[&[], &["Healthcheck"]]);
        drop_nulls(&mut host, &[&[], &["LogConfig"], &["LogConfig", "Config"], &["RestartPolicy"]]);
        refuse_unsupported(&host)?;
        if host.is_null() {
            host = Value::Object(Map::new());
        }
        let config: Config = typed(body)?;
        if config.image.is_empty() {
            return Err(Failure::bad_request("no image specified"));
        }
        let endpoints = networking.get_mut("EndpointsConfig").map(Value::take).unwrap_or_default();
        Ok(Settings { config, host_config: typed(host)?, networks: networks(endpoints) })
    }
}

/// The networks that a container is to be in. Clients name the default one although there is nothing to say of it.
fn networks(endpoints: Value) -> BTreeMap<String, Value> {
    let Value::Object(endpoints) = endpoints else { return BTreeMap::new() };
    endpoints.into_iter().filter(|(name, _)| name != "default").collect()
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
        ("Links", "links between containers"),
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
        assert!(settings.networks.is_empty());
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
        let refused = |body: Value| Settings::parse(body).err().map(|failure| failure.message).unwrap_or_default();
        assert_eq!(refused(json!({ "Image": "" })), "no image specified");
        assert!(refused(json!([])).starts_with("invalid JSON: "));
        assert!(refused(json!({ "Image": "x", "Env": 1 })).starts_with("invalid JSON: "));
        let gpus = json!({ "Image": "x", "HostConfig": { "DeviceRequests": [{}] } });
        assert_eq!(refused(gpus), "not supported by strata: device requests (--gpus)");
    }
}
