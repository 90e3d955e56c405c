//! Rules that a client does not see, or sees only by a switch; and the end of the server.

use std::time::{Duration, Instant};

use reqwest::StatusCode;
use strata_registry::{LibraryAlias, RegistryRules};
use strata_testkit::Image;

use crate::support::Server;

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn short_names_and_library_are_one() {
    let server = Server::start().await;
    let image = Image::small("x");
    server.push_image("library/nginx", "latest", &image).await;
    server.get("/v2/nginx/manifests/latest").await.is(StatusCode::OK);
    // A push to the other name goes to the same repository: what a client saw there, its manifest may use.
    server.put_manifest("nginx", "again", &image.media_type, &image.manifest).await.is(StatusCode::CREATED);
    server.push_image("redis", "latest", &image).await;
    server.get("/v2/library/redis/manifests/latest").await.is(StatusCode::OK);
    let listed = server.get("/v2/_catalog").await.json();
    assert_eq!(listed["repositories"], serde_json::json!(["library/nginx", "redis"]));

    let strict = RegistryRules { library_alias: LibraryAlias::Disabled, ..RegistryRules::default() };
    let server = Server::with_rules(strict).await;
    server.push_image("library/nginx", "latest", &image).await;
    server.get("/v2/nginx/manifests/latest").await.fails(StatusCode::NOT_FOUND, "MANIFEST_UNKNOWN");
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn the_catalog_gets_the_bytes_of_configurations() {
    let server = Server::start().await;
    let image = Image::small("x");
    server.push_image("app", "latest", &image).await;
    let txn = server.store.read().await.unwrap();
    let row = txn.object(&image.id().0).await.unwrap().unwrap();
    assert_eq!(row.bytes.as_deref(), Some(&image.config[..]));
    let layer = txn.object(&image.layers[0].digest()).await.unwrap().unwrap();
    assert!(layer.bytes.is_none() && layer.location.is_some());
    assert!(txn.layer_of_blob(&layer.digest).await.unwrap().is_none(), "nothing is unpacked by a push");
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn everything_survives_a_restart() {
    let mut server = Server::start().await;
    let image = Image::small("x");
    server.push_image("app", "latest", &image).await;
    let began = Instant::now();
    server.restart().await;
    assert!(began.elapsed() < Duration::from_secs(8), "idle connections do not delay the end");
    assert_eq!(server.get("/v2/app/manifests/latest").await.is(StatusCode::OK).body, image.manifest);
    for (digest, bytes) in image.blobs() {
        assert_eq!(server.get(&format!("/v2/app/blobs/{digest}")).await.body, bytes);
    }
    assert!(server.store.read().await.unwrap().live_leases(server.store.now()).await.unwrap().is_empty());
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn pushes_and_deletes_at_once_leave_nothing_broken() {
    let server = Server::start().await;
    let images: Vec<Image> = (0..4).map(|number| Image::small(&number.to_string())).collect();
    let work = (0..16).map(|round| {
        let (server, image) = (&server, &images[round % 4]);
        async move {
            let target = format!("/v2/app/manifests/{}", image.digest());
            for (_, bytes) in image.blobs() {
                server.push_blob("app", &bytes).await;
            }
            // Another round's deletion may have taken a blob in between: then the push says so.
            let put = server.put_manifest("app", "latest", &image.media_type, &image.manifest).await;
            assert!(matches!(put.status, StatusCode::CREATED | StatusCode::BAD_REQUEST));
            let deleted = server.send("DELETE", &target).await;
            assert!(matches!(deleted.status, StatusCode::ACCEPTED | StatusCode::NOT_FOUND));
        }
    });
    futures_util::future::join_all(work).await;
    let txn = server.store.read().await.unwrap();
    for digest in txn.registry_links("app", strata_store::LinkKind::Manifest).await.unwrap() {
        for child in txn.children(&digest).await.unwrap() {
            assert!(txn.registry_link("app", &child).await.unwrap().is_some());
        }
    }
}
