//! Runs containers without a daemon, from a directory that is also an OCI bundle.
//!
//! A running container is a tree of processes: a supervisor (this program executed again, single-threaded, in a mount
//! namespace of its own) and the container's init, which the supervisor clones and which becomes the container's program
//! with one `execve`. Errors inside init come back to the supervisor as values ([`process`]), errors of the supervisor to
//! who called [`start`](supervisor::start).
//!
//! ```text
//! <directory>/config.json      the OCI runtime configuration; its root is rootfs
//!             supervisor.json  what the supervisor has to know beyond it: [`SupervisorPlan`]
//!             rootfs/          empty; the image appears there in the supervisor's mount namespace only
//!             state.json       what is going on: [`ContainerState`]
//!             lock             held by the supervisor as long as it lives
//!             control.sock     where the supervisor takes requests
//!             log.json[.N]     what the container's program wrote
//! ```
//!
//! Nothing here is asynchronous, nothing starts a thread: between clone and exec there is only one, so that everything
//! may be done there. This is the only crate that clones processes into namespaces; what it mounts is mounted by
//! `strata-rootfs`.

pub mod cgroup;
mod clean;
mod clock;
pub mod control;
mod ending;
mod error;
mod log;
mod process;
mod seccomp;
pub mod spec;
mod state;
mod supervisor;
mod usage;
pub mod user;

pub use clean::clean;
pub use control::{AttachEvent, AttachRequest, AttachStream, Control, Update};
pub use error::{RuntimeError, StartError};
pub use log::{LogLine, LogQuery, LogReader, Stream, decode_log_line, logs};
pub use process::{
    ExecProcess, ExecRecord, ExecSpec, GROUPS_ANNOTATION, TerminalSize, enter_user_namespace, entry, exec,
    exec_attached, rootless_maps, running_execs,
};
pub use state::{ContainerState, ContainerStatus, HealthState, HealthStatus, ProbeResult, is_to_be_revived, state};
pub use supervisor::plan::{HealthCheck, LogDriver, LogSettings, RestartPolicy, Runtime, SupervisorPlan};
pub use supervisor::{Started, start, start_attached};
pub use usage::{InterfaceCounters, Usage, processes, usage};
