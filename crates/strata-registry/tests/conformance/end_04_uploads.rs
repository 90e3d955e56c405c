//! end-4 to end-6, end-11, end-13, end-14: uploads of blobs.

use reqwest::StatusCode;
use strata_model::{Algorithm, Digest};

use crate::support::{Answer, Server, digest_by};

pub(crate) async fn begin(server: &Server) -> String {
    let begun = server.send("POST", "/v2/app/blobs/uploads/").await.is(StatusCode::ACCEPTED);
    assert_eq!(begun.header("content-length"), "0");
    assert!(begun.has("docker-upload-uuid"));
    begun.header("location").to_owned()
}

pub(crate) async fn chunk(server: &Server, method: &str, location: &str, range: Option<&str>, bytes: &[u8]) -> Answer {
    let mut request = server.request(method, location).header("Content-Type", "application/octet-stream");
    if let Some(range) = range {
        request = request.header("Content-Range", range);
    }
    Answer::of(request.body(bytes.to_vec()).send().await.unwrap()).await
}

pub(crate) fn closing(location: &str, digest: &Digest) -> String {
    format!("{location}{}digest={digest}", if location.contains('?') { '&' } else { '?' })
}

#[tokio::test]
async fn end_04a_post_then_put() {
    let server = Server::start().await;
    let digest = Digest::of(b"whole");
    let location = begin(&server).await;
    let put = chunk(&server, "PUT", &closing(&location, &digest), None, b"whole").await.is(StatusCode::CREATED);
    assert_eq!(put.header("docker-content-digest"), digest.to_string());
    let blob = put.header("location").to_owned();
    assert_eq!(server.get(&blob).await.is(StatusCode::OK).body, b"whole");
    chunk(&server, "PUT", &closing(&location, &digest), None, b"")
        .await
        .fails(StatusCode::NOT_FOUND, "BLOB_UPLOAD_UNKNOWN");
}

#[tokio::test]
async fn end_04b_one_post() {
    let server = Server::start().await;
    let digest = Digest::of(b"whole");
    let path = |digest: &Digest| format!("/v2/app/blobs/uploads/?digest={digest}");
    let posted = chunk(&server, "POST", &path(&digest), None, b"whole").await.is(StatusCode::CREATED);
    assert_eq!(server.get(posted.header("location")).await.is(StatusCode::OK).body, b"whole");
    let wrong = chunk(&server, "POST", &path(&Digest::of(b"other")), None, b"whole").await;
    wrong.fails(StatusCode::BAD_REQUEST, "DIGEST_INVALID");
    let odd = chunk(&server, "POST", "/v2/app/blobs/uploads/?digest=sha256:0", None, b"whole").await;
    odd.fails(StatusCode::BAD_REQUEST, "DIGEST_INVALID");
}

#[tokio::test]
async fn end_04c_the_client_tells_the_algorithm() {
    let server = Server::start().await;
    let post = async |algorithm: &str| {
        server.send("POST", &format!("/v2/app/blobs/uploads/?digest-algorithm={algorithm}")).await
    };
    let begun = post("sha512").await.is(StatusCode::ACCEPTED);
    let digest = digest_by(Algorithm::Sha512, b"whole");
    chunk(&server, "PATCH", begun.header("location"), None, b"whole").await.is(StatusCode::ACCEPTED);
    chunk(&server, "PUT", &closing(begun.header("location"), &digest), None, b"").await.is(StatusCode::CREATED);
    post("md5").await.fails(StatusCode::BAD_REQUEST, "DIGEST_INVALID");
}

#[tokio::test]
async fn end_05_chunks_in_order() {
    let server = Server::start().await;
    let mut location = begin(&server).await;
    for (range, bytes, held) in [("0-4", b"01234".as_slice(), "0-4"), ("5-7", b"567", "0-7")] {
        let patched = chunk(&server, "PATCH", &location, Some(range), bytes).await.is(StatusCode::ACCEPTED);
        assert_eq!(patched.header("range"), held);
        location = patched.header("location").to_owned();
    }
    let digest = Digest::of(b"0123456789");
    let put = chunk(&server, "PUT", &closing(&location, &digest), Some("8-9"), b"89").await.is(StatusCode::CREATED);
    assert_eq!(server.get(put.header("location")).await.body, b"0123456789");
}

#[tokio::test]
async fn end_05_a_chunk_out_of_order_is_416_and_changes_nothing() {
    let server = Server::start().await;
    let location = begin(&server).await;
    chunk(&server, "PATCH", &location, Some("1-3"), b"123").await.is(StatusCode::RANGE_NOT_SATISFIABLE);
    chunk(&server, "PATCH", &location, Some("0-4"), b"01234").await.is(StatusCode::ACCEPTED);
    for bad in ["0-4", "6-8", "4-8", "x", "5", "bytes 5-7/8"] {
        let refused = chunk(&server, "PATCH", &location, Some(bad), b"567").await;
        let refused = refused.fails(StatusCode::RANGE_NOT_SATISFIABLE, "RANGE_INVALID");
        assert_eq!(refused.header("range"), "0-4", "{bad}");
        assert!(refused.has("location"));
    }
    chunk(&server, "PUT", &closing(&location, &Digest::of(b"x")), Some("9-9"), b"x")
        .await
        .is(StatusCode::RANGE_NOT_SATISFIABLE);
    let status = server.get(&location).await.is(StatusCode::NO_CONTENT);
    assert_eq!(status.header("range"), "0-4");
}

#[tokio::test]
async fn end_05_a_chunk_has_the_length_of_its_range() {
    let server = Server::start().await;
    let location = begin(&server).await;
    chunk(&server, "PATCH", &location, Some("0-9"), b"01234").await.fails(StatusCode::BAD_REQUEST, "SIZE_INVALID");
    chunk(&server, "PATCH", &location, Some("0-1"), b"01234").await.fails(StatusCode::BAD_REQUEST, "SIZE_INVALID");
    assert_eq!(server.get(&location).await.header("range"), "0-0");
    chunk(&server, "PATCH", &location, Some("0-4"), b"01234").await.is(StatusCode::ACCEPTED);
}

#[tokio::test]
async fn end_05_a_stream_without_length() {
    let server = Server::start().await;
    let location = begin(&server).await;
    let parts = futures_util::stream::iter((0..64).map(|number| Ok::<_, std::io::Error>(vec![number as u8; 5000])));
    let request = server.request("PATCH", &location).body(reqwest::Body::wrap_stream(parts));
    Answer::of(request.send().await.unwrap()).await.is(StatusCode::ACCEPTED);
    let whole: Vec<u8> = (0..64u8).flat_map(|number| vec![number; 5000]).collect();
    chunk(&server, "PUT", &closing(&location, &Digest::of(&whole)), None, b"").await.is(StatusCode::CREATED);
}

#[tokio::test]
async fn end_06_a_wrong_digest_ends_the_session() {
    let server = Server::start().await;
    let location = begin(&server).await;
    chunk(&server, "PATCH", &location, None, b"bytes").await.is(StatusCode::ACCEPTED);
    let wrong = Digest::of(b"other");
    chunk(&server, "PUT", &closing(&location, &wrong), None, b"")
        .await
        .fails(StatusCode::BAD_REQUEST, "DIGEST_INVALID");
    server.get(&format!("/v2/app/blobs/{wrong}")).await.is(StatusCode::NOT_FOUND);
    server.get(&location).await.fails(StatusCode::NOT_FOUND, "BLOB_UPLOAD_UNKNOWN");
    let location = begin(&server).await;
    chunk(&server, "PUT", &location, None, b"bytes").await.fails(StatusCode::BAD_REQUEST, "DIGEST_INVALID");
}

#[tokio::test]
async fn end_11_a_mount_links_and_an_impossible_one_begins_a_session() {
    let server = Server::start().await;
    let digest = server.push_blob("from", b"shared").await;
    let mounted = server.send("POST", &format!("/v2/to/blobs/uploads/?mount={digest}&from=from")).await;
    let mounted = mounted.is(StatusCode::CREATED);
    assert_eq!(mounted.header("docker-content-digest"), digest.to_string());
    assert_eq!(server.get(mounted.header("location")).await.is(StatusCode::OK).body, b"shared");
    let anywhere = server.send("POST", &format!("/v2/third/blobs/uploads/?mount={digest}")).await;
    anywhere.is(StatusCode::CREATED);
    let absent = Digest::of(b"absent");
    for query in [
        format!("mount={absent}&from=from"),
        format!("mount={absent}"),
        format!("mount={digest}&from=none"),
        format!("mount={digest}&from=NOT A NAME"),
    ] {
        let session = server.send("POST", &format!("/v2/fourth/blobs/uploads/?{query}")).await.is(StatusCode::ACCEPTED);
        assert!(session.header("location").contains("/v2/fourth/blobs/uploads/"), "{query}");
    }
    server
        .send("POST", "/v2/to/blobs/uploads/?mount=sha256:0&from=from")
        .await
        .fails(StatusCode::BAD_REQUEST, "DIGEST_INVALID");
}

#[tokio::test]
async fn end_13_the_status_of_an_upload() {
    let server = Server::start().await;
    let location = begin(&server).await;
    assert_eq!(server.get(&location).await.is(StatusCode::NO_CONTENT).header("range"), "0-0");
    chunk(&server, "PATCH", &location, None, b"0123456789").await.is(StatusCode::ACCEPTED);
    let status = server.get(&location).await.is(StatusCode::NO_CONTENT);
    assert_eq!(status.header("range"), "0-9");
    assert!(status.has("location"));
    let unknown = "/v2/app/blobs/uploads/4f1c2b3a-0000-4000-8000-000000000000";
    server.get(unknown).await.fails(StatusCode::NOT_FOUND, "BLOB_UPLOAD_UNKNOWN");
    server.get("/v2/app/blobs/uploads/odd").await.fails(StatusCode::NOT_FOUND, "BLOB_UPLOAD_UNKNOWN");
    let elsewhere = location.replace("/v2/app/", "/v2/other/");
    server.get(&elsewhere).await.fails(StatusCode::NOT_FOUND, "BLOB_UPLOAD_UNKNOWN");
}

#[tokio::test]
async fn end_13_an_upload_goes_on_after_a_restart_at_the_acknowledged_byte() {
    let mut server = Server::start().await;
    let location = begin(&server).await;
    chunk(&server, "PATCH", &location, Some("0-4"), b"01234").await.is(StatusCode::ACCEPTED);
    server.restart().await;
    assert_eq!(server.get(&location).await.is(StatusCode::NO_CONTENT).header("range"), "0-4");
    chunk(&server, "PATCH", &location, Some("5-9"), b"56789").await.is(StatusCode::ACCEPTED);
    let digest = Digest::of(b"0123456789");
    chunk(&server, "PUT", &closing(&location, &digest), None, b"").await.is(StatusCode::CREATED);
    assert_eq!(server.get(&format!("/v2/app/blobs/{digest}")).await.body, b"0123456789");
}

#[tokio::test]
async fn end_14_a_cancelled_upload_is_unknown() {
    let server = Server::start().await;
    let location = begin(&server).await;
    chunk(&server, "PATCH", &location, None, b"bytes").await.is(StatusCode::ACCEPTED);
    server.send("DELETE", &location).await.is(StatusCode::NO_CONTENT);
    server.send("DELETE", &location).await.fails(StatusCode::NOT_FOUND, "BLOB_UPLOAD_UNKNOWN");
    chunk(&server, "PATCH", &location, None, b"bytes").await.fails(StatusCode::NOT_FOUND, "BLOB_UPLOAD_UNKNOWN");
}
