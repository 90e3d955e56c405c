//! Compaction: a pack that outlives its own layer keeps only what other layers still use.
//!
//! A pack is never changed. What is used of it is copied into a new file of the same identity; one transaction points the
//! catalog there and drops the views that point into the old file, which is then removed. Indexes name contents by digest,
//! so none of them changes. Mounts keep the old file until they go.

use std::collections::HashSet;
use std::sync::Arc;

use strata_layer::{ContentDigest, PackId, PackWriter};

use crate::publish::{doomed, panicked};
use crate::unpack::PackTarget;
use crate::{Collection, DoomedKind, LeaseItem, PackFile, PackRow, ReadTxn, Result, Store, StoreError};

/// A pack is compacted when less than one in this many of its bytes is used.
const WORTH: u64 = 2;

impl Store {
    /// Compacts the packs of which less than half is used; returns the bytes of blocks given back.
    ///
    /// # Errors
    /// When catalog or packs cannot be used; a pack that is damaged or in use is left alone.
    pub async fn compact_packs(&self) -> Result<u64> {
        let mut freed = 0;
        for row in self.read().await?.packs().await? {
            if !row.damaged && self.is_worth_compacting(&row).await? {
                freed += self.compact(&row).await?;
            }
        }
        Ok(freed)
    }

    /// By the catalog's sums, which count a content once for each layer that uses it: an upper bound.
    async fn is_worth_compacting(&self, row: &PackRow) -> Result<bool> {
        let txn = self.read().await?;
        let mut used = 0;
        for layer in txn.layers_of_pack(&row.id).await? {
            let uses = txn.packs_of_layer(&layer).await?;
            used += uses.iter().filter(|(id, _)| *id == row.id).map(|(_, bytes)| bytes).sum::<u64>();
        }
        Ok(used < row.length / WORTH)
    }

    async fn compact(&self, row: &PackRow) -> Result<u64> {
        let layers = self.read().await?.layers_of_pack(&row.id).await?;
        let mut used = HashSet::new();
        for diff_id in &layers {
            let index = self.layer_index(diff_id).await?;
            let is_ours = |content: &strata_layer::Content| index.packs.get(usize::from(content.pack)) == Some(&row.id);
            used.extend(
                index.entries().filter_map(|entry| entry.content).filter(is_ours).map(|content| content.digest),
            );
        }
        let file = self.inner.packs.open(&row.location)?;
        let (packs, id, durability) = (self.inner.packs.clone(), row.id, self.inner.options.durability);
        let (location, length) = tokio::task::spawn_blocking(move || -> Result<_> {
            let failed = |source| StoreError::file("compacting pack", id.to_string(), source);
            let mut writer = PackWriter::new(id, PackTarget(packs.create_version(id)?));
            copy_used(&file, &used, &mut writer).map_err(failed)?;
            let (summary, target) = writer.finish().map_err(failed)?;
            Ok((target.0.seal(durability)?, summary.file_length))
        })
        .await
        .map_err(panicked)??;
        let compacted = PackRow { id: row.id, location: location.clone(), length, damaged: false };
        let mut txn = self.write("publishing a compacted pack").await?;
        // Whoever leased the pack meanwhile may be about to refer to contents that were just left out.
        if txn.layers_of_pack(&row.id).await? != layers || is_leased(&*txn, &row.id, self.now()).await? {
            drop(txn);
            self.inner.packs.remove(&location)?;
            return Ok(0);
        }
        txn.replace_pack(&compacted).await?;
        let mut collection = Collection::default();
        collection.doomed.push(doomed(DoomedKind::Pack, row.location.clone()));
        for (chain, view) in txn.views().await? {
            txn.delete_view(&chain).await?;
            collection.doomed.push(doomed(DoomedKind::Blob, view));
        }
        for row in &collection.doomed {
            txn.insert_doomed(row).await?;
        }
        txn.commit().await?;
        let freed = self.remove_doomed(&collection).await?;
        let kept = self.inner.packs.usage(&location)?.map_or(0, |usage| usage.allocated);
        Ok(freed.saturating_sub(kept))
    }
}

fn copy_used(
    file: &Arc<dyn PackFile>,
    used: &HashSet<ContentDigest>,
    writer: &mut PackWriter<PackTarget>,
) -> std::io::Result<()> {
    let mut contents = file.contents();
    contents.sort_by_key(|(_, offset, _)| *offset);
    for (digest, offset, length) in contents.into_iter().filter(|(digest, ..)| used.contains(digest)) {
        writer.copy(digest, length, Range { file: &**file, offset })?;
    }
    Ok(())
}

/// Reads a pack from an offset on.
struct Range<'a> {
    file: &'a dyn PackFile,
    offset: u64,
}

impl std::io::Read for Range<'_> {
    fn read(&mut self, buffer: &mut [u8]) -> std::io::Result<usize> {
        self.file.read_exact_at(self.offset, buffer)?;
        self.offset += buffer.len() as u64;
        Ok(buffer.len())
    }
}

async fn is_leased(txn: &dyn ReadTxn, id: &PackId, now: i64) -> Result<bool> {
    for lease in txn.live_leases(now).await? {
        if txn.lease_items(&lease.id).await?.contains(&LeaseItem::Pack(*id)) {
            return Ok(true);
        }
    }
    Ok(false)
}
