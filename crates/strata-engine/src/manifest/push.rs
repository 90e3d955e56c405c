//! `manifest push`: a list that was put together here, to its registry.

use serde::Serialize;
use strata_model::{Digest, ErrorKind, MediaType, Platform, Reference, Target};
use strata_registry_client::RegistryClient;
use strata_transfer::{CopyLimits, CopyPlan, PlatformChoice, Progress, TransferError, copy};

use super::{InspectedManifest, ManifestLists};
use crate::{EngineError, Result};

/// A pushed list.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct PushedList {
    /// The list's digest, which docker prints.
    pub digest: Digest,
    /// Manifests that were brought into the list's repository from others: docker prints
    /// `Pushed ref REFERENCE with digest: DIGEST` for each.
    pub copied: Vec<(Reference, Digest)>,
}

/// Pushes a list. Its manifests must be on the same registry; those of other repositories are brought into the list's, with
/// their blobs linked.
///
/// # Errors
/// In docker's words when the list does not exist, lacks a platform, or has manifests of another registry; what the
/// registry refuses.
pub async fn push_list(
    client: &RegistryClient,
    lists: &ManifestLists,
    list: &Reference,
    limits: CopyLimits,
    progress: &dyn Progress,
) -> Result<PushedList> {
    let target = list.clone().with_default_tag();
    let not_found = |message: String| TransferError::new(ErrorKind::NotFound, message);
    let manifests = lists.get(&target)?.ok_or_else(|| not_found(format!("No such manifest: {target}")))?;
    if manifests.is_empty() {
        return Err(not_found(format!("{target} not found")).into());
    }
    let document = Document::of(&manifests, &target)?;
    let mut copied = Vec::new();
    let sink = client.repository(target.host(), target.repository());
    for manifest in &manifests {
        let (source, digest) = (Reference::parse(&manifest.reference)?, manifest.descriptor.digest);
        if source.repository() == target.repository() {
            if sink.head(&Target::Digest(digest)).await?.is_none() {
                return Err(not_found(format!("no such manifest: {}", target.with_digest(digest))).into());
            }
            continue;
        }
        let plan = CopyPlan { target: Target::Digest(digest), platforms: PlatformChoice::All, limits };
        copy(&client.repository(source.host(), source.repository()), &sink, &plan, progress).await?;
        copied.push((target.with_digest(digest), digest));
    }
    let media_type = MediaType::parse(document.media_type.as_str());
    let digest = sink.put_manifest_bytes(&target.target(), document.bytes().into(), &media_type).await?;
    Ok(PushedList { digest, copied })
}

/// A list in the order of keys that docker writes, so that both programs make the same bytes of the same list.
#[derive(Serialize)]
#[serde(rename_all = "camelCase")]
struct Document {
    schema_version: u32,
    media_type: MediaType,
    manifests: Vec<Entry>,
}

#[derive(Serialize)]
#[serde(rename_all = "camelCase")]
struct Entry {
    media_type: MediaType,
    size: u64,
    digest: Digest,
    platform: Platform,
}

impl Document {
    fn of(manifests: &[InspectedManifest], target: &Reference) -> Result<Document> {
        let entries: Vec<Entry> =
            manifests.iter().map(|manifest| Entry::of(manifest, target)).collect::<Result<_>>()?;
        let is_oci = entries.first().is_some_and(|entry| entry.media_type == MediaType::OCI_MANIFEST);
        let media_type = if is_oci { MediaType::OCI_INDEX } else { MediaType::DOCKER_LIST };
        Ok(Document { schema_version: 2, media_type, manifests: entries })
    }

    fn bytes(&self) -> Vec<u8> {
        let mut bytes = Vec::new();
        let formatter = serde_json::ser::PrettyFormatter::with_indent(b"   ");
        // A structure with text keys can always be written to memory.
        let _ = self.serialize(&mut serde_json::Serializer::with_formatter(&mut bytes, formatter));
        bytes
    }
}

impl Entry {
    fn of(manifest: &InspectedManifest, target: &Reference) -> Result<Entry> {
        let InspectedManifest { reference, descriptor, .. } = manifest;
        let host = Reference::parse(reference)?.host().clone();
        if host != *target.host() {
            return Err(EngineError::invalid(format!(
                "cannot use source images from a different registry than the target image: {host} != {}",
                target.host()
            )));
        }
        let complete = |platform: &&Platform| !platform.os.is_empty() && !platform.architecture.is_empty();
        let platform = descriptor.platform.as_ref().filter(complete).ok_or_else(|| {
            EngineError::invalid(format!(
                "manifest {reference} must have an OS and Architecture to be pushed to a registry"
            ))
        })?;
        Ok(Entry {
            media_type: descriptor.media_type.clone(),
            size: descriptor.size,
            digest: descriptor.digest,
            platform: platform.clone(),
        })
    }
}
