//! The client's side of an attached container: its output to ours, our input to it, signals and terminal size.

use std::io::{self, IsTerminal as _, Read as _, Write as _};

use strata_engine::{AttachEvent, AttachStream, OutputStream};
use tokio::signal::unix::{SignalKind, signal};

use crate::output::terminal_size;
use crate::report::{Failure, Outcome};

/// What a client takes part in.
#[derive(Clone, Copy, Debug)]
pub(super) struct Session {
    /// Our input goes to the container.
    pub(super) stdin: bool,
    /// The container has a terminal.
    pub(super) terminal: bool,
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

impl Session {
    /// Passes everything on until the container ends; its exit code.
    pub(super) async fn run(self, stream: AttachStream) -> Outcome<i32> {
        let is_raw = self.terminal && self.stdin && io::stdin().is_terminal();
        let _raw = is_raw.then(RawTerminal::enter).transpose()?;
        let failed = |cause: strata_engine::RuntimeError| Failure::bare(cause.to_string());
        let mut control = stream.try_clone().map_err(failed)?;
        if self.stdin {
            let input = stream.try_clone().map_err(failed)?;
            // It may wait for input for ever, so nobody waits for it.
            std::thread::spawn(move || send_input(input));
        }
        let mut output = tokio::task::spawn_blocking(move || print_output(stream));
        let mut signals = Signals::listen()?;
        signals.resize(&mut control, self.terminal);
        loop {
            tokio::select! {
                code = &mut output => {
                    return code.map_err(|cause| Failure::bare(cause.to_string()))?;
                }
                number = signals.next() => match number {
                    WINCH => signals.resize(&mut control, self.terminal),
                    number => control.signal(number).map_err(failed)?,
                }
            }
        }
    }
}

const WINCH: i32 = 28;

/// The signals that are passed on.
struct Signals(tokio::sync::mpsc::UnboundedReceiver<i32>);

impl Signals {
    fn listen() -> io::Result<Signals> {
        let (sender, receiver) = tokio::sync::mpsc::unbounded_channel();
        for number in [1, 2, 3, 10, 12, 15, WINCH] {
            let mut arriving = signal(SignalKind::from_raw(number))?;
            let sender = sender.clone();
            tokio::spawn(async move { while arriving.recv().await.is_some() && sender.send(number).is_ok() {} });
        }
        Ok(Signals(receiver))
    }

    async fn next(&mut self) -> i32 {
        match self.0.recv().await {
            Some(number) => number,
            None => std::future::pending().await,
        }
    }

    fn resize(&self, control: &mut AttachStream, is_terminal: bool) {
        let size = |count: usize| u16::try_from(count).unwrap_or(u16::MAX);
        if let Some((columns, rows)) = terminal_size().filter(|_| is_terminal) {
            let _ = control.resize(size(rows), size(columns));
        }
    }
}

fn send_input(mut stream: AttachStream) {
    let mut buffer = [0; 16 << 10];
    loop {
        match io::stdin().read(&mut buffer) {
            Ok(count @ 1..) => {
                if stream.write_stdin(&buffer[..count]).is_err() {
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
