//! Looking into images without mounting them: `image ls`, `image cat`, `image diff`.

use std::io::{Read as _, Write};

use strata_layer::{Change, ImageView, InodeId, Kind, Metadata, diff};
use strata_model::Platform;
use strata_store::Store;

use crate::view::image_view;
use crate::{EngineError, Result, find_image};

const CHUNK: usize = 256 << 10;

/// One file of an image.
#[derive(Clone, Debug)]
pub struct FileEntry {
    /// Path from the root, with a leading slash.
    pub path: Vec<u8>,
    /// What it is.
    pub kind: Kind,
    /// Mode, owner, time.
    pub metadata: Metadata,
    /// Length of a regular file or of a link's target, in bytes.
    pub size: u64,
    /// Number of names.
    pub links: u32,
    /// Target of a symbolic link.
    pub target: Vec<u8>,
    /// Position of the layer that it came from, 0 for the lowest.
    pub layer: u32,
}

/// Lists a directory of an image, or one file.
///
/// # Errors
/// `NoSuchImage`; `Invalid` when the image has no such path.
pub async fn list_files(
    store: &Store,
    image: &str,
    path: &[u8],
    platform: Option<&Platform>,
) -> Result<Vec<FileEntry>> {
    let row = find_image(store, image, platform).await?.row;
    let opened = image_view(store, &row).await?;
    let view = &opened.view;
    let inode = resolve(view, image, path)?;
    let shown = clean(path);
    if view.inode(inode).kind != Kind::Directory {
        return Ok(vec![entry(view, shown, inode)]);
    }
    let mut entries = Vec::new();
    for (name, child) in view.children(inode) {
        let mut path = shown.clone();
        if path.last() != Some(&b'/') {
            path.push(b'/');
        }
        path.extend_from_slice(name);
        entries.push(entry(view, path, child));
    }
    Ok(entries)
}

/// Writes the content of a regular file of an image.
///
/// # Errors
/// `NoSuchImage`; `Invalid` when the path is no regular file; `File` when `out` fails.
pub async fn cat_file(
    store: &Store,
    image: &str,
    path: &[u8],
    platform: Option<&Platform>,
    out: &mut (dyn Write + Send),
) -> Result<()> {
    let row = find_image(store, image, platform).await?.row;
    let opened = image_view(store, &row).await?;
    let inode = opened.view.inode(resolve(&opened.view, image, path)?);
    let shown = String::from_utf8_lossy(path).into_owned();
    if inode.kind != Kind::Regular {
        return Err(EngineError::invalid(format!("{shown}: not a regular file in {image}")));
    }
    let Some(content) = inode.content else { return Ok(()) };
    let missing =
        || EngineError::invalid(format!("{shown}: its content is missing; `strata fsck --repair` mends what it can"));
    let mut reader = opened.reader(&content).ok_or_else(missing)?;
    let mut buffer = vec![0; CHUNK];
    loop {
        match reader.read(&mut buffer).map_err(|source| EngineError::file("reading", &shown, source))? {
            0 => return Ok(()),
            count => out.write_all(&buffer[..count]).map_err(|source| EngineError::file("writing", &shown, source))?,
        }
    }
}

/// What differs from image `a` to image `b`, in path order.
///
/// # Errors
/// `NoSuchImage`; when a layer is damaged.
pub async fn diff_images(store: &Store, a: &str, b: &str, platform: Option<&Platform>) -> Result<Vec<Change>> {
    let (a, b) = (find_image(store, a, platform).await?.row, find_image(store, b, platform).await?.row);
    let (a, b) = (image_view(store, &a).await?, image_view(store, &b).await?);
    Ok(diff(&a.view, &b.view))
}

fn resolve(view: &ImageView, image: &str, path: &[u8]) -> Result<InodeId> {
    view.resolve(path)
        .map_err(|cause| EngineError::invalid(format!("{} in {image}: {cause}", String::from_utf8_lossy(path))))
}

/// The path with one leading slash and no trailing one.
fn clean(path: &[u8]) -> Vec<u8> {
    let mut clean = Vec::with_capacity(path.len() + 1);
    for part in path.split(|byte| *byte == b'/').filter(|part| !part.is_empty() && *part != b".") {
        clean.push(b'/');
        clean.extend_from_slice(part);
    }
    if clean.is_empty() {
        clean.push(b'/');
    }
    clean
}

fn entry(view: &ImageView, path: Vec<u8>, id: InodeId) -> FileEntry {
    let inode = view.inode(id);
    FileEntry {
        path,
        kind: inode.kind,
        metadata: inode.metadata,
        size: inode.size(),
        links: inode.links,
        target: inode.target.to_vec(),
        layer: inode.layer,
    }
}
