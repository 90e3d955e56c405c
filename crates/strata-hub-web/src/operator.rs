//! What only the running program knows, for pages of administrators: its disk, its readiness, its mirrors.

use async_trait::async_trait;
use strata_hub::HubError;
use strata_store::Totals;

/// Room on the disk of the store, in bytes.
#[derive(Clone, Copy, Debug)]
pub struct DiskRoom {
    /// All of it.
    pub size: u64,
    /// What is left.
    pub free: u64,
}

/// Another registry that is pulled through.
#[derive(Clone, Debug)]
pub struct MirroredRegistry {
    /// How it is called: `docker.io`.
    pub name: String,
    /// Manifests that were served from here without asking it, since the program started.
    pub hits: u64,
    /// Manifests for which it had to be asked.
    pub misses: u64,
    /// How many times it could not be asked.
    pub failures: u64,
}

/// The running program.
#[async_trait]
pub trait Operator: Send + Sync {
    /// Its version.
    fn version(&self) -> &str;
    /// Why it is not ready; empty when it is.
    async fn obstacles(&self) -> Vec<String>;
    /// `None` when the disk cannot be asked.
    fn disk(&self) -> Option<DiskRoom>;
    /// How much is in the store, at most some seconds old.
    ///
    /// # Errors
    /// When the catalog cannot be read.
    async fn totals(&self) -> Result<Totals, HubError>;
    /// Lets totals be counted again, after somebody changed what they count and wants to see it.
    async fn recount(&self);
    /// The registries that are mirrored, by name.
    fn mirrors(&self) -> Vec<MirroredRegistry>;
}
