//! A launcher of plain processes in control groups.

use std::fs::OpenOptions;
use std::os::fd::{AsRawFd as _, OwnedFd};
use std::os::unix::ffi::OsStrExt as _;
use std::path::{Path, PathBuf};
use std::process::{Child, Command};

use rustix::process::{Pid, PidfdFlags, pidfd_open};
use rustix::pty::{OpenptFlags, openpt, ptsname, unlockpt};

use crate::cgroup::Cgroup;
use crate::error::{RuntimeError, StartError};
use crate::supervisor::plan::SupervisorPlan;
use crate::supervisor::{Launched, Launcher, Stdio};

pub(super) struct Plain {
    directory: PathBuf,
    path: String,
    cgroup: Cgroup,
}

impl Plain {
    pub(super) fn new(directory: &Path, plan: &SupervisorPlan) -> Result<Plain, StartError> {
        let path = Cgroup::path(plan.cgroup_parent.as_deref(), &plan.container);
        let cgroup = Cgroup::open(&path).map_err(RuntimeError::into_start_error)?;
        Ok(Plain { directory: directory.to_owned(), path, cgroup })
    }

    fn spawn(&mut self, stdio: Stdio) -> Result<(Child, Option<OwnedFd>), std::io::Error> {
        let mut command = Command::new("setsid");
        let (stdin, stdout, stderr, terminal) = match stdio {
            Stdio::Pipes([stdin, stdout, stderr]) => (stdin, stdout, stderr, None),
            Stdio::Terminal => {
                let master = openpt(OpenptFlags::RDWR | OpenptFlags::NOCTTY | OpenptFlags::CLOEXEC)?;
                unlockpt(&master)?;
                let name = ptsname(&master, Vec::new())?;
                let slave =
                    OpenOptions::new().read(true).write(true).open(std::ffi::OsStr::from_bytes(name.as_bytes()))?;
                command.arg("--ctty");
                (slave.try_clone()?.into(), slave.try_clone()?.into(), slave.into(), Some(master))
            }
        };
        let child = command
            .args(["sh", "script"])
            .current_dir(&self.directory)
            .stdin(stdin)
            .stdout(stdout)
            .stderr(stderr)
            .spawn()?;
        Ok((child, terminal))
    }
}

impl Launcher for Plain {
    fn launch(&mut self, stdio: Stdio) -> Result<Launched, StartError> {
        if !self.directory.join("script").exists() {
            return Err(StartError { exit_code: 127, message: "no script".to_owned() });
        }
        let (mut cgroup, warnings) = Cgroup::create(&self.path).map_err(RuntimeError::into_start_error)?;
        let (child, terminal) =
            self.spawn(stdio).map_err(|cause| RuntimeError::system("running sh", cause).into_start_error())?;
        let _ = cgroup.add(child.id());
        self.cgroup = cgroup;
        let pid = Pid::from_child(&child);
        let pidfd = pidfd_open(pid, PidfdFlags::empty())
            .map_err(|errno| RuntimeError::system("opening a process", errno).into_start_error())?;
        assert!(pidfd.as_raw_fd() > 2);
        Ok(Launched { pid: child.id(), pidfd, terminal, warnings })
    }

    fn cgroup(&self) -> &Cgroup {
        &self.cgroup
    }

    fn cgroup_path(&self) -> String {
        self.path.clone()
    }

    fn probe(&mut self, test: &[String], output: OwnedFd) -> Result<Child, RuntimeError> {
        let failed = |cause| RuntimeError::system("running a probe", cause);
        Command::new(&test[0])
            .args(&test[1..])
            .current_dir(&self.directory)
            .stderr(output.try_clone().map_err(failed)?)
            .stdout(output)
            .spawn()
            .map_err(failed)
    }

    fn ended(&mut self) {
        let _ = self.cgroup.remove();
    }
}
