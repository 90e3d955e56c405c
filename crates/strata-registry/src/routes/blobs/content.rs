//! The bytes of a blob as they go out.
//!
//! A stored file is sent by the kernel where the connection can do that (`outlet`), or else read in large chunks into
//! buffers that are used again. What the kernel has in its cache is sent or read in place; only what it must fetch from the
//! disk goes to a blocking thread, so that nobody else waits for it.

use std::fs::File;
use std::io;
use std::num::NonZeroU64;
use std::sync::{Arc, Mutex, PoisonError};

use bytes::Bytes;
use futures_util::{Stream, StreamExt as _, TryStreamExt as _, stream};
use rustix::fs::{Advice, fadvise};
use rustix::io::{Errno, ReadWriteFlags, preadv2};
use strata_store::{BlobBytes, ObjectReader};

use crate::outlet::Outlet;
use crate::sys::is_resident;

const CHUNK: usize = 128 << 10;
/// What the kernel is told to send at once.
const WINDOW: usize = 4 << 20;
/// Buffers that are kept for the next chunk.
const IDLE: usize = 32;

static BUFFERS: Mutex<Vec<Box<[u8]>>> = Mutex::new(Vec::new());

/// `length` bytes of an object from `first` on. Fails rather than ends early.
pub(super) fn content(
    reader: ObjectReader,
    first: u64,
    length: u64,
    outlet: Option<&Outlet>,
) -> stream::BoxStream<'static, Result<Bytes, io::Error>> {
    let bytes = match reader {
        ObjectReader::Stored(bytes) => bytes,
        reader => return cut(reader.stream(first).stream.map_err(io::Error::other), length).boxed(),
    };
    // What fits into a chunk is copied sooner than it is mapped.
    let outlet = outlet.filter(|_| length > CHUNK as u64);
    match outlet.and_then(|outlet| outlet.offer(&bytes, first, length)) {
        Some(memory) => sent(bytes, first, memory).boxed(),
        None => stored(bytes, first, length).boxed(),
    }
}

/// The windows of `memory`, which stands for `bytes` from `first` on, each when the kernel has it in its cache.
fn sent(bytes: Arc<dyn BlobBytes>, first: u64, memory: Bytes) -> impl Stream<Item = Result<Bytes, io::Error>> + Send {
    stream::try_unfold((bytes, first, memory), |(bytes, offset, mut memory)| async move {
        if memory.is_empty() {
            return Ok(None);
        }
        let window = memory.split_to(memory.len().min(WINDOW));
        if !is_resident(&window) {
            let (bytes, size) = (Arc::clone(&bytes), window.len());
            tokio::task::spawn_blocking(move || fetch(&*bytes, offset, size)).await.map_err(io::Error::other)??;
        }
        let next = offset + window.len() as u64;
        Ok(Some((window, (bytes, next, memory))))
    })
}

/// Brings part of a file into the kernel's cache, and has it begin with what follows.
fn fetch(bytes: &dyn BlobBytes, offset: u64, size: usize) -> io::Result<()> {
    let mut buffer = Buffer::take(CHUNK);
    let mut fetched = 0;
    while fetched < size {
        let wanted = CHUNK.min(size - fetched);
        match bytes.read_at(offset + fetched as u64, &mut buffer.bytes[..wanted])? {
            0 => return Err(io::ErrorKind::UnexpectedEof.into()),
            count => fetched += count,
        }
    }
    if let Some(file) = bytes.file() {
        // Only a hint.
        let _ = fadvise(file, offset + size as u64, NonZeroU64::new(WINDOW as u64), Advice::WillNeed);
    }
    Ok(())
}

fn stored(bytes: Arc<dyn BlobBytes>, first: u64, length: u64) -> impl Stream<Item = Result<Bytes, io::Error>> + Send {
    stream::try_unfold((bytes, first, length), |(bytes, offset, left)| async move {
        if left == 0 {
            return Ok(None);
        }
        let size = usize::try_from(left).unwrap_or(CHUNK).min(CHUNK);
        let chunk = match bytes.file().and_then(|file| read_cached(file, offset, size).transpose()) {
            Some(chunk) => chunk?,
            None => {
                let bytes = Arc::clone(&bytes);
                tokio::task::spawn_blocking(move || read(&*bytes, offset, size)).await.map_err(io::Error::other)??
            }
        };
        let count = chunk.len() as u64;
        Ok(Some((chunk, (bytes, offset + count, left - count))))
    })
}

/// Reads what the kernel has in its cache; `None` when it would have to fetch it.
fn read_cached(file: &File, offset: u64, size: usize) -> io::Result<Option<Bytes>> {
    let mut buffer = Buffer::take(size);
    let slices = &mut [io::IoSliceMut::new(&mut buffer.bytes[..size])];
    match preadv2(file, slices, offset, ReadWriteFlags::NOWAIT) {
        Ok(0) => Err(io::ErrorKind::UnexpectedEof.into()),
        Ok(count) => Ok(Some(buffer.filled(count))),
        // File systems that cannot tell say so in one way or another.
        Err(Errno::AGAIN | Errno::OPNOTSUPP | Errno::INVAL | Errno::NOSYS | Errno::INTR) => Ok(None),
        Err(error) => Err(error.into()),
    }
}

fn read(bytes: &dyn BlobBytes, offset: u64, size: usize) -> io::Result<Bytes> {
    let mut buffer = Buffer::take(size);
    match bytes.read_at(offset, &mut buffer.bytes[..size])? {
        0 => Err(io::ErrorKind::UnexpectedEof.into()),
        count => Ok(buffer.filled(count)),
    }
}

/// The first `length` bytes of a stream.
pub(super) fn cut(
    bytes: impl Stream<Item = Result<Bytes, io::Error>> + Send + Unpin,
    length: u64,
) -> impl Stream<Item = Result<Bytes, io::Error>> + Send {
    stream::try_unfold((bytes, length), |(mut bytes, left)| async move {
        if left == 0 {
            return Ok(None);
        }
        let Some(chunk) = bytes.next().await else { return Err(io::ErrorKind::UnexpectedEof.into()) };
        let mut chunk = chunk?;
        chunk.truncate(usize::try_from(left).unwrap_or(usize::MAX));
        let left = left - chunk.len() as u64;
        Ok(Some((chunk, (bytes, left))))
    })
}

/// Memory of a chunk, which goes back when the chunk was sent.
struct Buffer {
    bytes: Box<[u8]>,
    filled: usize,
}

impl Buffer {
    /// Of at least `size` bytes. Small ones are not worth keeping.
    fn take(size: usize) -> Buffer {
        let kept = match size {
            CHUNK => BUFFERS.lock().unwrap_or_else(PoisonError::into_inner).pop(),
            _ => None,
        };
        Buffer { bytes: kept.unwrap_or_else(|| vec![0; size].into_boxed_slice()), filled: 0 }
    }

    fn filled(mut self, count: usize) -> Bytes {
        self.filled = count;
        Bytes::from_owner(self)
    }
}

impl AsRef<[u8]> for Buffer {
    fn as_ref(&self) -> &[u8] {
        &self.bytes[..self.filled]
    }
}

impl Drop for Buffer {
    fn drop(&mut self) {
        let bytes = std::mem::take(&mut self.bytes);
        let mut buffers = BUFFERS.lock().unwrap_or_else(PoisonError::into_inner);
        if bytes.len() == CHUNK && buffers.len() < IDLE {
            buffers.push(bytes);
        }
    }
}
