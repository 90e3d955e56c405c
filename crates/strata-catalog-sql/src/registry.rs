//! Queries on the repositories that the registry serves.

use rusqlite::params;
use strata_model::Digest;
use strata_store::{LinkKind, RegistryTagRow, Result};

use crate::dialect::sqlite::Session;
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
}
