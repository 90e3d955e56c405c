//! Which users of the machine those of a user namespace are.

use std::fs;
use std::path::Path;
use std::process::{Command, Stdio};

use oci_spec::runtime::{LinuxIdMapping, LinuxIdMappingBuilder};
use rustix::process::{getegid, geteuid, getgid, getuid};

use crate::error::RuntimeError;

/// Writes the maps of the user namespace of `process`: directly, or through `newuidmap` and `newgidmap`, which may give a
/// user what `/etc/subuid` and `/etc/subgid` say.
pub(super) fn write(process: u32, users: &[LinuxIdMapping], groups: &[LinuxIdMapping]) -> Result<(), RuntimeError> {
    for (file, program, maps) in [("uid_map", "newuidmap", users), ("gid_map", "newgidmap", groups)] {
        if maps.is_empty() {
            return Err(RuntimeError::Invalid("a new user namespace needs ID mappings".to_owned()));
        }
        let path = format!("/proc/{process}/{file}");
        let own = if file == "uid_map" { geteuid().as_raw() } else { getegid().as_raw() };
        let only_own = matches!(maps, [map] if map.size() == 1 && map.host_id() == own);
        if !geteuid().is_root() && !only_own {
            give(program, process, maps)?;
            continue;
        }
        if file == "gid_map" && !geteuid().is_root() {
            // Without it a group could be left that denies something.
            let path = format!("/proc/{process}/setgroups");
            fs::write(&path, "deny").map_err(|cause| RuntimeError::system(format!("writing {path}"), cause))?;
        }
        fs::write(&path, text(maps)).map_err(|cause| RuntimeError::system(format!("writing {path}"), cause))?;
    }
    Ok(())
}

fn text(maps: &[LinuxIdMapping]) -> String {
    maps.iter().map(|map| format!("{} {} {}\n", map.container_id(), map.host_id(), map.size())).collect()
}

fn give(program: &str, process: u32, maps: &[LinuxIdMapping]) -> Result<(), RuntimeError> {
    let mut command = Command::new(program);
    command.arg(process.to_string()).stdin(Stdio::null()).stdout(Stdio::null());
    for map in maps {
        command.args([map.container_id(), map.host_id(), map.size()].map(|number| number.to_string()));
    }
    let output = command.output().map_err(|cause| {
        RuntimeError::Unsupported(format!("running {program} (package uidmap, or shadow-utils): {cause}"))
    })?;
    if !output.status.success() {
        let said = String::from_utf8_lossy(&output.stderr);
        return Err(RuntimeError::Unsupported(format!("{program}: {}", said.trim())));
    }
    Ok(())
}

/// The maps for a user without privileges: root inside is the user, the others are the user's subordinate IDs; only the
/// own one when there are none.
pub fn rootless_maps() -> (Vec<LinuxIdMapping>, Vec<LinuxIdMapping>) {
    let names = user_names(getuid().as_raw());
    let maps = |own, file| {
        let text = fs::read_to_string(file).unwrap_or_default();
        let mut maps = vec![map(0, own, 1)];
        let mut next = 1;
        for (start, count) in subordinate(&text, &names) {
            maps.push(map(next, start, count));
            next += count;
        }
        maps
    };
    (maps(getuid().as_raw(), "/etc/subuid"), maps(getgid().as_raw(), "/etc/subgid"))
}

fn map(container: u32, host: u32, size: u32) -> LinuxIdMapping {
    let builder = LinuxIdMappingBuilder::default().container_id(container).host_id(host).size(size);
    builder.build().unwrap_or_default()
}

/// The user's number and name: `/etc/subuid` has either.
fn user_names(uid: u32) -> Vec<String> {
    let text = fs::read_to_string(Path::new("/etc/passwd")).unwrap_or_default();
    let name = text.lines().find_map(|line| {
        let mut fields = line.split(':');
        let name = fields.next()?;
        (fields.nth(1)?.parse() == Ok(uid)).then(|| name.to_owned())
    });
    [Some(uid.to_string()), name].into_iter().flatten().collect()
}

/// The ranges `(first, count)` of a user in `/etc/subuid`.
fn subordinate(text: &str, names: &[String]) -> Vec<(u32, u32)> {
    let ranges = text.lines().filter_map(|line| {
        let mut fields = line.trim().split(':');
        let (name, first, count) = (fields.next()?, fields.next()?.parse().ok()?, fields.next()?.parse::<u32>().ok()?);
        (names.iter().any(|own| own == name) && count > 0 && u32::checked_add(first, count).is_some())
            .then_some((first, count))
    });
    let mut total: u32 = 1;
    ranges
        .take_while(|(_, count)| {
            total = total.saturating_add(*count);
            total != u32::MAX
        })
        .collect()
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    #[test]
    fn ranges() {
        let text = "alice:100000:65536\nbob:165536:65536\n1000:300000:10\nalice:x:1\nalice:4294967295:5\nalice:5:0\n";
        let names = ["1000".to_owned(), "alice".to_owned()];
        assert_eq!(subordinate(text, &names), [(100_000, 65_536), (300_000, 10)]);
        assert_eq!(subordinate("", &names), []);
        assert_eq!(super::text(&[map(0, 1000, 1), map(1, 100_000, 65_536)]), "0 1000 1\n1 100000 65536\n");
    }

    proptest! {
        #![proptest_config(ProptestConfig::with_cases(64))]

        #[test]
        fn any_text(text in "([a-z]{0,3}:[0-9]{0,10}:[0-9]{0,10}\n){0,6}", name in "[a-z]{0,3}") {
            let ranges = subordinate(&text, &[name]);
            let sum: u64 = ranges.iter().map(|(_, count)| u64::from(*count)).sum();
            prop_assert!(sum < u64::from(u32::MAX));
        }
    }
}
