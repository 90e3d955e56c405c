//! `events`: what was done to images, containers and volumes, and what is being done.

use std::time::Duration;

use jiff::Timestamp;
use jiff::tz::TimeZone;
use serde_json::{Map, json};
use strata_format::template::{Map as GoMap, Struct, Template};
use strata_format::{Value, timestamp};
use strata_store::EventRow;

use crate::command_line::{CommandDefinition, FlagKind, Flags};
use crate::context::Context;
use crate::filters;
use crate::output::print_line;
use crate::report::{Failure, Outcome};

/// Rows asked for at once.
const BATCH: usize = 1000;
/// How often new rows are looked for.
const INTERVAL: Duration = Duration::from_millis(300);

pub(super) fn definition() -> CommandDefinition {
    CommandDefinition::new("events", "[OPTIONS]", "Get real time events from the store", |context, flags| {
        Box::pin(run(context, flags))
    })
    .on_workers()
    .flag("f/filter", FlagKind::Filter, "Filter output based on conditions provided")
    .flag("format", FlagKind::Text("string"), "Format output using a custom template")
    .flag("since", FlagKind::Text("string"), "Show all events created since timestamp")
    .flag("until", FlagKind::Text("string"), "Stream events until this timestamp")
    .examples(&[("events --since 24h --until 0s", "The last day")])
}

async fn run(context: &Context<'_>, flags: &Flags<'_>) -> Outcome {
    let store = context.store()?;
    let time = |name: &str| flags.text(name).map(|text| parse_time(&text, store.now())).transpose();
    let (since, until) = (time("since")?, time("until")?);
    let filter = Filter::parse(filters::parse(flags))?;
    let template = match flags.text("format").as_deref() {
        None => None,
        Some("json") => Some(Template::parse("{{json .}}")?),
        Some(text) => Some(Template::parse(text)?),
    };
    let mut last = since.unwrap_or_else(|| store.now());
    loop {
        let rows = strata_engine::events(store, last, BATCH).await?;
        let is_full = rows.len() == BATCH;
        for row in rows {
            last = last.max(row.time);
            if until.is_some_and(|until| row.time > until) {
                return Ok(());
            }
            if filter.accepts(&row) {
                print_line(match &template {
                    Some(template) => template.execute(&value(&row))?,
                    None => plain(&row),
                })?;
            }
        }
        if is_full {
            continue;
        }
        if until.is_some_and(|until| store.now() >= until) {
            return Ok(());
        }
        tokio::time::sleep(INTERVAL).await;
    }
}

/// Nanoseconds since 1970.
fn parse_time(text: &str, now: i64) -> Outcome<i64> {
    let now = Timestamp::from_nanosecond(i128::from(now)).unwrap_or_default().to_zoned(TimeZone::system());
    let time = timestamp::parse(text, &now)?;
    Ok(i64::try_from(time.as_nanosecond()).unwrap_or(i64::MAX))
}

#[derive(Default)]
struct Filter {
    actions: Vec<String>,
    images: Vec<String>,
    containers: Vec<String>,
    volumes: Vec<String>,
    types: Vec<String>,
}

impl Filter {
    fn parse(given: Vec<(String, String)>) -> Outcome<Filter> {
        let mut filter = Filter::default();
        for (key, value) in given {
            match key.as_str() {
                "event" => filter.actions.push(value),
                "image" => filter.images.push(value),
                "container" => filter.containers.push(value),
                "volume" => filter.volumes.push(value),
                "type" => filter.types.push(value),
                _ => return Err(Failure::daemon(format!("invalid filter '{key}'"))),
            }
        }
        Ok(filter)
    }

    fn accepts(&self, row: &EventRow) -> bool {
        let any =
            |wanted: &[String], matches: &dyn Fn(&String) -> bool| wanted.is_empty() || wanted.iter().any(matches);
        let name = attributes(row).get("name").and_then(|name| name.as_str()).unwrap_or_default().to_owned();
        let (kind, action) = kind_and_action(row);
        let image = match kind {
            "container" => attributes(row).get("image").map(text).unwrap_or_default(),
            _ => name.clone(),
        };
        any(&self.actions, &|wanted| wanted == action)
            && any(&self.images, &|wanted| kind != "volume" && (*wanted == row.actor || *wanted == image))
            && any(&self.containers, &|text| {
                kind == "container" && (row.actor.starts_with(text.as_str()) || *text == name)
            })
            && any(&self.volumes, &|text| kind == "volume" && *text == row.actor)
            && any(&self.types, &|wanted| wanted == kind)
    }
}

/// What an event is about, and what was done. Those of images have the bare word.
fn kind_and_action(row: &EventRow) -> (&str, &str) {
    row.action.split_once(' ').unwrap_or(("image", &row.action))
}

fn attributes(row: &EventRow) -> Map<String, serde_json::Value> {
    serde_json::from_str(&row.attributes).unwrap_or_default()
}

fn text(value: &serde_json::Value) -> String {
    value.as_str().map_or_else(|| value.to_string(), str::to_owned)
}

fn plain(row: &EventRow) -> String {
    let attributes = attributes(row);
    let shown: Vec<String> = attributes.iter().map(|(key, value)| format!("{key}={}", text(value))).collect();
    let attributes = if shown.is_empty() { String::new() } else { format!(" ({})", shown.join(", ")) };
    let (kind, action) = kind_and_action(row);
    format!("{} {kind} {action} {}{attributes}", fixed_time(row.time), row.actor)
}

/// Docker's form of a time: local, with all nine digits.
fn fixed_time(nanoseconds: i64) -> String {
    let time = Timestamp::from_nanosecond(i128::from(nanoseconds)).unwrap_or_default();
    let zoned = time.to_zoned(TimeZone::system());
    let zone = if zoned.offset().is_zero() { "Z".to_owned() } else { zoned.strftime("%:z").to_string() };
    format!("{}{zone}", zoned.strftime("%Y-%m-%dT%H:%M:%S.%9f"))
}

fn value(row: &EventRow) -> Value {
    let attributes = attributes(row);
    let (kind, action) = kind_and_action(row);
    let document = json!({
        "status": action,
        "id": row.actor,
        "Type": kind,
        "Action": action,
        "Actor": { "ID": row.actor, "Attributes": attributes },
        "scope": "local",
        "time": row.time / 1_000_000_000,
        "timeNano": row.time,
    });
    let actor = Struct::new("events.Actor")
        .field("ID", row.actor.as_str())
        .field("Attributes", GoMap::strings(attributes.iter().map(|(key, value)| (key.clone(), text(value)))));
    Struct::new("events.Message")
        .field("Status", action)
        .field("ID", row.actor.as_str())
        .field("Type", kind)
        .field("Action", action)
        .field("Actor", actor)
        .field("Scope", "local")
        .field("Time", row.time / 1_000_000_000)
        .field("TimeNano", row.time)
        .json(document)
        .into()
}
