//! Names of images as archives write them (spec section "Docker archive").

use strata_model::{Annotations, Reference};

use crate::ArchiveError;

/// The canonical name, as containerd and Docker 25 write it.
pub(crate) const IMAGE_NAME: &str = "io.containerd.image.name";
/// A tag, or with some writers a full name.
pub(crate) const REF_NAME: &str = "org.opencontainers.image.ref.name";

/// A name in `RepoTags` or `repositories`: it must have a tag.
pub(crate) fn tagged(name: &str) -> Result<Reference, ArchiveError> {
    let reference = parse(name)?;
    if reference.tag().is_none() {
        return Err(ArchiveError::InvalidTag(name.to_owned()));
    }
    Ok(reference)
}

/// The name of an entry of `index.json`; a bare tag is no name, and neither is what does not parse as one.
pub(crate) fn annotated(annotations: &Annotations) -> Result<Option<Reference>, ArchiveError> {
    if let Some(name) = annotations.get(IMAGE_NAME) {
        return Ok(Some(parse(name)?.with_default_tag()));
    }
    let full_name = annotations.get(REF_NAME).filter(|name| name.contains(['/', ':']));
    Ok(full_name.and_then(|name| Reference::parse(name).ok()).map(Reference::with_default_tag))
}

fn parse(name: &str) -> Result<Reference, ArchiveError> {
    Reference::parse(name).map_err(|cause| ArchiveError::InvalidName { name: name.to_owned(), cause })
}
