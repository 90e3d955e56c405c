//! The process that joins a container for [`exec`](super::exec): it clones a child, puts it into the container's control
//! groups, and only the child joins the namespaces.

use std::fs::File;
use std::io::{self, Read};
use std::os::fd::{AsFd, OwnedFd};
use std::os::unix::net::UnixStream;
use std::path::PathBuf;
use std::process::ExitCode;

use oci_spec::runtime::{LinuxNamespaceType as Type, Process, Spec};
use rustix::process::{Pid, PidfdFlags, Signal, WaitId, WaitIdOptions, pidfd_open, pidfd_send_signal, setsid, waitid};
use rustix::thread::{ThreadNameSpaceType, move_into_thread_name_spaces};

use super::channel::Channel;
use super::exec::{Answer, ExecSpec, Relayed, Request};
use super::exec_record::ExecRecord;
use super::identity::{self, Confinement};
use super::init::{own_streams, place_streams, set_terminal_size};
use super::message::{Failure, Stage};
use super::program::{self, Program};
use super::relay::{self, Relay};
use super::sys::{self, Cloned};
use super::{Streams, bundle, namespaces, rootless};
use crate::cgroup::Cgroup;
use crate::error::{RuntimeError, StartError};
use crate::state::start_ticks;
use crate::supervisor;

/// The name under which this program joins a container.
pub(super) const PROGRAM: &str = "strata-exec";

/// The process that was executed: starts the program, says so, and ends as it does.
pub(super) fn enter() -> ExitCode {
    // What the client's terminal sends to its processes is not for this one.
    let _ = setsid();
    let Ok(stdin) = rustix::stdio::stdin().try_clone_to_owned() else { return ExitCode::FAILURE };
    let channel = Channel::from(stdin);
    if let Ok(null) = File::open("/dev/null") {
        let _ = rustix::stdio::dup2_stdin(&null);
    }
    let Ok(Some(((), descriptors))) = channel.receive::<()>() else { return ExitCode::FAILURE };
    match Joined::start(descriptors) {
        Ok(joined) => {
            let _ = channel.send(&Answer::Ok(joined.pid), &[joined.pidfd.as_fd()]);
            drop(channel);
            ExitCode::from(u8::try_from(joined.serve()).unwrap_or(u8::MAX))
        }
        Err(error) => {
            let _ = channel.send(&Answer::Err(error), &[]);
            ExitCode::FAILURE
        }
    }
}

/// A child that became the program.
struct Joined {
    pid: u32,
    pidfd: OwnedFd,
    relay: Option<(Relay, PathBuf, Relayed)>,
}

impl Joined {
    fn start(descriptors: Vec<OwnedFd>) -> Result<Joined, StartError> {
        let missing = || RuntimeError::Invalid("the request is incomplete".to_owned()).into_start_error();
        let failed = |action: &'static str| move |cause| RuntimeError::system(action, cause).into_start_error();
        let mut descriptors = descriptors.into_iter();
        let mut text = Vec::new();
        let mut document = File::from(descriptors.next().ok_or_else(missing)?);
        document.read_to_end(&mut text).map_err(failed("reading the request"))?;
        let mut request: Request = serde_json::from_slice(&text).map_err(|_| missing())?;
        let given: Vec<OwnedFd> = descriptors.collect();
        let Some(mut relayed) = request.relayed.take() else {
            let streams = Streams::Descriptors(given.try_into().map_err(|_| missing())?);
            let (pid, pidfd, _) = join(&request, streams)?;
            return Ok(Joined { pid, pidfd, relay: None });
        };
        let socket = UnixStream::from(given.into_iter().next().ok_or_else(missing)?);
        let (mut ours, theirs) = streams(&relayed.record).map_err(RuntimeError::into_start_error)?;
        let (pid, pidfd, terminal) = join(&request, theirs)?;
        if let Some(terminal) = terminal {
            ours = supervisor::Streams::terminal(terminal).map_err(RuntimeError::into_start_error)?;
        }
        relayed.record.started(pid);
        // A record that cannot be written is no reason to end what runs.
        let _ = relayed.record.write(&request.directory, &relayed.id);
        let relay = Relay::new(ours, socket, relayed.record.attach).map_err(failed("serving the program's client"))?;
        Ok(Joined { pid, pidfd, relay: Some((relay, request.directory, relayed)) })
    }

    /// Until the program ended; its exit code.
    fn serve(self) -> i32 {
        let Some((mut relay, directory, Relayed { mut record, id, keeps_record })) = self.relay else {
            return relay::wait(&self.pidfd);
        };
        let exit_code = relay.serve(&self.pidfd);
        if keeps_record {
            record.exit_code = Some(exit_code);
            let _ = record.write(&directory, &id);
        } else {
            ExecRecord::remove(&directory, &id);
        }
        relay.finish(exit_code);
        exit_code
    }
}

/// The streams of a recorded program: our ends, unless it makes a terminal, and its own.
fn streams(record: &ExecRecord) -> Result<(supervisor::Streams, Streams), RuntimeError> {
    if record.program.terminal.is_some() {
        return Ok((supervisor::Streams::default(), Streams::Terminal));
    }
    let (ours, theirs) = supervisor::Streams::pipes(record.attach.stdin)?;
    Ok((ours, Streams::Descriptors(theirs)))
}

/// A child that becomes the program: its number, handle and terminal.
fn join(request: &Request, streams: Streams) -> Result<(u32, OwnedFd, Option<OwnedFd>), StartError> {
    let failed = |action: &'static str| move |cause: io::Error| RuntimeError::system(action, cause).into_start_error();
    let target = Target::open(request).map_err(RuntimeError::into_start_error)?;
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
                set_terminal_size(&master, &self.process)?;
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
    if let Some(size) = program.terminal {
        let console = oci_spec::runtime::BoxBuilder::default().height(size.rows).width(size.columns).build();
        process.set_console_size(console.ok());
    }
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
