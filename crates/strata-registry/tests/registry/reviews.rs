//! What is not needed any more goes by itself, after a delay, and never what a push counts on; and the history of it all.

use std::time::Duration;

use reqwest::StatusCode;
use strata_model::{Digest, Repository};
use strata_registry::{RegistryRules, UntaggedManifests};
use strata_store::{RegistryAction, RegistryHistoryRow};
use strata_testkit::{Image, ImageBuilder, Index, Layer};

use crate::support::Server;

fn app() -> Repository {
    "app".parse().unwrap()
}

/// What is due at once goes at once; what was promised to clients stays.
fn without_delay() -> RegistryRules {
    RegistryRules { review_after: Duration::ZERO, ..RegistryRules::default() }
}

async fn has(server: &Server, digest: &Digest) -> bool {
    server.store.read().await.unwrap().registry_link("app", digest).await.unwrap().is_some()
}

async fn history(server: &Server) -> Vec<RegistryHistoryRow> {
    server.store.read().await.unwrap().registry_history(0, 100).await.unwrap()
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_manifest_without_tags_goes_after_the_delay() {
    let server = Server::start().await;
    let image = Image::small("x");
    server.push_image("app", "latest", &image).await;
    server.push_image("app", "other", &image).await;
    server.send("DELETE", "/v2/app/manifests/latest").await.is(StatusCode::ACCEPTED);
    assert_eq!(server.collect().await, 0, "another tag needs it");
    server.send("DELETE", "/v2/app/manifests/other").await.is(StatusCode::ACCEPTED);
    assert_eq!(server.registry.collect(None).await.unwrap(), 0, "not due for an hour");
    assert!(has(&server, &image.digest()).await);
    assert!(server.collect().await > 0);
    assert!(!has(&server, &image.digest()).await);
    assert_eq!(server.files("blobs"), 0);
    assert_eq!(server.get("/v2/app/tags/list").await.is(StatusCode::OK).json()["tags"], serde_json::json!([]));
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_tag_that_moves_away_frees_what_only_it_held() {
    let server = Server::start().await;
    let base = Layer::of_file("base", "shared");
    let images: Vec<Image> = ["1", "2"]
        .iter()
        .map(|text| ImageBuilder::new().layer(base.clone()).layer(Layer::of_file("own", text)).build())
        .collect();
    server.push_image("app", "latest", &images[0]).await;
    server.push_image("app", "latest", &images[1]).await;
    server.collect().await;
    assert!(!has(&server, &images[0].digest()).await && !has(&server, &images[0].layers[1].digest()).await);
    assert!(has(&server, &images[1].digest()).await && has(&server, &base.digest()).await);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn an_index_takes_its_entries_along() {
    let server = Server::start().await;
    let index = Index::new(vec![Image::small("amd64"), ImageBuilder::new().platform("linux/arm64").build()]);
    server.push_index("app", "latest", &index).await;
    server.collect().await;
    assert!(has(&server, &index.images[1].digest()).await);
    server.send("DELETE", "/v2/app/manifests/latest").await.is(StatusCode::ACCEPTED);
    server.collect().await;
    assert_eq!(server.files("blobs"), 0);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn what_is_about_a_manifest_goes_with_it() {
    let server = Server::start().await;
    let image = Image::small("x");
    server.push_image("app", "latest", &image).await;
    let config = server.push_blob("app", b"{}").await;
    let manifest = serde_json::json!({
        "schemaVersion": 2,
        "mediaType": "application/vnd.oci.image.manifest.v1+json",
        "artifactType": "application/vnd.example.signature",
        "config": { "mediaType": "application/vnd.oci.empty.v1+json", "digest": config, "size": 2 },
        "layers": [],
        "subject": { "mediaType": image.media_type, "digest": image.digest(), "size": image.manifest.len() },
    });
    let bytes = manifest.to_string().into_bytes();
    let signature = Digest::of(&bytes);
    let oci = strata_model::MediaType::OCI_MANIFEST;
    server.put_manifest("app", &signature.to_string(), &oci, &bytes).await.is(StatusCode::CREATED);
    server.collect().await;
    assert!(has(&server, &signature).await, "its subject is there");
    server.send("DELETE", "/v2/app/manifests/latest").await.is(StatusCode::ACCEPTED);
    server.collect().await;
    assert!(!has(&server, &signature).await && !has(&server, &image.digest()).await);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn untagged_manifests_stay_where_the_rules_say_so() {
    let rules = RegistryRules { untagged: UntaggedManifests::Kept, ..RegistryRules::default() };
    let server = Server::with_rules(rules).await;
    let image = Image::small("x");
    server.push_image("app", "latest", &image).await;
    server.send("DELETE", "/v2/app/manifests/latest").await.is(StatusCode::ACCEPTED);
    server.collect().await;
    server.get(&format!("/v2/app/manifests/{}", image.digest())).await.is(StatusCode::OK);
    // So does one that never had a tag, whatever the rules.
    let server = Server::start().await;
    server.push_image("app", &image.digest().to_string(), &image).await;
    server.collect().await;
    server.get(&format!("/v2/app/manifests/{}", image.digest())).await.is(StatusCode::OK);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_blob_without_manifest_goes_after_a_day() {
    let server = Server::with_rules(without_delay()).await;
    let blob = server.push_blob("app", b"left over").await;
    server.registry.collect(None).await.unwrap();
    assert!(has(&server, &blob).await);
    let review = server.store.read().await.unwrap().registry_review("app", &blob).await.unwrap().unwrap();
    assert_eq!((review.due - review.touched) / 1_000_000_000, 86_400);
    server.collect().await;
    assert!(!has(&server, &blob).await);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_client_that_was_told_of_a_blob_can_count_on_it() {
    let server = Server::with_rules(without_delay()).await;
    let image = Image::small("x");
    server.push_image("app", "latest", &image).await;
    // The uploads' own reviews are over.
    let mut txn = server.store.write("test").await.unwrap();
    for (digest, _) in image.blobs() {
        txn.delete_registry_review("app", &digest).await.unwrap();
    }
    txn.commit().await.unwrap();
    let layer = image.layers[0].digest();
    server.send("HEAD", &format!("/v2/app/blobs/{layer}")).await.is(StatusCode::OK);
    server.send("DELETE", &format!("/v2/app/manifests/{}", image.digest())).await.is(StatusCode::ACCEPTED);
    server.registry.collect(None).await.unwrap();
    assert!(has(&server, &layer).await, "it was promised");
    assert!(!has(&server, &image.id().0).await, "this was not");
    // Said again within half the time, nothing is written.
    let review = async || server.store.read().await.unwrap().registry_review("app", &layer).await.unwrap().unwrap();
    let before = review().await;
    server.send("HEAD", &format!("/v2/app/blobs/{layer}")).await.is(StatusCode::OK);
    assert_eq!(review().await, before);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn pushes_go_on_while_everything_is_deleted_and_collected() {
    let server = Server::with_rules(without_delay()).await;
    let base = Layer::of_file("base", "shared");
    let image = |number: usize| {
        ImageBuilder::new().layer(base.clone()).layer(Layer::of_file("own", number.to_string())).build()
    };
    let pushes = async {
        for round in 0..3 {
            let work = (0..6).map(|number| {
                let (server, image) = (&server, image(number));
                async move {
                    let tag = format!("t{number}");
                    for (digest, bytes) in image.blobs() {
                        // As clients do: what is there is not sent.
                        let head = server.send("HEAD", &format!("/v2/app/blobs/{digest}")).await;
                        if head.status != StatusCode::OK {
                            server.push_blob("app", &bytes).await;
                        }
                    }
                    server.put_manifest("app", &tag, &image.media_type, &image.manifest).await.is(StatusCode::CREATED);
                    if (number + round) % 2 == 0 {
                        server.send("DELETE", &format!("/v2/app/manifests/{tag}")).await.is(StatusCode::ACCEPTED);
                    }
                }
            });
            futures_util::future::join_all(work).await;
        }
    };
    let collection = async {
        loop {
            server.registry.collect(None).await.unwrap();
            tokio::time::sleep(Duration::from_millis(1)).await;
        }
    };
    tokio::select! { () = pushes => {}, () = collection => {} }
    let tags = server.get("/v2/app/tags/list").await.json()["tags"].as_array().unwrap().len();
    assert_eq!(tags, 3);
    for number in [1, 3, 5] {
        for (digest, bytes) in image(number).blobs() {
            assert_eq!(server.get(&format!("/v2/app/blobs/{digest}")).await.is(StatusCode::OK).body, bytes);
        }
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn the_history_tells_what_was_done() {
    let server = Server::start().await;
    let (one, two) = (Image::small("1"), Image::small("2"));
    server.push_image("app", "latest", &one).await;
    server.push_image("app", "latest", &two).await;
    server.send("DELETE", "/v2/app/manifests/latest").await.is(StatusCode::ACCEPTED);
    server.push_image("app", "v2", &two).await;
    server.send("DELETE", &format!("/v2/app/manifests/{}", two.digest())).await.is(StatusCode::ACCEPTED);
    server.collect().await;
    let rows = history(&server).await;
    let told: Vec<_> = rows.iter().map(|row| (row.action, row.tag.as_str(), row.digest, row.previous)).collect();
    let (one, two) = (Some(one.digest()), Some(two.digest()));
    use RegistryAction::{Collect, Delete, Push, Tag, Untag};
    let expected = [
        (Push, "", one, None),
        (Tag, "latest", one, None),
        (Push, "", two, None),
        (Tag, "latest", two, one),
        (Untag, "latest", None, two),
        (Push, "", two, None),
        (Tag, "v2", two, None),
        (Untag, "v2", None, two),
        (Delete, "", two, None),
        (Collect, "", one, None),
    ];
    assert_eq!(told, expected);
    assert!(rows.iter().enumerate().all(|(position, row)| row.sequence == position as i64 + 1));
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_repository_goes_as_a_whole() {
    let server = Server::start().await;
    let image = Image::small("x");
    server.push_image("app", "latest", &image).await;
    server.push_image("other", "latest", &image).await;
    server.registry.delete_repository(&app(), "alice").await.unwrap();
    assert!(server.registry.delete_repository(&app(), "alice").await.is_err());
    server.get("/v2/app/tags/list").await.fails(StatusCode::NOT_FOUND, "NAME_UNKNOWN");
    assert_eq!(server.get("/v2/_catalog").await.json()["repositories"], serde_json::json!(["other"]));
    server.collect().await;
    assert_eq!(server.get("/v2/other/manifests/latest").await.body, image.manifest);
    server.registry.delete_repository(&"other".parse().unwrap(), "alice").await.unwrap();
    server.collect().await;
    assert_eq!(server.files("blobs"), 0);
    let last = history(&server).await.pop().unwrap();
    assert_eq!(
        (last.repository.as_str(), last.action, last.actor.as_str()),
        ("other", RegistryAction::Delete, "alice")
    );
}
