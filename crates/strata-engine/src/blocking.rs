//! Work that waits for the disk or another process, on a thread for that.

use crate::{EngineError, Result};

/// Does it; what it returns is the caller's to look at.
///
/// # Errors
/// When it panicked.
pub(crate) async fn blocking<T: Send + 'static>(work: impl FnOnce() -> T + Send + 'static) -> Result<T> {
    let done = tokio::task::spawn_blocking(work).await;
    done.map_err(|cause| EngineError::invalid(format!("a worker thread failed: {cause}")))
}
