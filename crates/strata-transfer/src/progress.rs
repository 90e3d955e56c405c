//! Typed progress of a copy. The progress bar, docker's plain lines and its JSON stream are renderers of these events.

use strata_model::{Digest, Repository};

/// How far a blob is.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Phase {
    /// It will be copied, and has not been started.
    Queued,
    /// It waits for a free slot, or for another process that is fetching it.
    Waiting,
    /// Bytes arrive.
    Downloading,
    /// Bytes leave.
    Uploading,
    /// All bytes are here and match the digest.
    DownloadComplete,
    /// The layer is being unpacked into its pack.
    Extracting,
    /// The blob is done and visible.
    Complete,
    /// It was here already.
    Existed,
    /// It was linked from another repository of the same registry.
    Mounted,
    /// The transfer broke and is tried again after this many seconds.
    Retrying {
        /// Seconds until the next try.
        seconds: u64,
    },
}

/// One step of one blob.
#[derive(Clone, Copy, Debug)]
pub struct ProgressEvent {
    /// Digest of the blob.
    pub digest: Digest,
    /// How far it is.
    pub phase: Phase,
    /// Bytes done in this phase.
    pub current: u64,
    /// Bytes in all, 0 when unknown.
    pub total: u64,
}

/// Takes events. Called from several tasks and threads at once; must not block.
pub trait Progress: Send + Sync {
    /// One event.
    fn event(&self, event: ProgressEvent);

    /// The repository of the same registry that a blob is linked from; its [`Phase::Mounted`] follows.
    fn mounted_from(&self, _digest: Digest, _repository: &Repository) {}
}

/// Takes no notice.
pub struct Silent;

impl Progress for Silent {
    fn event(&self, _event: ProgressEvent) {}
}

impl<F: Fn(ProgressEvent) + Send + Sync> Progress for F {
    fn event(&self, event: ProgressEvent) {
        self(event);
    }
}
