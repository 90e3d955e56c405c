//! Failures: text on stderr and exit code.

use strata_engine::EngineError;
use strata_store::StoreError;
use strata_transfer::TransferError;

use crate::output::complain;

/// How a command ends.
pub(crate) type Outcome<T = ()> = Result<T, Failure>;

/// Docker's prefix of what its daemon refuses. Scripts look for it.
const DAEMON_PREFIX: &str = "Error response from daemon: ";

/// Exit code of any error without a code of its own.
const ANY_ERROR: u8 = 1;
/// Exit code of a process whose reader went away: 128 and SIGPIPE.
const BROKEN_PIPE: u8 = 141;

/// A command that failed: what is told, and the exit code.
#[derive(Clone, Debug)]
pub(crate) struct Failure {
    /// Lines for stderr; empty when all has been said.
    pub(crate) message: String,
    /// What the user can do; a line of its own.
    pub(crate) hint: Option<String>,
    /// The exit code.
    pub(crate) code: u8,
}

impl Failure {
    /// An error of the command line itself, without prefix.
    pub(crate) fn bare(message: impl Into<String>) -> Failure {
        Failure { message: message.into(), hint: None, code: ANY_ERROR }
    }

    /// An error of what docker's daemon would do.
    pub(crate) fn daemon(message: impl std::fmt::Display) -> Failure {
        Failure::bare(format!("{DAEMON_PREFIX}{message}"))
    }

    /// The same with another exit code.
    #[must_use]
    pub(crate) fn with_code(self, code: u8) -> Failure {
        Failure { code, ..self }
    }

    /// The same with advice.
    #[must_use]
    pub(crate) fn with_hint(self, hint: impl Into<String>) -> Failure {
        Failure { hint: Some(hint.into()), ..self }
    }

    /// An end of which everything has been said.
    pub(crate) fn silent(code: u8) -> Failure {
        Failure { message: String::new(), hint: None, code }
    }

    /// The same, naming what failed of several things.
    #[must_use]
    pub(crate) fn about(self, what: &str) -> Failure {
        if self.message.is_empty() {
            return self;
        }
        Failure { message: format!("{what}: {}", self.message), ..self }
    }

    /// The same without docker's daemon prefix: what is told in a stream that had already begun.
    #[must_use]
    pub(crate) fn without_prefix(mut self) -> Failure {
        if let Some(rest) = self.message.strip_prefix(DAEMON_PREFIX) {
            self.message = rest.to_owned();
        }
        self
    }

    /// Prints the failure and returns its exit code.
    pub(crate) fn report(&self) -> u8 {
        if !self.message.is_empty() {
            complain(&self.message);
        }
        if let Some(hint) = &self.hint {
            complain(&format!("hint: {hint}"));
        }
        self.code
    }
}

impl From<EngineError> for Failure {
    fn from(error: EngineError) -> Failure {
        if is_broken_pipe(&error) {
            return Failure::silent(BROKEN_PIPE);
        }
        let hint = error.hint();
        Failure { hint, ..from_daemon(error.to_string()) }
    }
}

/// Whether the reader of what a use case writes went away.
fn is_broken_pipe(error: &EngineError) -> bool {
    if !matches!(error, EngineError::File { .. } | EngineError::Archive(_)) {
        return false;
    }
    let mut cause: Option<&(dyn std::error::Error + 'static)> = Some(error);
    while let Some(error) = cause {
        let source = error.downcast_ref::<std::io::Error>();
        if source.is_some_and(|source| source.kind() == std::io::ErrorKind::BrokenPipe) {
            return true;
        }
        cause = error.source();
    }
    false
}

impl From<StoreError> for Failure {
    fn from(error: StoreError) -> Failure {
        let hint = error.hint();
        Failure { hint, ..from_daemon(error.to_string()) }
    }
}

impl From<TransferError> for Failure {
    fn from(error: TransferError) -> Failure {
        Failure { hint: error.hint.clone(), ..from_daemon(error.to_string()) }
    }
}

/// Docker tells a registry's rate limit within its stream, and so without prefix.
fn from_daemon(message: String) -> Failure {
    if message.starts_with("toomanyrequests:") { Failure::bare(message) } else { Failure::daemon(message) }
}

impl From<strata_format::Error> for Failure {
    fn from(error: strata_format::Error) -> Failure {
        Failure::bare(error.to_string())
    }
}

impl From<std::io::Error> for Failure {
    /// A failure of stdout or stdin; a reader that went away is no news to anybody.
    fn from(error: std::io::Error) -> Failure {
        match error.kind() {
            std::io::ErrorKind::BrokenPipe => Failure::silent(BROKEN_PIPE),
            _ => Failure::bare(error.to_string()),
        }
    }
}

/// Failures of a command that goes on with its other arguments after one: all are told, in their order.
#[derive(Debug, Default)]
pub(crate) struct Failures(Vec<Failure>);

impl Failures {
    /// Notes the failure of a step, if it is one.
    pub(crate) fn note<T>(&mut self, outcome: Outcome<T>) -> Option<T> {
        outcome.map_err(|failure| self.0.push(failure)).ok()
    }

    /// Prints the failures.
    pub(crate) fn report(&self) {
        for failure in &self.0 {
            failure.report();
        }
    }

    /// Prints the failures; the first one's exit code counts.
    pub(crate) fn outcome(self) -> Outcome {
        self.report();
        self.0.first().map_or(Ok(()), |first| Err(Failure::silent(first.code)))
    }
}
