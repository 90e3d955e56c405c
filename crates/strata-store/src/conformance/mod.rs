//! What every adapter must do, as functions that its tests run. Each takes a constructor of a fresh, empty backend and
//! panics where the contract is broken.

mod blobs;
mod catalog;
mod containers;
mod packs;

pub use blobs::blobs_suite;
pub use catalog::catalog_suite;
pub use packs::packs_suite;

use strata_model::Digest;

fn digest(text: &str) -> Digest {
    Digest::of(text.as_bytes())
}
