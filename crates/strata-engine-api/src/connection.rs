//! Connections that are a client's and a program's: HTTP up to an upgrade, then bytes both ways.

use std::os::fd::{AsFd as _, OwnedFd};
use std::time::Duration;

use axum::body::Body;
use bytes::Bytes;
use http::{HeaderValue, StatusCode, header};
use hyper::upgrade::OnUpgrade;
use hyper_util::rt::TokioIo;
use rustix::event::{PollFd, PollFlags, Timespec, poll};
use strata_engine::{AttachEvent, AttachStream, DetachKeys, OutputStream};
use tokio::io::{AsyncRead, AsyncReadExt as _, AsyncWrite, AsyncWriteExt as _};
use tokio::net::UnixStream;
use tokio::sync::mpsc;

use crate::answer::with;
use crate::call::Call;
use crate::status::{Answer, Failure};
use crate::version::ApiVersion;
use crate::websocket;

const RAW: &str = "application/vnd.docker.raw-stream";
const MULTIPLEXED: &str = "application/vnd.docker.multiplexed-stream";
/// Pieces of output that wait for the client, and of input that wait for the program.
const WAITING: usize = 16;
const BLOCK: usize = 32 << 10;
/// How often it is looked whether a client that says nothing any more is still there.
const LOOK: Duration = Duration::from_secs(1);

/// How output is written: as it is, or each piece with the stream that it is of.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Framing {
    /// A terminal has one stream.
    Raw,
    /// A header of eight bytes: the stream, three zeros, and the length.
    Multiplexed,
}

impl Framing {
    pub(crate) fn of_terminal(has_terminal: bool) -> Framing {
        if has_terminal { Framing::Raw } else { Framing::Multiplexed }
    }

    /// The type of the answer; clients before 1.42 were told that all is raw.
    pub(crate) fn content_type(self, version: ApiVersion) -> &'static str {
        match self {
            Framing::Multiplexed if version >= ApiVersion(42) => MULTIPLEXED,
            Framing::Raw | Framing::Multiplexed => RAW,
        }
    }

    /// A piece of output as it goes over the wire.
    pub(crate) fn frame(self, stream: OutputStream, bytes: &[u8]) -> Bytes {
        let number = match stream {
            OutputStream::Stdout => 1,
            OutputStream::Stderr => 2,
        };
        let length = u32::try_from(bytes.len()).unwrap_or(u32::MAX).to_be_bytes();
        match self {
            Framing::Raw => Bytes::copy_from_slice(bytes),
            Framing::Multiplexed => [&[number, 0, 0, 0][..], &length, bytes].concat().into(),
        }
    }
}

/// Which streams of a program a client takes part in, and how.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Part {
    pub(crate) stdin: bool,
    pub(crate) stdout: bool,
    pub(crate) stderr: bool,
    pub(crate) framing: Framing,
}

impl Part {
    /// Whether the client sees a stream.
    pub(crate) fn shows(self, stream: OutputStream) -> bool {
        match stream {
            OutputStream::Stdout => self.stdout,
            OutputStream::Stderr => self.stderr,
        }
    }
}

/// Where a client's connection goes after the answer's head.
pub(crate) struct Client {
    /// Pieces for the client.
    pub(crate) output: mpsc::Sender<Bytes>,
    /// Pieces from the client; it ends when the client has no more to say.
    pub(crate) input: mpsc::Receiver<Bytes>,
}

/// Answers with the connection itself: after status 101 when the client asked for an upgrade, else as a body, which only
/// goes one way. `work` ends when the client goes away.
pub(crate) fn hijacked<F>(call: &mut Call, framing: Framing, work: impl FnOnce(Client) -> F) -> Answer
where
    F: Future<Output = ()> + Send + 'static,
{
    let (output, pieces) = mpsc::channel(WAITING);
    let (sender, input) = mpsc::channel(WAITING);
    let content_type = framing.content_type(call.version);
    let working = until_gone(output.clone(), work(Client { output, input }));
    let Some(upgrade) = call.upgrade.take() else {
        drop(sender);
        tokio::spawn(working);
        let body = futures_util::stream::unfold(pieces, async |mut pieces| {
            Some((Ok::<_, std::convert::Infallible>(pieces.recv().await?), pieces))
        });
        return Ok(with(StatusCode::OK, content_type, Body::from_stream(body)));
    };
    tokio::spawn(working);
    tokio::spawn(carry(upgrade, pieces, sender));
    let mut response = with(StatusCode::SWITCHING_PROTOCOLS, content_type, Body::empty());
    response.headers_mut().insert(header::CONNECTION, HeaderValue::from_static("Upgrade"));
    response.headers_mut().insert(header::UPGRADE, HeaderValue::from_static("tcp"));
    Ok(response)
}

/// The same over a websocket, which frames the pieces of its own.
///
/// # Errors
/// 400 when the client does not ask for one.
pub(crate) fn websocket<F>(call: &mut Call, work: impl FnOnce(Client) -> F) -> Answer
where
    F: Future<Output = ()> + Send + 'static,
{
    let response = websocket::handshake(&call.headers)?;
    let upgrade = call.upgrade.take().ok_or_else(|| Failure::bad_request("not a websocket handshake"))?;
    let (output, pieces) = mpsc::channel(WAITING);
    let (sender, input) = mpsc::channel(WAITING);
    tokio::spawn(until_gone(output.clone(), work(Client { output, input })));
    tokio::spawn(websocket::carry(upgrade, pieces, sender));
    Ok(response)
}

/// Work for a client, given up when the client has gone.
async fn until_gone(output: mpsc::Sender<Bytes>, work: impl Future<Output = ()>) {
    tokio::select! {
        () = work => {}
        () = output.closed() => {}
    }
}

/// Moves pieces between the upgraded connection and the work, until the work has no more, or the client has gone.
async fn carry(upgrade: OnUpgrade, pieces: mpsc::Receiver<Bytes>, input: mpsc::Sender<Bytes>) {
    let Ok(upgraded) = upgrade.await else { return };
    match upgraded.downcast::<TokioIo<UnixStream>>() {
        Ok(parts) => {
            let stream = parts.io.into_inner();
            let watch = stream.as_fd().try_clone_to_owned();
            let (read, write) = stream.into_split();
            let early = parts.read_buf;
            tokio::select! {
                () = both(read, write, early, pieces, input) => {}
                () = vanished(watch.ok()) => {}
            }
        }
        Err(upgraded) => {
            let (read, write) = tokio::io::split(TokioIo::new(upgraded));
            both(read, write, Bytes::new(), pieces, input).await;
        }
    }
}

async fn both(
    mut read: impl AsyncRead + Unpin,
    mut write: impl AsyncWrite + Unpin,
    early: Bytes,
    mut pieces: mpsc::Receiver<Bytes>,
    input: mpsc::Sender<Bytes>,
) {
    let reading = async move {
        if !early.is_empty() && input.send(early).await.is_err() {
            return;
        }
        let mut buffer = vec![0; BLOCK];
        while let Ok(count @ 1..) = read.read(&mut buffer).await {
            if input.send(Bytes::copy_from_slice(&buffer[..count])).await.is_err() {
                // Nobody wants it; the client may write what it likes.
                while let Ok(1..) = read.read(&mut buffer).await {}
                return;
            }
        }
    };
    let writing = async move {
        while let Some(piece) = pieces.recv().await {
            if write.write_all(&piece).await.is_err() {
                return;
            }
        }
        let _ = write.shutdown().await;
    };
    let mut writing = std::pin::pin!(writing);
    tokio::select! {
        () = &mut writing => {}
        () = reading => writing.await,
    }
}

/// Is ready when the other side has closed the connection both ways: what it will never read need not be waited for.
async fn vanished(watch: Option<OwnedFd>) {
    let Some(watch) = watch else { return std::future::pending().await };
    loop {
        tokio::time::sleep(LOOK).await;
        let mut polled = [PollFd::new(&watch, PollFlags::empty())];
        let now = Timespec { tv_sec: 0, tv_nsec: 0 };
        if poll(&mut polled, Some(&now)).is_ok_and(|count| count > 0) && polled[0].revents().contains(PollFlags::HUP) {
            return;
        }
    }
}

/// Passes everything on between a program and a client until the program ends or the client types `keys`; its exit code, `None`
/// when it goes on, or its connection broke.
pub(crate) async fn converse(
    stream: AttachStream,
    part: Part,
    keys: Option<DetachKeys>,
    Client { output, input }: Client,
) -> Result<Option<i32>, Failure> {
    let broken = |cause: strata_engine::RuntimeError| Failure::from(strata_engine::EngineError::from(cause));
    // When the client goes away this is dropped, and with it the connection ends for all who wait on it.
    let guard = Detach(stream.try_clone().map_err(broken)?);
    if part.stdin {
        let program = stream.try_clone().map_err(broken)?;
        std::thread::spawn(move || send_input(program, input, keys));
    }
    let reading = tokio::task::spawn_blocking(move || read_output(stream, part, &output));
    let code = reading.await.map_err(|cause| Failure::bad_request(format!("a worker thread failed: {cause}")))?;
    drop(guard);
    Ok(code)
}

struct Detach(AttachStream);

impl Drop for Detach {
    fn drop(&mut self) {
        self.0.detach();
    }
}

fn send_input(mut program: AttachStream, mut input: mpsc::Receiver<Bytes>, mut keys: Option<DetachKeys>) {
    while let Some(piece) = input.blocking_recv() {
        let (piece, leaves) = match &mut keys {
            Some(keys) => keys.filter(&piece),
            None => (piece.into(), false),
        };
        if !piece.is_empty() && program.write_stdin(&piece).is_err() {
            return;
        }
        if leaves {
            return program.detach();
        }
    }
    let _ = program.end_stdin();
}

fn read_output(mut program: AttachStream, part: Part, output: &mpsc::Sender<Bytes>) -> Option<i32> {
    loop {
        match program.next_event() {
            Ok(Some(AttachEvent::Output { stream, bytes })) if part.shows(stream) => {
                output.blocking_send(part.framing.frame(stream, &bytes)).ok()?;
            }
            Ok(Some(AttachEvent::Output { .. })) => {}
            Ok(Some(AttachEvent::Lost(count))) => tracing::warn!(count, "a slow client misses output"),
            Ok(Some(AttachEvent::Exited(code))) => return Some(code),
            Ok(None) | Err(_) => return None,
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn frames() {
        let framed = Framing::Multiplexed.frame(OutputStream::Stderr, b"oops\n");
        assert_eq!(framed[..], *b"\x02\0\0\0\0\0\0\x05oops\n");
        assert_eq!(Framing::Raw.frame(OutputStream::Stdout, b"x")[..], *b"x");
        assert_eq!(Framing::Multiplexed.content_type(ApiVersion(41)), RAW);
        assert_eq!(Framing::Multiplexed.content_type(ApiVersion(42)), MULTIPLEXED);
    }
}
