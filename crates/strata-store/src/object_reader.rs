//! Reading an object's bytes, wherever they are: inline in the catalog, as a stored file, or written again from a layer's
//! pack and index.

use std::collections::HashMap;
use std::io::{self, Write};
use std::sync::Arc;

use bytes::Bytes;
use strata_layer::{ContentDigest, Contents, LayerError, LayerIndex, PackId, Skeleton, write_tar};
use strata_model::Digest;
use strata_transfer::{BlobStream, TransferError};
use tokio::sync::mpsc;

use crate::store::read_whole;
use crate::{BlobBytes, ObjectRow, PackFile, Result, Store, StoreError};

const CHUNK: usize = 256 << 10;

/// An object opened for reading.
#[derive(Clone)]
pub enum ObjectReader {
    /// Bytes from the catalog.
    Inline(Bytes),
    /// A stored file.
    Stored(Arc<dyn BlobBytes>),
    /// A plain tar, written from its layer.
    Rebuilt(Arc<LayerReader>),
}

/// Everything needed to write a layer's tar.
pub struct LayerReader {
    index: LayerIndex,
    skeleton: Skeleton,
    packs: PackContents,
}

impl LayerReader {
    /// The index.
    pub fn index(&self) -> &LayerIndex {
        &self.index
    }

    /// The contents of its files.
    pub fn contents(&self) -> &PackContents {
        &self.packs
    }

    /// Writes the exact tar.
    ///
    /// # Errors
    /// When `out` fails, a pack cannot be read, or the result does not have the layer's diff ID.
    pub fn write_tar(&self, out: impl Write) -> Result<u64, LayerError> {
        write_tar(&self.index, &self.skeleton, &self.packs, out)
    }
}

/// Opened packs by identity.
pub struct PackContents(HashMap<PackId, Arc<dyn PackFile>>);

impl PackContents {
    /// From packs in the order of `ids`.
    pub fn new(ids: &[PackId], files: Vec<Arc<dyn PackFile>>) -> PackContents {
        PackContents(ids.iter().copied().zip(files).collect())
    }

    /// An opened pack.
    pub fn get(&self, id: &PackId) -> Option<&Arc<dyn PackFile>> {
        self.0.get(id)
    }
}

impl Contents for PackContents {
    fn read(&self, pack: PackId, digest: &ContentDigest, offset: u64, buffer: &mut [u8]) -> io::Result<()> {
        let missing = || io::Error::new(io::ErrorKind::NotFound, format!("pack {pack} does not hold the content"));
        let file = self.0.get(&pack).ok_or_else(missing)?;
        let (start, _) = file.place(digest).ok_or_else(missing)?;
        file.read_exact_at(start + offset, buffer)
    }
}

impl Store {
    /// Opens a layer for reading its entries, contents and tar.
    ///
    /// # Errors
    /// `UnknownLayer`, `DamagedLayer`, `DamagedPack`.
    pub async fn open_layer(&self, diff_id: &strata_model::DiffId) -> Result<LayerReader> {
        let bytes = self.layer_index_bytes(diff_id).await?;
        let damaged =
            |cause: LayerError| StoreError::DamagedLayer { diff_id: *diff_id, cause: format!("its index: {cause}") };
        let index = strata_layer::decode_index(&bytes).map_err(damaged)?;
        let skeleton = strata_layer::decode_skeleton(&bytes).map_err(damaged)?;
        let files = self.open_packs(&index.packs).await?;
        Ok(LayerReader { packs: PackContents::new(&index.packs, files), index, skeleton })
    }

    /// Opens an object that is here and whole.
    ///
    /// # Errors
    /// `UnknownObject`, `DamagedObject`, and those of [`Store::open_layer`].
    pub async fn open_reader(&self, digest: &Digest) -> Result<ObjectReader> {
        let row = self.object(digest).await?;
        self.open_row(&row).await
    }

    async fn open_row(&self, row: &ObjectRow) -> Result<ObjectReader> {
        if let Some(bytes) = &row.bytes {
            return Ok(ObjectReader::Inline(bytes.clone()));
        }
        if row.location.is_some() {
            return Ok(ObjectReader::Stored(self.open_object(row).await?));
        }
        let diff_id = self.read().await?.layer_of_blob(&row.digest).await?;
        let diff_id = diff_id.ok_or(StoreError::UnknownObject(row.digest))?;
        Ok(ObjectReader::Rebuilt(Arc::new(self.open_layer(&diff_id).await?)))
    }
}

impl ObjectReader {
    /// Writes all bytes from position `from` on. Blocks.
    ///
    /// # Errors
    /// When reading or `out` fails.
    pub fn write_to(&self, from: u64, out: &mut dyn Write) -> io::Result<()> {
        match self {
            ObjectReader::Inline(bytes) => out.write_all(bytes.get(from as usize..).unwrap_or_default()),
            ObjectReader::Stored(bytes) => {
                let mut buffer = vec![0; CHUNK];
                let mut offset = from;
                loop {
                    match bytes.read_at(offset, &mut buffer)? {
                        0 => return Ok(()),
                        count => {
                            out.write_all(&buffer[..count])?;
                            offset += count as u64;
                        }
                    }
                }
            }
            ObjectReader::Rebuilt(layer) => {
                let mut tail = Skip { left: from, out };
                layer.write_tar(&mut tail).map(|_| ()).map_err(io::Error::other)
            }
        }
    }

    /// All bytes, of an object that is known to be small.
    ///
    /// # Errors
    /// When reading fails.
    pub fn read_whole(&self) -> io::Result<Bytes> {
        match self {
            ObjectReader::Inline(bytes) => Ok(bytes.clone()),
            ObjectReader::Stored(bytes) => read_whole(&**bytes).map(Bytes::from),
            ObjectReader::Rebuilt(_) => {
                let mut bytes = Vec::new();
                self.write_to(0, &mut bytes)?;
                Ok(bytes.into())
            }
        }
    }

    /// The bytes from `from` on as a stream; a blocking thread reads at most four chunks ahead.
    pub fn stream(self, from: u64) -> BlobStream {
        let (sender, receiver) = mpsc::channel(4);
        tokio::task::spawn_blocking(move || {
            let mut out = ChunkWriter::new(sender.clone());
            let result = self.write_to(from, &mut out).and_then(|()| out.flush());
            if let Err(error) = result {
                let kind = strata_model::ErrorKind::Storage;
                let _ = sender.blocking_send(Err(TransferError::new(kind, format!("reading an object: {error}"))));
            }
        });
        let stream = futures_util::stream::unfold(receiver, |mut receiver| async move {
            receiver.recv().await.map(|item| (item, receiver))
        });
        BlobStream { from, stream: Box::pin(stream) }
    }
}

/// Drops the first bytes.
struct Skip<'a> {
    left: u64,
    out: &'a mut dyn Write,
}

impl Write for Skip<'_> {
    fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
        let skipped = self.left.min(bytes.len() as u64) as usize;
        self.left -= skipped as u64;
        self.out.write_all(&bytes[skipped..])?;
        Ok(bytes.len())
    }

    fn flush(&mut self) -> io::Result<()> {
        self.out.flush()
    }
}

/// Sends what is written on a blocking thread in chunks of 256 KiB to an async reader; to be flushed at the end.
pub struct ChunkWriter<E> {
    chunks: mpsc::Sender<Result<Bytes, E>>,
    buffer: Vec<u8>,
}

impl<E> ChunkWriter<E> {
    /// A writer into this channel.
    pub fn new(chunks: mpsc::Sender<Result<Bytes, E>>) -> ChunkWriter<E> {
        ChunkWriter { chunks, buffer: Vec::with_capacity(CHUNK) }
    }
}

impl<E> Write for ChunkWriter<E> {
    fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
        self.buffer.extend_from_slice(bytes);
        if self.buffer.len() >= CHUNK {
            self.flush()?;
        }
        Ok(bytes.len())
    }

    /// Fails with `BrokenPipe` when the reader is gone.
    fn flush(&mut self) -> io::Result<()> {
        if self.buffer.is_empty() {
            return Ok(());
        }
        let full = std::mem::replace(&mut self.buffer, Vec::with_capacity(CHUNK));
        self.chunks.blocking_send(Ok(full.into())).map_err(|_| io::ErrorKind::BrokenPipe.into())
    }
}
