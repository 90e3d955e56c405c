//! A server that nobody holds up: slow clients, large headers, too many connections, a full disk.

use std::path::Path;
use std::process::Command;
use std::sync::Arc;
use std::time::{Duration, Instant};

use reqwest::StatusCode;
use strata_blobs_fs::{FsBlobs, FsPacks};
use strata_catalog_sql::SqliteCatalog;
use strata_model::Digest;
use strata_registry::{Registry, RegistryRules, RegistryService, Scheme, ServerLimits, router, serve_streams};
use strata_store::{Durability, Store, StoreOptions};
use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _};
use tokio::net::{TcpListener, TcpStream};

use crate::support::open_store;

/// A server with limits for impatient tests, which ends with the test.
async fn start(store: Store, limits: ServerLimits) -> String {
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let address = listener.local_addr().unwrap().to_string();
    let router = router(Registry::new(store, RegistryRules::default()), RegistryService::default());
    let plain = |stream: TcpStream| std::future::ready(Ok(stream));
    tokio::spawn(serve_streams(listener, router, Scheme::Http, plain, limits, std::future::pending()));
    address
}

fn quick() -> ServerLimits {
    ServerLimits { header_time: Duration::from_millis(300), ..ServerLimits::default() }
}

/// All that comes until the connection ends.
async fn rest(stream: &mut TcpStream) -> String {
    let mut answer = Vec::new();
    let reading = stream.read_to_end(&mut answer);
    let _ = tokio::time::timeout(Duration::from_secs(5), reading).await.expect("the server ends the connection");
    String::from_utf8_lossy(&answer).into_owned()
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn slow_headers_and_silence_end_the_connection() {
    let directory = tempfile::TempDir::new().unwrap();
    let address = start(open_store(directory.path()), quick()).await;
    for start in ["", "G", "GET /v2/ HTTP/1.1\r\nHost: a-name-that-is-long-enough\r\nX-Slow: "] {
        let mut stream = TcpStream::connect(&address).await.unwrap();
        stream.write_all(start.as_bytes()).await.unwrap();
        let began = Instant::now();
        rest(&mut stream).await;
        assert!(began.elapsed() < Duration::from_secs(3), "{start:?}");
    }
    // One byte now and then does not help.
    let mut stream = TcpStream::connect(&address).await.unwrap();
    let began = Instant::now();
    for byte in b"GET /v2/ HTTP/1.1\r\nHost: localhost\r\nX-Slow: aaaaaaaaaaaaaaaaaaaaaaaaaaa" {
        if stream.write_all(&[*byte]).await.is_err() || began.elapsed() > Duration::from_secs(3) {
            break;
        }
        tokio::time::sleep(Duration::from_millis(50)).await;
    }
    assert!(began.elapsed() < Duration::from_secs(3));
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn large_headers_are_refused() {
    let directory = tempfile::TempDir::new().unwrap();
    let address = start(open_store(directory.path()), quick()).await;
    let mut stream = TcpStream::connect(&address).await.unwrap();
    let request = format!("GET /v2/ HTTP/1.1\r\nHost: localhost\r\nX-Large: {}\r\n\r\n", "a".repeat(1 << 20));
    let _ = stream.write_all(request.as_bytes()).await;
    let answer = rest(&mut stream).await;
    assert!(answer.is_empty() || answer.starts_with("HTTP/1.1 431"), "{answer}");
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn connections_beyond_the_limit_wait() {
    let _ = rustls::crypto::ring::default_provider().install_default();
    let directory = tempfile::TempDir::new().unwrap();
    let limits = ServerLimits { connections: 2, ..quick() };
    let address = start(open_store(directory.path()), limits).await;
    let idle: Vec<TcpStream> =
        futures_util::future::try_join_all((0..2).map(|_| TcpStream::connect(&address))).await.unwrap();
    // The idle ones are closed after a while, and make room.
    let client = reqwest::Client::builder().no_proxy().build().unwrap();
    let answer = client.get(format!("http://{address}/v2/")).timeout(Duration::from_secs(5)).send().await.unwrap();
    assert_eq!(answer.status(), StatusCode::OK);
    drop(idle);
}

/// A small file system in memory; `None` without the right to mount one.
fn small_disk(path: &Path) -> Option<Mounted<'_>> {
    let mount = Command::new("mount").args(["-t", "tmpfs", "-o", "size=6m", "tmpfs"]).arg(path).output().ok()?;
    mount.status.success().then_some(Mounted(path))
}

struct Mounted<'a>(&'a Path);

impl Drop for Mounted<'_> {
    fn drop(&mut self) {
        let _ = Command::new("umount").arg("-l").arg(self.0).status();
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_full_disk_is_said_so_and_recovers() {
    let _ = rustls::crypto::ring::default_provider().install_default();
    let directory = tempfile::TempDir::new().unwrap();
    let Some(disk) = small_disk(directory.path()) else { return };
    let catalog = SqliteCatalog::open_with(disk.0.join("catalog.db"), Durability::Synced).unwrap();
    let store = Store::new(
        Arc::new(FsBlobs::open(disk.0)),
        Arc::new(FsPacks::open(disk.0)),
        Arc::new(catalog),
        StoreOptions::default(),
    );
    let address = start(store, ServerLimits::default()).await;
    let client = reqwest::Client::builder().no_proxy().build().unwrap();
    let push = async |bytes: Vec<u8>| {
        let url = format!("http://{address}/v2/app/blobs/uploads/?digest={}", Digest::of(&bytes));
        let answer = client.post(url).body(bytes).send().await.unwrap();
        (answer.status(), answer.text().await.unwrap())
    };
    let kept = b"kept".repeat(100);
    assert_eq!(push(kept.clone()).await.0, StatusCode::CREATED);
    let filler = disk.0.join("filler");
    std::fs::write(&filler, vec![0; 4 << 20]).unwrap();
    let (status, text) = push(vec![7; 4 << 20]).await;
    assert_eq!(status, StatusCode::INSUFFICIENT_STORAGE, "{text}");
    assert!(text.contains("\"UNAVAILABLE\""), "{text}");
    let read = client.get(format!("http://{address}/v2/app/blobs/{}", Digest::of(&kept))).send().await.unwrap();
    assert_eq!(read.bytes().await.unwrap(), kept);
    std::fs::remove_file(filler).unwrap();
    assert_eq!(push(vec![7; 3 << 20]).await.0, StatusCode::CREATED);
}
