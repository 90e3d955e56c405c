//! Which local image a text means, and the documents of an image.

use strata_model::{Digest, ImageConfig, ImageId, ImageManifest, Manifest, Platform, Raw, Reference};
use strata_store::{DigestNameRow, ImageRow, NameRow, ReadTxn, Store, StoreError};

use crate::{EngineError, Result};

/// How an image was found.
#[derive(Clone, Debug, PartialEq)]
pub enum FoundBy {
    /// By identity, or a prefix of it.
    Id,
    /// By this name.
    Name(NameRow),
    /// By this repository digest.
    Digest(DigestNameRow),
}

/// A local image that a text means.
#[derive(Clone, Debug)]
pub struct FoundImage {
    /// The image.
    pub row: ImageRow,
    /// By what it was found.
    pub by: FoundBy,
}

/// Finds the image that `text` means: an identity, a name, or a prefix of an identity, in this order.
///
/// Of a tag that several platforms have, `platform` (or this machine's) is taken, else the one set last.
///
/// # Errors
/// `NoSuchImage` with the familiar form of the name; `Reference` for text that can be neither name nor identity.
pub async fn find_image(store: &Store, text: &str, platform: Option<&Platform>) -> Result<FoundImage> {
    let txn = store.read().await?;
    find_image_in(&*txn, text, platform).await
}

/// The same within a transaction.
///
/// # Errors
/// As [`find_image`].
pub async fn find_image_in(txn: &dyn ReadTxn, text: &str, platform: Option<&Platform>) -> Result<FoundImage> {
    if let Some(id) = exact_id(text) {
        let row = txn.image(&id).await?.ok_or_else(|| EngineError::NoSuchImage(text.to_owned()))?;
        return Ok(FoundImage { row, by: FoundBy::Id });
    }
    let reference = Reference::parse(text).map(Reference::with_default_tag);
    if let Ok(reference) = &reference
        && let Some(found) = find_by_name(txn, reference, platform).await?
    {
        return Ok(found);
    }
    if let Some(row) = find_by_prefix(txn, text).await? {
        return Ok(FoundImage { row, by: FoundBy::Id });
    }
    let shown = match reference {
        Ok(reference) => reference.familiar(),
        Err(error) if is_id_like(text) => return Err(EngineError::NoSuchImage(format!("{text}: {error}"))),
        Err(error) => return Err(error.into()),
    };
    Err(EngineError::NoSuchImage(shown))
}

fn exact_id(text: &str) -> Option<ImageId> {
    let hex = text.strip_prefix("sha256:").unwrap_or(text);
    (hex.len() == 64).then(|| format!("sha256:{hex}").parse().ok()).flatten()
}

fn is_id_like(text: &str) -> bool {
    let hex = text.strip_prefix("sha256:").unwrap_or(text);
    !hex.is_empty() && hex.bytes().all(|byte| matches!(byte, b'0'..=b'9' | b'a'..=b'f'))
}

async fn find_by_name(
    txn: &dyn ReadTxn,
    reference: &Reference,
    platform: Option<&Platform>,
) -> Result<Option<FoundImage>> {
    if let Some(digest) = reference.digest() {
        let rows = txn.digest_names_of_repository(&reference.name()).await?;
        let row = rows.into_iter().find(|row| row.digest == digest);
        let Some(row) = row else { return Ok(None) };
        let image = txn.image(&row.image).await?;
        return Ok(image.map(|image| FoundImage { row: image, by: FoundBy::Digest(row) }));
    }
    let names = txn.names_of_repository(&reference.name()).await?;
    let tag = reference.tag().map(|tag| tag.as_str());
    let candidates: Vec<NameRow> = names.into_iter().filter(|row| Some(row.tag.as_str()) == tag).collect();
    let Some(name) = choose_name(candidates, platform) else { return Ok(None) };
    let image = txn.image(&name.image).await?;
    Ok(image.map(|row| FoundImage { row, by: FoundBy::Name(name) }))
}

/// Of one tag's names for several platforms, the one that is meant.
fn choose_name(candidates: Vec<NameRow>, platform: Option<&Platform>) -> Option<NameRow> {
    let rank = |row: &NameRow, wanted: &Platform| row.platform.parse().ok().and_then(|offered| wanted.rank(&offered));
    if let Some(wanted) = platform {
        return candidates
            .into_iter()
            .filter_map(|row| rank(&row, wanted).map(|rank| (rank, row)))
            .min_by_key(|(rank, _)| *rank)
            .map(|(_, row)| row);
    }
    let host = Platform::host();
    let best =
        candidates.iter().filter_map(|row| rank(row, &host).map(|rank| (rank, row))).min_by_key(|(rank, _)| *rank);
    match best {
        Some((_, row)) => Some(row.clone()),
        None => candidates.into_iter().max_by_key(|row| row.updated),
    }
}

/// Exactly one image whose identity starts so; several are as good as none, as in docker.
async fn find_by_prefix(txn: &dyn ReadTxn, text: &str) -> Result<Option<ImageRow>> {
    let hex = text.strip_prefix("sha256:").unwrap_or(text);
    if hex.len() >= 64 || !is_id_like(text) {
        return Ok(None);
    }
    let mut rows = txn.images_by_prefix(hex).await?;
    Ok(if rows.len() == 1 { rows.pop() } else { None })
}

/// The documents of an image, with their exact bytes.
#[derive(Clone, Debug)]
pub struct ImageDocuments {
    /// The manifest.
    pub manifest: Raw<Manifest>,
    /// The configuration.
    pub config: Raw<ImageConfig>,
}

impl ImageDocuments {
    /// The manifest as that of an image, which it is.
    pub fn image(&self) -> &ImageManifest {
        match self.manifest.value() {
            Manifest::Image(image) => image,
            Manifest::Index(_) => unreachable!("load_documents refuses indexes"),
        }
    }
}

/// Loads manifest and configuration of a local image.
///
/// # Errors
/// When they are not here or malformed, which fsck tells more about.
pub async fn load_documents(txn: &dyn ReadTxn, image: &ImageRow) -> Result<ImageDocuments> {
    let manifest = inline(txn, &image.manifest).await?;
    let malformed =
        |what: &str, cause: String| StoreError::Malformed { what: format!("{what} of image {}", image.id), cause };
    let manifest = Raw::parse(manifest, |bytes| Manifest::parse(bytes, None))
        .map_err(|cause| malformed("manifest", cause.to_string()))?;
    if let Manifest::Index(_) = manifest.value() {
        return Err(malformed("manifest", "it is an index".into()).into());
    }
    let config = Raw::parse(inline(txn, &image.id.0).await?, ImageConfig::parse)
        .map_err(|cause| malformed("configuration", cause.to_string()))?;
    Ok(ImageDocuments { manifest, config })
}

/// The documents of the container image that a manifest in the store describes; `None` for indexes and artifacts.
///
/// # Errors
/// When they are not here or malformed.
pub(crate) async fn documents_of_manifest(txn: &dyn ReadTxn, manifest: &Digest) -> Result<Option<ImageDocuments>> {
    let malformed = |what: String, cause: String| StoreError::Malformed { what, cause };
    let raw = Raw::parse(inline(txn, manifest).await?, |bytes| Manifest::parse(bytes, None))
        .map_err(|cause| malformed(format!("manifest {manifest}"), cause.to_string()))?;
    let config = match raw.value() {
        Manifest::Image(image) if image.config.media_type.is_image_config() => image.config.digest,
        _ => return Ok(None),
    };
    let config = Raw::parse(inline(txn, &config).await?, ImageConfig::parse)
        .map_err(|cause| malformed(format!("image configuration {config}"), cause.to_string()))?;
    Ok(Some(ImageDocuments { manifest: raw, config }))
}

async fn inline(txn: &dyn ReadTxn, digest: &Digest) -> Result<bytes::Bytes> {
    let row = txn.object(digest).await?.ok_or(StoreError::UnknownObject(*digest))?;
    Ok(row.bytes.ok_or(StoreError::UnknownObject(*digest))?)
}
