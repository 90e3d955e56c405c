//! `attach`: taking part in what a running container reads and writes.

use std::path::Path;

use strata_runtime::{AttachRequest, AttachStream, ContainerStatus, Control, state};
use strata_store::Store;

use super::container_directory;
use super::control::{blocking, note};
use super::find::find_ready;
use crate::{EngineError, Result};

/// Connects to a container that runs.
///
/// # Errors
/// `NotFound`; `Refused` in the words of docker's command when it does not run.
pub async fn attach_container(store: &Store, root: &Path, text: &str, request: AttachRequest) -> Result<AttachStream> {
    let row = find_ready(&*store.read().await?, text).await?;
    let directory = container_directory(root, &row.id);
    let refused = |message: &str| Err(EngineError::Refused { message: message.to_owned() });
    match state(&directory)?.status {
        ContainerStatus::Running => {}
        ContainerStatus::Paused => return refused("You cannot attach to a paused container, unpause it first"),
        ContainerStatus::Restarting => {
            return refused("You cannot attach to a restarting container, wait until it is running");
        }
        _ => return refused("You cannot attach to a stopped container, start it first"),
    }
    let stream = blocking(move || Control::connect(&directory)?.attach(request)).await?;
    note(store, "attach", &row).await?;
    Ok(stream)
}
