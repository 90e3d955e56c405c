//! A further program in a running container: `exec`.
//!
//! The caller, who may have any number of threads, executes this program again with a channel as its standard input
//! ([`join`](super::join)). That process stays outside as the parent of the program; it either passes the exit on, or serves
//! the program's streams ([`relay`](super::relay)) and outlives its caller.

use std::fs::File;
use std::io::{self, Seek, SeekFrom, Write};
use std::os::fd::{AsFd, BorrowedFd, OwnedFd};
use std::os::unix::net::UnixStream;
use std::os::unix::process::ExitStatusExt;
use std::path::{Path, PathBuf};
use std::process::{Child, Stdio};

use rustix::fs::{MemfdFlags, memfd_create};
use rustix::process::{Signal, pidfd_send_signal};
use serde::{Deserialize, Serialize};

use super::channel::Channel;
use super::exec_record::ExecRecord;
use super::executable::Executable;
use super::join::PROGRAM;
use crate::control::AttachStream;
use crate::error::{RuntimeError, StartError};
use crate::state::Record;

/// A program to be run in a container. What is not said is as the container's own program has it.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct ExecSpec {
    /// The program and its arguments.
    pub args: Vec<String>,
    /// Variables added to the container's, `NAME=value`.
    pub env: Vec<String>,
    /// User, and group after a colon: names of the container's files, or numbers.
    pub user: Option<String>,
    /// Working directory.
    pub cwd: Option<PathBuf>,
    /// Whether it has all capabilities.
    pub privileged: bool,
    /// The size of its terminal, if it has one.
    pub terminal: Option<TerminalSize>,
    /// What its client types to leave it, as it was given; empty for docker's own.
    #[serde(default)]
    pub detach_keys: String,
}

/// The size of a terminal.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct TerminalSize {
    /// Lines.
    pub rows: u16,
    /// Characters a line.
    pub columns: u16,
}

/// A program that runs in a container. It is not ended by dropping this.
#[derive(Debug)]
pub struct ExecProcess {
    child: Child,
    pid: u32,
    pidfd: OwnedFd,
}

impl ExecProcess {
    /// Its number, as this process counts processes.
    pub fn pid(&self) -> u32 {
        self.pid
    }

    /// Waits for its end: its exit code, or 128 and the number of the signal.
    pub fn wait(&mut self) -> Result<i32, RuntimeError> {
        let status = self.child.wait().map_err(|cause| RuntimeError::system("waiting for the program's end", cause))?;
        Ok(status.code().unwrap_or_else(|| 128 + status.signal().unwrap_or(0)))
    }

    /// Sends it a signal.
    pub fn signal(&self, signal: i32) -> Result<(), RuntimeError> {
        let named = Signal::from_named_raw(signal)
            .ok_or_else(|| RuntimeError::Invalid(format!("there is no signal {signal}")))?;
        pidfd_send_signal(&self.pidfd, named)
            .map_err(|cause| RuntimeError::system(format!("sending signal {signal} to process {}", self.pid), cause))
    }

    /// The process that waits for the program; killing it kills the program.
    pub(crate) fn into_child(self) -> Child {
        self.child
    }
}

/// What the joining process has to know, from the caller.
#[derive(Debug, Serialize, Deserialize)]
pub(super) struct Request {
    pub(super) directory: PathBuf,
    pub(super) init: u32,
    pub(super) init_ticks: u64,
    pub(super) cgroup: String,
    pub(super) program: ExecSpec,
    /// The streams are served by the joining process; otherwise they come with the request.
    pub(super) relayed: Option<Relayed>,
}

/// How the joining process serves the streams.
#[derive(Debug, Serialize, Deserialize)]
pub(super) struct Relayed {
    pub(super) record: ExecRecord,
    pub(super) id: String,
    /// Whether the record stays when the program ended.
    pub(super) keeps_record: bool,
}

/// What it answers: once, with the pidfd.
pub(super) type Answer = Result<u32, StartError>;

/// Starts a program in the running container of `directory` with these standard streams; returns when it is executed.
/// Blocks.
///
/// # Errors
/// [`RuntimeError::Conflict`] when the container does not run or is paused, [`RuntimeError::Start`] when the program
/// cannot be started.
pub fn exec(directory: &Path, program: &ExecSpec, streams: [OwnedFd; 3]) -> Result<ExecProcess, RuntimeError> {
    let streams: Vec<_> = streams.iter().map(AsFd::as_fd).collect();
    start(&request(directory, program.clone(), None)?, &streams)
}

/// Starts the program that is recorded as `id`, with streams of its own, or a terminal. The client of the stream may leave
/// at any time, as may this process: the program goes on. The record is removed when the program ended, or kept if
/// `keeps_record`.
///
/// # Errors
/// As [`exec`]; [`RuntimeError::NotFound`] without a record, [`RuntimeError::Conflict`] when it was started already.
pub fn exec_attached(directory: &Path, id: &str, keeps_record: bool) -> Result<AttachStream, RuntimeError> {
    let record = ExecRecord::read(directory, id)?;
    let record = record.ok_or_else(|| RuntimeError::NotFound(format!("No such exec instance: {id}")))?;
    if record.pid != 0 {
        return Err(RuntimeError::Conflict(format!("exec {id} has already been started")));
    }
    let (ours, theirs) =
        UnixStream::pair().map_err(|cause| RuntimeError::system("making a connection to the program", cause))?;
    let program = record.program.clone();
    let relayed = Relayed { record, id: id.to_owned(), keeps_record };
    start(&request(directory, program, Some(relayed))?, &[theirs.as_fd()])?;
    drop(theirs);
    AttachStream::of_program(ours)
}

fn request(directory: &Path, program: ExecSpec, relayed: Option<Relayed>) -> Result<Request, RuntimeError> {
    use crate::state::ContainerStatus;
    let record = Record::read(directory)?.filter(|record| record.state.pid != 0);
    let Some(record) = record.filter(|record| record.state.status == ContainerStatus::Running) else {
        return Err(RuntimeError::Conflict("the container is not running".to_owned()));
    };
    Ok(Request {
        directory: directory.to_owned(),
        init: record.state.pid,
        init_ticks: record.init_ticks,
        cgroup: record.cgroup,
        program,
        relayed,
    })
}

fn start(request: &Request, streams: &[BorrowedFd<'_>]) -> Result<ExecProcess, RuntimeError> {
    let failed = |cause: io::Error| RuntimeError::system("starting a program in the container", cause);
    let (here, mut child) = hand_over(request, streams).map_err(failed)?;
    match here.receive::<Answer>().map_err(failed)? {
        Some((Ok(pid), descriptors)) => {
            let pidfd = descriptors.into_iter().next();
            let pidfd = pidfd.ok_or_else(|| failed(io::ErrorKind::UnexpectedEof.into()))?;
            Ok(ExecProcess { child, pid, pidfd })
        }
        Some((Err(error), _)) => {
            let _ = child.wait();
            Err(error.into())
        }
        None => {
            let status = child.wait().map_err(failed)?;
            Err(failed(io::Error::other(format!("the process that joins it ended ({status})"))))
        }
    }
}

/// Executes this program again and gives it the request and the streams.
fn hand_over(request: &Request, streams: &[BorrowedFd<'_>]) -> io::Result<(Channel, Child)> {
    let (here, there) = Channel::pair()?;
    let executable = Executable::sealed()?;
    let child = executable
        .command(PROGRAM)
        .stdin(OwnedFd::from(there))
        .stdout(Stdio::null())
        .stderr(Stdio::null())
        .current_dir("/")
        .spawn()?;
    let mut document = File::from(memfd_create("request", MemfdFlags::CLOEXEC)?);
    document.write_all(&serde_json::to_vec(request)?)?;
    document.seek(SeekFrom::Start(0))?;
    let mut descriptors = vec![document.as_fd()];
    descriptors.extend(streams);
    here.send(&(), &descriptors)?;
    Ok((here, child))
}
