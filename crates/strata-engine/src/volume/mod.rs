//! Volumes: directories of the store that containers mount and that outlive them.
//!
//! On disk: `<root>/volumes/<name>/_data`. The row in the catalog says that a volume exists; the directory is made when it is
//! first wanted. A volume that goes gets a mark in its directory, loses its row in a transaction that finds no container using
//! it, and then its directory. Data without a row are removed only when they have that mark: a catalog may have been lost.

mod driver;
mod fill;

use std::collections::BTreeMap;
use std::fs::{self, DirBuilder};
use std::io;
use std::os::unix::fs::DirBuilderExt as _;
use std::path::{Path, PathBuf};

use serde::{Deserialize, Serialize};
use serde_json::{Value, json};
use strata_store::{EventRow, ReadTxn, Store, VolumeRow, fault};

use crate::container::{random_id, short_id};
use crate::label_filter::{LabelFilter, Labels};
use crate::{EngineError, Result};

pub(crate) use driver::check as check_volume_options;
pub(crate) use fill::prepare_volumes;

/// Labels and options of a volume.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "PascalCase", default)]
pub struct VolumeDocument {
    /// Its labels; `None` when none were given.
    pub labels: Option<BTreeMap<String, String>>,
    /// Options of its driver; `None` when none were given.
    pub options: Option<BTreeMap<String, String>>,
}

impl VolumeDocument {
    pub(crate) fn row(&self, name: &str, is_anonymous: bool, created: i64) -> VolumeRow {
        VolumeRow {
            name: name.to_owned(),
            created,
            is_anonymous,
            document: serde_json::to_string(self).unwrap_or_default(),
        }
    }
}

/// A volume.
#[derive(Clone, Debug)]
pub struct VolumeInfo {
    /// Its name.
    pub name: String,
    /// When it was made, nanoseconds since 1970.
    pub created: i64,
    /// Where its files lie.
    pub mountpoint: PathBuf,
    /// Whether its name was made up for one container.
    pub is_anonymous: bool,
    /// Labels and options.
    pub document: VolumeDocument,
    /// How many containers mount it.
    pub links: usize,
}

impl VolumeInfo {
    /// As docker's API shows it.
    pub fn json(&self) -> Value {
        let created = jiff::Timestamp::from_second(self.created / 1_000_000_000).unwrap_or_default();
        let mut labels = self.document.labels.clone();
        if self.is_anonymous {
            labels.get_or_insert_default().insert("com.docker.volume.anonymous".into(), String::new());
        }
        json!({
            "CreatedAt": strata_format::timestamp::to_rfc3339(created),
            "Driver": "local",
            "Labels": labels,
            "Mountpoint": self.mountpoint.display().to_string(),
            "Name": self.name,
            "Options": self.document.options,
            "Scope": "local",
        })
    }
}

/// Where the files of a volume lie.
pub(crate) fn volume_data(root: &Path, name: &str) -> PathBuf {
    root.join("volumes").join(name).join("_data")
}

/// What is wrong with the name of a volume, if anything is.
pub(crate) fn volume_name_error(name: &str) -> Option<EngineError> {
    if name.len() == 1 {
        return Some(EngineError::invalid(
            "volume name is too short, names should be at least two alphanumeric characters",
        ));
    }
    let mut characters = name.chars();
    let is_fine = characters.next().is_some_and(|first| first.is_ascii_alphanumeric())
        && characters.all(|c| c.is_ascii_alphanumeric() || matches!(c, '_' | '.' | '-'));
    (!is_fine).then(|| {
        EngineError::invalid(format!(
            "create {name}: {name:?} includes invalid characters for a local volume name, only \"[a-zA-Z0-9][a-zA-Z0-9_.-]\" \
             are allowed. If you intended to pass a host directory, use absolute path"
        ))
    })
}

/// Makes a volume, or finds it; `None` makes a name up. Returns the name.
///
/// # Errors
/// `Invalid` for a malformed name and for options that no volume has.
pub async fn create_volume(store: &Store, root: &Path, name: Option<&str>, document: VolumeDocument) -> Result<String> {
    let (name, is_anonymous) = match name {
        Some(name) => (name.to_owned(), false),
        None => (random_id()?, true),
    };
    if let Some(error) = volume_name_error(&name) {
        return Err(error);
    }
    if let Some(options) = &document.options {
        driver::check(&name, options)?;
    }
    finish_removal(&*store.read().await?, root, &name).await?;
    let mut txn = store.write("creating a volume").await?;
    if txn.insert_volume(&document.row(&name, is_anonymous, store.now())).await? {
        txn.insert_event(&volume_event(store.now(), "create", &name)).await?;
        txn.commit().await?;
    }
    fault::point("volume-created");
    make_directory(root, &name)?;
    Ok(name)
}

fn volume_event(time: i64, action: &str, name: &str) -> EventRow {
    let attributes = serde_json::json!({ "driver": "local" }).to_string();
    EventRow { time, action: format!("volume {action}"), actor: name.to_owned(), attributes }
}

/// Makes the directory of a volume unless it is there.
fn make_directory(root: &Path, name: &str) -> Result<()> {
    let data = volume_data(root, name);
    let make = || {
        DirBuilder::new().mode(0o711).recursive(true).create(root.join("volumes").join(name))?;
        match DirBuilder::new().mode(0o755).create(&data) {
            Err(cause) if cause.kind() == io::ErrorKind::AlreadyExists => Ok(()),
            made => made,
        }
    };
    make().map_err(|cause| EngineError::file("creating", &data, cause))
}

/// One volume.
///
/// # Errors
/// `NotFound`.
pub async fn find_volume(store: &Store, root: &Path, name: &str) -> Result<VolumeInfo> {
    let txn = store.read().await?;
    let row = txn.volume(name).await?.ok_or_else(|| no_such_volume(name))?;
    info(&*txn, root, row).await
}

fn no_such_volume(name: &str) -> EngineError {
    EngineError::NotFound { message: format!("get {name}: no such volume") }
}

async fn info(txn: &dyn ReadTxn, root: &Path, row: VolumeRow) -> Result<VolumeInfo> {
    let links = txn.containers_of_volume(&row.name).await?.len();
    Ok(VolumeInfo {
        mountpoint: volume_data(root, &row.name),
        document: serde_json::from_str(&row.document).unwrap_or_default(),
        name: row.name,
        created: row.created,
        is_anonymous: row.is_anonymous,
        links,
    })
}

/// Which volumes are meant.
#[derive(Clone, Debug, Default)]
pub struct VolumeFilter {
    dangling: Option<bool>,
    names: Vec<String>,
    drivers: Vec<String>,
    labels: Labels,
}

impl VolumeFilter {
    /// Parses filters: `dangling`, `driver`, `label`, `name`.
    ///
    /// # Errors
    /// `Invalid` in docker's words.
    pub fn parse(filters: &[(String, String)]) -> Result<VolumeFilter> {
        let mut parsed = VolumeFilter::default();
        for (key, value) in filters {
            match key.as_str() {
                "dangling" => parsed.dangling = Some(crate::list::parse_bool(key, value)?),
                "name" => parsed.names.push(value.clone()),
                "driver" => parsed.drivers.push(value.clone()),
                "label" => parsed.labels.push(value, true),
                _ => return Err(EngineError::invalid(format!("invalid filter '{key}'"))),
            }
        }
        Ok(parsed)
    }

    fn accepts(&self, volume: &VolumeInfo) -> bool {
        let any = |wanted: &[String], fits: &dyn Fn(&String) -> bool| wanted.is_empty() || wanted.iter().any(fits);
        self.dangling.is_none_or(|dangling| dangling == (volume.links == 0))
            && any(&self.names, &|part| volume.name.contains(part.as_str()))
            && any(&self.drivers, &|driver| driver == "local")
            && self.labels.accept(&volume.document.labels.clone().unwrap_or_default())
    }
}

/// The volumes that a filter lets through, sorted by name.
///
/// # Errors
/// When the catalog cannot be read.
pub async fn list_volumes(store: &Store, root: &Path, filter: &VolumeFilter) -> Result<Vec<VolumeInfo>> {
    let txn = store.read().await?;
    let mut found = Vec::new();
    for row in txn.volumes().await? {
        let volume = info(&*txn, root, row).await?;
        if filter.accepts(&volume) {
            found.push(volume);
        }
    }
    Ok(found)
}

/// Removes a volume with its data.
///
/// # Errors
/// `NotFound`, unless `force` is given; `Refused` when a container uses it.
pub async fn remove_volume(store: &Store, root: &Path, name: &str, force: bool) -> Result<()> {
    let mut txn = store.write("removing a volume").await?;
    if txn.volume(name).await?.is_none() {
        return if force { Ok(()) } else { Err(no_such_volume(name)) };
    }
    let users = txn.containers_of_volume(name).await?;
    if !users.is_empty() {
        let ids: Vec<&str> = users.iter().map(|row| row.id.as_str()).collect();
        return Err(EngineError::Refused {
            message: format!("remove {name}: volume is in use - [{}]", ids.join(", ")),
        });
    }
    mark_removal(root, name)?;
    txn.delete_volume(name).await?;
    txn.insert_event(&volume_event(store.now(), "destroy", name)).await?;
    txn.commit().await?;
    fault::point("volume-forgotten");
    remove_data(root, name)
}

/// Says that somebody wanted the files of a volume to go.
fn mark_removal(root: &Path, name: &str) -> Result<()> {
    let mark = removal_mark(root, name);
    match fs::write(&mark, "") {
        Err(cause) if cause.kind() != io::ErrorKind::NotFound => Err(EngineError::file("creating", mark, cause)),
        _ => Ok(()),
    }
}

fn removal_mark(root: &Path, name: &str) -> PathBuf {
    root.join("volumes").join(name).join(".removing")
}

/// Removes what a removal that was cut off left of a volume; takes the mark away when the volume is still there.
pub(crate) async fn finish_removal(txn: &dyn ReadTxn, root: &Path, name: &str) -> Result<()> {
    let mark = removal_mark(root, name);
    if !mark.exists() {
        return Ok(());
    }
    match txn.volume(name).await? {
        None => remove_data(root, name),
        Some(_) => fs::remove_file(&mark).map_err(|cause| EngineError::file("removing", &mark, cause)),
    }
}

/// Removes the files of a volume that has no row any more, under another name, so that a new volume of this name never
/// meets a half-removed one.
fn remove_data(root: &Path, name: &str) -> Result<()> {
    let (directory, doomed) = (root.join("volumes").join(name), root.join("volumes").join(doomed_name(&random_id()?)));
    let failed = |cause: io::Error| EngineError::file("removing", &directory, cause);
    match fs::rename(&directory, &doomed) {
        Err(cause) if cause.kind() == io::ErrorKind::NotFound => return Ok(()),
        renamed => renamed.map_err(failed)?,
    }
    fs::remove_dir_all(&doomed).map_err(failed)
}

/// No volume has a name that begins with a dot.
fn doomed_name(id: &str) -> String {
    format!(".removed-{}", short_id(id))
}

/// Removes a container's anonymous volume that no other container uses.
pub(crate) async fn remove_if_anonymous(store: &Store, root: &Path, name: &str) -> Result<()> {
    let txn = store.read().await?;
    let is_anonymous = txn.volume(name).await?.is_some_and(|row| row.is_anonymous);
    let is_used = !txn.containers_of_volume(name).await?.is_empty();
    drop(txn);
    if is_anonymous && !is_used { remove_volume(store, root, name, true).await } else { Ok(()) }
}

/// What was removed.
#[derive(Clone, Debug, Default)]
pub struct PrunedVolumes {
    /// The names.
    pub names: Vec<String>,
    /// Bytes of their files.
    pub freed: u64,
}

/// Removes the volumes that no container uses: anonymous ones, with the filter `all=1` every one.
///
/// # Errors
/// `Invalid` for bad filters.
pub async fn prune_volumes(store: &Store, root: &Path, filters: &[(String, String)]) -> Result<PrunedVolumes> {
    let mut all = false;
    for (key, value) in filters {
        match key.as_str() {
            "all" => all = crate::list::parse_bool(key, value)?,
            "label" | "label!" => {}
            _ => return Err(EngineError::invalid(format!("invalid filter '{key}'"))),
        }
    }
    let filter = LabelFilter::parse(store, filters)?;
    for entry in fs::read_dir(root.join("volumes")).into_iter().flatten().flatten() {
        let name = entry.file_name().to_string_lossy().into_owned();
        match name.starts_with(".removed-") {
            true => drop(fs::remove_dir_all(entry.path())),
            false => finish_removal(&*store.read().await?, root, &name).await?,
        }
    }
    let mut pruned = PrunedVolumes::default();
    for volume in list_volumes(store, root, &VolumeFilter::default()).await? {
        let labels = volume.document.labels.clone().unwrap_or_default();
        if volume.links > 0 || !(all || volume.is_anonymous) || !filter.accepts(volume.created, &labels) {
            continue;
        }
        let size = crate::container::directory_size(&volume.mountpoint)?;
        match remove_volume(store, root, &volume.name, true).await {
            // A container has taken it meanwhile.
            Err(EngineError::Refused { .. }) => {}
            removed => {
                removed?;
                pruned.freed += size;
                pruned.names.push(volume.name);
            }
        }
    }
    Ok(pruned)
}
