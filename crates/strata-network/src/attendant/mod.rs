//! The process that listens for a container as long as its init lives.
//!
//! It is started by [`attach`](crate::attach) and answers once, with one line of JSON on standard output, when everything
//! listens or something could not. It goes on when it is told to by a byte on standard input, which comes when it is noted in
//! the state: one that nobody knows of ends at once. Then it serves published ports and the container's resolver, and holds a pidfd of init:
//! it ends by itself when the container does, whoever was killed. One thread works, another waits for init; memory is bounded by the numbers below and in
//! [`udp`].

mod resolver;
mod tcp;
mod udp;

use std::fs::{self, File};
use std::io::{self, BufRead, BufReader, Read, Write};
use std::net::SocketAddr;
use std::os::fd::{AsFd, OwnedFd};
use std::os::unix::process::CommandExt;
use std::path::{Path, PathBuf};
use std::process::{ChildStdin, Command, Stdio};
use std::time::{Duration, Instant};

use rustix::event::{PollFd, PollFlags, Timespec, poll};
use rustix::process::{Pid, PidfdFlags, Signal, pidfd_open, pidfd_send_signal, setsid};
use serde::{Deserialize, Serialize};
use tokio::sync::oneshot;

use crate::entry::PROGRAM;
use crate::plan::{AttendantProcess, BoundPort, Mode, NetworkPlan};
use crate::ports::{Held, Socket, bind_all};
use crate::{NetworkError, Result, namespace, userspace};

/// How long an attendant may take until everything listens.
const START_LIMIT: Duration = Duration::from_secs(20);
/// How long one that was asked to end may take before it is killed.
const STOP_LIMIT: Duration = Duration::from_secs(5);

/// What an attendant answers when everything listens.
pub(crate) struct Ready {
    pub(crate) process: AttendantProcess,
    pub(crate) ports: Vec<BoundPort>,
    go_on: ChildStdin,
}

impl Ready {
    /// To be called when the attendant is noted where [`stop`] will find it; dropped before, it ends.
    pub(crate) fn go_on(mut self) -> Result<()> {
        self.go_on
            .write_all(b"\n")
            .map_err(|error| NetworkError::system("telling the process that listens for the container to go on", error))
    }
}

#[derive(Serialize, Deserialize)]
enum Answer {
    Ready { ports: Vec<BoundPort> },
    PortAllocated { address: std::net::IpAddr, port: u16 },
    Failed(String),
}

/// Starts the attendant of the container of `directory` and waits until it listens.
pub(crate) fn start(directory: &Path, pid: i32) -> Result<Ready> {
    let starting = |error| NetworkError::system("starting the process that listens for the container", error);
    let mut child = Command::new("/proc/self/exe")
        .arg0(PROGRAM)
        .arg("attendant")
        .arg(directory)
        .arg(pid.to_string())
        .stdin(Stdio::piped())
        .stdout(Stdio::piped())
        .stderr(Stdio::null())
        .spawn()
        .map_err(starting)?;
    let answered = child.stdout.take().map_or(Ok(None), |output| answer(output.into())).map_err(starting)?;
    let failure = match answered {
        Some(Answer::Ready { ports }) => match child.stdin.take() {
            Some(go_on) => {
                let pid = child.id().cast_signed();
                let started = started(pid).map_err(starting)?;
                return Ok(Ready { process: AttendantProcess { pid, started }, ports, go_on });
            }
            None => NetworkError::Attendant("the process that listens for the container cannot be told to".to_owned()),
        },
        Some(Answer::PortAllocated { address, port }) => NetworkError::PortAllocated { address, port },
        Some(Answer::Failed(reason)) => NetworkError::Attendant(reason),
        None => {
            NetworkError::Attendant("the process that listens for the container ended before it listened".to_owned())
        }
    };
    let _ = child.kill();
    let _ = child.wait();
    Err(failure)
}

/// The first line, if it comes in time.
fn answer(output: OwnedFd) -> io::Result<Option<Answer>> {
    let limit = Timespec { tv_sec: START_LIMIT.as_secs().cast_signed(), tv_nsec: 0 };
    if poll(&mut [PollFd::new(&output, PollFlags::IN)], Some(&limit))? == 0 {
        return Ok(None);
    }
    let mut line = String::new();
    BufReader::new(File::from(output)).read_line(&mut line)?;
    Ok(serde_json::from_str(&line).ok())
}

/// When a process started, in ticks since the machine did: field 22 of `/proc/PID/stat`.
fn started(pid: i32) -> io::Result<u64> {
    let stat = fs::read_to_string(format!("/proc/{pid}/stat"))?;
    // The name, field 2, may hold spaces and parentheses.
    let after_name = stat.rsplit_once(')').map(|(_, rest)| rest).unwrap_or_default();
    let ticks = after_name.split_whitespace().nth(19).and_then(|field| field.parse().ok());
    ticks.ok_or_else(|| {
        io::Error::new(io::ErrorKind::InvalidData, format!("/proc/{pid}/stat says nothing of its start"))
    })
}

/// Ends an attendant and waits for it, so that its ports are free. One that ended already, or whose ID is somebody else's
/// by now, is left alone.
pub(crate) fn stop(process: AttendantProcess) -> Result<()> {
    let Some(pid) = Pid::from_raw(process.pid) else { return Ok(()) };
    let Ok(handle) = pidfd_open(pid, PidfdFlags::empty()) else { return Ok(()) };
    // Asked after the handle was taken: the ID cannot become another's between.
    if started(process.pid).ok() != Some(process.started) {
        return Ok(());
    }
    for signal in [Signal::TERM, Signal::KILL] {
        let _ = pidfd_send_signal(&handle, signal);
        if ended_within(handle.as_fd(), STOP_LIMIT)? {
            return Ok(());
        }
    }
    Err(NetworkError::Attendant(format!("process {} that listens for the container does not end", process.pid)))
}

/// Comes when the process of a pidfd ends. A thread of its own waits: it needs nothing of the runtime, and goes with the process.
fn end_of(init: OwnedFd) -> oneshot::Receiver<()> {
    let (tell, ended) = oneshot::channel();
    std::thread::spawn(move || {
        while poll(&mut [PollFd::new(&init, PollFlags::IN)], None).is_err() {}
        let _ = tell.send(());
    });
    ended
}

fn ended_within(handle: std::os::fd::BorrowedFd<'_>, limit: Duration) -> Result<bool> {
    let end = Instant::now() + limit;
    loop {
        let left = end.saturating_duration_since(Instant::now());
        let left = Timespec { tv_sec: left.as_secs().cast_signed(), tv_nsec: left.subsec_nanos().into() };
        match poll(&mut [PollFd::new(&handle, PollFlags::IN)], Some(&left)) {
            Ok(ready) => return Ok(ready > 0),
            Err(rustix::io::Errno::INTR) => {}
            Err(error) => {
                return Err(NetworkError::system("waiting for the process that listens for the container", error));
            }
        }
    }
}

/// The attendant itself: listens, answers, serves until init ends or it is told to.
pub(crate) fn run(directory: PathBuf, pid: &str) -> Result<()> {
    // The terminal's signals are for the container's program.
    let _ = setsid();
    let listening = listen(&directory, pid);
    let answer = match &listening {
        Ok(listening) => Answer::Ready { ports: listening.bound() },
        Err(NetworkError::PortAllocated { address, port }) => Answer::PortAllocated { address: *address, port: *port },
        Err(error) => Answer::Failed(error.to_string()),
    };
    say(&answer)?;
    let listening = listening?;
    if told_to_go_on()? { listening.serve(directory) } else { Ok(()) }
}

fn told_to_go_on() -> Result<bool> {
    let mut told = [0];
    let count = io::stdin()
        .read(&mut told)
        .map_err(|error| NetworkError::system("waiting to be told to listen for the container", error))?;
    Ok(count > 0)
}

fn say(answer: &Answer) -> Result<()> {
    let failed = |error| NetworkError::system("answering who started the process that listens", error);
    let mut line = serde_json::to_vec(answer).map_err(|error| failed(error.into()))?;
    line.push(b'\n');
    let mut output = io::stdout().lock();
    output.write_all(&line).and_then(|()| output.flush()).map_err(failed)?;
    // Who waits for the end of our output must not wait for the end of the container.
    let null = File::options().write(true).open("/dev/null").map_err(failed)?;
    rustix::stdio::dup2_stdout(&null).map_err(|error| failed(error.into()))
}

struct Listening {
    init: OwnedFd,
    ports: Vec<Held>,
    target: Option<std::net::Ipv4Addr>,
    resolver: Option<resolver::Sockets>,
    program: Option<userspace::Program>,
}

fn listen(directory: &Path, pid: &str) -> Result<Listening> {
    let plan = NetworkPlan::read(directory)?;
    let number: i32 = pid.parse().map_err(|_| NetworkError::Attendant(format!("{pid} is no process ID")))?;
    let init = Pid::from_raw(number)
        .ok_or_else(|| NetworkError::Attendant(format!("{pid} is no process ID")))
        .and_then(|pid| {
            pidfd_open(pid, PidfdFlags::empty())
                .map_err(|error| NetworkError::system("looking for the container's process", error))
        })?;
    let resolver = if plan.resolver {
        let namespace = namespace::of(number)?;
        Some(namespace::within(&namespace, resolver::Sockets::bind)?)
    } else {
        None
    };
    let mut listening = Listening {
        init,
        ports: Vec::new(),
        target: plan.endpoints.first().map(|endpoint| endpoint.address),
        resolver,
        program: None,
    };
    match plan.mode {
        Mode::Bridge => listening.ports = bind_all(&plan.ports)?,
        Mode::User => listening.program = Some(userspace::start(directory, number, &plan.ports)?),
    }
    Ok(listening)
}

impl Listening {
    fn bound(&self) -> Vec<BoundPort> {
        let own = self.ports.iter().map(|held| held.port);
        own.chain(self.program.iter().flat_map(|program| program.ports.iter().copied())).collect()
    }

    fn serve(self, directory: PathBuf) -> Result<()> {
        let failed = |error| NetworkError::system("listening for the container", error);
        let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build().map_err(failed)?;
        runtime.block_on(async {
            for held in self.ports {
                let Some(target) = self.target else { continue };
                let target = SocketAddr::new(target.into(), held.port.container_port);
                match held.socket {
                    Socket::Streams(listener) => {
                        tokio::spawn(tcp::serve(tokio::net::TcpListener::from_std(listener).map_err(failed)?, target));
                    }
                    Socket::Datagrams(socket) => {
                        tokio::spawn(udp::serve(tokio::net::UdpSocket::from_std(socket).map_err(failed)?, target));
                    }
                }
            }
            if let Some(sockets) = self.resolver {
                resolver::serve(sockets, directory).map_err(failed)?;
            }
            let ended = end_of(self.init);
            let mut told = tokio::signal::unix::signal(tokio::signal::unix::SignalKind::terminate()).map_err(failed)?;
            tokio::select! {
                _ = ended => {}
                _ = told.recv() => {}
            }
            // Dropping the program ends it.
            drop(self.program);
            Ok(())
        })
    }
}
