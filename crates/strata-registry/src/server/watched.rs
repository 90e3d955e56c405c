//! A stream that breaks when nothing moves on it, and that sends files.

use std::any::Any;
use std::future::Future as _;
use std::io;
use std::pin::Pin;
use std::task::{Context, Poll};
use std::time::Duration;

use rustix::fs::sendfile;
use rustix::io::Errno;
use strata_store::BlobBytes;
use tokio::io::{AsyncRead, AsyncWrite, Interest, ReadBuf};
use tokio::net::TcpStream;
use tokio::time::{Instant, Sleep};

use crate::outlet::Outlet;

/// Bytes by which the server tells HTTP/1 from HTTP/2 (RFC 9113, section 3.4). Its own limits begin after them.
const GREETING: usize = 24;

/// Fails with `TimedOut` when the first bytes are not complete within `greeting`, or when later no byte went in either
/// direction for `idle`. What `outlet` says is part of a file is sent as such.
pub(super) struct Watched<S> {
    stream: S,
    outlet: Outlet,
    idle: Duration,
    read: usize,
    deadline: Instant,
    alarm: Pin<Box<Sleep>>,
}

impl<S: 'static> Watched<S> {
    pub(super) fn new(stream: S, greeting: Duration, idle: Duration) -> Watched<S> {
        let deadline = Instant::now() + greeting;
        let alarm = Box::pin(tokio::time::sleep_until(deadline));
        Watched { stream, outlet: Outlet::default(), idle, read: 0, deadline, alarm }
    }

    /// Where bodies offer files; only a plain connection can send them.
    pub(super) fn outlet(&self) -> Option<Outlet> {
        self.socket().map(|_| self.outlet.clone())
    }

    fn socket(&self) -> Option<&TcpStream> {
        (&self.stream as &dyn Any).downcast_ref()
    }

    /// Notes that bytes moved, or finds out whether it has been too long.
    fn watch<T>(&mut self, context: &mut Context<'_>, result: Poll<io::Result<T>>) -> Poll<io::Result<T>> {
        if result.is_ready() {
            if self.read >= GREETING {
                self.deadline = Instant::now() + self.idle;
            }
            return result;
        }
        // The alarm is set anew only when it goes off: bytes move far more often.
        while self.alarm.as_mut().poll(context).is_ready() {
            if self.deadline <= Instant::now() {
                return Poll::Ready(Err(io::ErrorKind::TimedOut.into()));
            }
            let deadline = self.deadline;
            self.alarm.as_mut().reset(deadline);
        }
        Poll::Pending
    }

    /// Sends what `bytes` stand for; `None` when they are only bytes.
    fn poll_send(&self, context: &mut Context<'_>, bytes: &[u8]) -> Option<Poll<io::Result<usize>>> {
        let (file, offset) = self.outlet.find(bytes)?;
        poll_send_file(self.socket()?, context, &*file, offset, bytes.len())
    }
}

/// `None` when the kernel cannot send this file.
fn poll_send_file(
    socket: &TcpStream,
    context: &mut Context<'_>,
    bytes: &dyn BlobBytes,
    offset: u64,
    length: usize,
) -> Option<Poll<io::Result<usize>>> {
    let file = bytes.file()?;
    loop {
        match socket.poll_write_ready(context) {
            Poll::Ready(Ok(())) => {}
            Poll::Ready(Err(error)) => return Some(Poll::Ready(Err(error))),
            Poll::Pending => return Some(Poll::Pending),
        }
        let sent = socket.try_io(Interest::WRITABLE, || {
            let mut at = offset;
            Ok(sendfile(socket, file, Some(&mut at), length)?)
        });
        let Err(error) = &sent else {
            // The file is shorter than it was said to be.
            let is_short = matches!(sent, Ok(0)) && length > 0;
            return Some(Poll::Ready(if is_short { Err(io::ErrorKind::UnexpectedEof.into()) } else { sent }));
        };
        match error.kind() {
            io::ErrorKind::WouldBlock | io::ErrorKind::Interrupted => {}
            _ if matches!(Errno::from_io_error(error), Some(Errno::INVAL | Errno::NOSYS | Errno::OPNOTSUPP)) => {
                return None;
            }
            _ => return Some(Poll::Ready(sent)),
        }
    }
}
impl<S: AsyncRead + Unpin + 'static> AsyncRead for Watched<S> {
    fn poll_read(
        mut self: Pin<&mut Self>,
        context: &mut Context<'_>,
        buffer: &mut ReadBuf<'_>,
    ) -> Poll<io::Result<()>> {
        let before = buffer.filled().len();
        let result = Pin::new(&mut self.stream).poll_read(context, buffer);
        self.read = self.read.saturating_add(buffer.filled().len() - before);
        self.watch(context, result)
    }
}

impl<S: AsyncWrite + Unpin + 'static> AsyncWrite for Watched<S> {
    fn poll_write(mut self: Pin<&mut Self>, context: &mut Context<'_>, bytes: &[u8]) -> Poll<io::Result<usize>> {
        let result = match self.poll_send(context, bytes) {
            Some(sent) => sent,
            None => Pin::new(&mut self.stream).poll_write(context, bytes),
        };
        self.watch(context, result)
    }

    fn poll_write_vectored(
        mut self: Pin<&mut Self>,
        context: &mut Context<'_>,
        slices: &[io::IoSlice<'_>],
    ) -> Poll<io::Result<usize>> {
        let slices = &slices[slices.iter().take_while(|slice| slice.is_empty()).count()..];
        // A header comes before a file, as a write of its own.
        let plain = slices.iter().take_while(|slice| self.outlet.find(slice).is_none()).count();
        let sent = match slices.first() {
            Some(first) if plain == 0 => self.poll_send(context, first),
            _ => None,
        };
        let result = match sent {
            Some(sent) => sent,
            None => Pin::new(&mut self.stream).poll_write_vectored(context, &slices[..slices.len().min(plain.max(1))]),
        };
        self.watch(context, result)
    }

    fn is_write_vectored(&self) -> bool {
        self.stream.is_write_vectored()
    }

    fn poll_flush(mut self: Pin<&mut Self>, context: &mut Context<'_>) -> Poll<io::Result<()>> {
        Pin::new(&mut self.stream).poll_flush(context)
    }

    fn poll_shutdown(mut self: Pin<&mut Self>, context: &mut Context<'_>) -> Poll<io::Result<()>> {
        Pin::new(&mut self.stream).poll_shutdown(context)
    }
}

#[cfg(test)]
mod tests {
    use std::os::unix::fs::FileExt as _;

    use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _};
    use tokio::net::TcpListener;

    use super::*;

    #[tokio::test]
    async fn files_are_sent_in_place_of_the_memory_that_stands_for_them() {
        const LENGTH: usize = 3_000_000;
        let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let address = listener.local_addr().unwrap();
        let receiving = tokio::spawn(async move {
            let mut received = Vec::new();
            TcpStream::connect(address).await.unwrap().read_to_end(&mut received).await.unwrap();
            received
        });
        let file = tempfile::tempfile().unwrap();
        let content: Vec<u8> = (0..LENGTH).map(|number| (number / 7) as u8 | 1).collect();
        file.write_all_at(&content, 0).unwrap();

        let long = Duration::from_secs(60);
        let mut stream = Watched::new(listener.accept().await.unwrap().0, long, long);
        let outlet = stream.outlet().unwrap();
        let mut body = outlet.offer_zeros(file.try_clone().unwrap(), 1, LENGTH - 1);
        let mut left = &b"header"[..];
        while !left.is_empty() || !body.is_empty() {
            let count = stream.write_vectored(&[left, &body].map(io::IoSlice::new)).await.unwrap();
            let of_header = count.min(left.len());
            left = &left[of_header..];
            bytes::Buf::advance(&mut body, count - of_header);
        }
        let last = outlet.offer_zeros(file, LENGTH as u64 - 3, 3);
        stream.write_all(&last).await.unwrap();
        drop(stream);
        let expected = [b"header", &content[1..], &content[LENGTH - 3..]].concat();
        assert!(receiving.await.unwrap() == expected);
    }

    #[tokio::test]
    async fn a_file_that_ends_early_breaks_the_connection() {
        let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let peer = TcpStream::connect(listener.local_addr().unwrap()).await.unwrap();
        let long = Duration::from_secs(60);
        let mut stream = Watched::new(listener.accept().await.unwrap().0, long, long);
        let missing = stream.outlet().unwrap().offer_zeros(tempfile::tempfile().unwrap(), 0, 10);
        assert_eq!(stream.write(&missing).await.unwrap_err().kind(), io::ErrorKind::UnexpectedEof);
        drop(peer);
    }

    #[tokio::test]
    async fn other_streams_have_no_outlet() {
        let (stream, _peer) = tokio::io::duplex(16);
        let long = Duration::from_secs(60);
        assert!(Watched::new(stream, long, long).outlet().is_none());
    }
}
