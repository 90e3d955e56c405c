//! Containers of runc under our supervisor. On a machine without it these tests say so and end.

use std::fs;
use std::path::{Path, PathBuf};

use serde_json::json;
use strata_rootfs::{MountPlan, Step};

use super::{Container, all_streams, kill, read_to_end};
use crate::cgroup::{Cgroup, Limits, Warning};
use crate::supervisor::plan::{Runtime, SupervisorPlan};
use crate::supervisor::{start, start_attached};

/// A bundle whose root is this machine's, read-only.
fn container(script: &str, terminal: bool, change: impl FnOnce(&mut SupervisorPlan)) -> Option<Container> {
    let path = ["/usr/sbin/runc", "/usr/bin/runc"].map(PathBuf::from).into_iter().find(|path| path.exists());
    let Some(path) = path else {
        eprintln!("left out: no runc here");
        return None;
    };
    let container = Container::with("", |plan| {
        plan.runtime = Runtime::External { path };
        plan.terminal = terminal;
        change(plan);
    });
    let root = container.path().join("rootfs");
    fs::create_dir(&root).expect("made");
    let mut plan = SupervisorPlan::read(container.path()).expect("a plan");
    plan.mount = MountPlan { steps: vec![Step::Bind { source: "/".into(), target: root, read_only: true }] };
    fs::write(container.path().join("supervisor.json"), serde_json::to_vec(&plan).expect("JSON")).expect("written");
    let namespaces: Vec<_> = ["pid", "mount", "ipc", "uts"].map(|kind| json!({ "type": kind })).to_vec();
    let config = json!({
        "ociVersion": "1.0.2",
        "process": {
            "terminal": terminal,
            "user": { "uid": 0, "gid": 0 },
            "args": ["/bin/sh", "-c", script],
            "env": ["PATH=/usr/sbin:/usr/bin:/sbin:/bin"],
            "cwd": "/",
        },
        "root": { "path": "rootfs", "readonly": true },
        "mounts": [
            { "destination": "/proc", "type": "proc", "source": "proc" },
            { "destination": "/dev", "type": "tmpfs", "source": "tmpfs", "options": ["nosuid", "mode=755"] },
            { "destination": "/dev/pts", "type": "devpts", "source": "devpts", "options": ["newinstance", "ptmxmode=0666"] },
        ],
        "linux": {
            "cgroupsPath": Cgroup::path(plan.cgroup_parent.as_deref(), &plan.container),
            "namespaces": namespaces,
            "resources": {
                "memory": { "limit": 67_108_864, "swap": 100_663_296, "reservation": 33_554_432 },
                "cpu": { "shares": 512, "quota": 50_000, "period": 100_000, "cpus": "0" },
                "pids": { "limit": 20 },
                "devices": [
                    { "allow": false, "access": "rwm" },
                    { "allow": true, "type": "c", "major": 1, "minor": 3, "access": "rwm" },
                ],
            },
        },
    });
    fs::write(container.path().join("config.json"), config.to_string()).expect("written");
    Some(container)
}

#[test]
fn it_runs_ends_and_is_restarted() {
    let Some(container) = container("echo out; echo err >&2; exit 3", false, |_| {}) else { return };
    for _ in 0..2 {
        container.start();
        assert_eq!(container.until_ended().exit_code, 3);
        container.until("the lock is free", |_| !super::is_supervised(container.path()));
        assert!(container.is_clean());
    }
    assert_eq!(container.text().matches("out\n").count(), 2);
    assert_eq!(container.text().matches("err\n").count(), 2);
}

#[test]
fn a_terminal_of_runc() {
    let Some(container) =
        container("stty size; read line; echo got $line; exit 4", true, |plan| plan.open_stdin = true)
    else {
        return;
    };
    let (_, mut stream) = start_attached(container.path(), all_streams()).expect("it starts");
    stream.write_stdin(b"hello\n").expect("written");
    let (stdout, _, _, exit_code) = read_to_end(&mut stream);
    assert!(String::from_utf8_lossy(&stdout).contains("got hello\r\n"), "{}", String::from_utf8_lossy(&stdout));
    assert_eq!(exit_code, Some(4));
}

#[test]
fn what_runc_cannot_start_says_why() {
    let Some(container) = container("", false, |_| {}) else { return };
    let config = container.path().join("config.json");
    let text = fs::read_to_string(&config).expect("read").replace("/bin/sh", "/bin/no-such-program");
    fs::write(&config, text).expect("written");
    let error = start(container.path()).expect_err("it cannot start");
    assert_eq!(error.exit_code, 127, "{error}");
    assert!(container.is_clean());
}

#[test]
fn a_supervisor_of_runc_that_is_killed() {
    let Some(container) = container("sleep 100", false, |_| {}) else { return };
    container.start();
    kill(container.supervisor());
    assert_eq!(container.until_ended().exit_code, 137);
    crate::clean(container.path()).expect("cleaned");
    assert!(container.is_clean());
    container.start();
}

/// What the files of groups say: one value for each file of limits.
fn values(cgroup: &Cgroup) -> Vec<(String, String)> {
    let files = [
        "memory.limit_in_bytes",
        "memory.memsw.limit_in_bytes",
        "memory.soft_limit_in_bytes",
        "memory.max",
        "memory.swap.max",
        "memory.low",
        "cpu.shares",
        "cpu.cfs_quota_us",
        "cpu.cfs_period_us",
        "cpu.max",
        "cpu.weight",
        "cpuset.cpus",
        "cpuset.mems",
        "pids.max",
        "devices.list",
    ];
    let mut found = Vec::new();
    for directory in cgroup.directories() {
        for file in files {
            if let Ok(text) = fs::read_to_string(directory.join(file)) {
                found.push((file.to_owned(), text));
            }
        }
    }
    found.sort();
    found
}

/// runc allows some devices to every container, as `/dev/zero`; our configurations name them.
fn without_devices(values: Vec<(String, String)>) -> Vec<(String, String)> {
    values.into_iter().filter(|(file, _)| file != "devices.list").collect()
}

#[test]
fn our_limits_are_those_of_runc() {
    let Some(container) = container("sleep 100", false, |_| {}) else { return };
    container.start();
    let theirs = Cgroup::open(&container.record().cgroup).expect("groups are read");
    let config = Path::new(container.path()).join("config.json");
    let spec = oci_spec::runtime::Spec::load(config).expect("a configuration");
    let limits: Limits = spec.linux().as_ref().and_then(|linux| linux.resources().as_ref()).expect("limits").into();
    let path = format!("/strata-tests/beside-{}", std::process::id());
    let (ours, warnings) = Cgroup::create(&path).expect("groups are made");
    assert_eq!(warnings, Vec::<Warning>::new());
    let set = ours.set(&limits);
    let values = (values(&ours), values(&theirs));
    ours.remove().expect("removed");
    assert_eq!(set.expect("limits are set"), Vec::<Warning>::new());
    assert!(values.0.len() > 8, "{:?}", values.0);
    assert_eq!(without_devices(values.0), without_devices(values.1));
}
