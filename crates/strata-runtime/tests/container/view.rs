//! The same bundle by runc and by us looks the same from inside.

use std::collections::BTreeSet;
use std::path::Path;

use oci_spec::runtime::Capability;
use strata_runtime::spec;

use crate::Test;
use crate::bundle::{Bundle, with_capability};

pub(crate) const TESTS: &[Test] = &[
    ("same_as_runc", same_as_runc),
    ("refused_calls", refused_calls),
    ("read_only_root_and_limits", read_only_root_and_limits),
    ("user_namespace", user_namespace),
];

/// What both must agree on, a question each.
const QUESTIONS: &[&str] = &[
    "grep -E '^(Uid|Gid|Groups|Cap|Seccomp|NoNewPrivs|Speculation|SigBlk|NSpid)' /proc/self/status",
    "cat /proc/self/limits",
    "ls -lLR /dev | grep -vE '/dev/(fd|pts)|^total|^p|stdin| 0$' | awk '{print $1,$3,$4,$5,$6,$NF}' | sort",
    "ls -l /dev | grep '^l' | awk '{print $9,$10,$11}' | sort",
    "cat /proc/self/cgroup",
    "hostname; umask; pwd; id; env | sort",
    "cat /proc/self/oom_score_adj",
    "cat /proc/kcore /proc/keys /proc/timer_list | wc -c; ls /sys/firmware /proc/scsi | wc -l",
    "echo x > /proc/sys/kernel/hostname; echo x > /proc/sysrq-trigger; mkdir /sys/x; true",
    "ip link | grep -o 'lo:.*UP'",
    "ls /proc/self/fd | wc -l; ls -d /proc/[0-9]*| wc -l",
    "ls -ld / /dev /dev/shm /dev/mqueue /proc /sys | awk '{print $1,$3,$4,$9}'",
    "ls /sys/fs/cgroup",
];

fn same_as_runc() {
    if !Path::new("/usr/sbin/runc").exists() {
        println!("skipped: runc is not here");
        return;
    }
    let mut differences = Vec::new();
    for question in QUESTIONS {
        let script = format!("exec 2>&1; {question}");
        let (ours, theirs) = (Bundle::new(&script).run(), Bundle::new(&script).run_by_runc());
        let known = |text: &str| text.replace("test", "").lines().map(without_container).collect::<Vec<_>>().join("\n");
        let (ours, theirs) = ((known(&ours.output), ours.code), (known(&theirs.output), theirs.code));
        if ours != theirs {
            differences.push(format!("{question}\nours: {ours:?}\nrunc: {theirs:?}"));
        }
    }
    let script = "cat /proc/self/mountinfo";
    let (ours, theirs) = (Bundle::new(script).run().output, Bundle::new(script).run_by_runc().output);
    let (ours, theirs) = (mounts(&ours), mounts(&theirs));
    differences
        .extend(ours.symmetric_difference(&theirs).map(|mount| format!("{mount} (ours: {})", ours.contains(mount))));
    assert!(differences.is_empty(), "{}", differences.join("\n"));
}

/// Without the names of temporary directories.
fn without_container(line: &str) -> String {
    line.split_whitespace().filter(|word| !word.contains(".tmp")).collect::<Vec<_>>().join(" ")
}

/// Target, options, type and options of the file system: without numbers and sources.
fn mounts(text: &str) -> BTreeSet<String> {
    let one = |line: &str| {
        let fields: Vec<&str> = line.split(' ').collect();
        let separator = fields.iter().position(|field| *field == "-").unwrap();
        let sorted =
            |options: &str| options.split(',').collect::<BTreeSet<_>>().into_iter().collect::<Vec<_>>().join(",");
        format!("{} {} {} {}", fields[4], sorted(fields[5]), fields[separator + 1], sorted(fields[separator + 3]))
    };
    // The directory of hierarchies is as read-only as the configuration wants it; runc leaves it writable.
    text.lines().map(one).filter(|mount| !mount.starts_with("/sys/fs/cgroup ")).collect()
}

fn refused_calls() {
    for (script, expected) in [
        ("unshare -U true", "Operation not permitted"),
        ("unshare -m true", "Operation not permitted"),
        ("mount -t tmpfs none /tmp", "denied"),
        ("chroot / true && echo fine", "fine"),
        ("mknod /tmp/x c 1 3 && echo fine", "fine"),
        ("mknod /tmp/sda b 8 0; cat /tmp/sda", "Operation not permitted"),
        ("hostname other", "Operation not permitted"),
        ("date -s 2000-01-01", "Operation not permitted"),
    ] {
        let output = Bundle::new(&format!("exec 2>&1; {script}")).run().output;
        assert!(output.contains(expected), "{script}: {output}");
    }
    // With a capability the profile allows its calls.
    let capabilities = with_capability(Capability::SysAdmin);
    let mut bundle = Bundle::new("exec 2>&1; unshare -m mount -t tmpfs none /tmp && echo fine");
    bundle.spec.process_mut().as_mut().unwrap().set_capabilities(Some(spec::capabilities(&capabilities, false)));
    bundle.spec.linux_mut().as_mut().unwrap().set_seccomp(Some(spec::default_seccomp(&capabilities)));
    assert_eq!(bundle.run().output, "fine\n");
}

fn read_only_root_and_limits() {
    let mut bundle = Bundle::new(
        "exec 2>&1; touch /x; touch /dev/shm/x && echo shm; ulimit -n; ulimit -Hn; cat /proc/sys/net/ipv4/ip_forward; \
         cat /proc/self/oom_score_adj; grep NoNewPrivs /proc/self/status; pwd; umask; head -c 4 /data/file; \
         echo x > /data/file; echo x > /work/file && cat /work/file",
    );
    std::fs::create_dir(bundle.path().join("volume")).unwrap();
    std::fs::write(bundle.path().join("volume/file"), "data").unwrap();
    let volume = bundle.path().join("volume");
    let mut document = serde_json::to_value(&bundle.spec).unwrap();
    document["root"]["readonly"] = true.into();
    document["process"]["rlimits"] = serde_json::json!([{"type": "RLIMIT_NOFILE", "soft": 100, "hard": 200}]);
    document["process"]["oomScoreAdj"] = 77.into();
    document["process"]["noNewPrivileges"] = true.into();
    document["process"]["cwd"] = "/made/by/us".into();
    document["process"]["user"]["umask"] = 0o27.into();
    document["linux"]["sysctl"] = serde_json::json!({"net.ipv4.ip_forward": "1"});
    let mounts = document["mounts"].as_array_mut().unwrap();
    mounts.push(
        serde_json::json!({"destination": "/data", "type": "bind", "source": volume, "options": ["rbind", "ro"]}),
    );
    mounts.push(serde_json::json!({"destination": "/work", "type": "bind", "source": volume, "options": ["bind"]}));
    bundle.spec = serde_json::from_value(document).unwrap();
    let output = bundle.run().output;
    let expected = "touch: /x: Read-only file system\nshm\n100\n200\n1\n77\nNoNewPrivs:\t1\n/made/by/us\n0027\ndata\
                    /bin/sh: can't create /data/file: Read-only file system\nx\n";
    assert_eq!(output, expected);
}

fn user_namespace() {
    let mut bundle = Bundle::new(
        "exec 2>&1; cat /proc/self/uid_map | tr -s ' '; id -u; touch /tmp/made; echo x > /dev/null && echo fine",
    );
    let mut document = serde_json::to_value(&bundle.spec).unwrap();
    let map = serde_json::json!([{"containerID": 0, "hostID": 100_000, "size": 65_536}]);
    document["linux"]["uidMappings"] = map.clone();
    document["linux"]["gidMappings"] = map;
    document["linux"]["namespaces"].as_array_mut().unwrap().push(serde_json::json!({"type": "user"}));
    bundle.spec = serde_json::from_value(document).unwrap();
    use std::os::unix::fs::{MetadataExt, PermissionsExt, chown};
    std::fs::set_permissions(bundle.path(), std::fs::Permissions::from_mode(0o755)).unwrap();
    chown(bundle.image(), Some(100_000), Some(100_000)).unwrap();
    chown(bundle.image().join("tmp"), Some(100_000), Some(100_000)).unwrap();
    chown(bundle.image().join("dev"), Some(100_000), Some(100_000)).unwrap();
    assert_eq!(bundle.run().output, " 0 100000 65536\n0\nfine\n");
    assert_eq!(bundle.image().join("tmp/made").metadata().unwrap().uid(), 100_000);
}
