//! What the OCI runtime specification (1.2) says that a runtime must do and that can be seen from inside or by hooks; each test
//! names its section. What must be an error is tested beside the code (`process/requirements.rs`), what looks as under
//! runc in `view.rs`, the life of a container in `lifecycle.rs`.

use std::fs;
use std::os::unix::fs::MetadataExt;
use std::path::Path;

use serde_json::{Value, json};

use crate::Test;
use crate::bundle::{Bundle, Ended};

pub(crate) const TESTS: &[Test] = &[
    ("root_must_exist", root_must_exist),
    ("mounts_in_listed_order", mounts_in_listed_order),
    ("options_of_mounts", options_of_mounts),
    ("process_as_configured", process_as_configured),
    ("limits_of_the_process", limits_of_the_process),
    ("names_of_the_machine", names_of_the_machine),
    ("capabilities_as_configured", capabilities_as_configured),
    ("hooks_in_their_namespaces", hooks_in_their_namespaces),
    ("hooks_that_fail", hooks_that_fail),
    ("namespaces_as_configured", namespaces_as_configured),
    ("devices_as_configured", devices_as_configured),
    ("control_groups_as_configured", control_groups_as_configured),
    ("filters_of_system_calls", filters_of_system_calls),
    ("masked_and_read_only_paths", masked_and_read_only_paths),
    ("propagation_of_the_root", propagation_of_the_root),
];

/// A container that runs `script` with a configuration that `change` changed.
fn changed(script: &str, change: impl FnOnce(&mut Value)) -> Bundle {
    let mut bundle = Bundle::new(&format!("exec 2>&1; {script}"));
    let mut document = serde_json::to_value(&bundle.spec).unwrap();
    change(&mut document);
    bundle.spec = serde_json::from_value(document).unwrap();
    bundle
}

fn output(script: &str, change: impl FnOnce(&mut Value)) -> String {
    changed(script, change).run().output
}

fn push(document: &mut Value, pointer: &str, value: Value) {
    let (parent, name) = pointer.rsplit_once('/').unwrap();
    let parent = document.pointer_mut(parent).unwrap();
    match parent[name].as_array_mut() {
        Some(list) => list.push(value),
        None => parent[name] = json!([value]),
    }
}

/// config.md, "Root": a directory must exist at the path.
fn root_must_exist() {
    let bundle = changed("true", |document| document["root"]["path"] = json!("no/such/root"));
    let error = bundle.start().expect_err("there is no root");
    assert!(error.exit_code != 0 && error.message.contains("no/such/root"), "{error}");
}

/// config.md, "Mounts": the runtime must mount entries in the listed order.
fn mounts_in_listed_order() {
    let tmpfs = json!({"destination": "/tmp", "type": "tmpfs", "source": "tmpfs"});
    for (tmpfs_first, expected) in [(true, "data"), (false, "cat: can't open '/tmp/below/file'")] {
        let mut bundle = changed("cat /tmp/below/file", |_| ());
        let volume = bundle.directory_of_volume();
        fs::create_dir(&volume).unwrap();
        fs::write(Path::new(&volume).join("file"), "data").unwrap();
        let bind = json!({"destination": "/tmp/below", "type": "none", "source": volume, "options": ["bind"]});
        let mut document = serde_json::to_value(&bundle.spec).unwrap();
        let mounts = if tmpfs_first { [tmpfs.clone(), bind] } else { [bind, tmpfs.clone()] };
        mounts.into_iter().for_each(|mount| push(&mut document, "/mounts", mount));
        bundle.spec = serde_json::from_value(document).unwrap();
        let found = bundle.run().output;
        assert!(found.starts_with(expected), "tmpfs first: {tmpfs_first}: {found}");
    }
}

/// config.md, "Linux mount options": a runtime must support these.
fn options_of_mounts() {
    for (option, expected) in [
        ("ro", "ro,relatime"),
        ("nosuid", "rw,nosuid,relatime"),
        ("nodev", "rw,nodev,relatime"),
        ("noexec", "rw,noexec,relatime"),
        ("noatime", "rw,noatime"),
        ("nodiratime", "rw,nodiratime,relatime"),
        ("strictatime", "rw"),
        ("nosymfollow", "rw,relatime,nosymfollow"),
        ("rro", "ro,relatime"),
        ("rnoexec", "rw,noexec,relatime"),
        ("rw", "rw,relatime"),
    ] {
        let script = "awk '$5 == \"/data\" {print $6}' /proc/self/mountinfo";
        let mut bundle = changed(script, |_| ());
        let volume = bundle.directory_of_volume();
        fs::create_dir(&volume).unwrap();
        let mount = json!({"destination": "/data", "type": "bind", "source": volume, "options": ["rbind", option]});
        let mut document = serde_json::to_value(&bundle.spec).unwrap();
        push(&mut document, "/mounts", mount);
        bundle.spec = serde_json::from_value(document).unwrap();
        let machine = fs::read_to_string("/proc/self/mountinfo").unwrap();
        if machine.lines().any(|line| line.split(' ').nth(4) == Some("/tmp")) {
            println!("skipped: /tmp is a mount with options of its own");
            return;
        }
        assert_eq!(bundle.run().output.trim(), expected, "{option}");
    }
    // tmpcopyup: what lies below is copied into the tmpfs.
    let copied = output("cat /etc/passwd | head -n 1; echo more >> /etc/passwd && echo written", |document| {
        push(document, "/mounts", json!({"destination": "/etc", "type": "tmpfs", "options": ["tmpcopyup"]}));
    });
    assert_eq!(copied, "root:x:0:0:root:/root:/bin/sh\nwritten\n");
    // As under runc: open to everybody where the image has nothing, else as the directory of the image.
    let modes = output("stat -c %a /new /var", |document| {
        push(document, "/mounts", json!({"destination": "/new", "type": "tmpfs"}));
        push(document, "/mounts", json!({"destination": "/var", "type": "tmpfs"}));
    });
    assert_eq!(modes, "1777\n755\n");
}

/// config.md, "Process" and "POSIX-platform User".
fn process_as_configured() {
    let script = "cat /proc/self/environ | tr '\\0' '\\n' | sort; pwd; id -u; id -g; id -G; umask";
    let found = output(script, |document| {
        let process = &mut document["process"];
        process["env"] = json!(["PATH=/bin", "A=1=2", "EMPTY=", "B=\u{e4}"]);
        process["cwd"] = json!("/var");
        process["user"] = json!({"uid": 33, "gid": 34, "additionalGids": [4, 5], "umask": 0o77});
    });
    let found: Vec<&str> =
        found.lines().filter(|line| !line.starts_with("PWD=") && !line.starts_with("SHLVL")).collect();
    assert_eq!(
        found,
        ["A=1=2", "B=\u{e4}", "EMPTY=", "HOME=/var/www", "PATH=/bin", "/var", "33", "34", "34 4 5", "0077"]
    );
}

/// config.md, "POSIX process": rlimits, oomScoreAdj, noNewPrivileges; an unset oomScoreAdj must not be changed.
fn limits_of_the_process() {
    let script = "ulimit -Sn; ulimit -Hn; ulimit -Sc; ulimit -Hc; cat /proc/self/oom_score_adj; \
                  grep NoNewPrivs /proc/self/status | tr -dc 01";
    let own = fs::read_to_string("/proc/self/oom_score_adj").unwrap();
    let found = output(script, |document| {
        document["process"]["rlimits"] = json!([
            {"type": "RLIMIT_NOFILE", "soft": 64, "hard": 128},
            {"type": "RLIMIT_CORE", "soft": 0, "hard": 0},
        ]);
        document["process"]["noNewPrivileges"] = json!(true);
    });
    assert_eq!(found, format!("64\n128\n0\n0\n{own}1"));
    // A value that the kernel does not take is an error: a soft limit above the hard one.
    let bundle = changed("true", |document| {
        document["process"]["rlimits"] = json!([{"type": "RLIMIT_NOFILE", "soft": 128, "hard": 64}]);
    });
    let error = bundle.start().expect_err("no such limit");
    assert!(error.message.contains("RLIMIT_NOFILE"), "{error}");
}

/// config.md, "Hostname" and "Domainname".
fn names_of_the_machine() {
    let found = output("hostname; cat /proc/sys/kernel/domainname", |document| {
        document["hostname"] = json!("some-host");
        document["domainname"] = json!("some.domain");
    });
    assert_eq!(found, "some-host\nsome.domain\n");
    assert_ne!(fs::read_to_string("/proc/sys/kernel/hostname").unwrap().trim(), "some-host");
}

/// config.md, "Linux process": each set of capabilities as given.
fn capabilities_as_configured() {
    let found = output("grep ^Cap /proc/self/status | cut -f2", |document| {
        document["process"]["user"] = json!({"uid": 33, "gid": 33});
        document["process"]["capabilities"] = json!({
            "bounding": ["CAP_CHOWN", "CAP_KILL", "CAP_NET_RAW"], "permitted": ["CAP_CHOWN", "CAP_KILL"],
            "inheritable": ["CAP_CHOWN", "CAP_KILL"], "effective": ["CAP_CHOWN"], "ambient": ["CAP_KILL"],
        });
    });
    // After execve of a program without file capabilities by no root: permitted and effective are the ambient ones.
    let sets: Vec<u64> = found.lines().map(|line| u64::from_str_radix(line, 16).unwrap()).collect();
    let (chown, kill, net_raw) = (1, 1 << 5, 1 << 13);
    assert_eq!(sets, [chown | kill, kill, kill, chown | kill | net_raw, kill], "Inh, Prm, Eff, Bnd, Amb");
}

/// config.md, "POSIX-platform Hooks"; runtime.md, "State": in which namespace each runs, and what it is told.
fn hooks_in_their_namespaces() {
    let mut bundle = changed("readlink /proc/self/ns/mnt; cat /tmp/inside", |_| ());
    let directory = bundle.path().to_owned();
    let told = |name: &str| directory.join(name).display().to_string();
    let hook = |name: &str| {
        let script = format!("cat > {0}; readlink /proc/self/ns/mnt > {0}.namespace", told(name));
        json!([{"path": "/bin/sh", "args": ["sh", "-c", script], "env": ["PATH=/bin:/usr/bin"]}])
    };
    let mut document = serde_json::to_value(&bundle.spec).unwrap();
    document["annotations"] = json!({"org.example.key": "value"});
    document["hooks"] = json!({
        "createRuntime": hook("createRuntime"), "createContainer": hook("createContainer"),
        "poststart": hook("poststart"), "poststop": hook("poststop"),
        "startContainer": [{"path": "/bin/sh", "args": ["sh", "-c", "readlink /proc/self/ns/mnt > /tmp/inside"]}],
    });
    bundle.spec = serde_json::from_value(document).unwrap();
    let inside = bundle.run().output;
    let inside: Vec<&str> = inside.lines().collect();
    assert_eq!(inside[0], inside[1], "startContainer runs in the container");
    await_file(&bundle.path().join("poststop.namespace"));
    let supervisor = |name: &str| fs::read_to_string(told(&format!("{name}.namespace"))).unwrap();
    assert_eq!(supervisor("createContainer").trim(), inside[0]);
    for name in ["createRuntime", "poststart", "poststop"] {
        assert_ne!(supervisor(name).trim(), inside[0], "{name} runs in the runtime's namespace");
    }
    for (name, status) in [
        ("createRuntime", "creating"),
        ("createContainer", "created"),
        ("poststart", "running"),
        ("poststop", "stopped"),
    ] {
        let state: Value = serde_json::from_slice(&fs::read(told(name)).unwrap()).unwrap();
        assert_eq!(state["ociVersion"], "1.0.2", "{name}");
        assert_eq!(state["id"], bundle.plan.container.as_str(), "{name}");
        assert_eq!(state["status"], status, "{name}");
        assert_eq!(state["bundle"], bundle.path().to_str().unwrap(), "{name}");
        assert_eq!(state["annotations"], json!({"org.example.key": "value"}), "{name}");
        assert_eq!(state["pid"].as_u64().is_some_and(|pid| pid > 0), status != "stopped", "{name}: {state}");
    }
}

fn await_file(path: &Path) {
    for _ in 0..1000 {
        if fs::metadata(path).is_ok_and(|metadata| metadata.len() > 0) {
            return;
        }
        std::thread::sleep(std::time::Duration::from_millis(5));
    }
    panic!("{} does not appear", path.display());
}

/// runtime.md, "Lifecycle": a failing hook before the program is an error, the container is destroyed and its poststop hooks
/// run; hooks run in the listed order until one fails; a failing poststop hook does not keep the others from running.
fn hooks_that_fail() {
    for moment in ["prestart", "createRuntime", "createContainer", "startContainer", "poststart"] {
        let mut bundle = changed("echo ran > /tmp/ran; sleep 100", |_| ());
        let trace = bundle.path().join("trace");
        let hook = |word: &str, code: u8| {
            let place = if moment == "startContainer" { "/tmp/trace".to_owned() } else { trace.display().to_string() };
            let script = format!("echo {word} >> {place}; exit {code}");
            json!({"path": "/bin/sh", "args": ["sh", "-c", script], "env": ["PATH=/bin:/usr/bin"]})
        };
        let after = |word: &str, code: u8| {
            let script = format!("echo {word} >> {}; exit {code}", trace.display());
            json!({"path": "/bin/sh", "args": ["sh", "-c", script]})
        };
        let mut document = serde_json::to_value(&bundle.spec).unwrap();
        document["hooks"] = json!({
            moment: [hook("one", 0), hook("two", 3), hook("three", 0)], "poststop": [after("stop", 1), after("end", 0)],
        });
        bundle.spec = serde_json::from_value(document).unwrap();
        let error = bundle.start().expect_err("a hook fails");
        assert!(error.exit_code == 125 && error.message.contains("/bin/sh"), "{moment}: {error}");
        let inside = fs::read_to_string(bundle.image().join("tmp/trace")).unwrap_or_default();
        let traced = inside + &fs::read_to_string(&trace).unwrap_or_default();
        assert_eq!(traced, "one\ntwo\nstop\nend\n", "{moment}");
        let has_run = bundle.image().join("tmp/ran").exists();
        assert!(!has_run || moment == "poststart", "{moment}: the program ran");
        let state = strata_runtime::state(bundle.path()).unwrap();
        assert_ne!(state.status, strata_runtime::ContainerStatus::Running, "{moment}: {state:?}");
    }
}

/// config-linux.md, "Namespaces": those that are not listed are the runtime's, and a path is joined; one of another type is
/// an error.
fn namespaces_as_configured() {
    let kinds = ["ipc", "uts", "net", "pid", "mnt", "cgroup"];
    let script = "for n in ipc uts net pid mnt cgroup; do readlink /proc/self/ns/$n; done";
    let of = |process: &str| -> Vec<String> {
        let read = |kind: &&str| fs::read_link(format!("/proc/{process}/ns/{kind}")).unwrap().display().to_string();
        kinds.iter().map(read).collect()
    };
    let own = of("self");
    let found = output(script, |document| {
        document["linux"]["namespaces"]
            .as_array_mut()
            .unwrap()
            .retain(|namespace| !matches!(namespace["type"].as_str(), Some("ipc" | "uts")));
        document.as_object_mut().unwrap().remove("hostname");
    });
    let found: Vec<&str> = found.lines().collect();
    for (index, kind) in kinds.iter().enumerate() {
        assert_eq!(found[index] == own[index], matches!(*kind, "ipc" | "uts"), "{kind}");
    }

    let other = Bundle::new("sleep 100");
    other.start().unwrap();
    let pid = strata_runtime::state(other.path()).unwrap().pid;
    let join = |document: &mut Value, kind: &str, file: &str| {
        for namespace in document["linux"]["namespaces"].as_array_mut().unwrap() {
            if namespace["type"] == kind {
                namespace["path"] = json!(format!("/proc/{pid}/ns/{file}"));
            }
        }
    };
    let found = output(script, |document| {
        for (kind, file) in [("network", "net"), ("ipc", "ipc"), ("pid", "pid"), ("uts", "uts")] {
            join(document, kind, file);
        }
    });
    let (found, theirs): (Vec<&str>, _) = (found.lines().collect(), of(&pid.to_string()));
    for (index, kind) in kinds.iter().enumerate() {
        let joined = !matches!(*kind, "mnt" | "cgroup");
        assert_eq!(found[index] == theirs[index], joined, "{kind}: {found:?} {theirs:?}");
    }
    let error = changed("true", |document| join(document, "network", "ipc")).start().expect_err("of another type");
    assert!(error.message.contains("joining the net namespace"), "{error}");
    let error = changed("true", |document| join(document, "network", "nothing")).start().expect_err("of no type");
    assert!(error.message.contains("opening the namespace"), "{error}");
}

/// config-linux.md, "Devices": made with number, mode and owner; what is there already must be the device.
fn devices_as_configured() {
    let script =
        "ls -l /dev/own /dev/pipe /deep/dir/zero | awk '{print $1,$3,$4,$5,$6}'; head -c 3 /deep/dir/zero | wc -c";
    let found = output(script, |document| {
        document["linux"]["devices"] = json!([
            {"path": "/dev/own", "type": "c", "major": 1, "minor": 3, "fileMode": 0o640, "uid": 33, "gid": 4},
            {"path": "/dev/pipe", "type": "p", "fileMode": 0o600},
            {"path": "/deep/dir/zero", "type": "u", "major": 1, "minor": 5},
        ]);
    });
    let found: Vec<&str> = found.lines().collect();
    assert_eq!(found[0], "crw-rw-rw- root root 1, 5", "{found:?}");
    assert_eq!(found[1], "crw-r----- www adm 1, 3");
    assert!(found[2].starts_with("prw------- root root"), "{found:?}");
    assert_eq!(found[3], "3");

    let bundle = changed("true", |document| {
        document["linux"]["devices"] = json!([{"path": "/etc/passwd", "type": "c", "major": 1, "minor": 3}]);
    });
    let error = bundle.start().expect_err("it is a file");
    assert!(error.message.contains("/etc/passwd") && error.message.contains("another device"), "{error}");
}

/// config-linux.md, "Cgroups Path" and "Linux device allowlist": an absolute path is that in each hierarchy; limits hold; of the
/// device rules the later one decides.
fn control_groups_as_configured() {
    let bundle = changed("cat /proc/self/cgroup; sleep 100", |document| {
        document["linux"]["resources"]["pids"] = json!({"limit": 77});
        document["linux"]["resources"]["memory"] = json!({"limit": 64 << 20});
        // Seen by its true name, not as the root of a namespace of its own.
        document["linux"]["namespaces"].as_array_mut().unwrap().retain(|namespace| namespace["type"] != "cgroup");
    });
    bundle.start().unwrap();
    let pid = strata_runtime::state(bundle.path()).unwrap().pid;
    let group = format!("/strata-test/{}", bundle.plan.container);
    let groups = fs::read_to_string(format!("/proc/{pid}/cgroup")).unwrap();
    let placed = groups.lines().filter(|line| line.ends_with(&group)).count();
    assert!(placed > 0 && groups.contains(&format!(":pids:{group}")) || groups.starts_with("0::"), "{groups}");
    let first = |files: [String; 2]| files.iter().find_map(|file| fs::read_to_string(file).ok());
    let pids = first([format!("/sys/fs/cgroup/pids{group}/pids.max"), format!("/sys/fs/cgroup{group}/pids.max")]);
    assert_eq!(pids.as_deref().map(str::trim), Some("77"));
    let memory = first([
        format!("/sys/fs/cgroup/memory{group}/memory.limit_in_bytes"),
        format!("/sys/fs/cgroup{group}/memory.max"),
    ]);
    assert_eq!(memory.as_deref().map(str::trim), Some("67108864"));

    for (rules, expected) in [
        (
            json!([{"allow": false, "access": "rwm"}, {"allow": true, "type": "c", "major": 1, "minor": 5, "access": "rw"}]),
            "3",
        ),
        (
            json!([{"allow": true, "type": "c", "major": 1, "minor": 5, "access": "rw"}, {"allow": false, "access": "rwm"}]),
            "0",
        ),
    ] {
        let script = "mknod /tmp/zero c 1 5; head -c 3 /tmp/zero | wc -c";
        let found = output(script, |document| {
            let mut rules = rules.clone();
            rules
                .as_array_mut()
                .unwrap()
                .push(json!({"allow": true, "type": "c", "major": 1, "minor": 3, "access": "rwm"}));
            rules.as_array_mut().unwrap().push(json!({"allow": true, "type": "c", "access": "m"}));
            document["linux"]["resources"]["devices"] = rules;
        });
        assert_eq!(found.lines().last(), Some(expected), "{rules}: {found}");
    }
}

/// config-linux.md, "Seccomp": actions, their error, arguments that are compared, and a signal that ends the program.
fn filters_of_system_calls() {
    let with = |script: &str, calls: Value| -> Ended {
        changed(script, |document| {
            document["linux"]["seccomp"] = json!({"defaultAction": "SCMP_ACT_ALLOW", "syscalls": calls});
        })
        .run()
    };
    let made =
        with("mkdir /tmp/x", json!([{"names": ["mkdir", "mkdirat"], "action": "SCMP_ACT_ERRNO", "errnoRet": 28}]));
    assert_eq!(made.output, "mkdir: can't create directory '/tmp/x': No space left on device\n");
    let made = with("mkdir /tmp/x", json!([{"names": ["mkdir", "mkdirat"], "action": "SCMP_ACT_ERRNO"}]));
    assert_eq!(made.output, "mkdir: can't create directory '/tmp/x': Operation not permitted\n");
    // The second argument is the mode.
    let compared = json!([{
        "names": ["chmod"], "action": "SCMP_ACT_ERRNO", "args": [{"index": 1, "value": 0o777, "op": "SCMP_CMP_EQ"}],
    }]);
    let found = with("touch /tmp/x; chmod 755 /tmp/x && echo fine; chmod 777 /tmp/x", compared).output;
    assert_eq!(found, "fine\nchmod: /tmp/x: Operation not permitted\n");
    let killed =
        with("sh -c 'mkdir /tmp/x'; echo $?", json!([{"names": ["mkdir"], "action": "SCMP_ACT_KILL_PROCESS"}]));
    assert_eq!(killed.output.lines().last(), Some("159"), "128 and SIGSYS: {killed:?}");
    // A call that this machine does not have is nobody's error.
    let unknown = with("echo fine", json!([{"names": ["no_such_call"], "action": "SCMP_ACT_ERRNO"}]));
    assert_eq!(unknown.output, "fine\n");
}

/// config-linux.md, "Masked Paths", "Readonly Paths"; what does not exist is left alone.
fn masked_and_read_only_paths() {
    let script = "wc -c < /etc/passwd; ls /var | wc -l; touch /var/x; touch /root/x; cat /root/here; \
                  ls /root/below; touch /root/below/x";
    let bundle = changed(script, |document| {
        document["linux"]["maskedPaths"] = json!(["/etc/passwd", "/var", "/no/such/path"]);
        document["linux"]["readonlyPaths"] = json!(["/root", "/no/such/directory"]);
    });
    fs::write(bundle.image().join("var/secret"), "secret").unwrap();
    fs::create_dir(bundle.image().join("root/below")).unwrap();
    fs::write(bundle.image().join("root/here"), "here\n").unwrap();
    let found = bundle.run().output;
    let expected = "0\n0\ntouch: /var/x: Read-only file system\ntouch: /root/x: Read-only file system\nhere\n\
                    touch: /root/below/x: Read-only file system\n";
    assert_eq!(found, expected);
    assert_ne!(bundle.image().join("etc/passwd").metadata().unwrap().size(), 0);
}

/// config-linux.md, "Rootfs Mount Propagation".
fn propagation_of_the_root() {
    for (propagation, expected) in [("private", ""), ("shared", "shared:"), ("unbindable", "unbindable")] {
        let script = "awk '$5 == \"/\" {print $7}' /proc/self/mountinfo";
        let found = output(script, |document| document["linux"]["rootfsPropagation"] = json!(propagation));
        let found = found.trim().trim_start_matches('-').trim();
        assert!(
            if expected.is_empty() { found.is_empty() } else { found.starts_with(expected) },
            "{propagation}: {found}"
        );
    }
}
