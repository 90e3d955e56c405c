//! The writer of a log: lines out of pieces, files of bounded size.

use std::fs::{self, File, OpenOptions};
use std::io::{self, Write as _};
use std::os::unix::fs::FileExt as _;
use std::path::{Path, PathBuf};

use crate::error::RuntimeError;
use crate::supervisor::plan::{LogDriver, LogSettings};

use super::{Stream, file, line};

/// What is longer without a newline is written as several objects.
const PIECE: usize = 16 << 10;

/// Appends to the files of a log. Holds at most a piece of each stream in memory.
///
/// A write that fails, as on a full disk, loses lines and not the container: they are counted, and a line says so as soon
/// as there is room.
pub(crate) struct LogWriter {
    directory: PathBuf,
    settings: LogSettings,
    file: Option<File>,
    size: u64,
    /// Output without its newline yet: of `Stdout`, of `Stderr`.
    pending: [Vec<u8>; 2],
    buffer: Vec<u8>,
    lost: u64,
}

impl LogWriter {
    /// Opens the log for appending, and cuts away a line that was not finished.
    pub(crate) fn open(directory: &Path, settings: &LogSettings) -> Result<LogWriter, RuntimeError> {
        let mut writer = LogWriter {
            directory: directory.to_owned(),
            settings: settings.clone(),
            file: None,
            size: 0,
            pending: Default::default(),
            buffer: Vec::new(),
            lost: 0,
        };
        if settings.driver == LogDriver::JsonFile {
            writer
                .open_file()
                .map_err(|cause| RuntimeError::system(format!("opening {}", file(directory, 0).display()), cause))?;
        }
        Ok(writer)
    }

    /// Takes output, of which whole lines are in the file on return.
    pub(crate) fn append(&mut self, stream: Stream, output: &[u8], time: i64) {
        if self.settings.driver == LogDriver::None {
            return;
        }
        let mut rest = output;
        while !rest.is_empty() {
            let pending = &mut self.pending[stream as usize];
            let room = (PIECE - pending.len()).min(rest.len());
            let end = rest[..room].iter().position(|byte| *byte == b'\n').map(|at| at + 1);
            let (piece, after) = rest.split_at(end.unwrap_or(room));
            rest = after;
            if pending.is_empty() && (end.is_some() || piece.len() == PIECE) {
                self.record(stream, piece, time);
            } else {
                pending.extend_from_slice(piece);
                if end.is_some() || pending.len() == PIECE {
                    self.record_pending(stream, time);
                }
            }
        }
        self.write();
    }

    /// Writes what has no newline: the program ended.
    pub(crate) fn finish(&mut self, time: i64) {
        for stream in [Stream::Stdout, Stream::Stderr] {
            self.record_pending(stream, time);
        }
        self.write();
    }

    fn record_pending(&mut self, stream: Stream, time: i64) {
        let mut bytes = std::mem::take(&mut self.pending[stream as usize]);
        if !bytes.is_empty() {
            self.record(stream, &bytes, time);
            bytes.clear();
        }
        self.pending[stream as usize] = bytes;
    }

    /// Puts a line into the buffer, which is written before it grows or passes the size of a file.
    fn record(&mut self, stream: Stream, bytes: &[u8], time: i64) {
        let before = self.buffer.len();
        line::encode(&mut self.buffer, time, stream, bytes);
        let full = self.settings.max_size.is_some_and(|max| self.size + self.buffer.len() as u64 > max);
        if full && self.size + before as u64 > 0 {
            let last = self.buffer.split_off(before);
            self.write();
            self.rotate();
            self.buffer.extend_from_slice(&last);
        }
        if self.buffer.len() >= 2 * PIECE {
            self.write();
        }
    }

    fn write(&mut self) {
        if self.buffer.is_empty() {
            return;
        }
        if self.lost > 0 {
            let text = format!("strata: {} lines of this log were lost, since they could not be written\n", self.lost);
            let mut notice = Vec::new();
            line::encode(&mut notice, crate::clock::now(), Stream::Stderr, text.as_bytes());
            self.buffer.splice(0..0, notice);
        }
        match self.write_buffer() {
            Ok(()) => self.lost = 0,
            Err(_) => {
                let lines = self.buffer.iter().filter(|byte| **byte == b'\n').count() as u64;
                // The notice itself is not counted.
                self.lost += lines - u64::from(self.lost > 0);
            }
        }
        self.buffer.clear();
        self.buffer.shrink_to(4 * PIECE);
    }

    fn write_buffer(&mut self) -> io::Result<()> {
        if self.file.is_none() {
            self.open_file()?;
        }
        let Some(file) = &mut self.file else { return Err(io::ErrorKind::NotFound.into()) };
        if let Err(cause) = file.write_all(&self.buffer) {
            // Half a line must not stay in front of the next one.
            file.set_len(self.size)?;
            return Err(cause);
        }
        self.size += self.buffer.len() as u64;
        Ok(())
    }

    /// Renames every file to the number after its own and begins a new one. The oldest is replaced.
    fn rotate(&mut self) {
        let last = self.settings.max_files.max(1) - 1;
        for number in (0..last).rev() {
            let _ = fs::rename(file(&self.directory, number), file(&self.directory, number + 1));
        }
        if last == 0 {
            // A new file instead of an emptied one, so that who reads the old one reads it to its end.
            let _ = fs::remove_file(file(&self.directory, 0));
        }
        self.file = None;
        self.size = 0;
    }

    fn open_file(&mut self) -> io::Result<()> {
        let path = file(&self.directory, 0);
        let file = OpenOptions::new().append(true).read(true).create(true).open(path)?;
        let size = file.metadata()?.len();
        let whole = end_of_lines(&file, size)?;
        if whole < size {
            file.set_len(whole)?;
        }
        self.size = whole;
        self.file = Some(file);
        Ok(())
    }
}

/// Where the last whole line of a file ends.
fn end_of_lines(file: &File, size: u64) -> io::Result<u64> {
    let mut block = [0; 4096];
    let mut end = size;
    while end > 0 {
        let begin = end.saturating_sub(block.len() as u64);
        let block = &mut block[..usize::try_from(end - begin).unwrap_or(0)];
        file.read_exact_at(block, begin)?;
        if let Some(at) = block.iter().rposition(|byte| *byte == b'\n') {
            return Ok(begin + at as u64 + 1);
        }
        end = begin;
    }
    Ok(0)
}
