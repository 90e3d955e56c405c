//! The check of repositories: every tag leads to a manifest, and every image manifest to what it needs.

use strata_model::{Digest, EdgeRole, Manifest};

use super::{Registry, Result};
use crate::{FsckReport, LinkKind, Problem, ReadTxn};

/// Names that are read at once.
const PAGE: usize = 500;
/// Repositories of mirrors, whose manifests may name what was never asked for.
const MIRRORS: &str = "mirror/";

impl Registry {
    /// Adds to `report` what is wrong with the repositories' tags and links. Nothing is changed.
    ///
    /// # Errors
    /// When the catalog cannot be read.
    pub async fn check_links(&self, report: &mut FsckReport) -> Result<()> {
        let txn = self.store.read().await?;
        let mut last = None;
        loop {
            let page = txn.registry_repositories(last.as_deref(), PAGE).await?;
            for repository in &page {
                check_tags(&*txn, repository, report).await?;
                for digest in txn.registry_links(repository, LinkKind::Manifest).await? {
                    report.checked += 1;
                    if let Some(cause) = manifest_problem(&*txn, repository, &digest).await? {
                        let what = format!("manifest {digest} of {repository}");
                        report.problems.push(Problem { what, cause, repaired: false });
                    }
                }
            }
            match page.into_iter().next_back() {
                Some(name) => last = Some(name),
                None => return Ok(()),
            }
        }
    }
}

async fn check_tags(txn: &dyn ReadTxn, repository: &str, report: &mut FsckReport) -> Result<()> {
    let mut last: Option<String> = None;
    loop {
        let tags = txn.registry_tags(repository, last.as_deref(), PAGE).await?;
        for row in &tags {
            report.checked += 1;
            if txn.registry_link(repository, &row.digest).await? != Some(LinkKind::Manifest) {
                let what = format!("tag {repository}:{}", row.tag);
                let cause = format!("it points to {}, which the repository does not have", row.digest);
                report.problems.push(Problem { what, cause, repaired: false });
            }
        }
        match tags.into_iter().next_back() {
            Some(row) => last = Some(row.tag),
            None => return Ok(()),
        }
    }
}

/// What is wrong with a manifest that a repository shows.
async fn manifest_problem(txn: &dyn ReadTxn, repository: &str, digest: &Digest) -> Result<Option<String>> {
    let Some(row) = txn.object(digest).await? else { return Ok(Some("it is not in the store".into())) };
    let Some(bytes) = row.bytes else { return Ok(Some("its bytes are not in the catalog".into())) };
    let manifest = match Manifest::parse(&bytes, None) {
        Ok(manifest) => manifest,
        Err(cause) => return Ok(Some(format!("it is malformed: {cause}"))),
    };
    if repository.starts_with(MIRRORS) || !matches!(manifest, Manifest::Image(_)) {
        return Ok(None);
    }
    for edge in manifest.edges().filter(|edge| matches!(edge.role, EdgeRole::Config | EdgeRole::Layer)) {
        let descriptor = edge.descriptor;
        let may_be_absent = !descriptor.urls.is_empty() || descriptor.media_type.is_foreign_layer();
        if !may_be_absent && txn.registry_link(repository, &descriptor.digest).await?.is_none() {
            return Ok(Some(format!("it names {}, which the repository does not have", descriptor.digest)));
        }
    }
    Ok(None)
}
