//! Options of the driver `local`: where the files of a volume lie. By default in the store; with `type=none`, `o=bind` and
//! `device=PATH` in a directory of the machine. Docker mounts file systems of other types for as long as a container uses the
//! volume; without a daemon nobody would take such a mount away again, so that they are refused.

use std::collections::BTreeMap;
use std::path::{Path, PathBuf};

use strata_store::{ReadTxn, VolumeRow};

use super::{VolumeDocument, volume_data};
use crate::container::ContainerDocument;
use crate::{EngineError, Result};

/// Checks the options of a new volume.
///
/// # Errors
/// `Invalid` in docker's words; `Unsupported` for file systems that docker would mount.
pub(crate) fn check(name: &str, options: &BTreeMap<String, String>) -> Result<()> {
    let invalid = |what: String| Err(EngineError::invalid(format!("create {name}: {what}")));
    for option in options.keys() {
        if !matches!(option.as_str(), "type" | "o" | "device") {
            return invalid(format!("invalid option: {option:?}"));
        }
    }
    for (option, needs) in [("type", "device"), ("device", "type"), ("o", "device"), ("o", "type")] {
        if options.contains_key(option) && !options.contains_key(needs) {
            return invalid(format!("missing required option: {needs:?}"));
        }
    }
    let refused = |message: String, hint: &str| {
        Err(EngineError::Unsupported { message: format!("create {name}: {message}"), hint: Some(hint.to_owned()) })
    };
    let Some(kind) = options.get("type").map(String::as_str) else { return Ok(()) };
    let flags: Vec<&str> = options.get("o").map(|flags| flags.split(',').collect()).unwrap_or_default();
    if kind == "tmpfs" {
        return refused("volumes in memory are not supported".into(), "use --tmpfs or --mount type=tmpfs");
    }
    if !matches!(kind, "none" | "bind" | "") || !flags.iter().any(|flag| matches!(*flag, "bind" | "rbind")) {
        let hint = "mount it on this machine, and bind it: type=none, o=bind, device=DIRECTORY";
        return refused(format!("volumes of type {kind:?} are not mounted by Strata"), hint);
    }
    if let Some(flag) = flags.iter().find(|flag| !matches!(**flag, "bind" | "rbind" | "rw" | "ro")) {
        return refused(format!("mount option {flag:?} is not supported"), "rw and ro are");
    }
    if !options.get("device").is_some_and(|device| device.starts_with('/')) {
        return invalid("the device of a bound volume must be an absolute path".into());
    }
    Ok(())
}

/// Where the files of a volume lie, and whether it may be written.
fn place(root: &Path, row: &VolumeRow) -> (PathBuf, bool) {
    let document: VolumeDocument = serde_json::from_str(&row.document).unwrap_or_default();
    let options = document.options.unwrap_or_default();
    match options.get("device") {
        Some(device) => {
            let is_read_only = options.get("o").is_some_and(|flags| flags.split(',').any(|flag| flag == "ro"));
            (device.into(), !is_read_only)
        }
        None => (volume_data(root, &row.name), true),
    }
}

/// The settings of a container with the places where its volumes really are.
///
/// # Errors
/// `Invalid` in docker's words when the directory of a bound volume is not there.
pub(crate) async fn with_real_sources(
    txn: &dyn ReadTxn,
    root: &Path,
    document: &ContainerDocument,
) -> Result<ContainerDocument> {
    let mut document = document.clone();
    for point in document.mounts.iter_mut().filter(|point| point.kind == "volume") {
        let Some(row) = txn.volume(&point.name).await? else { continue };
        let (source, rw) = place(root, &row);
        let data = volume_data(root, &row.name);
        if source != data && !source.is_dir() {
            return Err(EngineError::invalid(format!(
                "error while mounting volume '{data}': failed to mount local volume: mount {source}:{data}, flags: 0x1000: \
                 no such file or directory",
                data = data.display(),
                source = source.display()
            )));
        }
        point.source = source.display().to_string();
        point.rw &= rw;
    }
    Ok(document)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn options_of_volumes() {
        let cases = [
            ("", ""),
            ("type=none device=/x o=bind", ""),
            ("type=none device=/x o=bind,ro", ""),
            ("what=1", "create v: invalid option: \"what\""),
            ("type=none", "create v: missing required option: \"device\""),
            ("device=/x", "create v: missing required option: \"type\""),
            ("o=bind", "create v: missing required option: \"device\""),
            ("type=tmpfs device=tmpfs", "create v: volumes in memory are not supported"),
            ("type=nfs device=:/x o=addr=1.2.3.4", "create v: volumes of type \"nfs\" are not mounted by Strata"),
            ("type=none device=/x", "create v: volumes of type \"none\" are not mounted by Strata"),
            ("type=none device=x o=bind", "create v: the device of a bound volume must be an absolute path"),
            ("type=none device=/x o=bind,noatime", "create v: mount option \"noatime\" is not supported"),
        ];
        for (text, told) in cases {
            let options = text.split_whitespace().filter_map(|word| word.split_once('='));
            let options = options.map(|(key, value)| (key.to_owned(), value.to_owned())).collect();
            let found = check("v", &options).err().map(|error| error.to_string()).unwrap_or_default();
            assert_eq!(found, told, "{text}");
        }
    }
}
