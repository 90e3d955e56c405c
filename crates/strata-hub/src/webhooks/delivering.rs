//! Sending what is due.

use std::collections::HashSet;
use std::sync::Arc;
use std::time::Duration;

use async_trait::async_trait;
use strata_store::fault;
use tokio::task::JoinSet;

use crate::records::{DeliveryRow, WebhookRow};
use crate::{Hub, Result};

/// Pause before the second attempt; each further one is three times as long, up to the longest. Nanoseconds.
const FIRST_PAUSE: i64 = 10_000_000_000;
const LONGEST_PAUSE: i64 = 7_200_000_000_000;
/// How long after the event it is tried.
const GIVEN_UP: i64 = 86_400_000_000_000;
/// How long ended deliveries are kept.
const KEPT: i64 = 7 * GIVEN_UP;
/// Webhooks that are called at once.
const AT_ONCE: usize = 16;
/// How often is looked for something due, and how often old deliveries are forgotten.
const PAUSE: Duration = Duration::from_millis(500);
const ROUNDS_TO_PRUNE: u64 = 7200;
/// Longest error that is kept, in characters.
const LONGEST_ERROR: usize = 500;

/// Carries deliveries to their receivers: HTTP is not the business of this crate.
#[async_trait]
pub trait Courier: Send + Sync {
    /// Posts `body` as JSON with these further headers and returns the status. Follows no redirect, calls no address that
    /// is not allowed, and gives up after some seconds.
    ///
    /// # Errors
    /// What a person should read when there was no answer.
    async fn post(&self, url: &str, headers: &[(&'static str, String)], body: &str) -> Result<u16, String>;
}

/// `sha256=` and the HMAC-SHA-256 of `body` under `secret` in hexadecimal digits.
pub fn signature(secret: &str, body: &str) -> String {
    let key = ring::hmac::Key::new(ring::hmac::HMAC_SHA256, secret.as_bytes());
    let tag = ring::hmac::sign(&key, body.as_bytes());
    tag.as_ref().iter().fold(String::from("sha256="), |text, byte| text + &format!("{byte:02x}"))
}

impl Hub {
    /// Sends what is due for as long as it is polled.
    pub async fn keep_delivering(self, courier: Arc<dyn Courier>) {
        let mut running = JoinSet::new();
        let mut called: HashSet<String> = HashSet::new();
        let mut round: u64 = 0;
        loop {
            if let Err(error) = self.start_due(&courier, &mut running, &mut called).await {
                tracing::warn!(%error, "due deliveries of webhooks could not be read");
            }
            if round.is_multiple_of(ROUNDS_TO_PRUNE) {
                self.forget_old_deliveries().await;
            }
            round += 1;
            tokio::select! {
                Some(ended) = running.join_next() => {
                    match ended {
                        Ok(webhook) => called.remove(&webhook),
                        Err(_) => { called.clear(); true }
                    };
                }
                () = tokio::time::sleep(PAUSE) => {}
            }
        }
    }

    async fn start_due(
        &self,
        courier: &Arc<dyn Courier>,
        running: &mut JoinSet<String>,
        called: &mut HashSet<String>,
    ) -> Result<()> {
        let txn = self.read().await?;
        for delivery in txn.due_deliveries(self.now(), 2 * AT_ONCE).await? {
            if called.len() >= AT_ONCE {
                break;
            }
            if called.contains(&delivery.webhook) {
                continue;
            }
            let Some(webhook) = txn.webhook(&delivery.webhook).await? else { continue };
            called.insert(webhook.id.clone());
            running.spawn(deliver(self.clone(), courier.clone(), webhook, delivery));
        }
        Ok(())
    }

    async fn forget_old_deliveries(&self) {
        let forget = async {
            let mut txn = self.write("forgetting old deliveries").await?;
            txn.prune_deliveries(self.now() - KEPT).await?;
            Ok::<_, crate::HubError>(txn.commit().await?)
        };
        if let Err(error) = forget.await {
            tracing::warn!(%error, "old deliveries of webhooks could not be forgotten");
        }
    }
}

/// One attempt. Returns the webhook's identity.
async fn deliver(hub: Hub, courier: Arc<dyn Courier>, webhook: WebhookRow, delivery: DeliveryRow) -> String {
    let headers = [
        ("x-strata-event", delivery.event.clone()),
        ("x-strata-delivery", delivery.id.to_string()),
        ("x-strata-signature", signature(&webhook.secret, &delivery.body)),
    ];
    let outcome = courier.post(&webhook.url, &headers, &delivery.body).await;
    fault::point("delivery-posted");
    let attempted = attempt(delivery, outcome, hub.now());
    let noted = async {
        let mut txn = hub.write("noting a delivery").await?;
        txn.update_delivery(&attempted).await?;
        Ok::<_, crate::HubError>(txn.commit().await?)
    };
    if let Err(error) = noted.await {
        // It will be sent again.
        tracing::warn!(%error, webhook = webhook.id, "a delivery could not be noted");
        tokio::time::sleep(PAUSE).await;
    }
    fault::point("delivery-noted");
    webhook.id
}

/// The delivery after an attempt at the time `now`.
fn attempt(mut delivery: DeliveryRow, outcome: Result<u16, String>, now: i64) -> DeliveryRow {
    delivery.attempts += 1;
    delivery.attempted = Some(now);
    (delivery.status, delivery.error) = match outcome {
        Ok(status @ 200..=299) => (Some(status), String::new()),
        Ok(status) => (Some(status), format!("the receiver answered {status}")),
        Err(error) => (None, error.chars().take(LONGEST_ERROR).collect()),
    };
    let exponent = u32::try_from(delivery.attempts - 1).unwrap_or(u32::MAX).min(12);
    let next = now + (FIRST_PAUSE * 3_i64.pow(exponent)).min(LONGEST_PAUSE);
    let is_over = delivery.error.is_empty() || next > delivery.created + GIVEN_UP;
    delivery.due = (!is_over).then_some(next);
    delivery.finished = is_over.then_some(now);
    delivery
}

#[cfg(test)]
mod tests {
    use super::*;

    fn waiting() -> DeliveryRow {
        DeliveryRow {
            id: 1,
            webhook: "w".into(),
            event: "push".into(),
            body: "{}".into(),
            created: 0,
            due: Some(0),
            attempts: 0,
            attempted: None,
            status: None,
            error: String::new(),
            finished: None,
        }
    }

    #[test]
    fn signatures_are_those_of_rfc_4231() {
        // Test case 2.
        let expected = "sha256=5bdcc146bf60754e6a042426089575c75a003f089d2739839dec58b964ec3843";
        assert_eq!(signature("Jefe", "what do ya want for nothing?"), expected);
    }

    #[test]
    fn attempts_go_on_for_a_day_with_growing_pauses() {
        let mut delivery = waiting();
        let mut pauses = Vec::new();
        while let Some(due) = delivery.due {
            delivery = attempt(delivery, Err("connection refused".into()), due);
            pauses.extend(delivery.due.map(|next| next - due));
        }
        assert!(pauses.is_sorted() && pauses[0] == FIRST_PAUSE && pauses.contains(&LONGEST_PAUSE), "{pauses:?}");
        assert!(delivery.finished.is_some_and(|finished| finished <= GIVEN_UP), "{delivery:?}");
        assert_eq!(delivery.error, "connection refused");
    }

    #[test]
    fn a_receiver_that_answers_ends_it() {
        for (outcome, is_over, status) in [
            (Ok(204), true, Some(204)),
            (Ok(302), false, Some(302)),
            (Ok(500), false, Some(500)),
            (Err("refused".to_owned()), false, None),
        ] {
            let after = attempt(waiting(), outcome, 10);
            assert_eq!((after.due.is_none(), after.finished.is_some(), after.status), (is_over, is_over, status));
        }
    }
}
