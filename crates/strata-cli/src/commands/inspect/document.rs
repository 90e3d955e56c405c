//! The documents of containers, networks and volumes as templates see them: members in docker's order, lists and maps that
//! are there though empty (`[]`, `map[]`), and pointers to nothing (`<nil>`).

use serde_json::Value as Json;
use strata_format::Value;
use strata_format::template::{List, Map, Struct};

/// Members whose names are the user's: Go has maps there, which print their keys in order.
const MAPS: &[&str] = &[
    "Annotations",
    "AuxiliaryAddresses",
    "Containers",
    "Data",
    "DriverOpts",
    "ExposedPorts",
    "Labels",
    "Networks",
    "Options",
    "PortBindings",
    "Ports",
    "Status",
    "StorageOpt",
    "Sysctls",
    "Tmpfs",
    "Volumes",
];
/// Lists that docker leaves `null` when nothing was given.
const LISTS: &[&str] = &[
    "Aliases",
    "Args",
    "Binds",
    "CapAdd",
    "CapDrop",
    "Cmd",
    "DNSNames",
    "DeviceCgroupRules",
    "DeviceRequests",
    "Devices",
    "Dns",
    "DnsOptions",
    "DnsSearch",
    "Entrypoint",
    "Env",
    "ExecIDs",
    "ExtraHosts",
    "GroupAdd",
    "Links",
    "MaskedPaths",
    "Mounts",
    "OnBuild",
    "ReadonlyPaths",
    "SecurityOpt",
    "SecondaryIPAddresses",
    "SecondaryIPv6Addresses",
    "Shell",
    "Ulimits",
    "VolumesFrom",
];
/// Maps with members of the user's names at other places than those of [`MAPS`]: a log driver's options.
const OPTIONS_OF_LOG: (&str, &str) = ("LogConfig", "Config");

/// The whole document.
pub(super) fn typed(document: &Json) -> Value {
    member("", "", document)
}

/// A member called `name` of something called `parent`.
fn member(parent: &str, name: &str, json: &Json) -> Value {
    let is_map = (MAPS.contains(&name) && name != parent) || (parent, name) == OPTIONS_OF_LOG;
    match json {
        Json::Null if is_map => Map::nil("string").into(),
        Json::Null if LISTS.contains(&name) || parent == "Ports" => List::nil("string").into(),
        Json::Null => Value::NilPointer("*string".into()),
        Json::Array(items) => List::new("string", items.iter().map(|item| member(name, "", item))).into(),
        // A map's members are not maps by their names.
        Json::Object(members) if is_map => {
            Map::new("string", members.iter().map(|(key, value)| (key.clone(), member(name, "", value)))).into()
        }
        Json::Object(members) => {
            let empty = Struct::new("struct").json(json.clone());
            members.iter().fold(empty, |all, (key, value)| all.field(key.clone(), member(name, key, value))).into()
        }
        other => Value::from(other.clone()),
    }
}

#[cfg(test)]
mod tests {
    use serde_json::json;
    use strata_format::template::Template;

    use super::*;

    #[test]
    fn as_docker_prints_it() {
        let document = json!({
            "Name": "/web",
            "HostConfig": {
                "Binds": null, "PidsLimit": null, "NetworkMode": "none", "Memory": 0,
                "LogConfig": { "Type": "json-file", "Config": {} },
                "PortBindings": { "80/tcp": [{ "HostIp": "", "HostPort": "8080" }] },
            },
            "Config": { "Labels": { "z": "1", "a": "2" }, "Env": ["A=1"], "Volumes": null },
            "NetworkSettings": { "Ports": { "80/tcp": null }, "Networks": { "none": { "IPAddress": "" } } },
        });
        for (template, expected) in [
            ("{{.Name}}", "/web"),
            ("{{.HostConfig.Binds}}", "[]"),
            ("{{.HostConfig.PidsLimit}}", "<nil>"),
            ("{{.Config.Volumes}}", "map[]"),
            ("{{.Config.Labels}}", "map[a:2 z:1]"),
            ("{{json .Config.Labels}}", r#"{"a":"2","z":"1"}"#),
            ("{{json .HostConfig.LogConfig}}", r#"{"Type":"json-file","Config":{}}"#),
            ("{{index .Config.Labels \"z\"}}", "1"),
            ("{{range $k, $v := .NetworkSettings.Networks}}{{$k}}={{$v.IPAddress}};{{end}}", "none=;"),
            ("{{(index (index .HostConfig.PortBindings \"80/tcp\") 0).HostPort}}", "8080"),
            ("{{range $p, $c := .NetworkSettings.Ports}}{{$p}} {{$c}}{{end}}", "80/tcp []"),
            ("{{json .NetworkSettings.Ports}}", r#"{"80/tcp":null}"#),
        ] {
            let printed = Template::parse(template).unwrap().execute_or_raw(&typed(&document), &document).unwrap();
            assert_eq!(printed, expected, "{template}");
        }
    }
}
