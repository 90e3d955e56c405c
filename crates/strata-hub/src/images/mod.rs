//! What is in an image: its stack of layers, the files of each, what its package managers installed, what differs between
//! two images, and the facts by which one judges an image.
//!
//! Two kinds of work, kept apart because a page must be quick:
//! * *Findings* (packages, setuid files, wasted bytes) need every file of an image. They are made once for each image by the
//!   queue that also makes layer indexes, and are records that can be made again at any time.
//! * *Trees and paths* (which files a layer changed, who wrote a path) are made from the layers' indexes when somebody looks,
//!   one at a time, and are kept in memory up to a number of bytes. As records they would be larger than the indexes that
//!   they come from, for images that hardly anybody looks into.

mod base;
mod cache;
mod certificates;
mod compare;
mod findings;
mod jobs;
mod paths;
mod signatures;
mod stack;
#[cfg(test)]
mod tests;
mod tree;
mod trust;

use std::io::{self, Read};
use std::sync::Arc;

use strata_layer::{Kind, LayerIndex};
use strata_model::{ChainId, DiffId, Digest, ImageConfig, ImageManifest, Manifest, Repository, Target};
use strata_store::ContentReader;
use tokio::sync::Semaphore;

use crate::dockerfile::parsed;
use crate::records::RepositoryRow;
use crate::{Hub, HubError, Result};

pub use certificates::CertificateFacts;
pub use compare::{ConfigChange, ImageComparison, PackageChange, facts_of};
pub use findings::{Findings, FoundFile, FoundPaths, LayerFindings, printable};
pub use jobs::{FindingsState, IndexState};
pub use paths::{FoundCopy, FoundPath, PathSearch};
pub use signatures::{Signature, SignatureState};
pub use stack::{ImageStack, StackLayer, StackStep};
pub use tree::{Directory, DirectoryEntry, FileKind, FileOrder, FileState, FileTotals};
pub use trust::{Attachment, BaseImage, BaseOrigin, SecretLike, cosign_tag};

pub(crate) use jobs::queue;

use cache::Cache;
use paths::PathIndex;
use tree::FileTree;

/// Most bytes of trees, and of indexes of paths, that stay in memory.
const CACHE_SIZE: usize = 96 << 20;
/// Most entries that the layers of an image may have together to be looked into: a merge takes about 300 bytes for each.
const MAX_ENTRIES: u64 = 3_000_000;

/// An image of a repository: its documents.
#[derive(Clone, Debug)]
pub struct ImageParts {
    /// Digest of its manifest.
    pub digest: Digest,
    /// The manifest.
    pub manifest: ImageManifest,
    /// Its configuration; the default for what is no image.
    pub config: ImageConfig,
}

/// Which layers a tree compares: those before and those after; `layer` when the former are all but the last of the latter.
#[derive(Clone, PartialEq, Eq)]
struct TreeKey {
    before: Option<ChainId>,
    after: Option<ChainId>,
    is_layer: bool,
}

/// What was looked at last, and the right to look at something new, which takes time and memory.
pub(crate) struct Looking {
    trees: Cache<TreeKey, FileTree>,
    paths: Cache<Option<ChainId>, PathIndex>,
    turn: Semaphore,
}

impl Default for Looking {
    fn default() -> Looking {
        Looking { trees: Cache::new(CACHE_SIZE), paths: Cache::new(CACHE_SIZE), turn: Semaphore::new(1) }
    }
}

impl Hub {
    /// An image of a repository by the digest of its manifest.
    ///
    /// # Errors
    /// `NotFound` when the repository has no such image.
    pub async fn image_parts(&self, repository: &RepositoryRow, image: &Digest) -> Result<ImageParts> {
        let not_found = || HubError::NotFound(format!("image {image} of repository {}", repository.full_name()));
        let name: Repository = repository.full_name().parse().map_err(|_| not_found())?;
        let stored = self.registry().manifest(&name, &Target::Digest(*image)).await?;
        let Manifest::Image(manifest) = parsed(&stored)? else { return Err(not_found()) };
        let config = self.config(&manifest).await?;
        Ok(ImageParts { digest: *image, manifest, config })
    }

    /// A directory of the files that the layer `number` (from 1, the lowest) of an image adds, changes and removes. `layers`:
    /// all of the image's, lowest first, as [`Hub::index_state`] has them.
    ///
    /// # Errors
    /// `NotFound` without such a layer or directory; `Invalid` when the layers contradict each other or have too many files.
    pub async fn layer_directory(&self, layers: &[DiffId], number: usize, look: &Look) -> Result<Directory> {
        let not_found = || HubError::NotFound(format!("layer {number}"));
        let after = number.checked_sub(1).and_then(|_| layers.get(..number)).ok_or_else(not_found)?;
        let tree = self.tree(&after[..number - 1], after, true).await?;
        tree.directory(look).ok_or_else(|| HubError::NotFound(format!("directory {}", printable(&look.path))))
    }

    /// A directory of the files that differ between two images.
    ///
    /// # Errors
    /// As [`Hub::layer_directory`].
    pub async fn compared_directory(&self, before: &[DiffId], after: &[DiffId], look: &Look) -> Result<Directory> {
        let tree = self.tree(before, after, false).await?;
        tree.directory(look).ok_or_else(|| HubError::NotFound(format!("directory {}", printable(&look.path))))
    }

    /// Paths of an image that contain a text: which layer wrote each last, and what it hides.
    ///
    /// # Errors
    /// `Invalid` when the layers contradict each other or have too many files.
    pub async fn search_paths(&self, layers: &[DiffId], text: &str, skip: usize, limit: usize) -> Result<PathSearch> {
        let key = ChainId::of(layers);
        let index = match self.looking().paths.get(&key) {
            Some(index) => index,
            None => {
                let _turn = self.turn(layers).await?;
                let opened = self.registry().store().open_view("to be searched", layers).await?;
                let indexes = self.registry().store().layer_indexes(layers).await?;
                let index = Arc::new(blocking(move || PathIndex::of(&indexes, &opened.view)).await?);
                self.looking().paths.put(key, index.clone(), index.weight());
                index
            }
        };
        let text = text.to_owned();
        blocking(move || index.search(&text, skip, limit)).await
    }

    /// A regular file of an image, links followed. `layers`: all of the image's, lowest first.
    ///
    /// # Errors
    /// `NotFound` without such a file, or when its content is not kept; `Invalid` as [`Hub::search_paths`].
    pub async fn file(&self, layers: &[DiffId], path: &[u8]) -> Result<FileContent> {
        let not_found = || HubError::NotFound(format!("file {}", printable(path)));
        let _turn = self.turn(layers).await?;
        let opened = self.registry().store().open_view("to be read", layers).await?;
        let path = path.to_vec();
        let found = blocking(move || {
            let inode = opened.view.inode(opened.view.resolve(&path).ok()?);
            let is_file = inode.kind == Kind::Regular;
            is_file.then(|| match inode.content {
                Some(content) => Some(FileContent { size: content.size, reader: Some(opened.reader(&content)?) }),
                None => Some(FileContent { size: 0, reader: None }),
            })?
        });
        found.await?.ok_or_else(not_found)
    }

    async fn tree(&self, before: &[DiffId], after: &[DiffId], is_layer: bool) -> Result<Arc<FileTree>> {
        let key = TreeKey { before: ChainId::of(before), after: ChainId::of(after), is_layer };
        if let Some(tree) = self.looking().trees.get(&key) {
            return Ok(tree);
        }
        let longer = if before.len() > after.len() { before } else { after };
        let _turn = self.turn(longer).await?;
        if let Some(tree) = self.looking().trees.get(&key) {
            return Ok(tree); // somebody else wanted the same
        }
        let store = self.registry().store();
        let opened = (store.open_view("before", before).await?, store.open_view("after", after).await?);
        let layer = is_layer.then_some(before.len() as u32);
        let tree = Arc::new(blocking(move || FileTree::of(&opened.0.view, &opened.1.view, layer)).await?);
        self.looking().trees.put(key, tree.clone(), tree.weight());
        Ok(tree)
    }

    /// Waits for the one turn there is at merging layers because somebody looks.
    async fn turn(&self, layers: &[DiffId]) -> Result<tokio::sync::SemaphorePermit<'_>> {
        let txn = self.registry().store().read().await?;
        let mut entries = 0;
        for diff_id in layers {
            entries += txn.layer(diff_id).await?.map_or(0, |row| row.entries);
        }
        if entries > MAX_ENTRIES {
            let why = format!("it has {entries} files in its layers, at most {MAX_ENTRIES} are looked through");
            return Err(HubError::Invalid { what: "image", why });
        }
        self.looking().turn.acquire().await.map_err(|error| HubError::Internal(error.to_string()))
    }

    fn looking(&self) -> &Looking {
        &self.inner.looking
    }
}

/// The bytes of a file. Reading blocks.
pub struct FileContent {
    /// How many there are.
    pub size: u64,
    reader: Option<ContentReader>,
}

impl Read for FileContent {
    fn read(&mut self, buffer: &mut [u8]) -> io::Result<usize> {
        self.reader.as_mut().map_or(Ok(0), |reader| reader.read(buffer))
    }
}

/// Which directory of a tree is looked at, and which part of it.
#[derive(Clone, Debug, Default)]
pub struct Look {
    /// Path from the root, any bytes; empty for the root.
    pub path: Vec<u8>,
    /// The order.
    pub order: FileOrder,
    /// How many entries to pass over.
    pub skip: usize,
    /// How many at most.
    pub limit: usize,
}

pub(crate) async fn blocking<T: Send + 'static>(work: impl FnOnce() -> T + Send + 'static) -> Result<T> {
    tokio::task::spawn_blocking(work).await.map_err(|error| HubError::Internal(error.to_string()))
}

/// Name of what a whiteout hides; `None` for everything else.
fn whiteout(path: &[u8]) -> Option<(&[u8], &[u8])> {
    const MARK: &[u8] = b".wh.";
    let (parents, name) = split(path);
    Some((parents, name.strip_prefix(MARK)?))
}

/// Whether a path is a whiteout or lies below one.
fn is_mark(path: &[u8]) -> bool {
    path.split(|byte| *byte == b'/').any(|name| name.starts_with(b".wh."))
}

/// The directory part, empty when there is none, and the last component.
fn split(path: &[u8]) -> (&[u8], &[u8]) {
    match path.iter().rposition(|byte| *byte == b'/') {
        Some(slash) => (&path[..slash], &path[slash + 1..]),
        None => (b"", path),
    }
}

/// Entries of all layers with the layer's position.
fn all_entries(indexes: &[LayerIndex]) -> impl Iterator<Item = (usize, strata_layer::EntryRef<'_>)> {
    indexes.iter().enumerate().flat_map(|(layer, index)| index.entries().map(move |entry| (layer, entry)))
}
