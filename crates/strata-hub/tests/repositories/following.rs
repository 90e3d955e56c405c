//! What the hub learns from the registry's history.

use std::time::Duration;

use strata_hub::records::{RepositoryFilter, TagFilter, TagOrder};
use strata_model::ErrorKind;
use strata_store::registry::{Pull, RegistryRules};
use strata_testkit::{Image, ImageBuilder, Index, Layer};

use crate::support::{Bench, start, start_with};

fn image(platform: &str, content: &str) -> Image {
    ImageBuilder::new().platform(platform).layer(Layer::of_file("content", content)).build()
}

async fn names(bench: &Bench, repository: &str, order: TagOrder) -> Vec<String> {
    let row = bench.hub.repository(repository).await.unwrap();
    let filter = TagFilter { order, limit: 100, ..TagFilter::default() };
    bench.hub.tags(&row, &filter).await.unwrap().1.into_iter().map(|tag| tag.tag).collect()
}

#[tokio::test(flavor = "multi_thread")]
async fn a_push_makes_a_repository_and_describes_its_tags() {
    let bench = start().await;
    bench.follow().await;
    let index = Index::new(vec![image("linux/amd64", "one"), image("linux/arm64", "two")]);
    let digest = bench.push_index("acme/app", &["1.10", "latest"], &index, "bob").await;
    bench.push("acme/app", &["1.9"], &image("linux/arm/v7", "old"), "eve").await;
    bench.follow().await;

    let row = bench.hub.repository("acme/app").await.unwrap();
    assert_eq!((row.is_private, row.is_official, row.stars, row.pulls), (false, false, 0, 0));
    assert_eq!(row.last_pusher.as_deref(), Some("eve"));
    assert_eq!(row.platforms.iter().collect::<Vec<_>>(), ["linux/amd64", "linux/arm/v7", "linux/arm64"]);
    assert_eq!(row.kinds.iter().collect::<Vec<_>>(), ["image"]);
    let tag = bench.hub.tag(&row, "latest").await.unwrap();
    assert_eq!((tag.manifest.digest, tag.pushed_by.as_str()), (digest, "bob"));
    let sizes: u64 = index.images[1].blobs().iter().skip(1).map(|(_, bytes)| bytes.len() as u64).sum();
    assert!(tag.manifest.images.iter().any(|image| image.size > 0 && image.size <= sizes + 10_000));
    let aliases = bench.hub.aliases(&row, &[digest]).await.unwrap();
    assert_eq!(aliases.iter().map(|row| row.tag.as_str()).collect::<Vec<_>>(), ["1.10", "latest"]);
    assert_eq!(names(&bench, "acme/app", TagOrder::Name).await, ["1.9", "1.10", "latest"]);
    assert_eq!(names(&bench, "acme/app", TagOrder::NameDescending).await, ["latest", "1.10", "1.9"]);
    assert_eq!(bench.hub.follow_registry().await.unwrap(), 0);

    bench.push("secret/app", &["1"], &image("linux/amd64", "x"), "").await;
    bench.push("library/nginx", &["1"], &image("linux/amd64", "y"), "").await;
    bench.follow().await;
    assert!(bench.hub.repository("secret/app").await.unwrap().is_private);
    assert!(bench.hub.repository("library/nginx").await.unwrap().is_official);
}

#[tokio::test(flavor = "multi_thread")]
async fn history_is_forgotten_when_it_is_old_and_was_read() {
    let rules = RegistryRules { keep_history: Duration::ZERO, ..RegistryRules::default() };
    let bench = start_with(rules).await;
    for number in 0..25 {
        bench.push("acme/app", &["1"], &image("linux/amd64", &format!("version {number}")), "bob").await;
    }
    assert_eq!(bench.hub.forget_history().await.unwrap(), 0, "nobody has read it");
    bench.follow().await;
    assert_eq!(bench.hub.forget_history().await.unwrap(), 0, "the other reader has not");
    while bench.hub.follow_history().await.unwrap() > 0 {}
    // All pushes, and what the tag was before its last twenty moves.
    assert_eq!(bench.hub.forget_history().await.unwrap(), 25 + 5);
    assert_eq!(bench.hub.forget_history().await.unwrap(), 0);
    let row = bench.hub.repository("acme/app").await.unwrap();
    assert_eq!(bench.hub.tag_history(&row, "1", 100).await.unwrap().len(), 20);

    // The readers go on where they were.
    bench.push("acme/app", &["2"], &image("linux/amd64", "other"), "eve").await;
    assert_eq!(bench.hub.follow_registry().await.unwrap(), 2);
    assert_eq!(names(&bench, "acme/app", TagOrder::Name).await, ["1", "2"]);
}

#[tokio::test(flavor = "multi_thread")]
async fn everything_is_read_anew_where_the_history_has_a_gap() {
    let bench = start().await;
    bench.push("acme/app", &["1", "2"], &image("linux/amd64", "one"), "bob").await;
    bench.push("acme/tool", &["1"], &image("linux/amd64", "tool"), "bob").await;
    bench.follow().await;
    let store = bench.hub.registry().store();
    let repository = "acme/app".parse().unwrap();
    bench.hub.registry().delete_tag(&repository, &"2".parse().unwrap(), "bob").await.unwrap();
    bench.push("acme/app", &["3"], &image("linux/amd64", "three"), "eve").await;
    let mut txn = store.write("forgetting").await.unwrap();
    txn.prune_registry_history(0, i64::MAX, 1).await.unwrap();
    txn.commit().await.unwrap();
    bench.follow().await;
    assert_eq!(names(&bench, "acme/app", TagOrder::Name).await, ["1", "3"]);
    assert_eq!(names(&bench, "acme/tool", TagOrder::Name).await, ["1"]);
    bench.push("acme/app", &["4"], &image("linux/amd64", "four"), "eve").await;
    bench.follow().await;
    assert_eq!(names(&bench, "acme/app", TagOrder::Name).await, ["1", "3", "4"]);
}

#[tokio::test(flavor = "multi_thread")]
async fn what_is_deleted_goes_and_may_come_again() {
    let bench = start().await;
    bench.push("acme/app", &["1"], &image("linux/amd64", "one"), "bob").await;
    bench.follow().await;
    bench.hub.set_star("acme/app", "bob", true).await.unwrap();
    bench.hub.delete_repository("acme/app", "bob").await.unwrap();
    let gone = bench.hub.repository("acme/app").await.unwrap_err();
    assert_eq!(gone.kind(), ErrorKind::NotFound);
    assert!(bench.hub.registry().tags(&"acme/app".parse().unwrap(), None, 10).await.is_err());

    bench.push("acme/app", &["2"], &image("linux/amd64", "two"), "bob").await;
    bench.follow().await;
    assert_eq!(names(&bench, "acme/app", TagOrder::Name).await, ["2"]);
    assert_eq!(bench.hub.repository("acme/app").await.unwrap().stars, 0);

    // Removed behind the hub's back.
    bench.hub.registry().delete_repository(&"acme/app".parse().unwrap(), "").await.unwrap();
    bench.follow().await;
    let (count, rows) =
        bench.hub.repositories(&RepositoryFilter { limit: 10, ..RepositoryFilter::default() }).await.unwrap();
    assert_eq!((count, rows), (0, vec![]));
}

#[tokio::test(flavor = "multi_thread")]
async fn an_interrupted_removal_is_finished() {
    let bench = start().await;
    bench.push("acme/app", &["1"], &image("linux/amd64", "one"), "bob").await;
    bench.follow().await;
    let mut txn = bench.records.write("dying in between").await.unwrap();
    let mut row = txn.repository("acme/app").await.unwrap().unwrap();
    row.status = strata_hub::records::RepositoryStatus::Deleting;
    txn.update_repository(&row).await.unwrap();
    txn.commit().await.unwrap();
    assert!(bench.hub.repository("acme/app").await.is_err());
    bench.hub.finish_deletions().await.unwrap();
    assert!(bench.hub.registry().tags(&"acme/app".parse().unwrap(), None, 10).await.is_err());
    assert!(bench.records.read().await.unwrap().repository("acme/app").await.unwrap().is_none());
}

#[tokio::test(flavor = "multi_thread")]
async fn pulls_are_counted_once_for_each_image() {
    let bench = start().await;
    let index = Index::new(vec![image("linux/amd64", "one"), image("linux/arm64", "two")]);
    let digest = bench.push_index("acme/app", &["1"], &index, "bob").await;
    bench.follow().await;
    let pull = |tag: Option<&str>, digest| Pull {
        repository: "acme/app".parse().unwrap(),
        tag: tag.map(str::to_owned),
        digest,
    };
    for _ in 0..3 {
        bench.hub.count_pull(pull(Some("1"), digest));
        bench.hub.count_pull(pull(None, index.images[0].digest()));
    }
    bench.hub.count_pull(Pull { repository: "no/where".parse().unwrap(), ..pull(None, digest) });
    bench.hub.flush_pulls().await.unwrap();
    assert_eq!(bench.hub.flush_pulls().await.unwrap(), 0);
    let row = bench.hub.repository("acme/app").await.unwrap();
    let tag = bench.hub.tag(&row, "1").await.unwrap();
    assert_eq!((row.pulls, tag.pulls, tag.last_pulled.is_some()), (3, 3, true));
    let days = bench.hub.pulls_by_day(row.id, 7).await.unwrap();
    assert_eq!(days.iter().map(|(_, pulls)| pulls).sum::<u64>(), 3);
    let pulled = bench.hub.last_pulled(&row, &[index.images[0].digest(), index.images[1].digest()]).await.unwrap();
    assert_eq!(pulled.len(), 1);
}

#[tokio::test(flavor = "multi_thread")]
async fn an_index_counts_once_with_each_platform_or_alone() {
    let bench = start().await;
    let index = Index::new(vec![image("linux/amd64", "one"), image("linux/arm64", "two")]);
    let digest = bench.push_index("acme/app", &["1"], &index, "bob").await;
    bench.follow().await;
    let [amd, arm] = [index.images[0].digest(), index.images[1].digest()];
    let mut expected = (0, 0);
    // What is read between two writes, and how much that adds to the repository and the tag when all is decided.
    for (what, batches, pulls, tagged) in [
        ("one platform", vec![vec![digest, amd]], 1, 1),
        ("every platform", vec![vec![digest, amd, arm]], 2, 1),
        ("an image that the client has", vec![vec![digest]], 1, 1),
        ("the image comes after the next write", vec![vec![digest], vec![arm]], 1, 1),
        ("an image by its digest", vec![vec![amd]], 1, 0),
        ("two clients, one of which has it", vec![vec![digest, digest], vec![amd]], 2, 2),
    ] {
        for batch in batches {
            for read in batch {
                let tag = (read == digest).then(|| "1".to_owned());
                bench.hub.count_pull(Pull { repository: "acme/app".parse().unwrap(), tag, digest: read });
            }
            bench.hub.flush_pulls().await.unwrap();
        }
        while bench.hub.flush_pulls().await.unwrap() > 0 {}
        expected = (expected.0 + pulls, expected.1 + tagged);
        let row = bench.hub.repository("acme/app").await.unwrap();
        let tag = bench.hub.tag(&row, "1").await.unwrap();
        assert_eq!((row.pulls, tag.pulls), expected, "{what}");
        let days = bench.hub.pulls_by_day(row.id, 7).await.unwrap();
        assert_eq!(days.iter().map(|(_, pulls)| pulls).sum::<u64>(), expected.0, "{what}");
    }
}
