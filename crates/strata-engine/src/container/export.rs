//! `export` of a container: its whole root file system as a tar, without what is mounted in it.

use std::io::Write;
use std::path::Path;

use strata_layer::Kind;
use strata_store::Store;

use super::document::ContainerDocument;
use super::find::find_ready;
use super::root::in_container_root;
use super::tree::{TreeTar, reopened, walk};
use crate::{EngineError, Result};

/// Writes the root file system of a container to `out`. Names come sorted; what other file systems mounted there hold is
/// left out.
///
/// # Errors
/// `NotFound`; `File` when `out` fails, which leaves an incomplete tar behind.
pub async fn export_container<W: Write + Send + 'static>(store: &Store, root: &Path, text: &str, out: W) -> Result<()> {
    let row = find_ready(&*store.read().await?, text).await?;
    let mut mounted = vec!["etc/hosts".to_owned(), "etc/hostname".to_owned(), "etc/resolv.conf".to_owned()];
    let mounts = ContainerDocument::parse(&row)?.mounts;
    mounted.extend(mounts.iter().map(|point| point.destination.trim_start_matches('/').to_owned()));
    let written = in_container_root(store, root, &row, Vec::new(), move |directory| {
        let mut tar = TreeTar::new(out);
        let directory = reopened(directory)?;
        walk(&directory, &|_| false, &mut |entry| match mounted.iter().any(|path| path.as_bytes() == entry.path) {
            true if entry.kind() != Some(Kind::Directory) => Ok(()),
            _ => tar.add(entry.path, entry),
        })?;
        tar.finish().map(drop)
    });
    written.await?.map_err(|cause: std::io::Error| EngineError::file("writing", "the tar", cause))
}
