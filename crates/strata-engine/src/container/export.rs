//! `export` of a container: its whole root file system as a tar, without what is mounted in it.

use std::io::Write;
use std::path::Path;

use strata_store::Store;

use super::find::find_ready;
use super::root::open_container_root;
use super::tree::{TreeTar, walk};
use crate::{EngineError, Result};

/// Writes the root file system of a container to `out`. Names come sorted; what other file systems mounted there hold is
/// left out.
///
/// # Errors
/// `NotFound`; `File` when `out` fails, which leaves an incomplete tar behind.
pub async fn export_container<W: Write + Send + 'static>(store: &Store, root: &Path, text: &str, out: W) -> Result<()> {
    let row = find_ready(&*store.read().await?, text).await?;
    let directory = open_container_root(store, root, &row).await?;
    let written = tokio::task::spawn_blocking(move || {
        let device = rustix::fs::fstat(&directory)?.st_dev;
        let mut tar = TreeTar::new(out);
        walk(&directory, &mut |entry| match entry.stat.st_dev == device {
            true => tar.add(entry.path, entry),
            false => Ok(()),
        })?;
        tar.finish().map(drop)
    });
    written
        .await
        .map_err(|cause| EngineError::invalid(format!("a worker thread failed: {cause}")))?
        .map_err(|cause: std::io::Error| EngineError::file("writing", "the tar", cause))
}
