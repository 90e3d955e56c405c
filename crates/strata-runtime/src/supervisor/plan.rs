//! What a supervisor has to know beyond the OCI configuration: `supervisor.json`.

use std::fs;
use std::path::{Path, PathBuf};
use std::time::Duration;

use serde::{Deserialize, Serialize};
use strata_rootfs::MountPlan;

use crate::error::RuntimeError;

/// Seconds that a program has to end, as docker has it.
const STOP_TIMEOUT: i64 = 10;

/// What the engine decided for a container's supervisor; written by rename beside `config.json`.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct SupervisorPlan {
    /// The container's ID: 64 hexadecimal digits.
    pub container: String,
    /// How its root file system appears on `rootfs`. Directories to be extracted exist already.
    pub mount: MountPlan,
    /// Whether its program has a terminal.
    pub terminal: bool,
    /// Whether standard input stays open when nobody is attached.
    pub open_stdin: bool,
    /// Whether standard input ends with the first client that sent some.
    pub stdin_once: bool,
    /// Whether its first process is not the program, but one that reaps and hands signals on. Only [`Runtime::Own`] can.
    #[serde(default)]
    pub init: bool,
    /// Where its output goes.
    pub log: LogSettings,
    /// What to do when its program ends.
    pub restart: RestartPolicy,
    /// What asks its program to end.
    pub stop_signal: i32,
    /// How long it may take to do so before it is killed; `None` is 10 seconds.
    pub stop_timeout_seconds: Option<u32>,
    /// How to find out whether it is well.
    pub health: Option<HealthCheck>,
    /// Who makes the container.
    pub runtime: Runtime,
    /// The cgroup below which its own is made; `None` is the default place.
    pub cgroup_parent: Option<String>,
    /// What is executed when the container has ended for good, as for `--rm`.
    pub after_exit: Option<Vec<String>>,
}

impl SupervisorPlan {
    /// Reads the plan of a container.
    pub(crate) fn read(directory: &Path) -> Result<SupervisorPlan, RuntimeError> {
        let path = directory.join("supervisor.json");
        let bytes =
            fs::read(&path).map_err(|cause| RuntimeError::system(format!("reading {}", path.display()), cause))?;
        serde_json::from_slice(&bytes).map_err(|error| RuntimeError::document(&path, error))
    }

    /// How long the program has to end; `None` is as long as it wants.
    pub(crate) fn stop_timeout(&self, asked_for: Option<i64>) -> Option<Duration> {
        let seconds = asked_for.unwrap_or(self.stop_timeout_seconds.map_or(STOP_TIMEOUT, i64::from));
        u64::try_from(seconds).ok().map(Duration::from_secs)
    }
}

/// Where a container's output goes.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct LogSettings {
    /// In which form.
    pub driver: LogDriver,
    /// Bytes after which a new file is begun; `None` is never.
    pub max_size: Option<u64>,
    /// How many files are kept, at least 1.
    pub max_files: u32,
}

/// The form of a log.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub enum LogDriver {
    /// `log.json`: an object a line.
    JsonFile,
    /// Nothing is kept.
    None,
}

/// What to do when a container's program ends.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub enum RestartPolicy {
    /// Nothing.
    No,
    /// Start it again when it failed.
    OnFailure {
        /// At most so often; `None` is without end.
        retries: Option<u32>,
    },
    /// Start it again, also after the machine was restarted.
    Always,
    /// Start it again unless somebody stopped it.
    UnlessStopped,
}

/// A program that finds out whether a container is well. Durations are nanoseconds.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct HealthCheck {
    /// The program and its arguments, executed as they are.
    pub test: Vec<String>,
    /// Between the end of a probe and the next.
    pub interval: u64,
    /// How long a probe may take.
    pub timeout: u64,
    /// How long failures do not count after the start.
    pub start_period: u64,
    /// The interval during the start period.
    pub start_interval: u64,
    /// Failures in a row that make it unhealthy.
    pub retries: u32,
}

/// Who makes a container out of its bundle.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub enum Runtime {
    /// This crate.
    Own,
    /// Another OCI runtime, as `runc` or `crun`.
    External {
        /// Its program.
        path: PathBuf,
    },
}
