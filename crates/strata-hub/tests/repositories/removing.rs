//! What removals would give back, and what they do.

use std::time::Duration;

use strata_hub::{HubError, Identity};
use strata_model::ErrorKind;
use strata_testkit::{Image, ImageBuilder, Layer};

use crate::support::{Bench, start};

fn image(seeds: &[u64]) -> Image {
    seeds.iter().fold(ImageBuilder::new(), |image, seed| image.layer(Layer::of_noise(*seed, 300_000))).build()
}

/// `acme/app` with two tags that share a layer with each other and with others' repositories, one of them private.
async fn bench() -> Bench {
    let bench = start().await;
    for (repository, tag, seeds) in [
        ("acme/app", "one", &[1, 2][..]),
        ("acme/app", "two", &[1, 3]),
        ("library/open", "1", &[1]),
        ("secret/app", "1", &[1]),
    ] {
        bench.push(repository, &[tag], &image(seeds), "bob").await;
    }
    bench.follow().await;
    bench
}

#[tokio::test(flavor = "multi_thread")]
async fn a_preview_tells_what_a_removal_frees() {
    let bench = bench().await;
    let (hub, who) = (&bench.hub, Identity::operator());
    let tags = ["two".to_owned()];
    let untagging = hub.preview_untagging(&who, "acme/app", &tags).await.unwrap();
    let deletion = hub.preview_deletion(&who, "acme/app").await.unwrap();
    assert!((300_000..400_000).contains(&untagging.freed), "{untagging:?}");
    assert!((600_000..750_000).contains(&deletion.freed), "{deletion:?}");
    assert!((300_000..310_000).contains(&deletion.kept) && untagging.kept == 0, "the layer of all: {deletion:?}");
    assert_eq!(deletion.sharers, ["library/open", "secret/app"]);
    let again = hub.preview_untagging(&who, "acme/app", &tags).await.unwrap();
    assert_eq!(again, untagging, "nothing was changed");

    assert_eq!(hub.delete_tags_as(&who, "acme/app", &tags).await.unwrap(), 1);
    assert_eq!(hub.registry().collect(Some(Duration::ZERO)).await.unwrap(), untagging.freed);
    let deletion = hub.preview_deletion(&who, "acme/app").await.unwrap();
    hub.delete_repository_as(&who, "acme/app", " acme/app ").await.unwrap();
    assert_eq!(hub.registry().collect(Some(Duration::ZERO)).await.unwrap(), deletion.freed);
}

#[tokio::test(flavor = "multi_thread")]
async fn removals_are_for_admins_who_mean_it() {
    let bench = bench().await;
    let (hub, who) = (&bench.hub, Identity::operator());
    let kind = |result: Result<(), HubError>| result.unwrap_err().kind();
    assert_eq!(kind(hub.administered(None, "acme/app").await.map(drop)), ErrorKind::NotFound);
    assert_eq!(kind(hub.delete_repository_as(&who, "acme/app", "app").await), ErrorKind::Invalid);
    assert_eq!(kind(hub.delete_tags_as(&who, "acme/app", &["three".into()]).await.map(drop)), ErrorKind::NotFound);
    assert_eq!(kind(hub.preview_untagging(&who, "acme/app", &["..".into()]).await.map(drop)), ErrorKind::NotFound);
}
