//! The document of `inspect` as templates see it: structures with Go's names and types.
//!
//! What they cannot answer (`.Id` for `.ID`) the caller asks of the raw document.

use jiff::Timestamp;
use jiff::tz::TimeZone;
use serde_json::{Map as Object, Value as Json};
use strata_format::template::{List, Map, Struct};
use strata_format::{Value, timestamp};

/// Go's field names where they differ from those of the document.
const ID: (&str, &str) = ("ID", "Id");
const TEXTS: &[&str] = &["Parent", "Comment", "Created", "DockerVersion", "Author"];
/// Members of `Config` in the order in which Go marshals them; those that are empty are left out.
const CONFIG_ORDER: &[&str] = &[
    "User",
    "ExposedPorts",
    "Env",
    "Entrypoint",
    "Cmd",
    "Volumes",
    "WorkingDir",
    "Labels",
    "StopSignal",
    "ArgsEscaped",
    "Healthcheck",
    "OnBuild",
    "Shell",
];

/// The whole document.
pub(super) fn image(document: &Json) -> Value {
    let get = |name: &str| document.get(name).unwrap_or(&Json::Null);
    let mut image = Struct::new("image.InspectResponse").field(ID.0, text(get(ID.1)));
    for name in ["RepoTags", "RepoDigests"] {
        image = image.field(name, strings(get(name)));
    }
    for name in TEXTS {
        image = image.field(*name, text(get(name)));
    }
    image = image.field("Config", config(get("Config")));
    for name in ["Architecture", "Variant", "Os", "OsVersion"] {
        image = image.field(name, text(get(name)));
    }
    image
        .field("Size", Value::Int(get("Size").as_i64().unwrap_or(0).into()))
        .field("GraphDriver", graph_driver(get("GraphDriver")))
        .field("RootFS", root_fs(get("RootFS")))
        .field("Metadata", metadata(get("Metadata")))
        .field("Descriptor", Value::NilPointer("*v1.Descriptor".into()))
        .json(document.clone())
        .into()
}

fn config(json: &Json) -> Value {
    let Some(members) = json.as_object() else {
        return Value::NilPointer("*v1.DockerOCIImageConfig".into());
    };
    let get = |name: &str| members.get(name).unwrap_or(&Json::Null);
    Struct::new("*v1.DockerOCIImageConfig")
        .field("User", text(get("User")))
        .field("ExposedPorts", set(get("ExposedPorts")))
        .field("Env", strings(get("Env")))
        .field("Entrypoint", strings(get("Entrypoint")))
        .field("Cmd", strings(get("Cmd")))
        .field("Volumes", set(get("Volumes")))
        .field("WorkingDir", text(get("WorkingDir")))
        .field("Labels", labels(get("Labels")))
        .field("StopSignal", text(get("StopSignal")))
        .field("ArgsEscaped", get("ArgsEscaped").as_bool().unwrap_or(false))
        .field("Healthcheck", healthcheck(get("Healthcheck")))
        .field("OnBuild", strings(get("OnBuild")))
        .field("Shell", strings(get("Shell")))
        .json(config_json(members))
        .into()
}

fn config_json(members: &Object<String, Json>) -> Json {
    let is_set = |value: &&Json| match value {
        Json::Null | Json::Bool(false) => false,
        Json::String(text) => !text.is_empty(),
        Json::Array(items) => !items.is_empty(),
        Json::Object(fields) => !fields.is_empty(),
        _ => true,
    };
    let ordered = CONFIG_ORDER.iter().filter_map(|name| {
        let value = members.get(*name).filter(is_set)?;
        Some(((*name).to_owned(), value.clone()))
    });
    Json::Object(ordered.collect())
}

fn healthcheck(json: &Json) -> Value {
    let Some(members) = json.as_object() else {
        return Value::NilPointer("*v1.HealthcheckConfig".into());
    };
    let get = |name: &str| members.get(name).unwrap_or(&Json::Null);
    let mut check = Struct::new("*v1.HealthcheckConfig").field("Test", strings(get("Test")));
    for name in ["Interval", "Timeout", "StartPeriod", "StartInterval"] {
        let nanoseconds = get(name).as_i64().unwrap_or(0);
        let duration = Struct::new("time.Duration")
            .display(strata_format::duration::to_go_string(nanoseconds))
            .json(nanoseconds.into());
        check = check.field(name, duration);
    }
    check.field("Retries", get("Retries").as_i64().unwrap_or(0)).json(json.clone()).into()
}

fn graph_driver(json: &Json) -> Value {
    let data = match json.get("Data").and_then(Json::as_object) {
        Some(members) => string_map(members),
        None => Map::nil("string"),
    };
    Struct::new("storage.DriverData")
        .field("Data", data)
        .field("Name", text(json.get("Name").unwrap_or(&Json::Null)))
        .json(json.clone())
        .into()
}

fn root_fs(json: &Json) -> Value {
    Struct::new("image.RootFS")
        .field("Type", text(json.get("Type").unwrap_or(&Json::Null)))
        .field("Layers", strings(json.get("Layers").unwrap_or(&Json::Null)))
        .json(json.clone())
        .into()
}

fn metadata(json: &Json) -> Value {
    let written = json.get("LastTagTime").cloned().unwrap_or(Json::Null);
    let shown = match written.as_str().and_then(|text| text.parse::<Timestamp>().ok()) {
        Some(time) => timestamp::to_go_string(time, &TimeZone::UTC),
        None => "0001-01-01 00:00:00 +0000 UTC".to_owned(),
    };
    let time = Struct::new("time.Time").display(shown).json(written);
    Struct::new("image.Metadata").field("LastTagTime", time).json(json.clone()).into()
}

fn text(json: &Json) -> Value {
    Value::from(json.as_str().unwrap_or_default())
}

fn strings(json: &Json) -> Value {
    match json.as_array() {
        Some(items) => List::strings(items.iter().filter_map(Json::as_str)).into(),
        None => List::nil("string").into(),
    }
}

fn labels(json: &Json) -> Value {
    match json.as_object() {
        Some(members) => string_map(members).into(),
        None => Map::nil("string").into(),
    }
}

fn string_map(members: &Object<String, Json>) -> Map {
    Map::strings(members.iter().map(|(key, value)| (key.clone(), value.as_str().unwrap_or_default())))
}

fn set(json: &Json) -> Value {
    match json.as_object() {
        Some(members) => {
            Map::new("struct {}", members.keys().map(|key| (key.clone(), Struct::new("struct {}").into()))).into()
        }
        None => Map::nil("struct {}").into(),
    }
}
