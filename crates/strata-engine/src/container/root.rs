//! How a container's root file system comes to be: its image's view below its own writable layer.

use std::fs::{self, File};
use std::os::fd::{AsFd as _, AsRawFd as _, BorrowedFd, OwnedFd};
use std::path::{Path, PathBuf};

use rustix::fs::{CWD, Mode, OFlags, openat};
use strata_model::{DiffId, ImageId};
use strata_rootfs::{Abilities, InnerBind, MountPlan, Ownership, UpperDirectory, ViewOnDisk, extract, mount_plan};
use strata_runtime::{ContainerStatus, state};
use strata_store::{ContainerRow, OpenedView, Store, StoreError};

use super::container_directory;
use crate::lookup::{ImageDocuments, documents_of_manifest};
use crate::view::{PackPlaces, erofs_image_of_layers};
use crate::{EngineError, Result};

/// The directory, among those of containers, of images as files.
pub(super) const IMAGES: &str = ".images";

/// The documents of the image that a container was made from, also when the image is gone.
pub(super) async fn container_image(store: &Store, row: &ContainerRow) -> Result<ImageDocuments> {
    let documents = documents_of_manifest(&*store.read().await?, &row.manifest).await?;
    Ok(documents.ok_or(StoreError::UnknownObject(row.manifest))?)
}

/// The layers of that image.
pub(crate) async fn container_layers(store: &Store, row: &ContainerRow) -> Result<Vec<DiffId>> {
    Ok(container_image(store, row).await?.config.value().rootfs.diff_ids.clone())
}

/// How the container's root file system is mounted on `rootfs` in its directory. Directories that the plan needs are made.
///
/// # Errors
/// When the image's view cannot be made.
pub(super) async fn root_plan(store: &Store, root: &Path, row: &ContainerRow) -> Result<MountPlan> {
    let layers = container_layers(store, row).await?;
    let directory = container_directory(root, &row.id);
    let image = erofs_image_of_layers(store, &row.image, &layers).await?;
    let opened = store.open_view(&row.image.to_string(), &layers).await?;
    let abilities = abilities(root)?;
    let view = ViewOnDisk {
        image: image.as_ref().and_then(|bytes| bytes.file()).map(path_of).transpose()?.unwrap_or_default(),
        packs: opened.packs.iter().map(|pack| path_of(pack.file())).collect::<Result<_>>()?,
        directory: image_directory(root, &row.image),
    };
    let upper =
        UpperDirectory { upper: directory.join("upper"), work: directory.join("work"), lower: directory.join("lower") };
    let abilities = match image {
        Some(_) => abilities,
        None => Abilities { image: strata_rootfs::Method::Directory, ..abilities },
    };
    let plan = mount_plan(&view, Some(&upper), &abilities, &directory.join("rootfs"));
    write_directories(opened, &plan).await?;
    Ok(plan)
}

/// Where the files of an image lie for all its containers, where the kernel mounts no view.
pub(super) fn image_directory(root: &Path, image: &ImageId) -> PathBuf {
    root.join("containers").join(IMAGES).join(image.0.hex())
}

/// Writes the view as files where a plan wants it so.
async fn write_directories(opened: OpenedView, plan: &MountPlan) -> Result<()> {
    use strata_rootfs::Step;
    let is_wanted = |step: &Step| matches!(step, Step::Extract { .. });
    if !plan.steps.iter().any(is_wanted) {
        return Ok(());
    }
    let plan = MountPlan { steps: plan.steps.iter().filter(|step| is_wanted(step)).cloned().collect() };
    let ownership = if rustix::process::geteuid().is_root() { Ownership::AsRecorded } else { Ownership::Squash };
    tokio::task::spawn_blocking(move || {
        let packs: Vec<File> = opened
            .packs
            .iter()
            .map(|pack| pack.file().try_clone())
            .collect::<std::io::Result<_>>()
            .map_err(|cause| EngineError::file("opening", "a pack", cause))?;
        plan.realize(&mut |target| {
            extract(&opened.view, &PackPlaces(&opened.packs), &packs, target, ownership).map(drop)
        })?;
        Ok(())
    })
    .await
    .map_err(|cause| EngineError::invalid(format!("a worker thread failed: {cause}")))?
}

/// The path by which the kernel knows an open file.
fn path_of(file: &File) -> Result<PathBuf> {
    let link = format!("/proc/self/fd/{}", file.as_raw_fd());
    fs::read_link(&link).map_err(|cause| EngineError::file("reading", link, cause))
}

/// What this machine can mount, tried once for each kernel and user and remembered in `containers/.abilities`.
fn abilities(root: &Path) -> Result<Abilities> {
    let folder = root.join("containers");
    let path = folder.join(".abilities");
    let release = rustix::system::uname().release().to_string_lossy().into_owned();
    let key = format!("{release} {} ", rustix::process::geteuid().as_raw());
    let remembered = fs::read_to_string(&path).ok();
    let remembered = remembered.as_deref().and_then(|text| text.strip_prefix(key.as_str())?.parse().ok());
    if let Some(abilities) = remembered {
        return Ok(abilities);
    }
    let abilities = Abilities::probe(&folder);
    let new = folder.join(format!(".abilities-{}", std::process::id()));
    let write = || {
        fs::write(&new, format!("{key}{abilities}"))?;
        fs::rename(&new, &path)
    };
    write().map_err(|cause| EngineError::file("writing", &path, cause))?;
    Ok(abilities)
}

/// Works in the root directory of a container: that of its process, or, when it has none, its root file system mounted where
/// nobody else sees it, with `binds` inside. `work` blocks.
///
/// # Errors
/// When it cannot be mounted.
pub(super) async fn in_container_root<T: Send + 'static>(
    store: &Store,
    root: &Path,
    row: &ContainerRow,
    binds: Vec<InnerBind>,
    work: impl FnOnce(BorrowedFd<'_>) -> T + Send + 'static,
) -> Result<T> {
    let directory = container_directory(root, &row.id);
    if let Some(running) = open_running_root(&directory)? {
        return blocking(move || work(running.as_fd())).await;
    }
    let plan = root_plan(store, root, row).await?;
    let target = directory.join("rootfs");
    Ok(blocking(move || plan.apart(&target, &binds, work)).await??)
}

/// The root directory of a container's process, if it has one.
fn open_running_root(directory: &Path) -> Result<Option<OwnedFd>> {
    let process = || {
        let state = state(directory)?;
        let is_there = matches!(state.status, ContainerStatus::Running | ContainerStatus::Paused) && state.pid != 0;
        Ok::<_, EngineError>(is_there.then_some((state.pid, state.started_at)))
    };
    loop {
        let Some(before) = process()? else { return Ok(None) };
        let path = PathBuf::from(format!("/proc/{}/root", before.0));
        let opened = openat(CWD, &path, OFlags::PATH | OFlags::DIRECTORY | OFlags::CLOEXEC, Mode::empty());
        // Only a process that still runs afterwards is the one that was opened: numbers are used again.
        if process()? == Some(before) {
            return opened.map(Some).map_err(|cause| EngineError::file("opening", path, cause.into()));
        }
    }
}

async fn blocking<T: Send + 'static>(work: impl FnOnce() -> T + Send + 'static) -> Result<T> {
    let done = tokio::task::spawn_blocking(work).await;
    done.map_err(|cause| EngineError::invalid(format!("a worker thread failed: {cause}")))
}
