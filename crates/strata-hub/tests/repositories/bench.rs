//! How long search takes among a hundred thousand repositories. To be run by hand:
//! `cargo test --release -p strata-hub --test repositories -- --ignored --nocapture hundred_thousand`.

#![allow(clippy::print_stdout, reason = "numbers are what it is run for")]

use std::time::{Duration, Instant};

use strata_hub::records::{PullCounts, Readable};
use strata_hub::{SearchRequest, SearchSort};

use crate::support::start;

const REPOSITORIES: usize = 100_000;
const KNOWN: [&str; 40] = [
    "nginx",
    "redis",
    "postgres",
    "mysql",
    "python",
    "node",
    "golang",
    "java",
    "ubuntu",
    "alpine",
    "web",
    "server",
    "proxy",
    "api",
    "app",
    "service",
    "database",
    "cache",
    "queue",
    "worker",
    "backend",
    "frontend",
    "test",
    "demo",
    "docker",
    "kubernetes",
    "elasticsearch",
    "kafka",
    "rabbitmq",
    "mongodb",
    "grafana",
    "prometheus",
    "jenkins",
    "gitlab",
    "wordpress",
    "php",
    "ruby",
    "rails",
    "django",
    "flask",
];

/// A generator of numbers that is the same every time.
struct Numbers(u64);

impl Numbers {
    fn next(&mut self, below: usize) -> usize {
        self.0 = self.0.wrapping_mul(6_364_136_223_846_793_005).wrapping_add(1_442_695_040_888_963_407);
        ((self.0 >> 33) as usize) % below
    }

    /// Known words often, others of thirty thousand seldom.
    fn word(&mut self) -> String {
        match self.next(10) {
            0..5 => KNOWN[self.next(KNOWN.len()).min(self.next(KNOWN.len()))].to_owned(),
            _ => {
                let number = self.next(30_000);
                let syllables = ["ba", "co", "di", "fu", "ge", "hi", "jo", "ka", "lu", "me", "no", "pi", "qu", "ra"];
                [number % 14, number / 14 % 14, number / 196 % 14, number / 2744 % 14].map(|n| syllables[n]).concat()
            }
        }
    }
}

fn percentile(times: &mut [Duration], part: usize) -> Duration {
    times.sort();
    times[(times.len() * part / 100).min(times.len() - 1)]
}

/// What this thread has run: on a busy machine the wall clock tells of others.
fn processor_time() -> Duration {
    let told = std::fs::read_to_string("/proc/thread-self/schedstat").unwrap_or_default();
    Duration::from_nanos(told.split(' ').next().and_then(|time| time.parse().ok()).unwrap_or(0))
}

#[tokio::test(flavor = "multi_thread")]
#[ignore = "fills a hundred thousand repositories"]
async fn hundred_thousand_repositories() {
    let bench = start().await;
    let mut numbers = Numbers(7);
    let template = bench.hub.create_repository(strata_hub::NewRepository {
        namespace: "acme".into(),
        name: "template".into(),
        ..Default::default()
    });
    let template = template.await.unwrap();
    let began = Instant::now();
    for batch in 0..REPOSITORIES / 1000 {
        let mut txn = bench.records.write("filling").await.unwrap();
        for number in 0..1000 {
            let mut row = template.clone();
            row.namespace = format!("user{}", numbers.next(20_000));
            row.name = format!("{}-{}-{batch}x{number}", numbers.word(), numbers.word());
            row.description = (0..8).map(|_| numbers.word()).collect::<Vec<_>>().join(" ");
            row.is_private = numbers.next(10) == 0;
            row.is_official = numbers.next(1000) == 0;
            row.platforms =
                ["linux/amd64", "linux/arm64"].into_iter().take(1 + numbers.next(2)).map(Into::into).collect();
            row.kinds = ["image".to_owned()].into();
            row.categories = if numbers.next(4) == 0 { vec!["web-servers".into()] } else { vec![] };
            let id = txn.insert_repository(&row).await.unwrap();
            let pulls = 1u64 << numbers.next(24);
            let counts = PullCounts { repository: row.full_name(), pulls, last: 1, ..PullCounts::default() };
            txn.add_pulls(&[counts]).await.unwrap();
            for star in 0..numbers.next(4) * numbers.next(4) {
                txn.set_star(id, &format!("user{star}"), true, 1).await.unwrap();
            }
        }
        txn.commit().await.unwrap();
    }
    println!("filled in {:?}", began.elapsed());
    let began = Instant::now();
    bench.hub.rebuild_search().await.unwrap();
    println!("indexed in {:?}", began.elapsed());
    let size = std::fs::metadata(bench.directory.path().join("hub.sqlite")).unwrap().len();
    println!("hub.sqlite: {} MiB", size >> 20);

    let text = |text: &str| SearchRequest { text: text.into(), limit: 25, ..SearchRequest::default() };
    let many = |requests: &dyn Fn(&str) -> SearchRequest| KNOWN.iter().map(|word| requests(word)).collect::<Vec<_>>();
    let families: Vec<(&str, Vec<SearchRequest>)> = vec![
        ("word", many(&|word| text(word))),
        ("prefix of 1", many(&|word| text(&word[..1]))),
        ("prefix of 3", many(&|word| text(&word[..3]))),
        ("suggestion", many(&|word| SearchRequest { in_names: true, limit: 8, ..text(&word[..2]) })),
        ("two words", many(&|word| text(&format!("{word} server")))),
        ("full name", many(&|word| text(&format!("user7/{word}")))),
        ("misspelled", many(&|word| text(&format!("{}x{}", &word[..2], &word[2..])))),
        ("nothing", many(&|word| text(&format!("zzqq{word}")))),
        ("empty", many(&|_| text(""))),
        ("page 20", many(&|word| SearchRequest { skip: 475, ..text(word) })),
        ("official", many(&|word| SearchRequest { badges: vec!["official".into()], ..text(word) })),
        ("stars>=4", many(&|word| SearchRequest { stars: 4, ..text(word) })),
        ("stars>=10000", many(&|_| SearchRequest { stars: 10_000, ..text("") })),
        (
            "arm64, category",
            many(&|word| SearchRequest {
                architectures: vec!["arm64".into()],
                categories: vec!["web-servers".into()],
                ..text(word)
            }),
        ),
        ("arm64, no text", many(&|_| SearchRequest { architectures: vec!["arm64".into()], ..text("") })),
        ("all by pulls", many(&|_| SearchRequest { order: SearchSort::Pulls, ..text("") })),
        (
            "arm64 by stars",
            many(&|_| SearchRequest { architectures: vec!["arm64".into()], order: SearchSort::Stars, ..text("") }),
        ),
        ("by pulls", many(&|word| SearchRequest { order: SearchSort::Pulls, ..text(word) })),
    ];
    for (family, requests) in families {
        let (mut times, mut busy) = (Vec::new(), Vec::new());
        let mut total = 0;
        for request in requests.iter().cycle().take(120) {
            let (began, ran) = (Instant::now(), processor_time());
            let readable = Readable { namespaces: vec!["user7".into()], ..Readable::default() };
            total += bench.hub.search(request, readable).await.unwrap().total;
            times.push(began.elapsed());
            busy.push(processor_time() - ran);
        }
        let (middle, high) = (percentile(&mut times, 50), percentile(&mut times, 95));
        let busy = percentile(&mut busy, 95);
        println!(
            "{family:16} p50 {middle:>10.2?}  p95 {high:>10.2?}  CPU p95 {busy:>10.2?}  results {:>6}",
            total / 120
        );
    }
}
