//! Every path of an image with its copies in all layers, to be searched.

use std::collections::HashMap;

use strata_layer::{ImageView, InodeId, Kind, LayerIndex};

use super::{all_entries, is_mark, split, whiteout};

/// A path with what each layer did to it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct FoundPath {
    /// Path without leading slash.
    pub path: Vec<u8>,
    /// The layer, from 0, that wrote what the finished image has there; `None` when it has nothing there.
    pub layer: Option<u32>,
    /// Lowest first.
    pub copies: Vec<FoundCopy>,
}

/// What one layer did to a path.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct FoundCopy {
    /// The layer, from 0.
    pub layer: u32,
    /// Its bytes; `None` where the layer removes what is below.
    pub size: Option<u64>,
    /// Whether it is a directory.
    pub is_directory: bool,
}

/// Some of the paths that contain a text.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct PathSearch {
    /// These.
    pub paths: Vec<FoundPath>,
    /// How many there are in all.
    pub total: usize,
}

/// See the module. Paths are sorted, each followed by a NUL, which no path contains.
pub(super) struct PathIndex {
    text: Vec<u8>,
    /// Where each path begins, what the finished image has there, and where its copies begin.
    paths: Vec<(u32, Option<u32>, u32)>,
    copies: Vec<FoundCopy>,
}

impl PathIndex {
    /// Of an image's layers and their merge. Paths through links of the finished image are those that they lead to.
    pub(super) fn of(indexes: &[LayerIndex], view: &ImageView) -> PathIndex {
        let mut directories = Directories { view, known: HashMap::new() };
        let mut found: Vec<(Vec<u8>, FoundCopy)> = Vec::new();
        for (layer, entry) in all_entries(indexes) {
            let (parents, name, size) = match whiteout(entry.path) {
                Some((_, name)) if name.starts_with(b".wh.") || name.is_empty() => continue,
                Some((parents, name)) => (parents, name, None),
                None if is_mark(entry.path) || entry.path.is_empty() => continue,
                None => {
                    let (parents, name) = split(entry.path);
                    (parents, name, Some(entry.content.map_or(0, |content| content.size)))
                }
            };
            let is_directory = entry.kind == Kind::Directory;
            let path = directories.join(parents, name);
            found.push((path, FoundCopy { layer: layer as u32, size, is_directory }));
        }
        // The last entry of a layer for a path is what it means.
        found.sort_by(|(one, first), (other, second)| one.cmp(other).then(first.layer.cmp(&second.layer)));
        let mut index = PathIndex { text: Vec::new(), paths: Vec::new(), copies: Vec::new() };
        let mut last: Option<&[u8]> = None;
        for (path, copy) in &found {
            if last != Some(path.as_slice()) {
                let visible = view.lookup(path).map(|id| view.inode(id).layer);
                index.paths.push((index.text.len() as u32, visible, index.copies.len() as u32));
                index.text.extend_from_slice(path);
                index.text.push(0);
            }
            last = Some(path);
            index.copies.push(*copy);
        }
        index
    }

    /// Bytes that it takes.
    pub(super) fn weight(&self) -> usize {
        self.text.len()
            + self.paths.len() * size_of::<(u32, Option<u32>, u32)>()
            + self.copies.len() * size_of::<FoundCopy>()
    }

    /// Paths that contain `text`, whatever the case of its letters: those that are it first, then those whose last name is
    /// it, then all others by path. A leading slash means the root.
    pub(super) fn search(&self, text: &str, skip: usize, limit: usize) -> PathSearch {
        let text = text.trim();
        let (wanted, is_rooted) = match text.strip_prefix('/') {
            Some(rest) => (rest, true),
            None => (text, false),
        };
        let wanted = wanted.trim_end_matches('/');
        // What contains the separator is no part of a path.
        let is_name = !wanted.is_empty() && !wanted.contains('\0');
        let anchor = if is_rooted { "(?:^|\\x00)" } else { "" };
        let bytes: String = wanted.bytes().map(|byte| format!("\\x{byte:02x}")).collect();
        let pattern = format!("(?i-u){anchor}{bytes}");
        let (Ok(pattern), true) = (regex::bytes::Regex::new(&pattern), is_name) else {
            return PathSearch::default();
        };
        let mut found: Vec<(u8, usize)> = Vec::new();
        let mut from = 0;
        while let Some(hit) = pattern.find_at(&self.text, from) {
            let position = self.paths.partition_point(|(start, ..)| (*start as usize) < hit.end()) - 1;
            found.push((rank(self.path(position), wanted.as_bytes()), position));
            // The end of the path, so that the NUL before the next one can be matched.
            from = self.end(position);
        }
        found.sort_unstable();
        let paths = found.iter().skip(skip).take(limit).map(|(_, position)| self.found(*position)).collect();
        PathSearch { paths, total: found.len() }
    }

    fn end(&self, position: usize) -> usize {
        self.paths.get(position + 1).map_or(self.text.len(), |(start, ..)| *start as usize) - 1
    }

    fn path(&self, position: usize) -> &[u8] {
        &self.text[self.paths[position].0 as usize..self.end(position)]
    }

    fn found(&self, position: usize) -> FoundPath {
        let (_, layer, first) = self.paths[position];
        let end = self.paths.get(position + 1).map_or(self.copies.len(), |(_, _, first)| *first as usize);
        FoundPath { path: self.path(position).to_vec(), layer, copies: self.copies[first as usize..end].to_vec() }
    }
}

fn rank(path: &[u8], wanted: &[u8]) -> u8 {
    match () {
        () if path.eq_ignore_ascii_case(wanted) => 0,
        () if split(path).1.eq_ignore_ascii_case(wanted) => 1,
        () => 2,
    }
}

/// Where the directories of layers' entries are in the finished image.
struct Directories<'a> {
    view: &'a ImageView,
    known: HashMap<Vec<u8>, Vec<u8>>,
}

impl Directories<'_> {
    fn join(&mut self, parents: &[u8], name: &[u8]) -> Vec<u8> {
        if !self.known.contains_key(parents) {
            let place = self.place(parents).unwrap_or_else(|| parents.to_vec());
            self.known.insert(parents.to_vec(), place);
        }
        let place = &self.known[parents];
        let slash: &[u8] = if place.is_empty() { b"" } else { b"/" };
        [place, slash, name].concat()
    }

    /// The path of the directory that a path with links leads to; `None` when it leads nowhere, or has none.
    fn place(&self, path: &[u8]) -> Option<Vec<u8>> {
        if self.view.lookup(path).is_some_and(|id| self.view.inode(id).kind == Kind::Directory) {
            return None;
        }
        let mut at = self.view.resolve(path).ok().filter(|id| self.view.inode(*id).kind == Kind::Directory)?;
        let mut names: Vec<&[u8]> = Vec::new();
        while at != InodeId::ROOT {
            let parent = self.view.parent(at);
            names.push(self.view.children(parent).find(|(_, id)| *id == at)?.0);
            at = parent;
        }
        names.reverse();
        Some(names.join(&b'/'))
    }
}
