//! Containers of a real image (busybox, statically linked) by the built program. They need root; without it each test says so
//! and ends.

mod support;

use std::fs;
use std::io::Write;
use std::process::{Command, Stdio};
use std::time::{Duration, Instant};

use serde_json::json;
use strata_testkit::{FakeRegistry, ImageBuilder, Layer, TarEntry};
use support::containers::{assert_nothing_left, eventually, sandbox_with_box, shell};
use support::machine::Machine;
use support::{Sandbox, run};

/// A store with the image `box`.
fn sandbox() -> Option<Sandbox> {
    let more = [TarEntry::file("etc/not-a-program", "text").mode(0o644)];
    sandbox_with_box(&more, &[("Env", json!(["PATH=/bin", "FROM=image"]))])
}

#[test]
fn a_run_ends_as_its_program_or_says_why_it_did_not_start() {
    let Some(sandbox) = sandbox() else { return };
    assert_eq!(shell(&sandbox, &[], "echo out; echo err >&2").success(), "out\n");
    for (arguments, code, message) in [
        (&["box", "sh", "-c", "exit 7"][..], 7, ""),
        (&["box", "/etc/not-a-program"], 126, "permission denied"),
        (&["box", "nosuch"], 127, "not found"),
        (&["--memory", "1k", "box"], 125, "Minimum memory limit allowed is 6MB"),
        (&["-w", "relative", "box"], 125, "it needs to be an absolute path"),
    ] {
        let run = sandbox.run(&[&["run", "--rm", "--network", "none"], arguments].concat());
        assert_eq!(run.status.code(), Some(code), "{arguments:?}: {}", run.stderr);
        assert!(run.stderr.contains(message), "{arguments:?}: {}", run.stderr);
    }
    sandbox.run(&["container", "prune", "-f"]).success();
    assert_nothing_left(&sandbox);
}

#[test]
fn settings_of_image_and_command_line_meet() {
    let Some(sandbox) = sandbox() else { return };
    let text = "id -u; id -g; pwd; echo $FROM $MINE; hostname; cat";
    let mut command = sandbox.command(&[
        "run",
        "--rm",
        "-i",
        "--network",
        "none",
        "-u",
        "www",
        "-w",
        "/data/new",
        "-e",
        "MINE=yes",
        "-h",
        "named",
        "box",
        "sh",
        "-c",
        text,
    ]);
    let mut child = command.stdin(Stdio::piped()).stdout(Stdio::piped()).spawn().expect("a run");
    child.stdin.take().expect("its input").write_all(b"by standard input\n").expect("written");
    let output = child.wait_with_output().expect("an end");
    assert_eq!(String::from_utf8_lossy(&output.stdout), "33\n34\n/data/new\nimage yes\nnamed\nby standard input\n");
}

#[test]
fn a_container_is_apart_from_the_machine() {
    let Some(sandbox) = sandbox() else { return };
    let status =
        shell(&sandbox, &[], "echo $$; grep -E 'CapBnd|Seccomp:|NoNewPrivs' /proc/self/status; ls /sys/firmware")
            .success();
    let expected = "1\nNoNewPrivs:\t0\nCapBnd:\t00000000a80425fb\nSeccomp:\t2\n";
    let mut lines: Vec<&str> = status.lines().collect();
    lines.sort_unstable();
    let mut wanted: Vec<&str> = expected.lines().collect();
    wanted.sort_unstable();
    assert_eq!(lines, wanted);
    let dropped = shell(
        &sandbox,
        &["--cap-drop", "ALL", "--cap-add", "CHOWN", "--security-opt", "no-new-privileges"],
        "grep -E 'CapBnd|NoNewPrivs' /proc/self/status",
    );
    assert_eq!(dropped.success(), "CapBnd:\t0000000000000001\nNoNewPrivs:\t1\n");
    let node = "busybox mknod /data/null c 1 3; echo x > /data/null && echo written; busybox mknod /data/mem c 1 1; cat /data/mem";
    let nodes = shell(&sandbox, &[], node);
    assert_eq!((nodes.stdout.as_str(), nodes.status.code()), ("written\n", Some(1)));
    assert!(nodes.stderr.contains("Operation not permitted"), "{}", nodes.stderr);
    let refused = shell(&sandbox, &["--read-only", "--tmpfs", "/tmp"], "echo 1 > /tmp/a && echo 1 > /etc/a");
    assert_eq!(refused.status.code(), Some(1));
    assert!(refused.stderr.contains("Read-only file system"), "{}", refused.stderr);
}

#[test]
fn the_image_never_changes_and_what_was_written_can_be_kept() {
    let Some(sandbox) = sandbox() else { return };
    let inspected = || sandbox.run(&["image", "inspect", "box", "--format", "{{.Id}} {{json .RootFS}}"]).success();
    let before = inspected();
    let change = "echo new > /data/new; echo changed > /etc/motd; rm /etc/not-a-program";
    sandbox.run(&["run", "--name", "writer", "--network", "none", "box", "sh", "-c", change]).success();
    assert_eq!(
        sandbox.run(&["diff", "writer"]).success(),
        "C /data\nA /data/new\nC /etc\nC /etc/motd\nD /etc/not-a-program\n"
    );
    assert_eq!(inspected(), before);
    assert_eq!(shell(&sandbox, &[], "cat /etc/motd; ls /data").success(), "of the image\n");

    let id = sandbox.run(&["commit", "-m", "kept", "writer", "kept:1"]).success();
    assert!(id.starts_with("sha256:"), "{id}");
    let text = "cat /etc/motd /data/new; ls /etc/not-a-program";
    let run = sandbox.run(&["run", "--rm", "--network", "none", "kept:1", "sh", "-c", text]);
    assert_eq!((run.stdout.as_str(), run.status.code()), ("changed\nnew\n", Some(1)));
    let tar = sandbox.path("exported.tar");
    sandbox.run(&["export", "-o", tar.to_str().expect("a path"), "writer"]).success();
    let listed = Command::new("tar").arg("-tf").arg(&tar).output().expect("tar");
    let listed = String::from_utf8_lossy(&listed.stdout).into_owned();
    assert!(listed.contains("data/new") && !listed.contains("not-a-program"), "{listed}");
    sandbox.run(&["rm", "writer"]).success();
    sandbox.run(&["fsck"]).success();
    eventually("no container is left", || sandbox.run(&["ps", "-aq"]).success().is_empty());
}

/// What a start takes does not depend on how many layers there are, nor on what is in them.
#[test]
fn an_image_of_many_layers_starts_as_one_of_few() {
    const LAYERS: usize = 300;
    let Some(sandbox) = sandbox() else { return };
    let busybox = fs::read("/bin/busybox").or_else(|_| fs::read("/usr/bin/busybox")).expect("busybox");
    let base = Layer::new(&[
        TarEntry::directory("bin"),
        TarEntry::file("bin/busybox", busybox).mode(0o755),
        TarEntry::symbolic_link("bin/true", "busybox"),
        TarEntry::symbolic_link("bin/ls", "busybox"),
    ]);
    let image = ImageBuilder::new().layer(base).setting("Env", json!(["PATH=/bin"]));
    let layers = (1..LAYERS).map(|number| Layer::of_file(&format!("files/{number}"), format!("file {number}\n")));
    let registry = FakeRegistry::start();
    registry.add_image("many", "latest", &layers.fold(image, ImageBuilder::layer).build());
    let many = format!("{}/many:latest", registry.host());
    sandbox.run(&["pull", "-q", &many]).success();
    let files = sandbox.run(&["run", "--rm", "--network", "none", &many, "ls", "/files"]).success();
    assert_eq!(files.lines().count(), LAYERS - 1);
    let fastest = |image: &str| {
        let run = || {
            let begun = Instant::now();
            sandbox.run(&["run", "--rm", "--network", "none", image, "true"]).success();
            begun.elapsed()
        };
        (0..8).map(|_| run()).min().unwrap_or_default()
    };
    let (few, many) = (fastest("box"), fastest(&many));
    assert!(many < few * 2 + Duration::from_millis(40), "{many:?} for {LAYERS} layers, {few:?} for one");
}

#[test]
fn an_image_in_use_stays() {
    let Some(sandbox) = sandbox() else { return };
    let id = sandbox.run(&["run", "-d", "--name", "user", "--network", "none", "box", "sleep", "60"]).success();
    let short = &id[..12];
    let image = sandbox.run(&["images", "-q", "box"]).success().trim().to_owned();
    let refused = sandbox.run(&["rmi", &image]).failure();
    assert!(
        refused.contains(&format!("(cannot be forced) - image is being used by running container {short}")),
        "{refused}"
    );
    sandbox.run(&["stop", "-t", "0", "user"]).success();
    let refused = sandbox.run(&["rmi", &image]).failure();
    assert!(
        refused.contains(&format!("(must be forced) - image is being used by stopped container {short}")),
        "{refused}"
    );
    sandbox.run(&["image", "prune", "-af"]).success();
    assert_eq!(sandbox.run(&["images", "-q", "box"]).success().trim(), image);
    sandbox.run(&["rmi", "-f", &image]).success();
    // The container goes on without a name for its image.
    sandbox.run(&["image", "prune", "-af"]).success();
    sandbox.run(&["start", "user"]).success();
    sandbox.run(&["rm", "-f", "user"]).success();
    assert_nothing_left(&sandbox);
    // The last user took the rest along, but for the note of names that a lost catalog is made from.
    assert_eq!((sandbox.files(&["packs"]).len(), sandbox.files(&["blobs"]).len()), (0, 1));
}

#[test]
fn volumes_outlive_containers() {
    let Some(sandbox) = sandbox() else { return };
    shell(&sandbox, &["-v", "kept:/data"], "echo here > /data/file").success();
    assert_eq!(shell(&sandbox, &["-v", "kept:/elsewhere:ro"], "cat /elsewhere/file").success(), "here\n");
    let machine = sandbox.path("machine");
    fs::create_dir(&machine).expect("a directory");
    let bind = format!("{}:/mnt", machine.display());
    shell(&sandbox, &["-v", &bind], "echo there > /mnt/file").success();
    assert_eq!(fs::read_to_string(machine.join("file")).expect("the file"), "there\n");
    assert_eq!(sandbox.run(&["volume", "ls", "-q"]).success(), "kept\n");
    shell(&sandbox, &["-v", "/anonymous"], "true").success();
    eventually("an anonymous volume goes with its container", || {
        sandbox.run(&["volume", "ls", "-q"]).success() == "kept\n"
    });
    assert_nothing_left(&sandbox);
    sandbox.run(&["volume", "rm", "kept"]).success();
    assert_eq!(sandbox.run(&["volume", "ls", "-q"]).success(), "");
}

#[test]
fn a_container_is_stopped_paused_waited_for_and_restarted() {
    let Some(sandbox) = sandbox() else { return };
    let text = "trap 'exit 3' TERM; while :; do sleep 0.05; done";
    sandbox.run(&["run", "-d", "--name", "one", "--network", "none", "box", "sh", "-c", text]).success();
    let status = |wanted: &str| {
        let shown = sandbox.run(&["inspect", "-f", "{{.State.Status}} {{.State.ExitCode}}", "one"]).success();
        assert_eq!(shown.trim(), wanted);
    };
    status("running 0");
    sandbox.run(&["pause", "one"]).success();
    status("paused 0");
    sandbox.run(&["unpause", "one"]).success();
    sandbox.run(&["rename", "one", "two"]).success();
    sandbox.run(&["rename", "two", "one"]).success();
    sandbox.run(&["stop", "one"]).success();
    status("exited 3");
    assert_eq!(sandbox.run(&["wait", "one"]).success(), "3\n");
    sandbox.run(&["start", "one"]).success();
    sandbox.run(&["kill", "one"]).success();
    eventually("it is killed", || sandbox.run(&["ps", "-q"]).success().is_empty());
    status("exited 137");
    let refused = sandbox.run(&["run", "-d", "--name", "one", "--network", "none", "box"]);
    assert_eq!(refused.status.code(), Some(125));
    assert!(refused.stderr.contains("Conflict. The container name \"/one\" is already in use"), "{}", refused.stderr);
    sandbox.run(&["rm", "one"]).success();
    assert_nothing_left(&sandbox);
}

#[test]
fn a_killed_supervisor_takes_its_container_along_and_leaves_nothing() {
    let Some(sandbox) = sandbox() else { return };
    sandbox.run(&["run", "-d", "--name", "one", "--network", "none", "box", "sleep", "300"]).success();
    let pid = sandbox.run(&["inspect", "-f", "{{.State.Pid}}", "one"]).success();
    let status = fs::read_to_string(format!("/proc/{}/status", pid.trim())).expect("its status");
    let parent = status.lines().find_map(|line| line.strip_prefix("PPid:")).expect("its parent").trim().to_owned();
    assert!(Command::new("kill").args(["-9", &parent]).status().expect("kill").success());
    eventually("the container dies", || !fs::exists(format!("/proc/{}/exe", pid.trim())).unwrap_or(false));
    let shown = sandbox.run(&["ps", "-a", "--format", "{{.State}} {{.Status}}"]).success();
    assert!(shown.starts_with("exited Exited (137)"), "{shown}");
    sandbox.run(&["start", "one"]).success();
    sandbox.run(&["rm", "-f", "one"]).success();
    assert_nothing_left(&sandbox);
}

#[test]
fn containers_reach_each_other_by_name_and_are_reached_by_published_ports() {
    let Some(sandbox) = sandbox() else { return };
    let machine = Machine::new();
    let strata = |arguments: &[&str]| machine.strata(&sandbox, arguments);
    strata(&["network", "create", "back"]).success();
    let serve = "echo served > /tmp/index.html; exec httpd -f -p 80 -h /tmp";
    strata(&["run", "-d", "--name", "web", "--network", "back", "-p", "18080:80", "box", "sh", "-c", serve]).success();
    let ports = "0.0.0.0:18080->80/tcp, [::]:18080->80/tcp\n";
    assert_eq!(strata(&["ps", "--format", "{{.Ports}}"]).success(), ports);
    assert_eq!(strata(&["port", "web", "80"]).success(), "0.0.0.0:18080\n[::]:18080\n");
    eventually("the page is served", || {
        let mut fetch = machine.command("curl");
        fetch.args(["-s", "-m", "5", "http://127.0.0.1:18080/index.html"]);
        run(fetch).stdout == "served\n"
    });
    // Names are answered inside the container (what they are: the tests of strata-network).
    let resolver = strata(&["run", "--rm", "--network", "back", "box", "cat", "/etc/resolv.conf"]).success();
    assert!(resolver.starts_with("nameserver 127.0.0.11\n"), "{resolver}");
    let taken = strata(&["run", "-d", "--name", "second", "-p", "18080:80", "box", "sleep", "9"]);
    assert_eq!(taken.status.code(), Some(125));
    assert!(taken.stderr.contains("Bind for 0.0.0.0:18080 failed: port is already allocated"), "{}", taken.stderr);
    let active = strata(&["network", "rm", "back"]).failure();
    assert!(active.contains("network back has active endpoints"), "{active}");
    strata(&["network", "create", "--internal", "other"]).success();
    strata(&["network", "connect", "other", "web"]).success();
    let inside = strata(&["network", "inspect", "-f", "{{range .Containers}}{{.Name}}{{end}}", "other"]).success();
    assert_eq!(inside, "web\n");
    strata(&["network", "disconnect", "other", "web"]).success();

    strata(&["rm", "-f", "web", "second"]).success();
    assert_eq!(strata(&["network", "prune", "-f"]).success(), "Deleted Networks:\nback\nother\n\n");
    let mut links = machine.command("ip");
    links.args(["-brief", "link"]);
    let links = run(links).success();
    let left: Vec<&str> = links
        .lines()
        .filter(|line| line.starts_with("br-") || line.starts_with("st") && !line.starts_with("strata0"))
        .collect();
    assert_eq!(left, Vec::<&str>::new(), "links of networks and containers");
    assert_nothing_left(&sandbox);
}
