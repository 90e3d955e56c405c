//! Containers of users without privileges: the supervisor itself enters a user namespace, in which it is root.

use std::path::Path;

use rustix::fs::{Gid, Uid};
use rustix::process::{WaitId, WaitIdOptions, getpid, waitid};
use rustix::thread::{UnshareFlags, set_thread_res_gid, set_thread_res_uid};
use std::os::fd::AsFd;

use super::channel::Channel;
use super::sys::{self, Cloned};
use super::{bundle, id_maps};
use crate::error::RuntimeError;

/// Enters a user namespace with the maps of the configuration in `directory`, or with all that the user may have.
/// The process must have one thread.
pub(super) fn enter(directory: &Path) -> Result<(), RuntimeError> {
    let spec = bundle::configuration(directory)?;
    let configured = spec.linux().as_ref().and_then(|linux| {
        Some((linux.uid_mappings().clone()?, linux.gid_mappings().clone()?)).filter(|(users, _)| !users.is_empty())
    });
    let (users, groups) = configured.unwrap_or_else(id_maps::rootless_maps);
    let failed = |action: &'static str| move |cause: std::io::Error| RuntimeError::system(action, cause);
    let (here, there) = Channel::pair().map_err(failed("making a channel"))?;
    let own = getpid().as_raw_nonzero().get().unsigned_abs();
    // The maps can be written only by somebody outside.
    match sys::clone(0).map_err(failed("cloning a process"))? {
        Cloned::Child => {
            drop(here);
            if matches!(there.receive::<()>(), Ok(Some(_))) {
                let written = id_maps::write(own, &users, &groups).map_err(|error| error.to_string());
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
