//! `rm`: the row says that the container is going, its directory goes, then the row. Each step can be repeated.

use std::fs::{self, File};
use std::io;
use std::path::{Path, PathBuf};
use std::thread;
use std::time::Duration;

use rustix::fs::{FlockOperation, flock};
use strata_rootfs::{detach, mounts_below};
use strata_runtime::{ContainerStatus, state};
use strata_store::{ContainerPhase, ContainerRow, Store, fault};

use super::root::{IMAGES, image_directory};
use super::{container_directory, container_event, find_container};
use crate::blocking::blocking;
use crate::event_feed::note_end;
use crate::{EngineError, Result, volume};

/// How often, and after which pause, a directory is emptied again in which somebody still writes.
const LAST_WORDS: u32 = 100;
const PAUSE: Duration = Duration::from_millis(10);

/// How to remove a container.
#[derive(Clone, Copy, Debug, Default)]
pub struct RemoveContainer {
    /// Kill it when it runs.
    pub force: bool,
    /// Its anonymous volumes, too.
    pub volumes: bool,
}

/// Removes a container, and what of its image only it held.
///
/// # Errors
/// `NotFound`; `Refused` when it runs and `force` is not given.
pub async fn remove_container(store: &Store, root: &Path, text: &str, options: RemoveContainer) -> Result<()> {
    let row = find_container(&*store.read().await?, text).await?;
    if row.phase == ContainerPhase::Ready {
        let directory = container_directory(root, &row.id);
        let status = state(&directory)?.status;
        if matches!(status, ContainerStatus::Running | ContainerStatus::Paused | ContainerStatus::Restarting) {
            if !options.force {
                let (name, what) = (&row.name, status_word(status));
                let advice = match status {
                    ContainerStatus::Paused => "unpause and stop the container before removing or force remove",
                    _ => "stop the container before removing or force remove",
                };
                return Err(EngineError::Refused {
                    message: format!("cannot remove container {name:?}: container is {what}: {advice}"),
                });
            }
            super::control::end_now(&directory).await?;
        }
    }
    take_away(store, root, row, options.volumes).await
}

fn status_word(status: ContainerStatus) -> &'static str {
    match status {
        ContainerStatus::Paused => "paused",
        ContainerStatus::Restarting => "restarting",
        _ => "running",
    }
}

/// Removes a container that does not run.
pub(super) async fn take_away(store: &Store, root: &Path, row: ContainerRow, with_volumes: bool) -> Result<()> {
    let mut txn = store.write("removing a container").await?;
    let Some(row) = txn.container(&row.id).await? else { return Ok(()) };
    let directory = container_directory(root, &row.id);
    if row.phase == ContainerPhase::Ready {
        note_end(&mut *txn, &row, &state(&directory)?, store.now()).await?;
    }
    let row = ContainerRow { phase: ContainerPhase::Removing, ..row };
    txn.update_container(&row).await?;
    txn.commit().await?;
    fault::point("container-removing");
    let cleaned = directory.clone();
    blocking(move || {
        if cleaned.exists() {
            strata_runtime::clean(&cleaned)?;
            remove_directory(&cleaned)?;
        }
        Ok::<(), EngineError>(())
    })
    .await??;
    fault::point("container-directory-removed");
    let mut txn = store.write("removing a container").await?;
    let collection = store.delete_container(&mut *txn, &row).await?;
    let files = match txn.containers_of_image(&row.image).await?.is_empty() {
        true => put_aside(&image_directory(root, &row.image))?,
        false => None,
    };
    txn.insert_event(&container_event(store.now(), "destroy", &row)).await?;
    txn.commit().await?;
    fault::point("container-removed");
    store.remove_doomed(&collection).await?;
    if let Some(files) = files {
        fs::remove_dir_all(&files).map_err(|cause| EngineError::file("removing", &files, cause))?;
    }
    if with_volumes {
        for name in &row.volumes {
            volume::remove_if_anonymous(store, root, name).await?;
        }
    }
    Ok(())
}

/// Takes a directory away from where others look for it. To be called in a transaction that finds nobody who needs it: who
/// comes later makes a new one. Where it lies now; what a kill leaves there is swept.
fn put_aside(directory: &Path) -> Result<Option<PathBuf>> {
    let aside = directory.with_extension(format!("gone-{}", std::process::id()));
    match fs::rename(directory, &aside) {
        Ok(()) => Ok(Some(aside)),
        Err(cause) if cause.kind() == io::ErrorKind::NotFound => Ok(None),
        Err(cause) => Err(EngineError::file("renaming", directory, cause)),
    }
}

/// Removes a container's directory. What `--rm` starts shares the mount namespace of the supervisor, in which the container's
/// root is mounted there: nothing is removed through a mount.
fn remove_directory(directory: &Path) -> Result<()> {
    for mount in mounts_below(directory)?.into_iter().rev() {
        detach(&mount.target)?;
    }
    let mut attempts = 0;
    loop {
        match fs::remove_dir_all(directory) {
            // Who is about to end may write a last word while its directory is emptied.
            Err(cause) if cause.kind() == io::ErrorKind::DirectoryNotEmpty && attempts < LAST_WORDS => {
                attempts += 1;
                thread::sleep(PAUSE);
            }
            Err(cause) if cause.kind() != io::ErrorKind::NotFound => {
                return Err(EngineError::file("removing", directory, cause));
            }
            _ => return Ok(()),
        }
    }
}

/// Finishes removals that were cut off, and removes directories that never became containers.
///
/// # Errors
/// When catalog or directories cannot be read.
pub async fn sweep_containers(store: &Store, root: &Path) -> Result<()> {
    let rows = store.read().await?.containers().await?;
    for row in rows.into_iter().filter(|row| row.phase == ContainerPhase::Removing) {
        take_away(store, root, row, false).await?;
    }
    let folder = root.join("containers");
    let entries = match fs::read_dir(&folder) {
        Err(cause) if cause.kind() == io::ErrorKind::NotFound => return Ok(()),
        entries => entries.map_err(|cause| EngineError::file("reading", &folder, cause))?,
    };
    for entry in entries.flatten().filter(|entry| entry.file_type().is_ok_and(|kind| kind.is_dir())) {
        if entry.file_name() == IMAGES {
            sweep_image_directories(&entry.path())?;
            continue;
        }
        let Ok(lock) = File::open(entry.path()) else { continue };
        // Its maker holds the lock until the row is there, so that the row is looked for afterwards.
        if flock(&lock, FlockOperation::NonBlockingLockExclusive).is_err() {
            continue;
        }
        let id = entry.file_name().to_string_lossy().into_owned();
        if store.read().await?.container(&id).await?.is_none() {
            remove_directory(&entry.path())?;
        }
    }
    Ok(())
}

/// What removals that were cut off have put aside.
fn sweep_image_directories(folder: &Path) -> Result<()> {
    let failed = |cause| EngineError::file("sweeping", folder, cause);
    for entry in fs::read_dir(folder).map_err(failed)?.flatten() {
        if entry.path().extension().is_some_and(|extension| extension.as_encoded_bytes().starts_with(b"gone-")) {
            fs::remove_dir_all(entry.path()).map_err(failed)?;
        }
    }
    Ok(())
}
