//! Deleting tags, manifests and blobs. Nothing goes that a tag needs which the caller may not remove.

use http::StatusCode;
use strata_model::{Digest, Target};
use strata_store::registry::RegistryError;

use super::manifests::parse_target;
use super::{Call, TAG_ATTEMPTS, empty};
use crate::error::Result;

/// What is deleted by its digest.
#[derive(Clone, Copy)]
enum Content {
    Blob,
    Manifest,
}

/// `DELETE` of a manifest or tag: end-9.
pub(super) async fn manifest(call: &Call<'_>, target: &str) -> Result {
    match parse_target(call, target)? {
        Target::Tag(tag) => {
            call.service.access.may_delete_tag(&call.caller, &call.repository, tag.as_str()).await?;
            call.registry.delete_tag(&call.repository, &tag, call.caller.name()).await?;
        }
        Target::Digest(digest) => delete(call, Content::Manifest, &digest).await?,
    }
    Ok(empty(StatusCode::ACCEPTED, Vec::new()))
}

/// `DELETE` of a blob: end-10.
pub(super) async fn blob(call: &Call<'_>, digest: Digest) -> Result {
    delete(call, Content::Blob, &digest).await?;
    Ok(empty(StatusCode::ACCEPTED, Vec::new()))
}

/// Asks about the tags as they are when the content goes.
async fn delete(call: &Call<'_>, content: Content, digest: &Digest) -> Result<()> {
    let (registry, repository) = (call.registry, &call.repository);
    let mut attempt = 1;
    loop {
        let tags = match content {
            Content::Blob => registry.tags_needing(repository, digest).await?,
            Content::Manifest => registry.tags_of(repository, digest).await?,
        };
        for tag in &tags {
            call.service.access.may_delete_tag(&call.caller, repository, tag).await?;
        }
        let deleted = match content {
            Content::Blob => registry.delete_blob(repository, digest, &tags).await,
            Content::Manifest => registry.delete_manifest(repository, digest, &tags, call.caller.name()).await,
        };
        match deleted {
            Err(RegistryError::TagMoved { .. }) if attempt < TAG_ATTEMPTS => attempt += 1,
            deleted => return Ok(deleted?),
        }
    }
}
