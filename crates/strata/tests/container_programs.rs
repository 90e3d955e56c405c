//! Real programs in containers: servers under load, databases that are killed, a shell in a terminal, a package manager.
//!
//! All are packages of this machine's Debian in one image, which is made once (a minute) and kept with its store in the
//! target folder. A test that cannot have it says why and ends. Networks are those of machines of the tests' own.

#![allow(clippy::print_stderr, reason = "what was skipped must be seen")]

mod support;
mod tools;

use std::fs::{self, File};
use std::os::unix::fs::PermissionsExt as _;
use std::path::{Path, PathBuf};
use std::process::Command;
use std::time::{Duration, Instant};

use rustix::fs::{FlockOperation, flock};
use strata_model::Digest;
use support::containers::eventually;
use support::machine::Machine;
use support::{Run, Sandbox, run};
use tools::{have, output, program, skip};

/// What is in the image. Another list is another image.
const PACKAGES: &str = "nginx-light,nodejs,postgresql,python3-flask,redis-server";
const IMAGE: &str = "debian:programs";

/// The store with the image, which the tests of this file share.
struct Debian {
    store: PathBuf,
    sandbox: Sandbox,
}

impl Debian {
    fn ready(programs: &[&str]) -> Option<Debian> {
        if !have(&[&["root", "mmdebstrap", "apt-get", "nsenter", "unshare", "ip", "nft"], programs].concat()) {
            return None;
        }
        let folder = Path::new(env!("CARGO_TARGET_TMPDIR")).join("container-programs");
        fs::create_dir_all(&folder).expect("a folder");
        let lock = File::create(folder.join("lock")).expect("a file");
        flock(&lock, FlockOperation::LockExclusive).expect("its lock");
        let debian = Debian { store: folder.join(Digest::of(PACKAGES.as_bytes()).hex()), sandbox: Sandbox::new() };
        if !debian.strata(&["image", "inspect", IMAGE]).status.success() {
            let _ = fs::remove_dir_all(&debian.store);
            debian.make(&folder)?;
        }
        Some(debian)
    }

    fn make(&self, folder: &Path) -> Option<()> {
        let tree = folder.join("root.tar");
        let indexes = ["indextargets", "--format", "$(REPO_URI) $(CODENAME)", "Created-By: Packages"];
        let mirrors = output("apt-get", &indexes);
        let mirror = mirrors.lines().find(|line| !line.contains("security")).and_then(|line| line.split_once(' '));
        let Some((mirror, codename)) = mirror else {
            skip("a mirror of Debian's packages in apt's settings");
            return None;
        };
        let mut command = program("mmdebstrap", ["--variant=minbase", "--mode=root"]);
        command.arg(format!("--include={PACKAGES}"));
        for left_out in ["doc", "info", "locale", "man"] {
            command.arg(format!("--dpkgopt=path-exclude=/usr/share/{left_out}/*"));
        }
        command.args([codename, tree.to_str()?, mirror]);
        let made = run(command);
        if !made.status.success() {
            skip(&format!("the packages {PACKAGES}: {}", made.stderr));
            return None;
        }
        self.strata(&["import", "-c", "CMD [\"bash\"]", tree.to_str()?, IMAGE]).success();
        fs::remove_file(&tree).expect("removed");
        Some(())
    }

    fn command(&self, arguments: &[&str]) -> Command {
        self.sandbox.command_on(&self.store, arguments)
    }

    fn strata(&self, arguments: &[&str]) -> Run {
        run(self.command(arguments))
    }
}

/// A container of these tests that runs in the background on a machine of its own; it is removed in the end.
struct Container<'a> {
    debian: &'a Debian,
    machine: Machine,
    name: &'static str,
}

impl<'a> Container<'a> {
    fn run(debian: &'a Debian, name: &'static str, options: &[&str], command: &[&str]) -> Container<'a> {
        let container = Container { debian, machine: Machine::new(), name };
        // What a run that was killed left.
        debian.strata(&["rm", "-fv", name]);
        let arguments = [&["run", "-d", "--name", name], options, &[IMAGE], command].concat();
        container.strata(&arguments).success();
        container
    }

    fn strata(&self, arguments: &[&str]) -> Run {
        self.machine.run(&self.debian.command(arguments))
    }

    /// A program of the image, with the container's network.
    fn beside(&self, command: &[&str]) -> Run {
        let network = format!("container:{}", self.name);
        self.strata(&[&["run", "--rm", "--network", &network, IMAGE], command].concat())
    }

    /// Kills its first process, as the kernel does when there is no memory left.
    fn kill_its_process(&self) {
        let pid = self.strata(&["inspect", "-f", "{{.State.Pid}}", self.name]).success();
        assert!(Command::new("kill").args(["-9", pid.trim()]).status().expect("kill").success());
        eventually("it is dead", || {
            self.strata(&["inspect", "-f", "{{.State.Status}} {{.State.ExitCode}}", self.name]).success()
                == "exited 137\n"
        });
    }

    #[track_caller]
    fn serves(&self, address: &str, expected: &str) {
        let mut last = String::new();
        let end = Instant::now() + Duration::from_secs(15);
        while !last.contains(expected) {
            assert!(Instant::now() < end, "{address}: {last}\n{}", self.log());
            last = fetch(&self.machine, address);
            std::thread::sleep(Duration::from_millis(20));
        }
    }

    fn log(&self) -> String {
        let id = self.strata(&["inspect", "-f", "{{.Id}}", self.name]).stdout;
        fs::read_to_string(self.debian.store.join("containers").join(id.trim()).join("log.json")).unwrap_or_default()
    }
}

impl Drop for Container<'_> {
    fn drop(&mut self) {
        self.strata(&["rm", "-fv", self.name]);
    }
}

fn fetch(machine: &Machine, address: &str) -> String {
    let mut fetch = machine.command("curl");
    fetch.args(["-s", "-m", "5", address]);
    run(fetch).stdout
}

#[test]
fn nginx_serves_a_published_port_under_load() {
    let Some(debian) = Debian::ready(&["curl", "wrk"]) else { return };
    let web = Container::run(&debian, "nginx", &["-p", "18080:80"], &["nginx", "-g", "daemon off;"]);
    web.serves("http://127.0.0.1:18080/", "Welcome to nginx!");
    let neighbour = web.machine.neighbour("198.51.100");
    for (machine, address) in [
        (&web.machine, "http://127.0.0.1:18080/"),
        (&web.machine, "http://[::1]:18080/"),
        (&web.machine, "http://198.51.100.1:18080/"),
        (&neighbour, "http://198.51.100.1:18080/"),
    ] {
        assert!(fetch(machine, address).contains("Welcome to nginx!"), "{address}");
        let mut load = machine.command("wrk");
        load.args(["-t", "2", "-c", "100", "-d", "1", address]);
        let said = run(load).success();
        let requests = said.lines().find_map(|line| line.trim().split_once(" requests in "));
        let requests: u32 = requests.and_then(|(count, _)| count.parse().ok()).unwrap_or_default();
        assert!(requests > 500, "{address}: {said}");
        assert!(!said.contains("Socket errors") && !said.contains("Non-2xx"), "{address}: {said}");
    }
    let ended = Instant::now();
    web.strata(&["stop", "nginx"]).success();
    assert!(ended.elapsed() < Duration::from_secs(5), "nginx ends when it is told to");
    assert_eq!(fetch(&web.machine, "http://127.0.0.1:18080/"), "");
}

#[test]
fn redis_has_its_data_after_it_was_killed() {
    let Some(debian) = Debian::ready(&[]) else { return };
    let words = ["redis-server", "--dir", "/data", "--appendonly", "yes", "--appendfsync", "always"];
    let redis = Container::run(&debian, "redis", &["-v", "/data"], &words);
    let ask = |words: &[&str]| redis.beside(&[&["redis-cli"], words].concat()).stdout;
    eventually("redis answers", || ask(&["ping"]) == "PONG\n");
    assert_eq!(ask(&["set", "key", "kept"]), "OK\n");
    redis.kill_its_process();
    redis.strata(&["start", "redis"]).success();
    eventually("redis has its data", || ask(&["get", "key"]) == "kept\n");
    assert_eq!(redis.strata(&["inspect", "-f", "{{len .Mounts}}", "redis"]).success(), "1\n");
}

#[test]
fn postgres_has_its_data_after_it_was_killed() {
    let Some(debian) = Debian::ready(&[]) else { return };
    let script = "set -e; cd $(echo /usr/lib/postgresql/*/bin); \
        [ -d /var/lib/postgresql/own ] || ./initdb -D /var/lib/postgresql/own -A trust; \
        exec ./postgres -D /var/lib/postgresql/own -k /tmp -h 127.0.0.1";
    // The volume is the user's, as what the image has there.
    let options = ["-u", "postgres", "-v", "/var/lib/postgresql", "--shm-size", "128m"];
    let postgres = Container::run(&debian, "postgres", &options, &["bash", "-c", script]);
    let ask = |sql: &str| postgres.beside(&["psql", "-h", "127.0.0.1", "-U", "postgres", "-tAc", sql]).stdout;
    let begun = Instant::now();
    while ask("select 1") != "1\n" {
        assert!(begun.elapsed() < Duration::from_secs(30), "{}", postgres.log());
    }
    let made = ask("create table numbers as select generate_series(1, 1000) as number");
    assert_eq!(made, "SELECT 1000\n");
    postgres.kill_its_process();
    postgres.strata(&["start", "postgres"]).success();
    eventually("postgres recovers", || ask("select sum(number) from numbers") == "500500\n");
    postgres.strata(&["stop", "postgres"]).success();
    let code = postgres.strata(&["inspect", "-f", "{{.State.ExitCode}}", "postgres"]).success();
    assert_eq!(code, "0\n", "{}", postgres.log());
}

#[test]
fn flask_and_node_serve_programs_of_this_machine() {
    let Some(debian) = Debian::ready(&["curl"]) else { return };
    let folder = debian.sandbox.path("programs");
    fs::create_dir(&folder).expect("a folder");
    let flask = "from flask import Flask\napp = Flask(__name__)\n@app.get('/')\ndef page(): return 'by flask'\n";
    let node = "require('http').createServer((_, out) => out.end('by node ' + process.pid)).listen(3000)\n\
        process.on('SIGTERM', () => process.exit(7))\n";
    fs::write(folder.join("app.py"), flask).expect("written");
    fs::write(folder.join("app.js"), node).expect("written");
    let bind = format!("{}:/srv:ro", folder.display());
    let options = ["-v", &bind, "-w", "/srv", "-u", "www-data", "--read-only", "-p"];
    let python =
        Container::run(&debian, "flask", &[&options[..], &["5000:5000"]].concat(), &["flask", "run", "-h", "0.0.0.0"]);
    let node = Container::run(&debian, "node", &[&options[..], &["3000:3000"]].concat(), &["node", "app.js"]);
    python.serves("http://127.0.0.1:5000/", "by flask");
    node.serves("http://127.0.0.1:3000/", "by node 1");
    node.strata(&["stop", "node"]).success();
    assert_eq!(node.strata(&["inspect", "-f", "{{.State.ExitCode}}", "node"]).success(), "7\n");
}

/// tmux with one window, in which something runs.
struct Terminal {
    socket: PathBuf,
}

impl Terminal {
    fn start(socket: PathBuf, command: &Command) -> Terminal {
        let terminal = Terminal { socket };
        let mut tmux = terminal.command(&["-f", "/dev/null", "new-session", "-d", "-x", "100", "-y", "30"]);
        tmux.arg(command.get_program()).args(command.get_args());
        tmux.env_clear().envs(command.get_envs().filter_map(|(key, value)| Some((key, value?))));
        run(tmux).success();
        terminal
    }

    fn command(&self, words: &[&str]) -> Command {
        let mut tmux = Command::new("tmux");
        tmux.arg("-S").arg(&self.socket).args(words).env("LC_ALL", "C.UTF-8");
        tmux
    }

    fn type_keys(&self, keys: &[&str]) {
        run(self.command(&[&["send-keys"], keys].concat())).success();
    }

    fn resize(&self, columns: &str, rows: &str) {
        run(self.command(&["resize-window", "-x", columns, "-y", rows])).success();
    }

    #[track_caller]
    fn shows(&self, expected: &str) {
        let mut screen = String::new();
        let end = Instant::now() + Duration::from_secs(10);
        while !screen.contains(expected) {
            assert!(Instant::now() < end, "{expected:?} is not on the screen:\n{screen}");
            std::thread::sleep(Duration::from_millis(20));
            screen = run(self.command(&["capture-pane", "-p"])).stdout;
        }
    }
}

impl Drop for Terminal {
    fn drop(&mut self) {
        let _ = self.command(&["kill-server"]).output();
    }
}

#[test]
fn a_shell_has_a_terminal_that_is_resized_and_sends_signals() {
    let Some(debian) = Debian::ready(&["tmux"]) else { return };
    debian.strata(&["rm", "-f", "terminal"]);
    let shell =
        debian.command(&["run", "--rm", "-it", "--network", "none", "--name", "terminal", IMAGE, "bash", "--norc"]);
    let terminal = Terminal::start(debian.sandbox.path("tmux"), &shell);
    terminal.shows("bash-");
    terminal.type_keys(&["tty; stty size; echo $TERM", "Enter"]);
    terminal.shows("/dev/pts/0\n30 100\nxterm\n");
    terminal.resize("120", "40");
    terminal.type_keys(&["clear; sleep 0.2; stty size", "Enter"]);
    terminal.shows("40 120\n");
    terminal.type_keys(&["sleep 1000", "Enter"]);
    eventually("it sleeps", || process_is_there("sleep 1000"));
    terminal.type_keys(&["C-c"]);
    terminal.type_keys(&["echo ended $?", "Enter"]);
    terminal.shows("ended 130\n");
    terminal.type_keys(&["exit", "Enter"]);
    eventually("the container is gone", || {
        !debian.strata(&["ps", "-a", "--format", "{{.Names}}"]).success().contains("terminal")
    });
}

/// A process with these words, wherever it runs.
fn process_is_there(command_line: &str) -> bool {
    let entries = fs::read_dir("/proc").expect("processes").flatten();
    let mut lines = entries.filter_map(|entry| fs::read(entry.path().join("cmdline")).ok());
    lines.any(|line| String::from_utf8_lossy(&line).replace('\0', " ").trim() == command_line)
}

/// A repository of packages with one package, that prints a line: `hello`.
fn repository(debian: &Debian) -> PathBuf {
    let folder = debian.sandbox.path("repository");
    let tree = folder.join("tree");
    fs::create_dir_all(tree.join("DEBIAN")).expect("a folder");
    fs::create_dir_all(tree.join("usr/bin")).expect("a folder");
    let control = "Package: hello\nVersion: 1\nArchitecture: all\nMaintainer: nobody\nDescription: greets\n";
    fs::write(tree.join("DEBIAN/control"), control).expect("written");
    let script = tree.join("usr/bin/hello");
    fs::write(&script, "#!/bin/sh\necho hello from a package\n").expect("written");
    fs::set_permissions(&script, fs::Permissions::from_mode(0o755)).expect("its mode");
    fs::set_permissions(debian.sandbox.path(""), fs::Permissions::from_mode(0o755)).expect("its mode");
    let bind = format!("{}:/repository", folder.display());
    let build = ["dpkg-deb", "--build", "/repository/tree", "/repository/hello.deb"];
    debian.strata(&[&["run", "--rm", "--network", "none", "-v", &bind, IMAGE], &build[..]].concat()).success();
    let package = fs::read(folder.join("hello.deb")).expect("a package");
    let entry =
        format!("{control}Filename: ./hello.deb\nSize: {}\nSHA256: {}\n\n", package.len(), Digest::of(&package).hex());
    fs::write(folder.join("Packages"), entry).expect("written");
    folder
}

#[test]
fn apt_installs_a_package_and_the_result_is_an_image() {
    let Some(debian) = Debian::ready(&[]) else { return };
    let folder = repository(&debian);
    debian.strata(&["rm", "-f", "apt"]);
    let bind = format!("{}:/repository:ro", folder.display());
    let install = "set -e; rm -f /etc/apt/sources.list.d/*; \
        echo 'deb [trusted=yes] file:/repository ./' > /etc/apt/sources.list; \
        apt-get update; apt-get install -y hello; apt-get clean";
    let run = ["run", "--name", "apt", "--network", "none", "-v", &bind, IMAGE, "bash", "-c", install];
    let said = debian.strata(&run).success();
    assert!(said.contains("Setting up hello (1)"), "{said}");
    let changes = debian.strata(&["diff", "apt"]).success();
    for change in ["A /repository", "A /usr/bin/hello", "C /var/lib/dpkg/status", "A /var/lib/dpkg/info/hello.list"] {
        assert!(changes.lines().any(|line| line == change), "{change} is not there:\n{changes}");
    }
    debian.strata(&["commit", "-c", "CMD [\"hello\"]", "apt", "hello:1"]).success();
    debian.strata(&["rm", "apt"]).success();
    assert_eq!(debian.strata(&["run", "--rm", "--network", "none", "hello:1"]).success(), "hello from a package\n");
    let query = ["run", "--rm", "--network", "none", "hello:1", "dpkg", "--verify", "hello"];
    assert_eq!(debian.strata(&query).success(), "");
    // The image that it was made from does not have it.
    assert_eq!(debian.strata(&["run", "--rm", "--network", "none", IMAGE, "hello"]).status.code(), Some(127));
    debian.strata(&["rmi", "hello:1"]).success();
}
