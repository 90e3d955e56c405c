//! end-7: pushing manifests.

use reqwest::StatusCode;
use strata_model::{Algorithm, Digest, MediaType};
use strata_testkit::{Image, Index};

use crate::support::{Answer, Server, digest_by};

async fn blobs(server: &Server, image: &Image) {
    for (_, bytes) in image.blobs() {
        server.push_blob("app", &bytes).await;
    }
}

#[tokio::test]
async fn end_07a_by_tag_and_by_digest() {
    let server = Server::start().await;
    let image = Image::small("x");
    blobs(&server, &image).await;
    for target in ["latest".to_owned(), image.digest().to_string()] {
        let put = server.put_manifest("app", &target, &image.media_type, &image.manifest).await.is(StatusCode::CREATED);
        assert_eq!(put.header("docker-content-digest"), image.digest().to_string());
        assert_eq!(server.get(put.header("location")).await.is(StatusCode::OK).body, image.manifest);
    }
    let other = Digest::of(b"other").to_string();
    let wrong = server.put_manifest("app", &other, &image.media_type, &image.manifest).await;
    wrong.fails(StatusCode::BAD_REQUEST, "DIGEST_INVALID");
}

#[tokio::test]
async fn end_07a_sha512() {
    let server = Server::start().await;
    let image = Image::small("x");
    blobs(&server, &image).await;
    let digest = digest_by(Algorithm::Sha512, &image.manifest).to_string();
    let put = server.put_manifest("app", &format!("{digest}?tag=long"), &image.media_type, &image.manifest).await;
    assert_eq!(put.is(StatusCode::CREATED).header("docker-content-digest"), digest);
    let got = server.get("/v2/app/manifests/long").await.is(StatusCode::OK);
    assert_eq!(got.header("docker-content-digest"), digest);
    server.get(&format!("/v2/app/manifests/{digest}")).await.is(StatusCode::OK);
}

#[tokio::test]
async fn end_07a_what_a_manifest_names_must_be_there() {
    let server = Server::start().await;
    let image = Image::small("x");
    let put = server.put_manifest("app", "latest", &image.media_type, &image.manifest).await;
    let refused = put.fails(StatusCode::BAD_REQUEST, "MANIFEST_BLOB_UNKNOWN");
    assert_eq!(refused.json()["errors"].as_array().unwrap().len(), image.blobs().len());
    let index = Index::new(vec![image]);
    let put = server.put_manifest("app", "latest", &index.media_type, &index.manifest).await;
    put.fails(StatusCode::BAD_REQUEST, "MANIFEST_BLOB_UNKNOWN");
}

#[tokio::test]
async fn end_07a_what_is_no_manifest_is_refused() {
    let server = Server::start().await;
    let image = Image::small("x");
    blobs(&server, &image).await;
    let oci = MediaType::OCI_MANIFEST;
    let ambiguous = r#"{"schemaVersion":2,"config":{},"layers":[],"manifests":[]}"#;
    let deep = format!("{}{}", "[".repeat(100_000), "]".repeat(100_000));
    for bytes in ["", "{", "[]", "{}", "null", ambiguous, deep.as_str()] {
        let refused = server.put_manifest("app", "bad", &oci, bytes.as_bytes()).await;
        refused.fails(StatusCode::BAD_REQUEST, "MANIFEST_INVALID");
    }
    let mismatch = server.put_manifest("app", "bad", &MediaType::OCI_INDEX, &image.manifest).await;
    mismatch.fails(StatusCode::BAD_REQUEST, "MANIFEST_INVALID");
    let tag = server.put_manifest("app", ".bad", &oci, &image.manifest).await;
    tag.fails(StatusCode::BAD_REQUEST, "TAG_INVALID");
    let large = vec![b' '; (4 << 20) + 1];
    let refused = server.put_manifest("app", "large", &oci, &large).await;
    refused.fails(StatusCode::PAYLOAD_TOO_LARGE, "MANIFEST_INVALID");
}

#[tokio::test]
async fn end_07a_parameters_of_the_type_are_left_out() {
    let server = Server::start().await;
    let image = Image::small("x");
    blobs(&server, &image).await;
    let with = format!("{}; charset=utf-8", image.media_type);
    let request = server.request("PUT", "/v2/app/manifests/latest").header("Content-Type", with);
    let put = Answer::of(request.body(image.manifest.clone()).send().await.unwrap()).await;
    put.is(StatusCode::CREATED);
    let got = server.get("/v2/app/manifests/latest").await;
    assert_eq!(got.header("content-type"), image.media_type.as_str());
}

#[tokio::test]
async fn end_07a_a_subject_need_not_be_there() {
    let server = Server::start().await;
    let config = server.push_blob("app", b"{}").await;
    let subject = Digest::of(b"to come");
    let manifest = serde_json::json!({
        "schemaVersion": 2,
        "mediaType": "application/vnd.oci.image.manifest.v1+json",
        "config": { "mediaType": "application/vnd.oci.empty.v1+json", "digest": config, "size": 2 },
        "layers": [],
        "subject": { "mediaType": MediaType::OCI_MANIFEST, "digest": subject, "size": 7 },
    });
    let put = server.put_manifest("app", "about", &MediaType::OCI_MANIFEST, manifest.to_string().as_bytes()).await;
    assert_eq!(put.is(StatusCode::CREATED).header("oci-subject"), subject.to_string());
}

#[tokio::test]
async fn end_07b_many_tags_at_once() {
    let server = Server::start().await;
    let image = Image::small("x");
    blobs(&server, &image).await;
    let tags: Vec<String> = (10..30).map(|number| format!("t{number}")).collect();
    let query: Vec<String> = tags.iter().map(|tag| format!("tag={tag}")).collect();
    let target = format!("{}?{}", image.digest(), query.join("&"));
    let put = server.put_manifest("app", &target, &image.media_type, &image.manifest).await.is(StatusCode::CREATED);
    assert_eq!(put.all("oci-tag"), tags);
    for tag in &tags {
        let got = server.get(&format!("/v2/app/manifests/{tag}")).await.is(StatusCode::OK);
        assert_eq!(got.header("docker-content-digest"), image.digest().to_string());
    }
    let bad = format!("{}?tag=ok&tag=.bad", image.digest());
    let refused = server.put_manifest("app", &bad, &image.media_type, &image.manifest).await;
    refused.fails(StatusCode::BAD_REQUEST, "TAG_INVALID");
    server.get("/v2/app/manifests/ok").await.is(StatusCode::NOT_FOUND);
}
