//! `logs`: what a container wrote.

use std::path::Path;

use strata_runtime::{LogQuery, LogReader};
use strata_store::Store;

use super::document::{ContainerDocument, LogConfig};
use super::{container_directory, find_container};
use crate::{EngineError, Result};

/// The log of a container.
pub struct ContainerLog {
    /// Its lines; they come as they are written when that was asked for.
    pub lines: LogReader,
    /// The labels and variables that its log options name, as docker shows them with `--details`: `key=value,…`.
    pub details: String,
}

/// Opens the log of a container, whether it runs or not.
///
/// # Errors
/// `NotFound`; `Refused` when its output is not kept.
pub async fn container_logs(store: &Store, root: &Path, text: &str, query: LogQuery) -> Result<ContainerLog> {
    let row = find_container(&*store.read().await?, text).await?;
    let document = ContainerDocument::parse(&row)?;
    if document.host_config.log_config.kind == "none" {
        return Err(EngineError::Refused { message: "configured logging driver does not support reading".into() });
    }
    let lines = strata_runtime::logs(&container_directory(root, &row.id), query)?;
    Ok(ContainerLog { lines, details: details(&document) })
}

/// Options of the drivers `json-file` and `local`.
const OPTIONS: &[&str] = &["max-file", "max-size", "compress", "labels", "labels-regex", "env", "env-regex", "tag"];

/// Refuses drivers and options that do not exist.
///
/// # Errors
/// `Invalid`.
pub(super) fn check(log: &LogConfig) -> Result<()> {
    let driver = &log.kind;
    match driver.as_str() {
        "none" => Ok(()),
        "json-file" | "local" => match log.config.keys().find(|option| !OPTIONS.contains(&option.as_str())) {
            Some(option) => Err(EngineError::invalid(format!("unknown log opt '{option}' for {driver} log driver"))),
            None => Ok(()),
        },
        _ => {
            Err(EngineError::invalid(format!("error looking up logging plugin {driver}: plugin {driver:?} not found")))
        }
    }
}

fn details(document: &ContainerDocument) -> String {
    let options = &document.host_config.log_config.config;
    let named = |option: &str| options.get(option).cloned().unwrap_or_default();
    let is_named = |names: &str, name: &str| names.split(',').any(|other| other.trim() == name);
    let (label_names, variable_names) = (named("labels"), named("env"));
    let labels = document.config.labels.iter().flatten().map(|(key, value)| (key.as_str(), value.as_str()));
    let variables = document.config.env.iter().flatten().filter_map(|variable| variable.split_once('='));
    let mut pairs: Vec<String> = labels
        .filter(|(key, _)| is_named(&label_names, key))
        .chain(variables.filter(|(key, _)| is_named(&variable_names, key)))
        .map(|(key, value)| format!("{}={}", query_escaped(key), query_escaped(value)))
        .collect();
    pairs.sort_unstable();
    pairs.join(",")
}

/// Go's `url.QueryEscape`.
fn query_escaped(text: &str) -> String {
    let escaped = |byte: u8| match byte {
        b'a'..=b'z' | b'A'..=b'Z' | b'0'..=b'9' | b'-' | b'_' | b'.' | b'~' => char::from(byte).to_string(),
        b' ' => "+".to_owned(),
        other => format!("%{other:02X}"),
    };
    text.bytes().map(escaped).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn details_are_what_the_options_name() {
        let mut document = ContainerDocument::default();
        let pairs = [("labels", "a,b"), ("env", "E")].map(|(key, value)| (key.to_owned(), value.to_owned()));
        document.host_config.log_config.config = pairs.into();
        let labels = [("a", "1"), ("b", "x y/ü"), ("c", "3")].map(|(key, value)| (key.to_owned(), value.to_owned()));
        document.config.labels = Some(labels.into());
        document.config.env = Some(vec!["PATH=/bin".into(), "E=2".into()]);
        assert_eq!(details(&document), "E=2,a=1,b=x+y%2F%C3%BC");
        assert_eq!(details(&ContainerDocument::default()), "");
    }
}
