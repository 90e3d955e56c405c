//! Work in another network namespace.

use std::fs::File;
use std::os::fd::AsFd;
use std::thread;

use rustix::thread::{LinkNameSpaceType, move_into_link_name_space};

use crate::{NetworkError, Result};

/// The network namespace of a process.
pub(crate) fn of(pid: i32) -> Result<File> {
    let path = format!("/proc/{pid}/ns/net");
    File::open(&path).map_err(|error| NetworkError::system(format!("opening {path}"), error))
}

/// Does `work` in `namespace`. It has a thread of its own: only a thread moves, and sockets stay where they were made.
pub(crate) fn within<T: Send>(namespace: &File, work: impl FnOnce() -> Result<T> + Send) -> Result<T> {
    thread::scope(|scope| {
        let worker = scope.spawn(|| {
            move_into_link_name_space(namespace.as_fd(), Some(LinkNameSpaceType::Network))
                .map_err(|error| NetworkError::system("entering the container's network namespace", error))?;
            work()
        });
        worker.join().unwrap_or_else(|panic| std::panic::resume_unwind(panic))
    })
}
