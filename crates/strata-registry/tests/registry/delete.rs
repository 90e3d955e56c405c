//! Deleting, and what becomes of the bytes.

use reqwest::StatusCode;
use strata_testkit::{Image, ImageBuilder, Index, Layer};

use crate::support::Server;

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_tag_goes_alone() {
    let server = Server::start().await;
    let image = Image::small("x");
    server.push_image("app", "latest", &image).await;
    server.send("DELETE", "/v2/app/manifests/latest").await.is(StatusCode::ACCEPTED);
    server.send("DELETE", "/v2/app/manifests/latest").await.fails(StatusCode::NOT_FOUND, "MANIFEST_UNKNOWN");
    server.get("/v2/app/manifests/latest").await.fails(StatusCode::NOT_FOUND, "MANIFEST_UNKNOWN");
    server.get(&format!("/v2/app/manifests/{}", image.digest())).await.is(StatusCode::OK);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_manifest_goes_with_its_tags_and_what_only_it_needs() {
    let server = Server::start().await;
    let shared = Layer::of_file("shared", "by both");
    let one = ImageBuilder::new().layer(shared.clone()).layer(Layer::of_file("own", "1")).build();
    let two = ImageBuilder::new().layer(shared.clone()).layer(Layer::of_file("own", "2")).build();
    server.push_image("app", "one", &one).await;
    server.put_manifest("app", "also", &one.media_type, &one.manifest).await.is(StatusCode::CREATED);
    server.push_image("app", "two", &two).await;
    let target = format!("/v2/app/manifests/{}", one.digest());
    server.send("DELETE", &target).await.is(StatusCode::ACCEPTED);
    server.send("DELETE", &target).await.fails(StatusCode::NOT_FOUND, "MANIFEST_UNKNOWN");
    assert_eq!(server.get("/v2/app/tags/list").await.json()["tags"], serde_json::json!(["two"]));
    for (digest, _) in two.blobs() {
        server.get(&format!("/v2/app/blobs/{digest}")).await.is(StatusCode::OK);
    }
    let own = one.layers[1].digest();
    server.get(&format!("/v2/app/blobs/{own}")).await.is(StatusCode::OK);
    assert!(server.collect().await > 0);
    server.get(&format!("/v2/app/blobs/{own}")).await.fails(StatusCode::NOT_FOUND, "BLOB_UNKNOWN");
    assert!(server.store.read().await.unwrap().object(&own).await.unwrap().is_none());
    server.send("DELETE", &format!("/v2/app/manifests/{}", two.digest())).await.is(StatusCode::ACCEPTED);
    server.collect().await;
    assert_eq!(server.files("blobs"), 0);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn an_entry_of_an_index_stays_until_the_index_goes() {
    let server = Server::start().await;
    let index = Index::new(vec![Image::small("amd64"), ImageBuilder::new().platform("linux/arm64").build()]);
    server.push_index("app", "latest", &index).await;
    let entry = format!("/v2/app/manifests/{}", index.images[0].digest());
    server.send("DELETE", &entry).await.fails(StatusCode::METHOD_NOT_ALLOWED, "DENIED");
    server.send("DELETE", &format!("/v2/app/manifests/{}", index.digest())).await.is(StatusCode::ACCEPTED);
    server.send("DELETE", &entry).await.is(StatusCode::ACCEPTED);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_blob_goes_from_one_repository_only() {
    let server = Server::start().await;
    let digest = server.push_blob("app", b"shared").await;
    server.push_blob("other", b"shared").await;
    let path = format!("/v2/app/blobs/{digest}");
    server.send("DELETE", &path).await.is(StatusCode::ACCEPTED);
    server.send("DELETE", &path).await.fails(StatusCode::NOT_FOUND, "BLOB_UNKNOWN");
    server.get(&format!("/v2/other/blobs/{digest}")).await.is(StatusCode::OK);
    server.send("DELETE", &format!("/v2/other/blobs/{digest}")).await.is(StatusCode::ACCEPTED);
    assert_eq!(server.files("blobs"), 0);
    // What is a manifest is not deleted as a blob.
    let image = Image::small("x");
    server.push_image("app", "latest", &image).await;
    let manifest = format!("/v2/app/blobs/{}", image.digest());
    server.send("DELETE", &manifest).await.fails(StatusCode::NOT_FOUND, "BLOB_UNKNOWN");
}
