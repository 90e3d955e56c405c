//! A hub on a free port of this machine.

use std::sync::Arc;

use bytes::Bytes;
use reqwest::{Client, Method, StatusCode};
use serde_json::Value;
use strata_blobs_fs::{FsBlobs, FsPacks};
use strata_catalog_sql::{SqliteCatalog, SqliteHubCatalog};
use strata_hub::{Hub, HubCatalog, HubSettings};
use strata_model::{Digest, Repository, Tag};
use strata_registry::{RegistryService, Search};
use strata_store::registry::{LibraryAlias, NewManifest, Registry, RegistryRules};
use strata_store::{Durability, Store, StoreOptions};
use strata_testkit::{Image, Index};
use tempfile::TempDir;
use tokio::net::TcpListener;

pub(crate) const PASSWORD: &str = "correct horse battery staple";

pub(crate) struct Server {
    pub(crate) hub: Hub,
    pub(crate) address: String,
    client: Client,
    pub(crate) directory: TempDir,
}

impl Server {
    pub(crate) async fn start() -> Server {
        let _ = rustls::crypto::ring::default_provider().install_default();
        let directory = TempDir::new().unwrap();
        let root = directory.path();
        let catalog = SqliteCatalog::open_with(root.join("catalog.sqlite"), Durability::Unsynced).unwrap();
        let records = SqliteHubCatalog::open(root.join("hub.sqlite"), Durability::Unsynced).unwrap();
        let options = StoreOptions { durability: Durability::Unsynced, ..StoreOptions::default() };
        let (blobs, packs) = (Arc::new(FsBlobs::open(root)), Arc::new(FsPacks::open(root)));
        let store = Store::new(blobs, packs, Arc::new(catalog), options);
        let rules = RegistryRules { library_alias: LibraryAlias::Official, ..RegistryRules::default() };
        let registry = Registry::new(store, rules);
        let records: Arc<dyn HubCatalog> = Arc::new(records);
        let hub = Hub::new(registry.clone(), records, HubSettings::default());
        hub.first_start(Some(PASSWORD.into())).await.unwrap();
        let service =
            RegistryService { access: Arc::new(hub.clone()), search: Search::Elsewhere, ..RegistryService::default() };
        let router = strata_hub_api::router(hub.clone()).merge(strata_registry::router(registry, service));
        let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let address = listener.local_addr().unwrap().to_string();
        tokio::spawn(async move { axum::serve(listener, router).await.unwrap() });
        let client = Client::builder().no_proxy().build().unwrap();
        Server { hub, address, client, directory }
    }

    /// An answer's status and document; as the administrator or as nobody.
    pub(crate) async fn call(
        &self,
        method: &str,
        path: &str,
        body: Option<Value>,
        is_admin: bool,
    ) -> (StatusCode, Value) {
        let verb = Method::from_bytes(method.as_bytes()).unwrap();
        let mut request = self.client.request(verb, format!("http://{}{path}", self.address));
        if is_admin {
            request = request.basic_auth("admin", Some(PASSWORD));
        }
        if let Some(body) = body {
            request = request.body(body.to_string());
        }
        let response = request.send().await.unwrap();
        let status = response.status();
        let bytes = response.bytes().await.unwrap();
        crate::description::check(method, path, status, &bytes);
        (status, serde_json::from_slice(&bytes).unwrap_or_default())
    }

    /// What nobody in particular gets.
    pub(crate) async fn get(&self, path: &str) -> Value {
        let (status, document) = self.call("GET", path, None, false).await;
        assert_eq!(status, StatusCode::OK, "{path}: {document}");
        document
    }

    /// What the administrator gets.
    pub(crate) async fn admin(&self, method: &str, path: &str, body: Value) -> Value {
        let (status, document) = self.call(method, path, Some(body), true).await;
        assert!(status.is_success(), "{method} {path}: {status} {document}");
        document
    }

    pub(crate) async fn push(&self, repository: &str, tags: &[&str], image: &Image) -> Digest {
        for (digest, bytes) in image.blobs() {
            self.push_blob(repository, digest, &bytes).await;
        }
        self.push_manifest(repository, tags, &image.manifest).await
    }

    pub(crate) async fn push_index(&self, repository: &str, tags: &[&str], index: &Index) -> Digest {
        for image in &index.images {
            self.push(repository, &[], image).await;
        }
        self.push_manifest(repository, tags, &index.manifest).await
    }

    async fn push_blob(&self, repository: &str, digest: Digest, bytes: &[u8]) {
        let repository: Repository = repository.parse().unwrap();
        let mut upload = self.hub.registry().single_upload(&repository, digest.algorithm()).await.unwrap();
        upload.write(bytes).await.unwrap();
        upload.finish(digest).await.unwrap();
    }

    async fn push_manifest(&self, repository: &str, tags: &[&str], bytes: &[u8]) -> Digest {
        let repository: Repository = repository.parse().unwrap();
        let tags = tags.iter().map(|tag| tag.parse::<Tag>().unwrap().into()).collect();
        let new = NewManifest { bytes: Bytes::copy_from_slice(bytes), media_type: None, digest: None, tags };
        let digest = self.hub.registry().put_manifest(&repository, new, "admin").await.unwrap().digest;
        while self.hub.follow_registry().await.unwrap() > 0 {}
        digest
    }
}

/// The document with every time in it replaced by `T`.
pub(crate) fn timeless(value: Value) -> Value {
    match value {
        Value::String(text) if text.len() == 27 && text.ends_with('Z') && text.as_bytes()[10] == b'T' => "T".into(),
        Value::Array(values) => values.into_iter().map(timeless).collect(),
        Value::Object(entries) => entries.into_iter().map(|(key, value)| (key, timeless(value))).collect(),
        other => other,
    }
}
