//! A strict registry in the test's own process, which misbehaves on demand.
//!
//! It speaks OCI distribution 1.1 (pull, push, mount, tags, referrers) and Docker's token authentication over HTTP/1.1 on
//! loopback. It keeps everything in memory. One thread accepts, one thread serves each connection; all end when the
//! [`FakeRegistry`] is dropped.

mod auth;
mod fault;
mod http;
mod routes;
mod state;
mod uploads;

use std::net::{SocketAddr, TcpListener, TcpStream};
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::thread::JoinHandle;
use std::time::Duration;

use strata_model::{Digest, MediaType};

pub use fault::{Fault, FaultRule};
pub use state::Record;
use state::{Account, State};

use crate::image::{Image, Index};

/// A running registry.
pub struct FakeRegistry {
    address: SocketAddr,
    shared: Arc<Shared>,
    acceptor: Option<JoinHandle<()>>,
}

struct Shared {
    state: Mutex<State>,
    stopped: AtomicBool,
}

impl Shared {
    fn state(&self) -> MutexGuard<'_, State> {
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }

    fn is_stopped(&self) -> bool {
        self.stopped.load(Ordering::SeqCst)
    }
}

impl FakeRegistry {
    /// Starts a registry that lets everybody do everything.
    ///
    /// # Panics
    /// When no port on loopback is free.
    pub fn start() -> FakeRegistry {
        let listener = TcpListener::bind("127.0.0.1:0").expect("a free port");
        let address = listener.local_addr().expect("a bound address");
        let shared = Arc::new(Shared { state: Mutex::new(State::new(address)), stopped: AtomicBool::new(false) });
        let acceptor = std::thread::spawn({
            let shared = Arc::clone(&shared);
            move || accept(&listener, &shared)
        });
        FakeRegistry { address, shared, acceptor: Some(acceptor) }
    }

    /// Starts a registry that asks for a bearer token, which it gives for this name and password; `anonymous_pull` says
    /// whether a token for pulling is given to everybody.
    pub fn start_with_account(user: &str, password: &str, anonymous_pull: bool) -> FakeRegistry {
        let registry = FakeRegistry::start();
        registry.shared.state().account =
            Some(Account { user: user.to_owned(), password: password.to_owned(), anonymous_pull });
        registry
    }

    /// `host:port`, as it goes into image references.
    pub fn host(&self) -> String {
        self.address.to_string()
    }

    /// A reference to something in this registry: `reference("a/b:tag")`.
    pub fn reference(&self, rest: &str) -> String {
        format!("{}/{rest}", self.address)
    }

    /// Adds an image under a tag.
    pub fn add_image(&self, repository: &str, tag: &str, image: &Image) {
        self.add_image_by_digest(repository, image);
        self.add_manifest(repository, tag, &image.media_type, &image.manifest);
    }

    /// Adds an index and its images under a tag.
    pub fn add_index(&self, repository: &str, tag: &str, index: &Index) {
        for image in &index.images {
            self.add_image_by_digest(repository, image);
        }
        self.add_manifest(repository, tag, &index.media_type, &index.manifest);
    }

    fn add_image_by_digest(&self, repository: &str, image: &Image) {
        for (digest, bytes) in image.blobs() {
            self.add_blob(repository, digest, bytes);
        }
        self.add_manifest(repository, &image.digest().to_string(), &image.media_type, &image.manifest);
    }

    /// Adds a blob; `digest` need not be that of the bytes.
    pub fn add_blob(&self, repository: &str, digest: Digest, bytes: Vec<u8>) {
        self.shared.state().repository(repository).blobs.insert(digest, bytes.into());
    }

    /// Adds a manifest of any content under a tag or digest, and under its own digest.
    pub fn add_manifest(&self, repository: &str, reference: &str, media_type: &MediaType, bytes: &[u8]) {
        self.shared.state().repository(repository).put_manifest(reference, media_type.as_str(), bytes);
    }

    /// Removes a blob.
    pub fn remove_blob(&self, repository: &str, digest: Digest) {
        self.shared.state().repository(repository).blobs.remove(&digest);
    }

    /// Makes requests fail; the first rule that matches a request is used.
    pub fn fault(&self, rule: FaultRule) {
        self.shared.state().faults.push(rule);
    }

    /// Ends all faults.
    pub fn heal(&self) {
        self.shared.state().faults.clear();
    }

    /// Largest body of a blob upload's `PATCH`, in bytes; 0 for any. Larger ones are answered with 413.
    pub fn limit_chunks(&self, bytes: usize) {
        self.shared.state().chunk_limit = bytes;
    }

    /// All requests so far.
    pub fn requests(&self) -> Vec<Record> {
        self.shared.state().records.clone()
    }

    /// Number of requests with this method whose path contains `part`.
    pub fn count(&self, method: &str, part: &str) -> usize {
        self.shared
            .state()
            .records
            .iter()
            .filter(|record| record.method == method && record.path.contains(part))
            .count()
    }

    /// Number of `GET` requests for a blob.
    pub fn blob_requests(&self, digest: Digest) -> usize {
        self.count("GET", &format!("/blobs/{digest}"))
    }

    /// Bytes of bodies sent so far.
    pub fn bytes_served(&self) -> u64 {
        self.shared.state().records.iter().map(|record| record.bytes).sum()
    }

    /// Forgets the requests so far.
    pub fn forget_requests(&self) {
        self.shared.state().records.clear();
    }

    /// A blob of a repository.
    pub fn blob(&self, repository: &str, digest: Digest) -> Option<Vec<u8>> {
        self.shared.state().repository(repository).blobs.get(&digest).map(|bytes| bytes.to_vec())
    }

    /// Media type and bytes of a manifest, by tag or digest.
    pub fn manifest(&self, repository: &str, reference: &str) -> Option<(String, Vec<u8>)> {
        let mut state = self.shared.state();
        let manifest = state.repository(repository).manifest(reference)?;
        Some((manifest.media_type.clone(), manifest.bytes.to_vec()))
    }

    /// The tags of a repository, sorted.
    pub fn tags(&self, repository: &str) -> Vec<String> {
        self.shared.state().repository(repository).tags.keys().cloned().collect()
    }
}

impl Drop for FakeRegistry {
    fn drop(&mut self) {
        self.shared.stopped.store(true, Ordering::SeqCst);
        // Wakes the acceptor.
        let _ = TcpStream::connect_timeout(&self.address, Duration::from_secs(1));
        if let Some(acceptor) = self.acceptor.take() {
            let _ = acceptor.join();
        }
    }
}

fn accept(listener: &TcpListener, shared: &Arc<Shared>) {
    for connection in listener.incoming() {
        if shared.is_stopped() {
            return;
        }
        let Ok(connection) = connection else {
            continue;
        };
        let shared = Arc::clone(shared);
        std::thread::spawn(move || routes::serve(&connection, &shared));
    }
}
