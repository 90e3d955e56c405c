//! The one thing std does not offer: waiting for a child together with the resources it used.
#![allow(unsafe_code)]

use std::io;
use std::process::Child;
use std::time::Duration;

/// What a finished process, and the children it waited for, used.
pub struct Usage {
    /// Whether it exited with 0.
    pub success: bool,
    /// User and system time.
    pub cpu: Duration,
    /// Largest resident set in KiB.
    pub peak_kib: u64,
}

/// Waits for the child, as `Child::wait` does, and returns its resource usage.
pub fn wait_with_usage(child: Child) -> io::Result<Usage> {
    let mut status = 0;
    let mut usage = std::mem::MaybeUninit::<libc::rusage>::zeroed();
    let pid = child.id() as libc::pid_t;
    loop {
        // SAFETY: both pointers are to live, writable values of the right types; the child is ours and not yet waited
        // for, since `Child` is consumed here, so the process ID cannot have been given to another process.
        let waited = unsafe { libc::wait4(pid, &mut status, 0, usage.as_mut_ptr()) };
        if waited == pid {
            break;
        }
        let error = io::Error::last_os_error();
        if error.kind() != io::ErrorKind::Interrupted {
            return Err(error);
        }
    }
    // SAFETY: wait4 succeeded and filled the structure; all zeroes are a valid value of it, too.
    let usage = unsafe { usage.assume_init() };
    let duration = |time: libc::timeval| Duration::new(time.tv_sec as u64, time.tv_usec as u32 * 1000);
    Ok(Usage {
        success: libc::WIFEXITED(status) && libc::WEXITSTATUS(status) == 0,
        cpu: duration(usage.ru_utime) + duration(usage.ru_stime),
        peak_kib: usage.ru_maxrss as u64,
    })
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::process::Command;

    #[test]
    fn usage_of_a_process() {
        let usage =
            |script| wait_with_usage(Command::new("sh").args(["-c", script]).spawn().expect("sh")).expect("waited");
        let good = usage("i=0; while [ $i -lt 20000 ]; do i=$((i+1)); done");
        assert!(good.success && good.peak_kib > 100 && good.cpu > Duration::ZERO);
        assert!(!usage("exit 3").success);
        assert!(!usage("kill -9 $$").success);
    }
}
