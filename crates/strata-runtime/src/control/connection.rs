//! The supervisor's side of one connection: never waits, and holds a bounded number of bytes.

use std::io::{self, Read as _, Write as _};
use std::os::unix::net::UnixStream;

use super::frame::{Decoder, Frame, Kind, LARGEST, encode};
use super::message::{AttachRequest, Request, Response};

/// Bytes of output that wait for a client. A paced client stops the container's output beyond it, any other loses some.
const ROOM: usize = 128 << 10;

/// A client.
#[derive(Debug)]
pub(crate) struct Connection {
    socket: UnixStream,
    decoder: Decoder,
    output: Vec<u8>,
    written: usize,
    /// What it takes part in, once it is attached.
    pub(crate) attached: Option<AttachRequest>,
    /// Whether it waits for the end of init.
    pub(crate) waits: bool,
    /// Bytes that it missed since the last that it got.
    lost: u64,
    /// Nothing more is read; it is dropped when all is written.
    closing: bool,
}

/// What came from a client.
#[derive(Debug)]
pub(crate) enum Received {
    Request(Box<Request>),
    Stdin(Vec<u8>),
    StdinEnd,
    /// It said something that is no request.
    Nonsense(String),
}

impl Connection {
    pub(crate) fn new(socket: UnixStream) -> io::Result<Connection> {
        socket.set_nonblocking(true)?;
        Ok(Connection {
            socket,
            decoder: Decoder::default(),
            output: Vec::new(),
            written: 0,
            attached: None,
            waits: false,
            lost: 0,
            closing: false,
        })
    }

    pub(crate) fn socket(&self) -> &UnixStream {
        &self.socket
    }

    /// Whether something waits to be written.
    pub(crate) fn has_output(&self) -> bool {
        self.written < self.output.len()
    }

    /// Whether more may be read: not when answers pile up.
    pub(crate) fn takes_input(&self) -> bool {
        !self.closing && self.output.len() - self.written < ROOM
    }

    /// Whether the container's output has to wait for this client.
    pub(crate) fn holds_up_output(&self) -> bool {
        self.attached.is_some_and(|request| request.paced) && self.output.len() - self.written >= ROOM
    }

    /// Whether the client said that it removes the container.
    pub(crate) fn removes(&self) -> bool {
        self.attached.is_some_and(|request| request.removes)
    }

    /// Whether all has been said.
    pub(crate) fn is_finished(&self) -> bool {
        self.closing && !self.has_output()
    }

    /// Reads once; `None` at the end of the connection.
    pub(crate) fn receive(&mut self) -> io::Result<Option<Vec<Received>>> {
        let mut buffer = [0; 16 << 10];
        match self.socket.read(&mut buffer) {
            Ok(0) => return Ok(None),
            Ok(read) => self.decoder.feed(&buffer[..read]),
            Err(cause) if matches!(cause.kind(), io::ErrorKind::WouldBlock | io::ErrorKind::Interrupted) => {}
            Err(cause) => return Err(cause),
        }
        let mut received = Vec::new();
        while let Some(Frame { kind, bytes }) = self.decoder.next_frame()? {
            received.push(match kind {
                Kind::Message => match serde_json::from_slice(&bytes) {
                    Ok(request) => Received::Request(Box::new(request)),
                    Err(error) => Received::Nonsense(error.to_string()),
                },
                Kind::Stdin => Received::Stdin(bytes),
                Kind::StdinEnd => Received::StdinEnd,
                Kind::Stdout | Kind::Stderr | Kind::Lost => {
                    Received::Nonsense("output is not sent by clients".to_owned())
                }
            });
        }
        Ok(Some(received))
    }

    /// Answers a request; on an attached connection only the end is said.
    pub(crate) fn respond(&mut self, response: &Response) {
        let is_said =
            self.attached.is_none() || matches!(response, Response::Attached { .. } | Response::Exited { .. });
        if is_said && let Ok(bytes) = serde_json::to_vec(response) {
            self.tell_lost();
            encode(&mut self.output, Kind::Message, &bytes);
            self.flush();
        }
    }

    /// Sends output of the program, or counts it as lost when the client does not keep up.
    pub(crate) fn send_output(&mut self, kind: Kind, bytes: &[u8]) {
        let is_full = self.output.len() - self.written >= ROOM;
        if self.attached.is_some_and(|request| !request.paced) && is_full {
            self.lost += bytes.len() as u64;
            return;
        }
        debug_assert!(bytes.len() <= LARGEST, "output is read in smaller pieces");
        self.tell_lost();
        encode(&mut self.output, kind, bytes);
        self.flush();
    }

    /// Says the last thing; what the client sends is not read any more.
    pub(crate) fn close(&mut self) {
        self.closing = true;
    }

    /// Writes as much as the client takes now. A client that is gone is seen when it is read.
    pub(crate) fn flush(&mut self) {
        while self.has_output() {
            match self.socket.write(&self.output[self.written..]) {
                Ok(written) => self.written += written,
                Err(cause) if cause.kind() == io::ErrorKind::Interrupted => {}
                Err(cause) if cause.kind() == io::ErrorKind::WouldBlock => break,
                Err(_) => {
                    self.closing = true;
                    self.written = self.output.len();
                }
            }
        }
        if !self.has_output() {
            // A client that keeps up costs nothing.
            self.output = Vec::new();
            self.written = 0;
        } else if self.written >= ROOM / 2 {
            self.output.drain(..self.written);
            self.written = 0;
        }
    }

    fn tell_lost(&mut self) {
        if self.lost > 0 {
            encode(&mut self.output, Kind::Lost, &self.lost.to_le_bytes());
            self.lost = 0;
        }
    }
}
