//! What a supervisor that was killed could not put away.

use std::fs;
use std::path::Path;

use rustix::process::{Pid, PidfdFlags, pidfd_open};

use crate::cgroup::Cgroup;
use crate::control::SOCKET;
use crate::error::RuntimeError;
use crate::process::{Subject, configuration};
use crate::state::{Lock, Record, cut_off, start_ticks};
use crate::supervisor::plan::{Runtime, SupervisorPlan};
use crate::supervisor::{external, send_signal};

/// Ends what is left of a container whose supervisor was killed: processes, control groups, socket; runs the hooks for its
/// end; and writes down that it was cut off. Does nothing for one that ended as it should, and can be repeated.
///
/// # Errors
/// [`RuntimeError::Conflict`] when it has a supervisor.
pub fn clean(directory: &Path) -> Result<(), RuntimeError> {
    let lock = Lock::take(directory)?;
    let cleaned = clean_up(directory);
    drop(lock);
    cleaned
}

/// The same for who has the lock.
pub(crate) fn clean_up(directory: &Path) -> Result<(), RuntimeError> {
    let Ok(Some(mut record)) = Record::read(directory) else { return Ok(()) };
    kill(record.state.pid, record.init_ticks);
    if !record.cgroup.is_empty() {
        Cgroup::open(&record.cgroup)?.remove()?;
    }
    let _ = fs::remove_file(directory.join(SOCKET));
    if record.state.is_live() {
        put_away(directory);
        record.state = cut_off(directory, record.state);
        record.write(directory, true)?;
    }
    Ok(())
}

/// What whoever made the container does at its end. That it fails keeps nobody from starting or removing the container.
fn put_away(directory: &Path) {
    let Ok(plan) = SupervisorPlan::read(directory) else { return };
    match &plan.runtime {
        Runtime::External { path } => external::delete(path, directory, &plan.container),
        Runtime::Own => {
            if let Ok(spec) = configuration(directory) {
                let subject = Subject { spec: &spec, container: &plan.container, bundle: directory, pid: None };
                let _ = subject.run_poststop();
            }
        }
    }
}

/// Kills a process if it is still the one that was started at that time.
fn kill(pid: u32, ticks: u64) {
    let Some(pid) = i32::try_from(pid).ok().and_then(Pid::from_raw) else { return };
    // What the descriptor stands for does not change any more: if the time fits now, it is the right one.
    let Ok(process) = pidfd_open(pid, PidfdFlags::empty()) else { return };
    if start_ticks(pid.as_raw_nonzero().get().unsigned_abs()) == Some(ticks) {
        let _ = send_signal(&process, libc::SIGKILL);
    }
}
