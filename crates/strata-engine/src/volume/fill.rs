//! What an image has at the path of an empty volume is copied into it.
//!
//! The files of a new volume appear with its directory, by a rename: a volume that has a directory has been filled, and one
//! that was cut off before is filled by the next start of its container.

use std::fs::{self, DirBuilder, File};
use std::io;
use std::os::unix::fs::DirBuilderExt as _;
use std::path::{Path, PathBuf};

use strata_layer::{InodeId, Kind};
use strata_rootfs::{Ownership, extract_below};
use strata_store::{ContainerRow, OpenedView, Store, fault};

use super::driver::with_real_sources;
use super::{make_directory, volume_data};
use crate::container::document::{ContainerDocument, MountPoint};
use crate::container::{container_layers, random_id, short_id};
use crate::view::PackPlaces;
use crate::{EngineError, Result};

/// Makes the directories of a container's volumes. Those that are not there yet are filled; when the container is made, those
/// that are there and empty, too, from this one of its mounts on: what comes before it has from other containers. Returns what is
/// known of the container, with the places where its volumes' files lie.
///
/// # Errors
/// When the image cannot be read, or a directory cannot be written.
pub(crate) async fn prepare_volumes(
    store: &Store,
    root: &Path,
    row: &ContainerRow,
    document: &ContainerDocument,
    empty_from: Option<usize>,
) -> Result<ContainerDocument> {
    let document = with_real_sources(&*store.read().await?, root, document).await?;
    let points = document.mounts.iter().enumerate().filter(|(_, point)| point.kind == "volume");
    let is_wanted =
        |number: usize, point: &MountPoint| is_to_be_filled(point, empty_from.is_some_and(|first| number >= first));
    let wanted: Vec<&MountPoint> =
        points.filter(|(number, point)| is_wanted(*number, point)).map(|(_, point)| point).collect();
    if !wanted.is_empty() {
        let layers = container_layers(store, row).await?;
        let opened = store.open_view(&row.image.to_string(), &layers).await?;
        for point in wanted {
            let users = store.read().await?.containers_of_volume(&point.name).await?;
            fill(root, &opened, point, users.len() > 1)?;
        }
    }
    fault::point("volumes-filled");
    row.volumes.iter().try_for_each(|name| make_directory(root, name))?;
    Ok(document)
}

fn is_to_be_filled(point: &MountPoint, also_empty: bool) -> bool {
    let copies = !point.mode.split(',').any(|option| option == "nocopy");
    copies
        && match fs::read_dir(&point.source) {
            Err(cause) => cause.kind() == io::ErrorKind::NotFound,
            Ok(mut entries) => also_empty && entries.next().is_none(),
        }
}

fn fill(root: &Path, opened: &OpenedView, point: &MountPoint, is_shared: bool) -> Result<()> {
    let Ok(from) = opened.view.resolve(point.destination.as_bytes()) else { return Ok(()) };
    if opened.view.inode(from).kind != Kind::Directory {
        return Ok(());
    }
    let data = volume_data(root, &point.name);
    let target = PathBuf::from(&point.source);
    // Others see the directory itself, and a bound one is not ours to replace.
    if target != data || (is_shared && target.exists()) {
        return copy(opened, from, &target);
    }
    let folder = root.join("volumes").join(&point.name);
    let staging = folder.join(format!(".filling-{}", short_id(&random_id()?)));
    let make = || {
        DirBuilder::new().mode(0o711).recursive(true).create(&folder)?;
        DirBuilder::new().mode(0o700).create(&staging)
    };
    make().map_err(|cause| EngineError::file("creating", &staging, cause))?;
    copy(opened, from, &staging)?;
    fault::point("volume-filling");
    match fs::rename(&staging, &data) {
        // Another container was first.
        Err(cause) if matches!(cause.kind(), io::ErrorKind::DirectoryNotEmpty | io::ErrorKind::AlreadyExists) => {
            fs::remove_dir_all(&staging)
        }
        renamed => renamed,
    }
    .map_err(|cause| EngineError::file("filling", &data, cause))
}

/// Copies a directory of an image with its owner and mode.
fn copy(opened: &OpenedView, from: InodeId, target: &Path) -> Result<()> {
    let packs: Vec<File> = opened
        .packs
        .iter()
        .map(|pack| pack.file().try_clone())
        .collect::<io::Result<_>>()
        .map_err(|cause| EngineError::file("opening", "a pack", cause))?;
    let ownership = if rustix::process::geteuid().is_root() { Ownership::AsRecorded } else { Ownership::Squash };
    extract_below(&opened.view, from, &PackPlaces(&opened.packs), &packs, target, ownership)?;
    Ok(())
}
