//! Queries on leases, doomed bytes and events.

use rusqlite::params;
use strata_model::DiffId;
use strata_store::{DoomedKind, DoomedRow, EventRow, LeaseItem, LeaseRow, Location, Result};

use crate::dialect::sqlite::{Row, Session};
use crate::layers::parse_pack_id;
use crate::objects::integer;

/// Events that are kept.
const EVENTS: i64 = 4096;

fn lease(row: &Row<'_>) -> Result<LeaseRow> {
    Ok(LeaseRow { id: row.get(0)?, purpose: row.get(1)?, expires: row.get(2)? })
}

fn lease_item(row: &Row<'_>) -> Result<LeaseItem> {
    let kind: String = row.get(0)?;
    row.parsed(1, |item| match kind.as_str() {
        "object" => item.parse().ok().map(LeaseItem::Object),
        "layer" => item.parse().ok().map(|digest| LeaseItem::Layer(DiffId(digest))),
        "pack" => parse_pack_id(item).map(LeaseItem::Pack),
        _ => None,
    })
}

fn kind_of_doomed(kind: DoomedKind) -> &'static str {
    match kind {
        DoomedKind::Blob => "blob",
        DoomedKind::Pack => "pack",
    }
}

fn doomed(row: &Row<'_>) -> Result<DoomedRow> {
    let kind = row.parsed(1, |kind| match kind {
        "blob" => Some(DoomedKind::Blob),
        "pack" => Some(DoomedKind::Pack),
        _ => None,
    })?;
    Ok(DoomedRow { location: Location(row.get(0)?), kind })
}

impl Session {
    pub(crate) fn lease(&self, id: &str) -> Result<Option<LeaseRow>> {
        self.row("SELECT id, purpose, expires FROM leases WHERE id = ?1", [id], lease)
    }

    pub(crate) fn expired_leases(&self, now: i64) -> Result<Vec<LeaseRow>> {
        self.rows("SELECT id, purpose, expires FROM leases WHERE expires <= ?1 ORDER BY id", [now], lease)
    }

    pub(crate) fn live_leases(&self, now: i64) -> Result<Vec<LeaseRow>> {
        self.rows("SELECT id, purpose, expires FROM leases WHERE expires > ?1 ORDER BY id", [now], lease)
    }

    pub(crate) fn lease_items(&self, lease: &str) -> Result<Vec<LeaseItem>> {
        self.rows("SELECT kind, item FROM lease_items WHERE lease = ?1 ORDER BY kind, item", [lease], lease_item)
    }

    pub(crate) fn doomed(&self) -> Result<Vec<DoomedRow>> {
        self.rows("SELECT location, kind FROM doomed ORDER BY location, kind", [], doomed)
    }

    pub(crate) fn events(&self, since: i64, limit: usize) -> Result<Vec<EventRow>> {
        self.rows(
            "SELECT time, action, actor, attributes FROM events WHERE time > ?1 ORDER BY time, sequence LIMIT ?2",
            [since, integer(limit as u64)],
            |row| Ok(EventRow { time: row.get(0)?, action: row.get(1)?, actor: row.get(2)?, attributes: row.get(3)? }),
        )
    }

    pub(crate) fn put_lease(&self, row: &LeaseRow) -> Result<()> {
        self.execute(
            "INSERT INTO leases (id, purpose, expires) VALUES (?1, ?2, ?3)
             ON CONFLICT (id) DO UPDATE SET purpose = excluded.purpose, expires = excluded.expires",
            params![row.id, row.purpose, row.expires],
        )
        .map(drop)
    }

    pub(crate) fn add_lease_items(&self, lease: &str, items: &[LeaseItem]) -> Result<()> {
        for item in items {
            let (kind, item) = match item {
                LeaseItem::Object(digest) => ("object", digest.to_string()),
                LeaseItem::Layer(diff_id) => ("layer", diff_id.to_string()),
                LeaseItem::Pack(id) => ("pack", id.to_string()),
            };
            self.execute(
                "INSERT INTO lease_items (lease, kind, item) VALUES (?1, ?2, ?3) ON CONFLICT DO NOTHING",
                [lease, kind, &item],
            )?;
        }
        Ok(())
    }

    pub(crate) fn delete_lease(&self, lease: &str) -> Result<()> {
        self.execute("DELETE FROM leases WHERE id = ?1", [lease]).map(drop)
    }

    pub(crate) fn insert_doomed(&self, row: &DoomedRow) -> Result<()> {
        self.execute(
            "INSERT INTO doomed (location, kind) VALUES (?1, ?2) ON CONFLICT DO NOTHING",
            [&row.location.0, kind_of_doomed(row.kind)],
        )
        .map(drop)
    }

    pub(crate) fn delete_doomed(&self, rows: &[DoomedRow]) -> Result<()> {
        for row in rows {
            self.execute(
                "DELETE FROM doomed WHERE location = ?1 AND kind = ?2",
                [&row.location.0, kind_of_doomed(row.kind)],
            )?;
        }
        Ok(())
    }

    pub(crate) fn insert_event(&self, row: &EventRow) -> Result<()> {
        self.execute(
            "INSERT INTO events (sequence, time, action, actor, attributes)
             VALUES ((SELECT COALESCE(MAX(sequence), 0) + 1 FROM events), ?1, ?2, ?3, ?4)",
            params![row.time, row.action, row.actor, row.attributes],
        )?;
        self.execute("DELETE FROM events WHERE sequence <= (SELECT MAX(sequence) FROM events) - ?1", [EVENTS]).map(drop)
    }
}
