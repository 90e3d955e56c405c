//! `history`: how an image came to be, newest step first.

use strata_model::{ImageId, Platform};
use strata_store::{Store, StoreError};

use crate::{EngineError, Result, list, load_documents};

/// One step.
#[derive(Clone, Debug)]
pub struct HistoryEntry {
    /// The image, for the newest step.
    pub image: Option<ImageId>,
    /// When, nanoseconds since 1970; `None` when the configuration does not say.
    pub created: Option<i64>,
    /// The instruction.
    pub created_by: String,
    /// Sum of the file sizes of the layer that the step made, 0 for none.
    pub size: u64,
    /// A free comment.
    pub comment: String,
    /// Familiar tags of the image, for the newest step.
    pub tags: Vec<String>,
}

/// The history of a local image.
///
/// # Errors
/// `NoSuchImage`; `Invalid` when the configuration has more layer-making steps than layers.
pub async fn history(store: &Store, text: &str, platform: Option<&Platform>) -> Result<Vec<HistoryEntry>> {
    let txn = store.read().await?;
    let image = crate::lookup::find_image_in(&*txn, text, platform).await?.row;
    let documents = load_documents(&*txn, &image).await?;
    let config = documents.config.value();
    let mut layers = config.rootfs.diff_ids.iter();
    let mut entries = Vec::with_capacity(config.history.len());
    for step in &config.history {
        let size = if step.empty_layer {
            0
        } else {
            let diff_id =
                layers.next().ok_or_else(|| EngineError::invalid("too many non-empty layers in History section"))?;
            txn.layer(diff_id).await?.ok_or(StoreError::UnknownLayer(*diff_id))?.content_size
        };
        entries.push(HistoryEntry {
            image: None,
            created: step.created.as_deref().and_then(parse_time),
            created_by: step.created_by.clone(),
            size,
            comment: step.comment.clone(),
            tags: Vec::new(),
        });
    }
    entries.reverse();
    if let Some(top) = entries.first_mut() {
        top.image = Some(image.id);
        let names = txn.names_of_image(&image.id).await?;
        top.tags = names.iter().filter_map(list::name_reference).map(|reference| reference.familiar()).collect();
    }
    Ok(entries)
}

/// Nanoseconds since 1970 of an RFC 3339 time.
pub(crate) fn parse_time(text: &str) -> Option<i64> {
    let timestamp: jiff::Timestamp = text.parse().ok()?;
    i64::try_from(timestamp.as_nanosecond()).ok()
}
