//! Becoming the container's program: working directory, descriptors, `execve`.

use std::ffi::{CString, OsStr};
use std::os::unix::ffi::OsStrExt;
use std::path::Path;

use oci_spec::runtime::Process;
use rustix::fs::{Access, AtFlags, CWD, FileType, accessat, stat};
use rustix::io::Errno;
use rustix::process::{chdir, getcwd};

use super::message::{Failure, Stage};
use super::sys;
use crate::user::Identity;

/// Where programs are looked for when the environment does not say.
const PATH: &str = "/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin";

/// Goes to the working directory, which must be one that can be reached from the root (CVE-2024-21626).
pub(super) fn enter_directory(process: &Process) -> Result<(), Failure> {
    let path = process.cwd();
    let failed = |cause: Errno| {
        Failure::system(
            Stage::Directory,
            format!("chdir to cwd ({:?}) set in config.json failed", path.display().to_string()),
            cause,
        )
    };
    chdir(path).map_err(failed)?;
    let reached = getcwd(Vec::new()).map_err(failed)?;
    if reached.as_bytes().starts_with(b"/") {
        return Ok(());
    }
    Err(Failure::new(
        Stage::Directory,
        format!("the working directory {} lies outside of the container", path.display()),
    ))
}

/// The program with all that `execve` takes.
#[derive(Debug)]
pub(super) struct Program {
    path: CString,
    arguments: Vec<CString>,
    environment: Vec<CString>,
}

impl Program {
    /// Finds it as a shell would, in the container. Its environment gets `HOME` when it has none.
    pub(super) fn find(process: &Process, identity: &Identity) -> Result<Program, Failure> {
        let arguments = process.args().as_deref().unwrap_or_default();
        let [name, ..] = arguments else {
            return Err(Failure::new(Stage::Root, "no command specified"));
        };
        let mut environment = process.env().clone().unwrap_or_default();
        if !environment.iter().any(|variable| variable.starts_with("HOME=")) {
            environment.push(format!("HOME={}", identity.home.display()));
        }
        let path = environment.iter().rev().find_map(|variable| variable.strip_prefix("PATH=")).unwrap_or(PATH);
        let found = search(name, path)?;
        let string = |text: &[u8]| {
            CString::new(text).map_err(|_| Failure::new(Stage::Root, "an argument or variable contains a zero byte"))
        };
        Ok(Program {
            path: string(&found)?,
            arguments: arguments.iter().map(|text| string(text.as_bytes())).collect::<Result<_, _>>()?,
            environment: environment.iter().map(|text| string(text.as_bytes())).collect::<Result<_, _>>()?,
        })
    }

    /// Becomes it. Returns only to say why not.
    pub(super) fn execute(&self) -> Failure {
        let cause = sys::execute(&self.path, &self.arguments, &self.environment);
        Failure::system(Stage::Execute, format!("exec {:?}", self.path.to_string_lossy()), cause)
    }
}

fn search(name: &str, path: &str) -> Result<Vec<u8>, Failure> {
    if name.contains('/') {
        let found = check(Path::new(name));
        let failed = |cause: Errno| match cause {
            Errno::NOENT => Failure::system(Stage::Execute, format!("exec: {name:?}: stat {name}"), cause),
            _ => Failure::system(Stage::Execute, format!("exec: {name:?}"), cause),
        };
        return found.map(|()| name.as_bytes().to_vec()).map_err(failed);
    }
    let mut denied = None;
    for directory in path.split(':') {
        let candidate = Path::new(if directory.is_empty() { "." } else { directory }).join(name);
        match check(&candidate) {
            Ok(()) => return Ok(OsStr::as_bytes(candidate.as_os_str()).to_vec()),
            Err(Errno::ACCESS | Errno::ISDIR) => denied = Some(Errno::ACCESS),
            Err(_) => {}
        }
    }
    match denied {
        Some(cause) => Err(Failure::system(Stage::Execute, format!("exec: {name:?}"), cause)),
        None => Err(Failure {
            stage: Stage::Execute,
            errno: Errno::NOENT.raw_os_error(),
            detail: format!("exec: {name:?}: executable file not found in $PATH"),
        }),
    }
}

fn check(path: &Path) -> rustix::io::Result<()> {
    let status = stat(path)?;
    if FileType::from_raw_mode(status.st_mode).is_dir() {
        return Err(Errno::ISDIR);
    }
    accessat(CWD, path, Access::EXEC_OK, AtFlags::EACCESS)
}
