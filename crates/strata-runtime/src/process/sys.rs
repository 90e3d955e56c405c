//! The calls that have no safe form: clone, signals, the loopback device, terminals, scheduling.
#![allow(unsafe_code)]

use std::io;
use std::os::fd::{AsRawFd, BorrowedFd, FromRawFd, OwnedFd, RawFd};

use rustix::fs::{CWD, Mode, OFlags, openat};

/// Which side of a clone this is.
pub(super) enum Cloned {
    /// The new process.
    Child,
    /// The old one: the new one's number here, and its handle.
    Parent(u32, OwnedFd),
}

/// `clone3(2)` with `CLONE_PIDFD` besides `flags` (`CLONE_NEW*`, `CLONE_PARENT`). The process must have one thread.
pub(super) fn clone(flags: u64) -> io::Result<Cloned> {
    let mut pidfd: RawFd = -1;
    // A process that is made for another parent has that one's signal.
    let signal = if flags & libc::CLONE_PARENT as u64 == 0 { libc::SIGCHLD } else { 0 };
    let arguments = libc::clone_args {
        flags: flags | libc::CLONE_PIDFD as u64,
        pidfd: &raw mut pidfd as u64,
        child_tid: 0,
        parent_tid: 0,
        exit_signal: signal as u64,
        stack: 0,
        stack_size: 0,
        tls: 0,
        set_tid: 0,
        set_tid_size: 0,
        cgroup: 0,
    };
    // SAFETY: without CLONE_VM and a stack this is fork(2); `arguments` and `pidfd` live through the call. The process has
    // one thread, so that no lock is held by a thread that the child does not have.
    let result = unsafe { libc::syscall(libc::SYS_clone3, &raw const arguments, size_of::<libc::clone_args>()) };
    match result {
        0 => Ok(Cloned::Child),
        // SAFETY: the kernel stored a new descriptor that nothing else owns.
        pid @ 1.. => Ok(Cloned::Parent(pid as u32, unsafe { OwnedFd::from_raw_fd(pidfd) })),
        _ => Err(io::Error::last_os_error()),
    }
}

/// Every signal as a program expects it: not blocked, not ignored.
pub(super) fn reset_signals() {
    // SAFETY: plain calls on local values; SIG_DFL is a valid disposition, and no handler of this process is needed again.
    unsafe {
        let mut none = std::mem::zeroed::<libc::sigset_t>();
        libc::sigemptyset(&raw mut none);
        libc::sigprocmask(libc::SIG_SETMASK, &raw const none, std::ptr::null_mut());
        // The C library does not change the signals that it keeps for itself, which may be ignored all the same: the
        // kernel's `struct sigaction` of zeros is the default without flags, its mask has eight bytes.
        let default = [0u64; 4];
        for signal in 1..=64 {
            libc::syscall(libc::SYS_rt_sigaction, signal, &raw const default, std::ptr::null_mut::<u64>(), 8);
        }
    }
}

/// `fork(2)`, which seccomp profiles allow that know nothing of `clone3`: the new process's number, and `None` in it. The
/// process must have one thread.
pub(super) fn fork() -> io::Result<Option<u32>> {
    // SAFETY: the process has one thread, so that no lock is held by a thread that the child does not have.
    match unsafe { libc::fork() } {
        0 => Ok(None),
        pid @ 1.. => Ok(Some(pid.unsigned_abs())),
        _ => Err(io::Error::last_os_error()),
    }
}

/// No signal arrives any more, but all wait.
pub(super) fn block_signals() {
    // SAFETY: plain calls on local values.
    unsafe {
        let mut all = std::mem::zeroed::<libc::sigset_t>();
        libc::sigfillset(&raw mut all);
        libc::sigprocmask(libc::SIG_SETMASK, &raw const all, std::ptr::null_mut());
    }
}

/// The next signal that waits, which must be blocked.
pub(super) fn wait_for_signal() -> i32 {
    // SAFETY: plain calls on local values; no information about the signal is asked for.
    unsafe {
        let mut all = std::mem::zeroed::<libc::sigset_t>();
        libc::sigfillset(&raw mut all);
        loop {
            let signal = libc::sigwaitinfo(&raw const all, std::ptr::null_mut());
            if signal > 0 {
                return signal;
            }
        }
    }
}

/// Sends a process any signal; one that ended gets none.
pub(super) fn send_signal(process: u32, signal: i32) {
    // SAFETY: a plain call.
    unsafe { libc::kill(process as libc::pid_t, signal) };
}

/// Ends the process at once, without anything that runs at exit.
pub(super) fn leave(code: i32) -> ! {
    // SAFETY: does not return and touches no memory.
    unsafe { libc::_exit(code) }
}

/// Brings the loopback device of this network namespace up.
pub(super) fn loopback_up() -> io::Result<()> {
    let check = |result: i32| if result < 0 { Err(io::Error::last_os_error()) } else { Ok(result) };
    // SAFETY: `request` is an ifreq that lives through the calls; the socket is owned by `socket` alone.
    unsafe {
        let socket = check(libc::socket(libc::AF_INET, libc::SOCK_DGRAM | libc::SOCK_CLOEXEC, 0))?;
        let socket = OwnedFd::from_raw_fd(socket);
        let mut request = std::mem::zeroed::<libc::ifreq>();
        request.ifr_name[0] = b'l' as libc::c_char;
        request.ifr_name[1] = b'o' as libc::c_char;
        request.ifr_ifru.ifru_flags = (libc::IFF_UP | libc::IFF_RUNNING) as libc::c_short;
        check(libc::ioctl(socket.as_raw_fd(), libc::SIOCSIFFLAGS as _, &raw mut request))?;
    }
    Ok(())
}

/// Makes the terminal the controlling one of this session.
pub(super) fn take_terminal(terminal: BorrowedFd<'_>) -> io::Result<()> {
    // SAFETY: TIOCSCTTY takes a number.
    match unsafe { libc::ioctl(terminal.as_raw_fd(), libc::TIOCSCTTY, 0) } {
        0 => Ok(()),
        _ => Err(io::Error::last_os_error()),
    }
}

/// `personality(2)`.
pub(super) fn set_personality(persona: u64) -> io::Result<()> {
    // SAFETY: takes a number.
    if unsafe { libc::personality(persona as libc::c_ulong) } == -1 { Err(io::Error::last_os_error()) } else { Ok(()) }
}

/// `ioprio_set(2)` for this process.
pub(super) fn set_io_priority(class: u32, level: u32) -> io::Result<()> {
    const THIS_PROCESS: i32 = 1;
    // SAFETY: takes numbers.
    match unsafe { libc::syscall(libc::SYS_ioprio_set, THIS_PROCESS, 0, (class << 13) | level) } {
        0 => Ok(()),
        _ => Err(io::Error::last_os_error()),
    }
}

/// `execve(2)`; returns only to say why not.
pub(super) fn execute(
    program: &std::ffi::CStr,
    arguments: &[std::ffi::CString],
    environment: &[std::ffi::CString],
) -> io::Error {
    let pointers = |strings: &[std::ffi::CString]| -> Vec<*const libc::c_char> {
        strings.iter().map(|string| string.as_ptr()).chain([std::ptr::null()]).collect()
    };
    let (arguments, environment) = (pointers(arguments), pointers(environment));
    // SAFETY: both arrays end with null and point to strings that live through the call.
    unsafe { libc::execve(program.as_ptr(), arguments.as_ptr(), environment.as_ptr()) };
    io::Error::last_os_error()
}

/// Closes all descriptors from `first` on.
pub(super) fn close_from(first: u32) -> io::Result<()> {
    // SAFETY: who calls this owns no descriptor of that range any more.
    match unsafe { libc::syscall(libc::SYS_close_range, first, u32::MAX, 0) } {
        0 => Ok(()),
        _ => Err(io::Error::last_os_error()),
    }
}

/// Puts `from` at the number `to`, to be closed by exec or not.
pub(super) fn place(from: BorrowedFd<'_>, to: RawFd, at_exec: bool) -> io::Result<()> {
    let flags = if at_exec { libc::O_CLOEXEC } else { 0 };
    if from.as_raw_fd() == to {
        // SAFETY: changes one flag of a descriptor that is open.
        let result = unsafe { libc::fcntl(to, libc::F_SETFD, if at_exec { libc::FD_CLOEXEC } else { 0 }) };
        return if result == 0 { Ok(()) } else { Err(io::Error::last_os_error()) };
    }
    // SAFETY: what was open at `to` is not used again by this process.
    match unsafe { libc::dup3(from.as_raw_fd(), to, flags) } {
        -1 => Err(io::Error::last_os_error()),
        _ => Ok(()),
    }
}

/// The descriptor that [`place`] put at `number`.
pub(super) fn owned(number: RawFd) -> OwnedFd {
    // SAFETY: `place` opened it, and nothing else owns it.
    unsafe { OwnedFd::from_raw_fd(number) }
}

/// A pseudo-terminal of the `devpts` that is mounted on this process's `/dev/pts`: master and slave.
///
/// # Errors
/// When something else is there: a master of another file system would be one of the machine.
pub(super) fn open_terminal() -> io::Result<(OwnedFd, OwnedFd)> {
    const DEVPTS: i64 = 0x1cd1;
    let flags = OFlags::RDWR | OFlags::NOCTTY | OFlags::NOFOLLOW | OFlags::CLOEXEC;
    let master = openat(CWD, "/dev/pts/ptmx", flags, Mode::empty())?;
    if rustix::fs::fstatfs(&master)?.f_type != DEVPTS {
        return Err(io::Error::other("/dev/pts/ptmx is not a terminal multiplexer"));
    }
    let unlocked: libc::c_int = 0;
    // SAFETY: TIOCSPTLCK reads an int; TIOCGPTPEER takes flags and gives a new descriptor, which nothing else owns.
    unsafe {
        if libc::ioctl(master.as_raw_fd(), libc::TIOCSPTLCK, &raw const unlocked) != 0 {
            return Err(io::Error::last_os_error());
        }
        match libc::ioctl(master.as_raw_fd(), libc::TIOCGPTPEER, libc::O_RDWR | libc::O_NOCTTY | libc::O_CLOEXEC) {
            -1 => Err(io::Error::last_os_error()),
            slave => Ok((master, OwnedFd::from_raw_fd(slave))),
        }
    }
}

/// New namespaces for this process. It must have one thread.
pub(super) fn unshare(namespaces: rustix::thread::UnshareFlags) -> io::Result<()> {
    // SAFETY: only namespaces are asked for, which change what names mean and what this process may do; descriptors and
    // memory stay as they are.
    Ok(unsafe { rustix::thread::unshare_unsafe(namespaces) }?)
}
