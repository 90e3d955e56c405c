//! `exec`: further programs in a running container. As in docker's API a program is made, then started; between and after
//! it can be asked what became of it. It is known by an ID, under which its container's directory has a record.

use std::fs;
use std::path::{Path, PathBuf};

use serde_json::json;
use strata_runtime::{
    AttachRequest, AttachStream, ContainerStatus, ExecRecord, ExecSpec, RuntimeError, StartError, exec_attached,
    running_execs, state,
};
use strata_store::{ContainerRow, EventRow, Store};

use super::control::blocking;
use super::document::ContainerDocument;
use super::find::find_ready;
use super::{container_directory, container_event_with, random_id};
use crate::{EngineError, Result};

/// Makes a program to be run in a container that runs; returns its ID.
///
/// # Errors
/// `NotFound`; `Refused` when the container does not run or is paused.
pub async fn create_exec(
    store: &Store,
    root: &Path,
    text: &str,
    mut program: ExecSpec,
    attach: AttachRequest,
) -> Result<String> {
    let row = find_ready(&*store.read().await?, text).await?;
    let directory = container_directory(root, &row.id);
    let refused = |message: String| Err(EngineError::Refused { message });
    match state(&directory)?.status {
        ContainerStatus::Running => {}
        ContainerStatus::Paused => {
            return refused(format!("container {text} is paused, unpause the container before exec"));
        }
        ContainerStatus::Restarting => {
            return refused(format!("container {} is restarting, wait until the container is running", row.id));
        }
        _ => return refused(format!("container {} is not running", row.id)),
    }
    if program.cwd.as_deref().is_some_and(Path::is_relative) {
        return Err(EngineError::invalid("Cwd must be an absolute path"));
    }
    let own = ContainerDocument::parse(&row)?.config.env.unwrap_or_default();
    let is_term = |variable: &String| variable.starts_with("TERM=");
    if program.terminal.is_some() && !own.iter().chain(&program.env).any(is_term) {
        program.env.insert(0, "TERM=xterm".to_owned());
    }
    let id = random_id()?;
    ExecRecord::new(program, attach).write(&directory, &id)?;
    Ok(id)
}

/// Starts a program that was made. It goes on when the stream is dropped. The record goes when it ends, or stays until the
/// container's next start if `keeps_record`.
///
/// # Errors
/// `NotFound`; `Runtime` when it was started before, or with docker's exit code when it cannot be executed.
pub async fn start_exec(store: &Store, root: &Path, id: &str, keeps_record: bool) -> Result<AttachStream> {
    let InspectedExec { container, mut record } = inspect_exec(root, id)?;
    let directory = container_directory(root, &container);
    let command = record.program.args.join(" ");
    let (place, exec) = (directory.clone(), id.to_owned());
    let stream = match blocking(move || exec_attached(&place, &exec, keeps_record)).await {
        Err(EngineError::Runtime(RuntimeError::Start(error))) => {
            let error = framed(error);
            if !keeps_record {
                ExecRecord::remove(&directory, id);
            } else if let Ok(Some(_)) = ExecRecord::read(&directory, id) {
                // What it failed of matters more than that this cannot be noted.
                record.exit_code = Some(error.exit_code.into());
                let _ = record.write(&directory, id);
            }
            return Err(RuntimeError::Start(error).into());
        }
        Err(error) => {
            // One that was started before goes on, and is known.
            if !keeps_record && record.pid == 0 {
                ExecRecord::remove(&directory, id);
            }
            return Err(error);
        }
        Ok(stream) => stream,
    };
    let mut txn = store.write("noting a program's start").await?;
    if let Some(row) = txn.container(&container).await? {
        for action in ["exec_create", "exec_start"] {
            txn.insert_event(&exec_event(store.now(), &format!("{action}: {command}"), &row, id, None)).await?;
        }
    }
    txn.commit().await?;
    Ok(stream)
}

/// Docker's frame around what its runtime says.
fn framed(error: StartError) -> StartError {
    let frame = "OCI runtime exec failed: exec failed: unable to start container process";
    StartError { message: format!("{frame}: {}", error.message), exit_code: error.exit_code.max(126) }
}

/// Notes that a program ended.
///
/// # Errors
/// When the catalog cannot be written.
pub async fn note_exec_end(store: &Store, text: &str, id: &str, exit_code: i32) -> Result<()> {
    let mut txn = store.write("noting a program's end").await?;
    // Its container may be gone with it.
    if let Ok(row) = find_ready(&*txn, text).await {
        txn.insert_event(&exec_event(store.now(), "exec_die", &row, id, Some(exit_code))).await?;
    }
    Ok(txn.commit().await?)
}

/// What is known of a program.
#[derive(Clone, Debug)]
pub struct InspectedExec {
    /// The ID of its container.
    pub container: String,
    /// What it is, and what became of it.
    pub record: ExecRecord,
}

/// Looks at a program.
///
/// # Errors
/// `NotFound`.
pub fn inspect_exec(root: &Path, id: &str) -> Result<InspectedExec> {
    let directory = exec_directory(root, id)?;
    let record = ExecRecord::read(&directory, id)?.ok_or_else(|| no_such_exec(id))?;
    Ok(InspectedExec { container: directory.file_name().unwrap_or_default().to_string_lossy().into_owned(), record })
}

/// The programs that run in a container besides its own, as `inspect` lists them.
pub(super) fn exec_ids(directory: &Path) -> serde_json::Value {
    match running_execs(directory) {
        ids if ids.is_empty() => serde_json::Value::Null,
        ids => json!(ids),
    }
}

/// The directory of the container that has a program.
fn exec_directory(root: &Path, id: &str) -> Result<PathBuf> {
    let is_id = id.len() == 64 && id.bytes().all(|byte| byte.is_ascii_hexdigit());
    let containers = fs::read_dir(root.join("containers")).into_iter().flatten().flatten().map(|entry| entry.path());
    containers
        .filter(|_| is_id)
        .find(|directory| directory.join(format!("exec/{id}.json")).exists())
        .ok_or_else(|| no_such_exec(id))
}

fn no_such_exec(id: &str) -> EngineError {
    EngineError::NotFound { message: format!("No such exec instance: {id}") }
}

fn exec_event(time: i64, action: &str, row: &ContainerRow, id: &str, exit_code: Option<i32>) -> EventRow {
    let id = ("execID", id.to_owned());
    match exit_code {
        Some(exit_code) => container_event_with(time, action, row, [id, ("exitCode", exit_code.to_string())]),
        None => container_event_with(time, action, row, [id]),
    }
}
