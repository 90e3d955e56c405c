//! The supervisor's loop: one thread, one `poll`, nothing that waits for anybody in particular.
//!
//! What happens to the container becomes an [`Event`], and what follows from it is decided by the table in
//! [`course`](super::course) and done here.

use std::fs;
use std::os::fd::{AsFd, OwnedFd};
use std::os::unix::net::UnixListener;
use std::path::{Path, PathBuf};
use std::process::Command;
use std::time::Duration;

use rustix::event::{PollFd, PollFlags, Timespec, poll};

use crate::cgroup::Warning;
use crate::clock;
use crate::control::{Connection, SOCKET};
use crate::ending::exit_code;
use crate::error::{RuntimeError, StartError};
use crate::log::{LogWriter, Stream};
use crate::state::{ContainerState, ContainerStatus, Lock, Record, start_ticks};

use super::course::{Action, Course, Event, Phase, step};
use super::guard::Guard;
use super::health::Health;
use super::launch::Launcher;
use super::plan::SupervisorPlan;
use super::probe::Probe;
use super::streams::{Output, Stdio, Streams};
use super::sys;

/// How long clients that are not paced have for what they did not take yet, after the container ended.
const FAREWELL: Duration = Duration::from_secs(2);

/// Output that is read at once.
const PIECE: usize = 32 << 10;

/// A container and all who have to do with it.
pub(crate) struct Supervisor<L> {
    directory: PathBuf,
    pub(super) plan: SupervisorPlan,
    pub(super) launcher: L,
    course: Course,
    pub(super) record: Record,
    init: Option<Init>,
    /// Whether its program ever ran.
    ran: bool,
    pub(super) streams: Streams,
    log: LogWriter,
    pub(super) listener: Option<UnixListener>,
    pub(super) clients: Vec<Connection>,
    health: Option<Health>,
    probe: Option<Probe>,
    signals: OwnedFd,
    lock: Option<Lock>,
}

struct Init {
    pidfd: OwnedFd,
    guard: Option<Guard>,
}

/// What a descriptor of the loop belongs to.
#[derive(Clone, Copy)]
enum Source {
    Listener,
    Signals,
    Init,
    Output(Stream),
    Input,
    Client(usize),
    Probe,
}

impl<L: Launcher> Supervisor<L> {
    /// Opens log and socket; nothing runs yet. Who has the lock has cleaned up what an earlier supervisor left.
    pub(crate) fn new(
        directory: &Path,
        plan: SupervisorPlan,
        launcher: L,
        lock: Lock,
    ) -> Result<Supervisor<L>, RuntimeError> {
        let signals = sys::signals_to_end().map_err(|cause| RuntimeError::system("taking over signals", cause))?;
        let log = LogWriter::open(directory, &plan.log)?;
        let listener = listen(directory)?;
        // One that could not be started again is what it was before.
        let started_at = Record::read(directory)?.map_or(0, |record| record.state.started_at);
        let state = ContainerState { started_at, ..ContainerState::created() };
        Ok(Supervisor {
            directory: directory.to_owned(),
            course: Course::new(plan.restart, plan.stop_signal, clock::steady()),
            record: Record { state, init_ticks: 0, cgroup: launcher.cgroup_path(), stopped: false },
            plan,
            launcher,
            init: None,
            ran: false,
            streams: Streams::default(),
            log,
            listener: Some(listener),
            clients: Vec::new(),
            health: None,
            probe: None,
            signals,
            lock: Some(lock),
        })
    }

    /// Lets those take part who asked before anything runs, and starts init. Returns its number.
    pub(crate) fn begin(&mut self) -> Result<(u32, Vec<Warning>), StartError> {
        self.accept();
        for client in (0..self.clients.len()).rev() {
            if !self.hear(client) {
                self.leave(client);
            }
        }
        match self.launch() {
            Ok(warnings) => Ok((self.record.state.pid, warnings)),
            Err(error) => {
                self.fail(&error);
                let _ = self.happen(Event::NotStarted);
                Err(error)
            }
        }
    }

    /// Serves until the container ended for good.
    pub(crate) fn serve(mut self) {
        sys::shrink_heap();
        while self.course.phase != Phase::Ended {
            for (source, flags) in self.wait(self.deadline()) {
                self.serve_one(source, flags);
            }
            self.clients.retain(|client| !client.is_finished() || client.removes());
            let now = clock::steady();
            if self.course.deadline().is_some_and(|deadline| now >= deadline) {
                let _ = self.happen(Event::Time);
            }
            self.look_after_health(now);
        }
        self.linger();
    }

    /// What happened to the container becomes actions, which are done.
    ///
    /// # Errors
    /// When it is refused, or the action that it was about fails.
    pub(super) fn happen(&mut self, event: Event) -> Result<(), RuntimeError> {
        let before = self.course.clone();
        let (course, actions) = step(before.clone(), event, clock::steady());
        self.course = course;
        for action in actions {
            match self.act(action) {
                Ok(()) => {}
                Err(error) => {
                    if matches!(action, Action::Freeze | Action::Thaw | Action::Refuse(_)) {
                        self.course = before;
                    }
                    return Err(error);
                }
            }
        }
        Ok(())
    }

    fn act(&mut self, action: Action) -> Result<(), RuntimeError> {
        match action {
            Action::Send(signal) => self.send(signal),
            Action::Kill => {
                self.launcher.cgroup().kill();
                self.send(libc::SIGKILL)
            }
            Action::Freeze => self.launcher.cgroup().freeze(),
            Action::Thaw => self.launcher.cgroup().thaw(),
            Action::Launch => {
                if let Err(error) = self.launch() {
                    self.fail(&error);
                    self.happen(Event::NotStarted)?;
                }
                Ok(())
            }
            Action::Record => {
                self.record();
                Ok(())
            }
            Action::Finish => {
                self.finish();
                Ok(())
            }
            Action::Refuse(reason) => Err(RuntimeError::Conflict(reason.to_owned())),
        }
    }

    fn send(&self, signal: i32) -> Result<(), RuntimeError> {
        let Some(init) = &self.init else {
            return Err(RuntimeError::Conflict("the container is not running".to_owned()));
        };
        match sys::send_signal(&init.pidfd, signal) {
            Ok(()) => Ok(()),
            // It ended just now, which will be seen.
            Err(cause) if cause.raw_os_error() == Some(libc::ESRCH) => Ok(()),
            Err(cause) if cause.raw_os_error() == Some(libc::EINVAL) => {
                Err(RuntimeError::Invalid(format!("{signal} is no signal")))
            }
            Err(cause) => Err(RuntimeError::system(format!("sending signal {signal} to the container"), cause)),
        }
    }

    fn launch(&mut self) -> Result<Vec<Warning>, StartError> {
        let stdio = if self.plan.terminal {
            Stdio::Terminal
        } else {
            let (streams, pipes) = Streams::pipes(self.plan.open_stdin).map_err(RuntimeError::into_start_error)?;
            self.streams = streams;
            Stdio::Pipes(pipes)
        };
        let launched = self.launcher.launch(stdio)?;
        if let Some(terminal) = launched.terminal {
            self.streams = Streams::terminal(terminal).map_err(RuntimeError::into_start_error)?;
        }
        // Without it the container still runs and ends as it should, unless this process is killed.
        let guard = Guard::start(&launched.pidfd).ok();
        self.init = Some(Init { pidfd: launched.pidfd, guard });
        self.ran = true;
        self.health = self.plan.health.clone().map(|check| Health::new(check, clock::steady()));
        self.record.init_ticks = start_ticks(launched.pid).unwrap_or(0);
        let state = &mut self.record.state;
        state.pid = launched.pid;
        state.started_at = clock::now();
        state.error.clear();
        state.exit_code = 0;
        state.oom_killed = false;
        let _ = self.happen(Event::Started);
        Ok(launched.warnings)
    }

    fn fail(&mut self, error: &StartError) {
        self.launcher.ended();
        let state = &mut self.record.state;
        state.exit_code = error.exit_code.into();
        state.error = error.message.clone();
        if state.started_at != 0 {
            state.finished_at = clock::now();
        }
    }

    /// Writes down what goes on. That it cannot be written is not the container's fault.
    fn record(&mut self) {
        let state = &mut self.record.state;
        state.status = match self.course.phase {
            Phase::Running => ContainerStatus::Running,
            Phase::Paused => ContainerStatus::Paused,
            Phase::Restarting(_) => ContainerStatus::Restarting,
            Phase::Ended if state.started_at == 0 => ContainerStatus::Created,
            Phase::Ended => ContainerStatus::Exited,
        };
        if matches!(self.course.phase, Phase::Restarting(_) | Phase::Ended) {
            state.pid = 0;
        }
        state.restarts = self.course.restarts;
        state.health = self.health.as_ref().map(|health| health.state().clone());
        let _ = self.record.write(&self.directory, self.course.phase == Phase::Ended);
    }

    /// The container ended for good and its last state is written: nobody new is let in, everybody is told, its lock is
    /// free. What was asked for its end is executed then.
    fn finish(&mut self) {
        let _ = fs::remove_file(self.directory.join(SOCKET));
        // Who connected just now finds the end of the connection, and the state in the directory.
        self.listener = None;
        self.tell_exit(self.record.state.exit_code);
        self.clients.iter_mut().for_each(Connection::close);
        self.lock = None;
        // Who started a container of which nothing ever ran still knows of it.
        if self.ran && !self.clients.iter().any(Connection::removes) {
            self.after_exit();
        }
    }

    fn after_exit(&self) {
        if let Some([program, arguments @ ..]) = self.plan.after_exit.as_deref() {
            let _ = Command::new(program).args(arguments).current_dir("/").spawn();
        }
    }

    /// Gives clients the rest of what they have not taken yet. A paced one has all the time it needs, and so has one that
    /// removes the container, until it leaves.
    fn linger(&mut self) {
        let until = clock::steady() + FAREWELL;
        let is_removed_by_client = self.clients.iter().any(Connection::removes);
        loop {
            let is_over = clock::steady() >= until;
            self.clients.retain(|client| {
                client.removes()
                    || !client.is_finished() && (!is_over || client.attached.is_some_and(|request| request.paced))
            });
            if self.clients.is_empty() {
                break;
            }
            let deadline = if is_over { None } else { Some(until) };
            for (source, flags) in self.wait(deadline) {
                if let Source::Client(client) = source {
                    self.clients[client].flush();
                    if flags.intersects(PollFlags::HUP | PollFlags::ERR) {
                        self.clients.swap_remove(client);
                    }
                }
            }
        }
        if is_removed_by_client && self.directory.exists() {
            self.after_exit();
        }
    }

    /// When something has to be done that nobody announces.
    fn deadline(&self) -> Option<Duration> {
        let health = match (&self.probe, &self.health, self.course.phase) {
            (Some(probe), ..) => Some(probe.deadline()),
            (None, Some(health), Phase::Running) => Some(health.next()),
            _ => None,
        };
        [self.course.deadline(), health].into_iter().flatten().min()
    }

    /// Waits until something can be done, or until the deadline.
    fn wait(&self, deadline: Option<Duration>) -> Vec<(Source, PollFlags)> {
        let mut sources = Vec::with_capacity(8 + self.clients.len());
        let mut descriptors = Vec::with_capacity(8 + self.clients.len());
        let mut add = |source, descriptor, flags| {
            sources.push(source);
            descriptors.push(PollFd::from_borrowed_fd(descriptor, flags));
        };
        if let Some(listener) = self.listener.as_ref().filter(|_| self.clients.len() < super::clients::MOST) {
            add(Source::Listener, listener.as_fd(), PollFlags::IN);
        }
        if self.course.phase != Phase::Ended {
            add(Source::Signals, self.signals.as_fd(), PollFlags::IN);
        }
        if let Some(init) = &self.init {
            add(Source::Init, init.pidfd.as_fd(), PollFlags::IN);
        }
        if !self.clients.iter().any(Connection::holds_up_output) {
            for stream in [Stream::Stdout, Stream::Stderr] {
                if let Some(output) = self.streams.output(stream) {
                    add(Source::Output(stream), output, PollFlags::IN);
                }
            }
        }
        if let Some(input) = self.streams.pending_input() {
            add(Source::Input, input, PollFlags::OUT);
        }
        if let Some(output) = self.probe.as_ref().and_then(Probe::output) {
            add(Source::Probe, output, PollFlags::IN);
        }
        for (client, connection) in self.clients.iter().enumerate() {
            let sends = connection.attached.is_some_and(|request| request.stdin);
            let hears = connection.takes_input() && (!sends || self.streams.has_room());
            let mut flags = if hears { PollFlags::IN } else { PollFlags::empty() };
            if connection.has_output() {
                flags |= PollFlags::OUT;
            }
            add(Source::Client(client), connection.socket().as_fd(), flags);
        }
        let timeout = deadline.map(|deadline| {
            let left = deadline.saturating_sub(clock::steady());
            Timespec { tv_sec: left.as_secs().cast_signed(), tv_nsec: left.subsec_nanos().into() }
        });
        let _ = poll(&mut descriptors, timeout.as_ref());
        let ready = sources.into_iter().zip(&descriptors).map(|(source, descriptor)| (source, descriptor.revents()));
        // From the last to the first, so that a client that leaves changes no number that is still to come.
        ready.filter(|(_, flags)| !flags.is_empty()).rev().collect()
    }

    fn serve_one(&mut self, source: Source, flags: PollFlags) {
        match source {
            Source::Listener => self.accept(),
            Source::Signals => {
                let mut signal = [0; 128];
                let _ = rustix::io::read(&self.signals, &mut signal);
                let (signal, timeout) = (self.plan.stop_signal, self.plan.stop_timeout(None));
                let _ = self.happen(Event::Stop { signal, timeout });
            }
            Source::Init => self.init_ended(),
            Source::Output(stream) => drop(self.read_output(stream)),
            Source::Input => self.streams.flush(),
            Source::Client(client) => {
                if client >= self.clients.len() {
                    return;
                }
                self.clients[client].flush();
                let hangs_up = flags.intersects(PollFlags::HUP | PollFlags::ERR);
                let comes = flags.intersects(PollFlags::IN) || (hangs_up && self.clients[client].takes_input());
                if (comes && !self.hear(client)) || (hangs_up && !comes) {
                    self.leave(client);
                }
            }
            Source::Probe => {
                if let Some(probe) = &mut self.probe {
                    probe.read();
                }
            }
        }
    }

    fn read_output(&mut self, stream: Stream) -> Output {
        let mut buffer = [0; PIECE];
        let output = self.streams.read(stream, &mut buffer);
        if let Output::Bytes(read) = output {
            self.log.append(stream, &buffer[..read], clock::now());
            self.spread(stream, &buffer[..read]);
        }
        output
    }

    fn init_ended(&mut self) {
        let Some(init) = &self.init else { return };
        let Some(exit_code) = exit_code(&init.pidfd) else { return };
        if let Some(init) = self.init.take()
            && let Some(guard) = init.guard
        {
            guard.reap();
        }
        self.probe = None;
        self.drain();
        self.log.finish(clock::now());
        self.streams = Streams::default();
        let state = &mut self.record.state;
        state.oom_killed = self.launcher.cgroup().out_of_memory_kills() > 0;
        state.exit_code = exit_code;
        state.finished_at = clock::now();
        self.launcher.ended();
        let _ = self.happen(Event::Exited { exit_code });
        if self.course.phase != Phase::Ended {
            self.tell_exit(exit_code);
        }
    }

    /// Reads what is left in the pipes: at most what fits into them, since all who wrote are gone.
    fn drain(&mut self) {
        let mut is_left = false;
        for stream in [Stream::Stdout, Stream::Stderr] {
            is_left |= matches!(self.read_all(stream), Output::Nothing);
        }
        if is_left {
            // Processes that are in no namespace of init's have them open.
            self.launcher.cgroup().kill();
            for stream in [Stream::Stdout, Stream::Stderr] {
                self.read_all(stream);
            }
        }
    }

    fn read_all(&mut self, stream: Stream) -> Output {
        loop {
            match self.read_output(stream) {
                Output::Bytes(_) => {}
                output => return output,
            }
        }
    }

    /// Begins a probe that is due, and takes the result of one that ended or takes too long.
    fn look_after_health(&mut self, now: Duration) {
        let Some(health) = &mut self.health else { return };
        if let Some(probe) = &mut self.probe {
            if let Some(result) = probe.result(now) {
                self.probe = None;
                health.take(result, now);
                self.record();
            }
        } else if self.course.phase == Phase::Running && self.init.is_some() && now >= health.next() {
            match Probe::start(&mut self.launcher, health, now) {
                Ok(probe) => self.probe = Some(probe),
                Err(result) => {
                    health.take(result, now);
                    self.record();
                }
            }
        }
    }
}

/// The socket for clients; one that an earlier supervisor left is replaced.
fn listen(directory: &Path) -> Result<UnixListener, RuntimeError> {
    let failed = |cause| RuntimeError::system(format!("listening in {}", directory.display()), cause);
    let open = fs::File::open(directory).map_err(failed)?;
    // The path of a socket has at most 108 bytes; through an open directory it always fits.
    let path = format!("/proc/self/fd/{}/{SOCKET}", std::os::fd::AsRawFd::as_raw_fd(&open));
    let _ = fs::remove_file(&path);
    let listener = UnixListener::bind(path).map_err(failed)?;
    listener.set_nonblocking(true).map_err(failed)?;
    Ok(listener)
}
