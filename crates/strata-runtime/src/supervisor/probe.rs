//! A run of a health check's program.

use std::os::fd::{AsFd, BorrowedFd, OwnedFd};
use std::process::Child;
use std::time::Duration;

use rustix::fs::{OFlags, fcntl_setfl};
use rustix::io::Errno;
use rustix::pipe::{PipeFlags, pipe_with};

use crate::clock;
use crate::state::ProbeResult;

use super::health::{Health, OUTPUT};
use super::launch::Launcher;

/// How often it is looked whether the program ended; its output may be closed sooner or later.
const GLANCE: Duration = Duration::from_millis(50);

/// A program that runs, and what it wrote.
pub(super) struct Probe {
    child: Child,
    output: Option<OwnedFd>,
    text: Vec<u8>,
    start: i64,
    timeout: Duration,
    kill_at: Duration,
}

impl Probe {
    /// Starts the program of a check; the result is there at once when that fails.
    pub(super) fn start<L: Launcher>(launcher: &mut L, health: &Health, now: Duration) -> Result<Probe, ProbeResult> {
        let start = clock::now();
        let pipe = pipe_with(PipeFlags::CLOEXEC).map_err(std::io::Error::from);
        let started = pipe.map_err(|cause| cause.to_string()).and_then(|(ours, theirs)| {
            fcntl_setfl(&ours, OFlags::NONBLOCK).map_err(|errno| errno.to_string())?;
            let child = launcher.probe(health.test(), theirs).map_err(|error| error.to_string())?;
            Ok((ours, child))
        });
        match started {
            Ok((output, child)) => Ok(Probe {
                child,
                output: Some(output),
                text: Vec::new(),
                start,
                timeout: health.timeout(),
                kill_at: now + health.timeout(),
            }),
            Err(output) => Err(ProbeResult { start, end: clock::now(), exit_code: -1, output }),
        }
    }

    /// When it has to be looked at.
    pub(super) fn deadline(&self) -> Duration {
        self.kill_at.min(clock::steady() + GLANCE)
    }

    /// What it writes to, until it is closed.
    pub(super) fn output(&self) -> Option<BorrowedFd<'_>> {
        self.output.as_ref().map(AsFd::as_fd)
    }

    /// Takes what it wrote.
    pub(super) fn read(&mut self) {
        let Some(output) = &self.output else { return };
        let mut buffer = [0; OUTPUT];
        match rustix::io::read(output, &mut buffer) {
            Ok(read) if read > 0 => {
                let room = OUTPUT - self.text.len();
                self.text.extend_from_slice(&buffer[..read.min(room)]);
            }
            Err(Errno::AGAIN | Errno::INTR) => {}
            _ => self.output = None,
        }
    }

    /// How it ended, when it ended or took too long.
    pub(super) fn result(&mut self, now: Duration) -> Option<ProbeResult> {
        let (exit_code, output) = match self.child.try_wait() {
            Ok(Some(status)) => {
                self.read();
                // Docker knows of a failure only that it is one.
                let code = status.code().unwrap_or(-1);
                (code, String::from_utf8_lossy(&self.text).into_owned())
            }
            Ok(None) if now < self.kill_at => return None,
            _ => {
                let timeout = self.timeout.as_secs_f64();
                (-1, format!("Health check exceeded timeout ({timeout}s)"))
            }
        };
        Some(ProbeResult { start: self.start, end: clock::now(), exit_code, output })
    }
}

/// A program that still runs is killed: it took too long, or its container ended.
impl Drop for Probe {
    fn drop(&mut self) {
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}
