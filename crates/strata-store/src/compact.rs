//! Compaction: a pack that outlives its own layer keeps only what other layers still use.
//!
//! A pack is never changed. What is used of it is copied into a new file of the same identity; one transaction points the
//! catalog there and drops the views that point into the old file, which is then removed. Indexes name contents by digest,
//! so none of them changes. Mounts keep the old file until they go.

use std::collections::HashMap;
use std::sync::Arc;

use strata_layer::{ContentDigest, PackId, PackWriter};
use strata_model::DiffId;

use crate::publish::{doomed, panicked};
use crate::unpack::PackTarget;
use crate::{Collection, DoomedKind, LeaseItem, Location, PackFile, PackRow, ReadTxn, Result, Store, StoreError};

/// A pack is compacted when less than one in this many of its bytes is used.
const WORTH: u64 = 2;
/// And when at least this many are not: to win less is not worth making the views again.
const LEAST_GAIN: u64 = 16 << 10;
/// Contents begin on such blocks.
const BLOCK: u64 = 512;

impl Store {
    /// Compacts the packs of which less than half is used; returns the bytes of blocks given back.
    ///
    /// # Errors
    /// When catalog or packs cannot be used; a pack that is damaged or in use is left alone.
    pub async fn compact_packs(&self) -> Result<u64> {
        let mut freed = 0;
        let txn = self.read().await?;
        let worthwhile = packs_worth_compacting(&*txn).await?;
        drop(txn);
        for (row, layers) in worthwhile {
            freed += self.compact(&row, layers).await?;
        }
        Ok(freed)
    }

    /// What [`Store::compact_packs`] would do if the caller's transaction, which is going to be rolled back, were committed.
    ///
    /// # Errors
    /// When the catalog cannot be read.
    pub async fn plan_compaction(&self, txn: &dyn ReadTxn) -> Result<PlannedCompaction> {
        let mut packs = Vec::new();
        for (row, layers) in packs_worth_compacting(txn).await? {
            if !is_leased(txn, &row.id, self.now()).await? {
                packs.push((row, layers));
            }
        }
        let views = if packs.is_empty() { Vec::new() } else { txn.views().await? };
        Ok(PlannedCompaction { packs, views: views.into_iter().map(|(_, location)| location).collect() })
    }

    /// The bytes of blocks that a planned compaction would give back, but for a few blocks.
    ///
    /// # Errors
    /// When backends cannot be asked, or an index cannot be read.
    pub async fn compaction_size(&self, planned: &PlannedCompaction) -> Result<u64> {
        let mut freed = 0;
        for (row, layers) in &planned.packs {
            let kept: u64 =
                self.used_contents(&row.id, layers).await?.values().map(|size| size.next_multiple_of(BLOCK)).sum();
            let allocated = self.inner.packs.usage(&row.location)?.map_or(0, |usage| usage.allocated);
            freed += allocated.saturating_sub(kept);
        }
        for view in &planned.views {
            freed += self.inner.blobs.usage(view).await?.map_or(0, |usage| usage.allocated);
        }
        Ok(freed)
    }

    /// The contents that layers use of a pack, and their sizes.
    async fn used_contents(&self, id: &PackId, layers: &[DiffId]) -> Result<HashMap<ContentDigest, u64>> {
        let mut used = HashMap::new();
        for diff_id in layers {
            let index = self.layer_index(diff_id).await?;
            let is_ours = |content: &strata_layer::Content| index.packs.get(usize::from(content.pack)) == Some(id);
            let contents = index.entries().filter_map(|entry| entry.content).filter(is_ours);
            used.extend(contents.map(|content| (content.digest, content.size)));
        }
        Ok(used)
    }

    async fn compact(&self, row: &PackRow, layers: Vec<DiffId>) -> Result<u64> {
        let used = self.used_contents(&row.id, &layers).await?;
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

/// A compaction that was not made.
pub struct PlannedCompaction {
    packs: Vec<(PackRow, Vec<DiffId>)>,
    views: Vec<Location>,
}

/// The packs of which little is used, and the layers that use them. By the catalog's sums, which count a content once for
/// each layer that uses it: an upper bound.
async fn packs_worth_compacting(txn: &dyn ReadTxn) -> Result<Vec<(PackRow, Vec<DiffId>)>> {
    let mut packs = Vec::new();
    for row in txn.packs().await?.into_iter().filter(|row| !row.damaged) {
        let layers = txn.layers_of_pack(&row.id).await?;
        let mut used = 0;
        for layer in &layers {
            let uses = txn.packs_of_layer(layer).await?;
            used += uses.iter().filter(|(id, _)| *id == row.id).map(|(_, bytes)| bytes).sum::<u64>();
        }
        if used < row.length / WORTH && row.length - used >= LEAST_GAIN {
            packs.push((row, layers));
        }
    }
    Ok(packs)
}

fn copy_used(
    file: &Arc<dyn PackFile>,
    used: &HashMap<ContentDigest, u64>,
    writer: &mut PackWriter<PackTarget>,
) -> std::io::Result<()> {
    let mut contents = file.contents();
    contents.sort_by_key(|(_, offset, _)| *offset);
    for (digest, offset, length) in contents.into_iter().filter(|(digest, ..)| used.contains_key(digest)) {
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
