//! Places that images are copied between, and the one mover.
//!
//! A place that images can be read from is an [`ImageSource`], one that they can be written to an [`ImageSink`]:
//! registries, the store, archives, layouts. [`copy`] moves an image from any source to any sink; pull, push, save, load
//! and copy are that one function between different places.
//!
//! Bytes of a [`BlobStream`] are unverified, and typed as such; a sink takes them through [`Verified`], which reports the
//! end only when size and digest are those of the descriptor.

mod copy;
mod error;
mod place;
mod progress;
mod verified;

pub use copy::{
    Copied, CopyLimits, CopyPlan, PlatformChoice, check_manifest, choose_platform, copy, copy_resolved, read_small_blob,
};
pub use error::{Result, TransferError};
pub use place::{BlobOutcome, BlobRole, BlobSpec, BlobStream, ImageSink, ImageSource, Origin};
pub use progress::{Phase, Progress, ProgressEvent, Silent};
pub use verified::Verified;
