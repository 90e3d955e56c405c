//! `diff`: what a container wrote, told from its writable layer and its image.

use std::collections::BTreeMap;
use std::path::Path;

use strata_layer::{ImageView, InodeId, Kind};
use strata_store::{ContainerRow, Store};

use super::container_directory;
use super::find::find_ready;
use super::root::container_layers;
use super::tree::{Entry, open_root, walk};
use crate::blocking::blocking;
use crate::{EngineError, Result};

/// How a path differs from the image's.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum PathChangeKind {
    /// It is another.
    Modified,
    /// The image does not have it.
    Added,
    /// The container does not have it.
    Deleted,
}

/// A path that differs.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct PathChange {
    /// How.
    pub kind: PathChangeKind,
    /// The path, absolute.
    pub path: Vec<u8>,
}

/// What every container has in its writable layer because something is mounted there, or because the runtime made it.
const MADE_BY_RUNTIME: &[&[u8]] = &[
    b"dev",
    b"dev/console",
    b"dev/mqueue",
    b"dev/pts",
    b"dev/shm",
    b"etc/hostname",
    b"etc/hosts",
    b"etc/mtab",
    b"etc/resolv.conf",
    b"proc",
    b"sys",
];

/// Whether the runtime and not the container's program made an entry: an empty file or a directory to mount on.
pub(super) fn is_made_by_runtime(entry: &Entry<'_>) -> bool {
    MADE_BY_RUNTIME.contains(&entry.path)
        && (entry.kind() == Some(Kind::Directory) || entry.stat.st_size == 0 || entry.path == b"etc/mtab")
        && !entry.is_whiteout()
}

/// What a container changed, sorted by path.
///
/// # Errors
/// `NotFound`; when its files cannot be read.
pub async fn container_changes(store: &Store, root: &Path, text: &str) -> Result<Vec<PathChange>> {
    let row = find_ready(&*store.read().await?, text).await?;
    changes_of(store, root, &row).await
}

async fn changes_of(store: &Store, root: &Path, row: &ContainerRow) -> Result<Vec<PathChange>> {
    let layers = container_layers(store, row).await?;
    let opened = store.open_view(&row.image.to_string(), &layers).await?;
    let upper = container_directory(root, &row.id).join("upper");
    let walked = upper.clone();
    let changes = blocking(move || {
        let mut changes = Changes { view: &opened.view, found: BTreeMap::new(), made: false };
        walk(&open_root(&walked)?, &|_| false, &mut |entry| {
            changes.entry(entry);
            Ok(())
        })?;
        Ok(changes.finish())
    })
    .await?;
    changes.map_err(|cause: std::io::Error| EngineError::file("reading", &upper, cause))
}

struct Changes<'a> {
    view: &'a ImageView,
    found: BTreeMap<Vec<u8>, PathChangeKind>,
    /// Whether the runtime made something in `/etc`.
    made: bool,
}

impl Changes<'_> {
    fn entry(&mut self, entry: &Entry<'_>) {
        if is_made_by_runtime(entry) {
            self.made |= entry.path.starts_with(b"etc/");
            return;
        }
        let below = self.view.lookup(entry.path);
        let kind = match (entry.is_whiteout(), below) {
            (true, _) => PathChangeKind::Deleted,
            (false, Some(_)) => PathChangeKind::Modified,
            (false, None) => PathChangeKind::Added,
        };
        self.found.insert(entry.path.to_vec(), kind);
        if let Some(id) = below
            && entry.kind() == Some(Kind::Directory)
            && entry.is_opaque()
        {
            self.hidden(id, entry.path);
        }
    }

    /// What an opaque directory hides is gone, unless it is found again.
    fn hidden(&mut self, id: InodeId, path: &[u8]) {
        for (name, _) in self.view.children(id) {
            let child = [path, name].join(&b'/');
            self.found.entry(child).or_insert(PathChangeKind::Deleted);
        }
    }

    fn finish(mut self) -> Vec<PathChange> {
        // `/etc` was copied up only because something is mounted in it.
        let has_changes_in_etc = self.found.keys().any(|path| path.starts_with(b"etc/"));
        if self.made && !has_changes_in_etc {
            self.found.remove(&b"etc"[..]);
        }
        self.found.into_iter().map(|(path, kind)| PathChange { kind, path: [&b"/"[..], &path].concat() }).collect()
    }
}
