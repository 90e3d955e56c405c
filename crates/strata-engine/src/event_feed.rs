//! What is done, told in the order of time while it is being done.
//!
//! Whoever acts notes it in the catalog, but for the end of a container, which its supervisor knows alone: it writes its state,
//! and reaches no catalog. A feed looks at both. Who starts the container again, or removes it, notes the end that it finds, so
//! that it is known later; one that was told is not told again.

use std::collections::BTreeMap;
use std::path::{Path, PathBuf};

use strata_runtime::{ContainerState, state};
use strata_store::{ContainerRow, EventRow, Store, WriteTxn};

use crate::Result;
use crate::container::{ContainerDocument, container_directory, container_event_with};

/// Rows asked for at once.
const BATCH: usize = 1000;
/// What a container's end is called.
const DIE: &str = "container die";
const SECOND: i64 = 1_000_000_000;

/// Events from a time on.
pub struct EventFeed {
    store: Store,
    root: PathBuf,
    /// The time of the last row that was told, nanoseconds since 1970.
    last: i64,
    /// The last end of a container that was told, by its ID.
    ends: BTreeMap<String, i64>,
    since: i64,
}

impl EventFeed {
    /// What was done after `since` (nanoseconds since 1970).
    pub fn since(store: &Store, root: &Path, since: i64) -> EventFeed {
        EventFeed { store: store.clone(), root: root.to_owned(), last: since, ends: BTreeMap::new(), since }
    }

    /// What was done since the last call, oldest first; nothing when nothing was.
    ///
    /// # Errors
    /// When the catalog or a container's state cannot be read.
    pub async fn next(&mut self) -> Result<Vec<EventRow>> {
        let txn = self.store.read().await?;
        let mut told = txn.events(self.last, BATCH).await?;
        let newest = told.last().map(|row| row.time);
        let is_full = told.len() == BATCH;
        // An end that its container's next start noted, and that was seen before.
        told.retain(|row| row.action != DIE || self.is_new_end(&row.actor, row.time));
        for row in txn.containers().await? {
            let state = state(&container_directory(&self.root, &row.id))?;
            let Some(end) = end_of(&row, &state).filter(|end| self.is_new_end(&end.actor, end.time)) else { continue };
            let is_noted =
                told.iter().any(|row| (&row.action, &row.actor, row.time) == (&end.action, &end.actor, end.time));
            if !is_noted && newest.is_none_or(|newest| !is_full || end.time <= newest) {
                told.push(end);
            }
        }
        told.sort_by_key(|row| row.time);
        self.last = newest.unwrap_or(self.last);
        for row in told.iter().filter(|row| row.action == DIE) {
            self.ends.insert(row.actor.clone(), row.time);
        }
        Ok(told)
    }

    fn is_new_end(&self, container: &str, time: i64) -> bool {
        time > self.ends.get(container).copied().unwrap_or(self.since)
    }
}

/// The end of a container's last run; `None` when it runs, never ran, or is about to be removed, which notes it.
fn end_of(row: &ContainerRow, state: &ContainerState) -> Option<EventRow> {
    let removes = || ContainerDocument::parse(row).is_ok_and(|document| document.host_config.auto_remove);
    (state.finished_at != 0 && state.pid == 0 && !removes()).then(|| end_event(row, state, state.finished_at))
}

fn end_event(row: &ContainerRow, state: &ContainerState, time: i64) -> EventRow {
    let seconds = (state.finished_at - state.started_at).max(0) / SECOND;
    let more = [("execDuration", seconds.to_string()), ("exitCode", state.exit_code.to_string())];
    container_event_with(time, "die", row, more)
}

/// Notes the end of a container's last run before its next start or its removal makes it forgotten.
pub(crate) async fn note_end(
    txn: &mut dyn WriteTxn,
    row: &ContainerRow,
    state: &ContainerState,
    now: i64,
) -> Result<()> {
    if state.finished_at == 0 || state.pid != 0 {
        return Ok(());
    }
    // One that is removed at its end has just ended: feeds have not seen it.
    let removes = ContainerDocument::parse(row)?.host_config.auto_remove;
    Ok(txn.insert_event(&end_event(row, state, if removes { now } else { state.finished_at })).await?)
}
