//! The hub, put together: its store, its records, its mirrors; and what the command line asks of it.

mod backup;
mod operator;
mod serving;
pub(crate) mod settings;
mod users;

use std::future::Future;
use std::path::{Path, PathBuf};
use std::pin::Pin;
use std::sync::Arc;
use std::time::Duration;

use strata_blobs_fs::{FsBlobs, FsPacks};
use strata_catalog_sql::{SqliteCatalog, SqliteHubCatalog};
use strata_cli::{BackupReport, HubArguments, HubFuture, HubProgram, HubResult, HubStarted, UserChange, UserLine};
use strata_hub::{Hub, HubCatalog};
use strata_mirror::Mirror;
use strata_registry::{LibraryAlias, RegistryRules, SparseManifests, UntaggedManifests};
use strata_store::registry::{Access, Registry, Upstream};
use strata_store::{Depth, Durability, FsckReport, Problem, Repair, Store, StoreError, StoreOptions};
use tokio::task::JoinSet;

use crate::{CATALOG, Program, reserve};
use settings::{Loaded, Settings};

/// The hub's records, beside the store's catalog.
const RECORDS: &str = "hub.sqlite";
/// Lies where a backup or a restoration is under way, or was killed: what is beside it is not whole.
const UNFINISHED: &str = "strata-unfinished";
/// Folders of files that the catalog names.
const FILES: [&str; 3] = ["blobs", "indexes", "packs"];
/// How often accounts are tended: uses of tokens noted, what has expired forgotten.
const TENDING: Duration = Duration::from_secs(60);
/// How often repositories are looked through for tags that their rules let go, and findings for images that are gone.
const RETAINING: Duration = Duration::from_secs(3600);
/// How often old history is forgotten.
const FORGETTING: Duration = Duration::from_secs(24 * 3600);
/// How often is looked for what mirrors keep and nobody uses.
const EVICTION: Duration = Duration::from_secs(600);

/// The parts of a hub.
struct Opened {
    registry: Registry,
    records: Arc<SqliteHubCatalog>,
    hub: Hub,
    mirror: Option<Mirror>,
}

/// The store below `root`.
pub(crate) fn open_store(root: &Path, durability: Durability) -> Result<Store, StoreError> {
    reserve::adjust(root);
    let catalog = SqliteCatalog::open_with(root.join(CATALOG), durability)?;
    let options = StoreOptions { durability, ..StoreOptions::default() };
    Ok(Store::new(Arc::new(FsBlobs::open(root)), Arc::new(FsPacks::open(root)), Arc::new(catalog), options))
}

impl Opened {
    fn open(settings: &Settings, root: &Path, durability: Durability) -> HubResult<Opened> {
        if root.join(UNFINISHED).exists() {
            return Err(format!("{} was not restored to the end: restore it again", root.display()).into());
        }
        let store = open_store(root, durability)?;
        let records = Arc::new(SqliteHubCatalog::open(root.join(RECORDS), durability)?);
        let registry = Registry::new(store, rules(settings));
        let hub = Hub::new(registry.clone(), records.clone(), settings.hub());
        let mirror = match settings.mirror_settings()? {
            Some(mirror) => Some(Mirror::new(registry.clone(), &mirror)?),
            None => None,
        };
        Ok(Opened { registry, records, hub, mirror })
    }

    fn access(&self) -> Arc<dyn Access> {
        Arc::new(self.hub.clone())
    }

    fn upstream(&self) -> Option<Arc<dyn Upstream>> {
        self.mirror.clone().map(|mirror| Arc::new(mirror) as Arc<dyn Upstream>)
    }

    /// What goes on beside requests; each piece can be cut off at any moment.
    fn background(&self, work: &mut JoinSet<()>) {
        work.spawn(self.hub.clone().keep_following());
        work.spawn(self.hub.clone().keep_repositories());
        work.spawn(self.hub.clone().keep_indexing());
        work.spawn(self.hub.clone().keep_counting_pulls());
        work.spawn(self.hub.clone().keep_collecting());
        work.spawn(tend(self.hub.clone()));
        work.spawn(retain(self.hub.clone()));
        work.spawn(forget(self.hub.clone()));
        let store = self.registry.store().clone();
        work.spawn(async move { store.keep_snapshots(warn_of_snapshot).await });
        if let Some(mirror) = self.mirror.clone() {
            work.spawn(evict(mirror, self.hub.clone()));
        }
    }

    /// Writes what is only in memory: the last pulls, the last uses of tokens.
    async fn finish(&self) {
        // The second time counts what the first one left undecided.
        for _ in 0..2 {
            if let Err(error) = self.hub.flush_pulls().await {
                tracing::warn!(%error, "the last pulls could not be counted");
            }
        }
        if let Err(error) = self.hub.tend_accounts().await {
            tracing::warn!(%error, "the last uses of tokens could not be noted");
        }
        if let Err(error) = self.registry.store().snapshot_names().await {
            warn_of_snapshot(&error);
        }
    }
}

fn rules(settings: &Settings) -> RegistryRules {
    let storage = &settings.storage;
    RegistryRules {
        library_alias: LibraryAlias::Official,
        sparse_manifests: if storage.sparse_manifests { SparseManifests::Allowed } else { SparseManifests::Refused },
        untagged: if storage.remove_untagged { UntaggedManifests::Collected } else { UntaggedManifests::Kept },
        review_after: Duration::from_secs(storage.keep_unreferenced_seconds),
        keep_history: Duration::from_secs(u64::from(storage.keep_history_days) * 24 * 3600),
    }
}

async fn tend(hub: Hub) {
    loop {
        tokio::time::sleep(TENDING).await;
        if let Err(error) = hub.tend_accounts().await {
            tracing::warn!(%error, "accounts could not be tended");
        }
    }
}

async fn retain(hub: Hub) {
    loop {
        tokio::time::sleep(RETAINING).await;
        if let Err(error) = hub.tend_repositories().await {
            tracing::warn!(%error, "rules of retention could not be applied");
        }
        if let Err(error) = hub.forget_findings().await {
            tracing::warn!(%error, "what was found in images that are gone could not be forgotten");
        }
    }
}

async fn forget(hub: Hub) {
    let mut interval = tokio::time::interval(FORGETTING);
    loop {
        interval.tick().await;
        if let Err(error) = hub.forget_history().await {
            tracing::warn!(%error, "old history could not be forgotten");
        }
    }
}

fn warn_of_snapshot(error: &StoreError) {
    tracing::warn!(%error, "the snapshot of names could not be written");
}

async fn evict(mirror: Mirror, hub: Hub) {
    loop {
        tokio::time::sleep(EVICTION).await;
        match mirror.evict().await {
            Ok(0) => {}
            Ok(freed) => {
                tracing::info!(freed, "mirrors gave up what nobody used");
                if let Err(error) = hub.note_freed(freed).await {
                    tracing::warn!(%error, "what mirrors gave up could not be noted");
                }
            }
            Err(error) => tracing::warn!(%error, "what mirrors keep could not be looked through"),
        }
    }
}

/// A configuration and the hub that it describes.
fn open(arguments: &HubArguments) -> HubResult<(Loaded, PathBuf, Opened)> {
    let loaded = Loaded::load(arguments)?;
    let root = loaded.root(arguments);
    let opened = Opened::open(&loaded.settings, &root, arguments.durability)?;
    Ok((loaded, root, opened))
}

impl HubProgram for Program {
    fn serve<'a>(
        &'a self,
        arguments: &'a HubArguments,
        started: &'a dyn Fn(&HubStarted),
        shutdown: Pin<Box<dyn Future<Output = ()> + Send>>,
    ) -> HubFuture<'a, ()> {
        Box::pin(async move {
            let loaded = Loaded::load(arguments)?;
            crate::logging::start(&loaded.settings.log);
            let root = loaded.root(arguments);
            let opened = Opened::open(&loaded.settings, &root, arguments.durability)?;
            let password = loaded.settings.administrator.password()?;
            let first = opened.hub.first_start(password).await?.map(|one| (one.account, one.password));
            serving::serve(opened, &loaded.settings, &root, first, started, shutdown).await
        })
    }

    fn check_config(&self, arguments: &HubArguments) -> HubResult<(Option<PathBuf>, Vec<String>)> {
        let loaded = Loaded::load(arguments)?;
        let warnings = loaded.settings.warnings();
        Ok((loaded.file, warnings))
    }

    fn show_config(&self, arguments: &HubArguments) -> HubResult<String> {
        let loaded = Loaded::load(arguments)?;
        loaded.shown(&loaded.root(arguments))
    }

    fn collect<'a>(&'a self, arguments: &'a HubArguments, now: bool) -> HubFuture<'a, u64> {
        Box::pin(async move {
            let (_, _, opened) = open(arguments)?;
            Ok(opened.hub.collect(now.then_some(Duration::ZERO)).await?)
        })
    }

    fn fsck<'a>(&'a self, arguments: &'a HubArguments, depth: Depth, repair: Repair) -> HubFuture<'a, FsckReport> {
        Box::pin(async move {
            let (_, _, opened) = open(arguments)?;
            let mut report = opened.registry.store().fsck(depth, repair).await?;
            let complaints = opened.records.check().await?;
            report.problems.extend(complaints.into_iter().map(|cause| Problem {
                what: "the hub's records".to_owned(),
                cause,
                repaired: false,
            }));
            opened.registry.check_links(&mut report).await?;
            Ok(report)
        })
    }

    fn backup<'a>(&'a self, arguments: &'a HubArguments, to: &'a Path) -> HubFuture<'a, BackupReport> {
        Box::pin(async move {
            let root = Loaded::load(arguments)?.root(arguments);
            backup::back_up(&root, to).await
        })
    }

    fn restore<'a>(&'a self, arguments: &'a HubArguments, from: &'a Path) -> HubFuture<'a, BackupReport> {
        Box::pin(async move {
            let root = Loaded::load(arguments)?.root(arguments);
            backup::restore(from, &root).await
        })
    }

    fn change_user<'a>(&'a self, arguments: &'a HubArguments, change: UserChange) -> HubFuture<'a, Option<String>> {
        Box::pin(async move {
            let (_, _, opened) = open(arguments)?;
            users::change(&opened.hub, change).await
        })
    }

    fn users<'a>(&'a self, arguments: &'a HubArguments) -> HubFuture<'a, Vec<UserLine>> {
        Box::pin(async move {
            let (_, _, opened) = open(arguments)?;
            users::list(&opened.hub).await
        })
    }
}
