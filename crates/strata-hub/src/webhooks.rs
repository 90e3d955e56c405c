//! Webhooks: telling others what happened to a repository, without a push ever waiting for them or failing by them.
//!
//! Following the registry's history queues one delivery for each event and webhook, in the transaction that remembers how far
//! the history was read. Deliveries are sent in order for each webhook, one at a time, several webhooks at once; what fails
//! is tried again with growing pauses for a day. Every delivery is kept for a week with how it ended.
//!
//! The body is JSON; `X-Strata-Signature: sha256=<hex>` is its HMAC-SHA-256 under the webhook's secret.

mod delivering;

use serde::{Deserialize, Serialize};
use strata_store::{RegistryAction, RegistryHistoryRow};

use crate::records::{DeliveryRow, WebhookRow};
use crate::{Hub, HubError, HubWrite, Result};

pub use delivering::{Courier, signature};

/// Webhooks that one repository may have.
const MOST: usize = 20;
/// Longest URL, name and secret, in bytes.
const LONGEST_URL: usize = 2048;
const LONGEST_NAME: usize = 100;
const LONGEST_SECRET: usize = 256;

/// Section `[webhooks]` of the configuration.
#[derive(Clone, Debug, Default, Deserialize, Serialize)]
#[serde(default, deny_unknown_fields)]
pub struct WebhookSettings {
    /// Hosts (names or addresses) that may be called although their addresses are private or this machine's own. Others
    /// with such addresses are not called, so that webhooks reach nothing inside that their owners could not.
    pub allowed_private_hosts: Vec<String>,
}

/// What a webhook can be told.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum WebhookEvent {
    /// A manifest was pushed.
    Push,
    /// A manifest, a tag or the repository was deleted.
    Delete,
    /// A tag was set on another manifest, or for the first time.
    Tag,
}

impl WebhookEvent {
    /// Every event.
    pub const ALL: [WebhookEvent; 3] = [WebhookEvent::Push, WebhookEvent::Delete, WebhookEvent::Tag];

    /// Its word.
    pub fn as_str(self) -> &'static str {
        match self {
            WebhookEvent::Push => "push",
            WebhookEvent::Delete => "delete",
            WebhookEvent::Tag => "tag",
        }
    }

    fn of(action: RegistryAction) -> WebhookEvent {
        match action {
            RegistryAction::Push => WebhookEvent::Push,
            RegistryAction::Tag => WebhookEvent::Tag,
            RegistryAction::Delete | RegistryAction::Untag | RegistryAction::Collect => WebhookEvent::Delete,
        }
    }
}

/// A webhook as its owner describes it.
#[derive(Clone, Debug)]
pub struct NewWebhook {
    /// What its owner calls it.
    pub name: String,
    /// `https://…` or `http://…`.
    pub url: String,
    /// What signs; a random one is made when none is given.
    pub secret: Option<String>,
    /// What it is told; everything when empty.
    pub events: Vec<WebhookEvent>,
}

/// A webhook and what signs for it.
#[derive(Clone, Debug)]
pub struct CreatedWebhook {
    /// The webhook.
    pub webhook: WebhookRow,
    /// To be shown once.
    pub secret: String,
}

impl Hub {
    /// A repository's webhooks.
    ///
    /// # Errors
    /// When the records fail.
    pub async fn webhooks(&self, repository: &str) -> Result<Vec<WebhookRow>> {
        let mut webhooks = self.read().await?.webhooks(repository).await?;
        webhooks.retain(|webhook| webhook.retired.is_none());
        Ok(webhooks)
    }

    /// One webhook of a repository.
    ///
    /// # Errors
    /// `NotFound`, also for another repository's.
    pub async fn webhook(&self, repository: &str, id: &str) -> Result<WebhookRow> {
        let found = self.read().await?.webhook(id).await?;
        let is_of = |webhook: &WebhookRow| webhook.repository == repository && webhook.retired.is_none();
        found.filter(is_of).ok_or_else(|| HubError::NotFound("webhook".into()))
    }

    /// Adds a webhook.
    ///
    /// # Errors
    /// `Invalid`; `Conflict` when the repository has as many as it may.
    pub async fn create_webhook(&self, repository: &str, creator: &str, new: NewWebhook) -> Result<CreatedWebhook> {
        check_text("name", &new.name, LONGEST_NAME)?;
        check_url(&new.url)?;
        let secret = match new.secret {
            Some(secret) => check_text("secret", &secret, LONGEST_SECRET).map(|()| secret)?,
            None => random_word()?,
        };
        let webhook = WebhookRow {
            id: random_word()?,
            repository: repository.to_owned(),
            name: new.name,
            url: new.url,
            secret: secret.clone(),
            events: joined(&new.events),
            is_active: true,
            creator: creator.to_owned(),
            created: self.now(),
            retired: None,
        };
        let mut txn = self.write("adding a webhook").await?;
        if txn.webhooks(repository).await?.iter().filter(|webhook| webhook.retired.is_none()).count() >= MOST {
            return Err(HubError::Conflict(format!("a repository has at most {MOST} webhooks")));
        }
        txn.put_webhook(&webhook).await?;
        txn.commit().await?;
        Ok(CreatedWebhook { webhook, secret })
    }

    /// Switches a webhook on or off.
    ///
    /// # Errors
    /// `NotFound`.
    pub(crate) async fn set_webhook_active(&self, repository: &str, id: &str, is_active: bool) -> Result<WebhookRow> {
        let mut webhook = self.webhook(repository, id).await?;
        webhook.is_active = is_active;
        let mut txn = self.write("switching a webhook").await?;
        txn.put_webhook(&webhook).await?;
        txn.commit().await?;
        Ok(webhook)
    }

    /// Removes a webhook with its deliveries.
    ///
    /// # Errors
    /// `NotFound`.
    pub(crate) async fn delete_webhook(&self, repository: &str, id: &str) -> Result<()> {
        self.webhook(repository, id).await?;
        let mut txn = self.write("removing a webhook").await?;
        txn.delete_webhook(id).await?;
        Ok(txn.commit().await?)
    }

    /// A webhook's deliveries, newest first, at most `limit`.
    ///
    /// # Errors
    /// `NotFound`.
    pub async fn deliveries(&self, repository: &str, id: &str, limit: usize) -> Result<Vec<DeliveryRow>> {
        self.webhook(repository, id).await?;
        Ok(self.read().await?.deliveries(id, limit).await?)
    }

    /// Queues a delivery once more, as a new one, whatever became of it. One that waits is not doubled.
    ///
    /// # Errors
    /// `NotFound`, also for one of another webhook or one that is not kept any more.
    pub async fn redeliver(&self, repository: &str, id: &str, delivery: i64) -> Result<()> {
        let kept = self.deliveries(repository, id, usize::MAX).await?.into_iter().find(|row| row.id == delivery);
        let old = kept.ok_or_else(|| HubError::NotFound("delivery".into()))?;
        if old.due.is_some() {
            return Ok(());
        }
        let now = self.now();
        let again =
            DeliveryRow { id: 0, created: now, due: Some(now), attempts: 0, attempted: None, status: None, ..old };
        let mut txn = self.write("sending a delivery again").await?;
        txn.insert_delivery(&DeliveryRow { error: String::new(), finished: None, ..again }).await?;
        Ok(txn.commit().await?)
    }

    /// Queues what the webhooks of the repositories in `history` are to be told.
    pub(crate) async fn queue_deliveries(
        &self,
        txn: &mut dyn HubWrite,
        history: &[RegistryHistoryRow],
        now: i64,
    ) -> Result<()> {
        for (position, entry) in history.iter().enumerate() {
            let event = WebhookEvent::of(entry.action);
            let webhooks = txn.webhooks(&entry.repository).await?;
            for webhook in webhooks.iter().filter(|webhook| is_told(webhook, event, entry.time)) {
                txn.insert_delivery(&DeliveryRow {
                    id: 0,
                    webhook: webhook.id.clone(),
                    event: event.as_str().to_owned(),
                    body: body(event, entry, &history[position + 1..]),
                    created: entry.time,
                    due: Some(now),
                    attempts: 0,
                    attempted: None,
                    status: None,
                    error: String::new(),
                    finished: None,
                })
                .await?;
            }
        }
        Ok(())
    }
}

/// Whether a webhook is told of an event at a time: not of those of another repository that had the name before or later.
fn is_told(webhook: &WebhookRow, event: WebhookEvent, time: i64) -> bool {
    let was_there = webhook.created <= time && webhook.retired.is_none_or(|retired| time <= retired);
    webhook.is_active && was_there && webhook.events.split(',').any(|word| word == event.as_str())
}

fn joined(events: &[WebhookEvent]) -> String {
    let wanted = WebhookEvent::ALL.iter().filter(|event| events.is_empty() || events.contains(event));
    wanted.map(|event| event.as_str()).collect::<Vec<_>>().join(",")
}

/// What is sent. A push tells the tags that were set with it: they follow in the history with the same time.
fn body(event: WebhookEvent, entry: &RegistryHistoryRow, later: &[RegistryHistoryRow]) -> String {
    let mut tags: Vec<&str> = Vec::new();
    if !entry.tag.is_empty() {
        tags.push(&entry.tag);
    }
    if event == WebhookEvent::Push {
        let with_it = |next: &&RegistryHistoryRow| {
            next.action == RegistryAction::Tag
                && next.repository == entry.repository
                && next.digest == entry.digest
                && next.time == entry.time
        };
        tags.extend(later.iter().take_while(with_it).map(|next| next.tag.as_str()));
    }
    let time = jiff::Timestamp::from_nanosecond(entry.time.into()).unwrap_or_default();
    serde_json::json!({
        "event": event.as_str(),
        "sequence": entry.sequence,
        "repository": entry.repository,
        "tags": tags,
        "digest": entry.digest.map(|digest| digest.to_string()),
        "previous": entry.previous.map(|digest| digest.to_string()),
        "actor": entry.actor,
        "time": time.to_string(),
    })
    .to_string()
}

fn check_text(what: &'static str, text: &str, longest: usize) -> Result<()> {
    let is_good = !text.is_empty() && text.len() <= longest && !text.chars().any(char::is_control);
    if is_good {
        return Ok(());
    }
    Err(HubError::Invalid { what, why: format!("it needs 1 to {longest} bytes without control characters") })
}

/// Only the form: whether its host may be called is decided when it is, on the addresses it has then.
fn check_url(url: &str) -> Result<()> {
    let invalid = |why: &str| HubError::Invalid { what: "url", why: why.to_owned() };
    if url.len() > LONGEST_URL {
        return Err(invalid("it is too long"));
    }
    let url: url::Url = url.parse().map_err(|cause: url::ParseError| invalid(&cause.to_string()))?;
    match url.scheme() {
        "http" | "https" => {}
        _ => return Err(invalid("only http and https are called")),
    }
    if !url.username().is_empty() || url.password().is_some() {
        return Err(invalid("it must not hold a name or a password"));
    }
    if url.host_str().is_none_or(str::is_empty) {
        return Err(invalid("it names no host"));
    }
    Ok(())
}

/// 128 random bits in hexadecimal digits.
fn random_word() -> Result<String> {
    use ring::rand::SecureRandom as _;
    let mut bytes = [0; 16];
    ring::rand::SystemRandom::new()
        .fill(&mut bytes)
        .map_err(|_| HubError::Internal("the system gives no random bytes".into()))?;
    Ok(format!("{:032x}", u128::from_be_bytes(bytes)))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn entry(action: RegistryAction, tag: &str, time: i64) -> RegistryHistoryRow {
        RegistryHistoryRow {
            sequence: 7,
            repository: "acme/app".into(),
            tag: tag.into(),
            digest: Some(strata_model::Digest::of(b"manifest")),
            previous: None,
            action,
            actor: "bob".into(),
            time,
        }
    }

    #[test]
    fn a_push_tells_the_tags_that_were_set_with_it() {
        let push = entry(RegistryAction::Push, "", 1_000_000_000);
        let later = [
            entry(RegistryAction::Tag, "1.0", 1_000_000_000),
            entry(RegistryAction::Tag, "latest", 1_000_000_000),
            entry(RegistryAction::Tag, "other", 2_000_000_000),
        ];
        let told: serde_json::Value = serde_json::from_str(&body(WebhookEvent::Push, &push, &later)).unwrap();
        assert_eq!(told["tags"], serde_json::json!(["1.0", "latest"]));
        assert_eq!((&told["time"], &told["event"]), (&"1970-01-01T00:00:01Z".into(), &"push".into()));
    }

    #[test]
    fn urls() {
        let long = format!("https://example.org/{}", "a".repeat(LONGEST_URL));
        for (url, is_good) in [
            ("https://example.org/hook?x=1", true),
            ("http://10.0.0.1:8080/", true),
            ("ftp://example.org/", false),
            ("https://user:secret@example.org/", false),
            ("file:///etc/passwd", false),
            ("example.org", false),
            ("", false),
            (long.as_str(), false),
        ] {
            assert_eq!(check_url(url).is_ok(), is_good, "{url}");
        }
    }
}
