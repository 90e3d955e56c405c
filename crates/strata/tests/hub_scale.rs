//! How long a hub with a hundred thousand repositories takes for a page. To be run by hand:
//! `cargo test --release -p strata --test hub_scale -- --ignored --nocapture`.

#![allow(clippy::print_stdout, reason = "numbers are what it is run for")]

mod support {
    #![allow(dead_code, unreachable_pub, reason = "each test binary uses its part")]
    pub mod hub;
    pub mod site;
}

use std::path::Path;
use std::time::{Duration, Instant};

use strata_catalog_sql::SqliteHubCatalog;
use strata_hub::records::PullCounts;
use strata_hub::{HubCatalog as _, NewRepository};
use strata_store::Durability;
use strata_testkit::Image;
use support::hub::{PASSWORD, eventually, open};
use support::site::Site;

const REPOSITORIES: usize = 100_000;
const TAGS: usize = 200;
const RUNS: usize = 40;
/// Longest time for a page, nineteen times of twenty.
const WANTED: Duration = Duration::from_millis(20);
const WORDS: [&str; 16] = [
    "nginx", "redis", "web", "server", "proxy", "api", "cache", "queue", "worker", "test", "demo", "kafka", "php",
    "ruby", "node", "python",
];

#[test]
#[ignore = "fills a hundred thousand repositories"]
fn pages_of_a_hundred_thousand_repositories() {
    let mut site = Site::new();
    for number in 0..TAGS {
        site.push("library/web", &format!("1.{number}"), &Image::small(&(number / 4).to_string()));
    }
    eventually("the tags", || site.page("/_/web/tags", "").text().contains(&format!("{TAGS} tags")).then_some(()));
    assert!(site.hub.stop());
    let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build().unwrap();
    runtime.block_on(fill(&site.hub.root));
    site.hub.restart();
    let cookie = site.sign_in();

    let mut slow = Vec::new();
    for (path, cookie) in [
        ("/", ""),
        ("/", cookie.as_str()),
        ("/search?q=nginx", ""),
        ("/search?q=web+server", ""),
        ("/search?q=web&badge=official&sort=stars", ""),
        ("/search?sort=pulls", ""),
        ("/suggest?q=ng", ""),
        ("/_/web", ""),
        ("/_/web", cookie.as_str()),
        ("/_/web/tags", ""),
        ("/_/web/tags/1.7", ""),
        ("/u/library", ""),
        ("/my", cookie.as_str()),
    ] {
        let mut times: Vec<Duration> = (0..RUNS)
            .map(|_| {
                let began = Instant::now();
                assert_eq!(site.page(path, cookie).status, 200, "{path}");
                began.elapsed()
            })
            .collect();
        times.sort();
        let (middle, most) = (times[RUNS / 2], times[RUNS * 95 / 100]);
        let who = if cookie.is_empty() { "" } else { " signed in" };
        println!("{path}{who}: p50 {middle:.1?}, p95 {most:.1?}");
        if most > WANTED {
            slow.push(path);
        }
    }
    assert!(cfg!(debug_assertions) || slow.is_empty(), "over {WANTED:?}: {slow:?}");
}

async fn fill(root: &Path) {
    let hub = open(root);
    let administrator = hub.authenticate("admin", PASSWORD, None).await.unwrap();
    let template = NewRepository { namespace: "admin".into(), name: "template".into(), ..NewRepository::default() };
    let template = hub.create_repository_as(&administrator, template).await.unwrap();
    let records = SqliteHubCatalog::open(root.join("hub.sqlite"), Durability::Unsynced).unwrap();
    let word = |number: usize| WORDS[number % WORDS.len()];
    for batch in 0..REPOSITORIES / 1000 {
        let mut txn = records.write("filling").await.unwrap();
        for number in (batch * 1000)..(batch + 1) * 1000 {
            let mut row = template.clone();
            row.namespace = format!("user{}", number % 20_000);
            row.name = format!("{}-{}-{number}", word(number), word(number / 16));
            row.description = format!("{} {} {} for {}", word(number / 7), word(number / 5), word(number / 3), number);
            row.is_private = number % 10 == 0;
            row.is_official = number % 1000 == 1;
            row.platforms = ["linux/amd64".to_owned()].into();
            row.last_updated += number as i64;
            txn.insert_repository(&row).await.unwrap();
            let pulls = 1 << (number * 7 % 24);
            let counts = PullCounts { repository: row.full_name(), pulls, last: 1, ..PullCounts::default() };
            txn.add_pulls(&[counts]).await.unwrap();
        }
        txn.commit().await.unwrap();
    }
    hub.rebuild_search().await.unwrap();
}
