//! Queries on objects and on what refers to them.

use bytes::Bytes;
use rusqlite::params;
use strata_model::{Digest, MediaType};
use strata_store::{Location, ObjectRow, Result, Totals};

use crate::dialect::sqlite::{Row, Session};

pub(crate) fn digest(row: &Row<'_>, column: usize) -> Result<Digest> {
    row.parsed(column, |text| text.parse().ok())
}

pub(crate) fn integer(value: u64) -> i64 {
    i64::try_from(value).unwrap_or(i64::MAX)
}

/// Reads `digest, media_type, size, location, created, damaged, bytes`.
fn object(row: &Row<'_>) -> Result<ObjectRow> {
    Ok(ObjectRow {
        digest: digest(row, 0)?,
        media_type: MediaType(row.get::<String>(1)?.into()),
        size: row.size(2)?,
        location: row.get::<Option<String>>(3)?.map(Location),
        created: row.get(4)?,
        damaged: row.get(5)?,
        bytes: row.get::<Option<Vec<u8>>>(6)?.map(Bytes::from),
    })
}

impl Session {
    pub(crate) fn totals(&self, now: i64) -> Result<Totals> {
        let sql = "SELECT (SELECT COUNT(*) FROM objects), (SELECT COALESCE(SUM(size), 0) FROM objects),
                          (SELECT COUNT(*) FROM layers), (SELECT COALESCE(SUM(length), 0) FROM packs),
                          (SELECT COUNT(*) FROM registry_repositories),
                          (SELECT COALESCE(SUM(o.size), 0) FROM registry_links l JOIN objects o ON o.digest = l.digest),
                          (SELECT COUNT(*) FROM registry_reviews), (SELECT COUNT(*) FROM doomed),
                          (SELECT COUNT(*) FROM leases WHERE id LIKE 'registry-upload-%' AND expires > ?1)";
        let totals = self.row(sql, [now], |row| {
            Ok(Totals {
                objects: row.size(0)?,
                object_bytes: row.size(1)?,
                layers: row.size(2)?,
                pack_bytes: row.size(3)?,
                repositories: row.size(4)?,
                linked_bytes: row.size(5)?,
                reviews: row.size(6)?,
                doomed: row.size(7)?,
                uploads: row.size(8)?,
            })
        })?;
        Ok(totals.unwrap_or_default())
    }

    pub(crate) fn object(&self, digest: &Digest) -> Result<Option<ObjectRow>> {
        self.row(
            "SELECT o.digest, o.media_type, o.size, o.location, o.created, o.damaged, b.bytes
             FROM objects o LEFT JOIN object_bytes b ON b.digest = o.digest WHERE o.digest = ?1",
            [digest.to_string()],
            object,
        )
    }

    pub(crate) fn present(&self, digests: &[Digest]) -> Result<Vec<Digest>> {
        let mut found = Vec::with_capacity(digests.len());
        for digest in digests {
            if self.exists("SELECT 1 FROM objects WHERE digest = ?1 AND damaged = 0", [digest.to_string()])? {
                found.push(*digest);
            }
        }
        Ok(found)
    }

    pub(crate) fn objects(&self) -> Result<Vec<ObjectRow>> {
        self.rows(
            "SELECT digest, media_type, size, location, created, damaged, NULL FROM objects ORDER BY digest",
            [],
            object,
        )
    }

    pub(crate) fn objects_of_type(&self, media_type: &MediaType) -> Result<Vec<ObjectRow>> {
        self.rows(
            "SELECT digest, media_type, size, location, created, damaged, NULL FROM objects WHERE media_type = ?1",
            [media_type.as_str()],
            object,
        )
    }

    pub(crate) fn children(&self, parent: &Digest) -> Result<Vec<Digest>> {
        let sql = "SELECT DISTINCT child FROM edges WHERE parent = ?1 ORDER BY child";
        self.rows(sql, [parent.to_string()], |row| digest(row, 0))
    }

    pub(crate) fn parents(&self, child: &Digest) -> Result<Vec<Digest>> {
        let sql = "SELECT DISTINCT parent FROM edges WHERE child = ?1 AND role <> 'subject' ORDER BY parent";
        self.rows(sql, [child.to_string()], |row| digest(row, 0))
    }

    pub(crate) fn object_is_held(&self, digest: &Digest, now: i64) -> Result<bool> {
        self.exists(
            "SELECT 1 WHERE EXISTS (SELECT 1 FROM edges WHERE child = ?1)
             OR EXISTS (SELECT 1 FROM images WHERE manifest = ?1)
             OR EXISTS (SELECT 1 FROM containers WHERE manifest = ?1)
             OR EXISTS (SELECT 1 FROM digest_names WHERE digest = ?1)
             OR EXISTS (SELECT 1 FROM registry_links WHERE digest = ?1)
             OR EXISTS (SELECT 1 FROM lease_items i JOIN leases l ON l.id = i.lease
                        WHERE i.kind = 'object' AND i.item = ?1 AND l.expires > ?2)",
            params![digest.to_string(), now],
        )
    }

    pub(crate) fn subject(&self, manifest: &Digest) -> Result<Option<Digest>> {
        self.row(
            "SELECT child FROM edges WHERE parent = ?1 AND role = 'subject'
             UNION SELECT child FROM sparse WHERE parent = ?1 AND role = 'subject' ORDER BY 1 LIMIT 1",
            [manifest.to_string()],
            |row| digest(row, 0),
        )
    }

    pub(crate) fn referrers(&self, subject: &Digest) -> Result<Vec<Digest>> {
        self.rows(
            "SELECT parent FROM edges WHERE child = ?1 AND role = 'subject'
             UNION SELECT parent FROM sparse WHERE child = ?1 AND role = 'subject' ORDER BY 1",
            [subject.to_string()],
            |row| digest(row, 0),
        )
    }

    pub(crate) fn insert_object(&self, row: &ObjectRow) -> Result<bool> {
        let digest = row.digest.to_string();
        let location = row.location.as_ref().map(|location| &location.0);
        let inserted = self.execute(
            "INSERT INTO objects (digest, media_type, size, location, created, damaged)
             VALUES (?1, ?2, ?3, ?4, ?5, ?6) ON CONFLICT DO NOTHING",
            params![digest, row.media_type.as_str(), integer(row.size), location, row.created, i64::from(row.damaged)],
        )?;
        if inserted == 1
            && let Some(bytes) = &row.bytes
        {
            self.put_bytes(&digest, bytes)?;
        }
        Ok(inserted == 1)
    }

    fn put_bytes(&self, digest: &str, bytes: &Bytes) -> Result<()> {
        self.execute(
            "INSERT INTO object_bytes (digest, bytes) VALUES (?1, ?2)
             ON CONFLICT (digest) DO UPDATE SET bytes = excluded.bytes",
            params![digest, &bytes[..]],
        )?;
        Ok(())
    }

    /// Sets the location as given; bytes that are not given stay.
    pub(crate) fn heal_object(
        &self,
        digest: &Digest,
        location: Option<&Location>,
        bytes: Option<&Bytes>,
    ) -> Result<()> {
        let digest = digest.to_string();
        let healed = self.execute(
            "UPDATE objects SET location = ?2, damaged = 0 WHERE digest = ?1",
            params![digest, location.map(|location| &location.0)],
        )?;
        match bytes {
            Some(bytes) if healed == 1 => self.put_bytes(&digest, bytes),
            _ => Ok(()),
        }
    }

    pub(crate) fn mark_object_damaged(&self, digest: &Digest) -> Result<()> {
        self.execute("UPDATE objects SET damaged = 1 WHERE digest = ?1", [digest.to_string()]).map(drop)
    }

    pub(crate) fn delete_object(&self, digest: &Digest) -> Result<()> {
        self.execute("DELETE FROM objects WHERE digest = ?1", [digest.to_string()]).map(drop)
    }

    pub(crate) fn insert_edge(&self, parent: &Digest, child: &Digest, role: &str) -> Result<()> {
        self.execute(
            "INSERT INTO edges (parent, child, role) VALUES (?1, ?2, ?3) ON CONFLICT DO NOTHING",
            params![parent.to_string(), child.to_string(), role],
        )
        .map(drop)
    }

    pub(crate) fn insert_sparse(&self, parent: &Digest, child: &Digest, role: &str) -> Result<()> {
        self.execute(
            "INSERT INTO sparse (parent, child, role) VALUES (?1, ?2, ?3) ON CONFLICT DO NOTHING",
            params![parent.to_string(), child.to_string(), role],
        )
        .map(drop)
    }

    pub(crate) fn promote_sparse(&self, child: &Digest) -> Result<()> {
        let child = child.to_string();
        let promoted = self.execute(
            "INSERT INTO edges (parent, child, role) SELECT parent, child, role FROM sparse WHERE child = ?1
             ON CONFLICT DO NOTHING",
            [&child],
        )?;
        if promoted > 0 {
            self.execute("DELETE FROM sparse WHERE child = ?1", [&child])?;
        }
        Ok(())
    }
}
