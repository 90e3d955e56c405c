//! The process that owns a container: its mounts, console, log, restarts and exit.

pub(crate) mod plan;
