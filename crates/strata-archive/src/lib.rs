//! Image archives: every age of `docker save` output and OCI layouts in tar form, read and written in one pass.
//!
//! Reading: [`read_archive`] goes once over a tar stream that is already decompressed. Layers and other blobs go to an
//! [`ArchiveSink`] as they arrive, small documents are kept; when the stream has ended the documents are resolved into
//! [`ArchiveImages`], whatever the order of the members was. Writing: [`ArchiveWriter`] computes every member's size
//! and place first, then streams. [`tar`] is the format below; [`layout`] has what an OCI layout directory needs.
//!
//! Only bytes over `Read` and `Write`: no files, no clock, no threads. Memory is bounded by [`Limits`].

mod error;
mod image;
mod inventory;
pub mod layout;
mod names;
mod pass;
mod resolve;
mod sink;
mod synthesis;
pub mod tar;
mod write;

pub use error::{ArchiveError, SinkError};
pub use image::{ArchiveFormat, ArchiveImage, ArchiveImages, ArchiveLayer, ImageVariant};
pub use pass::{Limits, read_archive, read_archive_with};
pub use sink::{ArchiveSink, Member, MemberContent, Stored};
pub use synthesis::synthesize_manifest;
pub use write::{ArchiveWriter, BlobSource, SavedImage, SavedVariant};
