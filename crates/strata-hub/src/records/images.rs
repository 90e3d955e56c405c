//! Records of what was found in images: derived, so that deleting them loses nothing but the time to make them again.

use async_trait::async_trait;
use strata_model::Digest;
use strata_store::Result;

/// What was found in an image, or the job of finding it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct ImageFindingsRow {
    /// Digest of its manifest.
    pub image: Digest,
    /// A repository that it was pushed to.
    pub repository: String,
    /// When it was queued.
    pub created: i64,
    /// When to try; `None` when it is over.
    pub due: Option<i64>,
    /// How often it failed.
    pub attempts: u64,
    /// Why it failed last; empty when it did not.
    pub error: String,
    /// What was found, as a document whose form the rules know.
    pub findings: Option<String>,
}

/// Queries.
#[async_trait]
pub trait ImageRows: Send + Sync {
    /// What was found in an image.
    async fn image_findings(&self, image: &Digest) -> Result<Option<ImageFindingsRow>>;
    /// Jobs that are due, the earliest first, at most `limit`.
    async fn due_image_findings(&self, now: i64, limit: usize) -> Result<Vec<ImageFindingsRow>>;
    /// Images that have findings or a job, by digest, after this one, at most `limit`.
    async fn images_with_findings(&self, last: &str, limit: usize) -> Result<Vec<Digest>>;
}

/// Changes.
#[async_trait]
pub trait ImageChanges: ImageRows {
    /// Adds or replaces what was found in an image.
    async fn put_image_findings(&mut self, row: &ImageFindingsRow) -> Result<()>;
    /// Forgets what was found in an image.
    async fn delete_image_findings(&mut self, image: &Digest) -> Result<()>;
}
