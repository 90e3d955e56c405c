//! A second pair of eyes: a copy of the supervisor that only waits for its end, and then kills the container.
//!
//! The kernel kills init when its parent dies, but forgets about it when init changes its user, as the entry points of
//! many images do; a container would run on without anybody who reads its output. The copy has two descriptors and a few
//! pages of its own.

use std::os::fd::{AsFd, OwnedFd};

use rustix::event::{PollFd, PollFlags, poll};
use rustix::process::{Pid, PidfdFlags, WaitOptions, getpid, pidfd_open, waitpid};

use crate::error::RuntimeError;

use super::sys;

/// The copy. It ends by itself with init.
#[derive(Debug)]
pub(crate) struct Guard {
    process: Pid,
}

impl Guard {
    /// Watches over the init of this pidfd.
    pub(crate) fn start(init: &OwnedFd) -> Result<Guard, RuntimeError> {
        let failed = |cause: std::io::Error| RuntimeError::system("copying the supervisor to watch over it", cause);
        let own = pidfd_open(getpid(), PidfdFlags::empty()).map_err(|errno| failed(errno.into()))?;
        match sys::fork().map_err(failed)? {
            Some(copy) => match Pid::from_raw(copy) {
                Some(process) => Ok(Guard { process }),
                None => Err(failed(std::io::ErrorKind::NotFound.into())),
            },
            None => {
                sys::close_all_but(&own, init);
                watch(&own, init);
                sys::exit_now(0)
            }
        }
    }

    /// After init ended: leaves no dead process behind.
    pub(crate) fn reap(self) {
        let _ = waitpid(Some(self.process), WaitOptions::empty());
    }
}

fn watch(supervisor: &OwnedFd, init: &OwnedFd) {
    let mut ends = [PollFd::new(supervisor, PollFlags::IN), PollFd::new(init, PollFlags::IN)];
    while poll(&mut ends, None).is_err() {}
    if !ends[0].revents().is_empty() {
        let _ = sys::send_signal(init.as_fd(), libc::SIGKILL);
    }
}
