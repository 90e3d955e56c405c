//! Containers made by another OCI runtime (runc, crun) out of the same directory, which is a bundle.
//!
//! The runtime keeps its own state in `runtime/` beside the bundle. The init that it makes becomes this process's child when
//! the runtime's own process ends, since this process adopts orphans.

use std::fs;
use std::io;
use std::mem::MaybeUninit;
use std::os::fd::{AsFd, OwnedFd};
use std::os::unix::net::UnixListener;
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Output, Stdio as Standard};

use oci_spec::runtime::Spec;
use rustix::fs::{CWD, Mode, OFlags, openat};
use rustix::net::{RecvAncillaryBuffer, RecvAncillaryMessage, RecvFlags, recvmsg};
use rustix::process::{Pid, PidfdFlags, pidfd_open, set_child_subreaper};

use crate::cgroup::Cgroup;
use crate::error::{RuntimeError, StartError};
use crate::process::{additional_groups, cgroup_path, configuration, mount_root};
use crate::user::Accounts;

use super::launch::{Launched, Launcher};
use super::plan::SupervisorPlan;
use super::streams::Stdio;

/// A container of another runtime.
pub(crate) struct External {
    runtime: PathBuf,
    directory: PathBuf,
    container: String,
    path: String,
    cgroup: Cgroup,
}

impl External {
    /// Mounts the root file system where only this process and the runtime see it.
    pub(crate) fn new(directory: &Path, plan: &SupervisorPlan, runtime: &Path) -> Result<External, StartError> {
        External::prepare(directory, plan, runtime).map_err(RuntimeError::into_start_error)
    }

    fn prepare(directory: &Path, plan: &SupervisorPlan, runtime: &Path) -> Result<External, RuntimeError> {
        set_child_subreaper(Some(rustix::process::getpid()))
            .map_err(|errno| RuntimeError::system("adopting the container's init", errno))?;
        mount_root(plan)?;
        let mut spec = configuration(directory)?;
        write_user(directory, &mut spec)?;
        let path = cgroup_path(&spec, plan.cgroup_parent.as_deref(), &plan.container);
        Ok(External {
            runtime: runtime.to_owned(),
            directory: directory.to_owned(),
            container: plan.container.clone(),
            cgroup: Cgroup::open(&path)?,
            path,
        })
    }

    fn command(&self, verb: &str) -> Command {
        command(&self.runtime, &self.directory, verb)
    }

    fn create(&self, stdio: Stdio) -> Result<Option<OwnedFd>, RuntimeError> {
        let mut create = self.command("create");
        create.arg("--bundle").arg(&self.directory).arg("--pid-file").arg(self.directory.join("runtime/pid"));
        let console = match stdio {
            Stdio::Pipes([stdin, stdout, stderr]) => {
                create.stdin(stdin).stdout(stdout).stderr(stderr);
                None
            }
            Stdio::Terminal => {
                create.stdin(Standard::null()).stdout(Standard::null()).stderr(Standard::null());
                let console = Console::new()?;
                create.arg("--console-socket").arg(&console.path);
                Some(console)
            }
        };
        let status = create.arg(&self.container).status();
        // Our copies of the program's ends of its pipes, which would keep them open.
        drop(create);
        let status =
            status.map_err(|cause| RuntimeError::system(format!("running {}", self.runtime.display()), cause))?;
        if !status.success() {
            return Err(self.failure("create").into());
        }
        console.map(|console| console.terminal()).transpose()
    }

    fn failure(&self, verb: &str) -> StartError {
        let log = fs::read_to_string(self.directory.join("runtime/log.json")).unwrap_or_default();
        let entries = log.lines().filter_map(|line| serde_json::from_str::<serde_json::Value>(line).ok());
        let errors = entries.filter(|entry| entry["level"] == "error" || entry["level"] == "fatal");
        let last = errors.filter_map(|entry| entry["msg"].as_str().map(str::to_owned)).next_back();
        let message = last.unwrap_or_else(|| "it does not say why".to_owned());
        // As docker tells them apart: by what the runtime says.
        let exit_code =
            if message.contains("executable file not found") || message.contains("no such file or directory") {
                127
            } else if message.contains("permission denied") || message.contains("is a directory") {
                126
            } else {
                125
            };
        StartError { exit_code, message: format!("{} {verb}: {message}", self.runtime.display()) }
    }
}

/// Writes the user of the configuration as numbers: OCI runtimes take no names, and would run the program as root.
fn write_user(directory: &Path, spec: &mut Spec) -> Result<(), RuntimeError> {
    let Some(process) = spec.process().clone() else { return Ok(()) };
    let mut user = process.user().clone();
    let Some(name) = user.username().clone().filter(|name| !name.is_empty()) else { return Ok(()) };
    let root = directory.join("rootfs");
    let root = openat(CWD, &root, OFlags::PATH | OFlags::DIRECTORY | OFlags::CLOEXEC, Mode::empty())
        .map_err(|cause| RuntimeError::system(format!("opening {}", root.display()), cause))?;
    let identity = Accounts::read(root.as_fd()).resolve(&name, &additional_groups(spec, &process))?;
    user.set_uid(identity.uid).set_gid(identity.gid).set_additional_gids(Some(identity.groups));
    if let Some(process) = spec.process_mut() {
        process.set_user(user);
    }
    let (path, new) = (directory.join("config.json"), directory.join("config.json.new"));
    spec.save(&new).map_err(|error| RuntimeError::document(&new, error))?;
    fs::rename(&new, &path).map_err(|cause| RuntimeError::system(format!("writing {}", path.display()), cause))
}

impl Launcher for External {
    fn launch(&mut self, stdio: Stdio) -> Result<Launched, StartError> {
        delete(&self.runtime, &self.directory, &self.container);
        let prepared = fs::create_dir_all(self.directory.join("runtime"));
        prepared.map_err(|cause| RuntimeError::system("making the runtime's directory", cause).into_start_error())?;
        let terminal = self.create(stdio).map_err(RuntimeError::into_start_error)?;
        let opened = || -> io::Result<(u32, OwnedFd)> {
            let text = fs::read_to_string(self.directory.join("runtime/pid"))?;
            let pid: i32 = text.trim().parse().map_err(|_| io::ErrorKind::InvalidData)?;
            let process = Pid::from_raw(pid).ok_or(io::ErrorKind::InvalidData)?;
            Ok((pid.unsigned_abs(), pidfd_open(process, PidfdFlags::empty())?))
        };
        let (pid, pidfd) = opened().map_err(|cause| {
            RuntimeError::system(format!("opening the init that {} made", self.runtime.display()), cause)
                .into_start_error()
        })?;
        self.cgroup = Cgroup::open(&self.path).map_err(RuntimeError::into_start_error)?;
        let started = self.command("start").arg(&self.container).stderr(Standard::null()).status();
        if !started.is_ok_and(|status| status.success()) {
            let failure = self.failure("start");
            delete(&self.runtime, &self.directory, &self.container);
            return Err(failure);
        }
        Ok(Launched { pid, pidfd, terminal, warnings: Vec::new() })
    }

    fn cgroup(&self) -> &Cgroup {
        &self.cgroup
    }

    fn cgroup_path(&self) -> String {
        self.path.clone()
    }

    fn probe(&mut self, test: &[String], output: OwnedFd) -> Result<Child, RuntimeError> {
        let failed = |cause| RuntimeError::system("running a probe", cause);
        let errors = output.try_clone().map_err(failed)?;
        let mut exec = self.command("exec");
        exec.arg(&self.container).args(test).stdin(Standard::null()).stdout(output).stderr(errors);
        exec.spawn().map_err(failed)
    }

    fn ended(&mut self) {
        delete(&self.runtime, &self.directory, &self.container);
        let _ = self.cgroup.remove();
    }
}

fn command(runtime: &Path, directory: &Path, verb: &str) -> Command {
    let state = directory.join("runtime");
    let mut command = Command::new(runtime);
    command.arg("--root").arg(&state);
    command.arg("--log").arg(state.join("log.json")).args(["--log-format", "json", verb]);
    command
}

/// Removes what the runtime knows of a container, with its processes. Repeatable.
pub(crate) fn delete(runtime: &Path, directory: &Path, container: &str) {
    if directory.join("runtime").join(container).exists() {
        let _: io::Result<Output> = command(runtime, directory, "delete").args(["--force", container]).output();
    }
    let _ = fs::remove_file(directory.join("runtime/log.json"));
}

/// The socket over which a runtime hands over the terminal that it made. Its path has to be short.
struct Console {
    listener: UnixListener,
    path: PathBuf,
}

impl Console {
    fn new() -> Result<Console, RuntimeError> {
        let path = std::env::temp_dir().join(format!("strata-console-{}", std::process::id()));
        let _ = fs::remove_file(&path);
        let listener = UnixListener::bind(&path)
            .map_err(|cause| RuntimeError::system(format!("listening on {}", path.display()), cause))?;
        Ok(Console { listener, path })
    }

    /// What the runtime sent before it ended.
    fn terminal(&self) -> Result<OwnedFd, RuntimeError> {
        let receive = || -> io::Result<OwnedFd> {
            self.listener.set_nonblocking(true)?;
            let (socket, _) = self.listener.accept()?;
            let mut space = [MaybeUninit::uninit(); rustix::cmsg_space!(ScmRights(1))];
            let mut control = RecvAncillaryBuffer::new(&mut space);
            let mut name = [0; 4096];
            let mut buffers = [io::IoSliceMut::new(&mut name)];
            recvmsg(&socket, &mut buffers, &mut control, RecvFlags::CMSG_CLOEXEC)?;
            let mut descriptors = control.drain().filter_map(|message| match message {
                RecvAncillaryMessage::ScmRights(mut descriptors) => descriptors.next(),
                _ => None,
            });
            descriptors.next().ok_or_else(|| io::ErrorKind::UnexpectedEof.into())
        };
        receive().map_err(|cause| RuntimeError::system("taking over the terminal of the runtime", cause))
    }
}

impl Drop for Console {
    fn drop(&mut self) {
        let _ = fs::remove_file(&self.path);
    }
}
