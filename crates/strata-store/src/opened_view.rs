//! The file system of an image opened for reading: the indexes of its layers merged, its packs open.

use std::io::{self, Read};
use std::sync::Arc;

use strata_layer::{Content, ImageView, LayerIndex, merge};
use strata_model::DiffId;

use crate::fsck::blocking;
use crate::{PackFile, Result, Store, StoreError};

/// The merged view of an image with its packs opened, in the order of the view's packs.
pub struct OpenedView {
    /// The view.
    pub view: ImageView,
    /// The packs.
    pub packs: Vec<Arc<dyn PackFile>>,
}

impl Store {
    /// What is in each of these layers.
    ///
    /// # Errors
    /// As [`Store::layer_index`].
    pub async fn layer_indexes(&self, layers: &[DiffId]) -> Result<Vec<LayerIndex>> {
        let mut indexes = Vec::with_capacity(layers.len());
        for diff_id in layers {
            indexes.push(self.layer_index(diff_id).await?);
        }
        Ok(indexes)
    }

    /// Merges layers, lowest first, and opens their packs; `image` names them in errors.
    ///
    /// # Errors
    /// `UnknownLayer`, `DamagedLayer`, `DamagedPack`; `Merge` when the layers contradict each other.
    pub async fn open_view(&self, image: &str, layers: &[DiffId]) -> Result<OpenedView> {
        let indexes = self.layer_indexes(layers).await?;
        let view = blocking(move || merge(&indexes.iter().collect::<Vec<_>>()))
            .await?
            .map_err(|cause| StoreError::Merge { image: image.to_owned(), cause: Box::new(cause) })?;
        let packs = self.open_packs(view.packs()).await?;
        Ok(OpenedView { view, packs })
    }
}

impl OpenedView {
    /// Reads the content of a file of the view; `None` when its pack does not have it. Reading blocks.
    pub fn reader(&self, content: &Content) -> Option<ContentReader> {
        let pack = self.packs.get(usize::from(content.pack))?.clone();
        let (offset, _) = pack.place(&content.digest)?;
        Some(ContentReader { pack, offset, left: content.size })
    }
}

/// The bytes of a file.
pub struct ContentReader {
    pack: Arc<dyn PackFile>,
    offset: u64,
    left: u64,
}

impl Read for ContentReader {
    fn read(&mut self, buffer: &mut [u8]) -> io::Result<usize> {
        let count = usize::try_from(self.left).map_or(buffer.len(), |left| left.min(buffer.len()));
        self.pack.read_exact_at(self.offset, &mut buffer[..count])?;
        self.offset += count as u64;
        self.left -= count as u64;
        Ok(count)
    }
}
