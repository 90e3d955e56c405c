//! What a container's init and its maker say to each other.
//!
//! ```text
//! maker                                     init
//!   clone3 ────────────────────────────────► waits
//!   ID maps, control groups, createRuntime
//!   Prepare ───────────────────────────────► namespaces, mounts, createContainer, pivot
//!          ◄─────────────────── Ready (+ the terminal's master)
//!   Start ─────────────────────────────────► startContainer, identity, seccomp, execve
//!          ◄─────────────────── (closed: the program runs)
//!          ◄─────────────────── Failed, at any time
//! ```

use std::io;

use rustix::io::Errno;
use serde::{Deserialize, Serialize};

use crate::error::StartError;

/// From the maker to init.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub(super) enum ToInit {
    /// Everything outside is done: make the container.
    Prepare,
    /// Become its program.
    Start,
}

/// From init to the maker.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub(super) enum FromInit {
    /// The container is made.
    Ready,
    /// It is not; the process ends.
    Failed(Failure),
}

/// Why a step inside did not work.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub(crate) struct Failure {
    /// The step.
    pub(super) stage: Stage,
    /// The kernel's answer, or 0.
    pub(super) errno: i32,
    /// What was being done to which thing.
    pub(super) detail: String,
}

/// The steps inside.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub(crate) enum Stage {
    /// Joining and making namespaces.
    Namespaces,
    /// Mounts, devices, masked paths.
    Root,
    /// A hook of the configuration.
    Hook,
    /// The console.
    Terminal,
    /// Limits, sysctl, scheduling.
    Limits,
    /// User, groups, capabilities, labels, filter.
    Identity,
    /// The working directory.
    Directory,
    /// Becoming the program.
    Execute,
}

impl Failure {
    pub(super) fn new(stage: Stage, detail: impl ToString) -> Failure {
        Failure { stage, errno: 0, detail: detail.to_string() }
    }

    pub(super) fn system(stage: Stage, action: impl std::fmt::Display, cause: impl Into<io::Error>) -> Failure {
        let cause = cause.into();
        let detail = format!("{action}: {}", strata_model::system_words(&cause));
        Failure { stage, errno: cause.raw_os_error().unwrap_or(0), detail }
    }
}

impl From<Failure> for StartError {
    /// Exit codes as Docker's: only the program itself makes 126 and 127.
    fn from(failure: Failure) -> StartError {
        let exit_code = match (failure.stage, failure.errno) {
            (Stage::Execute, errno) if errno == Errno::NOENT.raw_os_error() => 127,
            (Stage::Execute, _) => 126,
            (Stage::Directory, errno)
                if errno == Errno::NOTDIR.raw_os_error() || errno == Errno::ACCESS.raw_os_error() =>
            {
                126
            }
            _ => 125,
        };
        StartError { exit_code, message: failure.detail }
    }
}
