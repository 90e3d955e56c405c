//! A registry on a free port of this machine, and a small client.

// Each suite uses some of it.
#![allow(dead_code)]

use std::path::Path;
use std::sync::Arc;
use std::time::Duration;

use reqwest::{Client, Method, RequestBuilder, Response, StatusCode};
use serde_json::Value;
use strata_blobs_fs::{FsBlobs, FsPacks};
use strata_catalog_sql::SqliteCatalog;
use strata_model::{Algorithm, Digest, Hasher, MediaType};
use strata_registry::{Registry, RegistryRules, RegistryService, router, serve};
use strata_store::registry::Access;
use strata_store::{Durability, Store, StoreOptions};
use strata_testkit::{Image, Index};
use tempfile::TempDir;
use tokio::net::TcpListener;
use tokio::sync::oneshot;
use tokio::task::JoinHandle;

/// A running registry. Its store goes with it.
pub(crate) struct Server {
    pub(crate) directory: TempDir,
    pub(crate) store: Store,
    pub(crate) registry: Registry,
    pub(crate) address: String,
    client: Client,
    rules: RegistryRules,
    service: RegistryService,
    stop: Option<oneshot::Sender<()>>,
    serving: JoinHandle<()>,
}

pub(crate) fn digest_by(algorithm: Algorithm, bytes: &[u8]) -> Digest {
    let mut hasher = Hasher::new(algorithm);
    hasher.update(bytes);
    hasher.finish()
}

pub(crate) fn open_store(directory: &Path) -> Store {
    let catalog = SqliteCatalog::open_with(directory.join("catalog.db"), Durability::Unsynced).unwrap();
    let options = StoreOptions { durability: Durability::Unsynced, ..StoreOptions::default() };
    Store::new(Arc::new(FsBlobs::open(directory)), Arc::new(FsPacks::open(directory)), Arc::new(catalog), options)
}

async fn listen(registry: Registry, service: RegistryService) -> (String, oneshot::Sender<()>, JoinHandle<()>) {
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let address = listener.local_addr().unwrap().to_string();
    let (stop, stopped) = oneshot::channel::<()>();
    let router = router(registry, service);
    let serving = tokio::spawn(async move {
        serve(listener, router, async { stopped.await.unwrap_or_default() }).await.unwrap();
    });
    (address, stop, serving)
}

impl Server {
    pub(crate) async fn start() -> Server {
        Server::with_rules(RegistryRules::default()).await
    }

    pub(crate) async fn with_rules(rules: RegistryRules) -> Server {
        Server::with(rules, RegistryService::default()).await
    }

    pub(crate) async fn with_access(access: impl Access + 'static) -> Server {
        let service = RegistryService { access: Arc::new(access), ..RegistryService::default() };
        Server::with(RegistryRules::default(), service).await
    }

    pub(crate) async fn with(rules: RegistryRules, service: RegistryService) -> Server {
        // A second test of this process finds it installed.
        let _ = rustls::crypto::ring::default_provider().install_default();
        let directory = TempDir::new().unwrap();
        let store = open_store(directory.path());
        let registry = Registry::new(store.clone(), rules);
        let (address, stop, serving) = listen(registry.clone(), service.clone()).await;
        let client = Client::builder().no_proxy().build().unwrap();
        Server { directory, store, registry, address, client, rules, service, stop: Some(stop), serving }
    }

    /// Ends the server as a signal would, and starts one over the same directory.
    pub(crate) async fn restart(&mut self) {
        self.stop.take().unwrap().send(()).unwrap();
        self.client = Client::builder().no_proxy().build().unwrap();
        (&mut self.serving).await.unwrap();
        self.store = open_store(self.directory.path());
        self.registry = Registry::new(self.store.clone(), self.rules);
        let (address, stop, serving) = listen(self.registry.clone(), self.service.clone()).await;
        (self.address, self.stop, self.serving) = (address, Some(stop), serving);
    }

    /// Unlinks and removes all that nothing needs, without any delay.
    pub(crate) async fn collect(&self) -> u64 {
        self.registry.collect(Some(Duration::ZERO)).await.unwrap()
    }

    pub(crate) fn request(&self, method: &str, path: &str) -> RequestBuilder {
        let method = Method::from_bytes(method.as_bytes()).unwrap();
        self.client.request(method, format!("http://{}{path}", self.address))
    }

    pub(crate) async fn send(&self, method: &str, path: &str) -> Answer {
        Answer::of(self.request(method, path).send().await.unwrap()).await
    }

    pub(crate) async fn get(&self, path: &str) -> Answer {
        self.send("GET", path).await
    }

    /// Pushes a blob in one request.
    pub(crate) async fn push_blob(&self, repository: &str, bytes: &[u8]) -> Digest {
        let digest = Digest::of(bytes);
        let path = format!("/v2/{repository}/blobs/uploads/?digest={digest}");
        let answer = Answer::of(self.request("POST", &path).body(bytes.to_vec()).send().await.unwrap()).await;
        answer.is(StatusCode::CREATED);
        digest
    }

    pub(crate) async fn put_manifest(
        &self,
        repository: &str,
        target: &str,
        media_type: &MediaType,
        bytes: &[u8],
    ) -> Answer {
        let request = self.request("PUT", &format!("/v2/{repository}/manifests/{target}"));
        let request = request.header("Content-Type", media_type.as_str()).body(bytes.to_vec());
        Answer::of(request.send().await.unwrap()).await
    }

    /// Pushes an image: its blobs, then its manifest.
    pub(crate) async fn push_image(&self, repository: &str, target: &str, image: &Image) {
        for (_, bytes) in image.blobs() {
            self.push_blob(repository, &bytes).await;
        }
        self.put_manifest(repository, target, &image.media_type, &image.manifest).await.is(StatusCode::CREATED);
    }

    /// Pushes the images of an index by digest, then the index.
    pub(crate) async fn push_index(&self, repository: &str, target: &str, index: &Index) {
        for image in &index.images {
            self.push_image(repository, &image.digest().to_string(), image).await;
        }
        self.put_manifest(repository, target, &index.media_type, &index.manifest).await.is(StatusCode::CREATED);
    }

    /// Bytes of blobs and staged uploads in the directory, manifests included.
    pub(crate) fn files(&self, folder: &str) -> usize {
        std::fs::read_dir(self.directory.path().join(folder)).map_or(0, Iterator::count)
    }
}

/// An answer that was read.
#[derive(Debug)]
pub(crate) struct Answer {
    pub(crate) status: StatusCode,
    headers: reqwest::header::HeaderMap,
    pub(crate) body: Vec<u8>,
}

impl Answer {
    pub(crate) async fn of(response: Response) -> Answer {
        let (status, headers) = (response.status(), response.headers().clone());
        Answer { status, headers, body: response.bytes().await.unwrap().to_vec() }
    }

    /// Asserts the status.
    #[track_caller]
    pub(crate) fn is(self, status: StatusCode) -> Answer {
        assert_eq!(self.status, status, "{}", String::from_utf8_lossy(&self.body));
        self
    }

    /// Asserts status and code of a failure.
    #[track_caller]
    pub(crate) fn fails(self, status: StatusCode, code: &str) -> Answer {
        let answer = self.is(status);
        assert_eq!(answer.json()["errors"][0]["code"], code);
        assert_eq!(answer.header("content-type"), "application/json");
        answer
    }

    #[track_caller]
    pub(crate) fn header(&self, name: &str) -> &str {
        let value = self.headers.get(name).unwrap_or_else(|| panic!("no {name} in {:?}", self.headers));
        value.to_str().unwrap()
    }

    pub(crate) fn has(&self, name: &str) -> bool {
        self.headers.contains_key(name)
    }

    pub(crate) fn all(&self, name: &str) -> Vec<&str> {
        self.headers.get_all(name).iter().map(|value| value.to_str().unwrap()).collect()
    }

    #[track_caller]
    pub(crate) fn json(&self) -> Value {
        serde_json::from_slice(&self.body).unwrap()
    }

    /// The path of the next page.
    pub(crate) fn next(&self) -> Option<String> {
        if !self.has("link") {
            return None;
        }
        let (path, relation) = self.header("link").strip_prefix('<')?.split_once('>')?;
        assert_eq!(relation, "; rel=\"next\"");
        Some(path.to_owned())
    }
}
