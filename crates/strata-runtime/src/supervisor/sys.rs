//! System calls that the supervisor needs and that no safe function has.
#![allow(unsafe_code)]

use std::io;
use std::os::fd::{AsFd, AsRawFd, FromRawFd, OwnedFd};

/// Sends any signal to the process of a pidfd, those of real time as well.
pub(crate) fn send_signal(process: impl AsFd, signal: i32) -> io::Result<()> {
    // SAFETY: the kernel reads no memory, as there is no `siginfo_t`.
    let result = unsafe {
        libc::syscall(
            libc::SYS_pidfd_send_signal,
            process.as_fd().as_raw_fd(),
            signal,
            std::ptr::null::<libc::siginfo_t>(),
            0,
        )
    };
    if result < 0 { Err(io::Error::last_os_error()) } else { Ok(()) }
}

/// A descriptor that is readable when somebody asks this process to end, which then does not end it any more. Programs
/// that are executed get the signals as they were before ([`std::process::Command`] sees to it).
pub(crate) fn signals_to_end() -> io::Result<OwnedFd> {
    // SAFETY: an all-zero `sigset_t` is a value, and is initialized by `sigemptyset` before its use; the calls write
    // nothing else.
    let descriptor = unsafe {
        let mut set: libc::sigset_t = std::mem::zeroed();
        libc::sigemptyset(&raw mut set);
        for signal in [libc::SIGTERM, libc::SIGINT, libc::SIGHUP] {
            libc::sigaddset(&raw mut set, signal);
        }
        // A client that is gone is an error of its connection.
        libc::signal(libc::SIGPIPE, libc::SIG_IGN);
        if libc::sigprocmask(libc::SIG_BLOCK, &raw const set, std::ptr::null_mut()) < 0 {
            return Err(io::Error::last_os_error());
        }
        libc::signalfd(-1, &raw const set, libc::SFD_CLOEXEC | libc::SFD_NONBLOCK)
    };
    if descriptor < 0 {
        return Err(io::Error::last_os_error());
    }
    // SAFETY: the kernel just made this descriptor, and nobody else has it.
    Ok(unsafe { OwnedFd::from_raw_fd(descriptor) })
}

/// Copies this process. Returns the copy's number, and `None` in the copy.
///
/// # Errors
/// When there are other threads: the copy would not have them, and could hang on what they hold.
pub(crate) fn fork() -> io::Result<Option<i32>> {
    if std::fs::read_dir("/proc/self/task")?.count() != 1 {
        return Err(io::Error::other("a process with several threads is not copied"));
    }
    // SAFETY: there is one thread, so that the copy is as whole as this process.
    match unsafe { libc::fork() } {
        -1 => Err(io::Error::last_os_error()),
        0 => Ok(None),
        copy => Ok(Some(copy)),
    }
}

/// Ends this process at once, without running anything registered for its end.
pub(crate) fn exit_now(code: i32) -> ! {
    // SAFETY: `_exit` takes any number and does not return.
    unsafe { libc::_exit(code) }
}

/// Closes all descriptors but these two.
pub(crate) fn close_all_but(one: &impl AsRawFd, other: &impl AsRawFd) {
    let (low, high) = (one.as_raw_fd().min(other.as_raw_fd()), one.as_raw_fd().max(other.as_raw_fd()));
    let close = |first: i32, last: i32| {
        if first <= last {
            // SAFETY: the process is a copy that touches no descriptor any more but the two that are left open.
            unsafe { libc::syscall(libc::SYS_close_range, first, last, 0) };
        }
    };
    close(0, low - 1);
    close(low + 1, high - 1);
    close(high + 1, i32::MAX);
}

/// Gives back what the heap does not need any more, and keeps it in one piece.
pub(crate) fn shrink_heap() {
    #[cfg(target_env = "gnu")]
    // SAFETY: both only change the allocator's own bookkeeping.
    unsafe {
        libc::mallopt(libc::M_ARENA_MAX, 1);
        libc::malloc_trim(0);
    }
}
