//! What search finds, for whom, and in which order.

use strata_hub::records::{PullCounts, Readable};
use strata_hub::{NewRepository, RepositoryUpdate, SearchRequest, SearchSort};
use strata_testkit::{ImageBuilder, Layer};

use crate::support::{Bench, start};

async fn filled() -> Bench {
    let bench = start().await;
    let hub = &bench.hub;
    for (namespace, name, description, pulls, stars) in [
        ("library", "nginx", "Official build of Nginx.", 1000, 3),
        ("library", "postgres", "The PostgreSQL object-relational database system", 900, 2),
        ("acme", "nginx", "nginx with all modules", 10, 0),
        ("acme", "nginx-proxy", "Reverse proxy for containers", 5000, 1),
        ("acme", "postgresql-ha", "Postgres with failover", 7, 0),
        ("acme", "tool", "Works with nginx and <b>redis</b>", 1, 0),
        ("secret", "nginx-secret", "not for everybody", 1, 0),
    ] {
        let description = description.into();
        let new = NewRepository { namespace: namespace.into(), name: name.into(), description, ..Default::default() };
        hub.create_repository(new).await.unwrap();
        let repository = format!("{namespace}/{name}");
        for star in 0..stars {
            hub.set_star(&repository, &format!("user{star}"), true).await.unwrap();
        }
        let mut txn = bench.records.write("counting").await.unwrap();
        txn.add_pulls(&[PullCounts { repository, pulls, last: 1, ..PullCounts::default() }]).await.unwrap();
        txn.commit().await.unwrap();
    }
    let categories = Some(vec!["web-servers".to_owned()]);
    hub.update_repository("acme/nginx", RepositoryUpdate { categories, ..Default::default() }).await.unwrap();
    let image = ImageBuilder::new().platform("linux/arm64").layer(Layer::of_file("a", "b")).build();
    bench.push("acme/nginx-proxy", &["1"], &image, "").await;
    bench.follow().await;
    hub.rebuild_search().await.unwrap();
    bench
}

async fn found(bench: &Bench, request: SearchRequest, readable: Readable) -> Vec<String> {
    let results = bench.hub.search(&SearchRequest { limit: 25, ..request }, readable).await.unwrap();
    assert_eq!(results.total as usize, results.results.len());
    results.results.iter().map(|row| row.familiar_name()).collect()
}

fn text(text: &str) -> SearchRequest {
    SearchRequest { text: text.into(), ..SearchRequest::default() }
}

#[tokio::test(flavor = "multi_thread")]
async fn the_best_comes_first() {
    let bench = filled().await;
    for (typed, expected) in [
        ("nginx", vec!["nginx", "acme/nginx-proxy", "acme/nginx", "acme/tool"]),
        ("NGINX:1.27", vec!["nginx", "acme/nginx-proxy", "acme/nginx", "acme/tool"]),
        ("acme/nginx", vec!["acme/nginx", "acme/nginx-proxy", "acme/tool"]),
        ("ngi", vec!["nginx", "acme/nginx-proxy", "acme/nginx", "acme/tool"]),
        ("nginx proxy", vec!["acme/nginx-proxy"]),
        ("proxy nginx", vec!["acme/nginx-proxy"]),
        ("redis", vec!["acme/tool"]),
        ("web-servers", vec!["acme/nginx"]),
        ("postgers", vec!["postgres", "acme/postgresql-ha"]),
        ("ginx", vec!["nginx", "acme/nginx-proxy", "acme/nginx", "acme/tool"]),
        ("no such thing", vec![]),
        ("\" OR facets : (\"visibility:private\") --", vec![]),
        ("repository:secret/nginx-secret", vec![]),
    ] {
        assert_eq!(found(&bench, text(typed), Readable::default()).await, expected, "{typed}");
    }
    let results = bench.hub.search(&text("php:8.3-apache"), Readable::default()).await.unwrap();
    assert_eq!(results.tag.as_deref(), Some("8.3-apache"));
    let popular = found(&bench, text(""), Readable::default()).await;
    assert_eq!(popular[..3], ["nginx", "postgres", "acme/nginx-proxy"]);
    let names_only = SearchRequest { in_names: true, ..text("ngi") };
    assert_eq!(found(&bench, names_only, Readable::default()).await, ["nginx", "acme/nginx-proxy", "acme/nginx"]);
}

#[tokio::test(flavor = "multi_thread")]
async fn filters_and_orders() {
    let bench = filled().await;
    let one = |value: &str| vec![value.to_owned()];
    for (request, expected) in [
        (SearchRequest { badges: one("official"), ..text("") }, vec!["nginx", "postgres"]),
        (
            SearchRequest { badges: one("community"), ..text("nginx") },
            vec!["acme/nginx-proxy", "acme/nginx", "acme/tool"],
        ),
        (SearchRequest { stars: 1, ..text("nginx") }, vec!["nginx", "acme/nginx-proxy"]),
        (SearchRequest { stars: 3, ..text("") }, vec!["nginx"]),
        (SearchRequest { stars: 100, ..text("") }, vec![]),
        (SearchRequest { architectures: one("arm64"), ..text("") }, vec!["acme/nginx-proxy"]),
        (SearchRequest { operating_systems: one("linux"), kinds: one("image"), ..text("") }, vec!["acme/nginx-proxy"]),
        (SearchRequest { kinds: one("helm"), ..text("") }, vec![]),
        (SearchRequest { categories: one("web-servers"), ..text("") }, vec!["acme/nginx"]),
        (SearchRequest { categories: one("\" OR x"), ..text("") }, vec![]),
        (
            SearchRequest { order: SearchSort::Pulls, ..text("nginx") },
            vec!["acme/nginx-proxy", "nginx", "acme/nginx", "acme/tool"],
        ),
    ] {
        assert_eq!(found(&bench, request.clone(), Readable::default()).await, expected, "{request:?}");
    }
    let page = SearchRequest { skip: 1, limit: 2, ..text("nginx") };
    let results = bench.hub.search(&page, Readable::default()).await.unwrap();
    assert_eq!(
        results.results.iter().map(|row| row.full_name()).collect::<Vec<_>>(),
        ["acme/nginx-proxy", "acme/nginx"]
    );
    assert_eq!(results.total, 4);
}

#[tokio::test(flavor = "multi_thread")]
async fn private_repositories_are_for_those_who_may_see_them() {
    let bench = filled().await;
    let secret = "secret/nginx-secret".to_owned();
    let nobody = Readable::default();
    assert!(!found(&bench, text("nginx"), nobody.clone()).await.contains(&secret));
    assert!(found(&bench, text("nginx-secret"), nobody.clone()).await.is_empty());
    assert!(found(&bench, text("secret/nginx-secret"), nobody).await.is_empty());
    for readable in [
        Readable { everything: true, ..Readable::default() },
        Readable { namespaces: vec!["secret".into()], ..Readable::default() },
        Readable { repositories: vec![secret.clone()], ..Readable::default() },
    ] {
        assert!(found(&bench, text("nginx"), readable).await.contains(&secret));
    }
    let shown = RepositoryUpdate { is_private: Some(false), ..RepositoryUpdate::default() };
    bench.hub.update_repository(&secret, shown).await.unwrap();
    assert!(found(&bench, text("nginx"), Readable::default()).await.contains(&secret));
    bench.hub.delete_repository(&secret, "").await.unwrap();
    assert!(found(&bench, text("secret"), Readable::default()).await.is_empty());
}
