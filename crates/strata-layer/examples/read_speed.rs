//! Measures the pass over a layer: `read_speed layer.tar[.gz|.zst|…]`, and what its index weighs.

use std::io::{self, Read};
use std::time::Instant;

use strata_layer::{LayerLimits, NothingKnown, PackId, PackSink, PackWriter};
use strata_model::Digest;

/// Drops what it is given: the pass is measured, not the disk.
struct Nowhere;

impl PackSink for Nowhere {
    fn write_at(&mut self, _: u64, _: &[u8]) -> io::Result<()> {
        Ok(())
    }

    fn set_len(&mut self, _: u64) -> io::Result<()> {
        Ok(())
    }
}

#[allow(clippy::print_stdout)]
fn main() -> Result<(), Box<dyn std::error::Error>> {
    let path = std::env::args().nth(1).ok_or("which tar?")?;
    let compressed = std::fs::read(path)?;
    let start = Instant::now();
    let mut tar = Vec::new();
    strata_layer::decompressor(&compressed[..])?.1.read_to_end(&mut tar)?;
    let megabytes = tar.len() as f64 / 1e6;
    println!("inflate      {:8.1} ms", start.elapsed().as_secs_f64() * 1e3);

    let start = Instant::now();
    Digest::of(&tar);
    let sha256 = start.elapsed();
    println!("SHA-256      {:8.1} ms  {:7.0} MB/s", sha256.as_secs_f64() * 1e3, megabytes / sha256.as_secs_f64());

    for _ in 0..3 {
        let start = Instant::now();
        let mut pack = PackWriter::new(PackId([0; 16]), Nowhere);
        let layer = strata_layer::read_layer(&tar[..], &mut pack, &NothingKnown, &LayerLimits::default())?;
        let (summary, _) = pack.finish()?;
        let pass = start.elapsed();
        println!("pass         {:8.1} ms  {:7.0} MB/s", pass.as_secs_f64() * 1e3, megabytes / pass.as_secs_f64());

        let start = Instant::now();
        let contents: Vec<_> = layer.index.entries().filter_map(|entry| entry.content).collect();
        let mut position = 0;
        for content in &contents {
            let size = (content.size as usize).min(tar.len());
            if position + size > tar.len() {
                position = 0;
            }
            strata_layer::ContentDigest::of(&tar[position..position + size]);
            position += size;
        }
        println!("BLAKE3 alone {:8.1} ms", start.elapsed().as_secs_f64() * 1e3);

        let start = Instant::now();
        let file = strata_layer::encode_index(&layer.index, &layer.skeleton)?;
        println!("encode       {:8.2} ms", start.elapsed().as_secs_f64() * 1e3);
        let start = Instant::now();
        let index = strata_layer::decode_index(&file)?;
        println!("decode       {:8.2} ms", start.elapsed().as_secs_f64() * 1e3);
        println!(
            "{} entries, {} contents, index {} bytes of which skeleton {}, pack {} bytes",
            index.len(),
            summary.count,
            file.len(),
            layer.skeleton.stored_size(),
            summary.file_length
        );
    }
    Ok(())
}
