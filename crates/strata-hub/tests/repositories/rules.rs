//! What may be said of repositories, tags that do not move, rollback, retention, Dockerfiles.

use serde_json::json;
use strata_hub::records::{CategoryRow, ImmutableTags, Retention};
use strata_hub::{DockerfileOrigin, NewRepository, RepositoryUpdate};
use strata_model::{Digest, ErrorKind};
use strata_testkit::{Image, ImageBuilder, Layer};

use crate::support::start;

fn new(namespace: &str, name: &str) -> NewRepository {
    NewRepository { namespace: namespace.into(), name: name.into(), ..NewRepository::default() }
}

#[tokio::test(flavor = "multi_thread")]
async fn repositories_are_made_and_described_within_limits() {
    let bench = start().await;
    let hub = &bench.hub;
    assert!(!hub.create_repository(new("acme", "app")).await.unwrap().is_private);
    assert!(hub.create_repository(new("secret", "app")).await.unwrap().is_private);
    for (namespace, name, expected) in [
        ("acme", "app", ErrorKind::Conflict),
        ("nobody", "app", ErrorKind::NotFound),
        ("acme", "a", ErrorKind::Invalid),
        ("acme", "A1", ErrorKind::Invalid),
        ("acme", "a__b", ErrorKind::Invalid),
        ("acme", "a/b", ErrorKind::Invalid),
        ("acme", "-ab", ErrorKind::Invalid),
    ] {
        let error = hub.create_repository(new(namespace, name)).await.unwrap_err();
        assert_eq!(error.kind(), expected, "{namespace}/{name}: {error}");
    }
    let hostile = "<script>alert(1)</script> [x](javascript:alert(1))";
    let update = RepositoryUpdate {
        description: Some(hostile.into()),
        full_description: Some(hostile.repeat(100)),
        categories: Some(vec!["web-servers".into()]),
        source: Some("https://example.com/app".into()),
        ..RepositoryUpdate::default()
    };
    let row = hub.update_repository("acme/app", update).await.unwrap();
    assert_eq!((row.description.as_str(), hub.full_description(&row).await.unwrap()), (hostile, hostile.repeat(100)));
    let text = |length| Some("ä".repeat(length));
    for bad in [
        RepositoryUpdate { description: text(101), ..RepositoryUpdate::default() },
        RepositoryUpdate { full_description: text(25_001), ..RepositoryUpdate::default() },
        RepositoryUpdate { categories: Some(vec!["no-such".into()]), ..RepositoryUpdate::default() },
        RepositoryUpdate { source: Some("javascript:alert(1)".into()), ..RepositoryUpdate::default() },
        RepositoryUpdate {
            immutable_tags: Some(ImmutableTags { enabled: true, rules: vec!["(".into()] }),
            ..RepositoryUpdate::default()
        },
    ] {
        assert_eq!(hub.update_repository("acme/app", bad).await.unwrap_err().kind(), ErrorKind::Invalid);
    }
    let longest =
        RepositoryUpdate { full_description: text(25_000), description: text(100), ..RepositoryUpdate::default() };
    hub.update_repository("acme/app", longest).await.unwrap();

    assert_eq!(hub.set_star("acme/app", "bob", true).await.unwrap(), 1);
    assert_eq!(hub.set_star("acme/app", "bob", true).await.unwrap(), 1);
    assert_eq!(hub.set_star("acme/app", "eve", true).await.unwrap(), 2);
    assert_eq!(hub.set_star("acme/app", "bob", false).await.unwrap(), 1);
    let categories = vec![CategoryRow { slug: "games".into(), name: "Games".into() }];
    hub.set_categories(&categories).await.unwrap();
    assert_eq!(hub.categories().await.unwrap(), categories);
    assert!(hub.set_categories(&[CategoryRow { slug: "No Slug".into(), name: "x".into() }]).await.is_err());
}

#[tokio::test(flavor = "multi_thread")]
async fn tags_are_rolled_back_unless_they_never_move() {
    let bench = start().await;
    let hub = &bench.hub;
    let first = bench.push("acme/app", &["latest", "1.0.0"], &Image::small("one"), "bob").await;
    let second = bench.push("acme/app", &["latest"], &Image::small("two"), "eve").await;
    bench.follow().await;
    let row = hub.repository("acme/app").await.unwrap();
    let wrong = hub.roll_back_tag(&row, "latest", &first, Some(first), "bob").await.unwrap_err();
    assert_eq!(wrong.kind(), ErrorKind::Conflict);
    hub.roll_back_tag(&row, "latest", &first, Some(second), "bob").await.unwrap();
    assert_eq!(hub.tag(&row, "latest").await.unwrap().manifest.digest, first);
    let history = hub.tag_history(&row, "latest", 10).await.unwrap();
    let story: Vec<_> = history.iter().map(|entry| (entry.digest, entry.previous, entry.actor.as_str())).collect();
    assert_eq!(
        story,
        [(Some(first), Some(second), "bob"), (Some(second), Some(first), "eve"), (Some(first), None, "bob"),]
    );
    let unknown = hub.roll_back_tag(&row, "latest", &Digest::of(b"x"), None, "bob").await.unwrap_err();
    assert_eq!(unknown.kind(), ErrorKind::NotFound);

    let rules = ImmutableTags { enabled: true, rules: vec![r"\d+\.\d+\.\d+".into()] };
    let update = RepositoryUpdate { immutable_tags: Some(rules), ..RepositoryUpdate::default() };
    let row = hub.update_repository("acme/app", update).await.unwrap();
    for (tag, expected) in [("1.0.0", true), ("latest", false)] {
        assert_eq!(hub.is_immutable("acme/app", tag).await.unwrap(), expected);
    }
    let refused = hub.roll_back_tag(&row, "1.0.0", &second, None, "bob").await.unwrap_err();
    assert_eq!(refused.kind(), ErrorKind::Conflict);
    assert_eq!(hub.delete_tag(&row, "1.0.0", "bob").await.unwrap_err().kind(), ErrorKind::Conflict);
    hub.delete_tag(&row, "latest", "bob").await.unwrap();
    assert!(hub.tag(&row, "latest").await.is_err());
}

#[tokio::test(flavor = "multi_thread")]
async fn retention_shows_what_would_go_and_takes_it() {
    let bench = start().await;
    let hub = &bench.hub;
    for tag in ["1", "2", "keep-3", "4", "5"] {
        bench.push("acme/app", &[tag], &Image::small(tag), "bob").await;
    }
    bench.follow().await;
    let row = hub.repository("acme/app").await.unwrap();
    let rules = Retention { enabled: true, keep: 1, older_than_days: None, except: vec!["keep-.*".into()] };
    let preview = |rules: Retention| async move {
        let tags = hub.preview_retention(&hub.repository("acme/app").await.unwrap(), &rules).await.unwrap();
        tags.into_iter().map(|tag| tag.tag).collect::<Vec<_>>()
    };
    assert_eq!(preview(rules.clone()).await, ["4", "2", "1"]);
    assert!(preview(Retention { older_than_days: Some(1), ..rules.clone() }).await.is_empty());
    assert!(hub.apply_retention("acme/app", "").await.unwrap().is_empty());
    let update = RepositoryUpdate { retention: Some(rules), ..RepositoryUpdate::default() };
    hub.update_repository("acme/app", update).await.unwrap();
    assert_eq!(hub.apply_retention("acme/app", "").await.unwrap(), ["4", "2", "1"]);
    assert!(hub.tag(&row, "1").await.is_err() && hub.tag(&row, "keep-3").await.is_ok());
}

#[tokio::test(flavor = "multi_thread")]
async fn a_dockerfile_is_the_attached_one_or_made_up() {
    let bench = start().await;
    let hub = &bench.hub;
    let image = ImageBuilder::new()
        .layer(Layer::of_file("a", "b"))
        .config(|config| {
            config["history"] = json!([
                { "created_by": "COPY a /a # buildkit" },
                { "created_by": "/bin/sh -c #(nop)  CMD [\"/a\"]", "empty_layer": true },
            ]);
        })
        .build();
    let digest = bench.push("acme/app", &["1"], &image, "bob").await;
    bench.follow().await;
    let row = hub.repository("acme/app").await.unwrap();
    let made_up = hub.dockerfile(&row, "1", None).await.unwrap();
    assert_eq!((made_up.text.as_str(), made_up.origin), ("COPY a /a\nCMD [\"/a\"]\n", DockerfileOrigin::Reconstructed));
    assert_eq!(made_up.image, digest);
    let steps = hub.layer_steps(&row, &digest).await.unwrap();
    assert_eq!(steps.len(), 2);
    assert!(steps[0].digest.is_some() && steps[0].size > 0 && steps[1].digest.is_none());

    let text = bench.push_blob("acme/app", b"FROM scratch\nCOPY a /a\n").await;
    let empty = bench.push_blob("acme/app", b"{}").await;
    let artifact = json!({
        "schemaVersion": 2,
        "mediaType": "application/vnd.oci.image.manifest.v1+json",
        "artifactType": "application/vnd.strata.dockerfile.v1",
        "config": { "mediaType": "application/vnd.oci.empty.v1+json", "digest": empty, "size": 2 },
        "layers": [{ "mediaType": "text/x-dockerfile", "digest": text, "size": 23 }],
        "subject": { "mediaType": "application/vnd.oci.image.manifest.v1+json", "digest": digest,
            "size": image.manifest.len() },
    });
    let attached = bench.push_manifest("acme/app", artifact.to_string().as_bytes(), &[], "bob").await;
    let found = hub.dockerfile(&row, &digest.to_string(), None).await.unwrap();
    assert_eq!(found.text, "FROM scratch\nCOPY a /a\n");
    assert_eq!(found.origin, DockerfileOrigin::Attached(attached));
    assert_eq!(hub.dockerfile(&row, "no-such", None).await.unwrap_err().kind(), ErrorKind::NotFound);
}
