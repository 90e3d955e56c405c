//! What a container's program wrote, as docker's `json-file` keeps it.
//!
//! `log.json` is written, `log.json.1` is the file before it, and so on up to the number of files kept. An object a line:
//! `{"log":"text\n","stream":"stdout","time":"2026-01-02T03:04:05.000000006Z"}`. A line of output longer than 16 KiB is
//! several objects, of which only the last one's text ends with a newline.
//!
//! One process writes (the supervisor), any number read, and nobody waits for anybody: a reader takes whole lines only,
//! and finds its place in a file that was renamed under it by the file's inode. A line that was cut off with the power
//! is cut away by the next writer and never shown.

mod line;
mod read;
mod write;

use std::path::{Path, PathBuf};

use serde::{Deserialize, Serialize};

pub use line::{LogLine, decode_log_line};
pub use read::{LogQuery, LogReader, logs};
pub(crate) use write::LogWriter;

/// Which of a program's outputs.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum Stream {
    /// Standard output; a terminal has only this.
    Stdout,
    /// Standard error.
    Stderr,
}

/// The file that is written (0), or an older one.
fn file(directory: &Path, number: u32) -> PathBuf {
    match number {
        0 => directory.join("log.json"),
        number => directory.join(format!("log.json.{number}")),
    }
}

#[cfg(test)]
mod tests;
