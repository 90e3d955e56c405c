//! SQL of the records of running the hub: webhooks and their deliveries, jobs, how far the registry's history was read.

use async_trait::async_trait;
use rusqlite::params;
use strata_hub::records::{DeliveryRow, IndexJobRow, OperationChanges, OperationRows, QueueLengths, WebhookRow};
use strata_model::Digest;
use strata_store::Result;

use crate::dialect::sqlite::Row;
use crate::objects::{digest, integer};
use crate::transaction::Transaction;

const WEBHOOKS: &str = "SELECT id, repository, name, url, secret, events, active, creator, created, retired
                        FROM webhooks";
const DELIVERIES: &str = "SELECT id, webhook, event, body, created, due, attempts, attempted, status, error, finished
                          FROM webhook_deliveries";
const INDEX_JOBS: &str = "SELECT blob, repository, created, due, attempts, error FROM index_jobs";

fn webhook(row: &Row<'_>) -> Result<WebhookRow> {
    Ok(WebhookRow {
        id: row.get(0)?,
        repository: row.get(1)?,
        name: row.get(2)?,
        url: row.get(3)?,
        secret: row.get(4)?,
        events: row.get(5)?,
        is_active: row.get(6)?,
        creator: row.get(7)?,
        created: row.get(8)?,
        retired: row.get(9)?,
    })
}

fn delivery(row: &Row<'_>) -> Result<DeliveryRow> {
    Ok(DeliveryRow {
        id: row.get(0)?,
        webhook: row.get(1)?,
        event: row.get(2)?,
        body: row.get(3)?,
        created: row.get(4)?,
        due: row.get(5)?,
        attempts: row.size(6)?,
        attempted: row.get(7)?,
        status: row.get(8)?,
        error: row.get(9)?,
        finished: row.get(10)?,
    })
}

fn index_job(row: &Row<'_>) -> Result<IndexJobRow> {
    Ok(IndexJobRow {
        blob: digest(row, 0)?,
        repository: row.get(1)?,
        created: row.get(2)?,
        due: row.get(3)?,
        attempts: row.size(4)?,
        error: row.get(5)?,
    })
}

#[async_trait]
impl OperationRows for Transaction {
    async fn history_position(&self, reader: &str) -> Result<i64> {
        let sql = "SELECT sequence FROM history_readers WHERE reader = ?1";
        Ok(self.session().row(sql, [reader], |row| row.get(0))?.unwrap_or_default())
    }

    async fn webhooks(&self, repository: &str) -> Result<Vec<WebhookRow>> {
        let sql = format!("{WEBHOOKS} WHERE repository = ?1 ORDER BY created, id");
        self.session().rows(&sql, [repository], webhook)
    }

    async fn webhook(&self, id: &str) -> Result<Option<WebhookRow>> {
        self.session().row(&format!("{WEBHOOKS} WHERE id = ?1"), [id], webhook)
    }

    async fn deliveries(&self, webhook: &str, limit: usize) -> Result<Vec<DeliveryRow>> {
        let sql = format!("{DELIVERIES} WHERE webhook = ?1 ORDER BY id DESC LIMIT ?2");
        self.session().rows(&sql, params![webhook, integer(limit as u64)], delivery)
    }

    async fn due_deliveries(&self, now: i64, limit: usize) -> Result<Vec<DeliveryRow>> {
        let sql = format!(
            "{DELIVERIES} WHERE due IS NOT NULL AND due <= ?1
             AND id IN (SELECT MIN(id) FROM webhook_deliveries WHERE due IS NOT NULL AND due <= ?1
                        GROUP BY webhook)
             ORDER BY due, id LIMIT ?2"
        );
        self.session().rows(&sql, params![now, integer(limit as u64)], delivery)
    }

    async fn due_index_jobs(&self, now: i64, limit: usize) -> Result<Vec<IndexJobRow>> {
        let sql = format!("{INDEX_JOBS} WHERE due IS NOT NULL AND due <= ?1 ORDER BY due, blob LIMIT ?2");
        self.session().rows(&sql, params![now, integer(limit as u64)], index_job)
    }

    async fn index_job(&self, blob: &Digest) -> Result<Option<IndexJobRow>> {
        self.session().row(&format!("{INDEX_JOBS} WHERE blob = ?1"), [blob.to_string()], index_job)
    }

    async fn freed_by_day(&self, since: i64) -> Result<Vec<(i64, u64)>> {
        let sql = "SELECT day, freed FROM collections WHERE day >= ?1 ORDER BY day DESC";
        self.session().rows(sql, [since], |row| Ok((row.get(0)?, row.size(1)?)))
    }

    async fn queue_lengths(&self) -> Result<QueueLengths> {
        let sql = "SELECT (SELECT COUNT(*) FROM webhook_deliveries WHERE due IS NOT NULL),
                          (SELECT COUNT(*) FROM index_jobs WHERE due IS NOT NULL),
                          (SELECT COUNT(*) FROM index_jobs WHERE due IS NULL)";
        let lengths = self.session().row(sql, [], |row| {
            Ok(QueueLengths { deliveries: row.size(0)?, index_jobs: row.size(1)?, failed_index_jobs: row.size(2)? })
        })?;
        Ok(lengths.unwrap_or_default())
    }
}

#[async_trait]
impl OperationChanges for Transaction {
    async fn set_history_position(&mut self, reader: &str, sequence: i64) -> Result<()> {
        let sql = "INSERT INTO history_readers (reader, sequence) VALUES (?1, ?2)
                   ON CONFLICT (reader) DO UPDATE SET sequence = excluded.sequence";
        self.session().execute(sql, params![reader, sequence]).map(drop)
    }

    async fn put_webhook(&mut self, row: &WebhookRow) -> Result<()> {
        let sql = "INSERT INTO webhooks (id, repository, name, url, secret, events, active, creator, created, retired)
                   VALUES (?1, ?2, ?3, ?4, ?5, ?6, ?7, ?8, ?9, ?10)
                   ON CONFLICT (id) DO UPDATE SET name = excluded.name, url = excluded.url, secret = excluded.secret,
                       events = excluded.events, active = excluded.active";
        let WebhookRow { id, repository, name, url, secret, events, is_active, creator, created, retired } = row;
        let values = params![id, repository, name, url, secret, events, is_active, creator, created, retired];
        self.session().execute(sql, values).map(drop)
    }

    async fn delete_webhook(&mut self, id: &str) -> Result<bool> {
        Ok(self.session().execute("DELETE FROM webhooks WHERE id = ?1", [id])? == 1)
    }

    async fn retire_webhooks_of(&mut self, repository: &str, now: i64) -> Result<()> {
        let sql = "UPDATE webhooks SET retired = ?2 WHERE repository = ?1 AND retired IS NULL";
        self.session().execute(sql, params![repository, now]).map(drop)
    }

    async fn insert_delivery(&mut self, row: &DeliveryRow) -> Result<()> {
        let sql = "INSERT INTO webhook_deliveries
                       (id, webhook, event, body, created, due, attempts, attempted, status, error, finished)
                   VALUES ((SELECT COALESCE(MAX(id), 0) + 1 FROM webhook_deliveries),
                       ?1, ?2, ?3, ?4, ?5, ?6, ?7, ?8, ?9, ?10)";
        let DeliveryRow { webhook, event, body, created, due, attempted, status, error, finished, .. } = row;
        let attempts = integer(row.attempts);
        let values = params![webhook, event, body, created, due, attempts, attempted, status, error, finished];
        self.session().execute(sql, values).map(drop)
    }

    async fn update_delivery(&mut self, row: &DeliveryRow) -> Result<()> {
        let sql = "UPDATE webhook_deliveries
                   SET due = ?2, attempts = ?3, attempted = ?4, status = ?5, error = ?6, finished = ?7 WHERE id = ?1";
        let DeliveryRow { id, due, attempted, status, error, finished, .. } = row;
        let values = params![id, due, integer(row.attempts), attempted, status, error, finished];
        self.session().execute(sql, values).map(drop)
    }

    async fn prune_deliveries(&mut self, before: i64) -> Result<u64> {
        let session = self.session();
        let sql = "DELETE FROM webhooks WHERE retired < ?1 AND NOT EXISTS
                       (SELECT 1 FROM webhook_deliveries d WHERE d.webhook = webhooks.id AND d.due IS NOT NULL)";
        session.execute(sql, [before])?;
        let sql = "DELETE FROM webhook_deliveries WHERE finished IS NOT NULL AND finished < ?1";
        Ok(session.execute(sql, [before])? as u64)
    }

    async fn put_index_job(&mut self, row: &IndexJobRow) -> Result<()> {
        let sql = "INSERT INTO index_jobs (blob, repository, created, due, attempts, error)
                   VALUES (?1, ?2, ?3, ?4, ?5, ?6)
                   ON CONFLICT (blob) DO UPDATE SET repository = excluded.repository, due = excluded.due,
                       attempts = excluded.attempts, error = excluded.error";
        let IndexJobRow { blob, repository, created, due, attempts, error } = row;
        let values = params![blob.to_string(), repository, created, due, integer(*attempts), error];
        self.session().execute(sql, values).map(drop)
    }

    async fn add_freed(&mut self, day: i64, bytes: u64) -> Result<()> {
        let sql = "INSERT INTO collections (day, freed) VALUES (?1, ?2)
                   ON CONFLICT (day) DO UPDATE SET freed = collections.freed + excluded.freed";
        self.session().execute(sql, params![day, integer(bytes)]).map(drop)
    }

    async fn delete_index_job(&mut self, blob: &Digest) -> Result<()> {
        self.session().execute("DELETE FROM index_jobs WHERE blob = ?1", [blob.to_string()]).map(drop)
    }
}
