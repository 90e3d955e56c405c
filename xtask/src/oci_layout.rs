//! A small writer of OCI image layouts (image-spec, image-layout.md): layers from file sets, configs, manifests, tags.
//!
//! The demo composes its images with this, and not with the product's own code, so that what the product reads was
//! written by somebody else. Everything is deterministic except the times that the caller gives.

use anyhow::{Context as _, Result};
use serde_json::{Value, json};
use sha2::{Digest as _, Sha256};
use std::collections::BTreeMap;
use std::fs;
use std::io::Write as _;
use std::path::{Path, PathBuf};

const MANIFEST: &str = "application/vnd.oci.image.manifest.v1+json";
const INDEX: &str = "application/vnd.oci.image.index.v1+json";

/// What lies at a path of an image.
pub enum Node {
    Directory { mode: u32 },
    File { mode: u32, content: Vec<u8> },
    Symlink { target: String },
}

/// The files of one layer by path (without a leading slash); parents come before children.
#[derive(Default)]
pub struct Files {
    nodes: BTreeMap<String, Node>,
}

impl Files {
    pub fn directory(&mut self, path: &str, mode: u32) {
        self.insert(path, Node::Directory { mode });
    }

    pub fn file(&mut self, path: &str, mode: u32, content: impl Into<Vec<u8>>) {
        self.insert(path, Node::File { mode, content: content.into() });
    }

    pub fn symlink(&mut self, path: &str, target: &str) {
        self.insert(path, Node::Symlink { target: target.into() });
    }

    pub fn contains(&self, path: &str) -> bool {
        self.nodes.contains_key(path.trim_start_matches('/'))
    }

    /// Takes away what `other` has too: what an earlier layer holds is not written again.
    pub fn without(mut self, other: &Files) -> Self {
        let repeated = |path: &str, node: &Node| other.contains(path) && !matches!(node, Node::Directory { .. });
        self.nodes.retain(|path, node| !repeated(path, node));
        self
    }

    fn insert(&mut self, path: &str, node: Node) {
        let path = path.trim_matches('/');
        for (at, _) in path.match_indices('/') {
            self.nodes.entry(path[..at].into()).or_insert(Node::Directory { mode: 0o755 });
        }
        self.nodes.insert(path.into(), node);
    }

    fn tar(&self, mtime: u64) -> Result<Vec<u8>> {
        let mut tar = Vec::new();
        for (path, node) in &self.nodes {
            let (kind, mode, content, target) = match node {
                Node::Directory { mode } => (b'5', *mode, &[][..], ""),
                Node::File { mode, content } => (b'0', *mode, content.as_slice(), ""),
                Node::Symlink { target } => (b'2', 0o777, &[][..], target.as_str()),
            };
            let path = if kind == b'5' { format!("{path}/") } else { path.clone() };
            tar.extend(ustar_header(&path, kind, mode, content.len(), target, mtime)?);
            tar.extend_from_slice(content);
            tar.resize(tar.len().next_multiple_of(512), 0);
        }
        tar.resize(tar.len() + 1024, 0);
        Ok(tar)
    }
}

/// One POSIX ustar header, owner root.
fn ustar_header(path: &str, kind: u8, mode: u32, size: usize, target: &str, mtime: u64) -> Result<[u8; 512]> {
    let mut header = [0; 512];
    let mut put = |at: usize, bytes: &[u8]| header[at..at + bytes.len()].copy_from_slice(bytes);
    let (prefix, name) = split_path(path).with_context(|| format!("{path} is too long for ustar"))?;
    anyhow::ensure!(target.len() <= 100, "link target {target} is too long for ustar");
    put(0, name.as_bytes());
    put(100, format!("{mode:07o}\0").as_bytes());
    put(108, b"0000000\x000000000\0");
    put(124, format!("{size:011o}\0{mtime:011o}\0        ").as_bytes());
    put(156, &[kind]);
    put(157, target.as_bytes());
    put(257, b"ustar\x0000root\0");
    put(297, b"root\0");
    put(345, prefix.as_bytes());
    let sum: u32 = header.iter().map(|&byte| u32::from(byte)).sum();
    header[148..156].copy_from_slice(format!("{sum:06o}\0 ").as_bytes());
    Ok(header)
}

/// Up to 100 bytes of name after up to 155 bytes of prefix, cut at a slash.
fn split_path(path: &str) -> Option<(&str, &str)> {
    if path.len() <= 100 {
        return Some(("", path));
    }
    path.match_indices('/')
        .map(|(at, _)| (&path[..at], &path[at + 1..]))
        .find(|(prefix, name)| prefix.len() <= 155 && name.len() <= 100 && !name.is_empty())
}

/// A layer as it lies in a layout, with the history line that made it.
#[derive(Clone)]
pub struct Layer {
    descriptor: Value,
    diff_id: String,
    created: String,
    created_by: String,
}

/// An OCI layout being written at a directory.
pub struct Layout {
    directory: PathBuf,
    manifests: Vec<Value>,
}

impl Layout {
    pub fn create(directory: &Path) -> Result<Self> {
        fs::create_dir_all(directory.join("blobs/sha256"))
            .with_context(|| format!("making a layout at {}", directory.display()))?;
        fs::write(directory.join("oci-layout"), br#"{"imageLayoutVersion":"1.0.0"}"#)?;
        Ok(Self { directory: directory.into(), manifests: Vec::new() })
    }

    /// Writes the files as a gzip layer.
    pub fn layer(&self, files: &Files, created: jiff::Timestamp, created_by: &str) -> Result<Layer> {
        let tar = files.tar(created.as_second().unsigned_abs())?;
        let mut gzip = flate2::write::GzEncoder::new(Vec::new(), flate2::Compression::default());
        gzip.write_all(&tar)?;
        let descriptor = self.blob("application/vnd.oci.image.layer.v1.tar+gzip", &gzip.finish()?)?;
        let created = created.to_string();
        Ok(Layer { descriptor, diff_id: digest(&tar), created, created_by: created_by.into() })
    }

    /// Writes an image of these layers for this machine under a tag. `settings` is the `config` object: Cmd, Env, Labels
    /// and so on.
    pub fn image(&mut self, tag: &str, layers: &[&Layer], settings: &Value) -> Result<()> {
        let manifest = self.manifest(architecture(), layers, settings)?;
        self.name(tag, manifest)
    }

    /// Writes images of the same layers for several platforms (`amd64`, `arm/v7`) under one tag.
    pub fn index(&mut self, tag: &str, platforms: &[&str], layers: &[&Layer], settings: &Value) -> Result<()> {
        let mut manifests = Vec::new();
        for platform in platforms {
            let mut manifest = self.manifest(platform, layers, settings)?;
            manifest["platform"] = platform_of(platform);
            manifests.push(manifest);
        }
        let index = json!({"schemaVersion": 2, "mediaType": INDEX, "manifests": manifests});
        let index = self.blob(INDEX, &serde_json::to_vec(&index)?)?;
        self.name(tag, index)
    }

    fn manifest(&self, platform: &str, layers: &[&Layer], settings: &Value) -> Result<Value> {
        let newest = layers.last().context("an image needs a layer")?;
        let history = |layer: &&Layer| json!({"created": layer.created, "created_by": layer.created_by});
        let mut history: Vec<Value> = layers.iter().map(history).collect();
        if let Some(words) = settings.get("Cmd") {
            let created_by = format!("CMD {words}");
            history.push(json!({"created": newest.created, "created_by": created_by, "empty_layer": true}));
        }
        let mut config = platform_of(platform);
        config["created"] = json!(newest.created);
        config["config"] = settings.clone();
        let diff_ids: Vec<&String> = layers.iter().map(|layer| &layer.diff_id).collect();
        config["rootfs"] = json!({"type": "layers", "diff_ids": diff_ids});
        config["history"] = json!(history);
        let config = self.blob("application/vnd.oci.image.config.v1+json", &serde_json::to_vec(&config)?)?;
        let layers: Vec<&Value> = layers.iter().map(|layer| &layer.descriptor).collect();
        let manifest = json!({"schemaVersion": 2, "mediaType": MANIFEST, "config": config, "layers": layers});
        self.blob(MANIFEST, &serde_json::to_vec(&manifest)?)
    }

    fn name(&mut self, tag: &str, mut descriptor: Value) -> Result<()> {
        descriptor["annotations"] = json!({"org.opencontainers.image.ref.name": tag});
        self.manifests.push(descriptor);
        self.write_index()
    }

    fn write_index(&self) -> Result<()> {
        let index = json!({
            "schemaVersion": 2, "mediaType": INDEX, "manifests": self.manifests,
        });
        Ok(fs::write(self.directory.join("index.json"), serde_json::to_vec(&index)?)?)
    }

    fn blob(&self, media_type: &str, bytes: &[u8]) -> Result<Value> {
        let digest = digest(bytes);
        let path = self.directory.join("blobs").join(digest.replace(':', "/"));
        fs::write(&path, bytes).with_context(|| format!("writing {}", path.display()))?;
        Ok(json!({"mediaType": media_type, "digest": digest, "size": bytes.len()}))
    }
}

fn digest(bytes: &[u8]) -> String {
    let hash = Sha256::digest(bytes);
    hash.iter().fold("sha256:".to_owned(), |text, byte| format!("{text}{byte:02x}"))
}

/// `arm/v7` as an object.
fn platform_of(platform: &str) -> Value {
    match platform.split_once('/') {
        Some((architecture, variant)) => json!({"architecture": architecture, "variant": variant, "os": "linux"}),
        None => json!({"architecture": platform, "os": "linux"}),
    }
}

/// This machine's architecture as images spell it.
pub fn architecture() -> &'static str {
    match std::env::consts::ARCH {
        "x86_64" => "amd64",
        "aarch64" => "arm64",
        "x86" => "386",
        other => other,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Layers are read back by tar(1), which is not ours.
    #[test]
    fn tar_reads_what_is_written() {
        let mut files = Files::default();
        let long = format!("deep/{}/{}", "d".repeat(90), "f".repeat(60));
        files.file("usr/bin/tool", 0o755, b"#!/bin/sh\n");
        files.file(&long, 0o644, vec![7; 1000]);
        files.symlink("bin", "usr/bin");
        let folder = tempfile::tempdir().expect("a temporary folder");
        let path = folder.path().join("layer.tar");
        fs::write(&path, files.tar(1_700_000_000).expect("a tar")).expect("written");
        let listed = crate::process::capture(
            std::process::Command::new("tar").args(["--numeric-owner", "-tvf"]).arg(&path).env("TZ", "UTC"),
        );
        let listed = listed.expect("tar reads it");
        assert!(listed.contains("-rwxr-xr-x 0/0              10 2023-11-14 22:13 usr/bin/tool"), "{listed}");
        assert!(listed.contains("bin -> usr/bin"), "{listed}");
        assert!(listed.contains(&long), "{listed}");
        assert!(listed.contains("drwxr-xr-x 0/0               0 2023-11-14 22:13 usr/bin/"), "{listed}");
    }

    #[test]
    fn a_layer_leaves_out_what_the_base_has() {
        let (mut base, mut app) = (Files::default(), Files::default());
        base.file("lib/libc.so", 0o755, b"x");
        app.file("lib/libc.so", 0o755, b"x");
        app.file("lib/libapp.so", 0o755, b"y");
        let app = app.without(&base);
        assert!(!app.contains("lib/libc.so") && app.contains("lib/libapp.so") && app.contains("lib"));
    }
}
