//! Making a container's processes: its init ([`Own`]) and programs that join it ([`exec`]).
//!
//! [`message`] shows who says what when. The maker has one thread, so that its clones may do anything; nothing that fails
//! inside is lost: it comes back as a value over a socket that `execve` closes.

mod bundle;
mod capabilities;
mod cgroup_mount;
mod channel;
mod exec;
mod exec_record;
mod executable;
mod hooks;
mod id_maps;
mod identity;
mod init;
mod join;
mod message;
mod mount_options;
mod namespaces;
mod own;
mod program;
mod reaper;
mod relay;
mod requirements;
mod root;
mod rootless;
mod sys;

use std::os::fd::OwnedFd;
use std::path::Path;
use std::process::ExitCode;

pub(crate) use bundle::{cgroup_path, configuration, mount_root};
pub(crate) use capabilities::is_available as is_capability_available;
#[cfg(test)]
pub(crate) use capabilities::number as capability_number;
pub use exec::{ExecProcess, ExecSpec, TerminalSize, exec, exec_attached};
pub(crate) use exec_record::forget_execs;
pub use exec_record::{ExecRecord, running_execs};
pub(crate) use executable::Executable;
pub(crate) use hooks::Subject;
pub use id_maps::rootless_maps;
pub use identity::GROUPS_ANNOTATION;
pub(crate) use identity::additional_groups;
pub(crate) use own::Own;
pub use rootless::enter_user_namespace;

use crate::error::{RuntimeError, StartError};
use crate::supervisor::plan::Runtime;
use crate::supervisor::{self, external::External};

/// What a program in a container gets as its standard streams.
#[derive(Debug)]
pub(crate) enum Streams {
    /// These.
    Descriptors([OwnedFd; 3]),
    /// A terminal of the container's own devpts, whose master the maker gets.
    Terminal,
}

/// First line of `main`, before any thread or runtime: does the work of a supervisor or of a program that joins a
/// container when this process was executed as one. `None` for every other process.
pub fn entry() -> Option<ExitCode> {
    let mut arguments = std::env::args_os();
    let name = arguments.next()?;
    match name.to_str()? {
        supervisor::PROGRAM => {
            let directory = arguments.next()?;
            supervise(Path::new(&directory));
            Some(ExitCode::SUCCESS)
        }
        join::PROGRAM => Some(join::enter()),
        _ => None,
    }
}

fn supervise(directory: &Path) {
    supervisor::supervise(directory, |directory, plan| {
        if !rustix::process::geteuid().is_root() {
            rootless::enter(directory).map_err(RuntimeError::into_start_error)?;
        }
        let rootless = strata_rootfs::in_user_namespace();
        let launcher: Result<Box<dyn supervisor::Launcher>, StartError> = match &plan.runtime {
            Runtime::Own => Own::new(directory, plan, rootless).map(|own| Box::new(own) as _),
            Runtime::External { path } => External::new(directory, plan, path).map(|external| Box::new(external) as _),
        };
        launcher
    });
}
