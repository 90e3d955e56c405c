//! The client's side of a program that it takes part in, a container's or one of `exec`: its output to ours, our input to
//! it, signals, terminal size, and the keys that end this.

use std::io::{self, IsTerminal as _, Read as _, Write as _};

use strata_engine::{AttachEvent, AttachStream, DetachKeys, OutputStream};
use tokio::signal::unix::{SignalKind, signal};
use tokio::sync::oneshot;

use crate::context::Context;
use crate::output::terminal_size;
use crate::report::{Failure, Outcome};

pub(super) const DETACH_KEYS_HELP: &str = "Override the key sequence for detaching a container";

/// The keys that the flag says, or docker's configuration file.
///
/// # Errors
/// For keys that do not exist.
pub(super) fn detach_keys(context: &Context<'_>, given: Option<String>) -> Outcome<DetachKeys> {
    let configured = || context.docker_setting("detachKeys").and_then(|value| Some(value.as_str()?.to_owned()));
    Ok(DetachKeys::parse(&given.or_else(configured).unwrap_or_default())?)
}

/// What a client takes part in.
#[derive(Clone, Debug)]
pub(super) struct Session {
    /// Our input goes to the program.
    pub(super) stdin: bool,
    /// It has a terminal.
    pub(super) terminal: bool,
    /// Signals that come here go to the program; otherwise they end this process.
    pub(super) forwards_signals: bool,
    /// What is typed to leave a terminal.
    pub(super) detach_keys: DetachKeys,
    /// The program drew its screen before: the size changes for a moment, so that it does it again.
    pub(super) redraws: bool,
}

/// How a session ended.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum End {
    /// The program ended, with this exit code.
    Exited(i32),
    /// The user left it.
    Detached,
}

/// Docker's words for who left a program by its keys, where it takes that for a failure.
pub(super) fn detached() -> Failure {
    Failure::bare("read escape sequence")
}

/// A terminal goes with one.
///
/// # Errors
/// In docker's words, when our input is to be a terminal and is none.
pub(super) fn check_terminal(stdin: bool, terminal: bool) -> Outcome {
    match stdin && terminal && !io::stdin().is_terminal() {
        true => Err(Failure::bare("the input device is not a TTY")),
        false => Ok(()),
    }
}

/// The terminal as it was, to be given back.
struct RawTerminal(rustix::termios::Termios);

impl RawTerminal {
    fn enter() -> io::Result<RawTerminal> {
        let before = rustix::termios::tcgetattr(io::stdin())?;
        let mut raw = before.clone();
        raw.make_raw();
        rustix::termios::tcsetattr(io::stdin(), rustix::termios::OptionalActions::Now, &raw)?;
        Ok(RawTerminal(before))
    }
}

impl Drop for RawTerminal {
    fn drop(&mut self) {
        let _ = rustix::termios::tcsetattr(io::stdin(), rustix::termios::OptionalActions::Now, &self.0);
    }
}

const WINCH: i32 = 28;
/// Signals that end a process, and that are passed on if any are.
const ENDING: [i32; 4] = [1, 2, 3, 15];
const OTHERS: [i32; 3] = [10, 12, WINCH];

impl Session {
    /// Passes everything on until the program ends or the user leaves it.
    pub(super) async fn run(self, stream: AttachStream) -> Outcome<End> {
        let is_raw = self.terminal && self.stdin && io::stdin().is_terminal();
        let _raw = is_raw.then(RawTerminal::enter).transpose()?;
        let failed = |cause: strata_engine::RuntimeError| Failure::bare(cause.to_string());
        let mut control = stream.try_clone().map_err(failed)?;
        // Before anything that was typed.
        if let Some((rows, columns)) = size().filter(|_| self.terminal) {
            if self.redraws {
                let _ = control.resize(rows.saturating_add(1), columns.saturating_add(1));
            }
            let _ = control.resize(rows, columns);
        }
        let (leave, mut left) = oneshot::channel();
        if self.stdin {
            let input = stream.try_clone().map_err(failed)?;
            let keys = is_raw.then_some(self.detach_keys);
            // It may wait for input for ever, so nobody waits for it.
            std::thread::spawn(move || send_input(input, keys, leave));
        }
        let mut output = tokio::task::spawn_blocking(move || print_output(stream));
        let mut signals = listen(self.forwards_signals)?;
        loop {
            tokio::select! {
                code = &mut output => return code.map_err(|cause| Failure::bare(cause.to_string()))?.map(End::Exited),
                Ok(()) = &mut left => {
                    control.detach();
                    return Ok(End::Detached);
                }
                Some(number) = signals.recv() => match size() {
                    Some((rows, columns)) if number == WINCH && self.terminal => {
                        let _ = control.resize(rows, columns);
                    }
                    _ if number == WINCH => {}
                    _ if self.forwards_signals => control.signal(number).map_err(failed)?,
                    _ => return Err(Failure::silent(128 + u8::try_from(number).unwrap_or(0))),
                }
            }
        }
    }
}

fn size() -> Option<(u16, u16)> {
    let count = |count: usize| u16::try_from(count).unwrap_or(u16::MAX);
    terminal_size().map(|(columns, rows)| (count(rows), count(columns)))
}

/// The signals that come; those that end this process are waited for, too, so that the terminal is given back.
fn listen(forwards: bool) -> io::Result<tokio::sync::mpsc::UnboundedReceiver<i32>> {
    let (sender, receiver) = tokio::sync::mpsc::unbounded_channel();
    for number in ENDING.into_iter().chain(OTHERS).filter(|number| forwards || ![10, 12].contains(number)) {
        let mut arriving = signal(SignalKind::from_raw(number))?;
        let sender = sender.clone();
        tokio::spawn(async move { while arriving.recv().await.is_some() && sender.send(number).is_ok() {} });
    }
    Ok(receiver)
}

/// Sends what is typed until it ends, or until the keys are typed.
fn send_input(mut stream: AttachStream, mut keys: Option<DetachKeys>, leave: oneshot::Sender<()>) {
    let mut buffer = [0; 16 << 10];
    loop {
        match io::stdin().read(&mut buffer) {
            Ok(count @ 1..) => {
                let (bytes, leaves) = match &mut keys {
                    Some(keys) => keys.filter(&buffer[..count]),
                    None => (buffer[..count].to_vec(), false),
                };
                if !bytes.is_empty() && stream.write_stdin(&bytes).is_err() {
                    return;
                }
                if leaves {
                    let _ = leave.send(());
                    return;
                }
            }
            Err(cause) if cause.kind() == io::ErrorKind::Interrupted => {}
            _ => {
                let _ = stream.end_stdin();
                return;
            }
        }
    }
}

fn print_output(mut stream: AttachStream) -> Outcome<i32> {
    loop {
        match stream.next_event().map_err(|cause| Failure::bare(cause.to_string()))? {
            Some(AttachEvent::Output { stream: OutputStream::Stderr, bytes }) => io::stderr().write_all(&bytes)?,
            Some(AttachEvent::Output { bytes, .. }) => {
                let mut stdout = io::stdout().lock();
                stdout.write_all(&bytes)?;
                stdout.flush()?;
            }
            Some(AttachEvent::Lost(count)) => crate::output::complain(&format!("{count} bytes of output are missing")),
            Some(AttachEvent::Exited(code)) => return Ok(code),
            None => return Err(Failure::bare("the container's supervisor closed the connection")),
        }
    }
}
