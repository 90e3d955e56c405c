//! `export`: the root file system of an image as one tar.
//!
//! The tar is written from the merged view and the packs, without unpacking anything: memory is bounded by the view and one
//! buffer. Names come sorted, each directory before what is in it; of a file with several names the first has the content,
//! the others are hard links to it. The same image gives the same bytes.

pub(crate) mod header;

use std::collections::HashMap;
use std::io::{self, Write};
use std::sync::Arc;

use strata_layer::{Content, ContentDigest, ImageView, Inode, InodeId, Kind};
use strata_model::Platform;
use strata_store::{OpenedView, PackFile, Store, StoreError};

use crate::export::header::{BLOCK, Header};
use crate::{EngineError, Result, find_image, image_view};

const CHUNK: usize = 256 << 10;
const PADDING: [u8; 2 * BLOCK] = [0; 2 * BLOCK];

/// What was exported.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Exported {
    /// Names in the tar.
    pub entries: u64,
    /// Length of the tar in bytes.
    pub bytes: u64,
}

/// Writes the root file system of an image to `out`: a POSIX tar, with PAX records only for what its headers cannot say.
///
/// Owners are numbers without names. Extended attributes are records `SCHILY.xattr.NAME`. Times are whole seconds, except
/// for entries that need PAX records anyway.
///
/// # Errors
/// `NoSuchImage`; `Corrupt` when a content is not what its layer says; `File` when `out` fails, which leaves an incomplete
/// tar behind.
pub async fn export_rootfs<W: Write + Send + 'static>(
    store: &Store,
    image: &str,
    platform: Option<&Platform>,
    out: W,
) -> Result<(Exported, W)> {
    let row = find_image(store, image, platform).await?.row;
    let opened = image_view(store, &row).await?;
    tokio::task::spawn_blocking(move || write_view(&opened, out))
        .await
        .map_err(|cause| StoreError::Malformed { what: "a worker thread".into(), cause: cause.to_string() })?
}

fn write_view<W: Write>(opened: &OpenedView, out: W) -> Result<(Exported, W)> {
    let mut writer = TarWriter { out, bytes: 0 };
    let mut entries = 0;
    // First names of files that have more.
    let mut linked: HashMap<InodeId, Vec<u8>> = HashMap::new();
    for (path, id) in opened.view.walk() {
        let inode = opened.view.inode(id);
        entries += 1;
        if let Some(first) = linked.get(&id) {
            writer.write_all(&Header::hard_link(&path, first, &inode).blocks())?;
            continue;
        }
        writer.write_all(&Header::of(&path, &inode).blocks())?;
        if let Some(content) = inode.content {
            writer.write_content(&opened.view, &opened.packs, &content, &path)?;
        }
        if has_other_names(&inode) {
            linked.insert(id, path);
        }
    }
    writer.write_all(&PADDING)?;
    writer.out.flush().map_err(out_failed)?;
    Ok((Exported { entries, bytes: writer.bytes }, writer.out))
}

fn has_other_names(inode: &Inode<'_>) -> bool {
    inode.kind != Kind::Directory && inode.links > 1
}

struct TarWriter<W> {
    out: W,
    bytes: u64,
}

impl<W: Write> TarWriter<W> {
    fn write_all(&mut self, bytes: &[u8]) -> Result<()> {
        self.bytes += bytes.len() as u64;
        self.out.write_all(bytes).map_err(out_failed)
    }

    /// Writes a content and its padding, and makes sure that it is the one that the layer had.
    fn write_content(
        &mut self,
        view: &ImageView,
        packs: &[Arc<dyn PackFile>],
        content: &Content,
        path: &[u8],
    ) -> Result<()> {
        let damaged = |cause: String| damaged_content(view, content, path, &cause);
        let pack = packs.get(usize::from(content.pack)).ok_or_else(|| damaged("its pack is missing".into()))?;
        let (start, _) = pack.place(&content.digest).ok_or_else(|| damaged("its pack does not have it".into()))?;
        let mut hasher = ContentDigest::hasher();
        let mut buffer = vec![0; CHUNK.min(content.size as usize)];
        let mut done = 0;
        while done < content.size {
            let chunk = &mut buffer[..CHUNK.min((content.size - done) as usize)];
            pack.read_exact_at(start + done, chunk).map_err(|cause| damaged(cause.to_string()))?;
            hasher.update(chunk);
            self.write_all(chunk)?;
            done += chunk.len() as u64;
        }
        if hasher.finish() != content.digest {
            return Err(damaged("its bytes have changed".into()));
        }
        let padding = (BLOCK - (content.size % BLOCK as u64) as usize) % BLOCK;
        self.write_all(&PADDING[..padding])
    }
}

fn damaged_content(view: &ImageView, content: &Content, path: &[u8], cause: &str) -> EngineError {
    let cause = format!("content of /{}: {cause}", String::from_utf8_lossy(path));
    match view.packs().get(usize::from(content.pack)) {
        Some(pack) => StoreError::DamagedPack { pack: *pack, cause }.into(),
        None => EngineError::invalid(cause),
    }
}

fn out_failed(source: io::Error) -> EngineError {
    EngineError::file("writing", "the tar", source)
}
