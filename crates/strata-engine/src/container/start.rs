//! `start`: the documents that the supervisor needs are written, then it is started.

use std::fs;
use std::io;
use std::path::Path;

use oci_spec::runtime::Hooks;
use serde::Serialize;
use serde_json::json;
use strata_rootfs::MountPlan;
use strata_runtime::{
    AttachRequest, AttachStream, ContainerStatus, HealthCheck, LogDriver, LogSettings, RestartPolicy, Runtime,
    SupervisorPlan, clean, start, start_attached, state,
};
use strata_store::{ContainerRow, Store, fault};

use super::document::{Config, ContainerDocument, HostConfig};
use super::find::find_ready;
use super::remove::take_away;
use super::root::root_plan;
use super::spec::{SharedNamespaces, configuration};
use super::{container_directory, container_event, is_root_of_machine, signals};
use crate::blocking::blocking;
use crate::event_feed::note_end;
use crate::network::{NetworkSetup, prepare_network};
use crate::{EngineError, Result, volume};

/// Docker's values where a health check says nothing, nanoseconds.
const HEALTH_SECONDS: i64 = 30_000_000_000;
const START_SECONDS: i64 = 5_000_000_000;

/// A container that was started.
#[derive(Debug, Default)]
pub struct StartedContainer {
    /// Its output, when that was asked for and it did not run before.
    pub stream: Option<AttachStream>,
    /// What of its settings has no effect on this machine, and why.
    pub warnings: Vec<String>,
}

/// Starts a container; with `attach` its output from the first byte on. Starting one that runs does nothing. One that does
/// not start is removed when it was to be removed after its end.
///
/// # Errors
/// `NotFound`; `Runtime` with the exit code of docker when its program cannot be executed.
pub async fn start_container(
    store: &Store,
    root: &Path,
    text: &str,
    attach: Option<AttachRequest>,
) -> Result<StartedContainer> {
    let row = find_ready(&*store.read().await?, text).await?;
    let document = ContainerDocument::parse(&row)?;
    let removes = document.host_config.auto_remove;
    let started = start_ready(store, root, row.clone(), document, attach).await;
    if started.is_err() && removes && state(&container_directory(root, &row.id))?.pid == 0 {
        // Why it did not start is what the user has to know.
        let _ = take_away(store, root, row, true).await;
    }
    started
}

async fn start_ready(
    store: &Store,
    root: &Path,
    row: ContainerRow,
    document: ContainerDocument,
    attach: Option<AttachRequest>,
) -> Result<StartedContainer> {
    let directory = container_directory(root, &row.id);
    let before = state(&directory)?;
    match before.status {
        ContainerStatus::Paused => {
            return Err(EngineError::Refused {
                message: "cannot start a paused container, try unpause instead".into(),
            });
        }
        ContainerStatus::Running | ContainerStatus::Restarting => return Ok(StartedContainer::default()),
        ContainerStatus::Created | ContainerStatus::Exited | ContainerStatus::Dead => {}
    }
    let shared = shared_namespaces(store, root, &document.host_config).await?;
    make_bind_sources(&document)?;
    let mut document = volume::prepare_volumes(store, root, &row, &document, None).await?;
    let mount = root_plan(store, root, &row).await?;
    let network = prepare_network(store, root, &row).await?;
    document.config.env.get_or_insert_default().splice(..0, network.environment.iter().cloned());
    let mut spec = configuration(&document, &directory, &shared)?;
    spec.set_hooks(network_hooks(&directory, &network)?);
    let plan = supervisor_plan(root, &row, &document, mount)?;
    write(&directory, "hostname", format!("{}\n", document.config.hostname).as_bytes())?;
    write(&directory, "hosts", network.hosts.as_bytes())?;
    write(&directory, "resolv.conf", network.resolv_conf.as_bytes())?;
    write(&directory, "config.json", &to_json(&spec)?)?;
    write(&directory, "supervisor.json", &to_json(&plan)?)?;
    fault::point("container-planned");
    let started = blocking(move || {
        clean(&directory)?;
        let (started, stream) = match attach {
            Some(request) => start_attached(&directory, request).map(|(started, stream)| (started, Some(stream))),
            None => start(&directory).map(|started| (started, None)),
        }
        .map_err(strata_runtime::RuntimeError::from)?;
        // Without root there are no devices to keep away, and groups matter only to limits.
        let matters = |limit: &str| limit != "cgroup" && (limit != "devices" || is_root_of_machine());
        let limits = started.warnings.into_iter().filter(|warning| matters(&warning.limit));
        let limits = limits.map(|warning| format!("{} is not limited: {}", warning.limit, warning.reason));
        let network = strata_network::state(&directory)?.unwrap_or_default().warnings;
        Ok::<_, EngineError>(StartedContainer { stream, warnings: limits.chain(network).collect() })
    })
    .await??;
    fault::point("container-started");
    let mut txn = store.write("noting a start").await?;
    note_end(&mut *txn, &row, &before, store.now()).await?;
    txn.insert_event(&container_event(store.now(), "start", &row)).await?;
    txn.commit().await?;
    Ok(started)
}

/// A document of a container's directory.
pub(super) fn to_json(document: &impl Serialize) -> Result<Vec<u8>> {
    serde_json::to_vec(document).map_err(|cause| EngineError::invalid(format!("container configuration: {cause}")))
}

/// The namespaces of other containers that a container joins.
async fn shared_namespaces(store: &Store, root: &Path, host: &HostConfig) -> Result<SharedNamespaces> {
    let mut shared = SharedNamespaces::default();
    let modes =
        [("network", "net", &host.network_mode), ("pid", "pid", &host.pid_mode), ("ipc", "ipc", &host.ipc_mode)];
    for (kind, file, mode) in modes {
        let Some(other) = mode.strip_prefix("container:") else { continue };
        let row = find_ready(&*store.read().await?, other).await?;
        let state = state(&container_directory(root, &row.id))?;
        if state.pid == 0 {
            return Err(EngineError::Refused {
                message: format!(
                    "cannot join {kind} namespace of a non running container: container {other} is not running"
                ),
            });
        }
        shared.joined.push((kind, format!("/proc/{}/ns/{file}", state.pid)));
    }
    Ok(shared)
}

/// Docker makes the sources of short bind mounts that are not there.
fn make_bind_sources(document: &ContainerDocument) -> Result<()> {
    for point in document.mounts.iter().filter(|point| point.kind == "bind") {
        if !Path::new(&point.source).exists() {
            fs::create_dir_all(&point.source).map_err(|cause| EngineError::file("creating", &point.source, cause))?;
        }
    }
    Ok(())
}

/// Replaces a document in a container's directory.
pub(super) fn write(directory: &Path, name: &str, bytes: &[u8]) -> Result<()> {
    let (path, new) = (directory.join(name), directory.join(format!("{name}.new")));
    let write = || {
        fs::write(&new, bytes)?;
        fs::rename(&new, &path)
    };
    write().map_err(|cause: io::Error| EngineError::file("writing", &path, cause))
}

/// What the OCI runtime executes to attach the container to its networks, and to take that back. Containers without a network
/// of their own have none.
fn network_hooks(directory: &Path, network: &NetworkSetup) -> Result<Option<Hooks>> {
    let Some(plan) = &network.plan else { return Ok(None) };
    plan.write(directory)?;
    let program = std::env::current_exe().map_err(|cause| EngineError::file("finding", "the program", cause))?;
    let directory = std::path::absolute(directory).map_err(|cause| EngineError::file("finding", directory, cause))?;
    let environment: Vec<String> = std::env::var("PATH").map(|path| format!("PATH={path}")).into_iter().collect();
    let hook = |verb: &str| {
        json!([{
            "path": program,
            "args": strata_network::hook_arguments(verb, &directory),
            "env": environment,
        }])
    };
    let hooks = json!({ "createRuntime": hook("attach"), "poststop": hook("detach") });
    let hooks =
        serde_json::from_value(hooks).map_err(|cause| EngineError::invalid(format!("network hooks: {cause}")))?;
    Ok(Some(hooks))
}

fn supervisor_plan(
    root: &Path,
    row: &ContainerRow,
    document: &ContainerDocument,
    mount: MountPlan,
) -> Result<SupervisorPlan> {
    let (config, host) = (&document.config, &document.host_config);
    if host.init == Some(true) && !matches!(host.runtime.as_str(), "" | "strata") {
        return Err(EngineError::Unsupported {
            message: format!("--init is not supported with runtime {}", host.runtime),
            hint: Some("leave --runtime out".into()),
        });
    }
    let stop_signal = config.stop_signal.as_deref().unwrap_or("SIGTERM");
    Ok(SupervisorPlan {
        container: row.id.clone(),
        mount,
        terminal: config.tty,
        open_stdin: config.open_stdin,
        stdin_once: config.stdin_once,
        init: host.init == Some(true),
        log: log_settings(host)?,
        restart: restart_policy(host),
        stop_signal: signals::parse(stop_signal)?,
        stop_timeout_seconds: config.stop_timeout.and_then(|seconds| u32::try_from(seconds).ok()),
        health: health_check(config),
        runtime: match host.runtime.as_str() {
            "" | "strata" => Runtime::Own,
            name => Runtime::External { path: program(name)? },
        },
        cgroup_parent: Some(host.cgroup_parent.clone()).filter(|parent| !parent.is_empty()),
        after_exit: after_exit(root, row, host)?,
    })
}

fn program(name: &str) -> Result<std::path::PathBuf> {
    if name.contains('/') {
        return Ok(name.into());
    }
    let path = std::env::var_os("PATH").unwrap_or_default();
    std::env::split_paths(&path)
        .map(|folder| folder.join(name))
        .find(|candidate| candidate.is_file())
        .ok_or_else(|| EngineError::invalid(format!("unknown or invalid runtime name: {name}")))
}

/// `--rm`: the program itself, asked to remove the container.
fn after_exit(root: &Path, row: &ContainerRow, host: &HostConfig) -> Result<Option<Vec<String>>> {
    if !host.auto_remove {
        return Ok(None);
    }
    let program = std::env::current_exe().map_err(|cause| EngineError::file("finding", "the program", cause))?;
    let root = std::path::absolute(root).map_err(|cause| EngineError::file("finding", root, cause))?;
    let words = [program.display().to_string(), "rm".into(), "-v".into(), "--root".into(), root.display().to_string()];
    Ok(Some(words.into_iter().chain([row.id.clone()]).collect()))
}

fn log_settings(host: &HostConfig) -> Result<LogSettings> {
    let option = |name: &str| host.log_config.config.get(name);
    let max_size = match option("max-size") {
        Some(text) if text != "-1" => Some(
            strata_format::size::parse_binary(text)
                .map_err(|_| EngineError::invalid(format!("invalid value for max-size: {text}")))?,
        ),
        _ => None,
    };
    let max_files = match option("max-file") {
        Some(text) => text.parse().map_err(|_| EngineError::invalid(format!("invalid value for max-file: {text}")))?,
        None => 1,
    };
    let driver = if host.log_config.kind == "none" { LogDriver::None } else { LogDriver::JsonFile };
    Ok(LogSettings { driver, max_size, max_files })
}

/// The policy as the supervisor knows it.
pub(super) fn restart_policy(host: &HostConfig) -> RestartPolicy {
    let retries = u32::try_from(host.restart_policy.maximum_retry_count).ok().filter(|count| *count > 0);
    match host.restart_policy.name.as_str() {
        "always" => RestartPolicy::Always,
        "unless-stopped" => RestartPolicy::UnlessStopped,
        "on-failure" => RestartPolicy::OnFailure { retries },
        _ => RestartPolicy::No,
    }
}

fn health_check(config: &Config) -> Option<HealthCheck> {
    let check = config.healthcheck.as_ref()?;
    let mut words = check.test.clone()?.into_iter();
    let test: Vec<String> = match words.next().as_deref() {
        Some("CMD") => words.collect(),
        Some("CMD-SHELL") => {
            let shell = config.shell.clone().unwrap_or_else(|| vec!["/bin/sh".into(), "-c".into()]);
            shell.into_iter().chain(words).collect()
        }
        _ => return None,
    };
    let time = |given: Option<i64>, default: i64| given.filter(|time| *time > 0).unwrap_or(default).unsigned_abs();
    Some(HealthCheck {
        test,
        interval: time(check.interval, HEALTH_SECONDS),
        timeout: time(check.timeout, HEALTH_SECONDS),
        start_period: time(check.start_period, 0),
        start_interval: time(check.start_interval, START_SECONDS),
        retries: check.retries.and_then(|count| u32::try_from(count).ok()).filter(|count| *count > 0).unwrap_or(3),
    })
}
