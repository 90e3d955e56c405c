//! `floor`: the least that a pull of given layers costs on this machine, with the libraries the product uses.
//!
//! A pull cannot do with less than hashing each blob, inflating it, hashing what comes out, and writing and syncing
//! what is kept. The floor is the CPU time of the first three, spread evenly over two cores, plus the wall-clock time
//! to write and sync as many bytes as the product's store occupies afterwards. No network, no tar, no index.

use anyhow::{Context as _, Result, bail};
use sha2::{Digest as _, Sha256};
use std::fs::{self, File};
use std::io::{BufReader, Read, Write};
use std::path::{Path, PathBuf};
use std::process::Command;
use std::time::Instant;

const CORES: f64 = 2.0;
const CHUNK: usize = 128 * 1024;

/// Measures the floor of these blobs with `program`, a release build of xtask. Returns seconds.
pub fn measure(program: &Path, blobs: &[PathBuf], bytes: u64, scratch: &Path) -> Result<f64> {
    let mut command = Command::new(program);
    let text = crate::process::capture(command.arg("floor").arg(bytes.to_string()).arg(scratch).args(blobs))?;
    text.trim().parse().with_context(|| format!("the floor printed {text:?}"))
}

/// `floor BYTES SCRATCH BLOB…`: prints seconds.
pub fn run(arguments: &[String]) -> Result<()> {
    let [bytes, scratch, blobs @ ..] = arguments else { bail!("usage: floor BYTES SCRATCH BLOB...") };
    let bytes: u64 = bytes.parse().context("BYTES is not a number")?;
    let mut cpu = 0.0;
    for blob in blobs {
        cpu += inflate_and_hash(Path::new(blob)).with_context(|| format!("reading {blob}"))?;
    }
    let writing = write_and_sync(Path::new(scratch), bytes, blobs.len().max(1) as u64)?;
    println!("{:.6}", cpu / CORES + writing);
    Ok(())
}

/// Seconds on one core. The blob is in memory before the clock starts.
fn inflate_and_hash(path: &Path) -> Result<f64> {
    let blob = fs::read(path)?;
    let started = Instant::now();
    std::hint::black_box(Sha256::digest(&blob));
    let mut tar: Box<dyn Read + '_> = match blob.as_slice() {
        [0x1f, 0x8b, ..] => Box::new(flate2::bufread::MultiGzDecoder::new(blob.as_slice())),
        [0x28, 0xb5, 0x2f, 0xfd, ..] => Box::new(zstd::stream::read::Decoder::with_buffer(blob.as_slice())?),
        _ => Box::new(BufReader::new(blob.as_slice())),
    };
    let mut hash = Sha256::new();
    let mut buffer = vec![0; CHUNK];
    loop {
        match tar.read(&mut buffer)? {
            0 => break,
            count => hash.update(&buffer[..count]),
        }
    }
    std::hint::black_box(hash.finalize());
    Ok(started.elapsed().as_secs_f64())
}

/// Seconds to write that many bytes into as many files as there are layers, and to sync each.
fn write_and_sync(scratch: &Path, bytes: u64, files: u64) -> Result<f64> {
    // Not zeroes, which a file system might treat specially.
    let chunk: Vec<u8> = (0..CHUNK as u32).map(|n| (n.wrapping_mul(2_654_435_761) >> 13) as u8).collect();
    let folder = tempfile::tempdir_in(scratch)?;
    let started = Instant::now();
    for number in 0..files {
        let mut file = File::create(folder.path().join(number.to_string()))?;
        let mut left = bytes / files;
        while left > 0 {
            let count = left.min(CHUNK as u64);
            file.write_all(&chunk[..count as usize])?;
            left -= count;
        }
        file.sync_data()?;
    }
    Ok(started.elapsed().as_secs_f64())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_compression_is_read() {
        let folder = tempfile::tempdir().expect("a temporary folder");
        let content = vec![42; 1_000_000];
        let mut gzip = flate2::write::GzEncoder::new(Vec::new(), flate2::Compression::fast());
        gzip.write_all(&content).expect("gzip");
        let gzip = gzip.finish().expect("gzip");
        let zstd = zstd::encode_all(content.as_slice(), 3).expect("zstd");
        for blob in [gzip, zstd, content] {
            let path = folder.path().join("blob");
            fs::write(&path, blob).expect("written");
            assert!(inflate_and_hash(&path).expect("read") > 0.0);
        }
        assert!(write_and_sync(folder.path(), 1_000_000, 3).expect("written") > 0.0);
    }
}
