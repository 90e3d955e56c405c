//! Pushing and reading manifests.

use reqwest::StatusCode;
use serde_json::json;
use strata_model::{Algorithm, Digest, MediaType};
use strata_registry::{RegistryRules, SparseManifests};
use strata_testkit::{Image, ImageBuilder, Index, Layer};

use crate::support::{Answer, Server, digest_by};

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn an_image_comes_back_byte_for_byte() {
    let server = Server::start().await;
    for image in [Image::small("oci"), ImageBuilder::new().docker().layer(Layer::of_file("file", "docker")).build()] {
        for (_, bytes) in image.blobs() {
            server.push_blob("app", &bytes).await;
        }
        let pushed = server.put_manifest("app", "latest", &image.media_type, &image.manifest).await;
        let pushed = pushed.is(StatusCode::CREATED);
        assert_eq!(pushed.header("docker-content-digest"), image.digest().to_string());
        assert_eq!(pushed.header("location"), format!("/v2/app/manifests/{}", image.digest()));
        assert!(!pushed.has("oci-subject"));
        for target in ["latest".to_owned(), image.digest().to_string()] {
            let path = format!("/v2/app/manifests/{target}");
            let answer = server.get(&path).await.is(StatusCode::OK);
            assert_eq!(answer.body, image.manifest);
            assert_eq!(answer.header("content-type"), image.media_type.as_str());
            assert_eq!(answer.header("docker-content-digest"), image.digest().to_string());
            let head = server.send("HEAD", &path).await.is(StatusCode::OK);
            assert_eq!(head.header("content-length"), image.manifest.len().to_string());
            assert_eq!(head.header("etag"), format!("\"{}\"", image.digest()));
            let known = server.request("GET", &path).header("If-None-Match", head.header("etag"));
            Answer::of(known.send().await.unwrap()).await.is(StatusCode::NOT_MODIFIED);
        }
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn what_is_missing_is_named() {
    let server = Server::start().await;
    let image = ImageBuilder::new().layer(Layer::of_file("a", "1")).layer(Layer::of_file("b", "2")).build();
    let put = async |repository| server.put_manifest(repository, "latest", &image.media_type, &image.manifest).await;
    server.push_blob("app", &image.config).await;
    let refused = put("app").await.fails(StatusCode::BAD_REQUEST, "MANIFEST_BLOB_UNKNOWN");
    let errors = refused.json()["errors"].as_array().unwrap().clone();
    let named: Vec<&str> = errors.iter().map(|error| error["detail"]["digest"].as_str().unwrap()).collect();
    let layers: Vec<String> = image.layers.iter().map(|layer| layer.digest().to_string()).collect();
    assert_eq!(named, layers);
    server.push_image("app", "latest", &image).await;
    // That the store has it all is not enough.
    put("other").await.fails(StatusCode::BAD_REQUEST, "MANIFEST_BLOB_UNKNOWN");
    server.get("/v2/other/manifests/latest").await.fails(StatusCode::NOT_FOUND, "MANIFEST_UNKNOWN");
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn malformed_manifests_are_refused() {
    let server = Server::start().await;
    let image = Image::small("x");
    server.push_image("app", "latest", &image).await;
    let oci = MediaType::OCI_MANIFEST;
    let both = json!({ "schemaVersion": 2, "manifests": [], "layers": [] }).to_string();
    let schema1 = json!({ "schemaVersion": 1, "fsLayers": [] }).to_string();
    let foreign = json!({ "schemaVersion": 2, "mediaType": "application/x", "config": image.layers[0].descriptor(false), "layers": [] });
    for (media_type, bytes) in [
        (&oci, &b"no json"[..]),
        (&oci, both.as_bytes()),
        (&MediaType::DOCKER_SCHEMA1_SIGNED, schema1.as_bytes()),
        (&MediaType::OCI_INDEX, &image.manifest[..]),
        (&MediaType::DOCKER_MANIFEST, &image.manifest[..]),
        (&MediaType::OCTET_STREAM, &image.manifest[..]),
        (&MediaType::parse("application/x"), foreign.to_string().as_bytes()),
    ] {
        let refused = server.put_manifest("app", "bad", media_type, bytes).await;
        refused.fails(StatusCode::BAD_REQUEST, "MANIFEST_INVALID");
    }
    let other = Digest::of(b"other").to_string();
    let refused = server.put_manifest("app", &other, &oci, &image.manifest).await;
    refused.fails(StatusCode::BAD_REQUEST, "DIGEST_INVALID");
    server.put_manifest("app", ".bad", &oci, &image.manifest).await.fails(StatusCode::BAD_REQUEST, "TAG_INVALID");
    server.get("/v2/app/manifests/.bad").await.fails(StatusCode::NOT_FOUND, "MANIFEST_UNKNOWN");
    let large = vec![b' '; (4 << 20) + 1];
    server.put_manifest("app", "bad", &oci, &large).await.fails(StatusCode::PAYLOAD_TOO_LARGE, "MANIFEST_INVALID");
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_manifest_of_four_mebibytes_is_taken() {
    let server = Server::start().await;
    let image = ImageBuilder::new().annotation("padding", &"x".repeat((4 << 20) - 1000)).build();
    assert!(image.manifest.len() > (4 << 20) - 1000 && image.manifest.len() <= 4 << 20);
    server.push_image("app", "large", &image).await;
    assert!(server.get("/v2/app/manifests/large").await.body == image.manifest);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn the_header_decides_where_the_document_is_silent() {
    let server = Server::start().await;
    let image = Image::small("x");
    server.push_image("app", "latest", &image).await;
    let mut silent: serde_json::Value = serde_json::from_slice(&image.manifest).unwrap();
    silent.as_object_mut().unwrap().remove("mediaType");
    let silent = silent.to_string();
    for (tag, sent, expected) in [
        ("a", "application/vnd.docker.distribution.manifest.v2+json; charset=utf-8", MediaType::DOCKER_MANIFEST),
        ("b", "text/plain", MediaType::DOCKER_MANIFEST),
    ] {
        let put = server.request("PUT", &format!("/v2/app/manifests/{tag}")).header("Content-Type", sent);
        Answer::of(put.body(silent.clone()).send().await.unwrap()).await.is(StatusCode::CREATED);
        // The second says nothing better about the same bytes.
        assert_eq!(server.get(&format!("/v2/app/manifests/{tag}")).await.header("content-type"), expected.as_str());
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn an_index_needs_its_entries_unless_it_may_be_sparse() {
    let index = Index::new(vec![Image::small("amd64"), ImageBuilder::new().platform("linux/arm64").build()]);
    let sparse = RegistryRules { sparse_manifests: SparseManifests::Allowed, ..RegistryRules::default() };
    for (rules, status) in [(RegistryRules::default(), StatusCode::BAD_REQUEST), (sparse, StatusCode::CREATED)] {
        let server = Server::with_rules(rules).await;
        let image = &index.images[0];
        server.push_image("app", &image.digest().to_string(), image).await;
        server.put_manifest("app", "latest", &index.media_type, &index.manifest).await.is(status);
        server.push_index("app", "latest", &index).await;
        assert_eq!(server.get("/v2/app/manifests/latest").await.body, index.manifest);
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn foreign_layers_and_inline_empty_blobs_need_not_be_pushed() {
    let server = Server::start().await;
    let absent = Digest::of(b"windows");
    let empty = Digest::of(b"{}");
    let manifest = json!({
        "schemaVersion": 2,
        "mediaType": MediaType::OCI_MANIFEST,
        "artifactType": "application/example",
        "config": { "mediaType": MediaType::OCI_EMPTY, "digest": empty, "size": 2, "data": "e30=" },
        "layers": [
            { "mediaType": MediaType::DOCKER_FOREIGN_LAYER, "digest": absent, "size": 7, "urls": ["https://example.com/x"] },
        ],
    });
    let pushed = server.put_manifest("app", "latest", &MediaType::OCI_MANIFEST, manifest.to_string().as_bytes()).await;
    pushed.is(StatusCode::CREATED);
    assert_eq!(server.get(&format!("/v2/app/blobs/{empty}")).await.is(StatusCode::OK).body, b"{}");
    server.get(&format!("/v2/app/blobs/{absent}")).await.fails(StatusCode::NOT_FOUND, "BLOB_UNKNOWN");
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_push_by_digest_sets_many_tags() {
    let server = Server::start().await;
    let image = Image::small("x");
    server.push_image("app", "latest", &image).await;
    for digest in [Algorithm::Sha256, Algorithm::Sha512].map(|algorithm| digest_by(algorithm, &image.manifest)) {
        let tags: Vec<String> = (10..22).map(|number| format!("{}-{number}", digest.algorithm().name())).collect();
        let query: Vec<String> = tags.iter().map(|tag| format!("tag={tag}")).collect();
        let target = format!("{digest}?{}", query.join("&"));
        let answer = server.put_manifest("app", &target, &image.media_type, &image.manifest).await;
        let answer = answer.is(StatusCode::CREATED);
        assert_eq!(answer.all("oci-tag"), tags);
        let read = server.get(&format!("/v2/app/manifests/{}", tags[11])).await.is(StatusCode::OK);
        assert_eq!((read.header("docker-content-digest"), &read.body), (digest.to_string().as_str(), &image.manifest));
    }
}
