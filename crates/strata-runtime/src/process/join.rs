//! A further program in a running container: `exec`.
//!
//! The caller, who may have any number of threads, executes this program again with a channel as its standard input. That
//! process stays outside as the parent of the program, whose exit it passes on; it clones a child, puts it into the
//! container's control groups, and only the child joins the namespaces.

use std::fs::File;
use std::io::{self, Read, Seek, SeekFrom, Write};
use std::os::fd::{AsFd, OwnedFd};
use std::os::unix::process::ExitStatusExt;
use std::path::{Path, PathBuf};
use std::process::{Child, ExitCode, Stdio};

use oci_spec::runtime::{LinuxNamespaceType as Type, Process, Spec};
use rustix::fs::{MemfdFlags, memfd_create};
use rustix::process::{Pid, PidfdFlags, Signal, WaitId, WaitIdOptions, pidfd_open, pidfd_send_signal, setsid, waitid};
use rustix::termios::{Winsize, tcsetwinsize};
use rustix::thread::{ThreadNameSpaceType, move_into_thread_name_spaces};
use serde::{Deserialize, Serialize};

use super::channel::Channel;
use super::executable::Executable;
use super::identity::{self, Confinement};
use super::init::{own_streams, place_streams};
use super::message::{Failure, Stage};
use super::program::{self, Program};
use super::sys::{self, Cloned};
use super::{Streams, bundle, namespaces, rootless};
use crate::cgroup::Cgroup;
use crate::error::{RuntimeError, StartError};
use crate::state::{Record, start_ticks};

/// The name under which this program joins a container.
pub(super) const PROGRAM: &str = "strata-exec";

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
}

/// What a program's standard streams are.
#[derive(Debug)]
pub enum ExecStreams {
    /// Standard input, output and errors.
    Descriptors([OwnedFd; 3]),
    /// A new terminal of the container, of this size.
    Terminal {
        /// Lines.
        rows: u16,
        /// Characters a line.
        columns: u16,
    },
}

/// A program that runs in a container. It is not ended by dropping this.
#[derive(Debug)]
pub struct ExecProcess {
    child: Child,
    pid: u32,
    pidfd: OwnedFd,
    terminal: Option<OwnedFd>,
}

impl ExecProcess {
    /// Its number, as this process counts processes.
    pub fn pid(&self) -> u32 {
        self.pid
    }

    /// The master of its terminal.
    pub fn terminal(&self) -> Option<&OwnedFd> {
        self.terminal.as_ref()
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

    /// Tells its terminal the size of the user's.
    pub fn resize(&self, rows: u16, columns: u16) -> Result<(), RuntimeError> {
        let terminal = self.terminal.as_ref().ok_or_else(|| RuntimeError::Conflict("it has no terminal".to_owned()))?;
        resize(terminal, rows, columns)
    }

    /// The process that waits for the program; killing it kills the program.
    pub(crate) fn into_child(self) -> Child {
        self.child
    }
}

fn resize(terminal: &OwnedFd, rows: u16, columns: u16) -> Result<(), RuntimeError> {
    tcsetwinsize(terminal, Winsize { ws_row: rows, ws_col: columns, ws_xpixel: 0, ws_ypixel: 0 })
        .map_err(|cause| RuntimeError::system("resizing the terminal", cause))
}

/// What the joining process has to know, from the caller.
#[derive(Debug, Serialize, Deserialize)]
struct Request {
    directory: PathBuf,
    init: u32,
    init_ticks: u64,
    cgroup: String,
    program: ExecSpec,
    terminal: bool,
}

/// What it answers: once, with the pidfd and the terminal.
type Answer = Result<u32, StartError>;

/// Starts a program in the running container of `directory`; returns when it is executed. Blocks.
///
/// # Errors
/// [`RuntimeError::Conflict`] when the container does not run or is paused, [`RuntimeError::Start`] when the program
/// cannot be started.
pub fn exec(directory: &Path, program: &ExecSpec, streams: ExecStreams) -> Result<ExecProcess, RuntimeError> {
    use crate::state::ContainerStatus;
    let record = Record::read(directory)?.filter(|record| record.state.pid != 0);
    let Some(record) = record.filter(|record| record.state.status == ContainerStatus::Running) else {
        return Err(RuntimeError::Conflict("the container is not running".to_owned()));
    };
    let (terminal, size) = match &streams {
        ExecStreams::Terminal { rows, columns } => (true, Some((*rows, *columns))),
        ExecStreams::Descriptors(_) => (false, None),
    };
    let request = Request {
        directory: directory.to_owned(),
        init: record.state.pid,
        init_ticks: record.init_ticks,
        cgroup: record.cgroup,
        program: program.clone(),
        terminal,
    };
    let failed = |cause: io::Error| RuntimeError::system("starting a program in the container", cause);
    let (here, child) = hand_over(&request, streams).map_err(failed)?;
    let answered = here.receive::<Answer>().map_err(failed)?;
    let mut child = child;
    match answered {
        Some((Ok(pid), descriptors)) => {
            let mut descriptors = descriptors.into_iter();
            let pidfd = descriptors.next().ok_or_else(|| failed(io::ErrorKind::UnexpectedEof.into()))?;
            let terminal = descriptors.next();
            if let (Some(terminal), Some((rows, columns))) = (&terminal, size) {
                resize(terminal, rows, columns)?;
            }
            Ok(ExecProcess { child, pid, pidfd, terminal })
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
fn hand_over(request: &Request, streams: ExecStreams) -> io::Result<(Channel, Child)> {
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
    if let ExecStreams::Descriptors(streams) = &streams {
        descriptors.extend(streams.iter().map(AsFd::as_fd));
    }
    here.send(&(), &descriptors)?;
    Ok((here, child))
}

/// The process that was executed: starts the program, says so, and ends as it does.
pub(super) fn enter() -> ExitCode {
    let Ok(stdin) = rustix::stdio::stdin().try_clone_to_owned() else { return ExitCode::FAILURE };
    let channel = Channel::from(stdin);
    if let Ok(null) = File::open("/dev/null") {
        let _ = rustix::stdio::dup2_stdin(&null);
    }
    let Ok(Some(((), descriptors))) = channel.receive::<()>() else { return ExitCode::FAILURE };
    match join(descriptors) {
        Ok((pid, pidfd, terminal)) => {
            let descriptors = [Some(pidfd.as_fd()), terminal.as_ref().map(AsFd::as_fd)];
            let descriptors: Vec<_> = descriptors.into_iter().flatten().collect();
            let _ = channel.send(&Answer::Ok(pid), &descriptors);
            drop((channel, terminal));
            ended(&pidfd)
        }
        Err(error) => {
            let _ = channel.send(&Answer::Err(error), &[]);
            ExitCode::FAILURE
        }
    }
}

fn ended(pidfd: &OwnedFd) -> ExitCode {
    loop {
        match waitid(WaitId::PidFd(pidfd.as_fd()), WaitIdOptions::EXITED) {
            Err(rustix::io::Errno::INTR) => {}
            Ok(Some(status)) => {
                let code = status.exit_status().unwrap_or_else(|| 128 + status.terminating_signal().unwrap_or(0));
                return ExitCode::from(u8::try_from(code).unwrap_or(u8::MAX));
            }
            _ => return ExitCode::FAILURE,
        }
    }
}

/// A child that becomes the program: its number, handle and terminal.
fn join(descriptors: Vec<OwnedFd>) -> Result<(u32, OwnedFd, Option<OwnedFd>), StartError> {
    let failed = |action: &'static str| move |cause: io::Error| RuntimeError::system(action, cause).into_start_error();
    let mut descriptors = descriptors.into_iter();
    let missing = || RuntimeError::Invalid("the request is incomplete".to_owned()).into_start_error();
    let mut text = Vec::new();
    let document = File::from(descriptors.next().ok_or_else(missing)?);
    (&document).read_to_end(&mut text).map_err(failed("reading the request"))?;
    let request: Request = serde_json::from_slice(&text).map_err(|_| missing())?;
    let streams = match request.terminal {
        true => Streams::Terminal,
        false => {
            let streams: Vec<OwnedFd> = descriptors.collect();
            Streams::Descriptors(streams.try_into().map_err(|_| missing())?)
        }
    };
    let target = Target::open(&request).map_err(RuntimeError::into_start_error)?;
    let (here, there) = Channel::pair().map_err(failed("making a channel"))?;
    let cgroup = Cgroup::open(&request.cgroup);
    target.join_processes().map_err(RuntimeError::into_start_error)?;
    let (pid, pidfd) = match sys::clone(0).map_err(failed("cloning a process"))? {
        Cloned::Child => {
            drop(here);
            target.run(there, streams)
        }
        Cloned::Parent(pid, pidfd) => (pid, pidfd),
    };
    drop((there, streams));
    let started = (|| {
        let mut cgroup = cgroup.map_err(RuntimeError::into_start_error)?;
        cgroup.add(pid).map_err(RuntimeError::into_start_error)?;
        here.send(&(), &[]).map_err(failed("speaking with the program's process"))?;
        let mut terminal = None;
        // First the terminal, when there is one, then a failure or the end by execve.
        loop {
            match here.receive::<Result<(), Failure>>().map_err(failed("speaking with the program's process"))? {
                Some((Ok(()), descriptors)) => terminal = descriptors.into_iter().next(),
                Some((Err(failure), _)) => return Err(StartError::from(failure)),
                None => return Ok(terminal),
            }
        }
    })();
    match started {
        Ok(terminal) => Ok((pid, pidfd, terminal)),
        Err(error) => {
            let _ = pidfd_send_signal(&pidfd, Signal::KILL);
            let _ = waitid(WaitId::PidFd(pidfd.as_fd()), WaitIdOptions::EXITED);
            Err(error)
        }
    }
}

/// The container to be joined.
struct Target {
    spec: Spec,
    process: Process,
    confinement: Confinement,
    init: OwnedFd,
    /// The namespaces that are not this process's own.
    others: Vec<Type>,
    /// Whether the user namespace has to be joined first, for want of privileges.
    users_first: bool,
}

impl Target {
    fn open(request: &Request) -> Result<Target, RuntimeError> {
        let spec = bundle::configuration(&request.directory)?;
        let process = process_of(&spec, &request.program)?;
        let confinement = Confinement::of(&spec, &process, request.program.privileged)?;
        let gone = || RuntimeError::Conflict("the container is not running".to_owned());
        let pid = i32::try_from(request.init).ok().and_then(Pid::from_raw).ok_or_else(gone)?;
        let init = pidfd_open(pid, PidfdFlags::empty()).map_err(|_| gone())?;
        // The handle is of the right process when the process has been there since then.
        if start_ticks(request.init) != Some(request.init_ticks) {
            return Err(gone());
        }
        let others = namespaces::differing(request.init);
        let users_first = others.contains(&Type::User) && !rustix::process::geteuid().is_root();
        Ok(Target { spec, process, confinement, init, others, users_first })
    }

    fn set(&self, namespaces: ThreadNameSpaceType) -> Result<(), RuntimeError> {
        if namespaces.is_empty() {
            return Ok(());
        }
        move_into_thread_name_spaces(self.init.as_fd(), namespaces)
            .map_err(|cause| RuntimeError::system("joining the container's namespaces", cause))
    }

    /// Lets the next child count processes as the container does. Without privileges that takes its user namespace.
    fn join_processes(&self) -> Result<(), RuntimeError> {
        let mut first = ThreadNameSpaceType::empty();
        if self.others.contains(&Type::Pid) {
            first |= ThreadNameSpaceType::PROCESS_ID;
        }
        if self.users_first {
            self.set(first | ThreadNameSpaceType::USER)?;
            return rootless::become_root();
        }
        self.set(first)
    }

    /// Becomes the program, or ends.
    fn run(self, mut channel: Channel, streams: Streams) -> ! {
        let _ = rustix::process::set_parent_process_death_signal(Some(Signal::KILL));
        if !matches!(channel.receive::<()>(), Ok(Some(_))) {
            sys::leave(1);
        }
        let failure = match self.join(&channel, streams) {
            // Only what execve closes stays open, so that no path leads out through it (CVE-2024-21626).
            Ok(()) => match channel.keep_alone() {
                Ok(alone) => {
                    channel = alone;
                    match self.become_program() {
                        Ok(never) => match never {},
                        Err(failure) => failure,
                    }
                }
                Err(_) => sys::leave(1),
            },
            Err(failure) => failure,
        };
        let _ = channel.send(&Result::<(), Failure>::Err(failure), &[]);
        sys::leave(1)
    }

    fn join(&self, channel: &Channel, streams: Streams) -> Result<(), Failure> {
        identity::hide()?;
        let rest = self.others.iter().filter(|typ| !matches!(typ, Type::Pid | Type::User));
        let mut rest = rest.fold(ThreadNameSpaceType::empty(), |set, typ| set | namespaces::bits(*typ));
        // Who was not root outside joined the user namespace before.
        let users = self.others.contains(&Type::User) && !self.users_first;
        if users {
            rest |= ThreadNameSpaceType::USER;
        }
        let failed = |error: RuntimeError| Failure::new(Stage::Namespaces, error);
        self.set(rest).map_err(failed)?;
        if users {
            rootless::become_root().map_err(failed)?;
        }
        setsid().map_err(|cause| Failure::system(Stage::Namespaces, "making a session", cause))?;
        self.open_streams(channel, streams)
    }

    fn become_program(&self) -> Result<std::convert::Infallible, Failure> {
        identity::limits(&self.process)?;
        identity::personality(&self.spec)?;
        let identity = identity::identity(&self.spec, &self.process)?;
        own_streams(&identity);
        // Only what execve closes stays open, so that no path leads out through it (CVE-2024-21626).
        self.confinement.apply(&self.process, &identity)?;
        program::enter_directory(&self.process)?;
        let program = Program::find(&self.process, &identity)?;
        sys::reset_signals();
        self.confinement.apply_last()?;
        Err(program.execute())
    }

    fn open_streams(&self, channel: &Channel, streams: Streams) -> Result<(), Failure> {
        match streams {
            Streams::Descriptors(streams) => place_streams(&streams),
            Streams::Terminal => {
                let failed = |cause| Failure::system(Stage::Terminal, "opening the terminal", cause);
                let (master, slave) = sys::open_terminal().map_err(failed)?;
                sys::take_terminal(slave.as_fd()).map_err(failed)?;
                place_streams(&[&slave, &slave, &slave])?;
                channel.send(&Result::<(), Failure>::Ok(()), &[master.as_fd()]).map_err(failed)
            }
        }
    }
}

/// The container's process with what a program has differently.
fn process_of(spec: &Spec, program: &ExecSpec) -> Result<Process, RuntimeError> {
    let mut process =
        spec.process().clone().ok_or_else(|| RuntimeError::Invalid("the configuration has no process".to_owned()))?;
    let mut environment = process.env().clone().unwrap_or_default();
    for variable in &program.env {
        let name = variable.split_once('=').map_or(variable.as_str(), |(name, _)| name);
        environment.retain(|other| other.split_once('=').map_or(other.as_str(), |(other, _)| other) != name);
        environment.push(variable.clone());
    }
    process.set_env(Some(environment)).set_args(Some(program.args.clone()));
    if let Some(cwd) = &program.cwd {
        process.set_cwd(cwd.clone());
    }
    if let Some(user) = &program.user {
        let mut changed = oci_spec::runtime::User::default();
        changed.set_username(Some(user.clone())).set_umask(process.user().umask());
        process.set_user(changed);
    }
    Ok(process)
}
