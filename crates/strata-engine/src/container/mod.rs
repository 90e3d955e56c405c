//! Containers as things of the store: made, found, listed, changed, removed. What a container's process does is the
//! matter of `strata-runtime`.
//!
//! On disk: `<root>/containers/<id>/` as `strata-runtime` describes it; `upper/` and `work/` are the writable layer. The
//! row in the catalog says that a container exists. The directory is complete before the row is there, and is gone before
//! the row goes. A directory without a row is being made as long as its maker holds its lock, and a leftover after that.

mod archive;
mod attach;
mod changes;
mod commit;
mod control;
mod cp;
mod create;
mod detach_keys;
pub mod document;
mod exec;
mod export;
mod find;
mod inspect;
mod limits;
mod link;
mod list;
mod logs;
mod merge;
mod mounts;
mod names;
mod paths;
mod prune;
mod remove;
mod rename;
mod revive;
mod root;
mod signals;
mod spec;
mod start;
mod stats;
mod top;
mod tree;
mod unpack;
mod update;

use std::fs::File;
use std::io::Read as _;
use std::path::{Path, PathBuf};

use strata_store::{ContainerRow, EventRow};

use crate::{EngineError, Result};

pub use archive::{ExtractOptions, PathStat, archive_container_path, extract_to_container, stat_container_path};
pub use attach::attach_container;
pub use changes::{PathChange, PathChangeKind, container_changes};
pub use commit::{CommitRequest, commit_container};
pub use control::{ContainerAction, control_container, wait_container};
pub use cp::{
    CopiedFiles, CopyError, copy_from_container, copy_tar_from_container, copy_tar_to_container, copy_to_container,
};
pub use create::{CreateRequest, Created, create_container};
pub use detach_keys::DetachKeys;
pub use document::ContainerDocument;
pub use exec::{InspectedExec, create_exec, inspect_exec, note_exec_end, start_exec};
pub use export::export_container;
pub use find::find_container;
pub use inspect::{inspect_container, state_json};
pub(crate) use link::link_environment;
pub use link::{link_names, remove_link};
pub use list::{ContainerFilter, ContainerSize, ContainerSummary, container_size, list_containers, running_containers};
pub use logs::{ContainerLog, container_logs};
pub use prune::{PrunedContainers, prune_containers};
pub use remove::{RemoveContainer, remove_container, sweep_containers};
pub use rename::rename_container;
pub use revive::revive_containers;
pub(crate) use root::container_layers;
pub use start::{StartedContainer, start_container};
pub use stats::{UsageSample, UsageSummary, sample_usage};
pub use top::{ProcessTable, container_top};
pub(crate) use tree::directory_usage as directory_size;
pub use update::update_container;

/// Lets an ordinary user's process work on the files of containers of the store at `root`, which belong to any of the IDs that
/// the user may have. The process must have one thread; nothing happens to root's.
///
/// # Errors
/// When the machine does not let users have such namespaces.
pub fn enter_user_namespace(root: &Path) -> Result<()> {
    Ok(strata_runtime::enter_user_namespace(&root.join("containers"))?)
}

/// Whether what is done here is done as root of the machine.
pub(crate) fn is_root_of_machine() -> bool {
    rustix::process::geteuid().is_root() && !strata_rootfs::in_user_namespace()
}

/// The directory of a container.
pub fn container_directory(root: &Path, id: &str) -> PathBuf {
    root.join("containers").join(id)
}

/// The first twelve digits of an ID.
pub fn short_id(id: &str) -> &str {
    id.get(..12).unwrap_or(id)
}

/// Bytes that nobody can guess.
pub(crate) fn random_bytes<const COUNT: usize>() -> Result<[u8; COUNT]> {
    let mut bytes = [0; COUNT];
    let read = File::open("/dev/urandom").and_then(|mut source| source.read_exact(&mut bytes));
    read.map_err(|cause| EngineError::file("reading", "/dev/urandom", cause))?;
    Ok(bytes)
}

/// 64 hexadecimal digits that nobody has had before.
pub(crate) fn random_id() -> Result<String> {
    Ok(random_bytes::<32>()?.iter().map(|byte| format!("{byte:02x}")).collect())
}

/// An event about a container: its attributes are image, name and labels.
pub(crate) fn container_event(time: i64, action: &str, row: &ContainerRow) -> EventRow {
    container_event_with(time, action, row, [])
}

/// The same with further attributes.
pub(crate) fn container_event_with<const COUNT: usize>(
    time: i64,
    action: &str,
    row: &ContainerRow,
    more: [(&str, String); COUNT],
) -> EventRow {
    let mut attributes = std::collections::BTreeMap::new();
    if let Ok(document) = ContainerDocument::parse(row) {
        attributes.extend(document.config.labels.unwrap_or_default());
        attributes.insert("image".to_owned(), document.config.image);
    }
    attributes.insert("name".to_owned(), row.name.clone());
    attributes.extend(more.map(|(name, value)| (name.to_owned(), value)));
    EventRow {
        time,
        action: format!("container {action}"),
        actor: row.id.clone(),
        attributes: serde_json::to_string(&attributes).unwrap_or_default(),
    }
}
