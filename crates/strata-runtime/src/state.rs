//! What a container's process does, as `state.json` says it.

use serde::{Deserialize, Serialize};

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
