//! Queries on the repositories that the registry serves.

use rusqlite::params;
use strata_model::Digest;
use strata_store::{LinkKind, RegistryAction, RegistryHistoryRow, RegistryReviewRow, RegistryTagRow, Result};

use crate::dialect::sqlite::{Row, Session};
use crate::objects::{digest, integer};

fn link_kind(kind: LinkKind) -> &'static str {
    match kind {
        LinkKind::Manifest => "manifest",
        LinkKind::Blob => "blob",
    }
}

fn parse_link_kind(text: &str) -> Option<LinkKind> {
    match text {
        "manifest" => Some(LinkKind::Manifest),
        "blob" => Some(LinkKind::Blob),
        _ => None,
    }
}

const ACTIONS: [(RegistryAction, &str); 5] = [
    (RegistryAction::Push, "push"),
    (RegistryAction::Delete, "delete"),
    (RegistryAction::Tag, "tag"),
    (RegistryAction::Untag, "untag"),
    (RegistryAction::Collect, "collect"),
];

/// Reads `sequence, repository, tag, digest, previous, action, actor, time`.
fn history(row: &Row<'_>) -> Result<RegistryHistoryRow> {
    let optional = |column| match row.get::<Option<String>>(column)? {
        Some(_) => digest(row, column).map(Some),
        None => Ok(None),
    };
    Ok(RegistryHistoryRow {
        sequence: row.get(0)?,
        repository: row.get(1)?,
        tag: row.get(2)?,
        digest: optional(3)?,
        previous: optional(4)?,
        action: row.parsed(5, |text| ACTIONS.iter().find(|(_, word)| *word == text).map(|(action, _)| *action))?,
        actor: row.get(6)?,
        time: row.get(7)?,
    })
}

/// Reads `repository, digest, touched, due`.
fn review(row: &Row<'_>) -> Result<RegistryReviewRow> {
    Ok(RegistryReviewRow { repository: row.get(0)?, digest: digest(row, 1)?, touched: row.get(2)?, due: row.get(3)? })
}

impl Session {
    pub(crate) fn registry_repositories(&self, last: Option<&str>, limit: usize) -> Result<Vec<String>> {
        self.rows(
            "SELECT name FROM registry_repositories WHERE name > ?1 ORDER BY name LIMIT ?2",
            params![last.unwrap_or_default(), integer(limit as u64)],
            |row| row.get(0),
        )
    }

    pub(crate) fn registry_has_repository(&self, repository: &str) -> Result<bool> {
        self.exists("SELECT 1 FROM registry_repositories WHERE name = ?1", [repository])
    }

    pub(crate) fn registry_link(&self, repository: &str, digest: &Digest) -> Result<Option<LinkKind>> {
        self.row(
            "SELECT kind FROM registry_links WHERE repository = ?1 AND digest = ?2",
            [repository, &digest.to_string()],
            |row| row.parsed(0, parse_link_kind),
        )
    }

    pub(crate) fn registry_links(&self, repository: &str, kind: LinkKind) -> Result<Vec<Digest>> {
        self.rows(
            "SELECT digest FROM registry_links WHERE repository = ?1 AND kind = ?2 ORDER BY digest",
            [repository, link_kind(kind)],
            |row| digest(row, 0),
        )
    }

    pub(crate) fn registry_tag(&self, repository: &str, tag: &str) -> Result<Option<Digest>> {
        let sql = "SELECT digest FROM registry_tags WHERE repository = ?1 AND tag = ?2";
        self.row(sql, [repository, tag], |row| digest(row, 0))
    }

    pub(crate) fn registry_tags(
        &self,
        repository: &str,
        last: Option<&str>,
        limit: usize,
    ) -> Result<Vec<RegistryTagRow>> {
        self.rows(
            "SELECT tag, digest, updated FROM registry_tags WHERE repository = ?1 AND tag > ?2 ORDER BY tag LIMIT ?3",
            params![repository, last.unwrap_or_default(), integer(limit as u64)],
            |row| Ok(RegistryTagRow { tag: row.get(0)?, digest: digest(row, 1)?, updated: row.get(2)? }),
        )
    }

    /// What was linked as a blob becomes a manifest when it is pushed as one, never the reverse.
    pub(crate) fn put_registry_link(&self, repository: &str, digest: &Digest, kind: LinkKind) -> Result<()> {
        self.execute("INSERT INTO registry_repositories (name) VALUES (?1) ON CONFLICT DO NOTHING", [repository])?;
        self.execute(
            "INSERT INTO registry_links (repository, digest, kind) VALUES (?1, ?2, ?3)
             ON CONFLICT (repository, digest) DO UPDATE SET kind = excluded.kind WHERE excluded.kind = 'manifest'",
            [repository, &digest.to_string(), link_kind(kind)],
        )
        .map(drop)
    }

    pub(crate) fn delete_registry_link(&self, repository: &str, digest: &Digest) -> Result<bool> {
        let deleted = self.execute(
            "DELETE FROM registry_links WHERE repository = ?1 AND digest = ?2",
            [repository, &digest.to_string()],
        )?;
        Ok(deleted == 1)
    }

    pub(crate) fn put_registry_tag(&self, repository: &str, tag: &str, digest: &Digest, updated: i64) -> Result<()> {
        self.execute(
            "INSERT INTO registry_tags (repository, tag, digest, updated) VALUES (?1, ?2, ?3, ?4)
             ON CONFLICT (repository, tag) DO UPDATE SET digest = excluded.digest, updated = excluded.updated",
            params![repository, tag, digest.to_string(), updated],
        )
        .map(drop)
    }

    pub(crate) fn delete_registry_tag(&self, repository: &str, tag: &str) -> Result<bool> {
        let deleted =
            self.execute("DELETE FROM registry_tags WHERE repository = ?1 AND tag = ?2", [repository, tag])?;
        Ok(deleted == 1)
    }

    pub(crate) fn registry_tags_of(&self, repository: &str, digest: &Digest) -> Result<Vec<String>> {
        self.rows(
            "SELECT tag FROM registry_tags WHERE repository = ?1 AND digest = ?2 ORDER BY tag",
            [repository, &digest.to_string()],
            |row| row.get(0),
        )
    }

    pub(crate) fn registry_tags_needing(&self, repository: &str, digest: &Digest) -> Result<Vec<String>> {
        self.rows(
            "WITH RECURSIVE above(digest) AS (
                 VALUES (?2)
                 UNION SELECT e.parent FROM above a JOIN edges e ON e.child = a.digest AND e.role <> 'subject'
                 JOIN registry_links p ON p.repository = ?1 AND p.digest = e.parent AND p.kind = 'manifest')
             SELECT tag FROM registry_tags WHERE repository = ?1 AND digest IN (SELECT digest FROM above) ORDER BY tag",
            [repository, &digest.to_string()],
            |row| row.get(0),
        )
    }

    pub(crate) fn registry_parent(&self, repository: &str, child: &Digest) -> Result<Option<Digest>> {
        self.row(
            "SELECT e.parent FROM edges e JOIN registry_links p ON p.repository = ?1 AND p.digest = e.parent
             WHERE e.child = ?2 AND e.role <> 'subject' AND p.kind = 'manifest' ORDER BY e.parent LIMIT 1",
            [repository, &child.to_string()],
            |row| digest(row, 0),
        )
    }

    pub(crate) fn registry_repositories_with(&self, digest: &Digest, limit: usize) -> Result<Vec<String>> {
        self.rows(
            "SELECT repository FROM registry_links WHERE digest = ?1 ORDER BY repository LIMIT ?2",
            params![digest.to_string(), integer(limit as u64)],
            |row| row.get(0),
        )
    }

    /// '0' is the character after '/'.
    pub(crate) fn registry_repositories_below(
        &self,
        namespace: &str,
        digest: &Digest,
        limit: usize,
    ) -> Result<Vec<String>> {
        self.rows(
            "SELECT repository FROM registry_links
             WHERE digest = ?1 AND repository > ?2 || '/' AND repository < ?2 || '0' ORDER BY repository LIMIT ?3",
            params![digest.to_string(), namespace, integer(limit as u64)],
            |row| row.get(0),
        )
    }

    /// '0' is the character after '/'.
    pub(crate) fn registry_stored_bytes(&self, namespace: &str) -> Result<u64> {
        let sql = "SELECT COALESCE(SUM(size), 0) FROM objects WHERE digest IN
                       (SELECT digest FROM registry_links WHERE repository > ?1 || '/' AND repository < ?1 || '0')";
        Ok(self.row(sql, [namespace], |row| row.size(0))?.unwrap_or(0))
    }

    pub(crate) fn registry_linked_bytes(&self, repository: &str) -> Result<u64> {
        let sql = "SELECT COALESCE(SUM(size), 0) FROM registry_links JOIN objects USING (digest) WHERE repository = ?1";
        Ok(self.row(sql, [repository], |row| row.size(0))?.unwrap_or(0))
    }

    pub(crate) fn registry_largest(&self, limit: usize) -> Result<Vec<(String, u64)>> {
        let sql = "SELECT repository, SUM(size) FROM registry_links JOIN objects USING (digest)
                   GROUP BY repository ORDER BY SUM(size) DESC, repository LIMIT ?1";
        self.rows(sql, [integer(limit as u64)], |row| Ok((row.get(0)?, row.size(1)?)))
    }

    /// Links, tags and reviews go with it, by their foreign keys.
    pub(crate) fn delete_registry_repository(&self, repository: &str) -> Result<bool> {
        Ok(self.execute("DELETE FROM registry_repositories WHERE name = ?1", [repository])? == 1)
    }

    pub(crate) fn registry_history(&self, after: i64, limit: usize) -> Result<Vec<RegistryHistoryRow>> {
        self.rows(
            "SELECT sequence, repository, tag, digest, previous, action, actor, time FROM registry_history
             WHERE sequence > ?1 ORDER BY sequence LIMIT ?2",
            [after, integer(limit as u64)],
            history,
        )
    }

    pub(crate) fn registry_tag_history(
        &self,
        repository: &str,
        tag: &str,
        limit: usize,
    ) -> Result<Vec<RegistryHistoryRow>> {
        self.rows(
            "SELECT sequence, repository, tag, digest, previous, action, actor, time FROM registry_history
             WHERE repository = ?1 AND tag = ?2 ORDER BY sequence DESC LIMIT ?3",
            params![repository, tag, integer(limit as u64)],
            history,
        )
    }

    pub(crate) fn insert_registry_history(&self, row: &RegistryHistoryRow) -> Result<()> {
        let action = ACTIONS.iter().find(|(action, _)| *action == row.action).map_or("", |(_, word)| word);
        self.execute(
            "INSERT INTO registry_history (sequence, repository, tag, digest, previous, action, actor, time)
             VALUES ((SELECT COALESCE(MAX(sequence), 0) + 1 FROM registry_history), ?1, ?2, ?3, ?4, ?5, ?6, ?7)",
            params![
                row.repository,
                row.tag,
                row.digest.map(|digest| digest.to_string()),
                row.previous.map(|digest| digest.to_string()),
                action,
                row.actor,
                row.time
            ],
        )
        .map(drop)
    }

    pub(crate) fn prune_registry_history(&self, first: i64, last: i64, kept: usize) -> Result<u64> {
        let pruned = self.execute(
            "DELETE FROM registry_history
             WHERE sequence BETWEEN ?1 AND ?2
               AND sequence < (SELECT MAX(sequence) FROM registry_history)
               AND (NOT EXISTS (SELECT 1 FROM registry_tags
                                WHERE registry_tags.repository = registry_history.repository
                                  AND registry_tags.tag = registry_history.tag)
                 OR EXISTS (SELECT 1 FROM registry_history AS newer
                            WHERE newer.repository = registry_history.repository AND newer.tag = registry_history.tag
                              AND newer.sequence > registry_history.sequence
                            ORDER BY newer.sequence LIMIT 1 OFFSET ?3))",
            [first, last, integer((kept as u64).saturating_sub(1))],
        )?;
        Ok(pruned as u64)
    }

    pub(crate) fn registry_review(&self, repository: &str, digest: &Digest) -> Result<Option<RegistryReviewRow>> {
        self.row(
            "SELECT repository, digest, touched, due FROM registry_reviews WHERE repository = ?1 AND digest = ?2",
            [repository, &digest.to_string()],
            review,
        )
    }

    pub(crate) fn registry_reviews(&self, due: i64, touched: i64, limit: usize) -> Result<Vec<RegistryReviewRow>> {
        self.rows(
            "SELECT repository, digest, touched, due FROM registry_reviews WHERE due <= ?1 AND touched <= ?2
             ORDER BY due, repository, digest LIMIT ?3",
            [due, touched, integer(limit as u64)],
            review,
        )
    }

    pub(crate) fn put_registry_review(&self, row: &RegistryReviewRow) -> Result<()> {
        self.execute(
            "INSERT INTO registry_reviews (repository, digest, touched, due) VALUES (?1, ?2, ?3, ?4)
             ON CONFLICT (repository, digest) DO UPDATE SET
                touched = CASE WHEN excluded.touched > registry_reviews.touched
                    THEN excluded.touched ELSE registry_reviews.touched END,
                due = CASE WHEN excluded.due > registry_reviews.due THEN excluded.due ELSE registry_reviews.due END",
            params![row.repository, row.digest.to_string(), row.touched, row.due],
        )
        .map(drop)
    }

    pub(crate) fn delete_registry_review(&self, repository: &str, digest: &Digest) -> Result<()> {
        self.execute(
            "DELETE FROM registry_reviews WHERE repository = ?1 AND digest = ?2",
            [repository, &digest.to_string()],
        )
        .map(drop)
    }

    pub(crate) fn registry_uses(&self, repository: &str) -> Result<Vec<(Digest, i64)>> {
        self.rows("SELECT digest, used FROM registry_uses WHERE repository = ?1", [repository], |row| {
            Ok((digest(row, 0)?, row.get(1)?))
        })
    }

    pub(crate) fn put_registry_use(&self, repository: &str, digest: &Digest, used: i64) -> Result<()> {
        self.execute(
            "INSERT INTO registry_uses (repository, digest, used) VALUES (?1, ?2, ?3)
             ON CONFLICT (repository, digest) DO UPDATE SET used = excluded.used",
            params![repository, digest.to_string(), used],
        )
        .map(drop)
    }
}
