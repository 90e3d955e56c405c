//! Containers of users without privileges: who makes them enters a user namespace, in which it is root.

use std::fs;
use std::os::fd::AsFd;
use std::path::Path;

use oci_spec::runtime::LinuxIdMapping;
use rustix::fs::{Gid, Uid};
use rustix::process::{Pid, PidfdFlags, WaitId, WaitIdOptions, getpid, pidfd_open, waitid};
use rustix::thread::{
    ThreadNameSpaceType, UnshareFlags, move_into_thread_name_spaces, set_thread_res_gid, set_thread_res_uid,
};

use super::channel::Channel;
use super::sys::{self, Cloned};
use super::{bundle, id_maps};
use crate::error::RuntimeError;
use crate::state::state;

/// Makes an ordinary user's process root of a user namespace with all the IDs that the user may have, and of a mount
/// namespace of its own. It is the one of the user's containers below `containers` when one of them runs, so that all that
/// live at a time may work on each other. Nothing happens to who is root already. The process must have one thread.
///
/// # Errors
/// `Unsupported` when the machine does not let users have such namespaces, saying what is missing.
pub fn enter_user_namespace(containers: &Path) -> Result<(), RuntimeError> {
    if rustix::process::geteuid().is_root() {
        return Ok(());
    }
    if !join_running(containers) {
        let (users, groups) = id_maps::rootless_maps();
        make(&users, &groups)?;
    }
    sys::unshare(UnshareFlags::NEWNS)
        .map_err(|cause| RuntimeError::system("leaving the mount namespace of the machine", cause))
}

/// Whether a container runs whose user namespace this process is in now.
fn join_running(containers: &Path) -> bool {
    let entries = fs::read_dir(containers).into_iter().flatten().flatten();
    let running = entries.filter_map(|entry| state(&entry.path()).ok()).filter(|state| state.pid != 0);
    let mut handles =
        running.filter_map(|state| pidfd_open(Pid::from_raw(state.pid.cast_signed())?, PidfdFlags::empty()).ok());
    handles.any(|init| {
        move_into_thread_name_spaces(init.as_fd(), ThreadNameSpaceType::USER).is_ok() && become_root().is_ok()
    })
}

/// Enters a user namespace with the maps of the configuration in `directory`, or with all that the user may have.
/// The process must have one thread.
pub(super) fn enter(directory: &Path) -> Result<(), RuntimeError> {
    let spec = bundle::configuration(directory)?;
    let configured = spec.linux().as_ref().and_then(|linux| {
        Some((linux.uid_mappings().clone()?, linux.gid_mappings().clone()?)).filter(|(users, _)| !users.is_empty())
    });
    let (users, groups) = configured.unwrap_or_else(id_maps::rootless_maps);
    make(&users, &groups)
}

fn make(users: &[LinuxIdMapping], groups: &[LinuxIdMapping]) -> Result<(), RuntimeError> {
    let failed = |action: &'static str| move |cause: std::io::Error| RuntimeError::system(action, cause);
    let (here, there) = Channel::pair().map_err(failed("making a channel"))?;
    let own = getpid().as_raw_nonzero().get().unsigned_abs();
    // The maps can be written only by somebody outside.
    match sys::clone(0).map_err(failed("cloning a process"))? {
        Cloned::Child => {
            drop(here);
            if matches!(there.receive::<()>(), Ok(Some(_))) {
                let written = id_maps::write(own, users, groups).map_err(|error| error.to_string());
                let _ = there.send(&written, &[]);
            }
            sys::leave(0)
        }
        Cloned::Parent(_, outside) => {
            drop(there);
            sys::unshare(UnshareFlags::NEWUSER).map_err(failed("making a user namespace"))?;
            here.send(&(), &[]).map_err(failed("asking for ID maps"))?;
            let answer = here.receive::<Result<(), String>>().map_err(failed("asking for ID maps"))?;
            let _ = waitid(WaitId::PidFd(outside.as_fd()), WaitIdOptions::EXITED);
            match answer {
                Some((Ok(()), _)) => {}
                Some((Err(message), _)) => return Err(RuntimeError::Unsupported(message)),
                None => return Err(RuntimeError::Unsupported("the ID maps could not be written".to_owned())),
            }
            become_root()
        }
    }
}

/// Root of the user namespace, whoever this process was outside.
pub(super) fn become_root() -> Result<(), RuntimeError> {
    let failed = |cause: rustix::io::Errno| RuntimeError::system("becoming root of the user namespace", cause);
    set_thread_res_gid(Gid::ROOT, Gid::ROOT, Gid::ROOT).map_err(failed)?;
    set_thread_res_uid(Uid::ROOT, Uid::ROOT, Uid::ROOT).map_err(failed)
}
