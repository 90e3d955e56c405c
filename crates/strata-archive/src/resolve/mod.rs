//! From the members of an archive to its images.
//!
//! Documents are preferred in this order: `index.json` of an OCI layout (it has the original manifests), `manifest.json`,
//! and the directories of a v1 archive.

mod docker;
mod legacy;
mod oci;

use std::collections::HashSet;

use strata_model::DiffId;

use crate::inventory::Inventory;
use crate::{ArchiveError, ArchiveFormat, ArchiveImage, ArchiveImages, Limits, Stored};

const MANIFEST: &str = "manifest.json";
const INDEX: &str = "index.json";
const OCI_LAYOUT: &str = "oci-layout";
const REPOSITORIES: &str = "repositories";

/// The images of an archive.
pub(crate) fn images(inventory: &Inventory, limits: &Limits) -> Result<ArchiveImages, ArchiveError> {
    let budget = &mut Budget(*limits);
    let mut contents = if inventory.document(INDEX)?.is_some() {
        oci_or_docker(inventory, budget)?
    } else if inventory.document(MANIFEST)?.is_some() {
        from_docker(inventory, budget)?
    } else if inventory.document(OCI_LAYOUT)?.is_some() {
        return Err(ArchiveError::Missing { document: OCI_LAYOUT.into(), path: INDEX.into() });
    } else {
        let images = legacy::images(inventory, budget)?;
        ArchiveImages { format: ArchiveFormat::DockerV1, images, skipped: Vec::new() }
    };
    last_use_counts(&mut contents.images);
    Ok(contents)
}

fn from_docker(inventory: &Inventory, budget: &mut Budget) -> Result<ArchiveImages, ArchiveError> {
    let images = docker::images(inventory, budget)?;
    Ok(ArchiveImages { format: ArchiveFormat::Docker, images, skipped: Vec::new() })
}

fn oci_or_docker(inventory: &Inventory, budget: &mut Budget) -> Result<ArchiveImages, ArchiveError> {
    let has_docker_manifest = inventory.document(MANIFEST)?.is_some();
    match oci::images(inventory, budget) {
        Ok(contents) if contents.images.is_empty() && has_docker_manifest => from_docker(inventory, budget),
        Ok(mut contents) => {
            if has_docker_manifest {
                docker::add_names(inventory, &mut contents.images)?;
            }
            Ok(contents)
        }
        // Docker 25.0.0 wrote OCI manifests without their layers beside a correct manifest.json, and reads only that.
        Err(error @ (ArchiveError::LayersMismatch { .. } | ArchiveError::Missing { .. })) if has_docker_manifest => {
            from_docker(inventory, budget).map_err(|_| error)
        }
        Err(error) => Err(error),
    }
}

/// An image that a later one takes a name from loses it, and no image has a name twice.
fn last_use_counts(images: &mut [ArchiveImage]) {
    let mut taken = HashSet::new();
    for image in images.iter_mut().rev() {
        let mut own = HashSet::new();
        image.names.retain(|name| own.insert(name.clone()) && !taken.contains(name));
        taken.extend(own);
    }
}

/// Bounds what a small archive can make of itself by naming the same things again and again.
struct Budget(Limits);

impl Budget {
    fn spend(&mut self, descriptors: usize) -> Result<(), ArchiveError> {
        self.0.descriptors = self
            .0
            .descriptors
            .checked_sub(descriptors as u64)
            .ok_or(ArchiveError::Limit { what: "manifests and layers", limit: Limits::default().descriptors })?;
        Ok(())
    }
}

/// Checks layer number `layer` against the configuration, as far as its diff ID is known.
fn check_diff_id(layer: usize, expected: DiffId, stored: &Stored) -> Result<(), ArchiveError> {
    match stored.known_diff_id() {
        // Nothing was stored for a layer that the receiver is expected to have.
        Some(got) if got != expected && stored.size > 0 => {
            Err(ArchiveError::DiffId { layer, expected: Box::new(expected.0), got: Box::new(got.0) })
        }
        _ => Ok(()),
    }
}

/// Parses a document of the archive.
fn parse<'a, T: serde::Deserialize<'a>>(path: &str, bytes: &'a [u8]) -> Result<T, ArchiveError> {
    serde_json::from_slice(bytes)
        .map_err(|cause| ArchiveError::Document { path: path.to_owned(), cause: cause.to_string() })
}
