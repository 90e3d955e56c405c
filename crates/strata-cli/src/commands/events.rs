//! `events`: what was done to images, containers and volumes, and what is being done.

use std::time::Duration;

use jiff::Timestamp;
use jiff::tz::TimeZone;
use strata_engine::{EventFeed, EventFilter, event_attributes, event_json, event_kind, parse_event_time};
use strata_format::Value;
use strata_format::template::{Map as GoMap, Struct, Template};
use strata_store::EventRow;

use crate::command_line::{CommandDefinition, FlagKind, Flags};
use crate::context::Context;
use crate::filters;
use crate::output::print_line;
use crate::report::Outcome;

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
    let time = |name: &str| flags.text(name).map(|text| parse_event_time(store, &text)).transpose();
    let (since, until) = (time("since")?, time("until")?);
    let filter = EventFilter::parse(filters::parse(flags))?;
    let template = match flags.text("format").as_deref() {
        None => None,
        Some("json") => Some(Template::parse("{{json .}}")?),
        Some(text) => Some(Template::parse(text)?),
    };
    let mut feed = EventFeed::since(store, &context.root()?, since.unwrap_or_else(|| store.now()));
    loop {
        let rows = feed.next().await?;
        let is_idle = rows.is_empty();
        for row in rows {
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
        if !is_idle {
            continue;
        }
        if until.is_some_and(|until| store.now() >= until) {
            return Ok(());
        }
        tokio::time::sleep(INTERVAL).await;
    }
}

fn text(value: &serde_json::Value) -> String {
    value.as_str().map_or_else(|| value.to_string(), str::to_owned)
}

fn plain(row: &EventRow) -> String {
    let attributes = event_attributes(row);
    let shown: Vec<String> = attributes.iter().map(|(key, value)| format!("{key}={}", text(value))).collect();
    let attributes = if shown.is_empty() { String::new() } else { format!(" ({})", shown.join(", ")) };
    let (kind, action) = event_kind(row);
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
    let attributes = event_attributes(row);
    let (kind, action) = event_kind(row);
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
        .json(event_json(row))
        .into()
}
