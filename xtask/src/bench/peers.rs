//! The tools that are measured, each behind the same questions: which commands do this, and how is the store emptied.
//!
//! Every daemon is started here, on a Unix socket in the bench folder, with a store on the same disk as Strata's, and
//! is stopped when dropped.

use super::measure::log_file;
use crate::process;
use anyhow::{Context as _, Result, bail};
use std::collections::BTreeSet;
use std::fs;
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Stdio};
use std::time::{Duration, Instant};

/// Something a tool is asked to do with an image (`registry/name:tag`) or an archive.
pub enum Task<'a> {
    Pull(&'a str),
    /// Of an image that is here already.
    PullAgain(&'a str),
    Load(&'a Path),
    Save(&'a str, &'a Path),
    Remove(&'a str),
    /// Makes its files visible in a directory, or wherever the tool likes.
    Mount(&'a str, &'a Path),
    Unmount(&'a str, &'a Path),
    List,
    DiskUsage,
    Inspect(&'a str),
    History(&'a str),
    /// A container that does nothing, to its end and its removal.
    Run(&'a str),
    /// [`MANY`] containers that wait, each started in the background, then all removed.
    RunMany(&'a str),
}

/// How many containers [`Task::RunMany`] starts.
pub const MANY: usize = 100;

/// Where a tool's commands run: here, or behind words that enter another tree.
#[derive(Clone, Default)]
pub struct Host {
    entering: Vec<String>,
}

impl Host {
    /// Commands follow these words.
    pub fn within<const N: usize>(words: [&str; N]) -> Self {
        Self { entering: words.map(str::to_owned).to_vec() }
    }

    /// A command of this program.
    pub fn command(&self, program: &str) -> Command {
        let Some((first, rest)) = self.entering.split_first() else {
            return Command::new(process::find(program).unwrap_or_else(|| program.into()));
        };
        let mut command = Command::new(first);
        command.args(rest).arg(program);
        command
    }
}

/// One tool with a store of its own.
pub trait Tool {
    fn name(&self) -> &str;

    /// The folder that the tool keeps everything in.
    fn store(&self) -> &Path;

    /// Makes the store empty, as on a machine that never pulled.
    fn clear(&self) -> Result<()>;

    /// The commands that do it; none when the tool has no such command.
    fn commands(&self, task: &Task<'_>) -> Option<Vec<Command>>;

    /// Processes whose CPU and memory belong to the tool beside its commands.
    fn daemons(&self) -> Vec<u32> {
        Vec::new()
    }
}

/// The product, with one way of syncing.
pub struct Strata {
    name: &'static str,
    program: PathBuf,
    pub root: PathBuf,
    sync: bool,
}

impl Strata {
    pub fn new(program: PathBuf, folder: &Path, sync: bool) -> Self {
        let (name, root) = if sync { ("strata", "strata") } else { ("strata --no-sync", "strata-no-sync") };
        Self { name, program, root: folder.join(root), sync }
    }

    pub fn program(&self) -> &Path {
        &self.program
    }

    /// `strata ARGUMENTS…` on this store.
    pub fn command(&self, arguments: &[&str]) -> Command {
        let mut command = Command::new(&self.program);
        command.arg("--root").arg(&self.root).args((!self.sync).then_some("--no-sync")).args(arguments);
        command
    }
}

impl Tool for Strata {
    fn name(&self) -> &str {
        self.name
    }

    fn store(&self) -> &Path {
        &self.root
    }

    fn clear(&self) -> Result<()> {
        remove_folder(&self.root)
    }

    fn commands(&self, task: &Task<'_>) -> Option<Vec<Command>> {
        Some(vec![match task {
            Task::Pull(image) | Task::PullAgain(image) => self.command(&["pull", "-q", image]),
            Task::Load(archive) => self.command(&["load", "-q", "-i", path(archive)]),
            Task::Save(image, archive) => self.command(&["save", "-o", path(archive), image]),
            Task::Remove(image) => self.command(&["rmi", image]),
            Task::Mount(image, directory) => self.command(&["image", "mount", image, path(directory)]),
            Task::Unmount(_, directory) => self.command(&["image", "unmount", path(directory)]),
            Task::List => self.command(&["images"]),
            Task::DiskUsage => self.command(&["system", "df"]),
            Task::Inspect(image) => self.command(&["inspect", image]),
            Task::History(image) => self.command(&["history", image]),
            Task::Run(image) => self.command(&run(image)),
            Task::RunMany(image) => run_many(image, |arguments| self.command(arguments)),
        }])
    }
}

/// Docker Engine: `dockerd` and the `docker` client.
pub struct Docker {
    name: String,
    host: Host,
    socket: String,
    data: PathBuf,
    daemon: Child,
}

impl Docker {
    pub fn start(host: &Host, folder: &Path, registry: &str) -> Result<Self> {
        let (data, run) = (folder.join("docker"), folder.join("run/docker"));
        fs::create_dir_all(&run)?;
        let socket = format!("unix://{}", folder.join("run/docker.sock").display());
        let mut command = host.command("dockerd");
        command.arg("--data-root").arg(&data).arg("--exec-root").arg(&run).args(["-H", &socket]);
        command.arg("--pidfile").arg(run.join("docker.pid")).args(["--iptables=false", "--bridge=none"]);
        command.args(["--insecure-registry", registry, "--storage-driver", "overlay2"]);
        let daemon = start(&mut command, &folder.join("docker.log"))?;
        let mut docker = Self { name: String::new(), host: host.clone(), socket, data, daemon };
        let version = wait_for(|| docker.docker(&["version", "--format", "{{.Server.Version}}"]), "dockerd")?;
        docker.name = format!("docker {}", version.trim().split(['+', '-']).next().unwrap_or_default());
        Ok(docker)
    }

    fn docker(&self, arguments: &[&str]) -> Command {
        let mut command = self.host.command("docker");
        command.args(["-H", &self.socket]).args(arguments);
        command
    }
}

impl Tool for Docker {
    fn name(&self) -> &str {
        &self.name
    }

    fn store(&self) -> &Path {
        &self.data
    }

    /// A layer that was just made is sometimes busy still, so removal is tried for a while.
    fn clear(&self) -> Result<()> {
        let deadline = Instant::now() + Duration::from_secs(20);
        loop {
            let images = process::capture(&mut self.docker(&["images", "-a", "-q", "--no-trunc"]))?;
            let images: BTreeSet<&str> = images.lines().collect();
            if images.is_empty() {
                return Ok(());
            }
            match process::capture(self.docker(&["rmi", "-f"]).args(images)) {
                Err(error) if Instant::now() > deadline => return Err(error),
                Err(_) => std::thread::sleep(Duration::from_millis(500)),
                Ok(_) => {}
            }
        }
    }

    fn commands(&self, task: &Task<'_>) -> Option<Vec<Command>> {
        Some(vec![match task {
            Task::Mount(..) | Task::Unmount(..) => return None,
            Task::DiskUsage => self.docker(&["system", "df"]),
            Task::Pull(image) | Task::PullAgain(image) => self.docker(&["pull", "-q", image]),
            Task::Load(archive) => self.docker(&["load", "-q", "-i", path(archive)]),
            Task::Save(image, archive) => self.docker(&["save", "-o", path(archive), image]),
            Task::Remove(image) => self.docker(&["rmi", image]),
            Task::List => self.docker(&["images"]),
            Task::Inspect(image) => self.docker(&["inspect", image]),
            Task::History(image) => self.docker(&["history", image]),
            Task::Run(image) => self.docker(&run(image)),
            Task::RunMany(image) => run_many(image, |arguments| self.docker(arguments)),
        }])
    }

    fn daemons(&self) -> Vec<u32> {
        with_children(self.daemon.id())
    }
}

impl Drop for Docker {
    fn drop(&mut self) {
        stop(&mut self.daemon);
    }
}

/// podman, with a store in the bench folder.
pub struct Podman {
    name: String,
    host: Host,
    root: PathBuf,
    run: PathBuf,
}

impl Podman {
    pub fn new(host: &Host, folder: &Path) -> Result<Self> {
        let version = process::capture(host.command("podman").arg("--version"))?;
        let name = format!("podman {}", version.split_whitespace().last().unwrap_or_default());
        Ok(Self { name, host: host.clone(), root: folder.join("podman"), run: folder.join("run/podman") })
    }

    fn podman(&self, arguments: &[&str]) -> Command {
        let mut command = self.host.command("podman");
        command.arg("--root").arg(&self.root).arg("--runroot").arg(&self.run);
        command.args(["--storage-driver", "overlay", "--cgroup-manager", "cgroupfs"]).args(arguments);
        command
    }
}

impl Tool for Podman {
    fn name(&self) -> &str {
        &self.name
    }

    fn store(&self) -> &Path {
        &self.root
    }

    fn clear(&self) -> Result<()> {
        process::capture(&mut self.podman(&["rmi", "-a", "-f"])).map(drop)
    }

    fn commands(&self, task: &Task<'_>) -> Option<Vec<Command>> {
        Some(vec![match task {
            Task::Pull(image) | Task::PullAgain(image) => self.podman(&["pull", "-q", "--tls-verify=false", image]),
            Task::Load(archive) => self.podman(&["load", "-q", "-i", path(archive)]),
            Task::Save(image, archive) => {
                let _ = fs::remove_file(archive); // podman will not write over an archive
                self.podman(&["save", "-q", "-o", path(archive), image])
            }
            Task::Remove(image) => self.podman(&["rmi", image]),
            Task::Mount(image, _) => self.podman(&["image", "mount", image]),
            Task::Unmount(image, _) => self.podman(&["image", "unmount", "-f", image]),
            Task::DiskUsage => self.podman(&["system", "df"]),
            Task::List => self.podman(&["images"]),
            Task::Inspect(image) => self.podman(&["inspect", image]),
            Task::History(image) => self.podman(&["history", image]),
            Task::Run(image) => self.podman(&run(image)),
            Task::RunMany(image) => run_many(image, |arguments| self.podman(arguments)),
        }])
    }
}

fn run(image: &str) -> [&str; 6] {
    ["run", "--rm", "--network", "none", image, "true"]
}

/// One command that runs the others one after the other, so that their start is counted once for each.
fn run_many(image: &str, tool: impl Fn(&[&str]) -> Command) -> Command {
    let names: Vec<String> = (0..MANY).map(|number| format!("bench-{number}")).collect();
    let mut script = "set -e\n".to_owned();
    for name in &names {
        let start = tool(&["run", "-d", "--network", "none", "--name", name, image, "sleep", "600"]);
        script.push_str(&(process::shown(&start) + "\n"));
    }
    let all = ["rm", "-f"].into_iter().chain(names.iter().map(String::as_str)).collect::<Vec<_>>();
    script.push_str(&process::shown(&tool(&all)));
    let mut shell = Command::new("sh");
    shell.args(["-c", &script]);
    shell
}

/// containerd with its own client `ctr`, unpacking into overlayfs snapshots.
pub struct Containerd {
    name: String,
    host: Host,
    root: PathBuf,
    socket: PathBuf,
    daemon: Child,
}

impl Containerd {
    pub fn start(host: &Host, folder: &Path) -> Result<Self> {
        let (root, socket) = (folder.join("containerd"), folder.join("run/containerd.sock"));
        fs::create_dir_all(folder.join("run"))?;
        let config = folder.join("containerd.toml");
        let text = format!(
            "version = 2\nroot = {:?}\nstate = {:?}\ndisabled_plugins = [\"io.containerd.grpc.v1.cri\", \
             \"io.containerd.snapshotter.v1.btrfs\", \"io.containerd.snapshotter.v1.zfs\", \
             \"io.containerd.snapshotter.v1.devmapper\"]\n[grpc]\naddress = {socket:?}\n",
            root,
            folder.join("run/containerd"),
        );
        fs::write(&config, text)?;
        let mut command = host.command("containerd");
        let daemon = start(command.arg("--config").arg(config), &folder.join("containerd.log"))?;
        let mut containerd = Self { name: String::new(), host: host.clone(), root, socket, daemon };
        let version = wait_for(|| containerd.ctr(&["version"]), "containerd")?;
        let server = version.lines().rfind(|line| line.contains("Version:")).unwrap_or_default();
        let number = server.split_whitespace().last().unwrap_or_default().trim_start_matches('v');
        containerd.name = format!("containerd {}", number.split(['~', '+']).next().unwrap_or_default());
        Ok(containerd)
    }

    fn ctr(&self, arguments: &[&str]) -> Command {
        let mut command = self.host.command("ctr");
        command.arg("--address").arg(&self.socket).args(arguments);
        command
    }
}

impl Tool for Containerd {
    fn name(&self) -> &str {
        &self.name
    }

    fn store(&self) -> &Path {
        &self.root
    }

    fn clear(&self) -> Result<()> {
        let images = process::capture(&mut self.ctr(&["images", "ls", "-q"]))?;
        for image in images.lines() {
            process::capture(&mut self.ctr(&["images", "rm", "--sync", image]))?;
        }
        Ok(())
    }

    fn commands(&self, task: &Task<'_>) -> Option<Vec<Command>> {
        Some(vec![match task {
            Task::Pull(image) | Task::PullAgain(image) => self.ctr(&["images", "pull", "--plain-http", image]),
            Task::Load(archive) => self.ctr(&["images", "import", path(archive)]),
            Task::Save(image, archive) => self.ctr(&["images", "export", path(archive), image]),
            Task::Remove(image) => self.ctr(&["images", "rm", "--sync", image]),
            Task::List => self.ctr(&["images", "ls"]),
            Task::Mount(image, directory) => self.ctr(&["images", "mount", image, path(directory)]),
            Task::Unmount(_, directory) => self.ctr(&["images", "unmount", "--rm", path(directory)]),
            Task::Inspect(_) | Task::History(_) | Task::DiskUsage | Task::Run(_) | Task::RunMany(_) => return None,
        }])
    }

    fn daemons(&self) -> Vec<u32> {
        vec![self.daemon.id()]
    }
}

impl Drop for Containerd {
    fn drop(&mut self) {
        stop(&mut self.daemon);
    }
}

/// skopeo into an OCI layout, then umoci to unpack it: no store, no deduplication, no sync.
pub struct SkopeoUmoci {
    root: PathBuf,
}

impl SkopeoUmoci {
    pub fn new(folder: &Path) -> Self {
        Self { root: folder.join("skopeo-umoci") }
    }
}

impl Tool for SkopeoUmoci {
    fn name(&self) -> &str {
        "skopeo + umoci"
    }

    fn store(&self) -> &Path {
        &self.root
    }

    fn clear(&self) -> Result<()> {
        remove_folder(&self.root)?;
        Ok(fs::create_dir_all(&self.root)?)
    }

    fn commands(&self, task: &Task<'_>) -> Option<Vec<Command>> {
        let Task::Pull(image) = task else { return None };
        let layout = format!("{}:image", self.root.join("layout").display());
        let mut copy = Command::new("skopeo");
        copy.args(["copy", "-q", "--src-tls-verify=false", &format!("docker://{image}"), &format!("oci:{layout}")]);
        let mut unpack = Command::new("umoci");
        unpack.args(["unpack", "--image", &layout]).arg(self.root.join("bundle"));
        Some(vec![copy, unpack])
    }
}

/// `docker-registry` with the corpus; the one that runs already is used.
pub struct Registry {
    daemon: Option<Child>,
}

impl Registry {
    pub fn start(folder: &Path, address: &str) -> Result<Self> {
        if std::net::TcpStream::connect(address).is_ok() {
            return Ok(Self { daemon: None });
        }
        let config = folder.join("registry.yml");
        if !config.exists() {
            bail!("no corpus in {}; `cargo xtask corpus` builds it", folder.display());
        }
        let mut command = Command::new(process::find("docker-registry").context("docker-registry is not installed")?);
        let daemon = start(command.arg("serve").arg(config), &folder.join("registry.log"))?;
        let deadline = Instant::now() + Duration::from_secs(10);
        while std::net::TcpStream::connect(address).is_err() {
            if Instant::now() > deadline {
                bail!("docker-registry does not answer on {address}");
            }
            std::thread::sleep(Duration::from_millis(50));
        }
        Ok(Self { daemon: Some(daemon) })
    }
}

impl Drop for Registry {
    fn drop(&mut self) {
        if let Some(daemon) = &mut self.daemon {
            stop(daemon);
        }
    }
}

pub fn start(command: &mut Command, log: &Path) -> Result<Child> {
    let log = log_file(log)?;
    command.stdin(Stdio::null()).stdout(log.try_clone()?).stderr(log);
    command.spawn().with_context(|| format!("starting {}", process::shown(command)))
}

/// Asks daemons to end, as they clean up their mounts; then insists.
pub fn stop(daemon: &mut Child) {
    let _ = Command::new("kill").arg(daemon.id().to_string()).status();
    for _ in 0..200 {
        if !matches!(daemon.try_wait(), Ok(None)) {
            return;
        }
        std::thread::sleep(Duration::from_millis(50));
    }
    let _ = daemon.kill();
    let _ = daemon.wait();
}

fn wait_for(question: impl Fn() -> Command, daemon: &str) -> Result<String> {
    let deadline = Instant::now() + Duration::from_secs(20);
    loop {
        match process::capture(&mut question()) {
            Ok(answer) => return Ok(answer),
            Err(error) if Instant::now() > deadline => return Err(error.context(format!("{daemon} does not answer"))),
            Err(_) => std::thread::sleep(Duration::from_millis(100)),
        }
    }
}

/// A process and what it started (dockerd starts its own containerd, from any of its threads).
fn with_children(pid: u32) -> Vec<u32> {
    let threads = fs::read_dir(format!("/proc/{pid}/task")).into_iter().flatten().flatten();
    let lists = threads.map(|thread| fs::read_to_string(thread.path().join("children")).unwrap_or_default());
    let children = lists.flat_map(|list| list.split_whitespace().map(str::to_owned).collect::<Vec<_>>());
    std::iter::once(pid).chain(children.filter_map(|child| child.parse().ok())).collect()
}

fn remove_folder(folder: &Path) -> Result<()> {
    match fs::remove_dir_all(folder) {
        Err(error) if error.kind() != std::io::ErrorKind::NotFound => {
            Err(error).with_context(|| format!("removing {}", folder.display()))
        }
        _ => Ok(()),
    }
}

fn path(path: &Path) -> &str {
    path.to_str().expect("the bench folder's paths are UTF-8")
}
