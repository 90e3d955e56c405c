//! `image mount` and `image unmount`: the files of an image in a directory, read-only.
//!
//! Root gets the EROFS image over the packs, mounted; nothing is copied. Where the kernel cannot do that, and for ordinary
//! users, the files are written into the directory. A record in the store keeps removals away from the image, and lets
//! `unmount` know that it may remove the files.

use std::fs::{self, File};
use std::os::unix::fs::PermissionsExt as _;
use std::path::{Path, PathBuf};

use strata_model::Platform;
use strata_rootfs::{ErofsSource, Extracted, Ownership, extract, mount_erofs, mounts_below, unmount as unmount_target};
use strata_store::{OpenedView, PackFile, Store, fault};

use crate::blocking::blocking;
use crate::mount_record::{LockedRecord, Shown};
use crate::view::{PackPlaces, erofs_image, image_view};
use crate::{EngineError, Result, find_image};

/// How an image appears in a directory.
#[derive(Clone, Debug)]
pub enum Mounted {
    /// As a mount of its EROFS image.
    Erofs,
    /// As files written there; what could not be made is told.
    Copied(Extracted),
}

/// Makes the files of an image appear at `target`, an empty directory. `root` is the store's directory.
///
/// # Errors
/// `NoSuchImage`; `Invalid` when the target is not an empty directory; when mounting and copying both fail.
pub async fn mount(
    store: &Store,
    root: &Path,
    image: &str,
    target: &Path,
    platform: Option<&Platform>,
) -> Result<Mounted> {
    let row = find_image(store, image, platform).await?.row;
    let target = empty_directory(target)?;
    let mut record = LockedRecord::lock(root, &target)?;
    record.write(&row.id, Shown::Mounted)?;
    fault::point("mount-recorded");
    if rustix::process::geteuid().is_root()
        && let Some(image_bytes) = erofs_image(store, &row).await?
        && let Some(image_file) = image_bytes.file()
    {
        let opened = image_view(store, &row).await?;
        match mount_view(image_file, &opened, &target) {
            Ok(()) => {
                fault::point("mount-shown");
                return Ok(Mounted::Erofs);
            }
            Err(error) => tracing::debug!(%error, "EROFS cannot be mounted here; the files are copied"),
        }
    }
    let opened = image_view(store, &row).await?;
    record.write(&row.id, Shown::Copied)?;
    let copied = blocking(move || copy_files(&opened, &target)).await??;
    fault::point("mount-shown");
    Ok(Mounted::Copied(copied))
}

fn mount_view(image: &File, opened: &OpenedView, target: &Path) -> Result<()> {
    let packs = clone_files(&opened.packs)?;
    match mount_erofs(ErofsSource::File, image, &packs, target) {
        Ok(()) => Ok(()),
        Err(_) => Ok(mount_erofs(ErofsSource::Loop, image, &packs, target)?),
    }
}

fn clone_files(packs: &[std::sync::Arc<dyn PackFile>]) -> Result<Vec<File>> {
    packs
        .iter()
        .map(|pack| pack.file().try_clone().map_err(|source| EngineError::file("opening", "a pack", source)))
        .collect()
}

fn copy_files(opened: &OpenedView, target: &Path) -> Result<Extracted> {
    let ownership = if rustix::process::geteuid().is_root() { Ownership::AsRecorded } else { Ownership::Squash };
    let packs = clone_files(&opened.packs)?;
    Ok(extract(&opened.view, &PackPlaces(&opened.packs), &packs, target, ownership)?)
}

/// Takes away what [`mount`] made at `target`. The directory itself stays.
///
/// # Errors
/// `Invalid` when nothing of ours is there.
pub fn unmount(root: &Path, target: &Path) -> Result<()> {
    let target = fs::canonicalize(target).map_err(|source| EngineError::file("opening", target, source))?;
    let mut record = LockedRecord::lock(root, &target)?;
    let is_erofs = mounts_below(&target)?.iter().any(|mount| mount.target == target && mount.filesystem == "erofs");
    if is_erofs {
        unmount_target(&target)?;
    } else if record.shown()? == Some(Shown::Copied) {
        remove_children(&target)?;
    } else {
        record.remove()?;
        return Err(EngineError::invalid(format!("{}: no image is mounted there", target.display())));
    }
    fault::point("mount-taken-away");
    record.remove()
}

/// Removes what is in a directory. An image may have directories that their owner may not change; to remove what is in
/// them, an ordinary user makes them changeable first.
fn remove_children(directory: &Path) -> Result<()> {
    let failed = |source| EngineError::file("removing the files in", directory, source);
    for child in fs::read_dir(directory).map_err(failed)? {
        let child = child.map_err(failed)?;
        let is_directory = child.file_type().map_err(failed)?.is_dir();
        if is_directory && !rustix::process::geteuid().is_root() {
            open_up(&child.path()).map_err(failed)?;
        }
        let removed = if is_directory { fs::remove_dir_all(child.path()) } else { fs::remove_file(child.path()) };
        removed.map_err(failed)?;
    }
    Ok(())
}

fn open_up(directory: &Path) -> std::io::Result<()> {
    fs::set_permissions(directory, fs::Permissions::from_mode(0o700))?;
    for child in fs::read_dir(directory)? {
        let child = child?;
        if child.file_type()?.is_dir() {
            open_up(&child.path())?;
        }
    }
    Ok(())
}

fn empty_directory(target: &Path) -> Result<PathBuf> {
    let target = fs::canonicalize(target).map_err(|source| EngineError::file("opening", target, source))?;
    let mut children = fs::read_dir(&target).map_err(|source| EngineError::file("opening", &target, source))?;
    match children.next() {
        None => Ok(target),
        Some(_) => Err(EngineError::invalid(format!("{}: the directory is not empty", target.display()))),
    }
}
