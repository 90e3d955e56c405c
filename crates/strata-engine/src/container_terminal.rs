//! The size of a container's terminal.

use std::path::Path;

use strata_runtime::{Control, TerminalSize};
use strata_store::Store;

use crate::blocking::blocking;
use crate::{EngineError, Result, container_directory, find_container};

/// Changes the size of the terminal of a container that runs.
///
/// # Errors
/// `NotFound`; `Refused` when it does not run.
pub async fn resize_container(store: &Store, root: &Path, text: &str, size: TerminalSize) -> Result<()> {
    let row = find_container(&*store.read().await?, text).await?;
    let directory = container_directory(root, &row.id);
    if strata_runtime::state(&directory)?.pid == 0 {
        return Err(EngineError::Refused { message: format!("container {} is not running", row.id) });
    }
    Ok(blocking(move || Control::connect(&directory)?.resize(size.rows, size.columns)).await??)
}
