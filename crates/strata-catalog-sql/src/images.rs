//! Queries on images, names and repository digests.

use rusqlite::params;
use strata_model::{Algorithm, ImageId};
use strata_store::{DigestNameRow, ImageRow, NameRow, Result};

use crate::dialect::sqlite::{Row, Session};
use crate::objects::{digest, integer};

const IMAGE: &str = "id, manifest, platform, created, size, added, used, tagged";
const NAME: &str = "repository, tag, platform, image, updated";

fn image(row: &Row<'_>) -> Result<ImageRow> {
    Ok(ImageRow {
        id: ImageId(digest(row, 0)?),
        manifest: digest(row, 1)?,
        platform: row.get(2)?,
        created: row.get(3)?,
        size: row.size(4)?,
        added: row.get(5)?,
        used: row.get(6)?,
        tagged: row.get(7)?,
    })
}

fn name(row: &Row<'_>) -> Result<NameRow> {
    Ok(NameRow {
        repository: row.get(0)?,
        tag: row.get(1)?,
        platform: row.get(2)?,
        image: ImageId(digest(row, 3)?),
        updated: row.get(4)?,
    })
}

fn digest_name(row: &Row<'_>) -> Result<DigestNameRow> {
    Ok(DigestNameRow { repository: row.get(0)?, digest: digest(row, 1)?, image: ImageId(digest(row, 2)?) })
}

/// How many changes of names are kept; the oldest go first.
const NAME_CHANGES: i64 = 100_000;

impl Session {
    pub(crate) fn image(&self, id: &ImageId) -> Result<Option<ImageRow>> {
        self.row(&format!("SELECT {IMAGE} FROM images WHERE id = ?1"), [id.to_string()], image)
    }

    pub(crate) fn images(&self) -> Result<Vec<ImageRow>> {
        self.rows(&format!("SELECT {IMAGE} FROM images ORDER BY id"), [], image)
    }

    /// Digits other than lower-case hexadecimal ones start no identity.
    pub(crate) fn images_by_prefix(&self, hex: &str) -> Result<Vec<ImageRow>> {
        if !hex.bytes().all(|byte| matches!(byte, b'0'..=b'9' | b'a'..=b'f')) {
            return Ok(Vec::new());
        }
        let sql = format!("SELECT {IMAGE} FROM images WHERE id >= ?1 AND id < ?2 ORDER BY id");
        let mut found = Vec::new();
        for algorithm in [Algorithm::Sha256, Algorithm::Sha384, Algorithm::Sha512] {
            let first = format!("{}:{hex}", algorithm.name());
            // `g` follows the last hexadecimal digit.
            let end = format!("{first}g");
            found.extend(self.rows(&sql, [first, end], image)?);
        }
        Ok(found)
    }

    pub(crate) fn names(&self) -> Result<Vec<NameRow>> {
        self.rows(&format!("SELECT {NAME} FROM names ORDER BY repository, tag, platform"), [], name)
    }

    pub(crate) fn names_of_repository(&self, repository: &str) -> Result<Vec<NameRow>> {
        let sql = format!("SELECT {NAME} FROM names WHERE repository = ?1 ORDER BY tag, platform");
        self.rows(&sql, [repository], name)
    }

    pub(crate) fn names_of_image(&self, image: &ImageId) -> Result<Vec<NameRow>> {
        let sql = format!("SELECT {NAME} FROM names WHERE image = ?1 ORDER BY repository, tag, platform");
        self.rows(&sql, [image.to_string()], name)
    }

    pub(crate) fn digest_names(&self) -> Result<Vec<DigestNameRow>> {
        let sql = "SELECT repository, digest, image FROM digest_names ORDER BY repository, digest, image";
        self.rows(sql, [], digest_name)
    }

    pub(crate) fn digest_names_of_repository(&self, repository: &str) -> Result<Vec<DigestNameRow>> {
        let sql = "SELECT repository, digest, image FROM digest_names WHERE repository = ?1 ORDER BY digest, image";
        self.rows(sql, [repository], digest_name)
    }

    pub(crate) fn digest_names_of_image(&self, image: &ImageId) -> Result<Vec<DigestNameRow>> {
        let sql = "SELECT repository, digest, image FROM digest_names WHERE image = ?1 ORDER BY repository, digest";
        self.rows(sql, [image.to_string()], digest_name)
    }

    pub(crate) fn put_image(&self, row: &ImageRow) -> Result<()> {
        self.execute(
            "INSERT INTO images (id, manifest, platform, created, size, added, used, tagged)
             VALUES (?1, ?2, ?3, ?4, ?5, ?6, ?7, ?8)
             ON CONFLICT (id) DO UPDATE SET manifest = excluded.manifest, platform = excluded.platform,
             created = excluded.created, size = excluded.size, added = excluded.added, used = excluded.used,
             tagged = excluded.tagged",
            params![
                row.id.to_string(),
                row.manifest.to_string(),
                row.platform,
                row.created,
                integer(row.size),
                row.added,
                row.used,
                row.tagged,
            ],
        )
        .map(drop)
    }

    pub(crate) fn touch_image(&self, id: &ImageId, used: i64) -> Result<()> {
        self.execute("UPDATE images SET used = ?2 WHERE id = ?1", params![id.to_string(), used]).map(drop)
    }

    pub(crate) fn delete_image(&self, id: &ImageId) -> Result<()> {
        for name in self.names_of_image(id)? {
            self.delete_name(&name.repository, &name.tag, &name.platform)?;
        }
        self.execute("DELETE FROM images WHERE id = ?1", [id.to_string()]).map(drop)
    }

    pub(crate) fn put_name(&self, row: &NameRow) -> Result<()> {
        let image = row.image.to_string();
        let names_it_already = self.exists(
            "SELECT 1 FROM names WHERE repository = ?1 AND tag = ?2 AND platform = ?3 AND image = ?4",
            [&row.repository, &row.tag, &row.platform, &image],
        )?;
        self.execute(
            "INSERT INTO names (repository, tag, platform, image, updated) VALUES (?1, ?2, ?3, ?4, ?5)
             ON CONFLICT (repository, tag, platform) DO UPDATE SET image = excluded.image, updated = excluded.updated",
            params![row.repository, row.tag, row.platform, image, row.updated],
        )?;
        if names_it_already {
            return Ok(());
        }
        self.note_name(&row.repository, &row.tag, &row.platform, Some(&image), row.updated)
    }

    pub(crate) fn delete_name(&self, repository: &str, tag: &str, platform: &str) -> Result<bool> {
        let deleted = self.execute(
            "DELETE FROM names WHERE repository = ?1 AND tag = ?2 AND platform = ?3",
            [repository, tag, platform],
        )?;
        if deleted == 1 {
            self.note_name(repository, tag, platform, None, now())?;
        }
        Ok(deleted == 1)
    }

    fn note_name(&self, repository: &str, tag: &str, platform: &str, image: Option<&str>, time: i64) -> Result<()> {
        self.execute(
            "INSERT INTO name_history (sequence, repository, tag, platform, image, time)
             VALUES ((SELECT COALESCE(MAX(sequence), 0) + 1 FROM name_history), ?1, ?2, ?3, ?4, ?5)",
            params![repository, tag, platform, image, time],
        )?;
        let oldest = "DELETE FROM name_history WHERE sequence <= (SELECT MAX(sequence) FROM name_history) - ?1";
        self.execute(oldest, [NAME_CHANGES]).map(drop)
    }

    pub(crate) fn put_digest_name(&self, row: &DigestNameRow) -> Result<()> {
        self.execute(
            "INSERT INTO digest_names (repository, digest, image) VALUES (?1, ?2, ?3) ON CONFLICT DO NOTHING",
            [&row.repository, &row.digest.to_string(), &row.image.to_string()],
        )
        .map(drop)
    }

    pub(crate) fn delete_digest_name(&self, row: &DigestNameRow) -> Result<()> {
        self.execute(
            "DELETE FROM digest_names WHERE repository = ?1 AND digest = ?2 AND image = ?3",
            [&row.repository, &row.digest.to_string(), &row.image.to_string()],
        )
        .map(drop)
    }
}

/// When a name was removed: the contract gives no time for it, and only the history needs one.
fn now() -> i64 {
    let elapsed = std::time::SystemTime::UNIX_EPOCH.elapsed().unwrap_or_default();
    i64::try_from(elapsed.as_nanos()).unwrap_or(i64::MAX)
}
