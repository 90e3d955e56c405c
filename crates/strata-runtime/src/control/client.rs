//! The client's side: blocking, one request at a time.

use std::fs::File;
use std::io::{self, Read as _, Write as _};
use std::os::fd::AsRawFd as _;
use std::os::unix::net::UnixStream;
use std::path::{Path, PathBuf};

use crate::error::RuntimeError;
use crate::log::Stream;
use crate::state::{KILLED, state};

use super::SOCKET;
use super::frame::{Decoder, Frame, Kind, encode};
use super::message::{AttachRequest, Request, Response, Update};

/// A connection to a container's supervisor.
#[derive(Debug)]
pub struct Control {
    directory: PathBuf,
    stream: UnixStream,
    decoder: Decoder,
}

impl Control {
    /// Connects.
    ///
    /// # Errors
    /// [`RuntimeError::NotFound`] when the container has no supervisor, and so does not run.
    pub fn connect(directory: &Path) -> Result<Control, RuntimeError> {
        // The path of a socket has at most 108 bytes; through an open directory it always fits.
        let connect = || {
            let open = File::open(directory)?;
            UnixStream::connect(format!("/proc/self/fd/{}/{SOCKET}", open.as_raw_fd()))
        };
        match connect() {
            Ok(stream) => Ok(Control { directory: directory.to_owned(), stream, decoder: Decoder::default() }),
            Err(cause) if matches!(cause.kind(), io::ErrorKind::NotFound | io::ErrorKind::ConnectionRefused) => {
                Err(RuntimeError::NotFound("the container is not running".to_owned()))
            }
            Err(cause) => {
                Err(RuntimeError::system(format!("connecting to the supervisor in {}", directory.display()), cause))
            }
        }
    }

    /// Sends a signal to init.
    pub fn signal(&mut self, signal: i32) -> Result<(), RuntimeError> {
        self.ask(&Request::Signal { signal }).map(|_| ())
    }

    /// Ends the container and returns its exit code when it ended. Without `timeout_seconds` it has the time that its
    /// configuration says until it is killed; a negative time has no end.
    pub fn stop(&mut self, signal: Option<i32>, timeout_seconds: Option<i64>) -> Result<i32, RuntimeError> {
        self.ask_for_exit(&Request::Stop { signal, timeout_seconds })
    }

    /// Freezes all processes.
    pub fn pause(&mut self) -> Result<(), RuntimeError> {
        self.ask(&Request::Pause).map(|_| ())
    }

    /// Lets them go on.
    pub fn unpause(&mut self) -> Result<(), RuntimeError> {
        self.ask(&Request::Unpause).map(|_| ())
    }

    /// Changes the size of the terminal.
    pub fn resize(&mut self, rows: u16, columns: u16) -> Result<(), RuntimeError> {
        self.ask(&Request::Resize { rows, columns }).map(|_| ())
    }

    /// Waits until init ends, and returns its exit code. A restart is not waited for.
    pub fn wait(&mut self) -> Result<i32, RuntimeError> {
        self.ask_for_exit(&Request::Wait)
    }

    /// Changes limits or policy; returns what this machine cannot limit.
    pub fn update(&mut self, update: Update) -> Result<Vec<crate::cgroup::Warning>, RuntimeError> {
        match self.ask(&Request::Update(Box::new(update)))? {
            Response::Done { warnings } => Ok(warnings),
            other => Err(unexpected(&other)),
        }
    }

    /// Takes part in input and output.
    pub fn attach(mut self, request: AttachRequest) -> Result<AttachStream, RuntimeError> {
        self.ask_to_attach(request)?;
        self.attached()
    }

    /// The first half of [`Control::attach`]: a supervisor that serves nobody yet will answer later.
    pub(crate) fn ask_to_attach(&mut self, request: AttachRequest) -> Result<(), RuntimeError> {
        send(&mut self.stream, &Request::Attach(request))
            .map_err(|cause| RuntimeError::system("asking the supervisor", cause))
    }

    /// The second half.
    pub(crate) fn attached(mut self) -> Result<AttachStream, RuntimeError> {
        match self.response()? {
            Response::Attached { time } => {
                Ok(AttachStream { directory: Some(self.directory), stream: self.stream, decoder: self.decoder, time })
            }
            other => Err(unexpected(&other)),
        }
    }

    fn ask(&mut self, request: &Request) -> Result<Response, RuntimeError> {
        match send(&mut self.stream, request) {
            Ok(()) => self.response(),
            Err(cause) if is_gone(&cause) => Err(RuntimeError::NotFound("the container ended".to_owned())),
            Err(cause) => Err(RuntimeError::system("asking the supervisor", cause)),
        }
    }

    fn response(&mut self) -> Result<Response, RuntimeError> {
        receive_response(&mut self.stream, &mut self.decoder)
    }

    /// A supervisor that is gone leaves its answer in the directory.
    fn ask_for_exit(&mut self, request: &Request) -> Result<i32, RuntimeError> {
        match self.ask(request) {
            Ok(Response::Exited { exit_code }) => Ok(exit_code),
            Ok(other) => Err(unexpected(&other)),
            Err(RuntimeError::NotFound(_)) => Ok(state(&self.directory)?.exit_code),
            Err(error) => Err(error),
        }
    }
}

fn receive_response(stream: &mut UnixStream, decoder: &mut Decoder) -> Result<Response, RuntimeError> {
    let frame = receive(stream, decoder)
        .and_then(|frame| Ok(frame.map(|frame| serde_json::from_slice::<Response>(&frame.bytes)).transpose()?));
    match frame {
        Ok(Some(response)) => response.into_result(),
        Ok(None) => Err(RuntimeError::NotFound("the container ended".to_owned())),
        Err(cause) => Err(RuntimeError::system("asking the supervisor", cause)),
    }
}

fn unexpected(response: &Response) -> RuntimeError {
    RuntimeError::Invalid(format!("the supervisor answers {response:?}, which was not asked for"))
}

fn is_gone(cause: &io::Error) -> bool {
    matches!(cause.kind(), io::ErrorKind::BrokenPipe | io::ErrorKind::ConnectionReset)
}

fn send(stream: &mut UnixStream, request: &Request) -> io::Result<()> {
    let mut bytes = Vec::new();
    encode(&mut bytes, Kind::Message, &serde_json::to_vec(request)?);
    stream.write_all(&bytes)
}

fn receive(stream: &mut UnixStream, decoder: &mut Decoder) -> io::Result<Option<Frame>> {
    let mut buffer = [0; 16 << 10];
    loop {
        if let Some(frame) = decoder.next_frame()? {
            return Ok(Some(frame));
        }
        match stream.read(&mut buffer) {
            Ok(0) => return Ok(None),
            Ok(read) => decoder.feed(&buffer[..read]),
            Err(cause) if cause.kind() == io::ErrorKind::Interrupted => {}
            Err(cause) if is_gone(&cause) => return Ok(None),
            Err(cause) => return Err(cause),
        }
    }
}

/// What happens on an attached connection.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum AttachEvent {
    /// The program wrote something.
    Output {
        /// Where.
        stream: Stream,
        /// What.
        bytes: Vec<u8>,
    },
    /// So many bytes are missing here: this client was too slow, and is not paced.
    Lost(u64),
    /// Init ended; nothing follows.
    Exited(i32),
}

/// A connection that carries a container's input and output. [`AttachStream::try_clone`] gives a second handle, so that
/// one thread reads and another writes; only one of them may read.
#[derive(Debug)]
pub struct AttachStream {
    /// The container's; none for a program that was started in one.
    directory: Option<PathBuf>,
    stream: UnixStream,
    decoder: Decoder,
    /// What was written before, in nanoseconds since 1970, is in the log and not here.
    pub time: i64,
}

impl AttachStream {
    /// The streams of a program that was started by `exec`, whose relay is at the other end.
    pub(crate) fn of_program(mut stream: UnixStream) -> Result<AttachStream, RuntimeError> {
        let mut decoder = Decoder::default();
        match receive_response(&mut stream, &mut decoder)? {
            Response::Attached { time } => Ok(AttachStream { directory: None, stream, decoder, time }),
            other => Err(unexpected(&other)),
        }
    }

    /// Waits for the next event; `None` when the supervisor has cut this client off.
    pub fn next_event(&mut self) -> Result<Option<AttachEvent>, RuntimeError> {
        loop {
            let frame = receive(&mut self.stream, &mut self.decoder)
                .map_err(|cause| RuntimeError::system("reading the container's output", cause))?;
            let Some(frame) = frame else { return self.end() };
            let stream = match frame.kind {
                Kind::Stdout => Stream::Stdout,
                Kind::Stderr => Stream::Stderr,
                Kind::Lost => {
                    let count = frame.bytes.try_into().map_or(0, u64::from_le_bytes);
                    return Ok(Some(AttachEvent::Lost(count)));
                }
                Kind::Message => match serde_json::from_slice(&frame.bytes) {
                    Ok(Response::Exited { exit_code }) => return Ok(Some(AttachEvent::Exited(exit_code))),
                    _ => continue,
                },
                Kind::Stdin | Kind::StdinEnd => continue,
            };
            return Ok(Some(AttachEvent::Output { stream, bytes: frame.bytes }));
        }
    }

    /// Without a last word: the supervisor was killed, or does not want this client.
    fn end(&self) -> Result<Option<AttachEvent>, RuntimeError> {
        match &self.directory {
            // A program dies with its relay.
            None => Ok(Some(AttachEvent::Exited(KILLED))),
            Some(directory) if crate::state::is_supervised(directory) => Ok(None),
            Some(directory) => Ok(Some(AttachEvent::Exited(state(directory)?.exit_code))),
        }
    }

    /// Sends input; waits while the program does not take it.
    pub fn write_stdin(&mut self, bytes: &[u8]) -> Result<(), RuntimeError> {
        let mut frames = Vec::with_capacity(bytes.len() + 16);
        encode(&mut frames, Kind::Stdin, bytes);
        self.write(&frames)
    }

    /// Says that there is no more input.
    pub fn end_stdin(&mut self) -> Result<(), RuntimeError> {
        let mut frames = Vec::new();
        encode(&mut frames, Kind::StdinEnd, &[]);
        self.write(&frames)
    }

    /// Changes the size of the terminal.
    pub fn resize(&mut self, rows: u16, columns: u16) -> Result<(), RuntimeError> {
        self.request(&Request::Resize { rows, columns })
    }

    /// Sends a signal to init.
    pub fn signal(&mut self, signal: i32) -> Result<(), RuntimeError> {
        self.request(&Request::Signal { signal })
    }

    /// The same connection for another thread.
    pub fn try_clone(&self) -> Result<AttachStream, RuntimeError> {
        let stream = self.stream.try_clone();
        let stream = stream.map_err(|cause| RuntimeError::system("duplicating a connection", cause))?;
        Ok(AttachStream { directory: self.directory.clone(), stream, decoder: Decoder::default(), time: self.time })
    }

    /// Ends the connection for all handles; the container runs on.
    pub fn detach(&self) {
        let _ = self.stream.shutdown(std::net::Shutdown::Both);
    }

    fn request(&mut self, request: &Request) -> Result<(), RuntimeError> {
        send(&mut self.stream, request).map_err(|cause| RuntimeError::system("asking the supervisor", cause))
    }

    fn write(&mut self, frames: &[u8]) -> Result<(), RuntimeError> {
        self.stream.write_all(frames).map_err(|cause| RuntimeError::system("sending input to the container", cause))
    }
}
