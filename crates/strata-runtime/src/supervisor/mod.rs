//! The process that owns a container: its mounts, console, log, restarts and exit.

mod clients;
mod course;
pub(crate) mod external;
mod guard;
mod health;
mod launch;
pub(crate) mod plan;
mod probe;
mod serve;
mod start;
mod streams;
mod sys;

pub(crate) use launch::{Launched, Launcher};
pub(crate) use start::{PROGRAM, supervise};
pub use start::{Started, start, start_attached};
pub(crate) use streams::{Output, Stdio, Streams};
pub(crate) use sys::send_signal;

#[cfg(test)]
mod tests;
