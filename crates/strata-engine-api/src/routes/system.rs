//! `_ping`, `version`, `info`, `auth`.

use axum::body::Body;
use http::{HeaderValue, Method, StatusCode, header};
use serde_json::{Value, json};
use strata_engine::{ContainerCounts, ContainerFilter, ListRequest, Machine, list_containers};
use strata_model::{Host, Platform};
use strata_registry_client::{Credentials, DOCKER_HUB_KEY, server_key};

use crate::answer::{ok, with};
use crate::call::{AuthConfig, Call};
use crate::status::{Answer, Failure};
use crate::version::ApiVersion;

/// Ranges of addresses that are trusted without proof whatever the configuration says.
const LOOPBACK: [&str; 2] = ["::1/128", "127.0.0.0/8"];

pub(super) fn ping(call: &Call) -> Answer {
    let mut response = with(StatusCode::OK, "text/plain; charset=utf-8", Body::from("OK"));
    let headers = response.headers_mut();
    headers.insert(header::CACHE_CONTROL, HeaderValue::from_static("no-cache, no-store, must-revalidate"));
    headers.insert(header::PRAGMA, HeaderValue::from_static("no-cache"));
    // The classic builder: clients do not look for BuildKit then.
    headers.insert("builder-version", HeaderValue::from_static("1"));
    headers.insert("swarm", HeaderValue::from_static("inactive"));
    if call.method == Method::HEAD {
        headers.insert(header::CONTENT_LENGTH, HeaderValue::from_static("0"));
    }
    Ok(response)
}

pub(super) fn version(call: &Call) -> Answer {
    let (version, architecture, kernel) = (call.engine.version, Platform::host().architecture, Machine::look().kernel);
    let (newest, oldest) = (ApiVersion::NEWEST.to_string(), ApiVersion::OLDEST.to_string());
    let details = json!({
        "ApiVersion": newest, "Arch": architecture, "BuildTime": "", "Experimental": "false", "GitCommit": "",
        "GoVersion": "", "KernelVersion": kernel, "MinAPIVersion": oldest, "Os": "linux",
    });
    ok(&json!({
        "Platform": { "Name": "Strata" },
        "Components": [{ "Name": "Engine", "Version": version, "Details": details }],
        "Version": version,
        "ApiVersion": newest,
        "MinAPIVersion": oldest,
        "GitCommit": "",
        "GoVersion": "",
        "Os": "linux",
        "Arch": architecture,
        "KernelVersion": kernel,
        "BuildTime": "",
    }))
}

pub(super) async fn info(call: &Call) -> Answer {
    let images = strata_engine::list(call.store(), &ListRequest { all: true, filters: Vec::new() }).await?.len();
    let containers = list_containers(call.store(), call.root(), &ContainerFilter::default()).await?;
    let counts = ContainerCounts::of(&containers);
    let here = Machine::look();
    let now = jiff::Timestamp::from_nanosecond(i128::from(call.store().now())).unwrap_or_default();
    let open_files = std::fs::read_dir("/proc/self/fd").map_or(0, Iterator::count);
    let has_cgroup_v2 = std::path::Path::new("/sys/fs/cgroup/cgroup.controllers").exists();
    let forwards = std::fs::read_to_string("/proc/sys/net/ipv4/ip_forward").is_ok_and(|text| text.trim() == "1");
    let proxy = |name: &str| std::env::var(name).or_else(|_| std::env::var(name.to_uppercase())).unwrap_or_default();
    let mut document = json!({
        "ID": strata_model::Digest::of(call.root().as_os_str().as_encoded_bytes()).hex(),
        "Containers": counts.total(),
        "ContainersRunning": counts.running,
        "ContainersPaused": counts.paused,
        "ContainersStopped": counts.stopped,
        "Images": images,
        "Driver": "strata",
        "DriverStatus": [],
        "Plugins": {
            "Volume": ["local"],
            "Network": ["bridge", "host", "null"],
            "Authorization": null,
            "Log": ["json-file", "local", "none"],
        },
        "MemoryLimit": true,
        "SwapLimit": true,
        "CpuCfsPeriod": true,
        "CpuCfsQuota": true,
        "CPUShares": true,
        "CPUSet": true,
        "PidsLimit": true,
        "IPv4Forwarding": forwards,
        "Debug": false,
        "NFd": open_files,
        "OomKillDisable": !has_cgroup_v2,
        "NGoroutines": 0,
    });
    let machine = json!({
        "SystemTime": strata_format::timestamp::to_rfc3339(now),
        "LoggingDriver": "json-file",
        "CgroupDriver": "cgroupfs",
        "CgroupVersion": if has_cgroup_v2 { "2" } else { "1" },
        "NEventsListener": 0,
        "KernelVersion": here.kernel,
        "OperatingSystem": here.operating_system,
        "OSVersion": here.operating_system_version,
        "OSType": "linux",
        "Architecture": here.architecture,
        "IndexServerAddress": DOCKER_HUB_KEY,
        "RegistryConfig": registries(call),
        "NCPU": here.processors,
        "MemTotal": here.memory,
        "GenericResources": null,
    });
    let settings = json!({
        "DockerRootDir": call.root().display().to_string(),
        "HttpProxy": proxy("http_proxy"),
        "HttpsProxy": proxy("https_proxy"),
        "NoProxy": proxy("no_proxy"),
        "Name": here.name,
        "Labels": [],
        "ExperimentalBuild": false,
        "ServerVersion": call.engine.version,
        "Runtimes": { "strata": { "path": "strata" } },
        "DefaultRuntime": "strata",
        "Swarm": {
            "NodeID": "", "NodeAddr": "", "LocalNodeState": "inactive", "ControlAvailable": false, "Error": "",
            "RemoteManagers": null,
        },
        "LiveRestoreEnabled": true,
        "Isolation": "",
        "InitBinary": "",
        "ContainerdCommit": { "ID": "" },
        "RuncCommit": { "ID": "" },
        "InitCommit": { "ID": "" },
        "SecurityOptions": ["name=seccomp,profile=builtin"],
        "CDISpecDirs": [],
        "Warnings": null,
    });
    if let (Some(fields), Value::Object(machine), Value::Object(settings)) =
        (document.as_object_mut(), machine, settings)
    {
        fields.extend(machine.into_iter().chain(settings));
    }
    ok(&document)
}

fn registries(call: &Call) -> Value {
    let given = &call.engine.registries;
    let (ranges, hosts): (Vec<&String>, Vec<&String>) = given.insecure.iter().partition(|entry| entry.contains('/'));
    let mut trusted: Vec<&str> = LOOPBACK.to_vec();
    trusted.extend(ranges.into_iter().map(String::as_str).filter(|range| !LOOPBACK.contains(range)));
    let mut indexes = serde_json::Map::new();
    let hub = json!({ "Mirrors": given.mirrors, "Name": "docker.io", "Official": true, "Secure": true });
    indexes.insert("docker.io".into(), hub);
    for host in hosts {
        indexes.insert(host.clone(), json!({ "Mirrors": [], "Name": host, "Official": false, "Secure": false }));
    }
    json!({ "IndexConfigs": indexes, "InsecureRegistryCIDRs": trusted, "Mirrors": given.mirrors })
}

pub(super) async fn authenticate(mut call: Call) -> Answer {
    let config: AuthConfig = call.json().await?;
    let server = config.serveraddress.clone().unwrap_or_default();
    let host: Host = server_key(&server)?.1;
    let credentials = config.credentials().ok_or_else(|| Failure::bad_request("no credentials given"))?;
    let kept = call.engine.client.verify(&host, credentials).await?;
    let token = match &kept {
        Credentials::IdentityToken { token, .. } => token.expose(),
        Credentials::Password { .. } | Credentials::RegistryToken(_) => "",
    };
    ok(&json!({ "IdentityToken": token, "Status": "Login Succeeded" }))
}
