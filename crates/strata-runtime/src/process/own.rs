//! Our own OCI runtime: from a configuration to an init that runs its program.

use std::fs;
use std::os::fd::{AsFd, OwnedFd};
use std::path::{Path, PathBuf};
use std::process::Child;

use oci_spec::runtime::{ContainerState, LinuxNamespaceType, Spec};
use rustix::process::{WaitId, WaitIdOptions, waitid};

use super::channel::Channel;
use super::exec::{ExecProcess, ExecSpec, exec};
use super::hooks::Subject;
use super::identity::Confinement;
use super::init::Init;
use super::message::{FromInit, ToInit};
use super::namespaces::Namespaces;
use super::sys::{self, Cloned};
use super::{Streams, bundle, id_maps, requirements};
use crate::cgroup::{Cgroup, Limits, Warning};
use crate::error::{RuntimeError, StartError};
use crate::supervisor::plan::SupervisorPlan;
use crate::supervisor::{Launched, Launcher, Stdio, send_signal};

/// A container that this program makes itself.
pub(crate) struct Own {
    directory: PathBuf,
    container: String,
    spec: Spec,
    rootless: bool,
    path: String,
    cgroup: Cgroup,
    reaps: bool,
}

impl Own {
    /// Mounts the root file system where only this process and its children see it. `rootless`: this process entered the
    /// container's user namespace already.
    pub(crate) fn new(directory: &Path, plan: &SupervisorPlan, rootless: bool) -> Result<Own, StartError> {
        let prepare = || {
            let spec = requirements::checked(bundle::configuration(directory)?)?;
            bundle::mount_root(plan)?;
            let path = bundle::cgroup_path(&spec, plan.cgroup_parent.as_deref(), &plan.container);
            let cgroup = Cgroup::open(&path)?;
            let (directory, container) = (directory.to_owned(), plan.container.clone());
            Ok(Own { directory, container, spec, rootless, path, cgroup, reaps: plan.init })
        };
        prepare().map_err(RuntimeError::into_start_error)
    }

    /// Control groups with the limits of the configuration.
    fn limit(&mut self) -> Result<Vec<Warning>, RuntimeError> {
        let (cgroup, mut warnings) = Cgroup::create(&self.path)?;
        self.cgroup = cgroup;
        // They may have been changed since the last start.
        self.spec = requirements::checked(bundle::configuration(&self.directory)?)?;
        let resources = self.spec.linux().as_ref().and_then(|linux| linux.resources().as_ref());
        if let Some(resources) = resources {
            warnings.extend(self.cgroup.set(&Limits::from(resources))?);
        }
        Ok(warnings)
    }

    fn make(&mut self, stdio: Stdio) -> Result<Launched, StartError> {
        let mut warnings = self.limit().map_err(RuntimeError::into_start_error)?;
        let (pid, pidfd, channel) = self.clone_init(stdio).map_err(RuntimeError::into_start_error)?;
        match self.lead(pid, &channel, &mut warnings) {
            Ok(terminal) => Ok(Launched { pid, pidfd, terminal, warnings }),
            Err(error) => {
                let _ = send_signal(&pidfd, libc::SIGKILL);
                let _ = waitid(WaitId::PidFd(pidfd.as_fd()), WaitIdOptions::EXITED);
                Err(error)
            }
        }
    }

    fn clone_init(&self, stdio: Stdio) -> Result<(u32, OwnedFd, Channel), RuntimeError> {
        let (Some(linux), Some(process)) = (self.spec.linux(), self.spec.process()) else {
            return Err(RuntimeError::Invalid("the configuration has no linux or process".to_owned()));
        };
        let mut wanted = linux.namespaces().clone().unwrap_or_default();
        if self.rootless {
            wanted.retain(|namespace| namespace.typ() != LinuxNamespaceType::User);
        }
        let namespaces = Namespaces::of(&wanted)?;
        let confinement = Confinement::of(&self.spec, process, false)?;
        let failed = |cause| RuntimeError::system("making the container's init", cause);
        let (here, there) = Channel::pair().map_err(failed)?;
        let streams = match stdio {
            Stdio::Pipes(streams) => Streams::Descriptors(streams),
            Stdio::Terminal => Streams::Terminal,
        };
        let init = Init {
            spec: &self.spec,
            linux,
            process,
            container: &self.container,
            bundle: &self.directory,
            namespaces: &namespaces,
            confinement: &confinement,
            in_user_namespace: self.rootless
                || namespaces.has(LinuxNamespaceType::User)
                || strata_rootfs::in_user_namespace(),
            reaps: self.reaps,
        };
        let own = namespaces.join_processes()?;
        let cloned = sys::clone(namespaces.clone_flags());
        if let Ok(Cloned::Child) = cloned {
            drop(here);
            init.run(there, streams)
        }
        Namespaces::leave_processes(own)?;
        match cloned.map_err(failed)? {
            Cloned::Parent(pid, pidfd) => Ok((pid, pidfd, here)),
            Cloned::Child => sys::leave(1),
        }
    }

    /// From a clone that waits to one that runs the program.
    fn lead(
        &mut self,
        pid: u32,
        channel: &Channel,
        warnings: &mut Vec<Warning>,
    ) -> Result<Option<OwnedFd>, StartError> {
        warnings.extend(self.outside(pid).map_err(RuntimeError::into_start_error)?);
        let lost = |cause: std::io::Error| RuntimeError::system("speaking with init", cause).into_start_error();
        channel.send(&ToInit::Prepare, &[]).map_err(lost)?;
        let terminal = match channel.receive::<FromInit>().map_err(lost)? {
            Some((FromInit::Ready, descriptors)) => descriptors.into_iter().next(),
            Some((FromInit::Failed(failure), _)) => return Err(failure.into()),
            None => return Err(ended("before the container was made")),
        };
        channel.send(&ToInit::Start, &[]).map_err(lost)?;
        match channel.receive::<FromInit>().map_err(lost)? {
            // Closed by execve.
            None => {}
            Some((FromInit::Failed(failure), _)) => return Err(failure.into()),
            Some((FromInit::Ready, _)) => return Err(ended("in disorder")),
        }
        let hooks = self.spec.hooks().as_ref().and_then(|hooks| hooks.poststart().as_ref());
        let started = self.subject(Some(pid)).run(hooks, ContainerState::Running);
        started.map_err(RuntimeError::into_start_error)?;
        Ok(terminal)
    }

    /// What only somebody outside can do for init.
    fn outside(&mut self, pid: u32) -> Result<Vec<Warning>, RuntimeError> {
        let linux = self.spec.linux().as_ref();
        let new_users = linux
            .and_then(|linux| linux.namespaces().as_ref())
            .into_iter()
            .flatten()
            .any(|namespace| namespace.typ() == LinuxNamespaceType::User && namespace.path().is_none());
        if new_users && !self.rootless {
            let maps = |maps: Option<&Option<Vec<_>>>| maps.and_then(|maps| maps.clone()).unwrap_or_default();
            let users = maps(linux.map(|linux| linux.uid_mappings()));
            let groups = maps(linux.map(|linux| linux.gid_mappings()));
            id_maps::write(pid, &users, &groups)?;
        }
        let warnings = self.cgroup.add(pid)?;
        if let Some(score) = self.spec.process().as_ref().and_then(|process| process.oom_score_adj()) {
            let path = format!("/proc/{pid}/oom_score_adj");
            fs::write(&path, score.to_string())
                .map_err(|cause| RuntimeError::system(format!("writing {score} to {path}"), cause))?;
        }
        if let Some(hooks) = self.spec.hooks() {
            let subject = self.subject(Some(pid));
            // Deprecated, but told to be run at the same moment.
            #[allow(deprecated)]
            subject.run(hooks.prestart().as_ref(), ContainerState::Creating)?;
            subject.run(hooks.create_runtime().as_ref(), ContainerState::Creating)?;
        }
        Ok(warnings)
    }

    fn subject(&self, pid: Option<u32>) -> Subject<'_> {
        Subject { spec: &self.spec, container: &self.container, bundle: &self.directory, pid }
    }
}

impl Launcher for Own {
    fn launch(&mut self, stdio: Stdio) -> Result<Launched, StartError> {
        self.make(stdio)
    }

    fn cgroup(&self) -> &Cgroup {
        &self.cgroup
    }

    fn cgroup_path(&self) -> String {
        self.path.clone()
    }

    fn probe(&mut self, test: &[String], output: OwnedFd) -> Result<Child, RuntimeError> {
        let failed = |cause| RuntimeError::system("running a probe", cause);
        let null = fs::File::open("/dev/null").map_err(failed)?;
        let errors = output.try_clone().map_err(failed)?;
        let program = ExecSpec { args: test.to_vec(), ..ExecSpec::default() };
        let streams = [null.into(), output, errors];
        exec(&self.directory, &program, streams).map(ExecProcess::into_child)
    }

    fn ended(&mut self) {
        let _ = self.cgroup.remove();
        // Nobody is there who could do something about a hook that fails now.
        let _ = self.subject(None).run_poststop();
    }
}

fn ended(when: &str) -> StartError {
    StartError { exit_code: 125, message: format!("the container's init ended {when}") }
}
