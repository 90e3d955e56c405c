//! `--init`: a first process that is not the program. It reaps what nobody waits for and hands signals on, as docker's init
//! does, and ends as the program ends.
//!
//! It goes on from the supervisor's clone, so that nothing of the machine appears in the container: its file is one that
//! nobody can write ([`super::executable`]), nobody inside may look into it ([`super::identity::hide`]), and it has the
//! program's user, capabilities and seccomp filter.

use rustix::process::{Pid, Signal, WaitOptions, WaitStatus, set_parent_process_death_signal, setpgid, wait};

use super::message::{Failure, Stage};
use super::sys;

/// What `ps` in the container shows.
const NAME: &std::ffi::CStr = c"strata-init";

/// Makes the process that becomes the program, and returns in it; `prepare` is done in both.
pub(super) fn leave_first_process(prepare: impl Fn() -> Result<(), Failure>) -> Result<(), Failure> {
    // What arrives from now on waits for who takes it.
    sys::block_signals();
    let forked = sys::fork().map_err(|cause| Failure::system(Stage::Execute, "making the program's process", cause))?;
    let Some(program) = forked else {
        let _ = set_parent_process_death_signal(Some(Signal::KILL));
        // A group of its own, in front of the terminal: its keys reach the program and not this process.
        if setpgid(None, None).is_ok() {
            let _ = rustix::termios::tcsetpgrp(rustix::stdio::stdin(), rustix::process::getpgrp());
        }
        sys::reset_signals();
        return prepare();
    };
    // Among them what tells the supervisor that the program runs.
    if sys::close_from(3).is_err() || prepare().is_err() {
        sys::leave(1);
    }
    let _ = rustix::thread::set_name(NAME);
    loop {
        match sys::wait_for_signal() {
            libc::SIGCHLD => {
                if let Some(code) = reap(program) {
                    sys::leave(code);
                }
            }
            signal => sys::send_signal(program, signal),
        }
    }
}

/// Takes the status of all that ended; the exit code when the program is among them.
fn reap(program: u32) -> Option<i32> {
    let mut code = None;
    while let Ok(Some((pid, status))) = wait(WaitOptions::NOHANG) {
        if is_process(pid, program) {
            code = Some(exit_code(status));
        }
    }
    code
}

fn is_process(pid: Pid, number: u32) -> bool {
    u32::try_from(pid.as_raw_nonzero().get()) == Ok(number)
}

fn exit_code(status: WaitStatus) -> i32 {
    status.exit_status().or_else(|| status.terminating_signal().map(|signal| 128 + signal)).unwrap_or(1)
}
