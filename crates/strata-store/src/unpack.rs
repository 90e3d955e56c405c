//! The bridge from a stream of compressed bytes to a pack and an index, over two threads with bounded channels.
//!
//! ```text
//! async task ──Bytes──► inflate thread ──256 KiB buffers──► tar thread: SHA-256, headers, contents ─► pack
//!   (socket, SHA-256 of the blob, staging)   ◄──empty buffers──
//! ```
//! Memory is bounded by the channels: 4 chunks from the socket, 4 buffers, the pack's buffer, one window of the
//! decompressor, and the index. This is the only module that joins async and blocking code.

use std::io::{self, BufRead, Read};
use std::sync::{Arc, mpsc};

use bytes::{Buf as _, Bytes};
use strata_layer::{
    LayerError, LayerIndex, LayerLimits, PackId, PackSink, PackWriter, ReadLayer, layer_decompressor, read_layer,
};
use strata_model::Compression;

use crate::known::KnownPacks;
use crate::{NewPack, Packs, Result, StoreError};

const BUFFER: usize = 256 << 10;
const BUFFERS: usize = 4;
const CHUNKS: usize = 4;

/// A layer that was unpacked: its index, and its pack if it has contents of its own. Nothing of it is visible yet.
pub(crate) struct Unpacked {
    pub(crate) layer: ReadLayer,
    pub(crate) pack: Option<(PackId, Box<dyn NewPack>)>,
    pub(crate) compression: Compression,
    pub(crate) pack_length: u64,
}

impl Unpacked {
    pub(crate) fn index(&self) -> &LayerIndex {
        &self.layer.index
    }
}

/// Unpacking in progress.
pub(crate) struct Unpacking {
    chunks: Option<tokio::sync::mpsc::Sender<Bytes>>,
    result: tokio::task::JoinHandle<Result<Unpacked>>,
}

impl Unpacking {
    /// Starts the threads. `name` is what errors call the layer.
    pub(crate) fn start(name: String, packs: Arc<dyn Packs>, known: Arc<KnownPacks>, limits: LayerLimits) -> Unpacking {
        let (sender, receiver) = tokio::sync::mpsc::channel(CHUNKS);
        let result = tokio::task::spawn_blocking(move || {
            unpack(&name, ChunkReader { receiver, current: Bytes::new() }, &*packs, &known, &limits)
        });
        Unpacking { chunks: Some(sender), result }
    }

    /// Hands over bytes; waits while the threads are behind. What they refuse is told by [`Unpacking::finish`].
    pub(crate) async fn feed(&self, bytes: Bytes) -> bool {
        match &self.chunks {
            Some(sender) => sender.send(bytes).await.is_ok(),
            None => false,
        }
    }

    /// Ends the stream and waits for the layer.
    pub(crate) async fn finish(mut self) -> Result<Unpacked> {
        self.chunks = None;
        match self.result.await {
            Ok(result) => result,
            Err(cause) => std::panic::resume_unwind(cause.into_panic()),
        }
    }
}

/// Unpacks a layer from a blocking reader on this thread and one more.
pub(crate) fn unpack(
    name: &str,
    compressed: impl BufRead + Send + 'static,
    packs: &dyn Packs,
    known: &KnownPacks,
    limits: &LayerLimits,
) -> Result<Unpacked> {
    let (full_sender, full_receiver) = mpsc::sync_channel::<io::Result<Vec<u8>>>(BUFFERS);
    let (empty_sender, empty_receiver) = mpsc::channel::<Vec<u8>>();
    for _ in 0..BUFFERS {
        let _ = empty_sender.send(vec![0; BUFFER]);
    }
    let inflate = std::thread::spawn(move || inflate(compressed, &full_sender, &empty_receiver));
    let tar = BufferReader { full: full_receiver, empty: empty_sender, current: Vec::new(), position: 0 };
    let pack = packs.create()?;
    let id = pack.id();
    let mut writer = PackWriter::new(id, PackTarget(pack));
    let layer = read_layer(tar, &mut writer, known, limits);
    let compression = inflate.join().unwrap_or(Compression::None);
    let layer = layer.map_err(|error| match error {
        LayerError::WritePack(source) => StoreError::file("writing the pack of layer", name, source),
        error => StoreError::MalformedLayer { blob: name.to_owned(), kind: error.kind(), cause: error.to_string() },
    })?;
    let is_empty = writer.is_empty();
    let (summary, target) =
        writer.finish().map_err(|source| StoreError::file("writing the pack of layer", name, source))?;
    Ok(Unpacked { layer, pack: (!is_empty).then_some((id, target.0)), compression, pack_length: summary.file_length })
}

/// Inflates into recycled buffers until the end, an error, or until nobody wants more.
fn inflate(
    compressed: impl BufRead + Send,
    full: &mpsc::SyncSender<io::Result<Vec<u8>>>,
    empty: &mpsc::Receiver<Vec<u8>>,
) -> Compression {
    let (compression, mut plain) = match layer_decompressor(compressed) {
        Ok(opened) => opened,
        Err(error) => {
            let _ = full.send(Err(error));
            return Compression::None;
        }
    };
    while let Ok(mut buffer) = empty.recv() {
        buffer.resize(BUFFER, 0);
        let mut filled = 0;
        let mut end = false;
        while filled < BUFFER {
            match plain.read(&mut buffer[filled..]) {
                Ok(0) => {
                    end = true;
                    break;
                }
                Ok(count) => filled += count,
                Err(error) if error.kind() == io::ErrorKind::Interrupted => {}
                Err(error) => {
                    let _ = full.send(Err(error));
                    return compression;
                }
            }
        }
        buffer.truncate(filled);
        if filled > 0 && full.send(Ok(buffer)).is_err() || end {
            break;
        }
    }
    compression
}

/// Reads the chunks that the async side sends; the end is when it hangs up.
struct ChunkReader {
    receiver: tokio::sync::mpsc::Receiver<Bytes>,
    current: Bytes,
}

impl BufRead for ChunkReader {
    fn fill_buf(&mut self) -> io::Result<&[u8]> {
        while self.current.is_empty() {
            match self.receiver.blocking_recv() {
                Some(chunk) => self.current = chunk,
                None => break,
            }
        }
        Ok(&self.current)
    }

    fn consume(&mut self, count: usize) {
        self.current.advance(count);
    }
}

impl Read for ChunkReader {
    fn read(&mut self, buffer: &mut [u8]) -> io::Result<usize> {
        let count = buffer.len().min(self.fill_buf()?.len());
        self.current.copy_to_slice(&mut buffer[..count]);
        Ok(count)
    }
}

/// Reads the inflate thread's buffers and sends them back empty.
struct BufferReader {
    full: mpsc::Receiver<io::Result<Vec<u8>>>,
    empty: mpsc::Sender<Vec<u8>>,
    current: Vec<u8>,
    position: usize,
}

impl Read for BufferReader {
    fn read(&mut self, buffer: &mut [u8]) -> io::Result<usize> {
        while self.position == self.current.len() {
            let used = std::mem::take(&mut self.current);
            if used.capacity() > 0 {
                let _ = self.empty.send(used);
            }
            self.position = 0;
            match self.full.recv() {
                Ok(Ok(next)) => self.current = next,
                Ok(Err(error)) => return Err(error),
                Err(_) => return Ok(0),
            }
        }
        let count = buffer.len().min(self.current.len() - self.position);
        buffer[..count].copy_from_slice(&self.current[self.position..self.position + count]);
        self.position += count;
        Ok(count)
    }
}

/// A new pack as the sink of a [`PackWriter`].
pub(crate) struct PackTarget(pub(crate) Box<dyn NewPack>);

impl PackSink for PackTarget {
    fn write_at(&mut self, offset: u64, bytes: &[u8]) -> io::Result<()> {
        self.0.write_at(offset, bytes)
    }

    fn set_len(&mut self, length: u64) -> io::Result<()> {
        self.0.set_len(length)
    }
}
