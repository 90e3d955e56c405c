//! How a process ended.

use std::os::fd::AsFd;

use rustix::io::Errno;
use rustix::process::{WaitId, WaitIdOptions, waitid};

use crate::state::KILLED;

/// Takes the status of a child: its exit code, or 128 and the signal; that of a killed one when somebody else took it. `None`
/// while it runs.
pub(crate) fn exit_code(child: impl AsFd) -> Option<i32> {
    loop {
        match waitid(WaitId::PidFd(child.as_fd()), WaitIdOptions::EXITED | WaitIdOptions::NOHANG) {
            Err(Errno::INTR) => {}
            Ok(None) => return None,
            Ok(Some(status)) => {
                let code = status.exit_status().or_else(|| status.terminating_signal().map(|signal| 128 + signal));
                return Some(code.unwrap_or(KILLED));
            }
            Err(_) => return Some(KILLED),
        }
    }
}
