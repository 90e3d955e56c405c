//! Archives written: everything but the blobs is computed first, so that the length is known and nothing is read twice.
//!
//! ```text
//! combined   blobs/ blobs/<algorithm>/ blobs/<algorithm>/<hex>… index.json manifest.json oci-layout repositories
//! oci        the same without manifest.json and repositories
//! docker     <hex>.json <hex>.tar… manifest.json     (layers uncompressed, as podman and skopeo write)
//! ```
//!
//! Members are sorted by path, owned by 0:0, mode 0644 (directories 0755). Configurations and layers have the time at
//! which the image was made, all else 1970: the same images give the same bytes.

mod documents;
mod time;

use std::collections::BTreeMap;
use std::io::{self, Write};

use bytes::Bytes;
use strata_model::{Descriptor, DiffId, ImageConfig, ImageManifest, Manifest, MediaType, Platform, Raw, Reference};

use crate::layout::{self, blob_path};
use crate::tar::{END, Header, padding};
use crate::{ArchiveError, SinkError};

/// An image to be saved: what names point at, and as much of it as is there.
#[derive(Clone, Debug)]
pub struct SavedImage {
    /// Names; those without a tag are left out. None for an image that is saved by ID.
    pub names: Vec<Reference>,
    /// The index that the names point at and those within it, outer ones first; empty when they point at an image.
    pub indexes: Vec<Raw<Manifest>>,
    /// The images. The first one for a platform is what `manifest.json` describes, so put the preferred one first.
    pub variants: Vec<SavedVariant>,
}

/// One image, for one platform.
#[derive(Clone, Debug)]
pub struct SavedVariant {
    /// The manifest, always of [`Manifest::Image`].
    pub manifest: Raw<Manifest>,
    /// The configuration; `None` makes it a blob like the layers (artifacts).
    pub config: Option<Bytes>,
    /// Uncompressed sizes of the layers in bytes; only for [`ArchiveWriter::docker`].
    pub layer_sizes: Vec<u64>,
}

/// Delivers blobs while an archive is written.
pub trait BlobSource {
    /// Writes the bytes of a blob, exactly as many as its descriptor says.
    ///
    /// For [`ArchiveWriter::docker`] the descriptor is that of the uncompressed layer: its digest is the diff ID.
    ///
    /// # Errors
    /// Whatever goes wrong; the writing of the archive ends with it. An error of `out` may be passed on as it is.
    fn write_blob(&mut self, descriptor: &Descriptor, out: &mut dyn Write) -> Result<(), SinkError>;
}

enum Content {
    Directory,
    Bytes(Bytes),
    Blob(Box<Descriptor>),
}

struct OutputMember {
    content: Content,
    modified: u64,
}

/// An archive that is about to be written.
pub struct ArchiveWriter {
    members: BTreeMap<String, OutputMember>,
}

impl ArchiveWriter {
    /// An archive as `docker save` writes it since version 25: OCI layout and docker archive in one. Blobs are taken as
    /// they are, so that their digests hold.
    ///
    /// # Errors
    /// When a variant is not an image or has a configuration that cannot be parsed.
    pub fn combined(images: &[SavedImage]) -> Result<ArchiveWriter, ArchiveError> {
        let mut writer = ArchiveWriter::oci(images)?;
        let items = documents::items(images, |_, manifest| {
            Ok((
                blob_path(&manifest.config.digest),
                manifest.layers.iter().map(|layer| blob_path(&layer.digest)).collect(),
            ))
        })?;
        writer.add_bytes("manifest.json", documents::manifest(&items).into(), 0);
        if let Some(repositories) = documents::repositories(images)? {
            writer.add_bytes("repositories", repositories.into(), 0);
        }
        Ok(writer)
    }

    /// An OCI layout in a tar.
    ///
    /// # Errors
    /// As [`ArchiveWriter::combined`].
    pub fn oci(images: &[SavedImage]) -> Result<ArchiveWriter, ArchiveError> {
        let mut writer = ArchiveWriter { members: BTreeMap::new() };
        let mut entries = Vec::new();
        for image in images {
            for index in &image.indexes {
                writer.add_blob_bytes(&index.digest(), index.bytes().clone(), 0);
            }
            for variant in &image.variants {
                writer.add_variant(variant)?;
            }
            entries.extend(documents::index_entries(image)?);
        }
        writer.add_bytes(layout::INDEX, layout::index(&entries).into(), 0);
        writer.add_bytes(layout::MARKER, Bytes::from_static(layout::MARKER_CONTENT), 0);
        Ok(writer)
    }

    /// The same archive with these entries in `index.json` instead of those that the images' names make: for names that
    /// are no references.
    #[must_use]
    pub fn with_entries(mut self, entries: &[Descriptor]) -> ArchiveWriter {
        let content = Content::Bytes(layout::index(entries).into());
        self.members.insert(layout::INDEX.to_owned(), OutputMember { content, modified: 0 });
        self
    }

    /// A docker archive with uncompressed layers, for tools that read nothing else. Only the first variant of each
    /// image is in it.
    ///
    /// # Errors
    /// As [`ArchiveWriter::combined`]; also when diff IDs or `layer_sizes` do not match the layers.
    pub fn docker(images: &[SavedImage]) -> Result<ArchiveWriter, ArchiveError> {
        let mut writer = ArchiveWriter { members: BTreeMap::new() };
        let items = documents::items(images, |variant, manifest| writer.add_plain(variant, manifest))?;
        writer.add_bytes("manifest.json", documents::manifest(&items).into(), 0);
        Ok(writer)
    }

    /// Length of the whole archive in bytes.
    pub fn length(&self) -> u64 {
        let member = |(path, member): (&String, &OutputMember)| {
            let size = member.size();
            member.header(path).len() as u64 + size + padding(size)
        };
        self.members.iter().map(member).sum::<u64>() + END.len() as u64
    }

    /// The blobs that a [`BlobSource`] will be asked for, in this order.
    pub fn blobs(&self) -> impl Iterator<Item = &Descriptor> {
        self.members.values().filter_map(|member| match &member.content {
            Content::Blob(descriptor) => Some(&**descriptor),
            _ => None,
        })
    }

    /// Writes the archive. `out` is not flushed.
    ///
    /// # Errors
    /// When `out` or `blobs` fails, or a blob has another length than its descriptor says.
    pub fn write(&self, out: &mut dyn Write, blobs: &mut dyn BlobSource) -> Result<(), ArchiveError> {
        for (path, member) in &self.members {
            out.write_all(&member.header(path)).map_err(ArchiveError::Write)?;
            match &member.content {
                Content::Directory => {}
                Content::Bytes(bytes) => out.write_all(bytes).map_err(ArchiveError::Write)?,
                Content::Blob(descriptor) => write_blob(path, descriptor, out, blobs)?,
            }
            out.write_all(&END[..padding(member.size()) as usize]).map_err(ArchiveError::Write)?;
        }
        out.write_all(&END).map_err(ArchiveError::Write)
    }

    fn add_variant(&mut self, variant: &SavedVariant) -> Result<(), ArchiveError> {
        let manifest = variant.image()?;
        let created = variant.created();
        self.add_blob_bytes(&variant.manifest.digest(), variant.manifest.bytes().clone(), 0);
        match &variant.config {
            Some(config) => self.add_blob_bytes(&manifest.config.digest, config.clone(), created),
            None => self.add_blob(&manifest.config, created),
        }
        // Foreign layers are to be fetched from where they come from.
        for layer in manifest.layers.iter().filter(|layer| !layer.media_type.is_foreign_layer()) {
            self.add_blob(layer, created);
        }
        Ok(())
    }

    /// Adds configuration and layers of a plain docker archive; returns their paths.
    fn add_plain(
        &mut self,
        variant: &SavedVariant,
        manifest: &ImageManifest,
    ) -> Result<(String, Vec<String>), ArchiveError> {
        let config = variant.config.clone().unwrap_or_default();
        let diff_ids = variant.parsed_config()?.rootfs.diff_ids;
        for got in [diff_ids.len(), variant.layer_sizes.len()] {
            if got != manifest.layers.len() {
                return Err(ArchiveError::LayersMismatch { expected: manifest.layers.len(), got });
            }
        }
        let created = variant.created();
        let config_path = format!("{}.json", manifest.config.digest.hex());
        self.add_bytes(&config_path, config, created);
        let layer = |(DiffId(digest), size): (&DiffId, &u64)| {
            let path = format!("{}.tar", digest.hex());
            let content = Content::Blob(Box::new(Descriptor::new(MediaType::OCI_LAYER, *digest, *size)));
            self.members.entry(path.clone()).or_insert(OutputMember { content, modified: created });
            path
        };
        let layers = diff_ids.iter().zip(&variant.layer_sizes).map(layer).collect();
        Ok((config_path, layers))
    }

    fn add_bytes(&mut self, path: &str, bytes: Bytes, modified: u64) {
        self.members.entry(path.to_owned()).or_insert(OutputMember { content: Content::Bytes(bytes), modified });
    }

    fn add_blob_bytes(&mut self, digest: &strata_model::Digest, bytes: Bytes, modified: u64) {
        self.add_directories(digest);
        self.add_bytes(&blob_path(digest), bytes, modified);
    }

    fn add_blob(&mut self, descriptor: &Descriptor, modified: u64) {
        self.add_directories(&descriptor.digest);
        let content = Content::Blob(Box::new(descriptor.clone()));
        self.members.entry(blob_path(&descriptor.digest)).or_insert(OutputMember { content, modified });
    }

    fn add_directories(&mut self, digest: &strata_model::Digest) {
        let algorithm = format!("{}/{}/", layout::BLOBS, digest.algorithm().name());
        for path in [format!("{}/", layout::BLOBS), algorithm] {
            self.members.entry(path).or_insert(OutputMember { content: Content::Directory, modified: 0 });
        }
    }
}

impl OutputMember {
    fn size(&self) -> u64 {
        match &self.content {
            Content::Directory => 0,
            Content::Bytes(bytes) => bytes.len() as u64,
            Content::Blob(descriptor) => descriptor.size,
        }
    }

    fn header(&self, path: &str) -> Vec<u8> {
        let directory = matches!(self.content, Content::Directory);
        Header { path, size: self.size(), directory, modified: self.modified }.blocks()
    }
}

impl SavedVariant {
    fn image(&self) -> Result<&ImageManifest, ArchiveError> {
        match self.manifest.value() {
            Manifest::Image(image) => Ok(image),
            Manifest::Index(_) => Err(ArchiveError::Document {
                path: blob_path(&self.manifest.digest()),
                cause: "an index where an image manifest is needed".into(),
            }),
        }
    }

    fn parsed_config(&self) -> Result<ImageConfig, ArchiveError> {
        let config = self.config.as_deref().unwrap_or_default();
        ImageConfig::parse(config).map_err(|cause| ArchiveError::Document {
            path: format!("configuration of {}", self.manifest.digest()),
            cause: cause.to_string(),
        })
    }

    /// The platform, if this is a container image.
    fn platform(&self) -> Result<Option<Platform>, ArchiveError> {
        if self.config.is_none() || !self.image()?.config.media_type.is_image_config() {
            return Ok(None);
        }
        Ok(Some(self.parsed_config()?.platform()).filter(|platform| !platform.is_unknown()))
    }

    /// When the image was made, in seconds since 1970; 0 if that is not known.
    fn created(&self) -> u64 {
        let created = self.parsed_config().ok().and_then(|config| config.created);
        created.and_then(|text| time::seconds(&text)).unwrap_or(0)
    }
}

fn write_blob(
    path: &str,
    descriptor: &Descriptor,
    out: &mut dyn Write,
    blobs: &mut dyn BlobSource,
) -> Result<(), ArchiveError> {
    let mut exact = Exact { out, remaining: descriptor.size, excess: 0, failure: None };
    let result = blobs.write_blob(descriptor, &mut exact);
    let Exact { remaining, excess, failure, .. } = exact;
    if let Some(error) = failure {
        return Err(ArchiveError::Write(error));
    }
    if excess > 0 {
        let got = descriptor.size + excess;
        return Err(ArchiveError::SizeMismatch { path: path.to_owned(), expected: descriptor.size, got });
    }
    result.map_err(|cause| ArchiveError::Blob { path: path.to_owned(), cause })?;
    if remaining > 0 {
        let got = descriptor.size - remaining;
        return Err(ArchiveError::SizeMismatch { path: path.to_owned(), expected: descriptor.size, got });
    }
    Ok(())
}

/// Lets through as many bytes as the header before them promised, and remembers whether `out` failed.
struct Exact<'a> {
    out: &'a mut dyn Write,
    remaining: u64,
    excess: u64,
    failure: Option<io::Error>,
}

impl Write for Exact<'_> {
    fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
        if bytes.len() as u64 > self.remaining {
            self.excess += bytes.len() as u64 - self.remaining;
            return Err(io::Error::new(io::ErrorKind::InvalidData, "the blob is longer than its descriptor says"));
        }
        match self.out.write(bytes) {
            Ok(count) => {
                self.remaining -= count as u64;
                Ok(count)
            }
            Err(error) => {
                if error.kind() != io::ErrorKind::Interrupted {
                    self.failure = Some(io::Error::new(error.kind(), error.to_string()));
                }
                Err(error)
            }
        }
    }

    fn flush(&mut self) -> io::Result<()> {
        Ok(())
    }
}
