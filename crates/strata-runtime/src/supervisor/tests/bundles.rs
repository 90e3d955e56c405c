//! Whole containers under the supervisor: made by this crate, and by runc out of the same bundle. On a machine without
//! runc only the first.

use std::fs;
use std::path::PathBuf;

use serde_json::json;
use strata_rootfs::{MountPlan, Step};

use super::{Container, all_streams, kill, private_memory, read_to_end};
use crate::cgroup::Cgroup;
use crate::supervisor::plan::{HealthCheck, Runtime, SupervisorPlan};
use crate::supervisor::{start, start_attached};

/// This crate's own runtime, and runc if it is there.
fn runtimes() -> Vec<Runtime> {
    let path = ["/usr/sbin/runc", "/usr/bin/runc"].map(PathBuf::from).into_iter().find(|path| path.exists());
    if path.is_none() {
        eprintln!("left out: no runc here");
    }
    [Runtime::Own].into_iter().chain(path.map(|path| Runtime::External { path })).collect()
}

/// A bundle whose root is this machine's, read-only.
fn container(runtime: &Runtime, script: &str, terminal: bool, change: impl FnOnce(&mut SupervisorPlan)) -> Container {
    let container = Container::with("", |plan| {
        plan.runtime = runtime.clone();
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
                    { "allow": true, "type": "c", "major": 136, "access": "rwm" },
                    { "allow": true, "type": "c", "major": 5, "minor": 2, "access": "rwm" },
                ],
            },
        },
    });
    fs::write(container.path().join("config.json"), config.to_string()).expect("written");
    container
}

#[test]
fn it_runs_ends_and_is_restarted() {
    for runtime in runtimes() {
        let container = container(&runtime, "echo out; echo err >&2; exit 3", false, |_| {});
        for _ in 0..2 {
            container.start();
            assert_eq!(container.until_ended().exit_code, 3);
            container.until("the lock is free", |_| !super::is_supervised(container.path()));
            assert!(container.is_clean());
        }
        assert_eq!(container.text().matches("out\n").count(), 2, "{runtime:?}");
        assert_eq!(container.text().matches("err\n").count(), 2, "{runtime:?}");
    }
}

#[test]
fn terminals() {
    for runtime in runtimes() {
        let script = "read line; echo got $line; stty size; exit 4";
        let container = container(&runtime, script, true, |plan| plan.open_stdin = true);
        let (_, mut stream) = start_attached(container.path(), all_streams()).expect("it starts");
        stream.resize(33, 77).expect("resized");
        stream.write_stdin(b"hello\n").expect("written");
        let (stdout, _, _, exit_code) = read_to_end(&mut stream);
        let text = String::from_utf8_lossy(&stdout);
        assert!(text.contains("got hello\r\n33 77\r\n"), "{runtime:?}: {text}");
        assert_eq!(exit_code, Some(4));
    }
}

#[test]
fn what_cannot_start_says_why() {
    for runtime in runtimes() {
        let container = container(&runtime, "", false, |_| {});
        let config = container.path().join("config.json");
        let text = fs::read_to_string(&config).expect("read").replace("/bin/sh", "/bin/no-such-program");
        fs::write(&config, text).expect("written");
        let error = start(container.path()).expect_err("it cannot start");
        assert_eq!(error.exit_code, 127, "{runtime:?}: {error}");
        assert!(container.is_clean());
    }
}

#[test]
fn a_killed_supervisor() {
    for runtime in runtimes() {
        let container = container(&runtime, "sleep 100", false, |_| {});
        container.start();
        let memory = private_memory(container.supervisor());
        eprintln!("private memory of a supervisor of {runtime:?}: {memory} KiB");
        assert!(memory < 5 << 10, "{memory} KiB");
        kill(container.supervisor());
        assert_eq!(container.until_ended().exit_code, 137);
        crate::clean(container.path()).expect("cleaned");
        assert!(container.is_clean(), "{runtime:?}");
        container.start();
    }
}

#[test]
fn probes_look_inside() {
    for runtime in runtimes() {
        let check = HealthCheck {
            test: ["sh", "-c", "readlink /proc/self/ns/pid"].map(str::to_owned).to_vec(),
            interval: 100_000_000,
            timeout: 10_000_000_000,
            start_period: 0,
            start_interval: 0,
            retries: 1,
        };
        let container = container(&runtime, "sleep 100", false, |plan| plan.health = Some(check));
        container.start();
        let state = container
            .until("it is looked at", |state| state.health.as_ref().is_some_and(|health| !health.log.is_empty()));
        let inside = fs::read_link(format!("/proc/{}/ns/pid", state.pid)).expect("a namespace");
        let health = state.health.expect("health");
        assert_eq!(health.log[0].output.trim(), inside.to_str().expect("UTF-8"), "{runtime:?}: {health:?}");
        container.control().stop(Some(9), None).expect("stopped");
    }
}

/// The hooks for the end are run once by who cleans up after a killed supervisor.
#[test]
fn cleaning_runs_hooks() {
    let container = container(&Runtime::Own, "sleep 100", false, |_| {});
    let config = container.path().join("config.json");
    let mut document: serde_json::Value =
        serde_json::from_slice(&fs::read(&config).expect("read")).expect("a configuration");
    let ran = container.path().join("ran");
    let script = format!("cat >/dev/null; echo ran >>{}", ran.display());
    document["hooks"] = json!({ "poststop": [{ "path": "/bin/sh", "args": ["sh", "-c", script] }] });
    fs::write(&config, document.to_string()).expect("written");
    container.start();
    kill(container.supervisor());
    container.until_ended();
    for _ in 0..2 {
        crate::clean(container.path()).expect("cleaned");
        assert_eq!(fs::read_to_string(&ran).expect("the hook ran"), "ran\n");
    }
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

/// What both runtimes made of the same configuration. runc allows some devices to every container, as `/dev/zero`; our
/// configurations name them.
#[test]
fn our_limits_are_those_of_runc() {
    let found: Vec<Vec<(String, String)>> = runtimes()
        .iter()
        .map(|runtime| {
            let container = container(runtime, "sleep 100", false, |_| {});
            assert_eq!(container.start().warnings, []);
            values(&Cgroup::open(&container.record().cgroup).expect("groups are read"))
        })
        .collect();
    assert!(found[0].len() > 8, "{:?}", found[0]);
    let limits = |values: &[(String, String)]| -> Vec<(String, String)> {
        values.iter().filter(|(file, _)| file != "devices.list").cloned().collect()
    };
    for other in &found[1..] {
        assert_eq!(limits(&found[0]), limits(other));
    }
}
