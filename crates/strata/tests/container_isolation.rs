//! What a container sees, beside the same container by runc; and ways out of containers that history knows, tried through
//! the program. (Those that need an OCI configuration of their own are among the tests of `strata-runtime`.)

mod support;
mod tools;

use std::fs;
use std::os::unix::fs::symlink;
use std::sync::atomic::{AtomicBool, Ordering};
use std::thread;

use serde_json::json;
use strata_testkit::{FakeRegistry, ImageBuilder, Layer, TarEntry};
use support::containers::{assert_nothing_left, sandbox_with_box};
use support::{Run, Sandbox};
use tools::have;

/// What is asked inside.
const QUESTIONS: &str = "
grep -E '^(Uid|Gid|Groups|Cap|Seccomp|NoNewPrivs|Speculation|SigBlk|Umask)' /proc/self/status
cat /proc/self/limits /proc/self/cgroup /proc/self/oom_score_adj
cut -d' ' -f5- /proc/self/mountinfo | sort
find /dev ! -path '/dev/pts/*' ! -path '/dev/fd/*' | sort | xargs ls -ld | awk '{print $1,$3,$4,$5,$6,$NF}'
hostname; pwd; id; env | sort; umask
for file in memory/memory.limit_in_bytes memory/memory.memsw.limit_in_bytes memory/memory.soft_limit_in_bytes \
    cpu/cpu.cfs_quota_us cpu/cpu.cfs_period_us cpu/cpu.shares pids/pids.max cpuset/cpuset.cpus devices/devices.list \
    memory.max memory.swap.max memory.low cpu.max cpu.weight pids.max cpuset.cpus; do
  echo $file: $(cat /sys/fs/cgroup/$file 2>/dev/null | sort)
done
cat /proc/sys/kernel/domainname /proc/sys/net/ipv4/ip_unprivileged_port_start /proc/sys/net/ipv4/ping_group_range
for path in /proc/acpi /proc/asound /proc/interrupts /proc/kcore /proc/keys /proc/latency_stats /proc/sched_debug \
    /proc/scsi /proc/timer_list /proc/timer_stats /sys/devices/virtual/powercap /sys/firmware; do
  [ -d $path ] && echo $path: $(ls $path) || echo $path: $(head -c 10 $path 2>&1 | wc -c)
done
for path in /proc/bus /proc/fs /proc/irq /proc/sys /sys; do touch $path/new 2>&1; done
echo x 2>&1 > /proc/sysrq-trigger
";

/// The answers without what runc is known to do otherwise: it allows `/dev/net/tun` (until 1.2), leaves the directory of
/// hierarchies writable, changes a tmpfs' mode after mounting it, and makes a group in the hierarchy of systemd.
fn normal(run: &Run) -> String {
    let text = format!("{}{}", run.stdout, run.stderr).replace("c 10:200 rwm ", "").replace("rw,mode=755", "rw");
    let lines = text.lines().filter(|line| {
        !["/sys/fs/cgroup ", "/ ", ":name=systemd:"]
            .iter()
            .any(|known| line.trim_start_matches(|digit: char| digit.is_ascii_digit()).starts_with(known))
    });
    let is_id = |word: &str| word.len() == 64 && word.bytes().all(|byte| byte.is_ascii_hexdigit());
    let known = lines.map(|line| {
        let words = line.split_inclusive(['/', ' ', ',', '=']);
        words
            .map(|word| if is_id(word.trim_end_matches(['/', ' ', ',', '='])) { "ID" } else { word })
            .collect::<String>()
    });
    known.collect::<Vec<_>>().join("\n")
}

#[test]
fn a_container_looks_as_runc_makes_it() {
    if !have(&["runc"]) {
        return;
    }
    let Some(sandbox) = sandbox_with_box(&[], &[]) else { return };
    let bind = format!("{}:/bound:ro", sandbox.path("").display());
    let settings: &[&[&str]] = &[
        &[],
        &["--memory", "64m", "--cpus", "0.5", "--pids-limit", "50", "--cpu-shares", "100", "--cpuset-cpus", "0"],
        &["--read-only", "--tmpfs", "/tmp", "--cap-drop", "ALL", "--cap-add", "CHOWN", "-u", "www:www"],
        &["-u", "www", "--group-add", "5", "--security-opt", "no-new-privileges", "--ulimit", "nofile=100:200"],
        &["--privileged"],
        &["-v", "/anonymous", "-v", &bind, "--device", "/dev/zero:/dev/other:r", "--shm-size", "1m", "-w", "/new/one"],
        &["--sysctl", "net.ipv4.ip_unprivileged_port_start=80", "-e", "A=b"],
    ];
    for options in settings {
        let of = |runtime: &str| {
            let fixed = ["run", "--rm", "--network", "none", "-h", "same", "--runtime", runtime];
            normal(&sandbox.run(&[&fixed, *options, &["box", "busybox", "sh", "-c", QUESTIONS]].concat()))
        };
        let (ours, theirs) = (of("strata"), of("runc"));
        assert!(ours.contains("Seccomp:") && ours.contains("/dev/null"), "{options:?}: {ours}");
        let difference = strata_testkit::golden::difference(&theirs, &ours);
        assert_eq!(difference, None, "{options:?} (- runc, + strata)");
    }
}

/// An image of the box with further layers.
fn add_image(sandbox: &Sandbox, name: &str, layers: &[&[TarEntry]], settings: &[(&str, serde_json::Value)]) {
    let busybox = fs::read("/bin/busybox").or_else(|_| fs::read("/usr/bin/busybox")).expect("busybox");
    let mut base = vec![TarEntry::directory("bin"), TarEntry::file("bin/busybox", busybox).mode(0o755)];
    base.extend(
        ["sh", "cat", "ls", "id", "pwd", "touch", "readlink"]
            .map(|name| TarEntry::symbolic_link(format!("bin/{name}"), "busybox")),
    );
    let image = ImageBuilder::new().layer(Layer::new(&base)).setting("Env", json!(["PATH=/bin"]));
    let image = layers.iter().fold(image, |image, entries| image.layer(Layer::new(entries)));
    let image = settings.iter().fold(image, |image, (key, value)| image.setting(key, value.clone())).build();
    let registry = FakeRegistry::start();
    registry.add_image(name, "latest", &image);
    let from = format!("{}/{name}:latest", registry.host());
    sandbox.run(&["pull", "-q", &from]).success();
    sandbox.run(&["tag", &from, name]).success();
}

/// A directory of the machine that no container may reach, with a file.
fn secret(sandbox: &Sandbox) -> String {
    let secret = sandbox.path("secret");
    fs::create_dir(&secret).expect("a directory");
    fs::write(secret.join("marker"), "of the machine\n").expect("written");
    secret.display().to_string()
}

fn untouched(secret: &str) {
    let names: Vec<_> = fs::read_dir(secret).expect("there").flatten().map(|entry| entry.file_name()).collect();
    assert_eq!(names, ["marker"], "what is in {secret}");
    assert_eq!(fs::read_to_string(format!("{secret}/marker")).expect("there"), "of the machine\n");
}

/// CVE-2024-21626 and links: the working directory of an image or a command is inside, or nothing starts.
#[test]
fn a_working_directory_does_not_lead_out() {
    let Some(sandbox) = sandbox_with_box(&[], &[]) else { return };
    let secret = secret(&sandbox);
    let climbing = format!("{}{secret}", "../".repeat(20).trim_end_matches('/'));
    let links = [
        TarEntry::symbolic_link("absolute", secret.clone()),
        TarEntry::symbolic_link("climbing", climbing),
        TarEntry::symbolic_link("process", "/proc/self/fd/8/../../../.."),
    ];
    add_image(&sandbox, "links", &[&links], &[("WorkingDir", json!("/absolute"))]);
    let descriptors = (3..12).flat_map(|fd| [format!("/proc/self/fd/{fd}"), format!("/proc/self/fd/{fd}/../../..")]);
    let places = ["/absolute", "/climbing/new", "/process"].map(str::to_owned).into_iter().chain(descriptors);
    let look = ["links", "sh", "-c", "cat marker; ls -d /bin/busybox; touch made; pwd"];
    let of_image = [&["run", "--rm", "--network", "none"][..], &look].concat();
    let runs =
        places.map(|place| sandbox.run(&[&["run", "--rm", "--network", "none", "-w", &place], &look[..]].concat()));
    for run in std::iter::once(sandbox.run(&of_image)).chain(runs.collect::<Vec<_>>()) {
        assert!(!run.stdout.contains("of the machine"), "{run:?}");
        assert!(run.status.success() || matches!(run.status.code(), Some(125 | 126)), "{run:?}");
    }
    untouched(&secret);
}

/// Mounts whose targets lie behind links of the image; what is copied from there into a new volume is the image's.
#[test]
fn targets_of_mounts_do_not_lead_out() {
    let Some(sandbox) = sandbox_with_box(&[], &[]) else { return };
    let secret = secret(&sandbox);
    let links = [
        TarEntry::symbolic_link("out", secret.clone()),
        TarEntry::symbolic_link("up", format!("{}{secret}", "../".repeat(20).trim_end_matches('/'))),
    ];
    add_image(&sandbox, "links", &[&links], &[("Volumes", json!({"/out/declared": {}, "/up": {}}))]);
    let bound = sandbox.path("bound");
    fs::create_dir(&bound).expect("a directory");
    fs::write(bound.join("file"), "bound\n").expect("written");
    let bind = format!("{}:/out/bound", bound.display());
    let options = ["-v", &bind, "-v", "named:/out", "-v", "other:/up/deep/er", "--tmpfs", "/out/memory"];
    let text = "cat /out/bound/file; cat /out/marker /up/marker; readlink /out";
    let run = sandbox
        .run(&[&["run", "--network", "none", "--name", "one"], &options[..], &["links", "sh", "-c", text]].concat());
    assert!(!format!("{run:?}").contains("of the machine"), "{run:?}");
    let list = sandbox.run(&["volume", "inspect", "-f", "{{.Mountpoint}}", "named", "other"]).stdout;
    for volume in list.lines() {
        assert!(!fs::exists(format!("{volume}/marker")).expect("looked"), "{volume}");
    }
    sandbox.run(&["rm", "-fv", "one"]);
    untouched(&secret);
    assert_nothing_left(&sandbox);
}

/// Files that are made or read for every container, behind links of the image.
#[test]
fn files_of_every_container_do_not_lead_out() {
    let Some(sandbox) = sandbox_with_box(&[], &[]) else { return };
    let secret = secret(&sandbox);
    fs::write(sandbox.path("passwd"), "known:x:7:7::/:/bin/sh\n").expect("written");
    let passwd = sandbox.path("passwd").display().to_string();
    add_image(&sandbox, "whole", &[&[TarEntry::symbolic_link("etc", secret.clone())]], &[]);
    add_image(&sandbox, "device", &[&[TarEntry::symbolic_link("dev", secret.clone())]], &[]);
    add_image(&sandbox, "kernel", &[&[TarEntry::symbolic_link("sys", secret.clone())]], &[]);
    add_image(&sandbox, "process", &[&[TarEntry::symbolic_link("proc", secret.clone())]], &[]);
    let user = [TarEntry::directory("etc"), TarEntry::symbolic_link("etc/passwd", passwd.clone())];
    add_image(&sandbox, "user", &[&user], &[]);
    for image in ["whole", "device", "kernel", "process"] {
        let text = "cat /etc/marker /dev/marker /sys/marker /proc/marker; echo end";
        let run = sandbox.run(&["run", "--rm", "--network", "none", image, "sh", "-c", text]);
        assert!(!format!("{run:?}").contains("of the machine"), "{image}: {run:?}");
        untouched(&secret);
    }
    let run = sandbox.run(&["run", "--rm", "--network", "none", "-u", "known", "user", "id"]);
    assert!(!run.status.success() && run.stderr.contains("unable to find user known"), "{run:?}");
}

/// CVE-2021-30465: a target in a volume that somebody exchanges for a link while a container starts.
#[test]
fn a_target_that_is_exchanged_meanwhile_does_not_lead_out() {
    let Some(sandbox) = sandbox_with_box(&[], &[]) else { return };
    let secret = secret(&sandbox);
    let shared = sandbox.path("shared");
    fs::create_dir(&shared).expect("a directory");
    let (target, up) = (shared.join("target"), format!("{}{secret}", "../".repeat(20).trim_end_matches('/')));
    let ends = AtomicBool::new(false);
    thread::scope(|scope| {
        scope.spawn(|| {
            while !ends.load(Ordering::Relaxed) {
                let _ = fs::create_dir_all(target.join("below"));
                let _ = fs::remove_dir_all(&target);
                let _ = symlink(&up, &target);
                let _ = fs::remove_file(&target);
            }
        });
        let bind = format!("{}:/mnt", shared.display());
        let options = ["-v", &bind, "-v", "volume:/mnt/target/below", "--tmpfs", "/mnt/target/memory"];
        for _ in 0..15 {
            let text = "cat /mnt/target/marker";
            let run = sandbox
                .run(&[&["run", "--rm", "--network", "none"], &options[..], &["box", "sh", "-c", text]].concat());
            assert!(!run.stdout.contains("of the machine"), "{run:?}");
            untouched(&secret);
        }
        ends.store(true, Ordering::Relaxed);
    });
    sandbox.run(&["container", "prune", "-f"]).success();
    assert_nothing_left(&sandbox);
}

/// What of `/proc` and `/sys` reaches the machine is shut, and cannot be had anew.
#[test]
fn the_kernels_files_are_shut() {
    let Some(sandbox) = sandbox_with_box(&[], &[]) else { return };
    let secret = secret(&sandbox);
    for attempt in [
        "echo '|/x' > /proc/sys/kernel/core_pattern",
        "echo b > /proc/sysrq-trigger",
        "echo 1 > /proc/sys/kernel/panic",
        "mkdir /tmp/p && busybox mount -t proc proc /tmp/p",
        "busybox mount -o remount,rw /proc/sys",
        "busybox umount /proc/kcore",
        "busybox mount -o bind / /tmp",
        "busybox unshare -r true",
        "busybox nsenter -t 1 -m true",
        "echo 0 > /proc/1/oom_score_adj && echo -1000 > /proc/1/oom_score_adj",
        "for f in $(busybox find /sys/fs/cgroup -name release_agent); do echo /x > $f && exit 0; done; exit 1",
        "busybox mknod /tmp/disk b 8 0 && busybox head -c 1 /tmp/disk",
        &format!("cat /proc/1/root/../../../..{secret}/marker"),
        &format!("busybox chroot /proc/1/root/../.. /bin/cat {secret}/marker"),
        &format!("cd /proc/1/cwd/../../.. && cat .{secret}/marker"),
        "busybox dmesg -n 1",
    ] {
        let arguments = ["run", "--rm", "--network", "none", "box", "busybox", "sh", "-c", attempt];
        let run = sandbox.run(&arguments);
        assert!(!run.status.success(), "{attempt}: {run:?}");
    }
}
