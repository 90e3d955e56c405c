//! What is asked of a supervisor, and what it answers.

use serde::{Deserialize, Serialize};

use crate::cgroup::{Limits, Warning};
use crate::error::RuntimeError;
use crate::supervisor::plan::RestartPolicy;

/// What is asked.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(tag = "request", rename_all = "snake_case")]
pub enum Request {
    /// Send init a signal. The container's own stop signal, and `SIGKILL`, mean that it shall not be restarted.
    Signal {
        /// Its number.
        signal: i32,
    },
    /// End the container; answered when it ended.
    Stop {
        /// What asks it to end; `None` is its own.
        signal: Option<i32>,
        /// After how many seconds it is killed; `None` is its own time, negative is never.
        timeout_seconds: Option<i64>,
    },
    /// Freeze all processes.
    Pause,
    /// Let them go on.
    Unpause,
    /// Change the size of the terminal.
    Resize {
        /// Lines.
        rows: u16,
        /// Characters of a line.
        columns: u16,
    },
    /// Answered when init ended.
    Wait,
    /// Change limits or policy.
    Update(Box<Update>),
    /// Take part in input and output.
    Attach(AttachRequest),
}

/// What can be changed while a container runs.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(default)]
pub struct Update {
    /// Limits; what is not named stays.
    pub limits: Limits,
    /// What to do when the program ends.
    pub restart: Option<RestartPolicy>,
}

/// Which streams a client takes part in.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(default)]
pub struct AttachRequest {
    /// It sends input.
    pub stdin: bool,
    /// It gets output.
    pub stdout: bool,
    /// It gets errors.
    pub stderr: bool,
    /// The program waits when this client does not take its output, so that nothing is lost, as in a pipe. Without, a
    /// client that is too slow misses output and is told how much.
    pub paced: bool,
    /// It removes the container when that ended, and then ends the connection. If it does not, the supervisor executes what
    /// it was given for the end.
    pub removes: bool,
}

/// What is answered.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(tag = "response", rename_all = "snake_case")]
pub enum Response {
    /// It is done.
    Done {
        /// What of it this machine cannot do.
        #[serde(default, skip_serializing_if = "Vec::is_empty")]
        warnings: Vec<Warning>,
    },
    /// Init ended.
    Exited {
        /// How: its exit code, or 128 and the signal.
        exit_code: i32,
    },
    /// Frames of output follow.
    Attached {
        /// What was written before (nanoseconds since 1970) is in the log, what is written later comes as frames.
        time: i64,
    },
    /// It is not done.
    Failed {
        /// What sort of failure.
        refusal: Refusal,
        /// Why.
        message: String,
    },
}

/// Why something is not done.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Refusal {
    /// The request makes no sense.
    Invalid,
    /// It does not go together with what the container is doing.
    Conflict,
    /// This machine cannot do it.
    Unsupported,
    /// The kernel refused it.
    System,
}

impl Response {
    pub(crate) fn failed(error: &RuntimeError) -> Response {
        let refusal = match error {
            RuntimeError::Invalid(_) => Refusal::Invalid,
            RuntimeError::Conflict(_) => Refusal::Conflict,
            RuntimeError::Unsupported(_) => Refusal::Unsupported,
            _ => Refusal::System,
        };
        Response::Failed { refusal, message: error.to_string() }
    }

    /// The failure that was answered, as one of this crate.
    pub(crate) fn into_result(self) -> Result<Response, RuntimeError> {
        match self {
            Response::Failed { refusal, message } => Err(match refusal {
                Refusal::Invalid => RuntimeError::Invalid(message),
                Refusal::Conflict => RuntimeError::Conflict(message),
                Refusal::Unsupported => RuntimeError::Unsupported(message),
                Refusal::System => RuntimeError::system("asking the supervisor", std::io::Error::other(message)),
            }),
            other => Ok(other),
        }
    }
}
