//! Whether real answers are what the OpenAPI document says: no field more, none less, each of its type.

use std::collections::BTreeMap;
use std::sync::LazyLock;

use reqwest::StatusCode;
use serde_json::{Value, json};

static DOCUMENT: LazyLock<Value> = LazyLock::new(|| serde_json::to_value(strata_hub_api::openapi_document()).unwrap());

/// Panics when an answer of an endpoint of the hub is not what its description says.
#[track_caller]
pub(crate) fn check(method: &str, path: &str, status: StatusCode, body: &[u8]) {
    let Some(operation) = operation(method, path) else { return };
    let code = status.as_u16().to_string();
    let responses = &operation["responses"];
    let response = [code.clone(), format!("{}XX", &code[..1])].into_iter().find_map(|code| responses.get(&code));
    let Some(response) = response else {
        assert!(status.is_server_error(), "{method} {path}: {status} is not described");
        return;
    };
    let found = match response.pointer("/content/application~1json/schema") {
        Some(schema) => match serde_json::from_slice(body) {
            Ok(document) => conforms(schema, &document),
            Err(cause) => Err(format!("no document: {cause}")),
        },
        None if body.is_empty() => Ok(()),
        None => Err("a document that is not described".into()),
    };
    // A refused login may also answer what is answered everywhere.
    let refused = || responses["4XX"].pointer("/content/application~1json/schema").cloned();
    let found = match (found, code.as_str(), refused()) {
        (Err(_), "401", Some(schema)) => conforms(&schema, &serde_json::from_slice(body).unwrap()),
        (found, _, _) => found,
    };
    if let Err(why) = found {
        panic!("{method} {path}: {status}: {why}\n{}", String::from_utf8_lossy(body));
    }
}

/// The description of what answers: of the paths that fit, the one with the fewest placeholders.
fn operation(method: &str, path: &str) -> Option<&'static Value> {
    let path = path.split('?').next().unwrap_or_default().trim_end_matches('/');
    let parts: Vec<_> = path.split('/').collect();
    let fits = |described: &str| {
        let described: Vec<_> = described.split('/').collect();
        let is_rest = described.last() == Some(&"{repository}");
        let is_long_enough = described.len() == parts.len() || is_rest && described.len() <= parts.len();
        is_long_enough && described.iter().zip(&parts).all(|(named, part)| named.starts_with('{') || named == part)
    };
    let paths = DOCUMENT["paths"].as_object().unwrap();
    let fitting = paths.iter().filter(|(described, _)| fits(described));
    let (_, methods) = fitting.min_by_key(|(described, _)| described.matches('{').count())?;
    methods.get(method.to_lowercase())
}

fn conforms(schema: &Value, value: &Value) -> Result<(), String> {
    let schema = resolved(schema);
    if let Some(choices) = schema.get("oneOf").and_then(Value::as_array) {
        let reasons: Vec<_> = choices.iter().map(|choice| conforms(choice, value)).collect();
        return match reasons.iter().any(Result::is_ok) {
            true => Ok(()),
            false => Err(format!("none of {reasons:?}")),
        };
    }
    if schema.get("allOf").is_some() || schema.get("properties").is_some() {
        return has_properties(schema, value);
    }
    if !has_type(schema, value) {
        return Err(format!("{value} is not {}", schema["type"]));
    }
    match value {
        Value::Array(entries) => entries.iter().try_for_each(|entry| conforms(&schema["items"], entry)),
        Value::Object(entries) => match schema.get("additionalProperties") {
            Some(inner) => entries.values().try_for_each(|entry| conforms(inner, entry)),
            None if schema.get("type").is_none() => Ok(()),
            None => Err(format!("{value} has properties that are not described")),
        },
        _ => Ok(()),
    }
}

fn has_type(schema: &Value, value: &Value) -> bool {
    let name = match value {
        Value::Null => "null",
        Value::Bool(_) => "boolean",
        Value::Number(_) => "integer",
        Value::String(_) => "string",
        Value::Array(_) => "array",
        Value::Object(_) => "object",
    };
    match &schema["type"] {
        Value::Null => true,
        Value::Array(names) => names.contains(&json!(name)),
        known => known == name,
    }
}

/// What a reference refers to.
fn resolved(schema: &Value) -> &Value {
    match schema["$ref"].as_str() {
        Some(reference) => DOCUMENT.pointer(&reference[1..]).unwrap(),
        None => schema,
    }
}

/// Whether an object has exactly the properties of a schema, but for those that may be left out.
fn has_properties(schema: &Value, value: &Value) -> Result<(), String> {
    let Value::Object(entries) = value else { return Err(format!("{value} is no object")) };
    let (mut known, mut required) = (BTreeMap::new(), Vec::new());
    collect(schema, &mut known, &mut required);
    if let Some(name) = required.iter().find(|name| !entries.contains_key(**name)) {
        return Err(format!("{name} is missing"));
    }
    for (name, entry) in entries {
        let schema = known.get(name.as_str()).ok_or_else(|| format!("{name} is not described"))?;
        conforms(schema, entry).map_err(|why| format!("{name}: {why}"))?;
    }
    Ok(())
}

/// Adds the properties of an object, and which must be there; of all that it is made of.
fn collect<'a>(schema: &'a Value, known: &mut BTreeMap<&'a str, &'a Value>, required: &mut Vec<&'a str>) {
    let schema = resolved(schema);
    for part in schema["allOf"].as_array().into_iter().flatten() {
        collect(part, known, required);
    }
    for (name, property) in schema["properties"].as_object().into_iter().flatten() {
        known.insert(name, property);
    }
    required.extend(schema["required"].as_array().into_iter().flatten().filter_map(Value::as_str));
}
