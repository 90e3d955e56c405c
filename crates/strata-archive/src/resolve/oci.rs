//! OCI layouts: `index.json` leads to manifests, and these to blobs, all by digest (OCI image-spec image-layout.md).

use std::collections::{HashMap, HashSet};

use bytes::Bytes;
use strata_model::{Descriptor, Digest, ImageConfig, ImageIndex, ImageManifest, Manifest, ManifestError, Raw};

use super::{Budget, INDEX, OCI_LAYOUT, check_diff_id, parse};
use crate::inventory::Inventory;
use crate::layout::blob_path;
use crate::{
    ArchiveError, ArchiveFormat, ArchiveImage, ArchiveImages, ArchiveLayer, ImageVariant, Stored, layout, names,
};

/// Indexes within indexes that are followed.
const MAX_DEPTH: usize = 8;

/// The images of `index.json`.
pub(super) fn images(inventory: &Inventory, budget: &mut Budget) -> Result<ArchiveImages, ArchiveError> {
    if let Some(bytes) = inventory.document(OCI_LAYOUT)? {
        layout::check_version(bytes)?;
    }
    let index: ImageIndex = parse(INDEX, inventory.needed_document(INDEX, OCI_LAYOUT)?)?;
    let mut contents = ArchiveImages { format: ArchiveFormat::Oci, images: Vec::new(), skipped: Vec::new() };
    let mut positions: HashMap<Digest, usize> = HashMap::new();
    for entry in index.manifests {
        if !entry.media_type.is_manifest() && !entry.media_type.is_schema1() {
            contents.skipped.push(entry);
            continue;
        }
        let name = names::annotated(&entry.annotations)?;
        let position = match positions.get(&entry.digest) {
            Some(&position) => position,
            None => {
                positions.insert(entry.digest, contents.images.len());
                contents.images.push(Expansion::of_root(inventory, budget, entry)?);
                contents.images.len() - 1
            }
        };
        contents.images[position].names.extend(name);
    }
    Ok(contents)
}

/// The walk from one entry of `index.json` down to its images.
struct Expansion<'a> {
    inventory: &'a Inventory,
    budget: &'a mut Budget,
    image: ArchiveImage,
    visited: HashSet<Digest>,
    /// Why the first incomplete image is incomplete.
    missing: Option<ArchiveError>,
}

impl Expansion<'_> {
    fn of_root(inventory: &Inventory, budget: &mut Budget, root: Descriptor) -> Result<ArchiveImage, ArchiveError> {
        let image = ArchiveImage {
            names: Vec::new(),
            root: root.clone(),
            indexes: Vec::new(),
            variants: Vec::new(),
            absent: Vec::new(),
        };
        let mut walk = Expansion { inventory, budget, image, visited: HashSet::new(), missing: None };
        walk.visit(root, 0)?;
        match walk.missing {
            Some(error) if walk.image.variants.is_empty() => Err(error),
            _ => Ok(walk.image),
        }
    }

    /// Adds what `descriptor` leads to. What is missing is noted: indexes are saved with the platforms at hand.
    fn visit(&mut self, descriptor: Descriptor, depth: usize) -> Result<(), ArchiveError> {
        if !self.visited.insert(descriptor.digest) {
            return Ok(());
        }
        self.budget.spend(1)?;
        match self.expand(&descriptor, depth) {
            Err(error @ ArchiveError::Missing { .. }) => {
                self.image.absent.push(descriptor);
                self.missing.get_or_insert(error);
                Ok(())
            }
            other => other,
        }
    }

    fn expand(&mut self, descriptor: &Descriptor, depth: usize) -> Result<(), ArchiveError> {
        let manifest = self.manifest(descriptor)?;
        let children = match manifest.value() {
            Manifest::Image(image) => {
                let variant = self.variant(descriptor, image, manifest.clone())?;
                self.image.variants.push(variant);
                return Ok(());
            }
            Manifest::Index(index) => index.manifests.clone(),
        };
        if depth >= MAX_DEPTH {
            return Err(ArchiveError::Limit { what: "indexes within indexes", limit: MAX_DEPTH as u64 });
        }
        self.image.indexes.push(manifest);
        for child in children {
            if child.media_type.is_manifest() {
                self.visit(child, depth + 1)?;
            } else {
                self.image.absent.push(child);
            }
        }
        Ok(())
    }

    fn manifest(&self, descriptor: &Descriptor) -> Result<Raw<Manifest>, ArchiveError> {
        let path = blob_path(&descriptor.digest);
        let bytes = self.document(descriptor, INDEX)?;
        // Docker and OCI types are confused in many layouts; only an image for an index would be a lie that matters.
        let parse = |bytes: &[u8]| {
            let manifest = Manifest::parse(bytes, None)?;
            let outside = descriptor.media_type.clone();
            match (matches!(manifest, Manifest::Index(_)), outside.is_index()) {
                (true, false) | (false, true) => {
                    Err(ManifestError::MediaTypeMismatch { inside: manifest.media_type(), outside })
                }
                _ => Ok(manifest),
            }
        };
        Raw::parse(bytes, parse).map_err(|cause| ArchiveError::Manifest { path, cause })
    }

    fn variant(
        &mut self,
        descriptor: &Descriptor,
        image: &ImageManifest,
        manifest: Raw<Manifest>,
    ) -> Result<ImageVariant, ArchiveError> {
        self.budget.spend(image.layers.len())?;
        let document = descriptor.digest.to_string();
        let (config, parsed) = self.config(&image.config, &document)?;
        let is_filesystem = image.layers.iter().all(|layer| layer.media_type.is_layer());
        let diff_ids = match &parsed {
            Some(parsed) if is_filesystem => &parsed.rootfs.diff_ids[..],
            _ => &[],
        };
        if parsed.is_some() && is_filesystem && image.layers.len() != diff_ids.len() {
            return Err(ArchiveError::LayersMismatch { expected: image.layers.len(), got: diff_ids.len() });
        }
        let mut layers = Vec::with_capacity(image.layers.len());
        for (position, layer) in image.layers.iter().enumerate() {
            let (path, stored) = match self.blob(layer, &document) {
                Ok((path, stored)) => (path, Some(stored)),
                Err(ArchiveError::Missing { path, .. }) if layer.media_type.is_foreign_layer() => (path, None),
                Err(error) => return Err(error),
            };
            let diff_id = diff_ids.get(position).copied();
            if let (Some(diff_id), Some(stored)) = (diff_id, &stored) {
                check_diff_id(position, diff_id, stored)?;
            }
            let source = layer.media_type.is_foreign_layer().then(|| layer.clone());
            layers.push(ArchiveLayer { descriptor: layer.clone(), path, diff_id, stored, source });
        }
        let platform = parsed.map(|parsed| parsed.platform());
        Ok(ImageVariant { descriptor: descriptor.clone(), manifest, synthesized: false, config, platform, layers })
    }

    /// The configuration's bytes, and its value if it is a container image's.
    fn config(
        &self,
        descriptor: &Descriptor,
        document: &str,
    ) -> Result<(Option<Bytes>, Option<ImageConfig>), ArchiveError> {
        if descriptor.media_type.is_image_config() {
            let bytes = self.document(descriptor, document)?;
            let parsed = parse(&blob_path(&descriptor.digest), &bytes)?;
            return Ok((Some(bytes), Some(parsed)));
        }
        let (path, _) = self.blob(descriptor, document)?;
        Ok((self.inventory.document(&path)?.cloned(), None))
    }

    /// A blob that must be a JSON document, with the right digest and size.
    fn document(&self, descriptor: &Descriptor, document: &str) -> Result<Bytes, ArchiveError> {
        let path = blob_path(&descriptor.digest);
        let bytes = self.inventory.needed_document(&path, document)?;
        let mut hasher = descriptor.digest.hasher();
        hasher.update(bytes);
        check_blob(&path, descriptor, hasher.finish(), bytes.len() as u64)?;
        Ok(bytes.clone())
    }

    /// A blob as stored, with the right digest and size.
    fn blob(&self, descriptor: &Descriptor, document: &str) -> Result<(String, Stored), ArchiveError> {
        let path = blob_path(&descriptor.digest);
        let member = self.inventory.find(&path, document)?;
        let missing = || ArchiveError::Missing { document: document.to_owned(), path: path.clone() };
        let stored = self.inventory.stored(&member).ok_or_else(missing)?;
        check_blob(&path, descriptor, stored.digest, stored.size)?;
        Ok((member, stored))
    }
}

fn check_blob(path: &str, descriptor: &Descriptor, digest: Digest, size: u64) -> Result<(), ArchiveError> {
    if digest != descriptor.digest {
        let (expected, got) = (Box::new(descriptor.digest), Box::new(digest));
        return Err(ArchiveError::DigestMismatch { path: path.to_owned(), expected, got });
    }
    if size != descriptor.size {
        return Err(ArchiveError::SizeMismatch { path: path.to_owned(), expected: descriptor.size, got: size });
    }
    Ok(())
}
