//! `tag`: another name for an image.

use strata_model::Reference;
use strata_store::{NameRow, Store, set_name};

use crate::{EngineError, Result, event, find_image};

/// Names the image that `source` means `target`. A name that another image had moves.
///
/// # Errors
/// `NoSuchImage`; `Invalid` with docker's wording for bad names.
pub async fn tag(store: &Store, source: &str, target: &str) -> Result<()> {
    let target = parse_name(target)?;
    let image = find_image(store, source, None).await?.row;
    let Some(tag) = target.tag() else {
        return Err(EngineError::invalid("refusing to create a tag with a digest reference"));
    };
    let now = store.now();
    let mut txn = store.write("tagging an image").await?;
    let name = NameRow {
        repository: target.name(),
        tag: tag.to_string(),
        platform: image.platform.clone(),
        image: image.id,
        updated: now,
    };
    set_name(&mut *txn, &name).await?;
    let mut tagged = txn.image(&image.id).await?.ok_or_else(|| EngineError::NoSuchImage(source.to_owned()))?;
    tagged.tagged = now;
    txn.put_image(&tagged).await?;
    txn.insert_event(&event::image_event(now, "tag", &image.id.to_string(), &target.familiar())).await?;
    txn.commit().await?;
    event::snapshot(store).await;
    Ok(())
}

/// A name that an image may get.
///
/// # Errors
/// `Invalid` with docker's wording.
pub(crate) fn parse_name(text: &str) -> Result<Reference> {
    let reference = parse_target(text)?;
    match reference.familiar_name().as_str() {
        "sha256" => Err(EngineError::invalid("refusing to create an ambiguous tag using digest algorithm as name")),
        _ => Ok(reference),
    }
}

/// The part of what makes a name for an image that docker's client checks, before anything is looked up.
///
/// # Errors
/// `Invalid` with docker's wording.
pub fn parse_target(text: &str) -> Result<Reference> {
    let reference = Reference::parse(text).map_err(|cause| {
        EngineError::invalid(format!("Error parsing reference: {text:?} is not a valid repository/tag: {cause}"))
    })?;
    if reference.digest().is_some() {
        return Err(EngineError::invalid("refusing to create a tag with a digest reference"));
    }
    Ok(reference.with_default_tag())
}
