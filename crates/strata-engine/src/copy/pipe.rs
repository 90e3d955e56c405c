//! Bytes between blocking code and async code; a few chunks are ahead of the reader at most.

use std::io::{self, Read, Write};

use bytes::{Buf as _, Bytes};
use futures_util::stream::{BoxStream, StreamExt as _};
use strata_transfer::TransferError;
use tokio::sync::mpsc;

const CHUNK: usize = 256 << 10;
const DEPTH: usize = 4;

/// Reads a stream on a blocking thread.
pub(super) struct ChunkReader {
    chunks: mpsc::Receiver<Result<Bytes, TransferError>>,
    current: Bytes,
}

impl ChunkReader {
    /// Reads this stream; a task moves its chunks.
    pub(super) fn of(mut stream: BoxStream<'static, Result<Bytes, TransferError>>) -> ChunkReader {
        let (sender, chunks) = mpsc::channel(DEPTH);
        tokio::spawn(async move {
            while let Some(chunk) = stream.next().await {
                if sender.send(chunk).await.is_err() {
                    return;
                }
            }
        });
        ChunkReader { chunks, current: Bytes::new() }
    }
}

impl Read for ChunkReader {
    fn read(&mut self, buffer: &mut [u8]) -> io::Result<usize> {
        while self.current.is_empty() {
            match self.chunks.blocking_recv() {
                Some(Ok(chunk)) => self.current = chunk,
                Some(Err(error)) => return Err(io::Error::other(error)),
                None => return Ok(0),
            }
        }
        let count = buffer.len().min(self.current.len());
        self.current.copy_to_slice(&mut buffer[..count]);
        Ok(count)
    }
}

/// Sends what is written on a blocking thread; to be flushed at the end.
pub(super) struct ChunkWriter {
    chunks: mpsc::Sender<io::Result<Bytes>>,
    buffer: Vec<u8>,
}

impl ChunkWriter {
    /// A writer, and what it writes to.
    pub(super) fn channel() -> (ChunkWriter, mpsc::Sender<io::Result<Bytes>>, mpsc::Receiver<io::Result<Bytes>>) {
        let (chunks, receiver) = mpsc::channel(DEPTH);
        (ChunkWriter { chunks: chunks.clone(), buffer: Vec::with_capacity(CHUNK) }, chunks, receiver)
    }
}

impl Write for ChunkWriter {
    fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
        self.buffer.extend_from_slice(bytes);
        if self.buffer.len() >= CHUNK {
            self.flush()?;
        }
        Ok(bytes.len())
    }

    fn flush(&mut self) -> io::Result<()> {
        if self.buffer.is_empty() {
            return Ok(());
        }
        let full = std::mem::replace(&mut self.buffer, Vec::with_capacity(CHUNK));
        self.chunks.blocking_send(Ok(full.into())).map_err(|_| io::ErrorKind::BrokenPipe.into())
    }
}
