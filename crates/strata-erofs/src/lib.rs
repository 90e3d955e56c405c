//! EROFS metadata images: an image view written as a read-only file system whose file contents stay in packs.
//!
//! The image holds the superblock, a table with one slot for each pack, inodes, names, attributes and link targets;
//! regular files are one extent each on an extra device, which is the pack in the order of [`ImageView::packs`]. It is
//! written front to back as a stream; the same view and places give the same bytes. Everything in it is in blocks of
//! 512 bytes, so a content may start at any multiple of 512 in its pack. The kernel mounts it from Linux 6.4 on (6.12
//! without loop devices). [`reader`] reads such images back, for tests and checks.
//!
//! Bytes in, bytes out: this crate knows no files and no mounts.
//!
//! [`ImageView::packs`]: strata_layer::ImageView::packs

mod error;
mod format;
pub mod reader;
mod write;
mod xattr;

pub use error::WriteError;
pub use write::{ImageSummary, Places, write_image};
