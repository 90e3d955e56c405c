//! An engine that is served on a socket of its own.

#![allow(unreachable_pub, reason = "a module of the test")]

use std::path::PathBuf;
use std::sync::Arc;

use strata_blobs_fs::{FsBlobs, FsPacks};
use strata_catalog_sql::SqliteCatalog;
use strata_engine::ViewPolicy;
use strata_engine_api::{Access, EngineService, Listener, Meetings, Registries, serve};
use strata_registry_client::{ClientConfig, CredentialFiles, RegistryClient};
use strata_store::{Durability, Store, StoreOptions};
use strata_testkit::http::{Answer, Request};
use strata_transfer::CopyLimits;
use tempfile::TempDir;
use tokio::sync::oneshot;
use tokio::task::JoinHandle;

/// A server; it ends with the value.
pub struct Served {
    directory: TempDir,
    pub store: Store,
    stop: Option<oneshot::Sender<()>>,
    running: JoinHandle<()>,
}

impl Served {
    pub fn start(access: Access) -> Served {
        let _ = rustls::crypto::ring::default_provider().install_default();
        let directory = tempfile::tempdir().unwrap();
        let root = directory.path().join("store");
        std::fs::create_dir_all(&root).unwrap();
        let catalog = SqliteCatalog::open_with(root.join("catalog.sqlite"), Durability::Unsynced).unwrap();
        let (blobs, packs) = (Arc::new(FsBlobs::open(&root)), Arc::new(FsPacks::open(&root)));
        let options = StoreOptions { durability: Durability::Unsynced, ..StoreOptions::default() };
        let store = Store::new(blobs, packs, Arc::new(catalog), options);
        let config = ClientConfig { credentials: CredentialFiles::default(), ..ClientConfig::default() };
        let service = EngineService {
            store: store.clone(),
            root,
            client: RegistryClient::new(config),
            registries: Registries::default(),
            view: ViewPolicy::Skip,
            limits: CopyLimits::default(),
            access,
            version: "0.0.0",
            meetings: Meetings::default(),
        };
        let listener = Listener::unix(&directory.path().join("socket"), None).unwrap();
        let (stop, stopped) = oneshot::channel();
        let running = tokio::spawn(serve(vec![listener], service, async {
            let _ = stopped.await;
        }));
        Served { directory, store, stop: Some(stop), running }
    }

    pub fn socket(&self) -> PathBuf {
        self.directory.path().join("socket")
    }

    pub async fn send(&self, request: Request) -> Answer {
        let socket = self.socket();
        tokio::task::spawn_blocking(move || request.send_to_socket(&socket)).await.unwrap().unwrap()
    }

    pub async fn get(&self, path: &str) -> Answer {
        self.send(Request::new("GET", path)).await
    }

    pub async fn post(&self, path: &str, body: &serde_json::Value) -> Answer {
        let request = Request::new("POST", path).header("content-type", "application/json");
        self.send(request.body(body.to_string())).await
    }

    /// Asks it to end, and waits until it has.
    pub async fn stop(mut self) -> TempDir {
        self.stop.take().unwrap().send(()).unwrap();
        (&mut self.running).await.unwrap();
        self.directory
    }
}
