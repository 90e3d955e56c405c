//! The one pass over the stream: every member goes to the sink, documents are kept, links are noted.

use std::io::{Cursor, Read};

use bytes::Bytes;
use serde::Deserialize;
use serde::de::IgnoredAny;
use strata_model::Digest;

use crate::inventory::{Inventory, clean, symbolic_target};
use crate::tar::{Kind, TarReader};
use crate::{ArchiveError, ArchiveImages, ArchiveSink, Member, MemberContent, SinkError, Stored, layout, resolve};

/// How much of an archive is kept in memory while it is read.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Limits {
    /// Largest manifest or configuration, in bytes.
    pub document: u64,
    /// Largest `manifest.json`, `index.json` and `repositories`, in bytes.
    pub directory: u64,
    /// All documents together, in bytes; the same again for the names of members.
    pub documents: u64,
    /// Number of members.
    pub members: u64,
    /// Number of descriptors that the images of the archive resolve to, counting repetitions.
    pub descriptors: u64,
}

impl Default for Limits {
    fn default() -> Limits {
        Limits { document: 4 << 20, directory: 16 << 20, documents: 64 << 20, members: 250_000, descriptors: 500_000 }
    }
}

/// Reads an archive with the default [`Limits`], see [`read_archive_with`].
///
/// # Errors
/// As [`read_archive_with`].
pub fn read_archive(tar: impl Read, sink: &mut dyn ArchiveSink) -> Result<ArchiveImages, ArchiveError> {
    read_archive_with(Limits::default(), tar, sink)
}

/// Reads a whole archive from a tar stream that is already decompressed.
///
/// Every member that could be part of an image is handed to `sink` once, in the order of the stream; nothing is read
/// twice. Reading stops at the end mark of the tar.
///
/// # Errors
/// When the stream is no tar or no image archive, lacks a member that its documents name, contradicts a digest, or
/// exceeds the limits; and when the stream or the sink fails. What the sink has stored until then is the sink's.
pub fn read_archive_with(
    limits: Limits,
    tar: impl Read,
    sink: &mut dyn ArchiveSink,
) -> Result<ArchiveImages, ArchiveError> {
    let mut tar = TarReader::new(tar);
    let mut inventory = Inventory::new(limits);
    while let Some(entry) = tar.next_entry()? {
        let path = clean(&entry.path);
        match entry.kind {
            Kind::HardLink(target) => inventory.add_link(path, clean(&target))?,
            Kind::SymbolicLink(target) => {
                let target = symbolic_target(&path, &target);
                inventory.add_link(path, target)?;
            }
            Kind::File if is_directory(&path) => {
                let bytes = directory(&limits, &mut tar, entry.size)?;
                inventory.add_file(path.clone(), None)?;
                inventory.keep_document(&path, bytes)?;
            }
            Kind::File if path.ends_with("/VERSION") => {}
            Kind::File => {
                let (stored, document) = store(&limits, &mut tar, &path, entry.size, sink)?;
                inventory.add_file(path.clone(), Some(stored))?;
                if let Some(document) = document {
                    inventory.keep_document(&path, document)?;
                }
            }
            Kind::Other => {}
        }
    }
    resolve::images(&inventory, &limits)
}

/// Members that describe the others.
fn is_directory(path: &str) -> bool {
    matches!(path, "manifest.json" | "index.json" | "repositories" | "oci-layout")
}

fn directory<R: Read>(limits: &Limits, tar: &mut TarReader<R>, size: u64) -> Result<Bytes, ArchiveError> {
    if size > limits.directory {
        return Err(ArchiveError::Limit { what: "a manifest.json or index.json, in bytes,", limit: limits.directory });
    }
    read_to_end(tar, Vec::new())
}

/// Hands one member to the sink; returns its bytes as well when it is a document that may be needed.
fn store<R: Read>(
    limits: &Limits,
    tar: &mut TarReader<R>,
    path: &str,
    size: u64,
    sink: &mut dyn ArchiveSink,
) -> Result<(Stored, Option<Bytes>), ArchiveError> {
    let mut start = Vec::with_capacity(512);
    if let Err(error) = tar.by_ref().take(512).read_to_end(&mut start) {
        return Err(tar.take_failure().unwrap_or(ArchiveError::Read(error)));
    }
    let content = MemberContent::sniff(&start, size);
    let member = Member { path, size, content, expected: digest_in(path) };
    let failed = |cause: SinkError| ArchiveError::Blob { path: path.to_owned(), cause };
    if content == MemberContent::Document && size <= limits.document {
        let bytes = read_to_end(tar, start)?;
        let stored = sink.store(&member, &mut Cursor::new(&bytes)).map_err(failed)?;
        let document = (!is_statement(&bytes)).then_some(bytes);
        return Ok((stored, document));
    }
    match sink.store(&member, &mut Cursor::new(&start).chain(tar.by_ref())) {
        Ok(stored) => Ok((stored, None)),
        Err(cause) => Err(tar.take_failure().unwrap_or_else(|| failed(cause))),
    }
}

fn read_to_end<R: Read>(tar: &mut TarReader<R>, mut bytes: Vec<u8>) -> Result<Bytes, ArchiveError> {
    match tar.read_to_end(&mut bytes) {
        Ok(_) => Ok(bytes.into()),
        Err(error) => Err(tar.take_failure().unwrap_or(ArchiveError::Read(error))),
    }
}

fn digest_in(path: &str) -> Option<Digest> {
    let (algorithm, hex) = path.strip_prefix(layout::BLOBS)?.strip_prefix('/')?.split_once('/')?;
    format!("{algorithm}:{hex}").parse().ok()
}

/// Whether a document is an in-toto statement (provenance, SBOM): these may be many and large, and nothing resolves
/// through them.
fn is_statement(bytes: &[u8]) -> bool {
    #[derive(Deserialize)]
    struct Shape {
        #[serde(rename = "predicateType")]
        predicate_type: Option<IgnoredAny>,
        #[serde(rename = "schemaVersion")]
        schema_version: Option<IgnoredAny>,
    }
    serde_json::from_slice::<Shape>(bytes)
        .is_ok_and(|shape| shape.predicate_type.is_some() && shape.schema_version.is_none())
}
