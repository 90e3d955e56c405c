//! What is done to the process of a container: `start`, `stop`, `restart`, `kill`, `pause`, `unpause`, `wait`.

use std::time::Duration;

use http::StatusCode;
use serde_json::json;
use strata_engine::{
    ContainerAction, ContainerDocument, EngineError, container_directory, container_state, control_container,
    find_container, start_container, state_json, wait_container,
};
use strata_model::ErrorKind;

use crate::answer::{JSON, empty, stream};
use crate::call::Call;
use crate::connection::Framing;
use crate::meetings::Ends;
use crate::service::EngineService;
use crate::status::{Answer, Failure};

/// How often it is looked whether a container that is waited for has started, or is gone.
const LOOK: Duration = Duration::from_millis(50);
/// How long a program that was started has time to say something before its log is read.
const FIRST_WORDS: Duration = Duration::from_millis(100);

pub(super) async fn start(call: &Call, name: &str) -> Answer {
    let state = State::of(&call.engine, name).await?;
    if state.runs() {
        return empty(StatusCode::NOT_MODIFIED);
    }
    // A client that attached before gets what is written from the first byte on.
    let (request, attached) = match call.engine.meetings.take_attaching(&state.id) {
        Some(attaching) => (Some(attaching.request), Some(attaching.attached)),
        None => (None, None),
    };
    let started = start_container(call.store(), call.root(), name, request).await?;
    warn(name, &started.warnings);
    if let (Some(attached), Some(stream)) = (attached, started.stream) {
        let _ = attached.send(stream);
    }
    empty(StatusCode::NO_CONTENT)
}

/// Docker has no place for them in its answer.
fn warn(name: &str, warnings: &[String]) {
    for warning in warnings {
        tracing::warn!(container = name, "{warning}");
    }
}

pub(super) async fn stop(call: &Call, name: &str) -> Answer {
    if !State::of(&call.engine, name).await?.runs() {
        return empty(StatusCode::NOT_MODIFIED);
    }
    control(call, name, stop_action(call)?).await
}

pub(super) async fn restart(call: &Call, name: &str) -> Answer {
    control(call, name, stop_action(call)?).await?;
    warn(name, &start_container(call.store(), call.root(), name, None).await?.warnings);
    empty(StatusCode::NO_CONTENT)
}

fn stop_action(call: &Call) -> Result<ContainerAction, Failure> {
    let signal = call.query.text("signal").map(str::to_owned);
    Ok(ContainerAction::Stop { signal, timeout: call.query.number("t")? })
}

pub(super) async fn kill(call: &Call, name: &str) -> Answer {
    let signal = call.query.text("signal").unwrap_or("KILL").to_owned();
    control(call, name, ContainerAction::Kill { signal }).await
}

pub(super) async fn pause(call: &Call, name: &str) -> Answer {
    control(call, name, ContainerAction::Pause).await
}

pub(super) async fn unpause(call: &Call, name: &str) -> Answer {
    control(call, name, ContainerAction::Unpause).await
}

async fn control(call: &Call, name: &str, action: ContainerAction) -> Answer {
    control_container(call.store(), call.root(), name, &action).await?;
    empty(StatusCode::NO_CONTENT)
}

/// Until when it is waited.
#[derive(Clone, Copy, PartialEq, Eq)]
enum Condition {
    /// It does not run.
    NotRunning,
    /// It has run and ended since the request.
    NextExit,
    /// It is not there any more.
    Removed,
}

pub(super) async fn wait(call: &Call, name: &str) -> Answer {
    let condition = match call.query.text("condition") {
        None | Some("not-running") => Condition::NotRunning,
        Some("next-exit") => Condition::NextExit,
        Some("removed") => Condition::Removed,
        Some(other) => return Err(Failure::bad_request(format!("invalid condition: {other:?}"))),
    };
    let engine = call.engine.clone();
    let before = State::of(&engine, name).await?;
    let mut ends = engine.meetings.ends_of(&before.id);
    // The head goes at once: clients start the container when they have it.
    Ok(stream(JSON, move |output| async move {
        let answer = match until(&engine, &before, condition, &mut ends).await {
            Ok(code) => json!({ "StatusCode": code }),
            Err(failure) => json!({ "StatusCode": -1, "Error": { "Message": failure.message } }),
        };
        let _ = output.line(&answer).await;
        Ok(())
    }))
}

async fn until(engine: &EngineService, before: &State, condition: Condition, ends: &mut Ends) -> Result<i32, Failure> {
    let mut code = before.exit_code;
    let mut look = tokio::time::interval(LOOK);
    loop {
        // What an attached client heard of is known for sure; a container that is removed at its end may not be seen again.
        tokio::select! {
            biased;
            told = ends.next() => {
                code = told;
                if condition != Condition::Removed {
                    return Ok(code);
                }
            }
            _ = look.tick() => {}
        }
        let Some(now) = State::find(engine, &before.id).await? else {
            let last = tokio::time::timeout(LOOK, ends.next()).await;
            return Ok(last.unwrap_or(code));
        };
        let has_ended = !now.runs() && now.finished_at != before.finished_at;
        match condition {
            Condition::NotRunning | Condition::NextExit if now.runs() => return end_of(engine, &now).await,
            Condition::NotRunning => return Ok(now.exit_code),
            Condition::NextExit if has_ended => return Ok(now.exit_code),
            Condition::NextExit => {}
            Condition::Removed if now.runs() => code = end_of(engine, &now).await?,
            Condition::Removed => code = if has_ended { now.exit_code } else { code },
        }
    }
}

/// Waits for the end of a container that runs.
async fn end_of(engine: &EngineService, running: &State) -> Result<i32, Failure> {
    match wait_container(&engine.store, &engine.root, &running.id).await {
        // It is gone with its end.
        Err(error) if error.kind() == ErrorKind::NotFound => Ok(running.exit_code),
        waited => Ok(waited?),
    }
}

/// What a container does.
pub(super) struct State {
    pub(super) id: String,
    pub(super) status: String,
    exit_code: i32,
    /// Nanoseconds since 1970.
    started_at: i64,
    /// Nanoseconds since 1970.
    pub(super) finished_at: i64,
    /// Whether it is removed at its end.
    pub(super) removes: bool,
    /// How its output is told to clients.
    pub(super) framing: Framing,
}

impl State {
    pub(super) async fn of(engine: &EngineService, name: &str) -> Result<State, EngineError> {
        let row = find_container(&*engine.store.read().await?, name).await?;
        let document = ContainerDocument::parse(&row)?;
        let state = container_state(&container_directory(&engine.root, &row.id))?;
        let shown = state_json(&state, row.phase);
        Ok(State {
            id: row.id,
            status: shown["Status"].as_str().unwrap_or_default().to_owned(),
            exit_code: state.exit_code,
            started_at: state.started_at,
            finished_at: state.finished_at,
            removes: document.host_config.auto_remove,
            framing: Framing::of_terminal(document.config.tty),
        })
    }

    /// The same; `None` when it is not there any more.
    pub(super) async fn find(engine: &EngineService, id: &str) -> Result<Option<State>, EngineError> {
        match State::of(engine, id).await {
            Err(error) if error.kind() == ErrorKind::NotFound => Ok(None),
            found => found.map(Some),
        }
    }

    /// Waits until a program that was started this moment has had the time to say something. Clients start a container and ask
    /// for its log at once; docker's start takes as long.
    pub(super) async fn first_words(&self, now: i64) {
        let elapsed = Duration::from_nanos(now.saturating_sub(self.started_at).unsigned_abs());
        if self.runs() && elapsed < FIRST_WORDS {
            tokio::time::sleep(FIRST_WORDS - elapsed).await;
        }
    }

    pub(super) fn runs(&self) -> bool {
        matches!(self.status.as_str(), "running" | "paused" | "restarting")
    }
}
