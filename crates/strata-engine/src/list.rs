//! `images`: which images are here, under which names.

use std::collections::{BTreeMap, HashMap};

use strata_format::glob;
use strata_model::{ImageId, Reference};
use strata_store::{DigestNameRow, ImageRow, NameRow, ReadTxn, Store};

use crate::label_filter::Labels;
use crate::{EngineError, Result, find_image, load_documents};

/// What to list.
#[derive(Clone, Debug, Default)]
pub struct ListRequest {
    /// Intermediate images too.
    pub all: bool,
    /// Filters, key and value; those of one key are alternatives where docker says so.
    pub filters: Vec<(String, String)>,
}

/// One image with everything that names it.
#[derive(Clone, Debug)]
pub struct ImageSummary {
    /// The image.
    pub row: ImageRow,
    /// Its tags that the filters let through, sorted.
    pub names: Vec<NameRow>,
    /// Its repository digests that the filters let through, sorted.
    pub digests: Vec<DigestNameRow>,
    /// Labels of its configuration; read only when a filter asks for them.
    pub labels: BTreeMap<String, String>,
    /// Whether no tag names it.
    pub is_dangling: bool,
}

/// Filters, parsed and checked.
#[derive(Clone, Debug, Default)]
pub struct ImageFilter {
    references: Vec<String>,
    dangling: Option<bool>,
    labels: Labels,
    /// Created before this time.
    before: Option<i64>,
    /// Created after this time.
    since: Option<i64>,
}

impl ImageFilter {
    /// Parses filters; `allowed` are the keys that the command knows.
    ///
    /// # Errors
    /// `Invalid` with docker's wording for unknown keys and bad values.
    pub async fn parse(store: &Store, filters: &[(String, String)], allowed: &[&str]) -> Result<ImageFilter> {
        let mut parsed = ImageFilter::default();
        for (key, value) in filters {
            if !allowed.contains(&key.as_str()) {
                return Err(EngineError::invalid(format!("invalid filter '{key}'")));
            }
            match key.as_str() {
                "reference" => {
                    glob::matches(value, "").map_err(|error| EngineError::invalid(error.to_string()))?;
                    parsed.references.push(value.clone());
                }
                "dangling" => parsed.dangling = Some(parse_bool(key, value)?),
                "label" | "label!" => parsed.labels.push(value, key == "label"),
                "before" => parsed.limit_before(find_image(store, value, None).await?.row.created),
                "since" => parsed.limit_since(find_image(store, value, None).await?.row.created),
                "until" => parsed.limit_before(parse_until(store, value)?),
                _ => return Err(EngineError::invalid(format!("invalid filter '{key}'"))),
            }
        }
        if filters.iter().filter(|(key, _)| key == "until").count() > 1 {
            return Err(EngineError::invalid("more than one until filter specified"));
        }
        Ok(parsed)
    }

    fn limit_before(&mut self, time: i64) {
        self.before = Some(self.before.map_or(time, |before| before.min(time)));
    }

    fn limit_since(&mut self, time: i64) {
        self.since = Some(self.since.map_or(time, |since| since.max(time)));
    }

    /// What `dangling=` asks for, if it is given.
    pub fn dangling(&self) -> Option<bool> {
        self.dangling
    }

    /// Whether tags are chosen by pattern.
    pub fn has_references(&self) -> bool {
        !self.references.is_empty()
    }

    /// The same without what `dangling=` asks for.
    pub(crate) fn without_dangling(mut self) -> ImageFilter {
        self.dangling = None;
        self
    }

    fn needs_labels(&self) -> bool {
        !self.labels.is_empty()
    }

    fn accepts_time(&self, created: i64) -> bool {
        self.before.is_none_or(|before| created < before) && self.since.is_none_or(|since| created > since)
    }

    /// Whether a pattern matches this reference: its whole familiar form, or its familiar name.
    fn accepts_reference(&self, reference: &Reference) -> bool {
        let matches = |pattern: &String, text: &str| glob::matches(pattern, text).unwrap_or(false);
        self.references
            .iter()
            .any(|pattern| matches(pattern, &reference.familiar()) || matches(pattern, &reference.familiar_name()))
    }

    /// The summary with only what the filter lets through, or nothing.
    fn apply(&self, mut summary: ImageSummary) -> Option<ImageSummary> {
        if self.dangling.is_some_and(|dangling| dangling != summary.is_dangling)
            || !self.accepts_time(summary.row.created)
            || !self.labels.accept(&summary.labels)
        {
            return None;
        }
        if self.has_references() {
            summary
                .names
                .retain(|name| name_reference(name).is_some_and(|reference| self.accepts_reference(&reference)));
            summary
                .digests
                .retain(|name| digest_reference(name).is_some_and(|reference| self.accepts_reference(&reference)));
            if summary.names.is_empty() && summary.digests.is_empty() {
                return None;
            }
        }
        Some(summary)
    }
}

/// Lists images, newest first; of the same age, by their first name.
///
/// # Errors
/// `Invalid` for bad filters; when the catalog cannot be read.
pub async fn list(store: &Store, request: &ListRequest) -> Result<Vec<ImageSummary>> {
    const KEYS: &[&str] = &["dangling", "label", "before", "since", "until", "reference"];
    let filter = ImageFilter::parse(store, &request.filters, KEYS).await?;
    let txn = store.read().await?;
    summaries(&*txn, &filter).await
}

/// All images that a filter lets through, in the order of [`list`].
pub(crate) async fn summaries(txn: &dyn ReadTxn, filter: &ImageFilter) -> Result<Vec<ImageSummary>> {
    let mut names: HashMap<ImageId, Vec<NameRow>> = HashMap::new();
    for row in txn.names().await? {
        names.entry(row.image).or_default().push(row);
    }
    let mut digests: HashMap<ImageId, Vec<DigestNameRow>> = HashMap::new();
    for row in txn.digest_names().await? {
        digests.entry(row.image).or_default().push(row);
    }
    let mut found = Vec::new();
    for row in txn.images().await? {
        let mut names = names.remove(&row.id).unwrap_or_default();
        let mut digests = digests.remove(&row.id).unwrap_or_default();
        names.sort();
        digests.sort();
        let labels = if filter.needs_labels() { labels(txn, &row).await? } else { BTreeMap::new() };
        let is_dangling = names.is_empty();
        found.extend(filter.apply(ImageSummary { row, names, digests, labels, is_dangling }));
    }
    found.sort_by(|a, b| {
        b.row.created.cmp(&a.row.created).then_with(|| a.names.cmp(&b.names)).then_with(|| a.row.id.cmp(&b.row.id))
    });
    Ok(found)
}

async fn labels(txn: &dyn ReadTxn, row: &ImageRow) -> Result<BTreeMap<String, String>> {
    Ok(load_documents(txn, row).await?.config.value().config.labels.clone().unwrap_or_default())
}

/// The reference that a name row is.
pub fn name_reference(row: &NameRow) -> Option<Reference> {
    Reference::parse(&format!("{}:{}", row.repository, row.tag)).ok()
}

/// The reference that a repository digest is.
pub fn digest_reference(row: &DigestNameRow) -> Option<Reference> {
    Reference::parse(&format!("{}@{}", row.repository, row.digest)).ok()
}

pub(crate) fn parse_bool(key: &str, value: &str) -> Result<bool> {
    match value {
        "true" | "1" => Ok(true),
        "false" | "0" => Ok(false),
        _ => Err(EngineError::invalid(format!("invalid filter '{key}=[{value}]'"))),
    }
}

/// Nanoseconds since 1970 of an `until` value: a duration before now, seconds since 1970, or a date.
pub(crate) fn parse_until(store: &Store, value: &str) -> Result<i64> {
    let now = jiff::Timestamp::from_nanosecond(i128::from(store.now()))
        .map_err(|error| EngineError::invalid(error.to_string()))?
        .to_zoned(jiff::tz::TimeZone::system());
    let timestamp =
        strata_format::timestamp::parse(value, &now).map_err(|error| EngineError::invalid(error.to_string()))?;
    Ok(timestamp.as_nanosecond() as i64)
}
