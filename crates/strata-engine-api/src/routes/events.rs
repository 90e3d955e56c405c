//! `events`: what was done, and what is being done by whoever works on the store.

use std::time::Duration;

use strata_engine::{EventFilter, event_json, events, parse_event_time};

use crate::answer::{JSON, stream as streamed};
use crate::call::Call;
use crate::status::{Answer, Failure};

/// Rows asked for at once.
const BATCH: usize = 1000;
/// How often new rows are looked for.
const INTERVAL: Duration = Duration::from_millis(300);

pub(super) fn stream(call: &Call) -> Answer {
    let store = call.store().clone();
    let time = |name: &str| call.query.text(name).map(|text| parse_event_time(&store, text)).transpose();
    let (since, until) = (time("since")?, time("until")?);
    let filter = EventFilter::parse(call.query.filters()?)?;
    if since.zip(until).is_some_and(|(since, until)| since > until) {
        return Err(Failure::bad_request(
            "`since` time (or nanoseconds) cannot be after `until` time (or nanoseconds)",
        ));
    }
    let mut last = since.unwrap_or_else(|| store.now());
    Ok(streamed(JSON, move |output| async move {
        loop {
            let rows = events(&store, last, BATCH).await?;
            let is_full = rows.len() == BATCH;
            for row in rows {
                last = last.max(row.time);
                if until.is_some_and(|until| row.time > until) {
                    return Ok(());
                }
                if filter.accepts(&row) && output.line(&event_json(&row)).await.is_err() {
                    return Ok(());
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
    }))
}
