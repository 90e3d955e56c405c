//! Webhooks: who is told what, whatever becomes of the repository meanwhile.

use std::sync::{Arc, Mutex};
use std::time::{Duration, Instant};

use async_trait::async_trait;
use strata_hub::{Courier, NewRepository, NewWebhook};
use strata_testkit::Image;

use crate::support::{Bench, start};

/// Takes everything, and notes where to and which event.
#[derive(Default)]
struct Notes(Mutex<Vec<(String, serde_json::Value)>>);

#[async_trait]
impl Courier for Notes {
    async fn post(&self, url: &str, _headers: &[(&'static str, String)], body: &str) -> Result<u16, String> {
        self.0.lock().unwrap().push((url.to_owned(), serde_json::from_str(body).unwrap()));
        Ok(200)
    }
}

impl Bench {
    async fn webhook(&self, url: &str) {
        let new = NewWebhook { name: "test".into(), url: url.into(), secret: None, events: Vec::new() };
        self.hub.create_webhook("acme/app", "acme", new).await.unwrap();
    }

    /// What is sent until everything is.
    async fn sent(&self) -> Vec<(String, serde_json::Value)> {
        while self.hub.follow_history().await.unwrap() > 0 {}
        let notes = Arc::new(Notes::default());
        let sending = tokio::spawn(self.hub.clone().keep_delivering(notes.clone()));
        let began = Instant::now();
        while self.records.read().await.unwrap().queue_lengths().await.unwrap().deliveries > 0 {
            assert!(began.elapsed() < Duration::from_secs(20));
            tokio::time::sleep(Duration::from_millis(20)).await;
        }
        sending.abort();
        let mut sent = notes.0.lock().unwrap();
        std::mem::take(&mut *sent)
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn the_end_of_a_repository_is_told_and_its_successor_is_not() {
    let bench = start().await;
    let new = || NewRepository { namespace: "acme".into(), name: "app".into(), ..NewRepository::default() };
    bench.hub.create_repository(new()).await.unwrap();
    bench.webhook("https://old.example/").await;
    bench.push("acme/app", &["1"], &Image::small("one"), "acme").await;
    bench.follow().await;
    bench.hub.delete_repository("acme/app", "acme").await.unwrap();
    assert!(bench.hub.webhooks("acme/app").await.unwrap().is_empty());

    // The name is taken again before anything was told.
    bench.hub.create_repository(new()).await.unwrap();
    bench.webhook("https://new.example/").await;
    bench.push("acme/app", &["2"], &Image::small("two"), "acme").await;
    bench.follow().await;
    assert_eq!(bench.hub.webhooks("acme/app").await.unwrap().len(), 1);
    let sent = bench.sent().await;
    let of = |url: &str| -> Vec<String> {
        let mine = sent.iter().filter(|(sent_to, _)| sent_to == url);
        mine.map(|(_, body)| format!("{} {}", body["event"].as_str().unwrap(), body["tags"][0])).collect()
    };
    let old = of("https://old.example/");
    assert_eq!(old.first().map(String::as_str), Some("push \"1\""), "{old:?}");
    assert_eq!(old.last().map(String::as_str), Some("delete null"), "{old:?}");
    assert!(old.iter().all(|event| !event.contains("\"2\"")), "{old:?}");
    assert!(of("https://new.example/").contains(&"push \"2\"".to_owned()), "{sent:?}");

    // What is retired goes once it has nothing left to send.
    let mut txn = bench.records.write("forgetting").await.unwrap();
    txn.prune_deliveries(i64::MAX).await.unwrap();
    assert_eq!(txn.webhooks("acme/app").await.unwrap().len(), 1);
}
