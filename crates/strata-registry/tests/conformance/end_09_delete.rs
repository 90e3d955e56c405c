//! end-9: deleting tags and manifests.

use reqwest::StatusCode;
use strata_model::Digest;
use strata_testkit::{Image, Index};

use crate::support::Server;

#[tokio::test]
async fn end_09_a_tag_goes_and_its_manifest_stays() {
    let server = Server::start().await;
    let image = Image::small("x");
    server.push_image("app", "one", &image).await;
    server.push_image("app", "two", &image).await;
    server.send("DELETE", "/v2/app/manifests/one").await.is(StatusCode::ACCEPTED);
    server.get("/v2/app/manifests/one").await.fails(StatusCode::NOT_FOUND, "MANIFEST_UNKNOWN");
    server.get("/v2/app/manifests/two").await.is(StatusCode::OK);
    server.get(&format!("/v2/app/manifests/{}", image.digest())).await.is(StatusCode::OK);
    server.send("DELETE", "/v2/app/manifests/one").await.fails(StatusCode::NOT_FOUND, "MANIFEST_UNKNOWN");
}

#[tokio::test]
async fn end_09_a_manifest_goes_with_its_tags() {
    let server = Server::start().await;
    let image = Image::small("x");
    server.push_image("app", "one", &image).await;
    server.push_image("app", "two", &image).await;
    let path = format!("/v2/app/manifests/{}", image.digest());
    server.send("DELETE", &path).await.is(StatusCode::ACCEPTED);
    for gone in [path.as_str(), "/v2/app/manifests/one", "/v2/app/manifests/two"] {
        server.get(gone).await.fails(StatusCode::NOT_FOUND, "MANIFEST_UNKNOWN");
    }
    assert_eq!(server.get("/v2/app/tags/list").await.json()["tags"], serde_json::json!([]));
    let absent = format!("/v2/app/manifests/{}", Digest::of(b"absent"));
    server.send("DELETE", &absent).await.fails(StatusCode::NOT_FOUND, "MANIFEST_UNKNOWN");
    server.send("DELETE", "/v2/app/manifests/sha256:0").await.fails(StatusCode::BAD_REQUEST, "DIGEST_INVALID");
    // Pushed again at once, nothing has to be sent anew.
    server.put_manifest("app", "one", &image.media_type, &image.manifest).await.is(StatusCode::CREATED);
}

#[tokio::test]
async fn end_09_an_entry_of_an_index_is_in_use() {
    let server = Server::start().await;
    let index = Index::new(vec![Image::small("x")]);
    server.push_index("app", "latest", &index).await;
    let entry = format!("/v2/app/manifests/{}", index.images[0].digest());
    server.send("DELETE", &entry).await.fails(StatusCode::METHOD_NOT_ALLOWED, "DENIED");
}
