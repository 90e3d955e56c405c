//! `--filter label=…`, `label!=…` and `until=…`, which several commands have.

use std::collections::BTreeMap;

use strata_store::Store;

use crate::{EngineError, Result};

/// Labels that are wanted, or not.
#[derive(Clone, Debug, Default)]
pub(crate) struct Labels(Vec<Label>);

#[derive(Clone, Debug)]
struct Label {
    key: String,
    value: Option<String>,
    wanted: bool,
}

impl Labels {
    /// Adds `KEY` or `KEY=VALUE`.
    pub(crate) fn push(&mut self, text: &str, wanted: bool) {
        let (key, value) = match text.split_once('=') {
            Some((key, value)) => (key, Some(value.to_owned())),
            None => (text, None),
        };
        self.0.push(Label { key: key.to_owned(), value, wanted });
    }

    pub(crate) fn is_empty(&self) -> bool {
        self.0.is_empty()
    }

    /// Whether labels are as they are wanted.
    pub(crate) fn accept(&self, labels: &BTreeMap<String, String>) -> bool {
        self.0.iter().all(|label| {
            let found = labels.get(&label.key);
            let equal = match &label.value {
                None => found.is_some(),
                Some(value) => found == Some(value),
            };
            equal == label.wanted
        })
    }
}

/// What the prunes of containers and volumes go by.
#[derive(Clone, Debug, Default)]
pub(crate) struct LabelFilter {
    labels: Labels,
    before: Option<i64>,
}

impl LabelFilter {
    /// Takes the filters that are about labels and time.
    ///
    /// # Errors
    /// `Invalid` for a malformed time, and for several.
    pub(crate) fn parse(store: &Store, filters: &[(String, String)]) -> Result<LabelFilter> {
        let mut parsed = LabelFilter::default();
        for (key, value) in filters {
            match key.as_str() {
                "label" => parsed.labels.push(value, true),
                "label!" => parsed.labels.push(value, false),
                "until" if parsed.before.is_some() => {
                    return Err(EngineError::invalid("more than one until filter specified"));
                }
                "until" => parsed.before = Some(crate::list::parse_until(store, value)?),
                _ => {}
            }
        }
        Ok(parsed)
    }

    /// Whether something made at this time with these labels is meant.
    pub(crate) fn accepts(&self, created: i64, labels: &BTreeMap<String, String>) -> bool {
        self.before.is_none_or(|before| created < before) && self.labels.accept(labels)
    }
}
