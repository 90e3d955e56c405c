//! Real groups of this machine. Without the privilege to make any, the tests say so and end.

use std::process::{Child, Command, Stdio};

use super::*;

fn group(name: &str) -> Option<Cgroup> {
    let path = Cgroup::path(Some("strata-tests"), &format!("{name}-{}", std::process::id()));
    let (cgroup, warnings) = Cgroup::create(&path).expect("the machine's groups are read");
    if !warnings.is_empty() {
        eprintln!("left out: {warnings:?}");
        return None;
    }
    assert!(!cgroup.is_empty());
    Some(cgroup)
}

fn child(cgroup: &mut Cgroup, script: &str) -> Child {
    // It waits until it is in the group.
    let mut command = Command::new("sh");
    let mut child = command
        .args(["-c", &format!("read go; {script}")])
        .stdin(Stdio::piped())
        .stdout(Stdio::piped())
        .stderr(Stdio::null())
        .spawn()
        .expect("sh");
    assert_eq!(cgroup.add(child.id()).expect("a process is added"), []);
    drop(child.stdin.take().map(|mut stdin| std::io::Write::write_all(&mut stdin, b"\n")));
    child
}

#[test]
fn paths_stay_inside() {
    for bad in ["", "/", "../x", "/a/../b", "a\0b"] {
        assert!(clean(bad).is_err(), "{bad:?}");
    }
    assert_eq!(clean("/a//./b/").unwrap(), Path::new("a/b"));
    assert_eq!(Cgroup::path(None, "c"), "/strata/c");
    assert_eq!(Cgroup::path(Some("/x/y/"), "c"), "/x/y/c");
}

#[test]
fn limits_are_set_and_seen() {
    let Some(cgroup) = group("limits") else { return };
    let limits = Limits {
        memory: Some(64 << 20),
        memory_and_swap: Some(96 << 20),
        memory_reservation: Some(32 << 20),
        cpu_shares: Some(512),
        cpu_quota: Some(50_000),
        cpu_period: Some(100_000),
        cpuset_cpus: Some("0".to_owned()),
        pids: Some(20),
        ..Limits::default()
    };
    let warnings = cgroup.set(&limits).expect("limits are set");
    assert_eq!(warnings, []);
    let statistics = cgroup.statistics();
    assert_eq!(statistics.memory.expect("memory is counted").limit, Some(64 << 20));
    assert_eq!(statistics.pids.expect("processes are counted").limit, Some(20));
    // Lower and higher again: the order of both files must not matter.
    for memory in [16 << 20, 256 << 20] {
        let limits = Limits { memory: Some(memory), memory_and_swap: Some(memory), ..Limits::default() };
        assert_eq!(cgroup.set(&limits).expect("limits are changed"), []);
        let statistics = cgroup.statistics();
        assert_eq!(statistics.memory.expect("memory is counted").limit, Some(memory.cast_unsigned()));
    }
    let refused = cgroup.set(&Limits { cpuset_cpus: Some("7000".to_owned()), ..Limits::default() });
    assert!(refused.is_err());
    cgroup.remove().expect("groups are removed");
    cgroup.remove().expect("removal is repeatable");
}

#[test]
fn processes_are_frozen_counted_and_killed() {
    let Some(mut cgroup) = group("freeze") else { return };
    let mut child = child(&mut cgroup, "sleep 100 & sleep 100");
    let began = Instant::now();
    while cgroup.processes().len() < 3 {
        assert!(began.elapsed() < PATIENCE, "{:?}", cgroup.processes());
        thread::sleep(Duration::from_millis(5));
    }
    cgroup.freeze().expect("frozen");
    cgroup.thaw().expect("thawed");
    cgroup.freeze().expect("frozen again");
    assert!(cgroup.processes().contains(&child.id()));
    assert_eq!(cgroup.statistics().pids.expect("processes are counted").current, 3);
    // Frozen processes die as well.
    cgroup.kill();
    let status = child.wait().expect("the child ends");
    assert!(!status.success());
    cgroup.remove().expect("groups are removed");
    assert!(cgroup.processes().is_empty());
}

#[test]
fn removal_kills_and_takes_inner_groups() {
    let Some(mut cgroup) = group("remove") else { return };
    for place in &cgroup.places {
        fs::create_dir(place.directory.join("inner")).expect("an inner group");
    }
    let mut child = child(&mut cgroup, "sleep 100");
    let reaper = thread::spawn(move || child.wait());
    cgroup.remove().expect("groups are removed");
    assert!(!reaper.join().expect("joined").expect("the child ended").success());
    assert!(cgroup.places.iter().all(|place| !place.directory.exists()));
}

#[test]
fn too_much_memory_is_seen() {
    let Some(mut cgroup) = group("memory") else { return };
    let limits = Limits { memory: Some(16 << 20), memory_and_swap: Some(16 << 20), ..Limits::default() };
    assert_eq!(cgroup.set(&limits).expect("limits are set"), []);
    let mut child = child(&mut cgroup, "x=$(head -c 200000000 /dev/zero | tr '\\0' 'x'); echo ${#x}");
    let _ = child.wait();
    assert!(cgroup.out_of_memory_kills() > 0);
    cgroup.remove().expect("groups are removed");
}

fn device_rules() -> Vec<DeviceRule> {
    let all = DeviceAccess { read: true, write: true, make_node: true };
    vec![
        DeviceRule { allow: false, kind: 'a', major: None, minor: None, access: all },
        DeviceRule { allow: true, kind: 'c', major: Some(1), minor: Some(3), access: all },
    ]
}

/// What a process in the group finds out: /dev/null can be opened, /dev/zero not.
fn assert_devices(cgroup: &mut Cgroup) {
    let script = "(head -c 0 /dev/null) && echo null; (head -c 1 /dev/zero >/dev/null) && echo zero; true";
    let output = child(cgroup, script).wait_with_output().expect("the child ends");
    assert_eq!(String::from_utf8_lossy(&output.stdout), "null\n");
}

#[test]
fn devices_are_denied() {
    let Some(mut cgroup) = group("devices") else { return };
    let limits = Limits { devices: device_rules(), ..Limits::default() };
    assert_eq!(cgroup.set(&limits).expect("limits are set"), []);
    assert_devices(&mut cgroup);
    cgroup.remove().expect("groups are removed");
}

/// The same with the program of version 2, also on a machine whose devices are limited by version 1.
#[test]
fn devices_are_denied_by_a_program() {
    let Some(mut cgroup) = group("program") else { return };
    let Some(unified) = cgroup.unified().map(Path::to_owned) else { return };
    devices::attach(&unified, &device_rules()).expect("the program is loaded");
    assert_devices(&mut cgroup);
    cgroup.remove().expect("groups are removed");
}
