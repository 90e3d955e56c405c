//! What is mounted in a container: binds, volumes, memory file systems, and what other containers mount.

use std::collections::BTreeMap;
use std::path::Path;

use strata_store::{ReadTxn, VolumeRow};

use super::document::{ContainerDocument, HostConfig, MountPoint, MountRequest, Set, VolumeOptions};
use super::find::find_ready;
use crate::volume::{VolumeDocument, check_volume_options, volume_data, volume_name_error};
use crate::{EngineError, Result};

/// How mounts spread.
const PROPAGATIONS: [&str; 6] = ["shared", "rshared", "slave", "rslave", "private", "rprivate"];

/// What a new container mounts, and the volumes that are made for it.
#[derive(Default)]
pub(super) struct PlannedMounts {
    pub(super) points: Vec<MountPoint>,
    /// How many of them, the first ones, are those of other containers.
    pub(super) inherited: usize,
    pub(super) new_volumes: Vec<VolumeRow>,
}

impl PlannedMounts {
    /// The volumes among them, sorted.
    pub(super) fn volumes(&self) -> Vec<String> {
        let mut names: Vec<String> =
            self.points.iter().filter(|point| point.kind == "volume").map(|point| point.name.clone()).collect();
        names.sort();
        names.dedup();
        names
    }
}

/// Decides about all mounts, in docker's order: those of other containers, binds, the long form, memory, and volumes for
/// the paths of the configuration that nothing else is mounted on.
pub(super) async fn plan(
    txn: &dyn ReadTxn,
    root: &Path,
    host: &HostConfig,
    volumes: Option<&Set>,
    now: i64,
) -> Result<PlannedMounts> {
    let mut planned = PlannedMounts::default();
    let mut inherited = Vec::new();
    for text in host.volumes_from.iter().flatten() {
        inherited.extend(of_container(txn, text).await?);
    }
    let mut own = Vec::new();
    for bind in host.binds.iter().flatten() {
        own.push(parse_bind(root, bind)?);
    }
    let mut options_of = BTreeMap::new();
    for request in host.mounts.iter().flatten() {
        let point = from_request(root, request)?;
        if let Some(options) = &request.volume_options {
            options_of.insert(point.destination.clone(), options.clone());
        }
        own.push(point);
    }
    for (target, options) in host.tmpfs.iter().flatten() {
        own.push(MountPoint {
            kind: "tmpfs".into(),
            destination: clean(target)?,
            mode: options.clone(),
            rw: !options.split(',').any(|option| option == "ro"),
            ..MountPoint::default()
        });
    }
    for (position, point) in own.iter().enumerate() {
        if own[..position].iter().any(|other| other.destination == point.destination) {
            return Err(EngineError::invalid(format!("Duplicate mount point: {}", point.destination)));
        }
    }
    let is_free = |points: &[MountPoint], destination: &str| points.iter().all(|p| p.destination != destination);
    inherited.retain(|point| is_free(&own, &point.destination));
    planned.inherited = inherited.len();
    planned.points.extend(inherited);
    planned.points.extend(own);
    for target in volumes.into_iter().flat_map(|set| set.keys()) {
        let destination = clean(target)?;
        if is_free(&planned.points, &destination) {
            planned.points.push(volume_point(root, String::new(), destination, "", true));
        }
    }
    for point in planned.points.iter_mut().filter(|point| point.kind == "volume") {
        let is_anonymous = point.name.is_empty();
        if is_anonymous {
            point.name = super::random_id()?;
            point.source = volume_data(root, &point.name).display().to_string();
        }
        if is_anonymous || txn.volume(&point.name).await?.is_none() {
            let document = new_volume(&point.name, options_of.remove(&point.destination))?;
            planned.new_volumes.push(document.row(&point.name, is_anonymous, now));
        }
    }
    Ok(planned)
}

/// The document of a volume that is made for a container.
fn new_volume(name: &str, options: Option<VolumeOptions>) -> Result<VolumeDocument> {
    let options = options.unwrap_or_default();
    let driver = options.driver_config.unwrap_or_default();
    if !matches!(driver.name.as_str(), "" | "local") {
        let plugin = driver.name;
        let message = format!("create {name}: error looking up volume plugin {plugin}: plugin {plugin:?} not found");
        return Err(EngineError::NotFound { message });
    }
    check_volume_options(name, &driver.options)?;
    Ok(VolumeDocument {
        labels: Some(options.labels).filter(|labels| !labels.is_empty()),
        options: Some(driver.options).filter(|options| !options.is_empty()),
    })
}

/// The mounts of another container, `NAME[:ro|rw]`.
async fn of_container(txn: &dyn ReadTxn, text: &str) -> Result<Vec<MountPoint>> {
    let (name, mode) = text.split_once(':').unwrap_or((text, "rw"));
    let rw = match mode {
        "ro" => false,
        "rw" | "z" | "Z" => true,
        _ => return Err(EngineError::invalid(format!("invalid mode for volumes-from: {mode}"))),
    };
    let document = ContainerDocument::parse(&find_ready(txn, name).await?)?;
    let points = document.mounts.into_iter().filter(|point| point.kind != "tmpfs");
    Ok(points.map(|point| MountPoint { rw: point.rw && rw, ..point }).collect())
}

/// `source:destination[:options]`.
fn parse_bind(root: &Path, text: &str) -> Result<MountPoint> {
    let invalid = |cause: &str| EngineError::invalid(format!("invalid volume specification: '{text}'{cause}"));
    let parts: Vec<&str> = text.split(':').collect();
    let (source, destination, mode) = match parts.as_slice() {
        [source, destination] => (*source, *destination, ""),
        [source, destination, mode] => (*source, *destination, *mode),
        _ => return Err(invalid("")),
    };
    if source.is_empty() || destination.is_empty() {
        return Err(invalid(""));
    }
    if !destination.starts_with('/') {
        let kind = if source.starts_with('/') { "bind" } else { "volume" };
        let cause = format!("invalid mount path: '{destination}' mount path must be absolute");
        return Err(invalid(&format!(": invalid mount config for type {kind:?}: {cause}")));
    }
    let destination = clean(destination)?;
    if destination == "/" {
        return Err(invalid(": invalid mount config: destination can't be '/'"));
    }
    let mut rw = true;
    let mut propagation = "";
    for option in mode.split(',').filter(|option| !option.is_empty()) {
        match option {
            "ro" => rw = false,
            "rw" | "z" | "Z" | "nocopy" | "cached" | "delegated" | "consistent" => {}
            _ if PROPAGATIONS.contains(&option) => propagation = option,
            _ => return Err(EngineError::invalid(format!("invalid mode: {option}"))),
        }
    }
    if source.starts_with('/') {
        let propagation = if propagation.is_empty() { "rprivate" } else { propagation };
        return Ok(MountPoint {
            kind: "bind".into(),
            source: clean(source)?,
            destination,
            mode: mode.into(),
            rw,
            propagation: propagation.into(),
            ..MountPoint::default()
        });
    }
    if let Some(error) = volume_name_error(source) {
        return Err(error);
    }
    Ok(volume_point(root, source.into(), destination, if mode.is_empty() { "z" } else { mode }, rw))
}

fn from_request(root: &Path, request: &MountRequest) -> Result<MountPoint> {
    let invalid =
        |cause: String| EngineError::invalid(format!("invalid mount config for type {:?}: {cause}", request.kind));
    if request.target.is_empty() {
        return Err(invalid("field Target must not be empty".into()));
    }
    if !request.target.starts_with('/') {
        return Err(invalid(format!("invalid mount path: '{}' mount path must be absolute", request.target)));
    }
    let destination = clean(&request.target)?;
    if destination == "/" {
        return Err(invalid("invalid specification: destination can't be '/'".into()));
    }
    let rw = !request.read_only;
    match request.kind.as_str() {
        "bind" => {
            if !request.source.starts_with('/') {
                return Err(invalid(match request.source.is_empty() {
                    true => "field Source must not be empty".into(),
                    false => format!("invalid mount path: '{}' mount path must be absolute", request.source),
                }));
            }
            let options = request.bind_options.clone().unwrap_or_default();
            if !options.create_mountpoint && !Path::new(&request.source).exists() {
                return Err(invalid(format!("bind source path does not exist: {}", request.source)));
            }
            let propagation = if options.propagation.is_empty() { "rprivate".into() } else { options.propagation };
            if !PROPAGATIONS.contains(&propagation.as_str()) {
                return Err(invalid(format!("invalid propagation mode: {propagation}")));
            }
            let source = clean(&request.source)?;
            Ok(MountPoint { kind: "bind".into(), source, destination, rw, propagation, ..MountPoint::default() })
        }
        "volume" => {
            if let Some(error) = volume_name_error(&request.source).filter(|_| !request.source.is_empty()) {
                return Err(error);
            }
            let no_copy = request.volume_options.as_ref().is_some_and(|options| options.no_copy);
            let mode = if no_copy { "nocopy" } else { "z" };
            Ok(volume_point(root, request.source.clone(), destination, mode, rw))
        }
        "tmpfs" => {
            if !request.source.is_empty() {
                return Err(invalid("field Source must not be specified".into()));
            }
            let options = request.tmpfs_options.clone().unwrap_or_default();
            let mut mode = Vec::new();
            if options.size_bytes > 0 {
                mode.push(format!("size={}", options.size_bytes));
            }
            if options.mode > 0 {
                mode.push(format!("mode={:o}", options.mode));
            }
            let mode = mode.join(",");
            Ok(MountPoint { kind: "tmpfs".into(), destination, mode, rw, ..MountPoint::default() })
        }
        _ => Err(invalid("mount type unknown".into())),
    }
}

fn volume_point(root: &Path, name: String, destination: String, mode: &str, rw: bool) -> MountPoint {
    MountPoint {
        kind: "volume".into(),
        source: volume_data(root, &name).display().to_string(),
        name,
        destination,
        driver: "local".into(),
        mode: mode.into(),
        rw,
        ..MountPoint::default()
    }
}

/// An absolute path without `.`, `..` and doubled slashes, as Go's `path.Clean` leaves it.
pub(super) fn clean(path: &str) -> Result<String> {
    if path.contains('\0') {
        return Err(EngineError::invalid(format!("invalid path: {path:?}")));
    }
    Ok(super::paths::clean(path))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn short_forms() {
        let root = Path::new("/store");
        // Specification; kind, name, source, destination, whether it is writable.
        let cases = [
            ("/a:/b", ("bind", "", "/a", "/b", true)),
            ("/a/../c/:/b/./d:ro", ("bind", "", "/c", "/b/d", false)),
            ("data:/b", ("volume", "data", "/store/volumes/data/_data", "/b", true)),
            ("data:/b:ro,nocopy", ("volume", "data", "/store/volumes/data/_data", "/b", false)),
        ];
        for (text, expected) in cases {
            let point = parse_bind(root, text).unwrap();
            let found = (&*point.kind, &*point.name, &*point.source, &*point.destination, point.rw);
            assert_eq!(found, expected, "{text}");
        }
        for text in ["/a", "/a:b", ":/b", "/a:/", "/a:/b:what", "/a:/b:ro:rw", "da ta:/b"] {
            assert!(parse_bind(root, text).is_err(), "{text}");
        }
    }
}
