//! Search over the repositories: by name, description and category; filters; as you type; misspelled.
//!
//! A query is answered from the index that [`Hub`] keeps beside its repositories, in two steps. The index gives a bounded
//! number of candidates in the order of their popularity, those that fit by name apart; these are ranked: the exact name
//! first, then official ones, then by how well the name fits, weighed by stars and pulls. Where little is found, words that
//! contain what was typed, and words that it may be a misspelling of, are taken for it; what only they find comes last.

use std::collections::BTreeSet;

use crate::records::{
    Readable, RepositoryFilter, RepositoryOrder, RepositoryRow, RepositoryStatus, SearchEntry, SearchHit, SearchOrder,
    SearchQuery, WantedWord,
};
use crate::words::{mistakes, spelled, variants, words};
use crate::{Hub, HubRead, HubWrite, Result};

/// Candidates by name, and as many by anything: no search shows more than both.
const CANDIDATES: u64 = 500;
/// How far results are counted.
const COUNTED: u64 = 10_000;
/// With fewer results, other spellings are tried.
const FEW: u64 = 10;
/// Words of a query that are looked at.
const WORDS: usize = 8;
/// Other words that stand for a typed one: by spelling, and because they contain it.
const CORRECTIONS: usize = 3;
const CONTAINING: usize = 20;
/// Bits of a count of stars that the index knows: more stars than that are as good as so many.
const STAR_BITS: u32 = 24;

/// What is searched for.
#[derive(Clone, Debug, Default)]
pub struct SearchRequest {
    /// What was typed. A tag after a colon is not searched for.
    pub text: String,
    /// Whether names only are looked at, as while typing.
    pub in_names: bool,
    /// Only with one of these badges: `official`, `verified`, `community`.
    pub badges: Vec<String>,
    /// With at least as many stars.
    pub stars: u64,
    /// Only for one of these operating systems.
    pub operating_systems: Vec<String>,
    /// Only for one of these architectures: `amd64`, `arm/v7`, ….
    pub architectures: Vec<String>,
    /// Only in one of these categories, by slug.
    pub categories: Vec<String>,
    /// Only with something of one of these kinds: `image`, `helm`, ….
    pub kinds: Vec<String>,
    /// The order.
    pub order: SearchSort,
    /// How many results to pass over.
    pub skip: u64,
    /// How many at most.
    pub limit: u64,
}

impl SearchRequest {
    /// Whether anything but the text says what is looked for.
    pub fn is_filtered(&self) -> bool {
        let lists = [&self.badges, &self.operating_systems, &self.architectures, &self.categories, &self.kinds];
        self.stars > 0 || lists.iter().any(|list| !list.is_empty())
    }
}

/// In which order results come.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum SearchSort {
    /// The best first.
    #[default]
    Best,
    /// Most pulled first.
    Pulls,
    /// Most starred first.
    Stars,
    /// Last changed first.
    Updated,
}

/// A page of results.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct SearchResults {
    /// How many there are, counted up to ten thousand.
    pub total: u64,
    /// This page of them. There is nothing beyond the thousand best.
    pub results: Vec<RepositoryRow>,
    /// The tag that was typed after a colon.
    pub tag: Option<String>,
}

impl Hub {
    /// Searches what `readable` allows and what is public.
    ///
    /// # Errors
    /// When the records cannot be read.
    pub async fn search(&self, request: &SearchRequest, readable: Readable) -> Result<SearchResults> {
        let (typed, tag) = split_tag(&request.text);
        let query = query(request, &typed, readable);
        let txn = self.read().await?;
        let (ids, total) = match order(request.order) {
            // All that may be read is a list of repositories.
            Some((_, order)) if query.words.is_empty() && query.facets.is_empty() => {
                let total = txn.search(&query, COUNTED).await?.len() as u64;
                let (skip, limit, readable) = (request.skip, request.limit, query.readable);
                let list = RepositoryFilter { readable, order, skip, limit, ..RepositoryFilter::default() };
                return Ok(SearchResults { total, results: txn.repositories(&list).await?, tag });
            }
            Some((order, _)) => {
                let end = request.skip.saturating_add(request.limit).min(COUNTED);
                let (ids, total) = txn.search_sorted(&query, order, end).await?;
                (ids, total.min(COUNTED))
            }
            None => best(&*txn, &query, &typed).await?,
        };
        let ids = part(ids, request.skip, request.limit);
        Ok(SearchResults { total, results: txn.repositories_by_id(&ids).await?, tag })
    }
}

impl Hub {
    /// Makes the index anew from the repositories' rows, some at a time: after a change of how text becomes words.
    ///
    /// # Errors
    /// When the records fail; what was made before stays.
    pub async fn rebuild_search(&self) -> Result<()> {
        const BATCH: usize = 500;
        let mut last = String::new();
        loop {
            let mut txn = self.write("making the search index anew").await?;
            let rows = txn.repositories_after(&last, BATCH).await?;
            let Some(row) = rows.last() else { return Ok(()) };
            last = row.full_name();
            for row in rows.iter().filter(|row| row.status == RepositoryStatus::Active) {
                txn.delete_search_entry(row.id).await?;
                index(&mut *txn, row).await?;
            }
            txn.commit().await?;
        }
    }
}

/// Brings the index up to date with a repository.
pub(crate) async fn index(txn: &mut dyn HubWrite, row: &RepositoryRow) -> Result<()> {
    let entry = entry(row);
    let words: Vec<_> = entry.names.iter().map(|word| spelled(word)).collect();
    Ok(txn.put_search_entry(&entry, &words).await?)
}

/// As [`index`], when nothing but the counts of a repository may have changed.
pub(crate) async fn index_counts(txn: &mut dyn HubWrite, row: &RepositoryRow) -> Result<()> {
    match txn.search_entry(row.id).await? {
        Some(entry) if entry.position == position(row) => Ok(()),
        _ => index(txn, row).await,
    }
}

fn entry(row: &RepositoryRow) -> SearchEntry {
    let unique = |words: Vec<String>| words.into_iter().collect::<BTreeSet<_>>().into_iter().collect();
    let categories = row.categories.iter().flat_map(|slug| words(slug));
    SearchEntry {
        repository: row.id,
        position: position(row),
        names: unique(words(&row.full_name())),
        texts: unique(words(&row.description).into_iter().chain(categories).collect()),
        facets: facets(row),
    }
}

fn facets(row: &RepositoryRow) -> Vec<String> {
    let badges = [
        (row.is_official, "official"),
        (row.is_verified, "verified"),
        (!row.is_official && !row.is_verified, "community"),
    ];
    let mut facets = vec![
        facet("namespace", &row.namespace),
        facet("repository", &row.full_name()),
        facet("visibility", if row.is_private { "private" } else { "public" }),
    ];
    facets.extend(badges.iter().filter(|(has, _)| *has).map(|(_, badge)| facet("badge", badge)));
    for platform in &row.platforms {
        let (os, architecture) = platform.split_once('/').unwrap_or((platform, ""));
        facets.push(facet("os", os));
        facets.push(facet("architecture", architecture));
        if let Some((family, _)) = architecture.split_once('/') {
            facets.push(facet("architecture", family));
        }
    }
    facets.extend(row.categories.iter().map(|slug| facet("category", slug)));
    facets.extend(row.kinds.iter().map(|kind| facet("kind", kind)));
    facets.extend(star_facets(row.stars));
    facets.sort();
    facets.dedup();
    facets
}

/// A count of stars, so that one facet of [`at_least`] says whether there are enough: for each bit that is set, the count
/// down to this bit.
fn star_facets(stars: u64) -> Vec<String> {
    let stars = stars.min((1 << STAR_BITS) - 1);
    (0..STAR_BITS).filter(|bit| stars >> bit & 1 == 1).map(|bit| format!("stars{bit}:{}", stars >> bit)).collect()
}

/// The facets of which those with so many stars have one: a count is above `stars - 1` where the highest bit in which they
/// differ is set in the count. Empty when every count will do.
fn at_least(stars: u64) -> Vec<String> {
    let Some(below) = stars.checked_sub(1) else { return Vec::new() };
    let below = below.min((1 << STAR_BITS) - 2);
    (0..STAR_BITS).filter(|bit| below >> bit & 1 == 0).map(|bit| format!("stars{bit}:{}", below >> bit | 1)).collect()
}

/// A facet is one word to the index: what would part it is replaced, the same way in entries and queries.
fn facet(kind: &str, value: &str) -> String {
    let is_plain = |letter: char| !letter.is_ascii() || letter.is_ascii_alphanumeric() || "-_./:+".contains(letter);
    let value = value.to_lowercase();
    let value: String = value.chars().map(|letter| if is_plain(letter) { letter } else { '_' }).collect();
    format!("{kind}:{value}")
}

/// How much people use and like a repository; counts weigh by their order of magnitude.
fn popularity(stars: u64, pulls: u64) -> f64 {
    2.0 * (1.0 + stars as f64).log2() + (1.0 + pulls as f64).log2()
}

/// Official ones stand before all others; a step is about half as many pulls again, so that few pulls move a repository.
fn position(row: &RepositoryRow) -> u32 {
    const OFFICIAL: u32 = 1 << 20;
    let steps = (2.0 * popularity(row.stars, row.pulls)) as u32;
    2 * OFFICIAL - steps.min(OFFICIAL / 2) - if row.is_official { OFFICIAL } else { 0 }
}

/// The order of what is found, and that of a list of everything.
fn order(sort: SearchSort) -> Option<(SearchOrder, RepositoryOrder)> {
    match sort {
        SearchSort::Best => None,
        SearchSort::Pulls => Some((SearchOrder::Pulls, RepositoryOrder::Pulls)),
        SearchSort::Stars => Some((SearchOrder::Stars, RepositoryOrder::Stars)),
        SearchSort::Updated => Some((SearchOrder::Updated, RepositoryOrder::Updated)),
    }
}

/// `php:8.3-apache` is `php`, and a tag to go to.
fn split_tag(text: &str) -> (String, Option<String>) {
    let text = text.trim().to_lowercase();
    match text.rsplit_once(':') {
        Some((name, tag)) if tag.parse::<strata_model::Tag>().is_ok() => (name.to_owned(), Some(tag.to_owned())),
        _ => (text, None),
    }
}

fn query(request: &SearchRequest, typed: &str, readable: Readable) -> SearchQuery {
    let group =
        |kind: &str, values: &[String]| -> Vec<String> { values.iter().map(|value| facet(kind, value)).collect() };
    let groups = [
        group("badge", &request.badges),
        group("os", &request.operating_systems),
        group("architecture", &request.architectures),
        group("category", &request.categories),
        group("kind", &request.kinds),
        at_least(request.stars),
    ];
    // The last word may not be typed to its end yet.
    let whole = |word| WantedWord { words: vec![word], ..WantedWord::default() };
    let mut words: Vec<WantedWord> = words(typed).into_iter().take(WORDS).map(whole).collect();
    if let Some(last) = words.last_mut() {
        last.beginnings = std::mem::take(&mut last.words);
    }
    SearchQuery {
        words,
        in_names: request.in_names,
        facets: groups.into_iter().filter(|group| !group.is_empty()).collect(),
        readable,
    }
}

/// Everything that is shown of a query, the best first, and how much there is.
async fn best(txn: &dyn HubRead, query: &SearchQuery, typed: &str) -> Result<(Vec<i64>, u64)> {
    let (mut best, total) = candidates(txn, query, typed).await?;
    if total >= FEW {
        return Ok((best, total));
    }
    let Some(wider) = other_spellings(txn, query).await? else { return Ok((best, total)) };
    let known: BTreeSet<i64> = best.iter().copied().collect();
    let (more, total) = candidates(txn, &wider, typed).await?;
    best.extend(more.into_iter().filter(|id| !known.contains(id)));
    Ok((best, total))
}

/// The candidates of a query, ranked, and how much there is besides.
async fn candidates(txn: &dyn HubRead, query: &SearchQuery, typed: &str) -> Result<(Vec<i64>, u64)> {
    let mut any = txn.search(query, COUNTED).await?;
    let total = any.len() as u64;
    if query.words.is_empty() {
        any.truncate(2 * CANDIDATES as usize);
        return Ok((any, total));
    }
    // By itself: the words would cost as much as the whole search, and are in the name.
    let mut exact = SearchQuery { words: Vec::new(), ..query.clone() };
    exact.facets.push(["", "library/"].map(|prefix| facet("repository", &format!("{prefix}{typed}"))).to_vec());
    let mut found = txn.search(&exact, 2).await?;
    any.truncate(CANDIDATES as usize);
    if !query.in_names {
        let by_name = SearchQuery { in_names: true, ..query.clone() };
        found.extend(txn.search(&by_name, CANDIDATES).await?);
    }
    let named = if query.in_names { usize::MAX } else { found.len() };
    found.extend(any);
    let mut known = BTreeSet::new();
    let (ids, is_named): (Vec<i64>, Vec<bool>) = (0..)
        .zip(found)
        .filter(|(_, id)| known.insert(*id))
        .map(|(index, id): (usize, i64)| (id, index < named))
        .unzip();
    let hits = txn.search_hits(&ids).await?;
    let mut ranked: Vec<(Rank, &SearchHit)> =
        hits.iter().zip(is_named).map(|(hit, is_named)| (rank(hit, typed, is_named), hit)).collect();
    ranked.sort_by(|(one, hit), (other, next)| {
        one.partial_cmp(other)
            .unwrap_or(std::cmp::Ordering::Equal)
            .then_with(|| (&hit.namespace, &hit.name).cmp(&(&next.namespace, &next.name)))
    });
    Ok((ranked.into_iter().map(|(_, hit)| hit.repository).collect(), total))
}

/// Smaller is better: not the exact name, not official, how badly it fits.
type Rank = (bool, bool, f64);

fn rank(hit: &SearchHit, typed: &str, is_named: bool) -> Rank {
    let is_exact = match typed.split_once('/') {
        Some((namespace, name)) => hit.namespace == namespace && hit.name == name,
        None => hit.namespace == "library" && hit.name == typed,
    };
    let fitness = match typed.rsplit('/').next().unwrap_or(typed) {
        leaf if hit.name == leaf => 6.0,
        leaf if hit.name.starts_with(leaf) => 4.0,
        _ if is_named => 3.0,
        _ => 1.0,
    };
    (!is_exact, !hit.is_official, -fitness * (1.0 + popularity(hit.stars, hit.pulls)))
}

/// The query with words that contain what was typed, often as their beginning, or are spelled like it; `None` when there are
/// none.
async fn other_spellings(txn: &dyn HubRead, query: &SearchQuery) -> Result<Option<SearchQuery>> {
    let mut wider = query.clone();
    for wanted in &mut wider.words {
        for typed in [&wanted.beginnings[..], &wanted.words[..]].concat() {
            wanted.words.extend(corrections(txn, &typed).await?);
            if typed.chars().count() >= 3 {
                let containing = txn.words_containing(&typed, CONTAINING).await?;
                wanted.words.extend(containing.into_iter().map(|(word, _)| word));
            } else if wanted.beginnings.is_empty() {
                wanted.beginnings.push(typed);
            }
        }
        wanted.words.sort();
        wanted.words.dedup();
    }
    Ok((wider != *query).then_some(wider))
}

/// What a word may be a misspelling of, the likeliest first.
async fn corrections(txn: &dyn HubRead, typed: &str) -> Result<Vec<String>> {
    let variants = variants(typed);
    if variants.is_empty() {
        return Ok(Vec::new());
    }
    let alike = txn.words_like(&variants, 200).await?;
    let mut alike: Vec<(usize, std::cmp::Reverse<u64>, String)> = alike
        .into_iter()
        .filter_map(|(word, uses)| Some((mistakes(typed, &word)?, std::cmp::Reverse(uses), word)))
        .filter(|(mistakes, _, _)| *mistakes > 0)
        .collect();
    alike.sort();
    Ok(alike.into_iter().take(CORRECTIONS).map(|(_, _, word)| word).collect())
}

fn part<T>(entries: Vec<T>, skip: u64, limit: u64) -> Vec<T> {
    let number = |value: u64| usize::try_from(value).unwrap_or(usize::MAX);
    entries.into_iter().skip(number(skip)).take(number(limit)).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn one_facet_says_whether_there_are_enough_stars() {
        let counts = [0, 1, 2, 3, 4, 5, 7, 8, 100, 1023, 1024, 99_999, 1 << 23, (1 << 24) - 1, u64::MAX];
        for count in counts {
            let has = star_facets(count);
            for wanted in counts.into_iter().chain(0..40).filter(|wanted| *wanted > 0) {
                let most = (1 << STAR_BITS) - 1;
                let expected = count.min(most) >= wanted.min(most);
                assert_eq!(at_least(wanted).iter().any(|facet| has.contains(facet)), expected, "{count} >= {wanted}");
            }
        }
        assert!(at_least(0).is_empty());
    }
}
