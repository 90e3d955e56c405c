//! Containers of an ordinary user: a user of this machine's is made with subordinate IDs, and removed in the end.

#![allow(clippy::print_stderr, reason = "what was skipped must be seen")]

mod support;
mod tools;

use std::fs;
use std::os::unix::fs::{MetadataExt as _, PermissionsExt as _, chown};
use std::path::PathBuf;
use std::process::{Command, Stdio};

use serde_json::json;
use strata_testkit::{FakeRegistry, ImageBuilder, Layer, TarEntry};
use support::containers::eventually;
use support::{Run, Sandbox, run};
use tools::{have, output, skip};

const COMMANDS: &[&str] =
    &["sh", "cat", "chown", "echo", "httpd", "id", "ip", "ls", "rm", "sleep", "stat", "touch", "true"];

/// A user with a home, the program and the image `box`.
struct User {
    name: String,
    sandbox: Sandbox,
}

impl User {
    fn new(label: &str) -> Option<User> {
        if !have(&["root", "useradd", "userdel", "setpriv", "newuidmap", "newgidmap", "busybox"]) {
            return None;
        }
        let (name, sandbox) = (format!("strata-{label}-{}", std::process::id()), Sandbox::new());
        let home = sandbox.path("");
        output("useradd", &["--no-create-home", "--home-dir", home.to_str()?, "--shell", "/bin/sh", &name]);
        let user = User { name, sandbox };
        let ids: u32 = output("id", &["-u", &user.name]).trim().parse().expect("a number");
        chown(&home, Some(ids), None).expect("its home");
        fs::set_permissions(&home, fs::Permissions::from_mode(0o755)).expect("its mode");
        // The folder that it was built in may be shut for others.
        fs::copy(env!("CARGO_BIN_EXE_strata"), user.program()).expect("a copy of the program");
        fs::set_permissions(user.program(), fs::Permissions::from_mode(0o755)).expect("its mode");
        let has_ids =
            |file| fs::read_to_string(file).is_ok_and(|text: String| text.contains(&format!("{}:", user.name)));
        if !has_ids("/etc/subuid") || !has_ids("/etc/subgid") {
            skip("subordinate IDs for new users (useradd gives none here)");
            return None;
        }
        let may = run(user.command_of("unshare", &["--user", "true"]));
        if !may.status.success() {
            skip(&format!("user namespaces for ordinary users: {}", may.stderr.trim()));
            return None;
        }
        user.pull();
        Some(user)
    }

    fn pull(&self) {
        let busybox = fs::read("/bin/busybox").or_else(|_| fs::read("/usr/bin/busybox")).expect("busybox");
        let mut entries = vec![
            TarEntry::directory("bin"),
            TarEntry::directory("data"),
            TarEntry::directory("tmp").mode(0o1777),
            TarEntry::file("bin/busybox", busybox).mode(0o755),
            TarEntry::file("etc/passwd", "root:x:0:0:root:/:/bin/sh\nwww:x:33:33::/:/bin/sh\n"),
            TarEntry::file("data/of-www", "kept\n").owner(33, 33).mode(0o600),
        ];
        entries.extend(COMMANDS.iter().map(|name| TarEntry::symbolic_link(format!("bin/{name}"), "busybox")));
        let image = ImageBuilder::new().layer(Layer::new(&entries)).setting("Env", json!(["PATH=/bin"])).build();
        let registry = FakeRegistry::start();
        registry.add_image("box", "latest", &image);
        let name = format!("{}/box:latest", registry.host());
        self.strata(&["pull", "-q", &name]).success();
        self.strata(&["tag", &name, "box"]).success();
    }

    fn program(&self) -> PathBuf {
        self.sandbox.path("strata")
    }

    fn command_of(&self, program: &str, arguments: &[&str]) -> Command {
        let mut command = Command::new("setpriv");
        command.args(["--reuid", &self.name, "--regid", &self.name, "--init-groups", program]).args(arguments);
        command.env_clear().env("PATH", "/usr/local/bin:/usr/bin:/bin:/usr/sbin:/sbin");
        command.env("HOME", self.sandbox.path("")).current_dir("/").stdin(Stdio::null());
        command
    }

    fn strata(&self, arguments: &[&str]) -> Run {
        run(self.command_of(self.program().to_str().expect("a path"), arguments))
    }

    /// `run --rm` of a shell's text.
    fn shell(&self, options: &[&str], text: &str) -> Run {
        self.strata(&[&["run", "--rm"], options, &["box", "sh", "-c", text]].concat())
    }

    fn containers(&self) -> PathBuf {
        self.sandbox.path(".local/share/strata/containers")
    }
}

impl Drop for User {
    fn drop(&mut self) {
        let all = self.strata(&["ps", "-aq"]).stdout;
        let _ = self.strata(&[&["rm", "-f"], &all.lines().collect::<Vec<_>>()[..]].concat());
        let _ = Command::new("userdel").arg("--force").arg(&self.name).output();
    }
}

#[test]
fn a_user_runs_containers_with_all_of_its_ids() {
    let Some(user) = User::new("ids") else { return };
    let own = fs::metadata(user.sandbox.path("")).expect("its home").uid();
    let text = "id -u; id -g; cat /proc/self/uid_map | while read a b c; do echo $a $b $c; done; ls -ln /data | grep www; \
        cat /data/of-www; touch /made; chown 33:33 /made; stat -c %u /made; ls /sys/class/net";
    let lines = user.shell(&["--network", "none"], text).success();
    let lines: Vec<&str> = lines.lines().collect();
    assert_eq!(lines[..3], ["0", "0", &format!("0 {own} 1")]);
    assert!(lines[3].starts_with("1 ") && lines[3].ends_with(" 65536"), "{lines:?}");
    assert!(lines[4].starts_with("-rw-------") && lines[4].contains(" 33 "), "{lines:?}");
    assert_eq!(lines[5..], ["kept", "33", "lo"]);
    let as_www =
        user.shell(&["--network", "none", "-u", "www"], "id -u; cat /data/of-www; touch /etc/no || echo refused");
    assert_eq!(as_www.success(), "33\nkept\nrefused\n");
    for (text, answer) in [("exit 7", 7), ("nosuch", 127)] {
        assert_eq!(user.shell(&["--network", "none"], text).status.code(), Some(answer), "{text}");
    }
    let secret = user.sandbox.path("roots");
    fs::write(&secret, "of the machine's root\n").expect("written");
    fs::set_permissions(&secret, fs::Permissions::from_mode(0o600)).expect("its mode");
    let bind = format!("{}:/roots", secret.display());
    let refused = user.shell(&["--network", "none", "-v", &bind], "cat /roots");
    assert_eq!((refused.stdout.as_str(), refused.status.code()), ("", Some(1)), "{}", refused.stderr);
}

#[test]
fn what_a_user_writes_is_kept_compared_and_removed() {
    let Some(user) = User::new("writes") else { return };
    let change = "echo new > /data/new; chown 33 /data/new; rm /data/of-www; touch /vol/file; chown 33:33 /vol/file";
    let arguments = ["run", "--name", "one", "--network", "none", "-v", "kept:/vol", "box", "sh", "-c", change];
    user.strata(&arguments).success();
    assert_eq!(user.strata(&["diff", "one"]).success(), "C /data\nA /data/new\nD /data/of-www\nA /vol\n");
    user.strata(&["commit", "one", "kept:1"]).success();
    user.strata(&["start", "one"]).success();
    user.strata(&["wait", "one"]).success();
    user.strata(&["rm", "one"]).success();
    let again = ["run", "--rm", "--network", "none", "-v", "kept:/vol:ro", "kept:1"];
    let seen = user.strata(&[&again[..], &["sh", "-c", "stat -c '%u %n' /data/* /vol/*"]].concat()).success();
    assert_eq!(seen, "33 /data/new\n33 /vol/file\n");
    eventually("the containers are gone", || user.strata(&["ps", "-aq"]).success().is_empty());
    user.strata(&["volume", "rm", "kept"]).success();
    // The images as files go with the last container of each.
    let images = user.containers().join(".images");
    eventually("no files are left", || fs::read_dir(&images).is_ok_and(|mut entries| entries.next().is_none()));
    user.strata(&["fsck"]).success();
}

#[test]
fn a_users_container_is_reached_by_its_port_and_stopped() {
    let Some(user) = User::new("port") else { return };
    if !have(&["curl"]) || !(have(&["slirp4netns"]) || have(&["pasta"])) {
        return;
    }
    assert!(user.shell(&["--network", "host"], "ls /sys/class/net").success().contains("lo"));
    let serve = "echo served > /tmp/index.html; exec httpd -f -p 80 -h /tmp";
    let arguments = ["run", "-d", "--name", "web", "-p", "127.0.0.1::80", "box", "sh", "-c", serve];
    user.strata(&arguments).success();
    let address = user.strata(&["port", "web", "80"]).success();
    eventually("the page is served", || {
        run(tools::program("curl", ["-s", "-m", "5", &format!("http://{}/index.html", address.trim())])).stdout
            == "served\n"
    });
    // What lives together works on each other.
    assert_eq!(user.strata(&["diff", "web"]).success(), "C /tmp\nA /tmp/index.html\n");
    user.strata(&["commit", "web", "web:1"]).success();
    let network =
        user.shell(&["--network", "container:web"], "ip -o -4 address show dev eth0 2>/dev/null || ip address");
    assert!(network.success().contains("inet "));
    user.strata(&["stop", "-t", "0", "web"]).success();
    assert_eq!(
        user.strata(&["inspect", "-f", "{{.State.Status}} {{.State.ExitCode}}", "web"]).success(),
        "exited 137\n"
    );
    user.strata(&["rm", "web"]).success();
}
