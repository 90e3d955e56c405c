//! SQL of the records of second factors of sign-in.

use async_trait::async_trait;
use rusqlite::params;
use strata_hub::records::{SecondFactorChanges, SecondFactorRow, SecondFactorRows};
use strata_store::Result;

use crate::transaction::Transaction;

#[async_trait]
impl SecondFactorRows for Transaction {
    async fn second_factor(&self, account: &str) -> Result<Option<SecondFactorRow>> {
        let sql = "SELECT account, code_key, created, confirmed, last_step FROM second_factors WHERE account = ?1";
        self.session().row(sql, [account], |row| {
            Ok(SecondFactorRow {
                account: row.get(0)?,
                key: row.get(1)?,
                created: row.get(2)?,
                confirmed: row.get(3)?,
                last_step: row.get(4)?,
            })
        })
    }

    async fn count_recovery_codes(&self, account: &str) -> Result<u64> {
        let sql = "SELECT COUNT(*) FROM recovery_codes WHERE account = ?1";
        Ok(self.session().row(sql, [account], |row| row.size(0))?.unwrap_or(0))
    }
}

#[async_trait]
impl SecondFactorChanges for Transaction {
    async fn put_second_factor(&mut self, row: &SecondFactorRow) -> Result<()> {
        let sql = "INSERT INTO second_factors (account, code_key, created, confirmed, last_step)
                   VALUES (?1, ?2, ?3, ?4, ?5)
                   ON CONFLICT (account) DO UPDATE SET code_key = excluded.code_key, created = excluded.created,
                       confirmed = excluded.confirmed, last_step = excluded.last_step";
        let SecondFactorRow { account, key, created, confirmed, last_step } = row;
        self.session().execute(sql, params![account, key, created, confirmed, last_step]).map(drop)
    }

    async fn delete_second_factor(&mut self, account: &str) -> Result<bool> {
        Ok(self.session().execute("DELETE FROM second_factors WHERE account = ?1", [account])? == 1)
    }

    async fn insert_recovery_codes(&mut self, account: &str, hashes: &[String]) -> Result<()> {
        let session = self.session();
        hashes.iter().try_for_each(|hash| {
            session.execute("INSERT INTO recovery_codes (account, hash) VALUES (?1, ?2)", [account, hash]).map(drop)
        })
    }

    async fn take_recovery_code(&mut self, account: &str, hash: &str) -> Result<bool> {
        let sql = "DELETE FROM recovery_codes WHERE account = ?1 AND hash = ?2";
        Ok(self.session().execute(sql, [account, hash])? == 1)
    }
}
