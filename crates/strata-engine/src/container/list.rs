//! `ps`: which containers there are, and what they do.

use std::collections::HashSet;
use std::path::Path;

use strata_format::glob;
use strata_network::BoundPort;
use strata_runtime::{ContainerState, ContainerStatus, HealthStatus, state};
use strata_store::{ContainerPhase, ContainerRow, ReadTxn, Store};

use super::document::ContainerDocument;
use super::tree::directory_usage;
use super::{container_directory, find_container};
use crate::label_filter::Labels;
use crate::lookup::find_image_in;
use crate::{EngineError, Result, load_documents};

/// A container.
#[derive(Clone, Debug)]
pub struct ContainerSummary {
    /// Its row.
    pub row: ContainerRow,
    /// Its settings.
    pub document: ContainerDocument,
    /// What it does.
    pub state: ContainerState,
    /// Its image as `ps` names it: as the user did, or its ID when that name means something else by now.
    pub image: String,
    /// The ports of this machine that lead to it.
    pub ports: Vec<BoundPort>,
}

/// Sizes of a container in bytes.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct ContainerSize {
    /// What it wrote.
    pub writable: u64,
    /// That and its image.
    pub total: u64,
}

impl ContainerSummary {
    /// The word for what it does, as `--filter status` has it.
    pub fn status(&self) -> &'static str {
        match (self.row.phase, self.state.status) {
            (ContainerPhase::Removing, _) => "removing",
            (_, ContainerStatus::Created) => "created",
            (_, ContainerStatus::Running) => "running",
            (_, ContainerStatus::Paused) => "paused",
            (_, ContainerStatus::Restarting) => "restarting",
            (_, ContainerStatus::Exited) => "exited",
            (_, ContainerStatus::Dead) => "dead",
        }
    }

    /// Whether it has a process.
    pub fn is_running(&self) -> bool {
        matches!(self.status(), "running" | "paused" | "restarting")
    }

    /// What its health check says; `none` when it has none.
    pub fn health(&self) -> &'static str {
        match self.state.health.as_ref().map(|health| health.status) {
            None => "none",
            Some(HealthStatus::Starting) => "starting",
            Some(HealthStatus::Healthy) => "healthy",
            Some(HealthStatus::Unhealthy) => "unhealthy",
        }
    }

    /// Measures it.
    ///
    /// # Errors
    /// When its files or its image cannot be read.
    pub async fn size(&self, store: &Store, root: &Path) -> Result<ContainerSize> {
        let writable = container_size(root, &self.row.id)?;
        let txn = store.read().await?;
        let image = match txn.image(&self.row.image).await? {
            Some(image) => image.size,
            None => 0,
        };
        Ok(ContainerSize { writable, total: writable + image })
    }
}

/// Bytes that a container wrote.
///
/// # Errors
/// When its files cannot be read.
pub fn container_size(root: &Path, id: &str) -> Result<u64> {
    directory_usage(&container_directory(root, id).join("upper"))
}

/// Which containers are meant.
#[derive(Clone, Debug, Default)]
pub struct ContainerFilter {
    given: Vec<(String, String)>,
}

impl ContainerFilter {
    /// Checks filters.
    ///
    /// # Errors
    /// `Invalid` in docker's words for unknown keys and bad values.
    pub fn parse(given: Vec<(String, String)>) -> Result<ContainerFilter> {
        const KEYS: &[&str] = &[
            "ancestor",
            "before",
            "exited",
            "expose",
            "health",
            "id",
            "is-task",
            "isolation",
            "label",
            "name",
            "network",
            "publish",
            "since",
            "status",
            "volume",
        ];
        const STATUSES: &[&str] = &["created", "running", "paused", "restarting", "removing", "exited", "dead"];
        for (key, value) in &given {
            let is_known = KEYS.contains(&key.as_str());
            let is_bad = || EngineError::invalid(format!("invalid filter '{key}=[{value}]'"));
            match key.as_str() {
                _ if !is_known => return Err(EngineError::invalid(format!("invalid filter '{key}'"))),
                "status" if !STATUSES.contains(&value.as_str()) => {
                    return Err(EngineError::invalid(format!(
                        "invalid value for state ({value}): must be one of {}",
                        STATUSES.join(", ")
                    )));
                }
                "exited" => drop(value.parse::<i32>().map_err(|_| is_bad())?),
                "health" if !matches!(value.as_str(), "none" | "starting" | "healthy" | "unhealthy") => {
                    return Err(EngineError::invalid(format!(
                        "invalid value for health ({value}): must be one of none, starting, healthy, unhealthy"
                    )));
                }
                _ => {}
            }
        }
        Ok(ContainerFilter { given })
    }

    fn values(&self, key: &str) -> impl Iterator<Item = &str> {
        self.given.iter().filter(move |(given, _)| given == key).map(|(_, value)| value.as_str())
    }

    /// Whether containers that do not run are asked for by name of their state.
    pub fn asks_for_all(&self) -> bool {
        self.given.iter().any(|(key, _)| matches!(key.as_str(), "status" | "exited"))
    }
}

/// What of a filter needs the catalog.
struct Resolved<'a> {
    filter: &'a ContainerFilter,
    labels: Labels,
    before: Option<i64>,
    since: Option<i64>,
    ancestors: HashSet<String>,
}

impl<'a> Resolved<'a> {
    async fn resolve(txn: &dyn ReadTxn, filter: &'a ContainerFilter) -> Result<Resolved<'a>> {
        let mut labels = Labels::default();
        filter.values("label").for_each(|text| labels.push(text, true));
        let (mut before, mut since) = (None, None);
        for text in filter.values("before") {
            before = Some(find_container(txn, text).await?.created);
        }
        for text in filter.values("since") {
            since = Some(find_container(txn, text).await?.created);
        }
        let mut ancestors = HashSet::new();
        for text in filter.values("ancestor") {
            ancestors.extend(descendants(txn, text).await?);
        }
        Ok(Resolved { filter, labels, before, since, ancestors })
    }

    fn accepts(&self, summary: &ContainerSummary) -> bool {
        let any = |key: &'static str, fits: &dyn Fn(&str) -> bool| {
            self.filter.values(key).next().is_none() || self.filter.values(key).any(fits)
        };
        let (row, document) = (&summary.row, &summary.document);
        let host = &document.host_config;
        let mounts = |text: &str| {
            document.mounts.iter().any(|point| point.name == text || point.source == text || point.destination == text)
        };
        let exposes = |text: &str| document.config.exposed_ports.iter().flatten().any(|(port, _)| is_port(port, text));
        let publishes = |text: &str| host.port_bindings.iter().flatten().any(|(port, _)| is_port(port, text));
        let name_fits = |text: &str| {
            let text = text.trim_start_matches('/');
            row.name.contains(text) || glob::matches(text, &row.name).unwrap_or(false) || is_anchored(text, &row.name)
        };
        any("id", &|text| row.id.starts_with(text))
            && any("name", &name_fits)
            && any("status", &|text| text == summary.status())
            && any("health", &|text| text == summary.health())
            && any("exited", &|text| summary.status() == "exited" && text.parse() == Ok(summary.state.exit_code))
            && any("volume", &mounts)
            && any("network", &|text| host.network_mode == text || document.networks.contains_key(text))
            && any("expose", &exposes)
            && any("publish", &publishes)
            && any("is-task", &|text| matches!(text, "false" | "0"))
            && any("ancestor", &|_| self.ancestors.contains(&row.image.to_string()))
            && self.labels.accept(document.config.labels.as_ref().unwrap_or(&Default::default()))
            && self.before.is_none_or(|before| row.created < before)
            && self.since.is_none_or(|since| row.created > since)
    }
}

/// Docker's names are regular expressions; the anchors are what is used of them.
fn is_anchored(pattern: &str, name: &str) -> bool {
    let pattern = pattern.strip_prefix("^/").or_else(|| pattern.strip_prefix('^')).unwrap_or(pattern);
    match pattern.strip_suffix('$') {
        Some(exact) => exact == name,
        None => name.starts_with(pattern),
    }
}

/// Whether a port like `80/tcp` is what a filter says: `80`, `80/tcp` or `80-90`.
fn is_port(port: &str, wanted: &str) -> bool {
    let (wanted, protocol) = wanted.split_once('/').unwrap_or((wanted, "tcp"));
    let (number, own_protocol) = port.split_once('/').unwrap_or((port, "tcp"));
    let (first, last) = wanted.split_once('-').unwrap_or((wanted, wanted));
    let numbers = (number.parse::<u16>(), first.parse::<u16>(), last.parse::<u16>());
    protocol == own_protocol && matches!(numbers, (Ok(n), Ok(first), Ok(last)) if (first..=last).contains(&n))
}

/// The IDs of an image and of those that have all its layers below theirs.
async fn descendants(txn: &dyn ReadTxn, text: &str) -> Result<Vec<String>> {
    let Ok(found) = find_image_in(txn, text, None).await else { return Ok(Vec::new()) };
    let layers = load_documents(txn, &found.row).await?.config.value().rootfs.diff_ids.clone();
    let mut ids = vec![found.row.id.to_string()];
    for image in txn.images().await? {
        let others = load_documents(txn, &image).await?.config.value().rootfs.diff_ids.clone();
        if !layers.is_empty() && others.starts_with(&layers) {
            ids.push(image.id.to_string());
        }
    }
    Ok(ids)
}

/// Lists the containers that a filter lets through, the newest first.
///
/// # Errors
/// When the catalog or a container's state cannot be read.
pub async fn list_containers(store: &Store, root: &Path, filter: &ContainerFilter) -> Result<Vec<ContainerSummary>> {
    let txn = store.read().await?;
    let resolved = Resolved::resolve(&*txn, filter).await?;
    let mut found = Vec::new();
    for row in txn.containers().await? {
        let document = ContainerDocument::parse(&row)?;
        let state = state(&container_directory(root, &row.id))?;
        let image = shown_image(&*txn, &row, &document).await?;
        let ports = match state.pid {
            0 => Vec::new(),
            _ => strata_network::state(&container_directory(root, &row.id))?.unwrap_or_default().ports,
        };
        let summary = ContainerSummary { row, document, state, image, ports };
        if resolved.accepts(&summary) {
            found.push(summary);
        }
    }
    Ok(found)
}

async fn shown_image(txn: &dyn ReadTxn, row: &ContainerRow, document: &ContainerDocument) -> Result<String> {
    let given = &document.config.image;
    let platform = document.image_platform.parse().ok();
    let still_means_it =
        find_image_in(txn, given, platform.as_ref()).await.is_ok_and(|found| found.row.id == row.image);
    Ok(if still_means_it { given.clone() } else { row.image.0.short() })
}

/// The IDs of the containers that have a process.
///
/// # Errors
/// When the catalog or a container's state cannot be read.
pub async fn running_containers(store: &Store, root: &Path) -> Result<Vec<String>> {
    let mut running = Vec::new();
    for row in store.read().await?.containers().await? {
        let status = state(&container_directory(root, &row.id))?.status;
        if matches!(status, ContainerStatus::Running | ContainerStatus::Paused | ContainerStatus::Restarting) {
            running.push(row.id);
        }
    }
    Ok(running)
}
