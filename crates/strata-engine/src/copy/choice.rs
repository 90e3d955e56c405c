//! Which image of an archive is meant.

use strata_archive::{ArchiveImage, ArchiveImages, ImageVariant};
use strata_model::{ErrorKind, Platform};
use strata_transfer::TransferError;

use super::ArchiveEntry;
use crate::{EngineError, Result};

/// The annotation that names an entry of `index.json`.
const REF_NAME: &str = "org.opencontainers.image.ref.name";

/// Which image of an archive is wanted; `None` is the only one.
pub(super) enum Wanted<'a> {
    /// Of an OCI layout: by the name of its entry.
    Entry(Option<&'a str>),
    /// Of a docker archive.
    Docker(Option<&'a ArchiveEntry>),
}

/// The image that is wanted.
///
/// # Errors
/// `NotFound` when there is none, `Invalid` when several could be meant.
pub(super) fn choose_image<'a>(images: &'a ArchiveImages, wanted: &Wanted<'_>) -> Result<&'a ArchiveImage> {
    let all = &images.images;
    let found = match wanted {
        Wanted::Entry(None) | Wanted::Docker(None) => match &all[..] {
            [image] => return Ok(image),
            [] => return Err(not_found("the archive holds no image".into(), images)),
            _ => {
                let message = format!("the archive holds {} images, choose one", all.len());
                return Err(advised(TransferError::new(ErrorKind::Invalid, message), images).into());
            }
        },
        Wanted::Entry(Some(name)) => all.iter().find(|image| has_entry_name(image, name)),
        Wanted::Docker(Some(ArchiveEntry::Name(name))) => all.iter().find(|image| image.names.contains(name)),
        Wanted::Docker(Some(ArchiveEntry::Position(position))) => all.get(*position),
    };
    found.ok_or_else(|| {
        let shown = match wanted {
            Wanted::Entry(name) => name.unwrap_or_default().to_owned(),
            Wanted::Docker(entry) => entry.map(ToString::to_string).unwrap_or_default(),
        };
        not_found(format!("the archive holds no image {shown}"), images)
    })
}

fn has_entry_name(image: &ArchiveImage, wanted: &str) -> bool {
    image.root.annotations.get(REF_NAME).is_some_and(|name| name == wanted)
        || image.names.iter().any(|name| {
            name.to_string() == wanted
                || name.familiar() == wanted
                || name.tag().is_some_and(|tag| tag.as_str() == wanted)
        })
}

/// The variant that runs best on a platform. An image of one platform is what is meant, whatever the machine is.
///
/// # Errors
/// `NotFound` when none does.
pub(super) fn choose_variant<'a>(image: &'a ArchiveImage, platform: Option<&Platform>) -> Result<&'a ImageVariant> {
    let real = || image.variants.iter().filter(|variant| !variant.descriptor.is_attestation());
    if let (Some(only), None) = (real().next(), real().nth(1)) {
        return Ok(only);
    }
    let wanted = platform.cloned().unwrap_or_else(Platform::host);
    let offered = real().filter_map(|variant| Some((variant.platform.as_ref()?, variant)));
    wanted.choose(offered).ok_or_else(|| {
        let message = format!("no matching manifest for {wanted} in the archive");
        TransferError::new(ErrorKind::NotFound, message).into()
    })
}

fn not_found(message: String, images: &ArchiveImages) -> EngineError {
    advised(TransferError::new(ErrorKind::NotFound, message), images).into()
}

fn advised(error: TransferError, images: &ArchiveImages) -> TransferError {
    let names: Vec<String> =
        images.images.iter().flat_map(|image| image.names.iter().map(|name| name.familiar())).collect();
    if names.is_empty() { error } else { error.with_hint(format!("images of this archive: {}", names.join(", "))) }
}
