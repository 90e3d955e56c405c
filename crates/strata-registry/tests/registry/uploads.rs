//! The forms of an upload, and what goes wrong in them.

use std::time::Duration;

use futures_util::StreamExt as _;
use reqwest::{Body, StatusCode};
use strata_model::{Algorithm, Digest};
use strata_testkit::layer::noise;

use crate::support::{Answer, Server, digest_by};

async fn begin(server: &Server, query: &str) -> String {
    let answer = server.send("POST", &format!("/v2/app/blobs/uploads/{query}")).await.is(StatusCode::ACCEPTED);
    assert_eq!(answer.header("range"), "0-0");
    assert_eq!(answer.header("content-length"), "0");
    let location = answer.header("location").to_owned();
    assert_eq!(location, format!("/v2/app/blobs/uploads/{}", answer.header("docker-upload-uuid")));
    location
}

async fn patch(server: &Server, location: &str, range: Option<&str>, bytes: &[u8]) -> Answer {
    let mut request = server.request("PATCH", location).body(bytes.to_vec());
    if let Some(range) = range {
        request = request.header("Content-Range", range);
    }
    Answer::of(request.send().await.unwrap()).await
}

async fn close(server: &Server, location: &str, digest: &Digest) -> Answer {
    server.send("PUT", &format!("{location}?digest={digest}")).await
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_blob_comes_in_chunks() {
    let server = Server::start().await;
    let bytes = noise(2, 300_000);
    let digest = Digest::of(&bytes);
    let location = begin(&server, "").await;

    let refused = patch(&server, &location, Some("5-9"), &bytes[5..10]).await;
    refused.fails(StatusCode::RANGE_NOT_SATISFIABLE, "RANGE_INVALID");
    patch(&server, &location, Some("0-99"), &bytes[..50]).await.fails(StatusCode::BAD_REQUEST, "SIZE_INVALID");
    let first = patch(&server, &location, Some("0-99999"), &bytes[..100_000]).await.is(StatusCode::ACCEPTED);
    assert_eq!(first.header("range"), "0-99999");
    // Again the same, then a gap, then nonsense: the state stays.
    for range in ["0-99999", "100001-200000", "bytes 100000-199999/300000"] {
        let refused = patch(&server, &location, Some(range), &bytes[..100_000]).await;
        let refused = refused.fails(StatusCode::RANGE_NOT_SATISFIABLE, "RANGE_INVALID");
        assert_eq!((refused.header("range"), refused.header("location")), ("0-99999", location.as_str()));
    }
    let status = server.get(&location).await.is(StatusCode::NO_CONTENT);
    assert_eq!((status.header("range"), status.header("location")), ("0-99999", location.as_str()));
    patch(&server, &location, Some("100000-199999"), &bytes[100_000..200_000]).await.is(StatusCode::ACCEPTED);

    let last = server.request("PUT", &format!("{location}?digest={digest}")).header("Content-Range", "200000-299999");
    let answer = Answer::of(last.body(bytes[200_000..].to_vec()).send().await.unwrap()).await.is(StatusCode::CREATED);
    assert_eq!(answer.header("location"), format!("/v2/app/blobs/{digest}"));
    assert_eq!(answer.header("docker-content-digest"), digest.to_string());
    assert!(server.get(&format!("/v2/app/blobs/{digest}")).await.body == bytes);
    server.get(&location).await.fails(StatusCode::NOT_FOUND, "BLOB_UPLOAD_UNKNOWN");
    assert_eq!(server.files("staging"), 0);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_blob_comes_as_a_stream_of_unknown_length() {
    let server = Server::start().await;
    let bytes = noise(3, 2_000_000);
    let location = begin(&server, "").await;
    let chunks: Vec<std::io::Result<Vec<u8>>> = bytes.chunks(70_000).map(|chunk| Ok(chunk.to_vec())).collect();
    let body = Body::wrap_stream(futures_util::stream::iter(chunks));
    let answer = Answer::of(server.request("PATCH", &location).body(body).send().await.unwrap()).await;
    assert_eq!(answer.is(StatusCode::ACCEPTED).header("range"), "0-1999999");
    close(&server, &location, &Digest::of(&bytes)).await.is(StatusCode::CREATED);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn the_put_may_bring_all_and_the_blob_may_be_empty() {
    let server = Server::start().await;
    for bytes in [&b"all of it"[..], b""] {
        let location = begin(&server, "").await;
        let digest = Digest::of(bytes);
        let request = server.request("PUT", &format!("{location}?digest={digest}")).body(bytes.to_vec());
        Answer::of(request.send().await.unwrap()).await.is(StatusCode::CREATED);
        assert_eq!(server.get(&format!("/v2/app/blobs/{digest}")).await.is(StatusCode::OK).body, bytes);
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn other_hashes_are_taken() {
    let server = Server::start().await;
    let digest = digest_by(Algorithm::Sha512, b"some bytes");
    // With and without saying so before.
    for query in ["?digest-algorithm=sha512", ""] {
        let location = begin(&server, query).await;
        patch(&server, &location, None, b"some bytes").await.is(StatusCode::ACCEPTED);
        close(&server, &location, &digest).await.is(StatusCode::CREATED);
    }
    assert_eq!(server.get(&format!("/v2/app/blobs/{digest}")).await.body, b"some bytes");
    let refused = server.send("POST", "/v2/app/blobs/uploads/?digest-algorithm=md5").await;
    refused.fails(StatusCode::BAD_REQUEST, "DIGEST_INVALID");
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_wrong_digest_ends_the_upload() {
    let server = Server::start().await;
    let location = begin(&server, "").await;
    patch(&server, &location, None, b"some bytes").await.is(StatusCode::ACCEPTED);
    server.send("PUT", &location).await.fails(StatusCode::BAD_REQUEST, "DIGEST_INVALID");
    server.send("PUT", &format!("{location}?digest=sha256:x")).await.fails(StatusCode::BAD_REQUEST, "DIGEST_INVALID");
    let other = Digest::of(b"other bytes");
    close(&server, &location, &other).await.fails(StatusCode::BAD_REQUEST, "DIGEST_INVALID");
    close(&server, &location, &Digest::of(b"some bytes")).await.fails(StatusCode::NOT_FOUND, "BLOB_UPLOAD_UNKNOWN");
    let path = format!("/v2/app/blobs/uploads/?digest={other}");
    let single = Answer::of(server.request("POST", &path).body("not these").send().await.unwrap()).await;
    single.fails(StatusCode::BAD_REQUEST, "DIGEST_INVALID");
    server.get(&format!("/v2/app/blobs/{other}")).await.fails(StatusCode::NOT_FOUND, "BLOB_UNKNOWN");
    assert_eq!((server.files("staging"), server.files("blobs")), (0, 0));
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn an_upload_is_cancelled_and_belongs_to_its_repository() {
    let server = Server::start().await;
    let location = begin(&server, "").await;
    patch(&server, &location, None, b"some bytes").await.is(StatusCode::ACCEPTED);
    let elsewhere = location.replace("/v2/app/", "/v2/other/");
    server.get(&elsewhere).await.fails(StatusCode::NOT_FOUND, "BLOB_UPLOAD_UNKNOWN");
    server.send("DELETE", &location).await.is(StatusCode::NO_CONTENT);
    server.send("DELETE", &location).await.fails(StatusCode::NOT_FOUND, "BLOB_UPLOAD_UNKNOWN");
    for id in ["4f1c2b3a-0000-4000-8000-000000000000", "..%2f..%2fetc", "x"] {
        let path = format!("/v2/app/blobs/uploads/{id}");
        server.send("PATCH", &path).await.is(StatusCode::NOT_FOUND);
    }
    assert_eq!(server.files("staging"), 0);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn an_upload_survives_a_restart() {
    let mut server = Server::start().await;
    let bytes = noise(4, 500_000);
    let location = begin(&server, "").await;
    patch(&server, &location, Some("0-299999"), &bytes[..300_000]).await.is(StatusCode::ACCEPTED);
    server.restart().await;
    assert_eq!(server.get(&location).await.is(StatusCode::NO_CONTENT).header("range"), "0-299999");
    patch(&server, &location, Some("300000-499999"), &bytes[300_000..]).await.is(StatusCode::ACCEPTED);
    close(&server, &location, &Digest::of(&bytes)).await.is(StatusCode::CREATED);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn what_a_broken_connection_brought_is_kept() {
    let server = Server::start().await;
    let bytes = noise(5, 400_000);
    let location = begin(&server, "").await;
    let half = futures_util::stream::iter([Ok(bytes[..200_000].to_vec())]);
    let body = Body::wrap_stream(half.chain(futures_util::stream::pending::<std::io::Result<Vec<u8>>>()));
    let request = server.request("PATCH", &location).body(body).timeout(Duration::from_millis(500));
    assert!(request.send().await.is_err());
    let status = server.get(&location).await.is(StatusCode::NO_CONTENT);
    assert_eq!(status.header("range"), "0-199999");
    patch(&server, &location, Some("200000-399999"), &bytes[200_000..]).await.is(StatusCode::ACCEPTED);
    close(&server, &location, &Digest::of(&bytes)).await.is(StatusCode::CREATED);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn two_uploads_of_one_blob_keep_one_copy() {
    let server = Server::start().await;
    let bytes = noise(6, 200_000);
    let pushes = (0..4).map(|number| {
        let (server, bytes) = (&server, &bytes);
        async move { server.push_blob(&format!("repository{number}"), bytes).await }
    });
    futures_util::future::join_all(pushes).await;
    assert_eq!((server.files("blobs"), server.files("staging")), (1, 0));
}
