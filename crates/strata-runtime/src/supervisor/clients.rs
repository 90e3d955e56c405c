//! The clients of a supervisor: what they ask for is done or refused here, what the program writes goes to them.

use crate::control::{AttachRequest, Connection, Received, Refusal, Request, Response, Update, frame::Kind};
use crate::error::RuntimeError;
use crate::log::Stream;
use crate::{cgroup::Limits, clock};

use super::course::Event;
use super::launch::Launcher;
use super::serve::Supervisor;

/// Clients at once; more are not accepted before others leave.
pub(super) const MOST: usize = 256;

impl<L: Launcher> Supervisor<L> {
    /// Accepts all who wait.
    pub(super) fn accept(&mut self) {
        while self.clients.len() < MOST
            && let Some(listener) = &self.listener
            && let Ok((socket, _)) = listener.accept()
        {
            self.clients.extend(Connection::new(socket));
        }
    }

    /// Reads from a client and does what it asks for. `false` when it left.
    pub(super) fn hear(&mut self, client: usize) -> bool {
        let Ok(Some(received)) = self.clients[client].receive() else { return false };
        for received in received {
            match received {
                Received::Request(request) => self.answer(client, *request),
                Received::Stdin(bytes) => {
                    if self.clients[client].attached.is_some_and(|request| request.stdin) {
                        self.streams.write_input(&bytes);
                    }
                }
                Received::StdinEnd => self.end_input_of(client),
                Received::Nonsense(message) => {
                    let response = Response::Failed { refusal: Refusal::Invalid, message };
                    self.clients[client].respond(&response);
                    self.clients[client].close();
                }
            }
        }
        true
    }

    /// A client is gone: with it, input that only it may send.
    pub(super) fn leave(&mut self, client: usize) {
        self.end_input_of(client);
        self.clients.swap_remove(client);
    }

    fn end_input_of(&mut self, client: usize) {
        if self.plan.stdin_once && self.clients[client].attached.is_some_and(|request| request.stdin) {
            self.streams.end_input();
        }
    }

    fn answer(&mut self, client: usize, request: Request) {
        let result = match request {
            Request::Wait => return self.clients[client].waits = true,
            Request::Stop { signal, timeout_seconds } => {
                let event = Event::Stop {
                    signal: signal.unwrap_or(self.plan.stop_signal),
                    timeout: self.plan.stop_timeout(timeout_seconds),
                };
                self.clients[client].waits = true;
                self.record.stopped = true;
                match self.happen(event) {
                    Ok(()) => return,
                    Err(error) => {
                        self.clients[client].waits = false;
                        Err(error)
                    }
                }
            }
            Request::Signal { signal } => {
                self.record.stopped |= signal == self.plan.stop_signal || signal == libc::SIGKILL;
                self.happen(Event::Signal(signal)).map(|()| Vec::new())
            }
            Request::Pause => self.happen(Event::Pause).map(|()| Vec::new()),
            Request::Unpause => self.happen(Event::Unpause).map(|()| Vec::new()),
            Request::Resize { rows, columns } => self.streams.resize(rows, columns).map(|()| Vec::new()),
            Request::Update(update) => self.update(*update),
            Request::Attach(request) => return self.attach(client, request),
        };
        let response = match result {
            Ok(warnings) => Response::Done { warnings },
            Err(error) => Response::failed(&error),
        };
        self.clients[client].respond(&response);
    }

    fn update(&mut self, update: Update) -> Result<Vec<crate::cgroup::Warning>, RuntimeError> {
        let warnings =
            if update.limits == Limits::default() { Vec::new() } else { self.launcher.cgroup().set(&update.limits)? };
        if let Some(policy) = update.restart {
            self.happen(Event::Policy(policy))?;
        }
        Ok(warnings)
    }

    fn attach(&mut self, client: usize, request: AttachRequest) {
        let client = &mut self.clients[client];
        client.attached = Some(request);
        client.respond(&Response::Attached { time: clock::now() });
    }

    /// Gives output to everybody who takes part.
    pub(super) fn spread(&mut self, stream: Stream, bytes: &[u8]) {
        let kind = match stream {
            Stream::Stdout => Kind::Stdout,
            Stream::Stderr => Kind::Stderr,
        };
        for client in &mut self.clients {
            let takes_part = client.attached.is_some_and(|request| match stream {
                Stream::Stdout => request.stdout,
                Stream::Stderr => request.stderr,
            });
            if takes_part {
                client.send_output(kind, bytes);
            }
        }
    }

    /// Tells everybody who has waited for it that init ended.
    pub(super) fn tell_exit(&mut self, exit_code: i32) {
        for client in &mut self.clients {
            if client.waits || client.attached.is_some() {
                client.waits = false;
                client.respond(&Response::Exited { exit_code });
            }
            if client.attached.is_some() {
                client.close();
            }
        }
    }
}
