//! Full-text search on FTS5: queries as match expressions, entries as rows of an index without contents.
//!
//! Words come as letters and digits only and are always quoted; so nothing of a query can be read as an operator.

use std::cmp::Reverse;
use std::ops::ControlFlow;

use rusqlite::{params, params_from_iter, types::Value};
use strata_hub::records::{Readable, SearchEntry, SearchHit, SearchOrder, SearchQuery, SpelledWord, WantedWord};
use strata_store::Result;

use super::{Row, Session};

/// Bits of a row's number that are the repository's.
const REPOSITORY_BITS: u32 = 40;
/// The repository of a row of the index.
const REPOSITORY: &str = "(s.rowid & 1099511627775)";
/// The repositories' table, read by an index that has all that searching and ranking need: rows are several times as wide.
const RANKING: &str = "repositories r INDEXED BY repositories_ranking";
/// Longer lists of private repositories are cut; nobody was given roles on so many one by one.
const GRANTS: usize = 1000;
/// With more than this found for each one wanted, those wanted are looked for among all repositories.
const FOUND_FOR_EACH_WANTED: u64 = 40;

fn row_number(repository: i64, position: i64) -> i64 {
    (position << REPOSITORY_BITS) | repository
}

/// The column that an order sorts by, and its index.
fn sorted(order: SearchOrder) -> (&'static str, &'static str) {
    match order {
        SearchOrder::Pulls => ("pulls", "repositories_pulls"),
        SearchOrder::Stars => ("stars", "repositories_stars"),
        SearchOrder::Updated => ("last_updated", "repositories_updated"),
    }
}

fn number(value: u64) -> Value {
    Value::from(i64::try_from(value).unwrap_or(i64::MAX))
}

fn quoted(text: &str) -> String {
    format!("\"{}\"", text.replace('"', "\"\""))
}

fn any_of(terms: impl IntoIterator<Item = String>) -> String {
    format!("({})", terms.into_iter().collect::<Vec<_>>().join(" OR "))
}

fn wanted(word: &WantedWord, columns: &str) -> String {
    let beginnings = word.beginnings.iter().map(|text| format!("{} *", quoted(text)));
    format!("{columns} : {}", any_of(beginnings.chain(word.words.iter().map(|text| quoted(text)))))
}

/// Facets of what may be read of what is private.
fn granted(readable: &Readable) -> Vec<String> {
    let namespaces = readable.namespaces.iter().map(|namespace| format!("namespace:{namespace}"));
    let repositories = readable.repositories.iter().take(GRANTS).map(|name| format!("repository:{name}"));
    namespaces.chain(repositories).collect()
}

fn facets(group: &[String]) -> String {
    format!("facets : {}", any_of(group.iter().map(|facet| quoted(facet))))
}

/// The match expression of a query; `None` when there is nothing to match. What is private is taken away rather than what is
/// public asked for: it is less, and costs less.
fn expression(query: &SearchQuery) -> Option<String> {
    let columns = if query.in_names { "names" } else { "{names texts}" };
    let words = query.words.iter().map(|word| wanted(word, columns));
    let parts: Vec<String> = words.chain(query.facets.iter().map(|group| facets(group))).collect();
    let granted = granted(&query.readable);
    let sought = parts.join(" AND ");
    match (query.readable.everything, parts.is_empty(), granted.is_empty()) {
        (true, true, _) => None,
        (true, false, _) => Some(sought),
        (false, true, _) => Some(facets(&[vec!["visibility:public".to_owned()], granted].concat())),
        (false, false, true) => Some(format!("({sought}) NOT facets : \"visibility:private\"")),
        (false, false, false) => {
            Some(format!("({sought}) NOT (facets : \"visibility:private\" NOT {})", facets(&granted)))
        }
    }
}

fn hit(row: &Row<'_>) -> Result<SearchHit> {
    Ok(SearchHit {
        repository: row.get(0)?,
        namespace: row.get(1)?,
        name: row.get(2)?,
        is_official: row.get(3)?,
        stars: row.size(4)?,
        pulls: row.size(5)?,
    })
}

impl Session {
    pub(crate) fn search(&self, query: &SearchQuery, limit: u64) -> Result<Vec<i64>> {
        let expression = expression(query);
        let condition = if expression.is_some() { "WHERE search MATCH ?" } else { "" };
        let parameters = expression.map(Value::from).into_iter().chain([number(limit)]);
        let sql = format!("SELECT {REPOSITORY} FROM search s {condition} ORDER BY s.rowid LIMIT ?");
        self.rows(&sql, params_from_iter(parameters), |row| row.get(0))
    }

    /// Looking up what was found costs as much as it is; where it is a good part of everything, the first of an order are
    /// sooner met by going through all repositories in that order.
    pub(crate) fn search_sorted(&self, query: &SearchQuery, order: SearchOrder, limit: u64) -> Result<(Vec<i64>, u64)> {
        let (column, index) = sorted(order);
        let mut found = self.search(query, u64::MAX)?;
        let total = found.len() as u64;
        if total <= limit.saturating_mul(FOUND_FOR_EACH_WANTED) {
            let sql = format!("SELECT id, {column} FROM {RANKING} WHERE id = ?1");
            let read = |id: i64| self.row(&sql, [id], |row| Ok((row.get::<i64>(0)?, row.get::<i64>(1)?)));
            let rows = found.into_iter().map(read).collect::<Result<Vec<_>>>()?;
            let mut rows: Vec<(i64, i64)> = rows.into_iter().flatten().collect();
            rows.sort_by_key(|(_, value)| Reverse(*value)); // of equal ones, as they were found: by position
            let first = rows.into_iter().map(|(id, _)| id).take(usize::try_from(limit).unwrap_or(usize::MAX));
            return Ok((first.collect(), total));
        }
        found.sort_unstable();
        let mut first = Vec::new();
        let sql = format!("SELECT id FROM repositories INDEXED BY {index} ORDER BY {column} DESC, full_name");
        self.visit(&sql, [], |row| {
            let repository = row.get(0)?;
            if found.binary_search(&repository).is_ok() {
                first.push(repository);
            }
            Ok(if first.len() as u64 >= limit { ControlFlow::Break(()) } else { ControlFlow::Continue(()) })
        })?;
        Ok((first, total))
    }

    pub(crate) fn search_hits(&self, repositories: &[i64]) -> Result<Vec<SearchHit>> {
        let sql = format!("SELECT id, namespace, name, is_official, stars, pulls FROM {RANKING} WHERE id = ?1");
        let hits = repositories.iter().map(|id| self.row(&sql, [id], hit));
        Ok(hits.collect::<Result<Vec<_>>>()?.into_iter().flatten().collect())
    }

    pub(crate) fn words_like(&self, variants: &[String], limit: usize) -> Result<Vec<(String, u64)>> {
        let places = vec!["?"; variants.len()].join(", ");
        let sql = format!(
            "SELECT DISTINCT w.word, w.uses FROM search_variants v JOIN search_words w ON w.id = v.word
             WHERE v.variant IN ({places}) ORDER BY w.uses DESC, w.word LIMIT {limit}"
        );
        self.rows(&sql, params_from_iter(variants), |row| Ok((row.get(0)?, row.size(1)?)))
    }

    pub(crate) fn words_containing(&self, part: &str, limit: usize) -> Result<Vec<(String, u64)>> {
        self.rows(
            "SELECT w.word, w.uses FROM search_word_parts p CROSS JOIN search_words w ON w.id = p.rowid
             WHERE search_word_parts MATCH ?1 ORDER BY w.uses DESC, w.word LIMIT ?2",
            params![quoted(part), i64::try_from(limit).unwrap_or(i64::MAX)],
            |row| Ok((row.get(0)?, row.size(1)?)),
        )
    }

    pub(crate) fn search_entry(&self, repository: i64) -> Result<Option<SearchEntry>> {
        let sql = "SELECT position, names FROM search_entries WHERE repository = ?1";
        self.row(sql, [repository], |row| {
            let (position, names): (i64, String) = (row.get(0)?, row.get(1)?);
            Ok(SearchEntry {
                repository,
                position: u32::try_from(position).unwrap_or(u32::MAX),
                names: names.split(' ').map(str::to_owned).collect(),
                ..SearchEntry::default()
            })
        })
    }

    pub(crate) fn put_search_entry(&self, entry: &SearchEntry, words: &[SpelledWord]) -> Result<()> {
        let names = entry.names.join(" ");
        let old = self.search_entry(entry.repository)?;
        if let Some(old) = &old {
            let number = row_number(entry.repository, i64::from(old.position));
            self.execute("DELETE FROM search WHERE rowid = ?1", [number])?;
        }
        // Names do not change; the vocabulary is touched once.
        if old.is_none() {
            words.iter().try_for_each(|word| self.use_word(word))?;
        }
        self.execute(
            "INSERT INTO search (rowid, names, texts, facets) VALUES (?1, ?2, ?3, ?4)",
            params![
                row_number(entry.repository, i64::from(entry.position)),
                names,
                entry.texts.join(" "),
                entry.facets.join(" ")
            ],
        )?;
        self.execute(
            "INSERT INTO search_entries (repository, position, names) VALUES (?1, ?2, ?3)
             ON CONFLICT (repository) DO UPDATE SET position = excluded.position, names = excluded.names",
            params![entry.repository, entry.position, names],
        )
        .map(drop)
    }

    pub(crate) fn delete_search_entry(&self, repository: i64) -> Result<()> {
        let Some(entry) = self.search_entry(repository)? else { return Ok(()) };
        let number = row_number(repository, i64::from(entry.position));
        self.execute("DELETE FROM search WHERE rowid = ?1", [number])?;
        self.execute("DELETE FROM search_entries WHERE repository = ?1", [repository])?;
        entry.names.iter().try_for_each(|word| self.stop_using_word(word))
    }

    fn use_word(&self, spelled: &SpelledWord) -> Result<()> {
        let known = self.execute("UPDATE search_words SET uses = uses + 1 WHERE word = ?1", [&spelled.word])?;
        if known == 1 {
            return Ok(());
        }
        self.execute("INSERT INTO search_words (word, uses) VALUES (?1, 1)", [&spelled.word])?;
        let Some(id) = self.word_id(&spelled.word)? else { return Ok(()) };
        self.execute("INSERT INTO search_word_parts (rowid, word) VALUES (?1, ?2)", params![id, spelled.word])?;
        for variant in &spelled.variants {
            let sql = "INSERT INTO search_variants (variant, word) VALUES (?1, ?2) ON CONFLICT DO NOTHING";
            self.execute(sql, params![variant, id])?;
        }
        Ok(())
    }

    fn stop_using_word(&self, word: &str) -> Result<()> {
        self.execute("UPDATE search_words SET uses = uses - 1 WHERE word = ?1", [word])?;
        let sql = "SELECT id FROM search_words WHERE word = ?1 AND uses <= 0";
        if let Some(id) = self.row(sql, [word], |row| row.get::<i64>(0))? {
            self.execute("DELETE FROM search_word_parts WHERE rowid = ?1", [id])?;
            self.execute("DELETE FROM search_words WHERE id = ?1", [id])?;
        }
        Ok(())
    }

    fn word_id(&self, word: &str) -> Result<Option<i64>> {
        self.row("SELECT id FROM search_words WHERE word = ?1", [word], |row| row.get(0))
    }
}
