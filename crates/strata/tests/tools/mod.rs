//! Programs of other projects that tests run beside Strata: found or skipped, started, stopped, read from.

#![allow(dead_code, reason = "each test binary uses its part")]

use std::ffi::OsStr;
use std::net::{TcpListener, TcpStream};
use std::os::unix::fs::MetadataExt as _;
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Stdio};
use std::time::{Duration, Instant};

use strata_model::Digest;

use crate::support::{Run, Sandbox, run};

/// Longest time that a server may take to answer its first request.
const START: Duration = Duration::from_secs(30);

/// Whether the test runs as root.
pub(crate) fn is_root() -> bool {
    std::fs::metadata("/proc/self").is_ok_and(|process| process.uid() == 0)
}

/// Says why a test does nothing here.
#[allow(clippy::print_stderr, reason = "what was skipped must be seen")]
pub(crate) fn skip(needs: &str) {
    eprintln!("skipped: needs {needs}");
}

/// Whether all these programs are there; says which one is not. `root` stands for being root.
pub(crate) fn have(needs: &[&str]) -> bool {
    let path = std::env::var_os("PATH").unwrap_or_default();
    let folders: Vec<PathBuf> =
        std::env::split_paths(&path).chain([PathBuf::from("/usr/sbin"), "/sbin".into()]).collect();
    let is_there = |need: &str| match need {
        "root" => is_root(),
        program => folders.iter().any(|folder| folder.join(program).is_file()),
    };
    let missing: Vec<&str> = needs.iter().copied().filter(|need| !is_there(need)).collect();
    if !missing.is_empty() {
        skip(&missing.join(", "));
    }
    missing.is_empty()
}

/// A program with these arguments, without the settings of the person who runs the tests.
pub(crate) fn program(name: &str, arguments: impl IntoIterator<Item = impl AsRef<OsStr>>) -> Command {
    let mut command = Command::new(name);
    command.args(arguments).stdin(Stdio::null());
    for variable in ["DOCKER_HOST", "DOCKER_CONTEXT", "REGISTRY_AUTH_FILE", "STRATA_ROOT", "STRATA_HOST"] {
        command.env_remove(variable);
    }
    command.env("TZ", "UTC").env("LC_ALL", "C.UTF-8");
    command
}

/// What a program that must succeed printed.
#[track_caller]
pub(crate) fn output(name: &str, arguments: &[&str]) -> String {
    let output = program(name, arguments).output().unwrap_or_else(|error| panic!("{name}: {error}"));
    let (stdout, stderr) = (String::from_utf8_lossy(&output.stdout), String::from_utf8_lossy(&output.stderr));
    assert!(output.status.success(), "{name} {arguments:?}: {}\n{stdout}{stderr}", output.status);
    stdout.into_owned()
}

/// `skopeo`, with every image accepted and registries over plain HTTP.
#[track_caller]
pub(crate) fn skopeo(arguments: &[&str]) -> String {
    output("skopeo", &[&["--insecure-policy"], arguments].concat())
}

/// `skopeo copy` between two places, either of which may be a registry over plain HTTP.
#[track_caller]
pub(crate) fn skopeo_copy(from: &str, to: &str) {
    skopeo(&["copy", "-q", "--all", "--src-tls-verify=false", "--dest-tls-verify=false", from, to]);
}

/// The digest of the manifest that `skopeo` reads at a place.
#[track_caller]
pub(crate) fn skopeo_digest(place: &str) -> Digest {
    Digest::of(skopeo(&["inspect", "--raw", "--tls-verify=false", place]).as_bytes())
}

/// Podman with a store of its own.
pub(crate) struct Podman {
    folder: PathBuf,
}

impl Podman {
    pub(crate) fn new(folder: PathBuf) -> Podman {
        Podman { folder }
    }

    pub(crate) fn command(&self, arguments: &[&str]) -> Command {
        let folder = |name: &str| self.folder.join(name).into_os_string();
        let mut command =
            program("podman", [OsStr::new("--root"), &folder("root"), OsStr::new("--runroot"), &folder("run")]);
        command.args(["--storage-driver", "vfs", "--events-backend", "none", "--cgroup-manager", "cgroupfs"]);
        command.args(arguments);
        command
    }

    #[track_caller]
    pub(crate) fn output(&self, arguments: &[&str]) -> String {
        run(self.command(arguments)).success()
    }
}

/// A server that ends with the value.
pub(crate) struct Server {
    process: Child,
    pub(crate) address: String,
}

impl Server {
    /// Starts a server that will listen on `address` (`host:port`, or the path of a socket) and waits until it does; the
    /// output goes to `log`. Fails with what the server said.
    pub(crate) fn start(mut command: Command, address: String, log: &Path) -> Result<Server, String> {
        let file = std::fs::File::create(log).expect("a log file");
        command.stdout(file.try_clone().expect("a log file")).stderr(file).stdin(Stdio::null());
        let process = command.spawn().unwrap_or_else(|error| panic!("{command:?}: {error}"));
        let mut server = Server { process, address };
        let started = Instant::now();
        while !server.listens() {
            let ended = server.process.try_wait().expect("a child");
            if ended.is_some() || started.elapsed() > START {
                let said = std::fs::read_to_string(log).unwrap_or_default();
                return Err(format!("{command:?}: {ended:?}\n{said}"));
            }
            std::thread::sleep(Duration::from_millis(20));
        }
        Ok(server)
    }

    /// Ends it as a crash would.
    pub(crate) fn kill(mut self) {
        self.process.kill().expect("a running server");
        self.process.wait().expect("a child");
    }

    fn listens(&self) -> bool {
        match self.address.starts_with('/') {
            true => std::os::unix::net::UnixStream::connect(&self.address).is_ok(),
            false => TcpStream::connect(&self.address).is_ok(),
        }
    }
}

impl Drop for Server {
    fn drop(&mut self) {
        if self.process.try_wait().is_ok_and(|status| status.is_some()) {
            return;
        }
        let _ = Command::new("kill").arg("-TERM").arg(self.process.id().to_string()).status();
        let ended = Instant::now();
        while self.process.try_wait().is_ok_and(|status| status.is_none()) {
            if ended.elapsed() > Duration::from_secs(10) {
                let _ = self.process.kill();
            }
            std::thread::sleep(Duration::from_millis(20));
        }
    }
}

/// An address on loopback that nobody listens on now.
pub(crate) fn free_address() -> String {
    TcpListener::bind("127.0.0.1:0").and_then(|listener| listener.local_addr()).expect("a free port").to_string()
}

/// Debian's `docker-registry`.
pub(crate) fn docker_registry(sandbox: &Sandbox) -> Server {
    let address = free_address();
    let (config, folder) = (sandbox.path("registry.yml"), sandbox.path("registry"));
    let text = format!(
        "version: 0.1\nstorage:\n  delete:\n    enabled: true\n  filesystem:\n    rootdirectory: {}\nhttp:\n  addr: {address}\n",
        folder.display()
    );
    std::fs::write(&config, text).unwrap();
    let command = program("docker-registry", [OsStr::new("serve"), config.as_os_str()]);
    Server::start(command, address, &sandbox.path("registry.log")).expect("a registry")
}

/// `strata registry serve` over the store of a sandbox.
pub(crate) fn strata_registry(sandbox: &Sandbox) -> Server {
    let address = free_address();
    let command = sandbox.command(&["registry", "serve", "--addr", &address]);
    Server::start(command, address, &sandbox.path("strata-registry.log")).expect("a registry")
}

/// A Docker daemon with a store of its own, and the `docker` program that speaks with it.
pub(crate) struct Docker {
    server: Server,
    configuration: PathBuf,
}

impl Docker {
    /// Starts a daemon; says why and gives `None` where there is none or it cannot run.
    pub(crate) fn start(sandbox: &Sandbox) -> Option<Docker> {
        Docker::start_with(sandbox, &[])
    }

    /// As [`Docker::start`], with more options of the daemon.
    pub(crate) fn start_with(sandbox: &Sandbox, options: &[&str]) -> Option<Docker> {
        if !have(&["root", "docker", "dockerd"]) {
            return None;
        }
        let folder = |name: &str| sandbox.path(&format!("docker-{name}"));
        let socket = folder("socket").display().to_string();
        let mut command = program("dockerd", ["--iptables=false", "--bridge=none", "--storage-driver=vfs"]);
        command.arg(format!("--host=unix://{socket}")).args(options);
        command.arg("--data-root").arg(folder("data")).arg("--exec-root").arg(folder("exec"));
        command.arg("--pidfile").arg(folder("pid"));
        let log = folder("log");
        match Server::start(command, socket, &log) {
            Ok(server) => Some(Docker { server, configuration: folder("configuration") }),
            Err(said) => {
                skip(&format!("a docker daemon that starts: {said}"));
                None
            }
        }
    }

    pub(crate) fn command(&self, arguments: &[&str]) -> Command {
        let mut command = program("docker", [format!("--host=unix://{}", self.server.address)]);
        command.args(arguments).env("DOCKER_CONFIG", &self.configuration);
        command
    }

    pub(crate) fn run(&self, arguments: &[&str]) -> Run {
        run(self.command(arguments))
    }

    /// A line that a person types into a shell where `docker` speaks with this daemon.
    pub(crate) fn shell(&self, line: &str) -> Command {
        let mut command = program("sh", ["-c", line]);
        command.env("DOCKER_HOST", format!("unix://{}", self.server.address)).env("DOCKER_CONFIG", &self.configuration);
        command
    }
}

/// A containerd with a store of its own, and the `ctr` program that speaks with it.
pub(crate) struct Containerd {
    server: Server,
}

impl Containerd {
    /// Starts it; says why and gives `None` where there is none or it cannot run.
    pub(crate) fn start(sandbox: &Sandbox) -> Option<Containerd> {
        if !have(&["root", "containerd", "ctr"]) {
            return None;
        }
        let folder = |name: &str| sandbox.path(&format!("containerd-{name}")).display().to_string();
        let configuration = format!(
            "version = 2\nroot = {:?}\nstate = {:?}\ndisabled_plugins = [\"io.containerd.grpc.v1.cri\"]\n\
             [grpc]\naddress = {:?}\n[ttrpc]\naddress = {:?}\n",
            folder("root"),
            folder("state"),
            folder("socket"),
            folder("ttrpc")
        );
        let file = folder("configuration");
        std::fs::write(&file, configuration).unwrap();
        match Server::start(program("containerd", ["-c", &file]), folder("socket"), folder("log").as_ref()) {
            Ok(server) => Some(Containerd { server }),
            Err(said) => {
                skip(&format!("a containerd that starts: {said}"));
                None
            }
        }
    }

    pub(crate) fn run(&self, arguments: &[&str]) -> Run {
        run(program("ctr", [&["-a", &self.server.address], arguments].concat()))
    }
}

/// A file system in memory, mounted while the value lives.
pub(crate) struct MemoryMount {
    pub(crate) target: PathBuf,
}

impl MemoryMount {
    pub(crate) fn new(target: PathBuf, options: &str) -> MemoryMount {
        std::fs::create_dir_all(&target).unwrap();
        output("mount", &["-t", "tmpfs", "-o", options, "none", target.to_str().unwrap()]);
        MemoryMount { target }
    }

    pub(crate) fn remount(&self, options: &str) {
        output("mount", &["-o", &format!("remount,{options}"), self.target.to_str().unwrap()]);
    }
}

impl Drop for MemoryMount {
    fn drop(&mut self) {
        let _ = Command::new("umount").arg("-l").arg(&self.target).status();
    }
}
