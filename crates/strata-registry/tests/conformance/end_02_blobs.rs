//! end-2: pulling blobs; end-10: deleting them.

use reqwest::StatusCode;
use strata_model::{Algorithm, Digest};

use crate::support::{Answer, Server, digest_by};

#[tokio::test]
async fn end_02_get_returns_the_bytes_with_their_digest() {
    let server = Server::start().await;
    let bytes: Vec<u8> = (0..700_000u32).map(|number| (number % 251) as u8).collect();
    let digest = server.push_blob("app", &bytes).await;
    let answer = server.get(&format!("/v2/app/blobs/{digest}")).await.is(StatusCode::OK);
    assert_eq!(answer.header("docker-content-digest"), digest.to_string());
    assert_eq!(answer.header("content-length"), bytes.len().to_string());
    assert_eq!(answer.header("accept-ranges"), "bytes");
    assert_eq!(answer.header("etag"), format!("\"{digest}\""));
    assert_eq!(answer.body, bytes);
}

#[tokio::test]
async fn end_02_head_returns_the_same_headers_and_no_body() {
    let server = Server::start().await;
    let digest = server.push_blob("app", b"0123456789").await;
    let head = server.send("HEAD", &format!("/v2/app/blobs/{digest}")).await.is(StatusCode::OK);
    assert_eq!(head.header("content-length"), "10");
    assert_eq!(head.header("docker-content-digest"), digest.to_string());
    assert!(head.body.is_empty());
}

#[tokio::test]
async fn end_02_an_absent_blob_is_404() {
    let server = Server::start().await;
    let other = server.push_blob("other", b"of another repository").await;
    server.push_blob("app", b"x").await;
    for digest in [Digest::of(b"absent"), other] {
        server.get(&format!("/v2/app/blobs/{digest}")).await.fails(StatusCode::NOT_FOUND, "BLOB_UNKNOWN");
        server.send("HEAD", &format!("/v2/app/blobs/{digest}")).await.is(StatusCode::NOT_FOUND);
        server.get(&format!("/v2/none/blobs/{digest}")).await.fails(StatusCode::NOT_FOUND, "BLOB_UNKNOWN");
    }
}

#[tokio::test]
async fn end_02_ranges() {
    let server = Server::start().await;
    let digest = server.push_blob("app", b"0123456789").await;
    let get = async |range: &str| {
        let request = server.request("GET", &format!("/v2/app/blobs/{digest}")).header("Range", range);
        Answer::of(request.send().await.unwrap()).await
    };
    for (range, expected, header) in [
        ("bytes=0-3", "0123", "bytes 0-3/10"),
        ("bytes=7-", "789", "bytes 7-9/10"),
        ("bytes=-2", "89", "bytes 8-9/10"),
        ("bytes=8-100", "89", "bytes 8-9/10"),
    ] {
        let part = get(range).await.is(StatusCode::PARTIAL_CONTENT);
        assert_eq!((part.body.as_slice(), part.header("content-range")), (expected.as_bytes(), header), "{range}");
    }
    for none in ["bytes=10-", "bytes=50-100", "bytes=5-0"] {
        let refused = get(none).await.fails(StatusCode::RANGE_NOT_SATISFIABLE, "RANGE_INVALID");
        assert_eq!(refused.header("content-range"), "bytes */10", "{none}");
    }
    for whole in ["bytes=0-1,3-4", "lines=1-2", "bytes=x"] {
        assert_eq!(get(whole).await.is(StatusCode::OK).body, b"0123456789", "{whole}");
    }
}

#[tokio::test]
async fn end_02_conditional_get() {
    let server = Server::start().await;
    let digest = server.push_blob("app", b"x").await;
    let get = async |tag: String| {
        let request = server.request("GET", &format!("/v2/app/blobs/{digest}")).header("If-None-Match", tag);
        Answer::of(request.send().await.unwrap()).await
    };
    assert!(get(format!("\"{digest}\"")).await.is(StatusCode::NOT_MODIFIED).body.is_empty());
    get(format!("\"other\", W/\"{digest}\"")).await.is(StatusCode::NOT_MODIFIED);
    get("\"other\"".to_owned()).await.is(StatusCode::OK);
}

#[tokio::test]
async fn end_02_other_algorithms() {
    let server = Server::start().await;
    for algorithm in [Algorithm::Sha384, Algorithm::Sha512] {
        let digest = digest_by(algorithm, b"bytes");
        let path = format!("/v2/app/blobs/uploads/?digest={digest}");
        let pushed = Answer::of(server.request("POST", &path).body("bytes").send().await.unwrap()).await;
        assert_eq!(pushed.is(StatusCode::CREATED).header("docker-content-digest"), digest.to_string());
        assert_eq!(server.get(&format!("/v2/app/blobs/{digest}")).await.is(StatusCode::OK).body, b"bytes");
    }
}

#[tokio::test]
async fn end_10_a_deleted_blob_is_gone_from_its_repository() {
    let server = Server::start().await;
    let digest = server.push_blob("app", b"x").await;
    server.push_blob("other", b"x").await;
    let path = format!("/v2/app/blobs/{digest}");
    server.send("DELETE", &path).await.is(StatusCode::ACCEPTED);
    server.get(&path).await.fails(StatusCode::NOT_FOUND, "BLOB_UNKNOWN");
    server.send("DELETE", &path).await.fails(StatusCode::NOT_FOUND, "BLOB_UNKNOWN");
    server.get(&format!("/v2/other/blobs/{digest}")).await.is(StatusCode::OK);
    server.send("DELETE", "/v2/app/blobs/sha256:1").await.fails(StatusCode::BAD_REQUEST, "DIGEST_INVALID");
}
