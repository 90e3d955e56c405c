//! Every parser of outside bytes as a check that takes any bytes: it returns, or it panics and a bug is found.
//!
//! A check asserts more than that nothing panics, where there is more to say: what was parsed prints as what parses to
//! the same, a tar that was read is written again to the byte. `fuzz/` makes one libFuzzer program of each; inputs that
//! once failed are in `fuzz/regressions/<target>/` and are checked by this crate's ordinary tests, as all seeds are.
//!
//! Formats with checksums are checked twice, as they come and with their checksums mended, so that what is wrong gets
//! behind the first gate.

mod archive;
mod layer;
mod mend;
mod names;
mod packages;
mod registry;
mod runtime;
mod seeds;
mod template;

use std::path::PathBuf;

pub use archive::archive;
pub use layer::{compression, erofs_image, layer_index, layer_tar, pack_footer};
pub use names::{digest, image_config, manifest, media_type, platform, reference};
pub use packages::packages;
pub use registry::{challenge, client_config, docker_config, error_answer, range, registry_path, response_headers};
pub use runtime::{control_frames, log_line};
pub use template::{filter_value, template};

/// A parser under test.
pub struct Target {
    /// The name of its libFuzzer program, and of the folder of its regressions.
    pub name: &'static str,
    /// Panics when the bytes show a bug.
    pub check: fn(&[u8]),
    /// Inputs to begin with.
    pub seeds: fn() -> Vec<Vec<u8>>,
}

/// All parsers. Each has a file in `fuzz/fuzz_targets`.
pub const TARGETS: &[Target] = &[
    Target { name: "archive", check: archive, seeds: seeds::archives },
    Target { name: "challenge", check: challenge, seeds: seeds::challenges },
    Target { name: "client_config", check: client_config, seeds: seeds::client_configs },
    Target { name: "compression", check: compression, seeds: seeds::compressed },
    Target { name: "control_frames", check: control_frames, seeds: seeds::control_frames },
    Target { name: "digest", check: digest, seeds: seeds::digests },
    Target { name: "docker_config", check: docker_config, seeds: seeds::docker_configs },
    Target { name: "erofs_image", check: erofs_image, seeds: seeds::erofs_images },
    Target { name: "error_answer", check: error_answer, seeds: seeds::error_answers },
    Target { name: "filter_value", check: filter_value, seeds: seeds::filter_values },
    Target { name: "image_config", check: image_config, seeds: seeds::documents },
    Target { name: "layer_index", check: layer_index, seeds: seeds::layer_indexes },
    Target { name: "layer_tar", check: layer_tar, seeds: seeds::layer_tars },
    Target { name: "log_line", check: log_line, seeds: seeds::log_lines },
    Target { name: "manifest", check: manifest, seeds: seeds::documents },
    Target { name: "media_type", check: media_type, seeds: seeds::media_types },
    Target { name: "pack_footer", check: pack_footer, seeds: seeds::packs },
    Target { name: "packages", check: packages, seeds: seeds::packages },
    Target { name: "platform", check: platform, seeds: seeds::platforms },
    Target { name: "range", check: range, seeds: seeds::ranges },
    Target { name: "reference", check: reference, seeds: seeds::references },
    Target { name: "registry_path", check: registry_path, seeds: seeds::registry_paths },
    Target { name: "response_headers", check: response_headers, seeds: seeds::response_headers },
    Target { name: "template", check: template, seeds: seeds::templates },
];

/// The folder `fuzz/` of the repository.
pub fn folder() -> PathBuf {
    PathBuf::from(concat!(env!("CARGO_MANIFEST_DIR"), "/../../fuzz"))
}

/// The bytes as text; checks of text take no others.
fn text(bytes: &[u8]) -> Option<&str> {
    std::str::from_utf8(bytes).ok()
}
