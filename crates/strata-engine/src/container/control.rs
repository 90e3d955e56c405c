//! What is done to a container's process through its supervisor: `stop`, `kill`, `pause`, `unpause`, `wait`.

use std::path::Path;
use std::time::Duration;

use strata_runtime::{ContainerStatus, Control, RuntimeError, state};
use strata_store::{ContainerRow, EventRow, Store, fault};

use super::find::find_ready;
use super::{ContainerDocument, container_directory, container_event, container_event_with, signals};
use crate::{EngineError, Result};

const KILL: i32 = 9;
/// How long it is waited for the end of a container that was killed.
const END_OF_KILLED: Duration = Duration::from_secs(10);

/// Something to do.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum ContainerAction {
    /// Ask it to end, and kill it when it does not.
    Stop {
        /// The signal that asks; `None` is its own.
        signal: Option<String>,
        /// Seconds until it is killed; `None` is its own time, negative is never.
        timeout: Option<i64>,
    },
    /// Send it a signal.
    Kill {
        /// The signal.
        signal: String,
    },
    /// Freeze it.
    Pause,
    /// Let it go on.
    Unpause,
}

impl ContainerAction {
    fn word(&self) -> &'static str {
        match self {
            ContainerAction::Stop { .. } => "stop",
            ContainerAction::Kill { .. } => "kill",
            ContainerAction::Pause => "pause",
            ContainerAction::Unpause => "unpause",
        }
    }
}

/// Does something to a container that runs. Stopping one that does not run does nothing.
///
/// # Errors
/// `NotFound`; `Refused` when it does not run, or is paused or not.
pub async fn control_container(store: &Store, root: &Path, text: &str, action: &ContainerAction) -> Result<()> {
    control(store, root, text, action).await.map_err(|error| match action {
        // A signal that does not exist is told without a container.
        ContainerAction::Kill { .. } if !matches!(error, EngineError::Invalid { .. }) => {
            error.after(&format!("cannot kill container: {text}"))
        }
        _ => error,
    })
}

async fn control(store: &Store, root: &Path, text: &str, action: &ContainerAction) -> Result<()> {
    let row = find_ready(&*store.read().await?, text).await?;
    let directory = container_directory(root, &row.id);
    let status = state(&directory)?.status;
    let is_running = matches!(status, ContainerStatus::Running | ContainerStatus::Paused | ContainerStatus::Restarting);
    let refused = |message: String| Err(EngineError::Refused { message });
    match action {
        ContainerAction::Stop { .. } if !is_running => return Ok(()),
        ContainerAction::Unpause if status != ContainerStatus::Paused => {
            return refused(format!("Container {} is not paused", row.id));
        }
        _ if !is_running => return refused(format!("container {} is not running", row.id)),
        ContainerAction::Pause if status == ContainerStatus::Paused => {
            return refused(format!("container {} is already paused", row.id));
        }
        _ => {}
    }
    let request = match action {
        ContainerAction::Stop { signal, timeout } => {
            let signal = signal.as_deref().map(signals::parse).transpose()?;
            let document = ContainerDocument::parse(&row)?;
            let own = || signals::parse(document.config.stop_signal.as_deref().unwrap_or("SIGTERM"));
            note_signal(store, &row, signal.map_or_else(own, Ok)?).await?;
            Do::Stop(signal, *timeout)
        }
        ContainerAction::Kill { signal } => {
            let signal = signals::parse(signal)?;
            note_signal(store, &row, signal).await?;
            Do::Signal(signal)
        }
        ContainerAction::Pause => Do::Pause,
        ContainerAction::Unpause => Do::Unpause,
    };
    let (is_signal, is_killed) = (matches!(request, Do::Signal(_)), matches!(request, Do::Signal(KILL)));
    blocking(move || request.on(&directory)).await?;
    fault::point("container-asked");
    if !is_signal {
        note(store, action.word(), &row).await?;
    }
    if is_killed {
        // As docker: who killed it finds it dead. One that the kernel does not let go is not waited for without end, and
        // one that is removed at its end may be gone.
        let _ = tokio::time::timeout(END_OF_KILLED, wait_container(store, root, &row.id)).await;
    }
    Ok(())
}

pub(super) async fn note(store: &Store, word: &str, row: &ContainerRow) -> Result<()> {
    note_event(store, container_event(store.now(), word, row)).await
}

async fn note_signal(store: &Store, row: &ContainerRow, signal: i32) -> Result<()> {
    note_event(store, container_event_with(store.now(), "kill", row, [("signal", signal.to_string())])).await
}

async fn note_event(store: &Store, event: EventRow) -> Result<()> {
    let mut txn = store.write("noting an event").await?;
    txn.insert_event(&event).await?;
    Ok(txn.commit().await?)
}

enum Do {
    Stop(Option<i32>, Option<i64>),
    Signal(i32),
    Pause,
    Unpause,
}

impl Do {
    fn on(&self, directory: &Path) -> Result<(), RuntimeError> {
        let mut control = Control::connect(directory)?;
        match self {
            Do::Stop(signal, timeout) => control.stop(*signal, *timeout).map(drop),
            Do::Signal(signal) => control.signal(*signal),
            Do::Pause => control.pause(),
            Do::Unpause => control.unpause(),
        }
    }
}

/// Asks a container's processes, on a thread for what waits.
pub(super) async fn blocking<T: Send + 'static>(
    work: impl FnOnce() -> Result<T, RuntimeError> + Send + 'static,
) -> Result<T> {
    Ok(crate::blocking::blocking(work).await??)
}

/// Waits until a container does not run, and returns its exit code. One that never ran has 0.
///
/// # Errors
/// `NotFound`; when its supervisor cannot be asked.
pub async fn wait_container(store: &Store, root: &Path, text: &str) -> Result<i32> {
    let row = find_ready(&*store.read().await?, text).await?;
    let directory = container_directory(root, &row.id);
    blocking(move || {
        let now = state(&directory)?;
        if !matches!(now.status, ContainerStatus::Running | ContainerStatus::Paused | ContainerStatus::Restarting) {
            return Ok(now.exit_code);
        }
        match Control::connect(&directory).and_then(|mut control| control.wait()) {
            Ok(code) => Ok(code),
            // It ended meanwhile.
            Err(_) => Ok(state(&directory)?.exit_code),
        }
    })
    .await
}

/// Ends a container at once and for good.
pub(super) async fn end_now(directory: &Path) -> Result<()> {
    let directory = directory.to_owned();
    blocking(move || Do::Stop(Some(KILL), Some(0)).on(&directory)).await
}
