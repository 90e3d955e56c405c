//! What a container's process does, as `state.json` says it.
//!
//! The supervisor writes the file by rename at every change, and syncs it when the container ended for good. While it
//! lives, it holds a lock on the file `lock`. Hence the truth also when it was killed: the lock is free, and a state that
//! has a process is the state of one that was cut off ([`state`]).

use std::fs::{self, File, OpenOptions};
use std::io::{self, Write as _};
use std::os::fd::OwnedFd;
use std::os::unix::fs::{MetadataExt as _, OpenOptionsExt as _};
use std::path::Path;
use std::thread;
use std::time::Duration;

use rustix::fs::{FlockOperation, flock};
use rustix::io::Errno;
use serde::{Deserialize, Serialize};

use crate::error::RuntimeError;
use crate::supervisor::plan::RestartPolicy;

/// The exit code of what was killed with `SIGKILL`.
pub(crate) const KILLED: i32 = 128 + 9;

/// What goes on in a container.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum ContainerStatus {
    /// Never started.
    Created,
    /// Its init runs.
    Running,
    /// Its processes are frozen.
    Paused,
    /// Its init ended, and another will be started.
    Restarting,
    /// Its init ended for good.
    Exited,
    /// It could not be cleaned up.
    Dead,
}

/// The state of a container. Times are nanoseconds since 1970; 0 is never.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct ContainerState {
    /// What goes on.
    pub status: ContainerStatus,
    /// Its init as the machine counts processes; 0 while there is none.
    pub pid: u32,
    /// When its init was started last.
    pub started_at: i64,
    /// When its init ended last.
    pub finished_at: i64,
    /// How init ended: its exit code, or 128 and the number of the signal.
    pub exit_code: i32,
    /// Whether the kernel killed one of its processes for memory.
    pub oom_killed: bool,
    /// Why it could not be started, or nothing.
    pub error: String,
    /// How often its policy restarted it.
    pub restarts: u32,
    /// What its health check found, when it has one.
    pub health: Option<HealthState>,
}

/// What a health check found.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct HealthState {
    /// The verdict.
    pub status: HealthStatus,
    /// Failures in a row.
    pub failing_streak: u32,
    /// The last probes, the newest last; at most five.
    pub log: Vec<ProbeResult>,
}

/// The verdict of a health check.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum HealthStatus {
    /// No verdict yet.
    Starting,
    /// The last probe succeeded.
    Healthy,
    /// As many probes as allowed failed in a row.
    Unhealthy,
}

/// One run of a health check's program.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct ProbeResult {
    /// When it began, in nanoseconds since 1970.
    pub start: i64,
    /// When it ended.
    pub end: i64,
    /// How it ended.
    pub exit_code: i32,
    /// What it wrote, shortened to 4096 bytes.
    pub output: String,
}

impl ContainerState {
    /// The state of a container that was never started.
    pub(crate) fn created() -> ContainerState {
        ContainerState {
            status: ContainerStatus::Created,
            pid: 0,
            started_at: 0,
            finished_at: 0,
            exit_code: 0,
            oom_killed: false,
            error: String::new(),
            restarts: 0,
            health: None,
        }
    }

    /// Whether there must be a supervisor.
    pub(crate) fn is_live(&self) -> bool {
        matches!(self.status, ContainerStatus::Running | ContainerStatus::Paused | ContainerStatus::Restarting)
    }
}

/// What `state.json` says: the state, and what cleaning up after a supervisor needs.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub(crate) struct Record {
    #[serde(flatten)]
    pub(crate) state: ContainerState,
    /// When init was started, in the kernel's ticks since boot: who has its number and another time is somebody else.
    pub(crate) init_ticks: u64,
    /// The path of its control groups; empty before they were made.
    pub(crate) cgroup: String,
    /// Whether somebody asked for its end, and not the machine that went down.
    #[serde(default)]
    pub(crate) stopped: bool,
}

impl Record {
    /// What the file says, as it is; `None` when there is none.
    pub(crate) fn read(directory: &Path) -> Result<Option<Record>, RuntimeError> {
        let path = directory.join("state.json");
        match fs::read(&path) {
            Ok(bytes) => serde_json::from_slice(&bytes).map(Some).map_err(|error| RuntimeError::document(&path, error)),
            Err(cause) if cause.kind() == io::ErrorKind::NotFound => Ok(None),
            Err(cause) => Err(RuntimeError::system(format!("reading {}", path.display()), cause)),
        }
    }

    /// Replaces the file. With `durable` the new one survives a power cut.
    pub(crate) fn write(&self, directory: &Path, durable: bool) -> Result<(), RuntimeError> {
        let (path, new) = (directory.join("state.json"), directory.join("state.json.new"));
        let bytes = serde_json::to_vec(self).map_err(|error| RuntimeError::document(&path, error))?;
        let write = || {
            let mut file = File::create(&new)?;
            file.write_all(&bytes)?;
            if durable {
                file.sync_data()?;
            }
            fs::rename(&new, &path)
        };
        write().map_err(|cause| RuntimeError::system(format!("writing {}", path.display()), cause))
    }
}

/// Whether a container's policy wants it to be started again after the machine was: it was started once, and, but for
/// `always`, nobody has stopped it.
///
/// # Errors
/// When the state cannot be read.
pub fn is_to_be_revived(directory: &Path, policy: &RestartPolicy) -> Result<bool, RuntimeError> {
    let now = state(directory)?;
    if now.is_live() || now.started_at == 0 {
        return Ok(false);
    }
    let stopped = || Ok::<_, RuntimeError>(Record::read(directory)?.is_some_and(|record| record.stopped));
    Ok(match policy {
        RestartPolicy::Always => true,
        RestartPolicy::UnlessStopped => !stopped()?,
        RestartPolicy::OnFailure { .. } => now.exit_code != 0 && !stopped()?,
        RestartPolicy::No => false,
    })
}

/// What goes on in a container. A container whose supervisor was killed is exited with 137: its processes died with it
/// or have nobody any more, and [`clean`](crate::clean) ends them.
///
/// # Errors
/// When the file cannot be read.
pub fn state(directory: &Path) -> Result<ContainerState, RuntimeError> {
    let record = match Record::read(directory) {
        Ok(Some(record)) => record,
        Ok(None) => return Ok(ContainerState::created()),
        // Not synced when the power went.
        Err(RuntimeError::Document { reason, .. }) if !is_supervised(directory) => {
            return Ok(ContainerState { error: reason, ..cut_off(directory, ContainerState::created()) });
        }
        Err(error) => return Err(error),
    };
    if !record.state.is_live() || is_supervised(directory) {
        return Ok(record.state);
    }
    // It may have ended in between: then it wrote its last state before its lock was free.
    match Record::read(directory)? {
        Some(record) if record.state.is_live() => Ok(cut_off(directory, record.state)),
        Some(record) => Ok(record.state),
        None => Ok(ContainerState::created()),
    }
}

/// The state after the supervisor was killed. It ended at the last sign of life: a log line, or a change of state.
pub(crate) fn cut_off(directory: &Path, state: ContainerState) -> ContainerState {
    let written = ["state.json", "log.json"].map(|name| fs::metadata(directory.join(name)));
    let times = written.iter().flatten().map(|data| data.mtime() * 1_000_000_000 + data.mtime_nsec());
    ContainerState {
        status: ContainerStatus::Exited,
        pid: 0,
        finished_at: times.max().unwrap_or(0),
        exit_code: KILLED,
        error: "its supervisor was killed".to_owned(),
        ..state
    }
}

/// The supervisor's lock. Whoever has it knows that no supervisor lives.
#[derive(Debug)]
pub(crate) struct Lock {
    _file: OwnedFd,
}

impl Lock {
    /// Takes the lock. Who only looks whether it is free holds it for a moment, which is waited for.
    pub(crate) fn take(directory: &Path) -> Result<Lock, RuntimeError> {
        let path = directory.join("lock");
        let failed = |cause: io::Error| RuntimeError::system(format!("locking {}", path.display()), cause);
        let file =
            OpenOptions::new().write(true).create(true).truncate(false).mode(0o600).open(&path).map_err(failed)?;
        for _ in 0..100 {
            match flock(&file, FlockOperation::NonBlockingLockExclusive) {
                Ok(()) => return Ok(Lock { _file: file.into() }),
                Err(Errno::WOULDBLOCK) => thread::sleep(Duration::from_millis(2)),
                Err(errno) => return Err(failed(errno.into())),
            }
        }
        Err(RuntimeError::Conflict("the container is running already".to_owned()))
    }
}

/// Whether the container has a supervisor.
pub(crate) fn is_supervised(directory: &Path) -> bool {
    let Ok(file) = File::open(directory.join("lock")) else { return false };
    flock(&file, FlockOperation::NonBlockingLockShared) == Err(Errno::WOULDBLOCK)
}

/// When a process was started, in ticks since boot; `None` when there is no such process, or only its exit status.
pub(crate) fn start_ticks(process: u32) -> Option<u64> {
    let stat = fs::read_to_string(format!("/proc/{process}/stat")).ok()?;
    // The name, in parentheses, may contain anything.
    let fields: Vec<&str> = stat.get(stat.rfind(')')? + 1..)?.split_whitespace().collect();
    if matches!(fields.first(), Some(&("Z" | "X"))) {
        return None;
    }
    fields.get(19)?.parse().ok()
}

#[cfg(test)]
mod tests {
    use super::*;

    fn record(status: ContainerStatus) -> Record {
        let state = ContainerState { status, pid: 7, started_at: 5, ..ContainerState::created() };
        Record { state, init_ticks: 1, cgroup: "/strata/x".to_owned(), stopped: false }
    }

    #[test]
    fn the_truth_needs_the_lock() {
        let directory = tempfile::tempdir().expect("a directory");
        let path = directory.path();
        assert_eq!(state(path).expect("read").status, ContainerStatus::Created);
        record(ContainerStatus::Running).write(path, false).expect("written");
        let lock = Lock::take(path).expect("locked");
        assert!(is_supervised(path));
        assert!(matches!(Lock::take(path), Err(RuntimeError::Conflict(_))));
        assert_eq!(state(path).expect("read"), record(ContainerStatus::Running).state);
        drop(lock);
        let truth = state(path).expect("read");
        assert_eq!((truth.status, truth.exit_code, truth.pid), (ContainerStatus::Exited, 137, 0));
        assert!(truth.finished_at > truth.started_at);
        record(ContainerStatus::Exited).write(path, true).expect("written");
        assert_eq!(state(path).expect("read"), record(ContainerStatus::Exited).state);
    }

    #[test]
    fn who_was_stopped_stays_so() {
        let directory = tempfile::tempdir().expect("a directory");
        let path = directory.path();
        let on_failure = RestartPolicy::OnFailure { retries: None };
        let policies = [RestartPolicy::Always, RestartPolicy::UnlessStopped, on_failure, RestartPolicy::No];
        let revived =
            || policies.iter().map(|policy| is_to_be_revived(path, policy).expect("read")).collect::<Vec<bool>>();
        assert_eq!(revived(), [false; 4], "never started");
        let mut record = record(ContainerStatus::Running);
        record.write(path, false).expect("written");
        assert_eq!(revived(), [true, true, true, false], "cut off");
        record.state.status = ContainerStatus::Exited;
        record.write(path, false).expect("written");
        assert_eq!(revived(), [true, true, false, false], "ended with the machine, in order");
        record.stopped = true;
        record.state.exit_code = 137;
        record.write(path, false).expect("written");
        assert_eq!(revived(), [true, false, false, false], "stopped by somebody");
    }

    #[test]
    fn a_state_lost_with_the_power_is_cut_off() {
        let directory = tempfile::tempdir().expect("a directory");
        for bytes in ["", "{", "{\"status\":\"running\"}"] {
            fs::write(directory.path().join("state.json"), bytes).expect("written");
            assert_eq!(state(directory.path()).expect("read").exit_code, 137);
        }
    }

    #[test]
    fn processes_have_a_time() {
        let own = start_ticks(std::process::id()).expect("there");
        assert!(start_ticks(1).is_none_or(|first| first <= own));
        assert_eq!(start_ticks(u32::MAX), None);
    }
}
