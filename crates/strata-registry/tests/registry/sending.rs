//! Large blobs on the way out: exact, whatever the client does and the connection speaks.

use std::time::Duration;

use reqwest::{Client, StatusCode, Version};
use strata_model::Digest;
use strata_testkit::layer::noise;
use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _};
use tokio::net::TcpStream;

use crate::support::{Answer, Server};

async fn server_with(length: usize) -> (Server, Vec<u8>, String) {
    let server = Server::start().await;
    let bytes = noise(3, length);
    let digest = server.push_blob("app", &bytes).await;
    (server, bytes, format!("/v2/app/blobs/{digest}"))
}

/// A connection on which `path` was asked for; what was answered before the body was read.
async fn ask(server: &Server, path: &str) -> TcpStream {
    let mut stream = TcpStream::connect(&server.address).await.unwrap();
    stream.write_all(request("GET", path).as_bytes()).await.unwrap();
    read_header(&mut stream).await;
    stream
}

fn request(method: &str, path: &str) -> String {
    format!("{method} {path} HTTP/1.1\r\nHost: localhost\r\n\r\n")
}

async fn read_header(stream: &mut TcpStream) -> String {
    let mut header = Vec::new();
    while !header.ends_with(b"\r\n\r\n") {
        header.push(stream.read_u8().await.unwrap());
    }
    String::from_utf8(header).unwrap()
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_hundred_megabytes_arrive_as_they_were_pushed() {
    let (server, bytes, path) = server_with(120_000_001).await;
    assert!(server.get(&path).await.is(StatusCode::OK).body == bytes);
    for (first, last) in [(1, 100_000_000), (4 << 20, 12 << 20), (4095, 200_000), (119_000_000, 120_000_000)] {
        let range = format!("bytes={first}-{last}");
        let part = Answer::of(server.request("GET", &path).header("Range", &range).send().await.unwrap()).await;
        assert!(part.is(StatusCode::PARTIAL_CONTENT).body == bytes[first..=last], "{range}");
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn http2_gets_the_same_bytes() {
    let (server, bytes, path) = server_with(20_000_000).await;
    let client = Client::builder().no_proxy().http2_prior_knowledge().build().unwrap();
    let answer = client.get(format!("http://{}{path}", server.address)).send().await.unwrap();
    assert_eq!(answer.version(), Version::HTTP_2);
    assert!(answer.bytes().await.unwrap() == bytes);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_connection_goes_on_after_a_blob() {
    let (server, bytes, path) = server_with(9_000_000).await;
    let mut stream = ask(&server, &path).await;
    for _ in 0..3 {
        let mut body = vec![0; bytes.len()];
        stream.read_exact(&mut body).await.unwrap();
        assert!(body == bytes);
        stream.write_all(request("HEAD", &path).as_bytes()).await.unwrap();
        let head = read_header(&mut stream).await.to_ascii_lowercase();
        assert!(head.contains("content-length: 9000000\r\n"), "{head}");
        // Two at once: the answers come one after the other.
        stream.write_all([request("GET", "/v2/"), request("GET", &path)].concat().as_bytes()).await.unwrap();
        assert!(read_header(&mut stream).await.starts_with("HTTP/1.1 200"));
        stream.read_exact(&mut [0; 2]).await.unwrap();
        assert!(read_header(&mut stream).await.starts_with("HTTP/1.1 200"));
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn clients_that_are_slow_or_go_away_bother_nobody() {
    let (server, bytes, path) = server_with(30_000_000).await;
    let gone: Vec<TcpStream> = futures_util::future::join_all((0..8).map(|_| ask(&server, &path))).await;
    let mut slow = ask(&server, &path).await;
    let slow = tokio::spawn(async move {
        let (mut body, mut chunk) = (Vec::new(), vec![0; 1 << 20]);
        while body.len() < 30_000_000 {
            let count = slow.read(&mut chunk).await.unwrap();
            body.extend_from_slice(&chunk[..count]);
            tokio::time::sleep(Duration::from_millis(5)).await;
        }
        body
    });
    drop(gone);
    assert!(server.get(&path).await.body == bytes);
    assert!(slow.await.unwrap() == bytes);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn many_read_at_once_also_what_is_deleted_meanwhile() {
    let (server, bytes, path) = server_with(20_000_000).await;
    let digest = Digest::of(&bytes);
    let mut streams = futures_util::future::join_all((0..24).map(|_| ask(&server, &path))).await;
    server.send("DELETE", &path).await.is(StatusCode::ACCEPTED);
    assert_eq!(server.files("blobs"), 0);
    let reading = streams.iter_mut().map(async |stream| {
        let mut body = vec![0; 20_000_000];
        stream.read_exact(&mut body).await.unwrap();
        Digest::of(&body)
    });
    assert!(futures_util::future::join_all(reading).await.iter().all(|read| *read == digest));
}
