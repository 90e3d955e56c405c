//! From a directory to a running container: the starter's side, and the supervisor's first steps.
//!
//! The starter executes this program again with one end of a socket as its standard input. The supervisor says over it
//! that it listens, waits for one byte (so that a client can be attached before anything runs), and then says that init
//! runs its program or why not. When the starter is gone before the byte, nothing runs; later, the container does not mind.

use std::io::{self, Read as _, Write as _};
use std::os::fd::OwnedFd;
use std::os::unix::net::UnixStream;
use std::path::Path;
use std::process::Stdio;

use serde::{Deserialize, Serialize};

use crate::cgroup::Warning;
use crate::control::frame::{Decoder, Kind, encode};
use crate::control::{AttachRequest, AttachStream, Control};
use crate::error::{RuntimeError, StartError};
use crate::process::Executable;
use crate::state::Lock;

use super::launch::Launcher;
use super::plan::SupervisorPlan;
use super::serve::Supervisor;
use super::sys;

/// The name under which the supervisor is executed.
pub(crate) const PROGRAM: &str = "strata-supervisor";

const GO: u8 = b'g';

/// A container that runs its program.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Started {
    /// Its init, as this process counts processes.
    pub pid: u32,
    /// What was asked for and this machine cannot limit.
    pub warnings: Vec<Warning>,
}

/// What a supervisor says to its starter.
#[derive(Debug, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
enum Report {
    Listening,
    Running { pid: u32, warnings: Vec<Warning> },
    Failed(StartError),
}

/// Starts a container and returns when its program runs. Blocks; the caller needs nothing afterwards, and may be killed at
/// any moment.
pub fn start(directory: &Path) -> Result<Started, StartError> {
    Starter::new(directory)?.go()
}

/// Starts a container with a client that gets all that its program writes, from the first byte on.
pub fn start_attached(directory: &Path, request: AttachRequest) -> Result<(Started, AttachStream), StartError> {
    let starter = Starter::new(directory)?;
    let mut control = Control::connect(directory).map_err(RuntimeError::into_start_error)?;
    control.ask_to_attach(request).map_err(RuntimeError::into_start_error)?;
    let started = starter.go()?;
    let stream = control.attached().map_err(RuntimeError::into_start_error)?;
    Ok((started, stream))
}

struct Starter {
    socket: UnixStream,
    decoder: Decoder,
}

impl Starter {
    /// Executes the supervisor and waits until it listens.
    fn new(directory: &Path) -> Result<Starter, StartError> {
        let mut starter = Starter::spawn(directory).map_err(|cause| {
            RuntimeError::system(format!("starting a supervisor for {}", directory.display()), cause).into_start_error()
        })?;
        match starter.report()? {
            Report::Listening => Ok(starter),
            Report::Failed(error) => Err(error),
            Report::Running { .. } => Err(confused()),
        }
    }

    fn spawn(directory: &Path) -> io::Result<Starter> {
        let directory = directory.canonicalize()?;
        let (ours, theirs) = UnixStream::pair()?;
        let executable = Executable::sealed()?;
        let mut first = executable
            .command(PROGRAM)
            .arg(directory)
            .stdin(OwnedFd::from(theirs))
            .stdout(Stdio::null())
            .stderr(Stdio::null())
            .current_dir("/")
            .spawn()?;
        // It ends as soon as it has copied itself: the copy is nobody's child.
        first.wait()?;
        Ok(Starter { socket: ours, decoder: Decoder::default() })
    }

    fn go(mut self) -> Result<Started, StartError> {
        self.socket.write_all(&[GO]).map_err(|cause| lost(&cause))?;
        match self.report()? {
            Report::Running { pid, warnings } => Ok(Started { pid, warnings }),
            Report::Failed(error) => Err(error),
            Report::Listening => Err(confused()),
        }
    }

    fn report(&mut self) -> Result<Report, StartError> {
        let mut buffer = [0; 4096];
        loop {
            match self.decoder.next_frame() {
                Ok(Some(frame)) => return serde_json::from_slice(&frame.bytes).map_err(|_| confused()),
                Ok(None) => {}
                Err(_) => return Err(confused()),
            }
            match self.socket.read(&mut buffer) {
                Ok(0) => return Err(lost(&io::ErrorKind::UnexpectedEof.into())),
                Ok(read) => self.decoder.feed(&buffer[..read]),
                Err(cause) if cause.kind() == io::ErrorKind::Interrupted => {}
                Err(cause) => return Err(lost(&cause)),
            }
        }
    }
}

fn lost(cause: &io::Error) -> StartError {
    StartError { exit_code: 125, message: format!("the supervisor ended before the container ran: {cause}") }
}

fn confused() -> StartError {
    StartError { exit_code: 125, message: "the supervisor said something that makes no sense".to_owned() }
}

/// The supervisor, from its first instruction to its end. Its standard input is the starter's socket; `launcher` makes
/// what starts the container's processes, once nobody else has the container.
pub(crate) fn supervise<L: Launcher>(
    directory: &Path,
    launcher: impl FnOnce(&Path, &SupervisorPlan) -> Result<L, StartError>,
) {
    match sys::fork() {
        Ok(None) => {}
        _ => return,
    }
    let _ = rustix::process::setsid();
    let Ok(starter) = take_stdin() else { return };
    let report = |report: &Report| {
        let mut bytes = Vec::new();
        if let Ok(json) = serde_json::to_vec(report) {
            encode(&mut bytes, Kind::Message, &json);
        }
        (&starter).write_all(&bytes)
    };
    let mut supervisor = match prepare(directory, launcher) {
        Ok(supervisor) => supervisor,
        Err(error) => return drop(report(&Report::Failed(error))),
    };
    let mut go = [0];
    if report(&Report::Listening).is_err() || (&starter).read_exact(&mut go).is_err() {
        // Nobody knows of this container.
        return;
    }
    match supervisor.begin() {
        Ok((pid, warnings)) => {
            let _ = report(&Report::Running { pid, warnings });
            drop(starter);
            supervisor.serve();
        }
        Err(error) => drop(report(&Report::Failed(error))),
    }
}

/// Takes the socket out of standard input, where a null device takes its place.
fn take_stdin() -> io::Result<UnixStream> {
    let socket = rustix::io::fcntl_dupfd_cloexec(rustix::stdio::stdin(), 3)?;
    let null = std::fs::File::open("/dev/null")?;
    rustix::stdio::dup2_stdin(&null)?;
    Ok(UnixStream::from(socket))
}

fn prepare<L: Launcher>(
    directory: &Path,
    launcher: impl FnOnce(&Path, &SupervisorPlan) -> Result<L, StartError>,
) -> Result<Supervisor<L>, StartError> {
    let prepare = || {
        let lock = Lock::take(directory)?;
        crate::clean::clean_up(directory)?;
        crate::process::forget_execs(directory);
        Ok((SupervisorPlan::read(directory)?, lock))
    };
    let (plan, lock) = prepare().map_err(RuntimeError::into_start_error)?;
    let launcher = launcher(directory, &plan)?;
    Supervisor::new(directory, plan, launcher, lock).map_err(RuntimeError::into_start_error)
}

/// A starter that is killed at a stage, for tests.
#[cfg(test)]
pub(super) fn die_at(directory: &Path, stage: &str) {
    let die = || sys::send_signal(own_process(), libc::SIGKILL);
    if stage == "spawned" {
        // The supervisor is copied and works, and nothing of what it says was read.
        let starter = Starter::spawn(directory);
        let _ = die();
        drop(starter);
    }
    let Ok(mut starter) = Starter::new(directory) else { return };
    if stage == "listening" {
        let _ = die();
    }
    let _ = starter.socket.write_all(&[GO]);
    if stage == "going" {
        let _ = die();
    }
    let _ = starter.report();
    let _ = die();
}

#[cfg(test)]
fn own_process() -> OwnedFd {
    let own = rustix::process::getpid();
    rustix::process::pidfd_open(own, rustix::process::PidfdFlags::empty()).expect("this process is there")
}
