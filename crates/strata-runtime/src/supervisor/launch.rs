//! What the loop needs from whoever makes the container's processes.

use std::os::fd::OwnedFd;
use std::process::Child;

use crate::cgroup::{Cgroup, Warning};
use crate::error::{RuntimeError, StartError};

use super::streams::Stdio;

/// An init that runs its program.
#[derive(Debug)]
pub(crate) struct Launched {
    pub(crate) pid: u32,
    pub(crate) pidfd: OwnedFd,
    /// The master of its terminal, when [`Stdio::Terminal`] was asked for.
    pub(crate) terminal: Option<OwnedFd>,
    /// What this machine cannot limit.
    pub(crate) warnings: Vec<Warning>,
}

/// Makes the container's processes.
pub(crate) trait Launcher {
    /// Starts init, with its control groups, hooks and mounts. Returns when its program is executed.
    fn launch(&mut self, stdio: Stdio) -> Result<Launched, StartError>;

    /// The control groups of the init that was launched last.
    fn cgroup(&self) -> &Cgroup;

    /// Their path.
    fn cgroup_path(&self) -> String;

    /// Starts a program in the running container, which writes to `output`.
    fn probe(&mut self, test: &[String], output: OwnedFd) -> Result<Child, RuntimeError>;

    /// Init ended, or could not be launched: removes its control groups and runs the hooks for its end.
    fn ended(&mut self);
}

impl<L: Launcher + ?Sized> Launcher for Box<L> {
    fn launch(&mut self, stdio: Stdio) -> Result<Launched, StartError> {
        (**self).launch(stdio)
    }

    fn cgroup(&self) -> &Cgroup {
        (**self).cgroup()
    }

    fn cgroup_path(&self) -> String {
        (**self).cgroup_path()
    }

    fn probe(&mut self, test: &[String], output: OwnedFd) -> Result<Child, RuntimeError> {
        (**self).probe(test, output)
    }

    fn ended(&mut self) {
        (**self).ended();
    }
}
