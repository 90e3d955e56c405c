//! What differs between two views.

use super::{ImageView, InodeId};
use crate::entry::Kind;

/// How a path differs.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum ChangeKind {
    /// Only the second view has it.
    Added,
    /// Both have it, with another type, mode, owner, time, attributes, link target, device number or content.
    Modified,
    /// Only the first view has it. What lies below a deleted directory is not listed.
    Deleted,
}

/// One path that differs.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Change {
    /// Path without leading slash; empty for the root.
    pub path: Vec<u8>,
    /// How.
    pub kind: ChangeKind,
    /// What the first view has there.
    pub before: Option<InodeId>,
    /// What the second view has there.
    pub after: Option<InodeId>,
}

/// Where the two views stand: the root, or a name with its parent's change already listed.
struct Pending {
    path: Vec<u8>,
    before: Option<InodeId>,
    after: Option<InodeId>,
}

/// The changes that lead from `before` to `after`, depth first, names sorted bytewise. Directories whose content
/// changed are listed only when they changed themselves. Which names are hard links of each other is not compared.
pub fn diff(before: &ImageView, after: &ImageView) -> Vec<Change> {
    let mut changes = Vec::new();
    let mut pending = vec![Pending { path: Vec::new(), before: Some(InodeId::ROOT), after: Some(InodeId::ROOT) }];
    while let Some(next) = pending.pop() {
        let kind = match (next.before, next.after) {
            (Some(old), Some(new)) => (!same(before, old, after, new)).then_some(ChangeKind::Modified),
            (None, _) => Some(ChangeKind::Added),
            (_, None) => Some(ChangeKind::Deleted),
        };
        if let Some(new) = next.after {
            let first = pending.len();
            push_children(&mut pending, &next, before, after, new);
            pending[first..].reverse();
        }
        if let Some(kind) = kind {
            changes.push(Change { path: next.path, kind, before: next.before, after: next.after });
        }
    }
    changes
}

/// Adds the union of the names in both directories, sorted. An old directory that became something else is one change.
fn push_children(pending: &mut Vec<Pending>, at: &Pending, before: &ImageView, after: &ImageView, new: InodeId) {
    if after.inode(new).kind != Kind::Directory {
        return;
    }
    let mut old = at.before.into_iter().flat_map(|id| before.children(id)).peekable();
    let mut new = after.children(new).peekable();
    loop {
        let take = match (old.peek(), new.peek()) {
            (None, None) => return,
            (Some(_), None) => std::cmp::Ordering::Less,
            (None, Some(_)) => std::cmp::Ordering::Greater,
            (Some((old, _)), Some((new, _))) => old.cmp(new),
        };
        let old = if take.is_le() { old.next() } else { None };
        let new = if take.is_ge() { new.next() } else { None };
        let name = old.or(new).map_or(&b""[..], |(name, _)| name);
        let mut path = at.path.clone();
        if !path.is_empty() {
            path.push(b'/');
        }
        path.extend_from_slice(name);
        pending.push(Pending { path, before: old.map(|(_, id)| id), after: new.map(|(_, id)| id) });
    }
}

fn same(before: &ImageView, old: InodeId, after: &ImageView, new: InodeId) -> bool {
    let (old, new) = (before.inode(old), after.inode(new));
    old.kind == new.kind
        && old.metadata == new.metadata
        && old.xattrs == new.xattrs
        && old.device == new.device
        && old.target == new.target
        && old.content.map(|content| (content.digest, content.size))
            == new.content.map(|content| (content.digest, content.size))
}
