//! SQL of the records of repositories and what is known of their tags: descriptions, stars, counts.

use async_trait::async_trait;
use rusqlite::{params, params_from_iter};
use strata_hub::records::{
    CategoryRow, ManifestRow, PullCounts, RepositoryChanges, RepositoryFilter, RepositoryOrder, RepositoryRow,
    RepositoryRows, RepositoryStatus, TagFilter, TagOrder, TagRow,
};
use strata_model::Digest;
use strata_store::Result;

use super::clauses::{Conditions, containing, placeholders};
use crate::dialect::sqlite::{Row, Session};
use crate::objects::{digest, integer};
use crate::transaction::Transaction;

/// What [`repository`] reads.
pub(super) const COLUMNS: &str = "r.id, r.namespace, r.name, r.is_private, r.description, r.categories, r.source,
    r.is_official, r.is_verified, r.status, r.immutable_tags, r.retention, r.registered, r.last_updated, r.last_pushed,
    r.last_pusher, r.kinds, r.media_types, r.platforms, r.stars, r.pulls";

/// What [`manifest`] reads, from column `n` on.
const MANIFEST: &str = "m.digest, m.media_type, m.kind, m.size, m.images";

/// Whether cosign keeps something that belongs to an image under a tag.
const OF_COSIGN: &str = "(t.tag LIKE 'sha256-%.sig' OR t.tag LIKE 'sha256-%.att' OR t.tag LIKE 'sha256-%.sbom')";

const NANOSECONDS_OF_A_DAY: i64 = 86_400_000_000_000;
/// The first of January 2026 in days since 1970; a pull of that day weighs one.
const TREND_EPOCH: i64 = 20_454;
/// Days after which a pull weighs half as much as one of today.
const HALF_LIFE: f64 = 14.0;

fn status(status: RepositoryStatus) -> &'static str {
    match status {
        RepositoryStatus::Active => "active",
        RepositoryStatus::Deleting => "deleting",
    }
}

fn parse_status(text: &str) -> Option<RepositoryStatus> {
    match text {
        "active" => Some(RepositoryStatus::Active),
        "deleting" => Some(RepositoryStatus::Deleting),
        _ => None,
    }
}

/// Words with blanks between them.
fn words<T: FromIterator<String>>(row: &Row<'_>, column: usize) -> Result<T> {
    row.parsed(column, |text| Some(text.split_ascii_whitespace().map(str::to_owned).collect()))
}

fn joined<'a>(words: impl IntoIterator<Item = &'a String>) -> String {
    words.into_iter().map(String::as_str).collect::<Vec<_>>().join(" ")
}

fn json<T: serde::de::DeserializeOwned>(row: &Row<'_>, column: usize) -> Result<T> {
    row.parsed(column, |text| serde_json::from_str(text).ok())
}

fn to_json(value: &impl serde::Serialize) -> String {
    serde_json::to_string(value).unwrap_or_default()
}

/// Reads [`COLUMNS`].
pub(super) fn repository(row: &Row<'_>) -> Result<RepositoryRow> {
    Ok(RepositoryRow {
        id: row.get(0)?,
        namespace: row.get(1)?,
        name: row.get(2)?,
        is_private: row.get(3)?,
        description: row.get(4)?,
        categories: words(row, 5)?,
        source: row.get(6)?,
        is_official: row.get(7)?,
        is_verified: row.get(8)?,
        status: row.parsed(9, parse_status)?,
        immutable_tags: json(row, 10)?,
        retention: json(row, 11)?,
        registered: row.get(12)?,
        last_updated: row.get(13)?,
        last_pushed: row.get(14)?,
        last_pusher: row.get(15)?,
        kinds: words(row, 16)?,
        media_types: words(row, 17)?,
        platforms: words(row, 18)?,
        stars: row.size(19)?,
        pulls: row.size(20)?,
    })
}

/// Reads [`MANIFEST`].
fn manifest(row: &Row<'_>, first: usize) -> Result<ManifestRow> {
    Ok(ManifestRow {
        digest: digest(row, first)?,
        media_type: row.get(first + 1)?,
        kind: row.get(first + 2)?,
        size: row.size(first + 3)?,
        images: json(row, first + 4)?,
    })
}

/// Reads `tag, pushed, pushed_by, last_pulled, pulls` and [`MANIFEST`].
fn tag(row: &Row<'_>) -> Result<TagRow> {
    Ok(TagRow {
        tag: row.get(0)?,
        pushed: row.get(1)?,
        pushed_by: row.get(2)?,
        last_pulled: row.get(3)?,
        pulls: row.size(4)?,
        manifest: manifest(row, 5)?,
    })
}

fn repository_conditions(filter: &RepositoryFilter) -> Conditions {
    let mut conditions = Conditions::default();
    if !filter.namespaces.is_empty() {
        let condition = format!("r.namespace IN ({})", placeholders(filter.namespaces.len()));
        conditions.and_with(&condition, filter.namespaces.iter().cloned());
    }
    if let Some(name) = &filter.name {
        conditions.and_with("r.name LIKE ? ESCAPE '\\'", [containing(name)]);
    }
    if filter.official {
        conditions.and("r.is_official = 1");
    }
    if let Some(account) = &filter.starred_by {
        conditions.and_with("r.id IN (SELECT s.repository FROM stars s WHERE s.account = ?)", [account.clone()]);
    }
    let readable = &filter.readable;
    if !readable.everything {
        let condition = format!(
            "(r.is_private = 0 OR r.namespace IN ({}) OR r.full_name IN ({}))",
            placeholders(readable.namespaces.len()),
            placeholders(readable.repositories.len())
        );
        conditions.and_with(&condition, readable.namespaces.iter().chain(&readable.repositories).cloned());
    }
    conditions.and("r.status = 'active'");
    conditions
}

fn repository_order(filter: &RepositoryFilter) -> &'static str {
    match (filter.order, filter.reverse) {
        (RepositoryOrder::Name, false) => "r.full_name",
        (RepositoryOrder::Name, true) => "r.full_name DESC",
        (RepositoryOrder::Updated, false) => "r.last_updated DESC, r.full_name",
        (RepositoryOrder::Updated, true) => "r.last_updated, r.full_name DESC",
        (RepositoryOrder::Pulls, false) => "r.pulls DESC, r.full_name",
        (RepositoryOrder::Pulls, true) => "r.pulls, r.full_name DESC",
        (RepositoryOrder::Stars, false) => "r.stars DESC, r.full_name",
        (RepositoryOrder::Stars, true) => "r.stars, r.full_name DESC",
        (RepositoryOrder::Trend, false) => "r.trend DESC, r.full_name",
        (RepositoryOrder::Trend, true) => "r.trend, r.full_name DESC",
    }
}

fn tag_conditions(repository: i64, filter: &TagFilter) -> Conditions {
    let mut conditions = Conditions::default();
    conditions.and_with("t.repository = ?", [repository]);
    if let Some(name) = &filter.name {
        conditions.and_with("t.tag LIKE ? ESCAPE '\\'", [containing(name)]);
    }
    if !filter.digests.is_empty() {
        let condition = format!("t.digest IN ({})", placeholders(filter.digests.len()));
        conditions.and_with(&condition, filter.digests.iter().map(ToString::to_string));
    }
    match filter.of_cosign {
        Some(true) => conditions.and(OF_COSIGN),
        Some(false) => conditions.and(&format!("NOT {OF_COSIGN}")),
        None => {}
    }
    conditions
}

impl Session {
    fn hub_repository(&self, name: &str) -> Result<Option<RepositoryRow>> {
        self.row(&format!("SELECT {COLUMNS} FROM repositories r WHERE r.full_name = ?1"), [name], repository)
    }

    fn hub_repositories(&self, filter: &RepositoryFilter) -> Result<Vec<RepositoryRow>> {
        let mut conditions = repository_conditions(filter);
        conditions.parameter(integer(filter.limit));
        conditions.parameter(integer(filter.skip));
        let (clause, parameters) = conditions.finish();
        let order = repository_order(filter);
        let sql = format!("SELECT {COLUMNS} FROM repositories r{clause} ORDER BY {order} LIMIT ? OFFSET ?");
        self.rows(&sql, params_from_iter(parameters), repository)
    }

    fn count(&self, from: &str, conditions: Conditions) -> Result<u64> {
        let (clause, parameters) = conditions.finish();
        let sql = format!("SELECT COUNT(*) FROM {from}{clause}");
        Ok(self.row(&sql, params_from_iter(parameters), |row| row.size(0))?.unwrap_or(0))
    }

    fn hub_tags(&self, repository: i64, filter: &TagFilter) -> Result<Vec<TagRow>> {
        let mut conditions = tag_conditions(repository, filter);
        conditions.parameter(integer(filter.limit));
        conditions.parameter(integer(filter.skip));
        let (clause, parameters) = conditions.finish();
        let order = match filter.order {
            TagOrder::Newest => "t.pushed DESC, t.sort_key",
            TagOrder::Name => "t.sort_key",
            TagOrder::NameDescending => "t.sort_key DESC",
        };
        let sql = format!(
            "SELECT t.tag, t.pushed, t.pushed_by, t.last_pulled, t.pulls, {MANIFEST} FROM tags t
             JOIN tagged_manifests m ON m.repository = t.repository AND m.digest = t.digest
             {clause} ORDER BY {order} LIMIT ? OFFSET ?"
        );
        self.rows(&sql, params_from_iter(parameters), tag)
    }

    fn add_pulls_of(&self, counts: &PullCounts) -> Result<()> {
        let sql = "SELECT id FROM repositories WHERE full_name = ?1";
        let Some(id) = self.row(sql, [&counts.repository], |row| row.get::<i64>(0))? else { return Ok(()) };
        let day = counts.last.div_euclid(NANOSECONDS_OF_A_DAY);
        let weight = ((day - TREND_EPOCH) as f64 / HALF_LIFE).exp2();
        let pulls = integer(counts.pulls);
        self.execute(
            "UPDATE repositories SET pulls = pulls + ?2, trend = trend + ?3 WHERE id = ?1",
            params![id, pulls, counts.pulls as f64 * weight],
        )?;
        self.execute(
            "INSERT INTO pulls (repository, day, pulls) VALUES (?1, ?2, ?3)
             ON CONFLICT (repository, day) DO UPDATE SET pulls = pulls.pulls + excluded.pulls",
            [id, day, pulls],
        )?;
        for (tag, pulls, last) in &counts.tags {
            self.execute(
                "UPDATE tags SET pulls = pulls + ?3, last_pulled = ?4
                 WHERE repository = ?1 AND tag = ?2",
                params![id, tag, integer(*pulls), last],
            )?;
        }
        for (digest, last) in &counts.digests {
            self.execute(
                "INSERT INTO digest_pulls (repository, digest, last) VALUES (?1, ?2, ?3)
                 ON CONFLICT (repository, digest) DO UPDATE SET last = excluded.last",
                params![id, digest.to_string(), last],
            )?;
            self.execute(
                "UPDATE tags SET last_pulled = ?3 WHERE repository = ?1 AND digest = ?2",
                params![id, digest.to_string(), last],
            )?;
        }
        Ok(())
    }
}

#[async_trait]
impl RepositoryRows for Transaction {
    async fn repository(&self, name: &str) -> Result<Option<RepositoryRow>> {
        self.session().hub_repository(name)
    }

    async fn repositories_by_id(&self, ids: &[i64]) -> Result<Vec<RepositoryRow>> {
        let sql = format!("SELECT {COLUMNS} FROM repositories r WHERE r.id = ?1");
        let session = self.session();
        let found = ids.iter().map(|id| session.row(&sql, [id], repository));
        Ok(found.collect::<Result<Vec<_>>>()?.into_iter().flatten().collect())
    }

    async fn full_description(&self, repository: i64) -> Result<String> {
        let sql = "SELECT description FROM repository_descriptions WHERE repository = ?1";
        Ok(self.session().row(sql, [repository], |row| row.get(0))?.unwrap_or_default())
    }

    async fn repositories(&self, filter: &RepositoryFilter) -> Result<Vec<RepositoryRow>> {
        self.session().hub_repositories(filter)
    }

    async fn count_repositories(&self, filter: &RepositoryFilter) -> Result<u64> {
        self.session().count("repositories r", repository_conditions(filter))
    }

    async fn repositories_after(&self, name: &str, limit: usize) -> Result<Vec<RepositoryRow>> {
        self.session().rows(
            &format!("SELECT {COLUMNS} FROM repositories r WHERE r.full_name > ?1 ORDER BY r.full_name LIMIT ?2"),
            params![name, integer(limit as u64)],
            repository,
        )
    }

    async fn repositories_being_deleted(&self) -> Result<Vec<RepositoryRow>> {
        let sql = format!("SELECT {COLUMNS} FROM repositories r WHERE r.status = 'deleting' ORDER BY r.full_name");
        self.session().rows(&sql, [], repository)
    }

    async fn categories(&self) -> Result<Vec<CategoryRow>> {
        let sql = "SELECT slug, name FROM categories ORDER BY position, slug";
        self.session().rows(sql, [], |row| Ok(CategoryRow { slug: row.get(0)?, name: row.get(1)? }))
    }

    async fn has_starred(&self, repository: i64, account: &str) -> Result<bool> {
        let sql = "SELECT 1 FROM stars WHERE repository = ?1 AND account = ?2";
        self.session().exists(sql, params![repository, account])
    }

    async fn tag(&self, repository: i64, name: &str) -> Result<Option<TagRow>> {
        let sql = format!(
            "SELECT t.tag, t.pushed, t.pushed_by, t.last_pulled, t.pulls, {MANIFEST} FROM tags t
             JOIN tagged_manifests m ON m.repository = t.repository AND m.digest = t.digest
             WHERE t.repository = ?1 AND t.tag = ?2"
        );
        self.session().row(&sql, params![repository, name], tag)
    }

    async fn tags(&self, repository: i64, filter: &TagFilter) -> Result<Vec<TagRow>> {
        self.session().hub_tags(repository, filter)
    }

    async fn count_tags(&self, repository: i64, filter: &TagFilter) -> Result<u64> {
        self.session().count("tags t", tag_conditions(repository, filter))
    }

    async fn described_manifest(&self, repository: i64, digest: &Digest) -> Result<Option<ManifestRow>> {
        let sql = format!("SELECT {MANIFEST} FROM tagged_manifests m WHERE m.repository = ?1 AND m.digest = ?2");
        self.session().row(&sql, params![repository, digest.to_string()], |row| manifest(row, 0))
    }

    async fn described_manifests(&self, repository: i64) -> Result<Vec<ManifestRow>> {
        let sql = format!("SELECT {MANIFEST} FROM tagged_manifests m WHERE m.repository = ?1 ORDER BY m.digest");
        self.session().rows(&sql, [repository], |row| manifest(row, 0))
    }

    async fn last_pulled(&self, repository: i64, digests: &[Digest]) -> Result<Vec<(Digest, i64)>> {
        let session = self.session();
        let sql = "SELECT digest, last FROM digest_pulls WHERE repository = ?1 AND digest = ?2";
        let last = |wanted: &Digest| {
            session.row(sql, params![repository, wanted.to_string()], |row| Ok((digest(row, 0)?, row.get(1)?)))
        };
        Ok(digests.iter().map(last).collect::<Result<Vec<_>>>()?.into_iter().flatten().collect())
    }

    async fn pulls_by_day(&self, repository: i64, since: i64) -> Result<Vec<(i64, u64)>> {
        let sql = "SELECT day, pulls FROM pulls WHERE repository = ?1 AND day >= ?2 ORDER BY day";
        self.session().rows(sql, [repository, since], |row| Ok((row.get(0)?, row.size(1)?)))
    }

    async fn stars_by_day(&self, repository: i64, since: i64) -> Result<Vec<(i64, u64)>> {
        let sql = "SELECT day, stars FROM star_counts WHERE repository = ?1 AND day >= COALESCE(
                       (SELECT MAX(day) FROM star_counts WHERE repository = ?1 AND day < ?2), ?2) ORDER BY day";
        self.session().rows(sql, [repository, since], |row| Ok((row.get(0)?, row.size(1)?)))
    }
}

#[async_trait]
impl RepositoryChanges for Transaction {
    async fn insert_repository(&mut self, row: &RepositoryRow) -> Result<i64> {
        let session = self.session();
        let sql = "SELECT COALESCE(MAX(id), 0) + 1 FROM repositories";
        let id = session.row(sql, [], |row| row.get(0))?.unwrap_or(1);
        session.execute(
            "INSERT INTO repositories (id, full_name, namespace, name, is_private, description, categories, source,
             is_official, is_verified, status, immutable_tags, retention, registered, last_updated, kinds, media_types,
             platforms) VALUES (?1, ?2, ?3, ?4, 0, '', '', NULL, 0, 0, 'active', '{}', '{}', ?5, ?5, '', '', '')",
            params![id, row.full_name(), row.namespace, row.name, row.registered],
        )?;
        session.update_hub_repository(&RepositoryRow { id, ..row.clone() })?;
        Ok(id)
    }

    async fn update_repository(&mut self, row: &RepositoryRow) -> Result<()> {
        self.session().update_hub_repository(row)
    }

    async fn delete_repository(&mut self, id: i64) -> Result<()> {
        self.session().execute("DELETE FROM repositories WHERE id = ?1", [id]).map(drop)
    }

    async fn put_full_description(&mut self, repository: i64, text: &str) -> Result<()> {
        let sql = "INSERT INTO repository_descriptions (repository, description) VALUES (?1, ?2)
             ON CONFLICT (repository) DO UPDATE SET description = excluded.description";
        self.session().execute(sql, params![repository, text]).map(drop)
    }

    async fn put_categories(&mut self, categories: &[CategoryRow]) -> Result<()> {
        let session = self.session();
        session.execute("DELETE FROM categories", [])?;
        for (position, category) in (1i64..).zip(categories) {
            let sql = "INSERT INTO categories (slug, name, position) VALUES (?1, ?2, ?3)";
            session.execute(sql, params![category.slug, category.name, position])?;
        }
        Ok(())
    }

    async fn set_verified(&mut self, namespace: &str, is_verified: bool) -> Result<()> {
        let sql = "UPDATE repositories SET is_verified = ?2 WHERE namespace = ?1 AND is_verified <> ?2";
        self.session().execute(sql, params![namespace, is_verified]).map(drop)
    }

    async fn set_star(&mut self, repository: i64, account: &str, starred: bool, now: i64) -> Result<bool> {
        let session = self.session();
        let changed = match starred {
            true => session.execute(
                "INSERT INTO stars (repository, account, time) VALUES (?1, ?2, ?3) ON CONFLICT DO NOTHING",
                params![repository, account, now],
            )?,
            false => session
                .execute("DELETE FROM stars WHERE repository = ?1 AND account = ?2", params![repository, account])?,
        };
        if changed == 1 {
            let step = if starred { 1 } else { -1 };
            session.execute("UPDATE repositories SET stars = stars + ?2 WHERE id = ?1", [repository, step])?;
            session.execute(
                "INSERT INTO star_counts (repository, day, stars) SELECT id, ?2, stars FROM repositories WHERE id = ?1
                 ON CONFLICT (repository, day) DO UPDATE SET stars = excluded.stars",
                [repository, now.div_euclid(NANOSECONDS_OF_A_DAY)],
            )?;
        }
        Ok(changed == 1)
    }

    async fn put_tag(&mut self, repository: i64, row: &TagRow, sort_key: &str) -> Result<()> {
        let (session, manifest) = (self.session(), &row.manifest);
        session.execute(
            "INSERT INTO tagged_manifests (repository, digest, media_type, kind, size, images)
             VALUES (?1, ?2, ?3, ?4, ?5, ?6)
             ON CONFLICT (repository, digest) DO UPDATE SET media_type = excluded.media_type, kind = excluded.kind,
                size = excluded.size, images = excluded.images",
            params![
                repository,
                manifest.digest.to_string(),
                manifest.media_type,
                manifest.kind,
                integer(manifest.size),
                to_json(&manifest.images)
            ],
        )?;
        session.execute(
            "INSERT INTO tags (repository, tag, digest, sort_key, pushed, pushed_by) VALUES (?1, ?2, ?3, ?4, ?5, ?6)
             ON CONFLICT (repository, tag) DO UPDATE SET digest = excluded.digest, sort_key = excluded.sort_key,
                pushed = excluded.pushed, pushed_by = excluded.pushed_by",
            params![repository, row.tag, manifest.digest.to_string(), sort_key, row.pushed, row.pushed_by],
        )?;
        Ok(())
    }

    async fn delete_tag(&mut self, repository: i64, tag: &str) -> Result<bool> {
        let sql = "DELETE FROM tags WHERE repository = ?1 AND tag = ?2";
        Ok(self.session().execute(sql, params![repository, tag])? == 1)
    }

    async fn delete_untagged(&mut self, repository: i64) -> Result<()> {
        let sql = "DELETE FROM tagged_manifests WHERE repository = ?1 AND NOT EXISTS
             (SELECT 1 FROM tags t WHERE t.repository = ?1 AND t.digest = tagged_manifests.digest)";
        self.session().execute(sql, [repository]).map(drop)
    }

    async fn delete_last_pulled(&mut self, repository: i64, digest: &Digest) -> Result<()> {
        let sql = "DELETE FROM digest_pulls WHERE repository = ?1 AND digest = ?2";
        self.session().execute(sql, params![repository, digest.to_string()]).map(drop)
    }

    async fn add_pulls(&mut self, counts: &[PullCounts]) -> Result<()> {
        let session = self.session();
        counts.iter().try_for_each(|counts| session.add_pulls_of(counts))
    }
}

impl Session {
    fn update_hub_repository(&self, row: &RepositoryRow) -> Result<()> {
        self.execute(
            "UPDATE repositories SET is_private = ?2, description = ?3, categories = ?4, source = ?5, is_official = ?6,
             is_verified = ?7, status = ?8, immutable_tags = ?9, retention = ?10, registered = ?11, last_updated = ?12,
             last_pushed = ?13, last_pusher = ?14, kinds = ?15, media_types = ?16, platforms = ?17 WHERE id = ?1",
            params![
                row.id,
                row.is_private,
                row.description,
                joined(&row.categories),
                row.source,
                row.is_official,
                row.is_verified,
                status(row.status),
                to_json(&row.immutable_tags),
                to_json(&row.retention),
                row.registered,
                row.last_updated,
                row.last_pushed,
                row.last_pusher,
                joined(&row.kinds),
                joined(&row.media_types),
                joined(&row.platforms)
            ],
        )
        .map(drop)
    }
}
