//! `image prune`: many removals in one transaction, so that a dry run and the real thing are one code.

use std::collections::{HashMap, HashSet};

use strata_model::ImageId;
use strata_store::{NameRow, Store, WriteTxn};

use crate::list::{ImageFilter, ImageSummary, summaries};
use crate::mount_record::MountedImage;
use crate::remove::Removal;
use crate::{Removed, Result, event};

/// What to prune.
#[derive(Clone, Debug, Default)]
pub struct PruneRequest {
    /// Every unused image, not only those without a tag.
    pub all: bool,
    /// Filters: `until`, `label`, `label!`, `dangling`, and (ours) `reference`.
    pub filters: Vec<(String, String)>,
    /// Keep this many newest tags of each repository.
    pub keep: Option<usize>,
    /// Only what was not used for this long, nanoseconds.
    pub unused_for: Option<i64>,
    /// The images that are mounted: they are in use.
    pub mounted: Vec<MountedImage>,
    /// Change nothing.
    pub dry_run: bool,
}

/// Removes images that nothing uses, what failed transfers left, and what is unused in packs that others still use.
///
/// Without `all` those that have no tag; a digest alone is no tag. `reference`, `keep` and `unused_for` speak of tagged
/// images, so each of them means `all`.
///
/// # Errors
/// `Invalid` for bad filters.
pub async fn prune(store: &Store, request: &PruneRequest) -> Result<Removed> {
    let keys: &[&str] = &["until", "label", "label!", "dangling", "reference"];
    let filter = ImageFilter::parse(store, &request.filters, keys).await?;
    let all = request.all
        || filter.dangling() == Some(false)
        || filter.has_references()
        || request.keep.is_some()
        || request.unused_for.is_some();
    let staged = if request.dry_run { 0 } else { store.collect_leftovers().await? };
    let mut txn = store.write("pruning images").await?;
    let mut found = summaries(&*txn, &filter.without_dangling()).await?;
    found.retain(|summary| all || summary.is_dangling);
    found.retain(|summary| request.mounted.iter().all(|mounted| mounted.image != summary.row.id));
    if let Some(unused_for) = request.unused_for {
        let limit = store.now() - unused_for;
        found.retain(|summary| summary.row.used < limit);
    }
    let kept = request.keep.map(|keep| names_to_keep(&found, keep)).unwrap_or_default();
    let in_use: HashSet<ImageId> = txn.containers().await?.into_iter().map(|container| container.image).collect();
    found.retain(|summary| !in_use.contains(&summary.row.id));
    // What a container uses, running or not, is left alone above.
    let mut removal = Removal::new(store, &request.mounted, &[]);
    // First: what images hold besides must not be counted twice.
    removal.leftovers(&mut *txn).await?;
    for summary in &found {
        remove_summary(&mut removal, &mut *txn, summary, &kept).await?;
    }
    if request.dry_run {
        let compaction = store.plan_compaction(&*txn).await?;
        let mut planned = removal.roll_back(txn).await?;
        planned.freed += store.compaction_size(&compaction).await?;
        return Ok(planned);
    }
    let mut removed = match removal.is_empty() {
        // What follows writes, too.
        true => {
            drop(txn);
            Removed::default()
        }
        false => removal.commit(txn).await?,
    };
    removed.freed += staged + store.compact_packs().await?;
    if removed.freed > 0 || !removed.steps.is_empty() {
        event::note(store, "prune", "", &removed.freed.to_string()).await?;
    }
    Ok(removed)
}

/// Takes away the names that the filters chose, and the image with the last of them.
async fn remove_summary(
    removal: &mut Removal<'_>,
    txn: &mut dyn WriteTxn,
    summary: &ImageSummary,
    kept: &[NameRow],
) -> Result<()> {
    if summary.is_dangling {
        return removal.by_id(txn, &summary.row, true).await;
    }
    for name in summary.names.iter().filter(|name| !kept.contains(name)) {
        removal.by_name(txn, &summary.row, name, true).await?;
    }
    // A digest of another repository may still hold it; no tag does.
    let is_left = txn.image(&summary.row.id).await?.is_some() && txn.names_of_image(&summary.row.id).await?.is_empty();
    if is_left { removal.by_id(txn, &summary.row, true).await } else { Ok(()) }
}

/// Of each repository the names of its newest images.
fn names_to_keep(found: &[ImageSummary], keep: usize) -> Vec<NameRow> {
    let mut by_repository: HashMap<&str, Vec<(i64, &NameRow)>> = HashMap::new();
    for summary in found {
        for name in &summary.names {
            by_repository.entry(&name.repository).or_default().push((summary.row.created, name));
        }
    }
    let mut kept = Vec::new();
    for mut names in by_repository.into_values() {
        names.sort_by(|a, b| b.0.cmp(&a.0).then_with(|| b.1.updated.cmp(&a.1.updated)).then_with(|| a.1.cmp(b.1)));
        kept.extend(names.into_iter().take(keep).map(|(_, name)| name.clone()));
    }
    kept
}
