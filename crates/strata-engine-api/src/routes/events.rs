//! `events`: what was done, and what is being done by whoever works on the store.

use std::time::Duration;

use strata_engine::{EventFeed, EventFilter, event_json, parse_event_time};

use crate::answer::{JSON, stream as streamed};
use crate::call::Call;
use crate::status::{Answer, Failure};

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
    let mut feed = EventFeed::since(&store, call.root(), since.unwrap_or_else(|| store.now()));
    Ok(streamed(JSON, move |output| async move {
        loop {
            let rows = feed.next().await?;
            let is_idle = rows.is_empty();
            for row in rows {
                if until.is_some_and(|until| row.time > until) {
                    return Ok(());
                }
                if filter.accepts(&row) && output.line(&event_json(&row)).await.is_err() {
                    return Ok(());
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
    }))
}
