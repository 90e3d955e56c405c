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
