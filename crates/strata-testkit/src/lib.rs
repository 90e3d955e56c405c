//! What tests of all crates share: images made from lists of files, hostile archives, a registry that misbehaves on
//! demand, a browser, and comparison with recorded output.
//!
//! Everything is made from values at run time and is the same in every run; nothing needs root or a network. Functions
//! panic when a test uses them wrongly.

pub mod archive;
pub mod browser;
pub mod fixture;
pub mod golden;
pub mod http;
pub mod image;
pub mod layer;
pub mod museum;
pub mod one_time_code;
pub mod registry;
pub mod tar;

pub use image::{Image, ImageBuilder, Index};
pub use layer::{Layer, Packing};
pub use registry::{FakeRegistry, Fault, FaultRule};
pub use tar::{TarBuilder, TarEntry, TarFormat};
