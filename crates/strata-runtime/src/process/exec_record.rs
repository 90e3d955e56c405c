//! What is known of programs that were started by `exec`: `<directory>/exec/<id>.json`, replaced by rename.
//!
//! Who asks for a program writes its record; from then on only the process that waits for the program does. Records are
//! removed at the container's next start.

use std::fs;
use std::io;
use std::path::{Path, PathBuf};

use serde::{Deserialize, Serialize};

use crate::control::AttachRequest;
use crate::error::RuntimeError;
use crate::state::start_ticks;

use super::exec::ExecSpec;

/// A program that was asked for, and what became of it.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct ExecRecord {
    /// What is run.
    pub program: ExecSpec,
    /// Its client's streams.
    pub attach: AttachRequest,
    /// Its process, as the machine counts processes; 0 before it was started.
    pub pid: u32,
    /// When that process was started, in the kernel's ticks since boot.
    ticks: u64,
    /// How it ended.
    pub exit_code: Option<i32>,
}

impl ExecRecord {
    /// A program that was not started yet.
    pub fn new(program: ExecSpec, attach: AttachRequest) -> ExecRecord {
        ExecRecord { program, attach, pid: 0, ticks: 0, exit_code: None }
    }

    /// It is this process now.
    pub(super) fn started(&mut self, pid: u32) {
        self.pid = pid;
        self.ticks = start_ticks(pid).unwrap_or(0);
    }

    /// Whether the program runs.
    pub fn is_running(&self) -> bool {
        self.pid != 0 && self.exit_code.is_none() && start_ticks(self.pid) == Some(self.ticks)
    }

    /// What is recorded of a program; `None` when there is nothing.
    ///
    /// # Errors
    /// When the record cannot be read.
    pub fn read(directory: &Path, id: &str) -> Result<Option<ExecRecord>, RuntimeError> {
        let path = path(directory, id);
        match fs::read(&path) {
            Ok(bytes) => serde_json::from_slice(&bytes).map(Some).map_err(|error| RuntimeError::document(&path, error)),
            Err(cause) if cause.kind() == io::ErrorKind::NotFound => Ok(None),
            Err(cause) => Err(RuntimeError::system(format!("reading {}", path.display()), cause)),
        }
    }

    /// Replaces the record.
    ///
    /// # Errors
    /// When it cannot be written.
    pub fn write(&self, directory: &Path, id: &str) -> Result<(), RuntimeError> {
        let path = path(directory, id);
        let new = path.with_extension("new");
        let write = || {
            fs::create_dir_all(directory.join(FOLDER))?;
            fs::write(&new, serde_json::to_vec(self)?)?;
            fs::rename(&new, &path)
        };
        write().map_err(|cause: io::Error| RuntimeError::system(format!("writing {}", path.display()), cause))
    }

    /// Removes the record.
    pub fn remove(directory: &Path, id: &str) {
        let _ = fs::remove_file(path(directory, id));
    }
}

const FOLDER: &str = "exec";

fn path(directory: &Path, id: &str) -> PathBuf {
    directory.join(FOLDER).join(format!("{id}.json"))
}

/// The programs that run now, by ID.
pub fn running_execs(directory: &Path) -> Vec<String> {
    let entries = fs::read_dir(directory.join(FOLDER)).into_iter().flatten().flatten();
    let names = entries.filter_map(|entry| entry.file_name().to_str()?.strip_suffix(".json").map(str::to_owned));
    let mut ids: Vec<String> =
        names.filter(|id| matches!(ExecRecord::read(directory, id), Ok(Some(record)) if record.is_running())).collect();
    ids.sort_unstable();
    ids
}

/// Forgets all of them: the container is started again.
pub(crate) fn forget_execs(directory: &Path) {
    let _ = fs::remove_dir_all(directory.join(FOLDER));
}
