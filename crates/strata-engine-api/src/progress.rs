//! Docker's stream of progress: one JSON message for each change of a layer, and while bytes move at most ten a second.

use std::collections::HashMap;
use std::sync::{Mutex, PoisonError};
use std::time::{Duration, Instant};

use serde_json::{Map, Value, json};
use strata_engine::{LayerNames, Words};
use strata_format::size::human_size;
use strata_model::{Digest, Repository};
use strata_transfer::{Phase, Progress, ProgressEvent};

use crate::answer::Output;

/// A layer's bar moves at most so often.
const INTERVAL: Duration = Duration::from_millis(100);
/// Characters of a bar.
const BAR: u64 = 50;

/// Tells a transfer's progress to the client.
pub(crate) struct StreamProgress {
    output: Output,
    words: Words,
    state: Mutex<State>,
}

struct State {
    names: LayerNames,
    /// Sent before the first layer.
    heading: Option<Value>,
    layers: HashMap<Digest, (Phase, Instant)>,
    /// From which repository the registry mounted a blob.
    origins: HashMap<Digest, String>,
}

impl StreamProgress {
    /// Progress in these words; `heading` is sent when the transfer begins.
    pub(crate) fn new(output: Output, words: Words, names: LayerNames, heading: Option<Value>) -> StreamProgress {
        let state = State { names, heading, layers: HashMap::new(), origins: HashMap::new() };
        StreamProgress { output, words, state: Mutex::new(state) }
    }

    /// Sends the heading if no event has.
    pub(crate) fn finish(&self) {
        self.begin(&mut self.state.lock().unwrap_or_else(PoisonError::into_inner));
    }

    fn begin(&self, state: &mut State) {
        if let Some(heading) = state.heading.take() {
            self.output.try_message(&heading, false);
        }
    }
}

impl Progress for StreamProgress {
    fn event(&self, event: ProgressEvent) {
        let mut state = self.state.lock().unwrap_or_else(PoisonError::into_inner);
        self.begin(&mut state);
        let Some(name) = state.names.name(&event) else { return };
        let now = Instant::now();
        let moves = matches!(event.phase, Phase::Downloading | Phase::Uploading | Phase::Extracting);
        let known = state.layers.get(&event.digest);
        let is_news = known.is_none_or(|(phase, _)| *phase != event.phase);
        let is_last = event.total > 0 && event.current >= event.total;
        let is_due = is_news || (moves && (is_last || known.is_some_and(|(_, told)| now - *told >= INTERVAL)));
        if !is_due {
            return;
        }
        state.layers.insert(event.digest, (event.phase, now));
        if moves {
            let status = self.words.status(event.phase);
            if !status.is_empty() {
                self.output.try_message(&moving(&name, &status, &event), !is_news);
            }
            return;
        }
        let origin = match state.origins.get(&event.digest) {
            Some(repository) if event.phase == Phase::Mounted => format!(" from {repository}"),
            _ => String::new(),
        };
        for status in self.words.plain(event.phase) {
            self.output.try_message(&standing(&name, &format!("{status}{origin}")), false);
        }
    }

    fn mounted_from(&self, digest: Digest, repository: &Repository) {
        let mut state = self.state.lock().unwrap_or_else(PoisonError::into_inner);
        state.origins.insert(digest, repository.to_string());
    }
}

/// A layer that came to a state.
pub(crate) fn standing(name: &str, status: &str) -> Value {
    json!({ "status": status, "progressDetail": {}, "id": name })
}

/// A layer whose bytes move.
fn moving(name: &str, status: &str, event: &ProgressEvent) -> Value {
    let mut detail = Map::new();
    if event.current > 0 {
        detail.insert("current".into(), json!(event.current));
    }
    if event.total > 0 {
        detail.insert("total".into(), json!(event.total));
    }
    let mut message = Map::new();
    message.insert("status".into(), json!(status));
    message.insert("progressDetail".into(), Value::Object(detail));
    let bar = bar(event);
    if !bar.is_empty() {
        message.insert("progress".into(), json!(bar));
    }
    message.insert("id".into(), json!(name));
    Value::Object(message)
}

/// `[==>   ]  1.024kB/3.8MB`.
fn bar(event: &ProgressEvent) -> String {
    let current = human_size(event.current as f64);
    match (event.current, event.total) {
        (0, 0) => String::new(),
        (_, 0) => format!("{current:>8}"),
        (done, total) => {
            let filled = (done.min(total) * BAR / total) as usize;
            let free = BAR as usize - filled;
            let numbers = format!("{current:>8}/{}", human_size(total as f64));
            format!("[{}>{}] {numbers}", "=".repeat(filled), " ".repeat(free))
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn messages_as_docker_writes_them() {
        let event =
            ProgressEvent { digest: Digest::of(b""), phase: Phase::Downloading, current: 1024, total: 3_800_000 };
        assert_eq!(
            moving("f18232174bc9", "Downloading", &event).to_string(),
            "{\"status\":\"Downloading\",\"progressDetail\":{\"current\":1024,\"total\":3800000},\
             \"progress\":\"[>                                                  ]  1.024kB/3.8MB\",\"id\":\"f18232174bc9\"}"
        );
        let half = ProgressEvent { current: 1_900_000, ..event };
        assert!(bar(&half).starts_with(&format!("[{}>{}]    1.9MB/3.8MB", "=".repeat(25), " ".repeat(25))));
        assert_eq!(bar(&ProgressEvent { total: 0, ..event }), " 1.024kB");
        assert_eq!(
            standing("f18232174bc9", "Pull complete").to_string(),
            "{\"status\":\"Pull complete\",\"progressDetail\":{},\"id\":\"f18232174bc9\"}"
        );
    }
}
