//! Events: what was done to images, containers, volumes and networks; which of them somebody wants to see, and how docker's
//! API shows them.

use std::collections::BTreeMap;

use serde_json::{Map, Value};
use strata_store::{EventRow, Store};

use crate::{EngineError, Result};

/// An event about an image: `actor` is what was acted on (a familiar reference or an identity), `name` its attribute.
pub(crate) fn image_event(time: i64, action: &str, actor: &str, name: &str) -> EventRow {
    let attributes = BTreeMap::from([("name", name)]);
    EventRow {
        time,
        action: action.to_owned(),
        actor: actor.to_owned(),
        attributes: serde_json::to_string(&attributes).unwrap_or_else(|_| "{}".to_owned()),
    }
}

/// Notes one event that belongs to no other transaction.
pub(crate) async fn note(store: &Store, action: &str, actor: &str, name: &str) -> Result<()> {
    let mut txn = store.write("noting an event").await?;
    txn.insert_event(&image_event(store.now(), action, actor, name)).await?;
    txn.commit().await?;
    Ok(())
}

/// Writes the names through to storage, for a rebuild of a lost catalog. What was done stands without it.
pub(crate) async fn snapshot(store: &Store) {
    if let Err(error) = store.snapshot_names().await {
        tracing::warn!(%error, "the snapshot of names could not be written");
    }
}

/// What an event is about, and what was done. Those of images have the bare word.
pub fn event_kind(row: &EventRow) -> (&str, &str) {
    row.action.split_once(' ').unwrap_or(("image", &row.action))
}

/// The attributes of an event.
pub fn event_attributes(row: &EventRow) -> Map<String, Value> {
    serde_json::from_str(&row.attributes).unwrap_or_default()
}

/// An event as docker's API 1.51 shows it.
pub fn event_json(row: &EventRow) -> Value {
    let attributes = event_attributes(row);
    let (kind, action) = event_kind(row);
    let mut fields = Map::new();
    let mut add = |key: &str, value: Value| drop(fields.insert(key.to_owned(), value));
    if matches!(kind, "image" | "container") {
        add("status", action.into());
        add("id", row.actor.clone().into());
    }
    if let (true, Some(image)) = (kind == "container", attributes.get("image")) {
        add("from", image.clone());
    }
    add("Type", kind.into());
    add("Action", action.into());
    add("Actor", serde_json::json!({ "ID": row.actor, "Attributes": attributes }));
    add("scope", "local".into());
    add("time", (row.time / 1_000_000_000).into());
    add("timeNano", row.time.into());
    Value::Object(fields)
}

/// Which events are meant.
#[derive(Clone, Debug, Default)]
pub struct EventFilter {
    given: Vec<(String, String)>,
}

impl EventFilter {
    /// Checks filters: values of one key are alternatives, labels must all be there.
    ///
    /// # Errors
    /// `Invalid` in docker's words for unknown keys.
    pub fn parse(given: Vec<(String, String)>) -> Result<EventFilter> {
        const KEYS: &[&str] = &["container", "daemon", "event", "image", "label", "network", "scope", "type", "volume"];
        match given.iter().find(|(key, _)| !KEYS.contains(&key.as_str())) {
            Some((key, _)) => Err(EngineError::invalid(format!("invalid filter '{key}'"))),
            None => Ok(EventFilter { given }),
        }
    }

    /// Whether an event is meant.
    pub fn accepts(&self, row: &EventRow) -> bool {
        let attributes = event_attributes(row);
        let attribute = |key: &str| attributes.get(key).and_then(Value::as_str).unwrap_or_default();
        let (kind, action) = event_kind(row);
        let image = if kind == "container" { attribute("image") } else { attribute("name") };
        let is_actor = |wanted: &str, of: &str| kind == of && (row.actor == wanted || attribute("name") == wanted);
        self.any("event", |wanted| wanted == action)
            && self.any("type", |wanted| wanted == kind)
            && self.any("scope", |wanted| wanted == "local")
            && self.any("daemon", |_| kind == "daemon")
            && self.any("image", |wanted| {
                matches!(kind, "image" | "container") && (wanted == row.actor || wanted == image)
            })
            && self.any("container", |wanted| {
                is_actor(wanted, "container") || (kind == "container" && row.actor.starts_with(wanted))
            })
            && self.any("volume", |wanted| is_actor(wanted, "volume"))
            && self.any("network", |wanted| is_actor(wanted, "network"))
            && self.values("label").all(|label| match label.split_once('=') {
                Some((key, value)) => attribute(key) == value,
                None => attributes.contains_key(label),
            })
    }

    fn values<'a>(&'a self, key: &'a str) -> impl Iterator<Item = &'a str> {
        self.given.iter().filter(move |(given, _)| given == key).map(|(_, value)| value.as_str())
    }

    fn any(&self, key: &str, fits: impl Fn(&str) -> bool) -> bool {
        self.values(key).next().is_none() || self.values(key).any(fits)
    }
}

/// Nanoseconds since 1970 of a time as docker's clients write it: a duration before now, seconds since 1970, or a date.
///
/// # Errors
/// `Invalid` for anything else.
pub fn parse_event_time(store: &Store, text: &str) -> Result<i64> {
    crate::list::parse_until(store, text)
}
