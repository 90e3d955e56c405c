//! The supervisor's ends of what a program reads and writes: three pipes, or a terminal.

use std::collections::VecDeque;
use std::fs::OpenOptions;
use std::os::fd::{AsFd, BorrowedFd, OwnedFd};

use rustix::fs::{OFlags, fcntl_getfl, fcntl_setfl};
use rustix::io::Errno;
use rustix::pipe::{PipeFlags, pipe_with};
use rustix::termios::{Winsize, tcsetwinsize};

use crate::error::RuntimeError;
use crate::log::Stream;

/// Input that waits for the program; clients that send more wait.
const ROOM: usize = 64 << 10;

/// What a program is started with.
#[derive(Debug)]
pub(crate) enum Stdio {
    /// These, as its descriptors 0, 1 and 2.
    Pipes([OwnedFd; 3]),
    /// A terminal that is made in its own devpts.
    Terminal,
}

/// Our ends. All are non-blocking.
#[derive(Debug, Default)]
pub(crate) struct Streams {
    stdin: Option<OwnedFd>,
    stdout: Option<OwnedFd>,
    stderr: Option<OwnedFd>,
    is_terminal: bool,
    input: VecDeque<u8>,
    ends: bool,
}

/// What reading gave.
pub(crate) enum Output {
    /// So many bytes.
    Bytes(usize),
    /// Nothing now.
    Nothing,
    /// There will be nothing more.
    End,
}

impl Streams {
    /// Pipes, and the program's ends of them; without `open_stdin` the program reads `/dev/null`.
    pub(crate) fn pipes(open_stdin: bool) -> Result<(Streams, [OwnedFd; 3]), RuntimeError> {
        let make = || -> Result<(Streams, [OwnedFd; 3]), std::io::Error> {
            let (stdin, their_stdin) = if open_stdin {
                let (theirs, ours) = pipe_with(PipeFlags::CLOEXEC)?;
                (Some(ours), theirs)
            } else {
                (None, OpenOptions::new().read(true).open("/dev/null")?.into())
            };
            let (stdout, their_stdout) = pipe_with(PipeFlags::CLOEXEC)?;
            let (stderr, their_stderr) = pipe_with(PipeFlags::CLOEXEC)?;
            for ours in stdin.iter().chain([&stdout, &stderr]) {
                unblock(ours)?;
            }
            let streams = Streams { stdin, stdout: Some(stdout), stderr: Some(stderr), ..Streams::default() };
            Ok((streams, [their_stdin, their_stdout, their_stderr]))
        };
        make().map_err(|cause| RuntimeError::system("making the container's pipes", cause))
    }

    /// A terminal, of which this is the master.
    pub(crate) fn terminal(master: OwnedFd) -> Result<Streams, RuntimeError> {
        let take = || -> Result<Streams, std::io::Error> {
            unblock(&master)?;
            let stdin = Some(master.try_clone()?);
            Ok(Streams { stdin, stdout: Some(master), is_terminal: true, ..Streams::default() })
        };
        take().map_err(|cause| RuntimeError::system("taking over the container's terminal", cause))
    }

    /// What can be read from, as long as it is open.
    pub(crate) fn output(&self, stream: Stream) -> Option<BorrowedFd<'_>> {
        match stream {
            Stream::Stdout => self.stdout.as_ref().map(AsFd::as_fd),
            Stream::Stderr => self.stderr.as_ref().map(AsFd::as_fd),
        }
    }

    /// Where waiting input goes; `None` when none waits.
    pub(crate) fn pending_input(&self) -> Option<BorrowedFd<'_>> {
        self.stdin.as_ref().filter(|_| !self.input.is_empty()).map(AsFd::as_fd)
    }

    /// Whether clients may send input.
    pub(crate) fn has_room(&self) -> bool {
        self.input.len() < ROOM
    }

    /// Reads what the program wrote.
    pub(crate) fn read(&mut self, stream: Stream, buffer: &mut [u8]) -> Output {
        let descriptor = match stream {
            Stream::Stdout => &mut self.stdout,
            Stream::Stderr => &mut self.stderr,
        };
        let Some(open) = descriptor else { return Output::End };
        match rustix::io::read(&*open, buffer) {
            Ok(read) if read > 0 => Output::Bytes(read),
            Err(Errno::AGAIN | Errno::INTR) => Output::Nothing,
            // A terminal that nobody has open any more is an error.
            _ => {
                *descriptor = None;
                Output::End
            }
        }
    }

    /// Takes input for the program; a program that does not read it any more loses it.
    pub(crate) fn write_input(&mut self, bytes: &[u8]) {
        if self.stdin.is_some() && !self.ends {
            self.input.extend(bytes);
            self.flush();
        }
    }

    /// There is no more input. A terminal stays open: its end is a character.
    pub(crate) fn end_input(&mut self) {
        if !self.is_terminal {
            self.ends = true;
            self.flush();
        }
    }

    /// Writes as much input as the program takes now.
    pub(crate) fn flush(&mut self) {
        while let Some(stdin) = &self.stdin
            && !self.input.is_empty()
        {
            match rustix::io::write(stdin, self.input.as_slices().0) {
                Ok(written) => drop(self.input.drain(..written)),
                Err(Errno::INTR) => {}
                Err(Errno::AGAIN) => break,
                Err(_) => {
                    self.stdin = None;
                    self.input.clear();
                }
            }
        }
        if self.input.is_empty() {
            self.input = VecDeque::new();
            if self.ends {
                self.stdin = None;
            }
        }
    }

    /// Changes the size of the terminal.
    pub(crate) fn resize(&self, rows: u16, columns: u16) -> Result<(), RuntimeError> {
        let Some(master) = self.stdout.as_ref().filter(|_| self.is_terminal) else {
            return Err(RuntimeError::Conflict("the container has no terminal".to_owned()));
        };
        let size = Winsize { ws_row: rows, ws_col: columns, ws_xpixel: 0, ws_ypixel: 0 };
        tcsetwinsize(master, size).map_err(|errno| RuntimeError::system("resizing the terminal", errno))
    }
}

fn unblock(descriptor: &OwnedFd) -> Result<(), Errno> {
    fcntl_setfl(descriptor, fcntl_getfl(descriptor)? | OFlags::NONBLOCK)
}
