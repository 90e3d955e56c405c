//! A hub over a store in a temporary directory.

use std::path::Path;
use std::sync::Arc;

use bytes::Bytes;
use strata_blobs_fs::{FsBlobs, FsPacks};
use strata_catalog_sql::{SqliteCatalog, SqliteHubCatalog};
use strata_hub::records::{AccountKind, AccountRow};
use strata_hub::{Hub, HubCatalog, HubSettings};
use strata_model::{Digest, MediaType, Repository, Tag};
use strata_store::registry::{LibraryAlias, NewManifest, Registry, RegistryRules};
use strata_store::{Durability, Store, StoreOptions};
use strata_testkit::{Image, Index};
use tempfile::TempDir;

pub(crate) struct Bench {
    pub(crate) hub: Hub,
    pub(crate) records: Arc<dyn HubCatalog>,
    pub(crate) directory: TempDir,
}

fn registry(directory: &Path, rules: RegistryRules) -> Registry {
    let catalog = SqliteCatalog::open_with(directory.join("catalog.sqlite"), Durability::Unsynced).unwrap();
    let options = StoreOptions { durability: Durability::Unsynced, ..StoreOptions::default() };
    let (blobs, packs) = (Arc::new(FsBlobs::open(directory)), Arc::new(FsPacks::open(directory)));
    let store = Store::new(blobs, packs, Arc::new(catalog), options);
    Registry::new(store, RegistryRules { library_alias: LibraryAlias::Official, ..rules })
}

/// A hub with the namespaces `library`, `acme` and, private by default, `secret`.
pub(crate) async fn start() -> Bench {
    start_with(RegistryRules::default()).await
}

/// As [`start`], under these rules of the registry.
pub(crate) async fn start_with(rules: RegistryRules) -> Bench {
    let directory = TempDir::new().unwrap();
    let records = SqliteHubCatalog::open(directory.path().join("hub.sqlite"), Durability::Unsynced).unwrap();
    let records: Arc<dyn HubCatalog> = Arc::new(records);
    let hub = Hub::new(registry(directory.path(), rules), records.clone(), HubSettings::default());
    let mut txn = records.write("making accounts").await.unwrap();
    for (name, private_by_default) in [("library", false), ("acme", false), ("secret", true)] {
        txn.put_account(&account(name, private_by_default)).await.unwrap();
    }
    txn.commit().await.unwrap();
    Bench { hub, records, directory }
}

fn account(name: &str, private_by_default: bool) -> AccountRow {
    AccountRow {
        name: name.into(),
        kind: AccountKind::User,
        full_name: String::new(),
        description: String::new(),
        link: String::new(),
        location: String::new(),
        email: None,
        created: 1,
        is_disabled: false,
        is_administrator: false,
        is_verified_publisher: false,
        private_by_default,
        quota: None,
        password: None,
        password_is_one_time: false,
        generation: 0,
    }
}

impl Bench {
    pub(crate) async fn push_blob(&self, repository: &str, bytes: &[u8]) -> Digest {
        let repository: Repository = repository.parse().unwrap();
        let digest = Digest::of(bytes);
        let registry = self.hub.registry();
        let mut upload = registry.single_upload(&repository, digest.algorithm()).await.unwrap();
        upload.write(bytes).await.unwrap();
        upload.finish(digest).await.unwrap();
        digest
    }

    pub(crate) async fn push_manifest(&self, repository: &str, bytes: &[u8], tags: &[&str], actor: &str) -> Digest {
        let tags = tags.iter().map(|tag| tag.parse::<Tag>().unwrap().into()).collect();
        let new =
            NewManifest { bytes: Bytes::copy_from_slice(bytes), media_type: None::<MediaType>, digest: None, tags };
        let repository: Repository = repository.parse().unwrap();
        self.hub.registry().put_manifest(&repository, new, actor).await.unwrap().digest
    }

    pub(crate) async fn push(&self, repository: &str, tags: &[&str], image: &Image, actor: &str) -> Digest {
        for (_, bytes) in image.blobs() {
            self.push_blob(repository, &bytes).await;
        }
        self.push_manifest(repository, &image.manifest, tags, actor).await
    }

    pub(crate) async fn push_index(&self, repository: &str, tags: &[&str], index: &Index, actor: &str) -> Digest {
        for image in &index.images {
            self.push(repository, &[], image, actor).await;
        }
        self.push_manifest(repository, &index.manifest, tags, actor).await
    }

    /// Takes in all that happened.
    pub(crate) async fn follow(&self) {
        while self.hub.follow_registry().await.unwrap() > 0 {}
    }
}
