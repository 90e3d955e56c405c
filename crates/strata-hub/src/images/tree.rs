//! The files that differ between two views, as a tree of directories that can be looked at a page at a time.
//!
//! In memory: one node of about 80 bytes for each file that differs and each directory above one, names in one arena,
//! children of a directory next to each other in the order of their names.

use strata_layer::{ChangeKind, ImageView, Inode, InodeId, Kind, diff};

use super::{Look, split};

/// What a name stands for.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum FileKind {
    /// A regular file.
    File,
    /// A directory.
    Directory,
    /// A symbolic link.
    Link,
    /// A device, a pipe.
    Special,
}

/// How a file differs.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum FileState {
    /// A directory that is the same, with something below it that is not.
    Same,
    /// Only there afterwards.
    Added,
    /// Different.
    Changed,
    /// Written again by the layer, and the same as before.
    Rewritten,
    /// Only there before.
    Removed,
}

/// What is below a directory, itself included; directories do not count.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct FileTotals {
    /// Files added.
    pub added: u64,
    /// Files changed.
    pub changed: u64,
    /// Files written again as they were.
    pub rewritten: u64,
    /// Files removed.
    pub removed: u64,
    /// Bytes of files that were added, changed or written again.
    pub written_bytes: u64,
    /// Bytes of files that were removed, and what those that were changed had before.
    pub replaced_bytes: u64,
}

impl FileTotals {
    fn add(&mut self, other: &FileTotals) {
        self.added += other.added;
        self.changed += other.changed;
        self.rewritten += other.rewritten;
        self.removed += other.removed;
        self.written_bytes = self.written_bytes.saturating_add(other.written_bytes);
        self.replaced_bytes = self.replaced_bytes.saturating_add(other.replaced_bytes);
    }
}

/// In which order a directory is shown.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum FileOrder {
    /// By name, bytewise.
    #[default]
    Name,
    /// What was written most first.
    Size,
}

/// One name of a directory.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct DirectoryEntry {
    /// The name, any bytes.
    pub name: Vec<u8>,
    /// What it is, or was.
    pub kind: FileKind,
    /// How it differs.
    pub state: FileState,
    /// Permission bits, 07777.
    pub mode: u16,
    /// Owner.
    pub uid: u32,
    /// Group.
    pub gid: u32,
    /// Where a symbolic link leads.
    pub target: Vec<u8>,
    /// It and everything below it.
    pub totals: FileTotals,
}

/// Some entries of a directory.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Directory {
    /// The entries.
    pub entries: Vec<DirectoryEntry>,
    /// How many there are in all.
    pub total: usize,
    /// Everything below it.
    pub totals: FileTotals,
}

struct Node {
    name: u32,
    name_length: u16,
    mode: u16,
    target: u32,
    target_length: u16,
    kind: FileKind,
    state: FileState,
    uid: u32,
    gid: u32,
    parent: u32,
    totals: FileTotals,
}

/// See the module.
pub(super) struct FileTree {
    arena: Vec<u8>,
    /// In the order of a depth-first walk; the root is the first.
    nodes: Vec<Node>,
    /// Position of the first child of each node in `children`, and one more at the end.
    first: Vec<u32>,
    children: Vec<u32>,
}

/// A path that differs, with what it was and what it is.
struct Difference {
    path: Vec<u8>,
    before: Option<InodeId>,
    after: Option<InodeId>,
    state: FileState,
}

impl FileTree {
    /// The differences between two views. With `layer`, the second view is the first with that layer on top, and what the
    /// layer wrote without changing anything counts too.
    pub(super) fn of(before: &ImageView, after: &ImageView, layer: Option<u32>) -> FileTree {
        let mut builder = Builder { before, after, tree: FileTree::empty(), open: vec![(0, Vec::new())] };
        let mut rewritten =
            layer.map(|layer| rewritten(before, after, layer)).unwrap_or_default().into_iter().peekable();
        for change in diff(before, after) {
            let state = match change.kind {
                ChangeKind::Added => FileState::Added,
                ChangeKind::Modified => FileState::Changed,
                ChangeKind::Deleted => FileState::Removed,
            };
            let difference = Difference { path: change.path, before: change.before, after: change.after, state };
            while let Some(earlier) = rewritten.next_if(|other| is_before(&other.path, &difference.path)) {
                builder.push(earlier);
            }
            rewritten.next_if(|other| other.path == difference.path);
            builder.push(difference);
        }
        rewritten.for_each(|rest| builder.push(rest));
        builder.tree.finish()
    }

    fn empty() -> FileTree {
        let mut tree = FileTree { arena: Vec::new(), nodes: Vec::new(), first: Vec::new(), children: Vec::new() };
        tree.push(b"", 0, FileKind::Directory, FileState::Same);
        tree
    }

    fn push(&mut self, name: &[u8], parent: u32, kind: FileKind, state: FileState) -> u32 {
        let start = self.arena.len() as u32;
        self.arena.extend_from_slice(name);
        self.nodes.push(Node {
            name: start,
            name_length: name.len() as u16,
            mode: 0o755,
            target: 0,
            target_length: 0,
            kind,
            state,
            uid: 0,
            gid: 0,
            parent,
            totals: FileTotals::default(),
        });
        self.nodes.len() as u32 - 1
    }

    /// Sums up, and puts the children of each directory next to each other.
    fn finish(mut self) -> FileTree {
        for position in (1..self.nodes.len()).rev() {
            let Node { parent, totals, .. } = self.nodes[position];
            self.nodes[parent as usize].totals.add(&totals);
        }
        let mut first = vec![0_u32; self.nodes.len() + 1];
        for node in &self.nodes[1..] {
            first[node.parent as usize + 1] += 1;
        }
        for position in 1..first.len() {
            first[position] += first[position - 1];
        }
        let mut next = first.clone();
        self.children = vec![0; self.nodes.len() - 1];
        for (position, node) in self.nodes.iter().enumerate().skip(1) {
            let place = &mut next[node.parent as usize];
            self.children[*place as usize] = position as u32;
            *place += 1;
        }
        self.first = first;
        self
    }

    /// Bytes that it takes.
    pub(super) fn weight(&self) -> usize {
        self.arena.len() + self.nodes.len() * (size_of::<Node>() + 2 * size_of::<u32>())
    }

    /// A page of a directory; `None` when nothing differs there, or it is none.
    pub(super) fn directory(&self, look: &Look) -> Option<Directory> {
        let mut at = 0;
        for name in look.path.split(|byte| *byte == b'/').filter(|name| !name.is_empty()) {
            let children = self.children_of(at);
            let position = children.binary_search_by(|child| self.name(*child).cmp(name)).ok()?;
            at = children[position];
        }
        let node = &self.nodes[at as usize];
        if node.kind != FileKind::Directory {
            return None;
        }
        let mut children = self.children_of(at).to_vec();
        if look.order == FileOrder::Size {
            let weight = |child: &u32| {
                let totals = &self.nodes[*child as usize].totals;
                totals.written_bytes.max(totals.replaced_bytes)
            };
            children.sort_by_key(|child| std::cmp::Reverse(weight(child)));
        }
        let entries = children.iter().skip(look.skip).take(look.limit).map(|child| self.entry(*child)).collect();
        Some(Directory { entries, total: children.len(), totals: node.totals })
    }

    fn children_of(&self, node: u32) -> &[u32] {
        &self.children[self.first[node as usize] as usize..self.first[node as usize + 1] as usize]
    }

    fn name(&self, node: u32) -> &[u8] {
        let node = &self.nodes[node as usize];
        &self.arena[node.name as usize..][..usize::from(node.name_length)]
    }

    fn entry(&self, position: u32) -> DirectoryEntry {
        let node = &self.nodes[position as usize];
        DirectoryEntry {
            name: self.name(position).to_vec(),
            kind: node.kind,
            state: node.state,
            mode: node.mode,
            uid: node.uid,
            gid: node.gid,
            target: self.arena[node.target as usize..][..usize::from(node.target_length)].to_vec(),
            totals: node.totals,
        }
    }
}

struct Builder<'a> {
    before: &'a ImageView,
    after: &'a ImageView,
    tree: FileTree,
    /// The directories that what comes next may lie in, with their paths: the root first.
    open: Vec<(u32, Vec<u8>)>,
}

impl Builder<'_> {
    fn push(&mut self, difference: Difference) {
        let before = difference.before.map(|id| self.before.inode(id));
        let after = difference.after.map(|id| self.after.inode(id));
        if difference.path.is_empty() || is_same_directory(before.as_ref(), after.as_ref()) {
            return; // its own time changed; what changed below it comes by itself
        }
        let Some(inode) = after.or(before) else { return };
        let (parents, name) = split(&difference.path);
        let parent = self.directory(parents);
        let kind = kind(inode.kind);
        let number = self.tree.push(name, parent, kind, difference.state);
        let target = self.tree.arena.len() as u32;
        self.tree.arena.extend_from_slice(inode.target);
        let totals = self.totals(&difference, before.as_ref(), after.as_ref());
        let node = &mut self.tree.nodes[number as usize];
        (node.target, node.target_length) = (target, inode.target.len() as u16);
        (node.mode, node.uid, node.gid) = (inode.metadata.mode, inode.metadata.uid, inode.metadata.gid);
        node.totals = totals;
        if kind == FileKind::Directory {
            self.open.push((number, difference.path));
        }
    }

    /// The node of a directory; those that are missing are made, since something in them differs.
    fn directory(&mut self, path: &[u8]) -> u32 {
        while let [.., (_, last)] = &self.open[1..]
            && !is_at_or_below(path, last)
        {
            self.open.pop();
        }
        let (mut node, known) = self.open.last().map_or((0, 0), |(node, path)| (*node, path.len()));
        let mut length = known;
        for name in path[known..].split(|byte| *byte == b'/').filter(|name| !name.is_empty()) {
            length += name.len() + usize::from(length > 0);
            node = self.tree.push(name, node, FileKind::Directory, FileState::Same);
            self.describe(node, &path[..length]);
            self.open.push((node, path[..length].to_vec()));
        }
        node
    }

    fn describe(&mut self, node: u32, path: &[u8]) {
        if let Some(id) = self.after.lookup(path) {
            let metadata = self.after.inode(id).metadata;
            let node = &mut self.tree.nodes[node as usize];
            (node.mode, node.uid, node.gid) = (metadata.mode, metadata.uid, metadata.gid);
        }
    }

    fn totals(&self, difference: &Difference, before: Option<&Inode<'_>>, after: Option<&Inode<'_>>) -> FileTotals {
        let mut totals = FileTotals::default();
        // What was below a directory that went is not listed.
        if let Some(id) = difference.before
            && before.is_some_and(|inode| inode.kind == Kind::Directory)
            && after.is_none_or(|inode| inode.kind != Kind::Directory)
        {
            (totals.removed, totals.replaced_bytes) = below(self.before, id);
        }
        let is_file = |inode: &&Inode<'_>| inode.kind != Kind::Directory;
        let (before, after) = (before.filter(is_file), after.filter(is_file));
        match (before, after) {
            (Some(_), Some(_)) if difference.state == FileState::Rewritten => totals.rewritten += 1,
            (Some(_), Some(_)) => totals.changed += 1,
            (None, Some(_)) => totals.added += 1,
            (Some(_), None) => totals.removed += 1,
            (None, None) => {}
        }
        totals.written_bytes += after.map_or(0, content_size);
        totals.replaced_bytes += before.map_or(0, content_size);
        totals
    }
}

/// What the layer wrote as it was before, directories aside, in the order of a walk.
fn rewritten(before: &ImageView, after: &ImageView, layer: u32) -> Vec<Difference> {
    let written = after.walk().filter(|(_, id)| {
        let inode = after.inode(*id);
        inode.layer == layer && inode.kind != Kind::Directory
    });
    let known = written.filter_map(|(path, id)| {
        let former = before.lookup(&path)?;
        Some(Difference { path, before: Some(former), after: Some(id), state: FileState::Rewritten })
    });
    known.collect()
}

/// Files below a directory and their bytes.
fn below(view: &ImageView, directory: InodeId) -> (u64, u64) {
    let (mut files, mut bytes) = (0, 0_u64);
    let mut pending = vec![directory];
    while let Some(directory) = pending.pop() {
        for (_, id) in view.children(directory) {
            let inode = view.inode(id);
            match inode.kind {
                Kind::Directory => pending.push(id),
                _ => (files, bytes) = (files + 1, bytes.saturating_add(content_size(&inode))),
            }
        }
    }
    (files, bytes)
}

fn content_size(inode: &Inode<'_>) -> u64 {
    inode.content.map_or(0, |content| content.size)
}

fn is_same_directory(before: Option<&Inode<'_>>, after: Option<&Inode<'_>>) -> bool {
    let (Some(before), Some(after)) = (before, after) else { return false };
    let owner = |inode: &Inode<'_>| (inode.kind, inode.metadata.mode, inode.metadata.uid, inode.metadata.gid);
    before.kind == Kind::Directory && owner(before) == owner(after)
}

fn kind(kind: Kind) -> FileKind {
    match kind {
        Kind::Regular | Kind::HardLink => FileKind::File,
        Kind::Directory => FileKind::Directory,
        Kind::Symlink => FileKind::Link,
        Kind::CharDevice | Kind::BlockDevice | Kind::Fifo => FileKind::Special,
    }
}

fn is_at_or_below(path: &[u8], directory: &[u8]) -> bool {
    path.strip_prefix(directory).is_some_and(|rest| rest.is_empty() || rest[0] == b'/')
}

/// Whether one path comes before another in a depth-first walk with names sorted bytewise.
fn is_before(one: &[u8], other: &[u8]) -> bool {
    one.split(|byte| *byte == b'/').lt(other.split(|byte| *byte == b'/'))
}
