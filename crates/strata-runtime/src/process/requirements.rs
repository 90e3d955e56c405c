//! What the OCI runtime specification (1.2) wants to be an error, found before anything is made: values that make no sense,
//! and what this runtime does not do. What it left out silently would be a container other than the one asked for.

use std::path::Path;

use oci_spec::runtime::{Hook, Linux, Process, Spec};

use crate::error::RuntimeError;

/// Refuses a configuration that cannot be met.
pub(super) fn checked(spec: Spec) -> Result<Spec, RuntimeError> {
    version(spec.version())?;
    for mount in spec.mounts().iter().flatten() {
        absolute("the destination of a mount", mount.destination())?;
        let is_mapped = |option: &String| matches!(option.as_str(), "idmap" | "ridmap");
        let mapped = mount.uid_mappings().is_some() || mount.gid_mappings().is_some();
        if mapped || mount.options().iter().flatten().any(is_mapped) {
            return Err(unsupported(&format!("mapped owners of the mount at {}", mount.destination().display())));
        }
    }
    hooks(&spec)?;
    spec.process().as_ref().map_or(Ok(()), process)?;
    spec.linux().as_ref().map_or(Ok(()), linux)?;
    Ok(spec)
}

/// ("Specification version": a version of Semantic Versioning 2.0, and one whose rules are known.)
fn version(version: &str) -> Result<(), RuntimeError> {
    let numbers: Vec<&str> = version.split(['-', '+']).next().unwrap_or_default().split('.').collect();
    let number = |text: &&str| !text.is_empty() && text.bytes().all(|byte| byte.is_ascii_digit());
    match numbers.as_slice() {
        ["1", rest @ ..] if rest.len() == 2 && rest.iter().all(number) => Ok(()),
        _ => Err(RuntimeError::Invalid(format!("the configuration's version {version:?} is not known: 1.0.0 to 1.2"))),
    }
}

fn process(process: &Process) -> Result<(), RuntimeError> {
    absolute("the working directory", process.cwd())?;
    let limits = process.rlimits().as_deref().unwrap_or_default();
    for (index, limit) in limits.iter().enumerate() {
        if limits[..index].iter().any(|other| other.typ() == limit.typ()) {
            return Err(RuntimeError::Invalid(format!("the limit {} is named twice", limit.typ())));
        }
    }
    match process.scheduler().is_some() || process.exec_cpu_affinity().is_some() {
        true => Err(unsupported("a scheduling policy")),
        false => Ok(()),
    }
}

fn linux(linux: &Linux) -> Result<(), RuntimeError> {
    for path in linux.masked_paths().iter().flatten().chain(linux.readonly_paths().iter().flatten()) {
        absolute("a masked or read-only path", Path::new(path))?;
    }
    for device in linux.devices().iter().flatten() {
        absolute("the path of a device", device.path())?;
    }
    for path in linux.namespaces().iter().flatten().filter_map(|namespace| namespace.path().as_deref()) {
        absolute("the path of a namespace", path)?;
    }
    let resources = linux.resources().as_ref();
    let of = |present: Option<bool>| present.unwrap_or(false);
    let missing = [
        ("limits of huge pages", of(resources.map(|all| all.hugepage_limits().iter().flatten().next().is_some()))),
        ("classes and priorities of network traffic", of(resources.map(|all| all.network().is_some()))),
        ("limits of RDMA", of(resources.map(|all| all.rdma().as_ref().is_some_and(|rdma| !rdma.is_empty())))),
        ("files of control groups (unified)", of(resources.map(|all| all.unified().iter().flatten().next().is_some()))),
        ("Intel RDT", linux.intel_rdt().is_some()),
        ("a memory policy", linux.memory_policy().is_some()),
        ("offsets of clocks", linux.time_offsets().as_ref().is_some_and(|offsets| !offsets.is_empty())),
        ("moving network devices", linux.net_devices().as_ref().is_some_and(|devices| !devices.is_empty())),
    ];
    missing.iter().find(|(_, asked)| *asked).map_or(Ok(()), |(what, _)| Err(unsupported(what)))
}

fn hooks(spec: &Spec) -> Result<(), RuntimeError> {
    let Some(hooks) = spec.hooks() else { return Ok(()) };
    // Deprecated, and still to be obeyed.
    #[allow(deprecated)]
    let lists = [
        hooks.prestart(),
        hooks.create_runtime(),
        hooks.create_container(),
        hooks.start_container(),
        hooks.poststart(),
        hooks.poststop(),
    ];
    lists.into_iter().flatten().flatten().try_for_each(hook)
}

fn hook(hook: &Hook) -> Result<(), RuntimeError> {
    absolute("the path of a hook", hook.path())?;
    match hook.timeout() {
        Some(..=0) => Err(RuntimeError::Invalid(format!("the hook {} has no time", hook.path().display()))),
        _ => Ok(()),
    }
}

fn absolute(what: &str, path: &Path) -> Result<(), RuntimeError> {
    match path.is_absolute() {
        true => Ok(()),
        false => Err(RuntimeError::Invalid(format!("{what} is not absolute: {:?}", path.display().to_string()))),
    }
}

fn unsupported(what: &str) -> RuntimeError {
    RuntimeError::Unsupported(format!("not supported by strata's runtime: {what} (another is named by --runtime)"))
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;
    use serde_json::{Value, json};

    use super::*;

    fn check(change: impl FnOnce(&mut Value)) -> Result<(), String> {
        let mut document = json!({
            "ociVersion": "1.0.2", "root": {"path": "rootfs"}, "mounts": [{"destination": "/proc", "type": "proc"}],
            "process": {"user": {"uid": 0, "gid": 0}, "args": ["true"], "cwd": "/"}, "linux": {}, "hooks": {},
        });
        change(&mut document);
        let spec = serde_json::from_value(document).map_err(|error| error.to_string())?;
        checked(spec).map(drop).map_err(|error| error.to_string())
    }

    #[test]
    fn what_must_be_an_error_is_one() {
        assert_eq!(check(|_| ()), Ok(()));
        for (pointer, value, expected) in [
            ("/ociVersion", json!("2.0.0"), "version"),
            ("/ociVersion", json!("one"), "version"),
            ("/ociVersion", json!("1.0"), "version"),
            ("/mounts/0/destination", json!("proc"), "the destination of a mount is not absolute"),
            ("/mounts/0/options", json!(["ridmap"]), "mapped owners"),
            ("/process/cwd", json!("work"), "the working directory is not absolute"),
            (
                "/process/rlimits",
                json!([{"type": "RLIMIT_CPU", "soft": 1, "hard": 1}, {"type": "RLIMIT_CPU", "soft": 2, "hard": 2}]),
                "RLIMIT_CPU is named twice",
            ),
            ("/process/rlimits", json!([{"type": "RLIMIT_NOTHING", "soft": 1, "hard": 1}]), "unknown variant"),
            ("/process/scheduler", json!({"policy": "SCHED_FIFO", "priority": 1}), "a scheduling policy"),
            ("/linux/maskedPaths", json!(["proc/kcore"]), "not absolute"),
            ("/linux/readonlyPaths", json!(["proc"]), "not absolute"),
            ("/linux/namespaces", json!([{"type": "network", "path": "ns"}]), "the path of a namespace"),
            ("/linux/namespaces", json!([{"type": "nothing"}]), "unknown variant"),
            ("/linux/devices", json!([{"path": "x", "type": "c", "major": 1, "minor": 3}]), "the path of a device"),
            ("/linux/intelRdt", json!({"closID": "guaranteed"}), "Intel RDT"),
            ("/linux/timeOffsets", json!({"boottime": {"secs": 1}}), "offsets of clocks"),
            ("/linux/resources", json!({"unified": {"memory.high": "1"}}), "unified"),
            ("/linux/resources", json!({"hugepageLimits": [{"pageSize": "2MB", "limit": 1}]}), "huge pages"),
            ("/linux/resources", json!({"rdma": {"mlx5_1": {"hcaHandles": 3}}}), "RDMA"),
            ("/linux/resources", json!({"network": {"classID": 1}}), "network traffic"),
            ("/hooks/poststart", json!([{"path": "true"}]), "the path of a hook is not absolute"),
            ("/hooks/createRuntime", json!([{"path": "/bin/true", "timeout": 0}]), "has no time"),
        ] {
            let result = check(|document| {
                let (parent, name) = pointer.rsplit_once('/').unwrap();
                match document.pointer_mut(parent).unwrap() {
                    Value::Array(values) => values[name.parse::<usize>().unwrap()] = value.clone(),
                    parent => parent[name] = value.clone(),
                }
            });
            assert!(result.as_ref().is_err_and(|error| error.contains(expected)), "{pointer} {value}: {result:?}");
        }
    }

    #[test]
    fn what_is_unknown_is_no_error() {
        let unknown = check(|document| {
            document["annotations"] = json!({"org.example.unknown": "x", "": "y"});
            document["nothing known"] = json!({"a": 1});
            document["linux"]["nothing known"] = json!([1]);
            document["ociVersion"] = json!("1.3.0-dev+a");
        });
        assert_eq!(unknown, Ok(()));
    }

    proptest! {
        #![proptest_config(ProptestConfig::with_cases(64))]

        #[test]
        fn any_version(text in ".{0,12}") {
            let _ = version(&text);
        }
    }
}
