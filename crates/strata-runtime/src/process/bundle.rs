//! What is read from a container's directory, and its root file system.

use std::io;
use std::path::Path;

use oci_spec::runtime::Spec;
use rustix::io::Errno;
use rustix::thread::UnshareFlags;
use strata_rootfs::RootfsError;

use super::sys;
use crate::cgroup::Cgroup;
use crate::error::RuntimeError;
use crate::supervisor::plan::SupervisorPlan;

/// `config.json`, with a root and a process.
pub(crate) fn configuration(directory: &Path) -> Result<Spec, RuntimeError> {
    let path = directory.join("config.json");
    let spec = Spec::load(&path).map_err(|error| RuntimeError::document(&path, error))?;
    if spec.root().is_none() || spec.process().is_none() || spec.linux().is_none() {
        return Err(RuntimeError::document(&path, "it has no root, process or linux"));
    }
    Ok(spec)
}

/// The path of the container's control groups.
pub(crate) fn cgroup_path(spec: &Spec, parent: Option<&str>, container: &str) -> String {
    let configured = spec.linux().as_ref().and_then(|linux| linux.cgroups_path().as_ref());
    match configured.and_then(|path| path.to_str()) {
        Some(path) if !path.is_empty() => path.to_owned(),
        _ => Cgroup::path(parent, container),
    }
}

/// Leaves the machine's mount namespace and mounts the container's root where only this process and its children see it.
pub(crate) fn mount_root(plan: &SupervisorPlan) -> Result<(), RuntimeError> {
    let mounting = |error: RootfsError| RuntimeError::system("mounting the container's root", io::Error::other(error));
    sys::unshare(UnshareFlags::NEWNS)
        .map_err(|cause| RuntimeError::system("leaving the mount namespace of the machine", cause))?;
    strata_rootfs::make_private().map_err(mounting)?;
    // What is to be extracted is there before a supervisor is started.
    let missing = |path: &Path| RootfsError::System {
        action: "finding directory",
        path: path.to_owned(),
        cause: Errno::NOENT.into(),
    };
    plan.mount.realize(&mut |path| Err(missing(path))).map_err(mounting)
}
