//! What is found in an image when all its files are looked through once.

use std::io::Read as _;

use serde::{Deserialize, Serialize};
use strata_layer::{ImageView, Inode, InodeId, Kind, LayerIndex};
use strata_store::OpenedView;

use super::{all_entries, is_mark, split, whiteout};
use crate::packages::{Database, Package};

/// Version of [`Findings`]; those of another one are made again.
pub(super) const VERSION: u32 = 1;
/// Most files in a list of the largest.
const LARGEST: usize = 30;
/// Most paths in a list of those with some quality.
const LISTED: usize = 200;
/// Most packages of an image.
const MAX_PACKAGES: usize = 50_000;
/// Most bytes of package databases that are read of one image, and most files.
const MAX_READ: u64 = 128 << 20;
const MAX_FILES_READ: usize = 20_000;
/// Most of `etc/os-release` that is read.
const MAX_RELEASE: u64 = 16 << 10;

/// What is in an image. Layers count from 0, the lowest.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct Findings {
    /// Version of this form.
    pub version: u32,
    /// What the system calls itself (`PRETTY_NAME` of `etc/os-release`).
    pub system: Option<String>,
    /// Files in the finished image, directories aside, each once whatever its names.
    pub files: u64,
    /// Their bytes.
    pub bytes: u64,
    /// Bytes in layers that later layers replaced or removed.
    pub wasted_bytes: u64,
    /// Each layer, lowest first.
    pub layers: Vec<LayerFindings>,
    /// The largest files of the finished image.
    pub largest: Vec<FoundFile>,
    /// The largest files that a later layer replaced or removed.
    pub wasted: Vec<FoundFile>,
    /// Files that run with their owner's or group's rights, with their mode.
    pub setuid: FoundPaths,
    /// Files with capabilities.
    pub capabilities: FoundPaths,
    /// Installed packages, sorted.
    pub packages: Vec<Package>,
    /// Whether something was too much to be read: there may be more packages.
    pub is_incomplete: bool,
}

/// What one layer has.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct LayerFindings {
    /// Files, links and devices.
    pub files: u64,
    /// Directories.
    pub directories: u64,
    /// Names that it removes from lower layers.
    pub removals: u64,
    /// Bytes of its files.
    pub bytes: u64,
    /// Those of them that later layers replaced or removed.
    pub wasted_bytes: u64,
}

/// A file.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct FoundFile {
    /// Its path as it can be shown; see [`printable`].
    pub path: String,
    /// Its bytes.
    pub size: u64,
    /// The layer that it is of.
    pub layer: u32,
}

/// Paths with some quality, the first of them, and how many there are.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct FoundPaths {
    /// How many.
    pub count: u64,
    /// Paths as they can be shown, each with its mode (07777).
    pub paths: Vec<(String, u16)>,
}

impl FoundPaths {
    fn push(&mut self, path: &[u8], mode: u16) {
        self.count += 1;
        if self.paths.len() < LISTED {
            self.paths.push((printable(path), mode));
        }
    }
}

/// Looks through an image. Blocks, and reads its package databases.
pub(super) fn look_through(indexes: &[LayerIndex], opened: &OpenedView) -> Findings {
    let mut findings = Findings { version: VERSION, layers: layers(indexes), ..Findings::default() };
    let kept = look_through_view(opened, &mut findings);
    for (layer, kept) in findings.layers.iter_mut().zip(kept) {
        layer.wasted_bytes = layer.bytes.saturating_sub(kept);
    }
    findings.wasted_bytes = findings.layers.iter().map(|layer| layer.wasted_bytes).sum();
    findings.wasted = wasted(indexes, &opened.view);
    findings.packages.sort();
    findings.packages.dedup();
    findings
}

fn layers(indexes: &[LayerIndex]) -> Vec<LayerFindings> {
    let mut layers: Vec<LayerFindings> = Vec::new();
    for index in indexes {
        let mut layer = LayerFindings { bytes: index.content_size, ..LayerFindings::default() };
        for entry in index.entries() {
            match entry.kind {
                _ if whiteout(entry.path).is_some() => layer.removals += 1,
                Kind::Directory => layer.directories += 1,
                _ => layer.files += 1,
            }
        }
        layers.push(layer);
    }
    layers
}

/// Looks at every file of the finished image; returns how many bytes of each layer are in it.
fn look_through_view(opened: &OpenedView, findings: &mut Findings) -> Vec<u64> {
    let view = &opened.view;
    let mut kept = vec![0_u64; findings.layers.len()];
    let mut seen = vec![false; view.len()];
    let mut largest = Largest::default();
    let mut reading = Reading::default();
    for (path, id) in view.walk() {
        let inode = view.inode(id);
        if inode.kind == Kind::Directory || std::mem::replace(&mut seen[id.0 as usize], true) {
            continue;
        }
        findings.files += 1;
        if inode.kind != Kind::Regular {
            continue;
        }
        let size = inode.size();
        findings.bytes = findings.bytes.saturating_add(size);
        if let Some(kept) = kept.get_mut(inode.layer as usize) {
            *kept = kept.saturating_add(size);
        }
        largest.push(&path, size, inode.layer);
        if inode.metadata.mode & 0o6000 != 0 {
            findings.setuid.push(&path, inode.metadata.mode);
        }
        if inode.xattrs.iter().any(|(name, _)| name == b"security.capability") {
            findings.capabilities.push(&path, inode.metadata.mode);
        }
        if let Some(database) = Database::at(&path)
            && findings.packages.len() < MAX_PACKAGES
        {
            match reading.read(opened, &inode, database.limit()) {
                Some(bytes) => findings.packages.extend(database.parse(&bytes)),
                None => findings.is_incomplete = true,
            }
        }
    }
    findings.is_incomplete |= findings.packages.len() > MAX_PACKAGES;
    findings.packages.truncate(MAX_PACKAGES);
    findings.largest = largest.finish();
    findings.system = system(opened);
    kept
}

/// Files of layers that are not in the finished image as that layer wrote them, the largest first.
fn wasted(indexes: &[LayerIndex], view: &ImageView) -> Vec<FoundFile> {
    let mut largest = Largest::default();
    for (layer, entry) in all_entries(indexes) {
        let Some(content) = entry.content.filter(|_| !is_mark(entry.path)) else { continue };
        if content.size <= largest.floor() {
            continue;
        }
        let is_kept = find(view, entry.path).is_some_and(|id| {
            let inode = view.inode(id);
            inode.layer as usize == layer && inode.content.is_some_and(|kept| kept.digest == content.digest)
        });
        if !is_kept {
            largest.push(entry.path, content.size, layer as u32);
        }
    }
    largest.finish()
}

/// What is at the path of a layer's entry: its parents may be links in the finished image.
pub(super) fn find(view: &ImageView, path: &[u8]) -> Option<InodeId> {
    view.lookup(path).or_else(|| {
        let (parents, name) = split(path);
        view.child(view.resolve(parents).ok()?, name)
    })
}

/// The largest files that were pushed, a few more in between.
#[derive(Default)]
struct Largest(Vec<FoundFile>);

impl Largest {
    /// No file of this size or less is wanted any more.
    fn floor(&self) -> u64 {
        if self.0.len() < LARGEST { 0 } else { self.0[LARGEST - 1].size }
    }

    fn push(&mut self, path: &[u8], size: u64, layer: u32) {
        if size <= self.floor() {
            return;
        }
        self.0.push(FoundFile { path: printable(path), size, layer });
        if self.0.len() <= LARGEST || self.0.len() >= 4 * LARGEST {
            self.shrink();
        }
    }

    fn shrink(&mut self) {
        self.0.sort_by(|one, other| other.size.cmp(&one.size).then_with(|| one.path.cmp(&other.path)));
        self.0.truncate(LARGEST);
    }

    fn finish(mut self) -> Vec<FoundFile> {
        self.shrink();
        self.0
    }
}

/// How much was read already.
#[derive(Default)]
struct Reading {
    bytes: u64,
    files: usize,
}

impl Reading {
    /// The content of a file; `None` when it is too large, too much was read already, or it cannot be read.
    fn read(&mut self, opened: &OpenedView, inode: &Inode<'_>, limit: u64) -> Option<Vec<u8>> {
        let Some(content) = inode.content else { return Some(Vec::new()) };
        self.bytes = self.bytes.saturating_add(content.size);
        self.files += 1;
        if content.size > limit || self.bytes > MAX_READ || self.files > MAX_FILES_READ {
            return None;
        }
        let mut bytes = Vec::new();
        opened.reader(&content)?.read_to_end(&mut bytes).ok()?;
        Some(bytes)
    }
}

/// `PRETTY_NAME` of `etc/os-release` (os-release(5)).
fn system(opened: &OpenedView) -> Option<String> {
    let paths: [&[u8]; 2] = [b"etc/os-release", b"usr/lib/os-release"];
    let inode = paths.iter().find_map(|path| opened.view.resolve(path).ok()).map(|id| opened.view.inode(id))?;
    let bytes = Reading::default().read(opened, &inode, MAX_RELEASE)?;
    let text = String::from_utf8_lossy(&bytes);
    let name = text.lines().find_map(|line| line.strip_prefix("PRETTY_NAME="))?;
    let name = name.trim().trim_matches(['"', '\'']);
    Some(name.chars().filter(|character| !character.is_control()).take(100).collect())
}

/// Bytes of a name as a person can read them: what is no text, and what would not be seen or would turn the text around,
/// is escaped.
pub fn printable(bytes: &[u8]) -> String {
    let mut text = String::with_capacity(bytes.len());
    for chunk in bytes.utf8_chunks() {
        for character in chunk.valid().chars() {
            let is_hidden = matches!(character,
                '\u{ad}' | '\u{61c}' | '\u{180e}' | '\u{200b}'..='\u{200f}' | '\u{2028}'..='\u{202e}'
                | '\u{2060}'..='\u{206f}' | '\u{feff}' | '\u{e0000}'..='\u{e007f}');
            match character {
                '\\' => text.push_str("\\\\"),
                _ if character.is_control() || is_hidden => text.extend(character.escape_default()),
                _ => text.push(character),
            }
        }
        chunk.invalid().iter().for_each(|byte| text.push_str(&format!("\\x{byte:02x}")));
    }
    text
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn names_are_shown_without_tricks() {
        for (bytes, expected) in [
            (&b"etc/passwd"[..], "etc/passwd"),
            (b"caf\xe9", "caf\\xe9"),
            ("caf\u{e9} \u{1f600}".as_bytes(), "caf\u{e9} \u{1f600}"),
            (b"a\nb\x1b[1m", "a\\nb\\u{1b}[1m"),
            ("gpj.\u{202e}exe".as_bytes(), "gpj.\\u{202e}exe"),
            (b"\\x41", "\\\\x41"),
        ] {
            assert_eq!(printable(bytes), expected);
        }
    }

    #[test]
    fn the_largest_stay() {
        let mut largest = Largest::default();
        for number in 0..1000_u64 {
            largest.push(format!("file-{number:04}").as_bytes(), (number * 7919) % 1000, 0);
        }
        let sizes: Vec<u64> = largest.finish().iter().map(|file| file.size).collect();
        assert_eq!(sizes, (970..1000).rev().collect::<Vec<u64>>());
    }
}
