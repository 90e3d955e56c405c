//! SQL of the records of sessions.

use async_trait::async_trait;
use rusqlite::params;
use strata_hub::records::{SessionChanges, SessionRow, SessionRows};
use strata_store::Result;

use crate::dialect::sqlite::Row;
use crate::transaction::Transaction;

const SESSIONS: &str = "SELECT s.id, s.account, s.generation, s.created, s.expires, s.address, s.agent FROM sessions s";

fn session(row: &Row<'_>) -> Result<SessionRow> {
    Ok(SessionRow {
        id: row.get(0)?,
        account: row.get(1)?,
        generation: row.get(2)?,
        created: row.get(3)?,
        expires: row.get(4)?,
        address: row.get(5)?,
        agent: row.get(6)?,
    })
}

#[async_trait]
impl SessionRows for Transaction {
    async fn session_row(&self, id: &str) -> Result<Option<SessionRow>> {
        self.session().row(&format!("{SESSIONS} WHERE s.id = ?1"), [id], session)
    }

    async fn sessions(&self, account: &str, now: i64) -> Result<Vec<SessionRow>> {
        let sql = format!(
            "{SESSIONS} JOIN accounts a ON a.name = s.account AND a.generation = s.generation
             WHERE s.account = ?1 AND s.expires > ?2 ORDER BY s.created DESC, s.id"
        );
        self.session().rows(&sql, params![account, now], session)
    }
}

#[async_trait]
impl SessionChanges for Transaction {
    async fn insert_session(&mut self, row: &SessionRow) -> Result<()> {
        let sql = "INSERT INTO sessions (id, account, generation, created, expires, address, agent)
                   VALUES (?1, ?2, ?3, ?4, ?5, ?6, ?7)";
        let SessionRow { id, account, generation, created, expires, address, agent } = row;
        self.session().execute(sql, params![id, account, generation, created, expires, address, agent]).map(drop)
    }

    async fn delete_session(&mut self, account: &str, id: &str) -> Result<bool> {
        let sql = "DELETE FROM sessions WHERE id = ?1 AND account = ?2";
        Ok(self.session().execute(sql, [id, account])? == 1)
    }

    async fn delete_expired_sessions(&mut self, now: i64) -> Result<()> {
        self.session().execute("DELETE FROM sessions WHERE expires <= ?1", [now]).map(drop)
    }
}
