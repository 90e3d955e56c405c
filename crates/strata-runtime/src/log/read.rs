//! The reader of a log: from any moment on, the last lines, and what is written later.

use std::collections::VecDeque;
use std::fs::File;
use std::io;
use std::mem::MaybeUninit;
use std::os::fd::OwnedFd;
use std::os::unix::fs::{FileExt as _, MetadataExt as _};
use std::path::{Path, PathBuf};
use std::thread;
use std::time::Duration;

use rustix::event::{PollFd, PollFlags, poll};
use rustix::fs::inotify;
use rustix::io::Errno;

use crate::error::RuntimeError;
use crate::state::is_supervised;

use super::{LogLine, file, line};

/// How long a reader that waits for more may not notice that the supervisor was killed, which nothing tells.
const GLANCE: Duration = Duration::from_millis(500);

/// Files that a reader looks for, at most; more than anybody keeps.
const MOST_FILES: u32 = 1000;

const BLOCK: usize = 64 << 10;

/// Which lines of a log. Times are nanoseconds since 1970.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct LogQuery {
    /// Not before this.
    pub since: Option<i64>,
    /// Not after this.
    pub until: Option<i64>,
    /// Only the last lines, counted before times are looked at (as docker does).
    pub tail: Option<u64>,
    /// Waits for more as long as the container has a supervisor.
    pub follow: bool,
}

/// The lines of a container's log, oldest first.
///
/// # Errors
/// When the files cannot be opened. A container that wrote nothing has an empty log.
pub fn logs(directory: &Path, query: LogQuery) -> Result<LogReader, RuntimeError> {
    LogReader::open(directory, query)
        .map_err(|cause| RuntimeError::system(format!("reading the log in {}", directory.display()), cause))
}

/// Lines of a log, as they are there or come. Holds a block and the longest line in memory, and the files open that it
/// has still to read, so that no rotation takes them away.
pub struct LogReader {
    directory: PathBuf,
    query: LogQuery,
    /// The file that is read, and those after it.
    current: Option<Source>,
    waiting: VecDeque<Source>,
    /// Bytes of the current file that are not yet lines, from `begin` on.
    buffer: Vec<u8>,
    begin: usize,
    watch: Option<OwnedFd>,
    done: bool,
}

struct Source {
    file: File,
    inode: u64,
    offset: u64,
}

impl Source {
    fn open(path: &Path) -> io::Result<Option<Source>> {
        match File::open(path) {
            Ok(file) => {
                let inode = file.metadata()?.ino();
                Ok(Some(Source { file, inode, offset: 0 }))
            }
            Err(cause) if cause.kind() == io::ErrorKind::NotFound => Ok(None),
            Err(cause) => Err(cause),
        }
    }
}

impl LogReader {
    fn open(directory: &Path, query: LogQuery) -> io::Result<LogReader> {
        let watch = if query.follow { watch(directory).ok() } else { None };
        let mut waiting = sources(directory)?;
        if let Some(tail) = query.tail {
            keep_last(&mut waiting, tail)?;
        }
        let current = waiting.pop_front();
        Ok(LogReader {
            directory: directory.to_owned(),
            query,
            current,
            waiting,
            buffer: Vec::new(),
            begin: 0,
            watch,
            done: false,
        })
    }

    /// Whether the next line is there, so that nobody has to wait for it.
    pub fn has_line(&self) -> bool {
        self.buffer[self.begin..].contains(&b'\n')
    }

    fn next_line(&mut self) -> io::Result<Option<LogLine>> {
        loop {
            if let Some(line) = self.buffered_line() {
                let before = self.query.since.is_some_and(|since| line.time < since);
                if self.query.until.is_some_and(|until| line.time > until) {
                    return Ok(None);
                }
                if !before {
                    return Ok(Some(line));
                }
                continue;
            }
            if self.fill()? || self.advance()? {
                continue;
            }
            if !self.query.follow || self.query.until.is_some_and(|until| crate::clock::now() > until) {
                return Ok(None);
            }
            // Whoever wrote until now has written all of it before its lock was free.
            let is_over = !is_supervised(&self.directory);
            if self.fill()? || self.advance()? {
                continue;
            }
            if is_over {
                return Ok(None);
            }
            self.wait();
        }
    }

    /// The next line of the buffer that is one.
    fn buffered_line(&mut self) -> Option<LogLine> {
        while let Some(length) = self.buffer[self.begin..].iter().position(|byte| *byte == b'\n') {
            let line = line::decode_log_line(&self.buffer[self.begin..self.begin + length]);
            self.begin += length + 1;
            if line.is_some() {
                return line;
            }
        }
        None
    }

    /// Reads on in the current file; `false` at its end.
    fn fill(&mut self) -> io::Result<bool> {
        let Some(current) = &mut self.current else { return Ok(false) };
        self.buffer.drain(..self.begin);
        self.begin = 0;
        if self.buffer.len() > line::LONGEST {
            // No line of ours. What is left of it is no line either, and is passed over like this.
            self.buffer.clear();
        }
        let length = self.buffer.len();
        self.buffer.resize(length + BLOCK, 0);
        let read = loop {
            match current.file.read_at(&mut self.buffer[length..], current.offset) {
                Err(cause) if cause.kind() == io::ErrorKind::Interrupted => {}
                answer => break answer,
            }
        };
        self.buffer.truncate(length + *read.as_ref().unwrap_or(&0));
        current.offset += read.as_ref().map_or(0, |read| *read as u64);
        Ok(read? > 0)
    }

    /// Goes on to the file after the current one, if there is any.
    fn advance(&mut self) -> io::Result<bool> {
        if self.waiting.is_empty() {
            self.waiting = match &self.current {
                Some(current) if self.query.follow && self.is_newest(current) => VecDeque::new(),
                // Opened now, so that the current file is complete if it is not the newest: nobody writes to an older one.
                Some(current) if self.query.follow => newer(sources(&self.directory)?, current.inode),
                None if self.query.follow => sources(&self.directory)?,
                _ => VecDeque::new(),
            };
            if !self.waiting.is_empty() && self.fill()? {
                return Ok(true);
            }
        }
        let Some(next) = self.waiting.pop_front() else { return Ok(false) };
        self.current = Some(next);
        self.buffer.clear();
        self.begin = 0;
        Ok(true)
    }

    fn is_newest(&self, source: &Source) -> bool {
        std::fs::metadata(file(&self.directory, 0)).is_ok_and(|newest| newest.ino() == source.inode)
    }

    /// Until something happens in the directory, or for a moment.
    fn wait(&self) {
        let Some(watch) = &self.watch else { return thread::sleep(GLANCE / 5) };
        let mut events = [PollFd::new(watch, PollFlags::IN)];
        let timeout = rustix::time::Timespec { tv_sec: 0, tv_nsec: GLANCE.subsec_nanos().into() };
        let _ = poll(&mut events, Some(&timeout));
        let mut buffer = [MaybeUninit::uninit(); 4096];
        while rustix::io::read(watch, &mut buffer).is_ok_and(|(read, _)| !read.is_empty()) {}
    }
}

impl Iterator for LogReader {
    type Item = Result<LogLine, RuntimeError>;

    fn next(&mut self) -> Option<Self::Item> {
        if self.done {
            return None;
        }
        let line = self
            .next_line()
            .map_err(|cause| RuntimeError::system(format!("reading the log in {}", self.directory.display()), cause));
        self.done = !matches!(line, Ok(Some(_)));
        line.transpose()
    }
}

fn watch(directory: &Path) -> Result<OwnedFd, Errno> {
    let watch = inotify::init(inotify::CreateFlags::CLOEXEC | inotify::CreateFlags::NONBLOCK)?;
    let events = inotify::WatchFlags::MODIFY | inotify::WatchFlags::CREATE | inotify::WatchFlags::MOVED_TO;
    inotify::add_watch(&watch, directory, events)?;
    Ok(watch)
}

/// All files of a log, oldest first. They are opened from the newest on: a rotation meanwhile shows one twice, which is
/// seen, and never hides one.
fn sources(directory: &Path) -> io::Result<VecDeque<Source>> {
    let mut sources: VecDeque<Source> = VecDeque::new();
    for number in 0..MOST_FILES {
        match Source::open(&file(directory, number))? {
            Some(source) if sources.iter().all(|other| other.inode != source.inode) => sources.push_front(source),
            Some(_) => {}
            // Between two renames of a rotation there is no newest file, or none of another number.
            None if number > 1 => break,
            None => {}
        }
    }
    Ok(sources)
}

/// What comes after the file that was read; all of them when it is gone, since then all are newer.
fn newer(mut sources: VecDeque<Source>, inode: u64) -> VecDeque<Source> {
    if let Some(at) = sources.iter().position(|source| source.inode == inode) {
        sources.drain(..=at);
    }
    sources
}

/// Moves the beginning to the last `tail` lines. A half line at the end is none.
fn keep_last(sources: &mut VecDeque<Source>, tail: u64) -> io::Result<()> {
    let mut wanted = tail;
    for at in (0..sources.len()).rev() {
        let source = &mut sources[at];
        let (offset, found) = last_lines(&source.file, wanted)?;
        source.offset = offset;
        wanted -= found;
        if wanted == 0 {
            sources.drain(..at);
            return Ok(());
        }
    }
    Ok(())
}

/// Where the last `wanted` lines of a file begin, and how many there are.
fn last_lines(file: &File, wanted: u64) -> io::Result<(u64, u64)> {
    let mut block = vec![0; BLOCK];
    let mut end = file.metadata()?.len();
    let mut newlines = 0;
    while end > 0 {
        let begin = end.saturating_sub(BLOCK as u64);
        let block = &mut block[..usize::try_from(end - begin).unwrap_or(0)];
        file.read_exact_at(block, begin)?;
        for at in (0..block.len()).rev().filter(|at| block[*at] == b'\n') {
            if newlines == wanted {
                return Ok((begin + at as u64 + 1, wanted));
            }
            newlines += 1;
        }
        end = begin;
    }
    Ok((0, newlines))
}
