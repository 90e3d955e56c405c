//! gzip for layers that are held as plain tars, when a registry wants them.
//!
//! Independent members of 1 MiB each, as RFC 1952 allows: deterministic for one version of the compressor, and the memory
//! needed is one member.

use std::io::{self, Write};
use std::sync::Arc;

use bytes::Bytes;
use libdeflater::{CompressionLvl, Compressor};
use strata_store::LayerReader;
use tokio::sync::mpsc;

const MEMBER: usize = 1 << 20;
const LEVEL: i32 = 6;

/// Compresses a layer's tar on a blocking thread; two members are ahead of the reader at most.
pub(crate) fn compress(layer: Arc<LayerReader>) -> mpsc::Receiver<io::Result<Bytes>> {
    let (sender, receiver) = mpsc::channel(2);
    tokio::task::spawn_blocking(move || {
        let mut members = Members::new(sender.clone());
        let result = layer.write_tar(&mut members).map_err(io::Error::other).and_then(|_| members.finish());
        if let Err(error) = result {
            let _ = sender.blocking_send(Err(error));
        }
    });
    receiver
}

struct Members {
    sender: mpsc::Sender<io::Result<Bytes>>,
    compressor: Compressor,
    plain: Vec<u8>,
    any: bool,
}

impl Members {
    fn new(sender: mpsc::Sender<io::Result<Bytes>>) -> Members {
        let level = CompressionLvl::new(LEVEL).unwrap_or_default();
        Members { sender, compressor: Compressor::new(level), plain: Vec::with_capacity(MEMBER), any: false }
    }

    fn send_member(&mut self) -> io::Result<()> {
        let mut member = vec![0; self.compressor.gzip_compress_bound(self.plain.len())];
        let length = self.compressor.gzip_compress(&self.plain, &mut member).map_err(io::Error::other)?;
        member.truncate(length);
        self.plain.clear();
        self.any = true;
        self.sender.blocking_send(Ok(member.into())).map_err(|_| io::ErrorKind::BrokenPipe.into())
    }

    fn finish(mut self) -> io::Result<()> {
        if self.plain.is_empty() && self.any { Ok(()) } else { self.send_member() }
    }
}

impl Write for Members {
    fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
        let count = bytes.len().min(MEMBER - self.plain.len());
        self.plain.extend_from_slice(&bytes[..count]);
        if self.plain.len() == MEMBER {
            self.send_member()?;
        }
        Ok(count)
    }

    fn flush(&mut self) -> io::Result<()> {
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::io::Read as _;

    #[test]
    fn members_inflate_to_what_was_written() {
        let runtime = tokio::runtime::Builder::new_current_thread().build().unwrap();
        for length in [0, 1, MEMBER - 1, MEMBER, MEMBER + 1, 3 * MEMBER] {
            let plain: Vec<u8> = (0..length).map(|position| (position / 7) as u8).collect();
            let (sender, mut receiver) = mpsc::channel(16);
            let mut members = Members::new(sender);
            members.write_all(&plain).unwrap();
            members.finish().unwrap();
            let mut compressed = Vec::new();
            runtime.block_on(async {
                while let Some(member) = receiver.recv().await {
                    compressed.extend_from_slice(&member.unwrap());
                }
            });
            let mut found = Vec::new();
            strata_layer::decompressor(&compressed[..]).unwrap().1.read_to_end(&mut found).unwrap();
            assert_eq!(found, plain);
        }
    }
}
