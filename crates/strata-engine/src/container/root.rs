//! How a container's root file system comes to be: its image's view below its own writable layer.

use std::fs::{self, File};
use std::os::fd::{AsFd as _, AsRawFd as _, BorrowedFd, OwnedFd};
use std::os::unix::fs::FileExt as _;
use std::path::{Path, PathBuf};

use rustix::fs::{CWD, Mode, OFlags, openat};
use strata_erofs::reader::{Device, Image};
use strata_layer::PackId;
use strata_model::{DiffId, ImageId};
use strata_rootfs::{
    Abilities, InnerBind, Method, MountPlan, Ownership, Step, UpperDirectory, ViewOnDisk, extract, mount_plan,
};
use strata_runtime::{ContainerStatus, state};
use strata_store::{ContainerRow, OpenedView, Store, StoreError};

use super::container_directory;
use crate::blocking::blocking;
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
    let abilities = abilities(root)?;
    let image = match abilities.image {
        Method::Directory => None,
        Method::ErofsFile | Method::ErofsLoop => erofs_image_of_layers(store, &row.image, &layers).await?,
    };
    let (path, packs) = match image.as_ref().and_then(|bytes| bytes.file()) {
        Some(file) => (path_of(file)?, packs_of(store, file).await?),
        None => Default::default(),
    };
    let view = ViewOnDisk { image: path, packs, directory: image_directory(root, &row.image) };
    let upper =
        UpperDirectory { upper: directory.join("upper"), work: directory.join("work"), lower: directory.join("lower") };
    let abilities = match image {
        Some(_) => abilities,
        None => Abilities { image: Method::Directory, ..abilities },
    };
    let plan = mount_plan(&view, Some(&upper), &abilities, &directory.join("rootfs"));
    if plan.steps.iter().any(is_extraction) {
        write_directories(store.open_view(&row.image.to_string(), &layers).await?, &plan).await?;
    }
    Ok(plan)
}

/// The packs that an EROFS image is mounted with. Its own table of devices names them: neither layers nor packs are read, so
/// that an image of many layers starts as one of few.
async fn packs_of(store: &Store, image: &File) -> Result<Vec<PathBuf>> {
    /// The superblock lies before this.
    const HEAD: u64 = 4096;
    let damaged = |cause: String| StoreError::Malformed { what: "the view of an image".to_owned(), cause };
    let read = |end: u64| {
        let mut bytes = vec![0; end as usize];
        image.read_exact_at(&mut bytes, 0).map(|()| bytes).map_err(|cause| damaged(cause.to_string()))
    };
    let size = image.metadata().map_err(|cause| damaged(cause.to_string()))?.len();
    let mut bytes = read(HEAD.min(size))?;
    let end = Image::open(&bytes).map_err(|cause| damaged(cause.to_string()))?.devices_end();
    if end > HEAD {
        bytes = read(end.min(size))?;
    }
    let devices = Image::open(&bytes).and_then(|image| image.devices()).map_err(|cause| damaged(cause.to_string()))?;
    let id = |device: &Device| {
        let number = std::str::from_utf8(&device.tag).ok().and_then(|tag| u128::from_str_radix(tag, 16).ok());
        number
            .map(|number| PackId(number.to_be_bytes()))
            .ok_or_else(|| damaged("a device has no pack's name".to_owned()))
    };
    let ids = devices.iter().map(id).collect::<std::result::Result<Vec<_>, _>>()?;
    Ok(store.pack_paths(&ids).await?)
}

fn is_extraction(step: &Step) -> bool {
    matches!(step, Step::Extract { .. })
}

/// Where the files of an image lie for all its containers, where the kernel mounts no view.
pub(super) fn image_directory(root: &Path, image: &ImageId) -> PathBuf {
    root.join("containers").join(IMAGES).join(image.0.hex())
}

/// Writes the view as files where a plan wants it so.
async fn write_directories(opened: OpenedView, plan: &MountPlan) -> Result<()> {
    let plan = MountPlan { steps: plan.steps.iter().filter(|step| is_extraction(step)).cloned().collect() };
    let ownership = if rustix::process::geteuid().is_root() { Ownership::AsRecorded } else { Ownership::Squash };
    blocking(move || {
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
    .await?
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
