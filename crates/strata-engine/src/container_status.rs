//! What a container does and since when, in docker's words: `ps` and the API show the same.

use strata_format::duration;

use crate::ContainerSummary;

/// `Up 2 hours (healthy)`, `Exited (0) 3 days ago`; `now` is in nanoseconds since 1970.
pub fn container_status(summary: &ContainerSummary, now: i64) -> String {
    let state = &summary.state;
    let since = |time: i64| duration::human(now - time);
    let health = || match summary.health() {
        "none" => String::new(),
        "starting" => " (health: starting)".to_owned(),
        verdict => format!(" ({verdict})"),
    };
    match summary.status() {
        "removing" => "Removal In Progress".to_owned(),
        "dead" => "Dead".to_owned(),
        "created" => "Created".to_owned(),
        "running" => format!("Up {}{}", since(state.started_at), health()),
        "paused" => format!("Up {} (Paused)", since(state.started_at)),
        "restarting" => format!("Restarting ({}) {} ago", state.exit_code, since(state.finished_at)),
        _ => format!("Exited ({}) {} ago", state.exit_code, since(state.finished_at)),
    }
}

/// How many containers there are, as `info` counts them.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct ContainerCounts {
    /// Those that run or are started again.
    pub running: usize,
    /// Those that stand still.
    pub paused: usize,
    /// All others.
    pub stopped: usize,
}

impl ContainerCounts {
    /// Counts them.
    pub fn of(all: &[ContainerSummary]) -> ContainerCounts {
        all.iter().fold(ContainerCounts::default(), |mut counts, summary| {
            match summary.status() {
                "paused" => counts.paused += 1,
                "running" | "restarting" => counts.running += 1,
                _ => counts.stopped += 1,
            }
            counts
        })
    }

    /// All.
    pub fn total(&self) -> usize {
        self.running + self.paused + self.stopped
    }
}
