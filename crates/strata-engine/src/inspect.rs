//! `inspect`: everything about one image, as docker's API shows it (28.5, API 1.51).

use serde_json::{Map, Value, json};
use strata_format::go_json::{Escape, to_string};
use strata_model::{ChainId, ImageConfig, Platform};
use strata_store::{ImageRow, ReadTxn, Store};

use crate::{Result, list, load_documents};

/// What is known of an image.
#[derive(Clone, Debug)]
pub struct InspectedImage {
    /// The image.
    pub row: ImageRow,
    /// Docker's document: its fields in its order, `Config` last with sorted keys.
    pub json: Value,
    /// The container that it was made of, and its settings, which docker's API showed before 1.45.
    pub container: (Option<String>, Option<Value>),
}

/// Inspects a local image.
///
/// # Errors
/// `NoSuchImage`; when its documents are damaged.
pub async fn inspect(store: &Store, text: &str, platform: Option<&Platform>) -> Result<InspectedImage> {
    let txn = store.read().await?;
    let row = crate::lookup::find_image_in(&*txn, text, platform).await?.row;
    let (json, raw) = document(&*txn, &row).await?;
    let container = raw.get("container").and_then(|id| Some(id.as_str()?.to_owned()));
    Ok(InspectedImage { row, json, container: (container, raw.get("container_config").cloned()) })
}

/// The document of an image as docker's daemon sends it: only what it marshals twice has its `<`, `>` and `&` escaped.
pub fn image_text(document: &Value) -> String {
    let Some(fields) = document.as_object() else { return to_string(document, Escape::Html) };
    let members: Vec<String> = fields
        .iter()
        .map(|(key, value)| {
            let escape = if key == "Config" { Escape::Html } else { Escape::Minimal };
            format!("{}:{}", to_string(&Value::from(key.as_str()), Escape::Minimal), to_string(value, escape))
        })
        .collect();
    format!("{{{}}}", members.join(","))
}

async fn document(txn: &dyn ReadTxn, row: &ImageRow) -> Result<(Value, Value)> {
    let documents = load_documents(txn, row).await?;
    let config = documents.config.value();
    let raw: Value = serde_json::from_slice(documents.config.bytes()).unwrap_or(Value::Null);
    let names = txn.names_of_image(&row.id).await?;
    let digests = txn.digest_names_of_image(&row.id).await?;
    let mut tags: Vec<String> = names.iter().filter_map(list::name_reference).map(|r| r.familiar()).collect();
    let mut repo_digests: Vec<String> =
        digests.iter().filter_map(list::digest_reference).map(|r| r.familiar()).collect();
    tags.sort();
    repo_digests.sort();
    let mut fields = Map::new();
    fields.insert("Id".into(), json!(row.id));
    fields.insert("RepoTags".into(), json!(tags));
    fields.insert("RepoDigests".into(), json!(repo_digests));
    fields.insert("Parent".into(), json!(config.parent));
    fields.insert("Comment".into(), json!(comment(config)));
    fields.insert("Created".into(), json!(go_time(config.created.as_deref())));
    fields.insert("DockerVersion".into(), json!(config.docker_version));
    fields.insert("Author".into(), json!(config.author));
    fields.insert("Architecture".into(), json!(config.architecture));
    if let Some(variant) = config.variant.as_deref().filter(|variant| !variant.is_empty()) {
        fields.insert("Variant".into(), json!(variant));
    }
    fields.insert("Os".into(), json!(config.os));
    if let Some(version) = config.os_version.as_deref().filter(|version| !version.is_empty()) {
        fields.insert("OsVersion".into(), json!(version));
    }
    fields.insert("Size".into(), json!(row.size));
    fields.insert("GraphDriver".into(), graph_driver(config));
    fields.insert("RootFS".into(), root_fs(config));
    fields.insert("Metadata".into(), json!({ "LastTagTime": nanosecond_time(row.tagged) }));
    fields.insert("Config".into(), container_config(raw.get("config")));
    Ok((Value::Object(fields), raw))
}

/// The comment of the configuration, else of its newest step, as docker does.
fn comment(config: &ImageConfig) -> String {
    if !config.comment.is_empty() {
        return config.comment.clone();
    }
    config.history.last().map(|step| step.comment.clone()).unwrap_or_default()
}

fn graph_driver(config: &ImageConfig) -> Value {
    let chain = ChainId::of(&config.rootfs.diff_ids).map(|chain| json!({ "ChainId": chain }));
    json!({ "Data": chain, "Name": "strata" })
}

fn root_fs(config: &ImageConfig) -> Value {
    let mut fields = Map::new();
    fields.insert("Type".into(), json!("layers"));
    if !config.rootfs.diff_ids.is_empty() {
        fields.insert("Layers".into(), json!(config.rootfs.diff_ids));
    }
    Value::Object(fields)
}

/// The container part of the configuration as docker's API marshals it: keys sorted, those of the core always present.
fn container_config(raw: Option<&Value>) -> Value {
    const NULL_WHEN_UNSET: &[&str] = &["Cmd", "Entrypoint", "Env", "Labels", "OnBuild", "Volumes"];
    const EMPTY_WHEN_UNSET: &[&str] = &["User", "WorkingDir"];
    const WHEN_SET: &[&str] = &["ArgsEscaped", "ExposedPorts", "Healthcheck", "Shell", "StopSignal"];
    let empty = Map::new();
    let raw = raw.and_then(Value::as_object).unwrap_or(&empty);
    let mut fields = std::collections::BTreeMap::new();
    for key in NULL_WHEN_UNSET {
        fields.insert(*key, raw.get(*key).cloned().unwrap_or(Value::Null));
    }
    for key in EMPTY_WHEN_UNSET {
        fields.insert(*key, raw.get(*key).cloned().unwrap_or_else(|| json!("")));
    }
    for key in WHEN_SET {
        if let Some(value) = raw.get(*key).filter(|value| !is_zero(value)) {
            fields.insert(key, value.clone());
        }
    }
    for key in ["Cmd", "Entrypoint"] {
        if let Some(Value::String(word)) = fields.get(key) {
            let words = json!([word]);
            fields.insert(key, words);
        }
    }
    let mut object = Map::new();
    for (key, value) in fields {
        object.insert(key.to_owned(), sorted(value));
    }
    Value::Object(object)
}

fn is_zero(value: &Value) -> bool {
    match value {
        Value::Null | Value::Bool(false) => true,
        Value::String(text) => text.is_empty(),
        Value::Array(items) => items.is_empty(),
        Value::Object(fields) => fields.is_empty(),
        _ => false,
    }
}

/// Maps print with sorted keys in Go.
fn sorted(value: Value) -> Value {
    match value {
        Value::Object(fields) => {
            let ordered: std::collections::BTreeMap<String, Value> =
                fields.into_iter().map(|(key, value)| (key, sorted(value))).collect();
            Value::Object(ordered.into_iter().collect())
        }
        other => other,
    }
}

/// A time as Go prints it in JSON: the configuration's own text where it is one, else the zero time.
fn go_time(text: Option<&str>) -> String {
    match text.and_then(|text| text.parse::<jiff::Timestamp>().ok()) {
        Some(timestamp) => strata_format::timestamp::to_rfc3339(timestamp),
        None => "0001-01-01T00:00:00Z".into(),
    }
}

pub(crate) fn nanosecond_time(time: i64) -> String {
    match jiff::Timestamp::from_nanosecond(i128::from(time)) {
        Ok(timestamp) if time != 0 => strata_format::timestamp::to_rfc3339(timestamp),
        _ => "0001-01-01T00:00:00Z".into(),
    }
}
