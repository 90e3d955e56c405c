//! Bytes from async code to blocking code; a few chunks are ahead of the reader at most.

use std::io::{self, Read};

use bytes::{Buf as _, Bytes};
use futures_util::stream::{BoxStream, StreamExt as _};
use strata_transfer::TransferError;
use tokio::sync::mpsc;

/// Chunks that wait for their reader.
pub(super) const DEPTH: usize = 4;

/// Reads a stream on a blocking thread.
pub(crate) struct ChunkReader {
    chunks: mpsc::Receiver<Result<Bytes, TransferError>>,
    current: Bytes,
}

impl ChunkReader {
    /// Reads this stream; a task moves its chunks.
    pub(crate) fn of(mut stream: BoxStream<'static, Result<Bytes, TransferError>>) -> ChunkReader {
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
