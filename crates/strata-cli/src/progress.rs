//! Progress of layers: docker's words, as plain lines or live.
//!
//! Events come from several threads; one lock orders them. Plain output has one line for each change of a layer's state.
//! Live output has one line per layer, rewritten in place, and below them the sum with speed and time left.

mod live;
mod plain;

use std::collections::HashMap;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use strata_model::{Digest, Repository};
use strata_transfer::{Phase, Progress, ProgressEvent};

use crate::context::Context;
use crate::output::stdout_is_terminal;

use strata_engine::LayerNames;
pub(crate) use strata_engine::{Shown, Words, diff_id_names, topmost_first};

/// Where progress goes.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Display {
    /// Nowhere.
    Silent,
    /// Lines.
    Plain,
    /// One line per layer, rewritten.
    Live,
}

impl Display {
    /// Plain when piped or when asked for, live on a terminal.
    pub(crate) fn choose(context: &Context<'_>, is_quiet: bool) -> Display {
        match (is_quiet, stdout_is_terminal() && context.allows_live_progress()) {
            (true, _) => Display::Silent,
            (false, true) => Display::Live,
            (false, false) => Display::Plain,
        }
    }
}

/// Shows the progress of one transfer.
pub(crate) struct LayerProgress {
    state: Mutex<State>,
}

struct State {
    display: Display,
    words: Words,
    names: LayerNames,
    /// Printed before the first event.
    heading: Option<String>,
    last: HashMap<Digest, Phase>,
    has_begun: bool,
    /// From which repository the registry mounted a blob.
    origins: HashMap<Digest, String>,
    /// What happened while another transfer had the screen: of each blob's phases the latest event.
    held: Option<Vec<ProgressEvent>>,
    live: live::Live,
}

impl LayerProgress {
    /// Progress in these words; `heading` is printed when the transfer begins.
    pub(crate) fn new(display: Display, words: Words, shown: Shown, heading: Option<String>) -> Arc<LayerProgress> {
        let state = State {
            display,
            words,
            names: LayerNames::new(shown),
            heading,
            last: HashMap::new(),
            has_begun: false,
            origins: HashMap::new(),
            held: None,
            live: live::Live::new(),
        };
        Arc::new(LayerProgress { state: Mutex::new(state) })
    }

    /// Keeps what happens from the screen until [`LayerProgress::show`]: another transfer has it.
    pub(crate) fn hold(&self) {
        self.lock().held = Some(Vec::new());
    }

    /// Shows what was held, and from now on what happens.
    pub(crate) fn show(&self) {
        let mut state = self.lock();
        for event in state.held.take().into_iter().flatten() {
            state.event(event);
        }
    }

    /// Whether anything was transferred: from then on docker tells errors in its stream.
    pub(crate) fn has_begun(&self) -> bool {
        self.lock().has_begun
    }

    /// Prints the heading if no event has, and ends the live lines.
    pub(crate) fn finish(&self) {
        let mut state = self.lock();
        state.begin();
        state.live.finish();
    }

    /// Ends the live lines after a failure.
    pub(crate) fn abandon(&self) {
        self.lock().live.finish();
    }

    fn lock(&self) -> MutexGuard<'_, State> {
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl Progress for LayerProgress {
    fn event(&self, event: ProgressEvent) {
        self.lock().event(event);
    }

    fn mounted_from(&self, digest: Digest, repository: &Repository) {
        self.lock().origins.insert(digest, repository.to_string());
    }
}

impl State {
    fn begin(&mut self) {
        self.has_begun = true;
        if let Some(heading) = self.heading.take()
            && self.display != Display::Silent
        {
            plain::print(&heading);
        }
    }

    fn event(&mut self, event: ProgressEvent) {
        if let Some(held) = &mut self.held {
            self.has_begun = true;
            match held.iter_mut().find(|former| former.digest == event.digest && former.phase == event.phase) {
                Some(former) => *former = event,
                None => held.push(event),
            }
            return;
        }
        self.begin();
        let Some(name) = self.names.name(&event) else { return };
        match self.display {
            Display::Silent => {}
            Display::Plain => {
                let is_news = self.last.insert(event.digest, event.phase) != Some(event.phase);
                if is_news {
                    for status in self.words.plain(event.phase) {
                        plain::print(&format!("{name}: {status}{}", self.origin(&event)));
                    }
                }
            }
            Display::Live => {
                let status = format!("{}{}", self.words.status(event.phase), self.origin(&event));
                self.live.event(&name, &status, event);
            }
        }
    }

    /// ` from REPOSITORY` for a blob that was mounted, where that is known.
    fn origin(&self, event: &ProgressEvent) -> String {
        match self.origins.get(&event.digest) {
            Some(repository) if event.phase == Phase::Mounted => format!(" from {repository}"),
            _ => String::new(),
        }
    }
}
