//! end-3: pulling manifests.

use reqwest::StatusCode;
use strata_model::Digest;
use strata_testkit::{Image, Index};

use crate::support::{Answer, Server};

#[tokio::test]
async fn end_03_by_tag_and_by_digest_byte_for_byte() {
    let server = Server::start().await;
    let index = Index::new(vec![Image::small("x")]);
    server.push_index("app", "latest", &index).await;
    for target in ["latest".to_owned(), index.digest().to_string()] {
        let path = format!("/v2/app/manifests/{target}");
        let got = server.get(&path).await.is(StatusCode::OK);
        assert_eq!(got.body, index.manifest);
        let head = server.send("HEAD", &path).await.is(StatusCode::OK);
        for answer in [got, head] {
            assert_eq!(answer.header("content-type"), index.media_type.as_str());
            assert_eq!(answer.header("docker-content-digest"), index.digest().to_string());
            assert_eq!(answer.header("content-length"), index.manifest.len().to_string());
            assert_eq!(answer.header("etag"), format!("\"{}\"", index.digest()));
        }
    }
}

#[tokio::test]
async fn end_03_an_absent_manifest_is_404() {
    let server = Server::start().await;
    let image = Image::small("x");
    server.push_image("app", "latest", &image).await;
    let absent = Digest::of(b"absent");
    for path in [
        "/v2/app/manifests/other".to_owned(),
        format!("/v2/app/manifests/{absent}"),
        format!("/v2/other/manifests/{}", image.digest()),
        // A blob is no manifest.
        format!("/v2/app/manifests/{}", image.id()),
        // What cannot be a tag does not exist.
        "/v2/app/manifests/.odd".to_owned(),
    ] {
        server.get(&path).await.fails(StatusCode::NOT_FOUND, "MANIFEST_UNKNOWN");
        server.send("HEAD", &path).await.is(StatusCode::NOT_FOUND);
    }
}

#[tokio::test]
async fn end_03_conditional_get_and_any_accept() {
    let server = Server::start().await;
    let image = Image::small("x");
    server.push_image("app", "latest", &image).await;
    let request = |name: &str, value: String| server.request("GET", "/v2/app/manifests/latest").header(name, value);
    let known = request("If-None-Match", format!("\"{}\"", image.digest())).send().await.unwrap();
    assert!(Answer::of(known).await.is(StatusCode::NOT_MODIFIED).body.is_empty());
    let other = request("Accept", "application/vnd.example.other".to_owned()).send().await.unwrap();
    assert_eq!(Answer::of(other).await.is(StatusCode::OK).body, image.manifest);
}
