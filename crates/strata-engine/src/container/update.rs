//! `update`: limits and restart policy of a container, whether it runs or not.
//!
//! What runs is changed first, then the documents that its supervisor reads at the next start, then the row: what was cut
//! off in between has limits that `inspect` does not show yet, and the next start has those of the row.

use std::path::Path;

use oci_spec::runtime::LinuxResources;
use strata_runtime::{ContainerStatus, Control, Update, cgroup::Limits, state};
use strata_store::{ContainerRow, Store};

use super::document::{ContainerDocument, HostConfig};
use super::find::find_ready;
use super::start::{restart_policy, to_json, write};
use super::{container_directory, container_event, limits, spec};
use crate::blocking::blocking;
use crate::{EngineError, Result};

/// Changes limits and policy: those that `change` has, zero and empty being no change. Returns what this machine cannot limit.
///
/// # Errors
/// `NotFound`; `Invalid` for limits that make no sense together with those that the container has.
pub async fn update_container(store: &Store, root: &Path, text: &str, change: &HostConfig) -> Result<Vec<String>> {
    limits::check(change)?;
    if !change.restart_policy.name.is_empty() {
        limits::check_restart_policy(&change.restart_policy)?;
    }
    let row = find_ready(&*store.read().await?, text).await?;
    let mut document = ContainerDocument::parse(&row)?;
    let cannot = |message: &str| EngineError::invalid(format!("Cannot update container {}: {message}", row.id));
    apply(&mut document.host_config, change).map_err(|message| cannot(&message))?;
    let directory = container_directory(root, &row.id);
    let status = state(&directory)?.status;
    let mut warnings = Vec::new();
    if matches!(status, ContainerStatus::Running | ContainerStatus::Paused | ContainerStatus::Restarting) {
        let update = running_update(&document.host_config, change)?;
        let asked = directory.clone();
        let told = blocking(move || Control::connect(&asked)?.update(update)).await?;
        let told = told.map_err(|error| cannot(&error.to_string()))?;
        warnings.extend(told.iter().map(ToString::to_string));
        rewrite(&directory, &document.host_config)?;
    }
    let mut txn = store.write("updating a container").await?;
    // It may have got a network meanwhile, or other limits.
    let row = find_ready(&*txn, &row.id).await?;
    let mut document = ContainerDocument::parse(&row)?;
    apply(&mut document.host_config, change).map_err(|message| cannot(&message))?;
    txn.update_container(&ContainerRow { document: document.to_text(), ..row.clone() }).await?;
    txn.insert_event(&container_event(store.now(), "update", &row)).await?;
    txn.commit().await?;
    Ok(warnings)
}

/// Puts a change into the settings.
fn apply(host: &mut HostConfig, change: &HostConfig) -> Result<(), String> {
    let conflict = |new: &str, old: &str| {
        Err(format!("Conflicting options: {new} cannot be updated as {old} has already been set"))
    };
    if change.nano_cpus > 0 && host.cpu_period > 0 {
        return conflict("Nano CPUs", "CPU Period");
    }
    if change.nano_cpus > 0 && host.cpu_quota > 0 {
        return conflict("Nano CPUs", "CPU Quota");
    }
    if change.cpu_period > 0 && host.nano_cpus > 0 {
        return conflict("CPU Period", "NanoCPUs");
    }
    if change.cpu_quota > 0 && host.nano_cpus > 0 {
        return conflict("CPU Quota", "NanoCPUs");
    }
    if change.memory > 0 && change.memory > host.memory_swap && host.memory_swap >= 0 && change.memory_swap == 0 {
        return Err("Memory limit should be smaller than already set memoryswap limit, update the memoryswap at the \
                    same time"
            .into());
    }
    let policy = &change.restart_policy;
    if host.auto_remove && !matches!(policy.name.as_str(), "" | "no") {
        return Err("Restart policy cannot be updated because AutoRemove is enabled for the container".into());
    }
    let set = |field: &mut i64, new: i64| {
        if new != 0 {
            *field = new;
        }
    };
    set(&mut host.memory, change.memory);
    set(&mut host.memory_swap, change.memory_swap);
    set(&mut host.memory_reservation, change.memory_reservation);
    set(&mut host.cpu_shares, change.cpu_shares);
    set(&mut host.nano_cpus, change.nano_cpus);
    set(&mut host.cpu_period, change.cpu_period);
    set(&mut host.cpu_quota, change.cpu_quota);
    for (field, new) in [(&mut host.cpuset_cpus, &change.cpuset_cpus), (&mut host.cpuset_mems, &change.cpuset_mems)] {
        if !new.is_empty() {
            field.clone_from(new);
        }
    }
    if change.blkio_weight != 0 {
        host.blkio_weight = change.blkio_weight;
    }
    host.pids_limit = change.pids_limit.or(host.pids_limit);
    if !policy.name.is_empty() {
        host.restart_policy = policy.clone();
    }
    Ok(())
}

/// What the supervisor is asked for.
fn running_update(host: &HostConfig, change: &HostConfig) -> Result<Update> {
    let has_limits = HostConfig { restart_policy: Default::default(), ..change.clone() } != HostConfig::default();
    let mut limits = match has_limits {
        true => Limits::from(&linux_resources(host)?),
        false => Limits::default(),
    };
    // Which devices there are does not change.
    limits.devices.clear();
    if change.pids_limit.is_some_and(|limit| limit <= 0) {
        limits.pids = Some(-1);
    }
    let restart = (!change.restart_policy.name.is_empty()).then(|| restart_policy(host));
    Ok(Update { limits, restart })
}

fn linux_resources(host: &HostConfig) -> Result<LinuxResources> {
    serde_json::from_value(spec::resources(host)?)
        .map_err(|cause| EngineError::invalid(format!("container configuration: {cause}")))
}

/// The supervisor reads the configuration again when it restarts the container.
fn rewrite(directory: &Path, host: &HostConfig) -> Result<()> {
    let path = directory.join("config.json");
    let mut spec = oci_spec::runtime::Spec::load(&path)
        .map_err(|cause| EngineError::file("reading", &path, std::io::Error::other(cause)))?;
    if let Some(linux) = spec.linux_mut() {
        linux.set_resources(Some(linux_resources(host)?));
    }
    write(directory, "config.json", &to_json(&spec)?)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::container::document::RestartSettings;

    #[test]
    fn changes_meet_what_is_there() {
        let had =
            HostConfig { memory: 64 << 20, memory_swap: 128 << 20, nano_cpus: 500_000_000, ..HostConfig::default() };
        let changed = |change: HostConfig| {
            let mut host = had.clone();
            apply(&mut host, &change).map(|()| host)
        };
        let none = HostConfig::default;
        assert_eq!(changed(none()).unwrap(), had);
        let host = changed(HostConfig { memory: 100 << 20, pids_limit: Some(-1), ..none() }).unwrap();
        assert_eq!((host.memory, host.memory_swap, host.pids_limit), (100 << 20, 128 << 20, Some(-1)));
        let message = changed(HostConfig { memory: 256 << 20, ..none() }).unwrap_err();
        assert!(message.starts_with("Memory limit should be smaller than already set memoryswap limit"), "{message}");
        assert!(changed(HostConfig { memory: 256 << 20, memory_swap: -1, ..none() }).is_ok());
        let message = changed(HostConfig { cpu_quota: 5_000, ..none() }).unwrap_err();
        assert_eq!(message, "Conflicting options: CPU Quota cannot be updated as NanoCPUs has already been set");
        let always = RestartSettings { name: "always".into(), maximum_retry_count: 0 };
        let host = changed(HostConfig { restart_policy: always.clone(), ..none() }).unwrap();
        assert_eq!(host.restart_policy, always);
        let mut goes = HostConfig { auto_remove: true, ..none() };
        assert!(apply(&mut goes, &HostConfig { restart_policy: always, ..none() }).is_err());
    }
}
