//! Records of running the hub: webhooks and their deliveries, jobs, how far the registry's history was read.

use async_trait::async_trait;
use strata_model::Digest;
use strata_store::Result;

/// Somebody who wants to be told what happens to a repository.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct WebhookRow {
    /// Random, so that nobody can guess it.
    pub id: String,
    /// The repository, `namespace/name`.
    pub repository: String,
    /// What its owner calls it.
    pub name: String,
    /// Where to send.
    pub url: String,
    /// What signs. Never shown again, never logged.
    pub secret: String,
    /// Which events, comma-separated.
    pub events: String,
    /// Whether anything is sent.
    pub is_active: bool,
    /// Who made it.
    pub creator: String,
    /// When.
    pub created: i64,
    /// When its repository was removed: it is told what happened until then, and forgotten later.
    pub retired: Option<i64>,
}

/// One event for one webhook.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct DeliveryRow {
    /// Number in the order of events. Ignored when a row is inserted.
    pub id: i64,
    /// The webhook.
    pub webhook: String,
    /// The event's word.
    pub event: String,
    /// What is sent.
    pub body: String,
    /// When it happened.
    pub created: i64,
    /// When to try next; `None` once it is over.
    pub due: Option<i64>,
    /// How often it was tried.
    pub attempts: u64,
    /// When it was tried last.
    pub attempted: Option<i64>,
    /// What the receiver answered last, if it did.
    pub status: Option<u16>,
    /// Why the last attempt failed; empty when it did not.
    pub error: String,
    /// When it was over.
    pub finished: Option<i64>,
}

/// A blob of a pushed image whose layer index is to be made.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct IndexJobRow {
    /// The layer as it was pushed.
    pub blob: Digest,
    /// A repository that it was pushed to.
    pub repository: String,
    /// When it was queued.
    pub created: i64,
    /// When to try; `None` when it was given up.
    pub due: Option<i64>,
    /// How often it was tried.
    pub attempts: u64,
    /// Why it failed last; empty when it did not.
    pub error: String,
}

/// How long the queues are.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct QueueLengths {
    /// Deliveries that are waiting.
    pub deliveries: u64,
    /// Layers that are waiting for their index.
    pub index_jobs: u64,
    /// Layers whose index could not be made.
    pub failed_index_jobs: u64,
}

/// Queries.
#[async_trait]
pub trait OperationRows: Send + Sync {
    /// The last entry of the registry's history that a reader has taken in; 0 at first.
    async fn history_position(&self, reader: &str) -> Result<i64>;
    /// A repository's webhooks, oldest first; also those that a removed repository of this name left behind.
    async fn webhooks(&self, repository: &str) -> Result<Vec<WebhookRow>>;
    /// One webhook.
    async fn webhook(&self, id: &str) -> Result<Option<WebhookRow>>;
    /// A webhook's deliveries, newest first, at most `limit`.
    async fn deliveries(&self, webhook: &str, limit: usize) -> Result<Vec<DeliveryRow>>;
    /// For each webhook the first delivery that is due, the earliest first, at most `limit`.
    async fn due_deliveries(&self, now: i64, limit: usize) -> Result<Vec<DeliveryRow>>;
    /// Index jobs that are due, the earliest first, at most `limit`.
    async fn due_index_jobs(&self, now: i64, limit: usize) -> Result<Vec<IndexJobRow>>;
    /// The job of a blob, waiting or failed.
    async fn index_job(&self, blob: &Digest) -> Result<Option<IndexJobRow>>;
    /// Bytes that collection gave back on each day (days since 1970, UTC) from `since` on, the last first.
    async fn freed_by_day(&self, since: i64) -> Result<Vec<(i64, u64)>>;
    /// How long the queues are.
    async fn queue_lengths(&self) -> Result<QueueLengths>;
}

/// Changes.
#[async_trait]
pub trait OperationChanges: OperationRows {
    /// Sets how far a reader of the registry's history has come.
    async fn set_history_position(&mut self, reader: &str, sequence: i64) -> Result<()>;
    /// Adds or replaces a webhook.
    async fn put_webhook(&mut self, row: &WebhookRow) -> Result<()>;
    /// Removes a webhook with its deliveries; `false` when it was not there.
    async fn delete_webhook(&mut self, id: &str) -> Result<bool>;
    /// Retires all webhooks of a repository that goes.
    async fn retire_webhooks_of(&mut self, repository: &str, now: i64) -> Result<()>;
    /// Queues a delivery.
    async fn insert_delivery(&mut self, row: &DeliveryRow) -> Result<()>;
    /// Notes how an attempt went.
    async fn update_delivery(&mut self, row: &DeliveryRow) -> Result<()>;
    /// Forgets deliveries that were over before this time, and webhooks that were retired before and have nothing to send.
    async fn prune_deliveries(&mut self, before: i64) -> Result<u64>;
    /// Adds or replaces an index job.
    async fn put_index_job(&mut self, row: &IndexJobRow) -> Result<()>;
    /// Adds to what collection gave back on a day.
    async fn add_freed(&mut self, day: i64, bytes: u64) -> Result<()>;
    /// Removes an index job.
    async fn delete_index_job(&mut self, blob: &Digest) -> Result<()>;
}
