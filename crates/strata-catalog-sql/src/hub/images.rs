//! SQL of the records of what was found in images.

use async_trait::async_trait;
use rusqlite::params;
use strata_hub::records::{ImageChanges, ImageFindingsRow, ImageRows};
use strata_model::Digest;
use strata_store::Result;

use crate::dialect::sqlite::Row;
use crate::objects::{digest, integer};
use crate::transaction::Transaction;

const FINDINGS: &str = "SELECT image, repository, created, due, attempts, error, findings FROM image_findings";

fn findings(row: &Row<'_>) -> Result<ImageFindingsRow> {
    Ok(ImageFindingsRow {
        image: digest(row, 0)?,
        repository: row.get(1)?,
        created: row.get(2)?,
        due: row.get(3)?,
        attempts: row.size(4)?,
        error: row.get(5)?,
        findings: row.get(6)?,
    })
}

#[async_trait]
impl ImageRows for Transaction {
    async fn image_findings(&self, image: &Digest) -> Result<Option<ImageFindingsRow>> {
        self.session().row(&format!("{FINDINGS} WHERE image = ?1"), [image.to_string()], findings)
    }

    async fn due_image_findings(&self, now: i64, limit: usize) -> Result<Vec<ImageFindingsRow>> {
        let sql = format!("{FINDINGS} WHERE due IS NOT NULL AND due <= ?1 ORDER BY due, image LIMIT ?2");
        self.session().rows(&sql, params![now, integer(limit as u64)], findings)
    }

    async fn images_with_findings(&self, last: &str, limit: usize) -> Result<Vec<Digest>> {
        let sql = "SELECT image FROM image_findings WHERE image > ?1 ORDER BY image LIMIT ?2";
        self.session().rows(sql, params![last, integer(limit as u64)], |row| digest(row, 0))
    }
}

#[async_trait]
impl ImageChanges for Transaction {
    async fn put_image_findings(&mut self, row: &ImageFindingsRow) -> Result<()> {
        let sql = "INSERT INTO image_findings (image, repository, created, due, attempts, error, findings)
                   VALUES (?1, ?2, ?3, ?4, ?5, ?6, ?7)
                   ON CONFLICT (image) DO UPDATE SET repository = excluded.repository, created = excluded.created,
                       due = excluded.due, attempts = excluded.attempts, error = excluded.error,
                       findings = excluded.findings";
        let ImageFindingsRow { image, repository, created, due, attempts, error, findings } = row;
        let values = params![image.to_string(), repository, created, due, integer(*attempts), error, findings];
        self.session().execute(sql, values).map(drop)
    }

    async fn delete_image_findings(&mut self, image: &Digest) -> Result<()> {
        self.session().execute("DELETE FROM image_findings WHERE image = ?1", [image.to_string()]).map(drop)
    }
}
