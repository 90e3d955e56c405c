//! SQL of the records of publishers' public keys.

use async_trait::async_trait;
use rusqlite::params;
use strata_hub::records::{PublisherKeyChanges, PublisherKeyRow, PublisherKeyRows};
use strata_store::Result;

use crate::transaction::Transaction;

#[async_trait]
impl PublisherKeyRows for Transaction {
    async fn publisher_keys(&self, owner: &str) -> Result<Vec<PublisherKeyRow>> {
        let sql =
            "SELECT owner, id, name, pem, added_by, added FROM publisher_keys WHERE owner = ?1 ORDER BY added, id";
        self.session().rows(sql, [owner], |row| {
            Ok(PublisherKeyRow {
                owner: row.get(0)?,
                id: row.get(1)?,
                name: row.get(2)?,
                pem: row.get(3)?,
                added_by: row.get(4)?,
                added: row.get(5)?,
            })
        })
    }
}

#[async_trait]
impl PublisherKeyChanges for Transaction {
    async fn put_publisher_key(&mut self, row: &PublisherKeyRow) -> Result<()> {
        let sql = "INSERT INTO publisher_keys (owner, id, name, pem, added_by, added) VALUES (?1, ?2, ?3, ?4, ?5, ?6)
                   ON CONFLICT (owner, id) DO UPDATE SET name = excluded.name";
        let PublisherKeyRow { owner, id, name, pem, added_by, added } = row;
        self.session().execute(sql, params![owner, id, name, pem, added_by, added]).map(drop)
    }

    async fn delete_publisher_key(&mut self, owner: &str, id: &str) -> Result<bool> {
        let sql = "DELETE FROM publisher_keys WHERE owner = ?1 AND id = ?2";
        Ok(self.session().execute(sql, [owner, id])? == 1)
    }

    async fn delete_publisher_keys_of(&mut self, owner: &str) -> Result<()> {
        self.session().execute("DELETE FROM publisher_keys WHERE owner = ?1", [owner]).map(drop)
    }
}
