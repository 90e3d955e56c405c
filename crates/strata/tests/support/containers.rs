//! Sandboxes with containers: a store with the image `box` (busybox, statically linked), and what is left of containers.

use std::fs;
use std::time::{Duration, Instant};

use serde_json::json;
use strata_testkit::{FakeRegistry, ImageBuilder, Layer, TarEntry};

use super::{Run, Sandbox};

const COMMANDS: &[&str] = &[
    "sh", "cat", "chmod", "chown", "cp", "echo", "grep", "hostname", "httpd", "id", "ln", "ls", "mkdir", "mv", "pwd",
    "rm", "sleep", "stat", "touch", "true", "wget",
];

/// A store with the image `box`; `None`, and why, where there can be none.
#[allow(clippy::print_stderr, reason = "what was skipped must be seen")]
pub fn sandbox_with_box(more: &[TarEntry], settings: &[(&str, serde_json::Value)]) -> Option<Sandbox> {
    if !rustix::process::geteuid().is_root() {
        eprintln!("skipped: containers in tests need root");
        return None;
    }
    let busybox = ["/bin/busybox", "/usr/bin/busybox"].iter().find_map(|path| fs::read(path).ok());
    let Some(busybox) = busybox else {
        eprintln!("skipped: busybox is not installed");
        return None;
    };
    let mut entries = vec![
        TarEntry::directory("bin"),
        TarEntry::directory("data"),
        TarEntry::directory("tmp"),
        TarEntry::file("bin/busybox", busybox).mode(0o755),
        TarEntry::file("etc/passwd", "root:x:0:0:root:/root:/bin/sh\nwww:x:33:34::/:/bin/sh\n"),
        TarEntry::file("etc/group", "root:x:0:\nwww:x:34:\nvideo:x:44:\n"),
        TarEntry::file("etc/motd", "of the image\n"),
    ];
    entries.extend(COMMANDS.iter().map(|name| TarEntry::symbolic_link(format!("bin/{name}"), "busybox")));
    entries.extend_from_slice(more);
    let image = ImageBuilder::new().layer(Layer::new(&entries)).setting("Cmd", json!(["sh"]));
    let image = image.setting("Env", json!(["PATH=/bin"]));
    let image = settings.iter().fold(image, |image, (key, value)| image.setting(key, value.clone())).build();
    let registry = FakeRegistry::start();
    registry.add_image("box", "latest", &image);
    let sandbox = Sandbox::new();
    let name = format!("{}/box:latest", registry.host());
    sandbox.run(&["pull", "-q", &name]).success();
    sandbox.run(&["tag", &name, "box"]).success();
    sandbox.run(&["rmi", &name]).success();
    Some(sandbox)
}

/// `run --rm --network none` of a shell's text.
pub fn shell(sandbox: &Sandbox, options: &[&str], text: &str) -> Run {
    let arguments = [&["run", "--rm", "--network", "none"], options, &["box", "sh", "-c", text]].concat();
    sandbox.run(&arguments)
}

/// Waits up to ten seconds.
#[track_caller]
pub fn eventually(what: &str, mut holds: impl FnMut() -> bool) {
    let end = Instant::now() + Duration::from_secs(10);
    while !holds() {
        assert!(Instant::now() < end, "{what}");
        std::thread::sleep(Duration::from_millis(20));
    }
}

/// Nothing of containers is left: no row, no directory, no mount.
#[track_caller]
pub fn assert_nothing_left(sandbox: &Sandbox) {
    eventually("no container is left", || sandbox.run(&["ps", "-aq"]).success().is_empty());
    let entries = fs::read_dir(sandbox.root().join("containers")).into_iter().flatten().flatten();
    let names = entries.map(|entry| entry.file_name().to_string_lossy().into_owned());
    // What the machine can mount is noted there, too.
    assert_eq!(names.filter(|name| !name.starts_with('.')).collect::<Vec<_>>(), Vec::<String>::new());
    let mounts = fs::read_to_string("/proc/self/mountinfo").expect("mounts");
    assert!(!mounts.contains(sandbox.root().join("containers").to_str().expect("a path")), "{mounts}");
}
