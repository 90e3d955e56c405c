//! Descriptors that were passed to the program when it began.

#![allow(unsafe_code)]

use std::io;
use std::os::fd::{FromRawFd as _, OwnedFd, RawFd};

/// Takes a descriptor that was open when the program began. To be called once for each number.
pub(crate) fn take(number: RawFd) -> io::Result<OwnedFd> {
    if std::fs::read_link(format!("/proc/self/fd/{number}")).is_err() {
        return Err(io::Error::new(io::ErrorKind::NotFound, format!("descriptor {number} is not open")));
    }
    // SAFETY: it is open, was passed to this process by number, and nobody else in it knows it.
    Ok(unsafe { OwnedFd::from_raw_fd(number) })
}
