//! `corpus`: realistic images from public packages, in a local registry (`bench/corpus.sh`).

use crate::{packages, process, workspace};
use anyhow::{Result, bail};
use std::path::PathBuf;
use std::process::Command;

/// Where the registry of the corpus listens.
pub const REGISTRY: &str = "127.0.0.1:5000";

/// The images, smallest first: (name and tag, in the small corpus too).
pub const IMAGES: &[(&str, bool)] = &[
    ("busybox:1", true),
    ("layers30:1", false),
    ("debian:12-slim", true),
    ("nginx:1.22", true),
    ("redis:7", false),
    ("python:3.11-slim", false),
    ("postgres:15", false),
    ("node:18", false),
    ("manyfiles:1", false),
    ("python:3.11", false),
    ("large:1", false),
    ("xlarge:1", false),
];

/// The folder that holds the corpus, the peers and the stores that are measured. `PEERS` moves it.
pub fn folder() -> PathBuf {
    std::env::var_os("PEERS").map_or_else(|| "/tmp/peers".into(), PathBuf::from)
}

/// Runs the command.
pub fn run(arguments: &[String]) -> Result<()> {
    let small = match arguments {
        [] => false,
        [flag] if flag == "--small" => true,
        other => bail!("unknown arguments {other:?}"),
    };
    if !process::is_root() {
        bail!("the corpus is built with mmdebstrap and buildah, which need root here");
    }
    let missing = packages::ensure(packages::FOR_CORPUS);
    if !missing.is_empty() {
        bail!("cannot build the corpus without {}", missing.join(", "));
    }
    let mut script = Command::new("bash");
    script.arg(workspace::root().join("bench/corpus.sh")).env("PEERS", folder()).env("REG", REGISTRY);
    process::run(script.env("SMALL", if small { "1" } else { "" }))
}
