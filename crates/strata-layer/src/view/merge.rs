//! The merge: layers applied from the bottom up, entry by entry in tar order, to a tree in memory.
//!
//! The rules where tools differ follow umoci, which applies entries to a directory:
//! * Parents resolve through the merged tree, scoped to its root; the last component is never followed.
//! * A parent that is missing is made as a directory 0755, owner 0:0, time 0, also where a dangling link leads.
//! * A parent that is not a directory is replaced by one when it comes from a lower layer (what overlayfs shows; umoci
//!   fails) and is an error when the same layer put it there (everybody fails).
//! * Marks act on what lower layers put there, wherever in the layer they stand: a directory that both a lower layer
//!   and this one know loses its lower children, and its lower metadata unless this layer describes it.
//! * A 0/0 character device replaces what had its name and is then left out, as overlayfs would show it.
//! * The metadata of a hard link entry is ignored; it shares that of its target.
//! * `.wh..wh.plnk/` (AUFS) holds contents for hard links of the same layer; all other `.wh..wh.*` are skipped, and so is
//!   whatever lies below a mark.
//!
//! Names are borrowed from the indexes during the merge; each applied entry costs about 150 bytes until the end.

use std::collections::HashMap;

use strata_model::{DiffId, ErrorKind};

use super::{ImageView, MAX_LINKS, MAX_NAME, MAX_PATH, MAX_STEPS, NONE, split_first, split_last};
use crate::entry::{EntryRef, Kind, LayerIndex};

/// The layers of an image contradict each other or the rules of layers.
#[derive(Debug, thiserror::Error)]
#[error("merging layer {layer} ({diff_id}), entry \"{}\": {cause}", path.escape_ascii())]
pub struct MergeError {
    /// The layer, counted from 0 at the bottom.
    pub layer: usize,
    /// Its diff ID.
    pub diff_id: Box<DiffId>,
    /// Path of the entry.
    pub path: Vec<u8>,
    /// What is wrong with it.
    pub cause: MergeCause,
}

impl MergeError {
    /// What sort of failure it is.
    pub fn kind(&self) -> ErrorKind {
        match self.cause {
            MergeCause::UnknownPack => ErrorKind::Corrupt,
            _ => ErrorKind::Invalid,
        }
    }
}

/// What is wrong with an entry.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum MergeCause {
    /// A hard link to a name that neither this layer so far nor a lower one has.
    #[error("hard link to \"{}\", which does not exist", .0.escape_ascii())]
    LinkTargetMissing(Vec<u8>),
    /// A hard link to a directory.
    #[error("hard link to \"{}\", which is a directory", .0.escape_ascii())]
    LinkTargetDirectory(Vec<u8>),
    /// The same layer made a parent of this entry something else than a directory.
    #[error("parent \"{}\" is not a directory", .0.escape_ascii())]
    NotADirectory(Vec<u8>),
    /// The parents lead through more than 255 symbolic links.
    #[error("too many levels of symbolic links")]
    TooManyLinks,
    /// The root of the layer is not a directory.
    #[error("the root is not a directory")]
    RootNotADirectory,
    /// A name that no file can have: empty, `.`, `..`, with a NUL, longer than 255 bytes, or a mark made by a link.
    #[error("invalid name \"{}\"", .0.escape_ascii())]
    InvalidName(Vec<u8>),
    /// A symbolic link whose target is empty, has a NUL, or is longer than 4,095 bytes.
    #[error("invalid target of a symbolic link")]
    InvalidTarget,
    /// The path would be longer than 4,095 bytes.
    #[error("path too long")]
    PathTooLong,
    /// The index names a pack that it does not list.
    #[error("content in an unknown pack")]
    UnknownPack,
    /// More than 65,535 packs, 2³² files or 4 GiB of names.
    #[error("too many files, names or packs")]
    TooLarge,
}

/// Merges the layers of an image, lowest first. No layer gives a root alone.
///
/// Fails at the first entry that has no meaning; see [`MergeCause`].
pub fn merge(layers: &[&LayerIndex]) -> Result<ImageView, MergeError> {
    let mut tree = Tree::new(layers);
    for (layer, index) in layers.iter().enumerate() {
        tree.begin(layer as u32);
        for (position, entry) in index.entries().enumerate() {
            tree.apply(position as u32, &entry).map_err(|cause| MergeError {
                layer,
                diff_id: Box::new(index.diff_id),
                path: entry.path.to_vec(),
                cause,
            })?;
        }
    }
    tree.finish()
}

pub(super) const ROOT: u32 = 0;
const WHITEOUT: &[u8] = b".wh.";
const MARK: &[u8] = b".wh..wh.";
const OPAQUE: &[u8] = b".wh..wh..opq";
const LINK_DIRECTORY: &[u8] = b".wh..wh.plnk";

/// A name in a directory; those of one directory are a doubly linked list, so that each can go at once.
pub(super) struct Name<'a> {
    pub(super) name: &'a [u8],
    pub(super) directory: u32,
    pub(super) node: u32,
    /// The last layer that had an entry here or below.
    pub(super) touched: u32,
    pub(super) previous: u32,
    pub(super) next: u32,
}

pub(super) struct Node {
    pub(super) kind: Kind,
    /// The layer it comes from, and its entry there; `NONE` when no layer describes it.
    pub(super) layer: u32,
    pub(super) entry: u32,
    /// The name of a directory; `NONE` for the root.
    pub(super) name: u32,
    pub(super) first_child: u32,
    /// The layer that last hid what lower layers have in this directory.
    pub(super) hidden: u32,
    pub(super) path_length: u16,
}

/// What to do about parents that do not exist.
#[derive(Clone, Copy, PartialEq, Eq)]
enum Missing {
    Create,
    Stop,
}

pub(super) struct Tree<'a> {
    pub(super) layers: &'a [&'a LayerIndex],
    pub(super) layer: u32,
    pub(super) names: Vec<Name<'a>>,
    pub(super) nodes: Vec<Node>,
    /// Directory and name to position in `names`. What is below a removed directory stays here, unreachable.
    pub(super) lookup: HashMap<(u32, &'a [u8]), u32>,
    /// Files in this layer's `.wh..wh.plnk`.
    pub(super) link_sources: HashMap<&'a [u8], u32>,
}

impl<'a> Tree<'a> {
    fn new(layers: &'a [&'a LayerIndex]) -> Tree<'a> {
        let mut tree = Tree {
            layers,
            layer: 0,
            names: Vec::new(),
            nodes: Vec::new(),
            lookup: HashMap::new(),
            link_sources: HashMap::new(),
        };
        tree.node(Kind::Directory, NONE);
        tree
    }

    fn begin(&mut self, layer: u32) {
        self.layer = layer;
        self.link_sources.clear();
        self.lookup.reserve(self.layers[layer as usize].len());
    }

    fn apply(&mut self, position: u32, entry: &EntryRef<'a>) -> Result<(), MergeCause> {
        if self.nodes.len() >= NONE as usize - MAX_STEPS as usize {
            return Err(MergeCause::TooLarge);
        }
        if entry.path.is_empty() {
            return self.describe_root(position, entry.kind);
        }
        let (parents, name) = split_last(entry.path);
        if parents.split(|byte| *byte == b'/').any(|component| component.starts_with(WHITEOUT)) {
            self.remember_link_source(position, entry);
            return Ok(());
        }
        if let Some(hidden) = name.strip_prefix(WHITEOUT) {
            return self.apply_mark(parents, name, hidden);
        }
        check_name(name)?;
        match entry.kind {
            Kind::HardLink => {
                let node = self.link_target(entry.link)?;
                let directory = self.directory(parents, Missing::Create)?;
                self.put(directory, name, node)
            }
            Kind::Directory => self.put_directory(parents, name, position),
            kind => {
                if kind == Kind::Symlink {
                    check_target(entry.link)?;
                }
                let directory = self.directory(parents, Missing::Create)?;
                let node = self.node(kind, position);
                self.put(directory, name, node)
            }
        }
    }

    fn describe_root(&mut self, position: u32, kind: Kind) -> Result<(), MergeCause> {
        if kind != Kind::Directory {
            return Err(MergeCause::RootNotADirectory);
        }
        (self.nodes[0].layer, self.nodes[0].entry) = (self.layer, position);
        Ok(())
    }

    fn put_directory(&mut self, parents: &'a [u8], name: &'a [u8], position: u32) -> Result<(), MergeCause> {
        let directory = self.directory(parents, Missing::Create)?;
        let existing = self.lookup.get(&(directory, name)).map(|id| self.names[*id as usize].node);
        let node = match existing {
            Some(node) if self.nodes[node as usize].kind == Kind::Directory => {
                let layer = self.layer;
                let existing = &mut self.nodes[node as usize];
                (existing.layer, existing.entry) = (layer, position);
                node
            }
            _ => self.node(Kind::Directory, position),
        };
        self.put(directory, name, node)
    }

    /// A whiteout, an opaque mark, or another mark, which means nothing.
    fn apply_mark(&mut self, parents: &'a [u8], name: &'a [u8], hidden: &'a [u8]) -> Result<(), MergeCause> {
        if name.starts_with(MARK) && name != OPAQUE {
            return Ok(());
        }
        let directory = self.directory(parents, Missing::Stop)?;
        if directory == NONE {
            return Ok(());
        }
        if name == OPAQUE {
            self.hide_lower(directory);
            return Ok(());
        }
        let Some(&id) = self.lookup.get(&(directory, hidden)) else { return Ok(()) };
        let Name { node, touched, .. } = self.names[id as usize];
        if touched != self.layer {
            self.remove(id);
        } else if self.nodes[node as usize].kind == Kind::Directory {
            self.forget_lower_metadata(node);
            self.hide_lower(node);
        }
        Ok(())
    }

    /// Removes what lower layers have below `directory` and this layer did not touch. Each directory is looked through
    /// once in a layer, since whatever comes later is of this layer.
    fn hide_lower(&mut self, directory: u32) {
        let mut pending = vec![directory];
        while let Some(directory) = pending.pop() {
            if self.nodes[directory as usize].hidden == self.layer {
                continue;
            }
            self.nodes[directory as usize].hidden = self.layer;
            let mut child = self.nodes[directory as usize].first_child;
            while child != NONE {
                let Name { node, touched, next, .. } = self.names[child as usize];
                if touched != self.layer {
                    self.remove(child);
                } else if self.nodes[node as usize].kind == Kind::Directory {
                    self.forget_lower_metadata(node);
                    pending.push(node);
                }
                child = next;
            }
        }
    }

    fn forget_lower_metadata(&mut self, node: u32) {
        let layer = self.layer;
        let node = &mut self.nodes[node as usize];
        if node.layer != layer {
            (node.layer, node.entry) = (layer, NONE);
        }
    }

    /// What the target of a hard link means now.
    fn link_target(&mut self, target: &'a [u8]) -> Result<u32, MergeCause> {
        if let Some(node) = self.link_sources.get(target) {
            return Ok(*node);
        }
        let (parents, name) = split_last(target);
        let directory = self.directory(parents, Missing::Stop)?;
        match self.lookup.get(&(directory, name)) {
            None => Err(MergeCause::LinkTargetMissing(target.to_vec())),
            Some(id) => match self.names[*id as usize].node {
                node if self.nodes[node as usize].kind == Kind::Directory => {
                    Err(MergeCause::LinkTargetDirectory(target.to_vec()))
                }
                node => Ok(node),
            },
        }
    }

    fn remember_link_source(&mut self, position: u32, entry: &EntryRef<'a>) {
        let (parents, _) = split_last(entry.path);
        if parents == LINK_DIRECTORY && entry.kind == Kind::Regular {
            let node = self.node(Kind::Regular, position);
            self.link_sources.insert(entry.path, node);
        }
    }

    /// The directory at `path`, links followed. With [`Missing::Stop`], `NONE` when there is none.
    fn directory(&mut self, path: &'a [u8], missing: Missing) -> Result<u32, MergeCause> {
        let (mut links, mut steps) = (0, 0);
        let mut at = ROOT;
        // What remains to be walked, the next part last: a link's target goes before the rest of the path.
        let mut rest = vec![path];
        while let Some(path) = rest.pop() {
            let (name, tail) = split_first(path);
            if let Some(tail) = tail {
                rest.push(tail);
            }
            steps += 1;
            if steps > MAX_STEPS {
                return Err(MergeCause::TooManyLinks);
            }
            if matches!(name, b"" | b".") {
                continue;
            }
            if name == b".." {
                at = self.parent(at);
                continue;
            }
            let found = self.lookup.get(&(at, name)).map(|id| &self.names[*id as usize]);
            let (node, touched) = found.map_or((NONE, 0), |name| (name.node, name.touched));
            match found.map(|name| self.nodes[name.node as usize].kind) {
                Some(Kind::Directory) => at = node,
                Some(Kind::Symlink) => {
                    links += 1;
                    if links > MAX_LINKS {
                        return Err(MergeCause::TooManyLinks);
                    }
                    let target = self.source(node).map_or(&b""[..], |entry| entry.link);
                    if target.starts_with(b"/") {
                        at = ROOT;
                    }
                    rest.push(target);
                }
                _ if missing == Missing::Stop => return Ok(NONE),
                Some(_) if touched == self.layer => return Err(MergeCause::NotADirectory(name.to_vec())),
                _ => {
                    check_name(name)?;
                    if name.starts_with(WHITEOUT) {
                        return Err(MergeCause::InvalidName(name.to_vec()));
                    }
                    let directory = self.node(Kind::Directory, NONE);
                    self.put(at, name, directory)?;
                    at = directory;
                }
            }
        }
        Ok(at)
    }

    fn parent(&self, directory: u32) -> u32 {
        match self.nodes[directory as usize].name {
            NONE => ROOT,
            name => self.names[name as usize].directory,
        }
    }

    fn node(&mut self, kind: Kind, entry: u32) -> u32 {
        let layer = self.layer;
        let node = Node { kind, layer, entry, name: NONE, first_child: NONE, hidden: NONE, path_length: 0 };
        self.nodes.push(node);
        self.nodes.len() as u32 - 1
    }

    /// The entry that describes a node.
    pub(super) fn source(&self, node: u32) -> Option<EntryRef<'a>> {
        let Node { layer, entry, .. } = self.nodes[node as usize];
        (entry != NONE).then(|| self.layers[layer as usize].entry(entry as usize))
    }

    /// Gives `node` a name, in place of whatever had it, and marks it and its parents as touched by this layer.
    fn put(&mut self, directory: u32, name: &'a [u8], node: u32) -> Result<(), MergeCause> {
        let path_length = usize::from(self.nodes[directory as usize].path_length) + 1 + name.len();
        // Counted with a leading slash, which the limit does not include.
        if path_length > MAX_PATH + 1 {
            return Err(MergeCause::PathTooLong);
        }
        let id = match self.lookup.get(&(directory, name)) {
            Some(id) => *id,
            None => self.add_name(directory, name),
        };
        let record = &mut self.names[id as usize];
        (record.node, record.touched) = (node, self.layer);
        if self.nodes[node as usize].kind == Kind::Directory {
            self.nodes[node as usize].name = id;
            self.nodes[node as usize].path_length = path_length as u16;
        }
        self.touch(directory);
        Ok(())
    }

    fn add_name(&mut self, directory: u32, name: &'a [u8]) -> u32 {
        let id = self.names.len() as u32;
        let next = std::mem::replace(&mut self.nodes[directory as usize].first_child, id);
        if next != NONE {
            self.names[next as usize].previous = id;
        }
        self.names.push(Name { name, directory, node: NONE, touched: self.layer, previous: NONE, next });
        self.lookup.insert((directory, name), id);
        id
    }

    /// Marks a directory and its parents as touched. Who is touched has touched parents.
    fn touch(&mut self, directory: u32) {
        let mut name = self.nodes[directory as usize].name;
        while name != NONE && self.names[name as usize].touched != self.layer {
            self.names[name as usize].touched = self.layer;
            name = self.nodes[self.names[name as usize].directory as usize].name;
        }
    }

    /// Takes a name away, and with it what is below it, when it is a directory.
    fn remove(&mut self, id: u32) {
        let Name { name, directory, previous, next, .. } = self.names[id as usize];
        match previous {
            NONE => self.nodes[directory as usize].first_child = next,
            _ => self.names[previous as usize].next = next,
        }
        if next != NONE {
            self.names[next as usize].previous = previous;
        }
        self.lookup.remove(&(directory, name));
    }
}

fn check_name(name: &[u8]) -> Result<(), MergeCause> {
    let valid = !name.is_empty() && name.len() <= MAX_NAME && !name.contains(&0) && name != b"." && name != b"..";
    if valid { Ok(()) } else { Err(MergeCause::InvalidName(name.to_vec())) }
}

fn check_target(target: &[u8]) -> Result<(), MergeCause> {
    let valid = !target.is_empty() && target.len() <= MAX_PATH && !target.contains(&0);
    if valid { Ok(()) } else { Err(MergeCause::InvalidTarget) }
}
