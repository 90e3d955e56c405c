//! Blobs and packs in a directory.
//!
//! ```text
//! <root>/blobs/<unique>            compressed layers, manifests, configurations
//!        indexes/<unique>          layer indexes
//!        views/<unique>            derived images of merged views
//!        packs/<pack>.<unique>     contents of layers
//!        staging/download-<algorithm>-<hex>, upload-<id>, anonymous-<unique>
//! ```
//! Directories are private to their owner and made when they are first needed. They are flat: file systems index large
//! directories, and seals that go on at once share the `fsync` of one directory.
//!
//! What is not sealed has no name (`O_TMPFILE`), or lies in `staging`, locked by its owner with `flock`; the lock goes with
//! the process. Sealing is `fdatasync`, a link at a name that was never used, `fsync` of the directory. A sealed file never
//! changes; removing it is one `unlink`, and whoever has it open keeps its bytes. Nothing here needs a lock that outlives a
//! call, except for staged names.

// `StoreError` names two digests at most; failures are rare and not passed around in loops.
#![allow(clippy::result_large_err)]

mod blobs;
mod file_layer;
mod ingest;
mod packs;
#[cfg(test)]
mod power_cut;
mod root;
mod sys;
#[cfg(test)]
mod tests;

pub use blobs::FsBlobs;
pub use packs::FsPacks;
