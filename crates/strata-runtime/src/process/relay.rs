//! Between a program that was started by `exec` and its client, in the process that waits for the program.
//!
//! It speaks the protocol of [`control`](crate::control) on one connection that is attached from the start. A client that
//! leaves leaves the program running: its input ends, its output is read and dropped, as docker has it.

use std::io;
use std::os::fd::{AsFd, OwnedFd};
use std::os::unix::net::UnixStream;

use rustix::event::{PollFd, PollFlags, poll};

use crate::clock;
use crate::control::{AttachRequest, Connection, Received, Request, Response, frame::Kind};
use crate::ending::exit_code;
use crate::log::Stream;
use crate::supervisor::{Output, Streams};

/// Output that is read at once.
const PIECE: usize = 32 << 10;

/// A program's streams and who takes part in them.
pub(super) struct Relay {
    streams: Streams,
    client: Option<Connection>,
}

/// What a descriptor belongs to.
#[derive(Clone, Copy)]
enum Source {
    Program,
    Output(Stream),
    Input,
    Client,
}

impl Relay {
    /// Tells the client that it is attached.
    pub(super) fn new(streams: Streams, socket: UnixStream, request: AttachRequest) -> io::Result<Relay> {
        let mut client = Connection::new(socket)?;
        client.attached = Some(request);
        client.respond(&Response::Attached { time: clock::now() });
        Ok(Relay { streams, client: Some(client) })
    }

    /// Serves until the program ended; its exit code, or 128 and the signal. What it started and still runs is not
    /// listened to any more.
    pub(super) fn serve(&mut self, program: &OwnedFd) -> i32 {
        loop {
            for source in self.wait(Some(program)) {
                match source {
                    Source::Output(stream) => drop(self.read(stream)),
                    Source::Input => self.streams.flush(),
                    Source::Client => self.hear(),
                    Source::Program => {
                        let Some(exit_code) = exit_code(program) else { continue };
                        for stream in [Stream::Stdout, Stream::Stderr] {
                            while matches!(self.read(stream), Output::Bytes(_)) {}
                        }
                        return exit_code;
                    }
                }
            }
        }
    }

    /// Says how the program ended, and gives the client all the time that it needs for the rest.
    pub(super) fn finish(mut self, exit_code: i32) {
        self.streams = Streams::default();
        if let Some(client) = &mut self.client {
            client.respond(&Response::Exited { exit_code });
            client.close();
        }
        while self.client.as_ref().is_some_and(|client| !client.is_finished()) {
            self.wait(None);
            if let Some(client) = &mut self.client {
                client.flush();
            }
        }
    }

    fn wait(&self, program: Option<&OwnedFd>) -> Vec<Source> {
        let (mut sources, mut descriptors) = (Vec::with_capacity(5), Vec::with_capacity(5));
        let mut add = |source, descriptor, flags| {
            sources.push(source);
            descriptors.push(PollFd::from_borrowed_fd(descriptor, flags));
        };
        if let Some(client) = &self.client {
            let sends = client.attached.is_some_and(|request| request.stdin);
            let hears = client.takes_input() && (!sends || self.streams.has_room());
            let mut flags = if hears { PollFlags::IN } else { PollFlags::empty() };
            flags.set(PollFlags::OUT, client.has_output());
            add(Source::Client, client.socket().as_fd(), flags);
        }
        if !self.client.as_ref().is_some_and(Connection::holds_up_output) {
            for stream in [Stream::Stdout, Stream::Stderr] {
                if let Some(output) = self.streams.output(stream) {
                    add(Source::Output(stream), output, PollFlags::IN);
                }
            }
        }
        if let Some(input) = self.streams.pending_input() {
            add(Source::Input, input, PollFlags::OUT);
        }
        // Last, so that what the program wrote before is read in its order.
        if let Some(program) = program {
            add(Source::Program, program.as_fd(), PollFlags::IN);
        }
        let _ = poll(&mut descriptors, None);
        let ready = sources.into_iter().zip(&descriptors).filter(|(_, descriptor)| !descriptor.revents().is_empty());
        ready.map(|(source, _)| source).collect()
    }

    fn read(&mut self, stream: Stream) -> Output {
        let mut buffer = [0; PIECE];
        let output = self.streams.read(stream, &mut buffer);
        if let (Output::Bytes(read), Some(client)) = (&output, &mut self.client) {
            let (kind, is_wanted) = match (stream, client.attached.unwrap_or_default()) {
                (Stream::Stdout, request) => (Kind::Stdout, request.stdout),
                (Stream::Stderr, request) => (Kind::Stderr, request.stderr),
            };
            if is_wanted {
                client.send_output(kind, &buffer[..*read]);
            }
        }
        output
    }

    /// Reads from the client and does what it asks for.
    fn hear(&mut self) {
        let Some(client) = &mut self.client else { return };
        client.flush();
        let received = match client.takes_input() {
            true => client.receive(),
            // It went away while it was written to.
            false if client.is_finished() => Ok(None),
            false => Ok(Some(Vec::new())),
        };
        let Ok(Some(received)) = received else {
            self.client = None;
            self.streams.end_input();
            return;
        };
        let sends = client.attached.is_some_and(|request| request.stdin);
        for received in received {
            match received {
                Received::Stdin(bytes) if sends => self.streams.write_input(&bytes),
                Received::StdinEnd => self.streams.end_input(),
                Received::Request(request) => {
                    if let Request::Resize { rows, columns } = *request {
                        // A program without a terminal has no size, and nobody waits for an answer.
                        let _ = self.streams.resize(rows, columns);
                    }
                }
                Received::Stdin(_) | Received::Nonsense(_) => {}
            }
        }
    }
}

/// Waits until a program ended: its exit code, or 128 and the signal.
pub(super) fn wait(program: &OwnedFd) -> i32 {
    loop {
        let mut descriptors = [PollFd::new(program, PollFlags::IN)];
        let _ = poll(&mut descriptors, None);
        if let Some(exit_code) = exit_code(program) {
            return exit_code;
        }
    }
}
