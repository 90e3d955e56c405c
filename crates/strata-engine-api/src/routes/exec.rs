//! `exec`: further programs in a running container.

use std::collections::BTreeMap;
use std::sync::{Mutex, MutexGuard, PoisonError};

use http::StatusCode;
use serde::Deserialize;
use serde_json::{Value, json};
use strata_engine::{
    AttachRequest, AttachStream, DetachKeys, EngineError, ExecSpec, InspectedExec, OutputStream, TerminalSize,
    create_exec, inspect_exec, note_exec_end, start_exec,
};

use super::streams::terminal_size;
use crate::answer::{empty, json_with, ok};
use crate::call::Call;
use crate::connection::{Framing, Part, converse, hijacked};
use crate::status::{Answer, Failure};

/// The terminals of the programs whose connections are carried here, by their IDs: a size comes with a request of its own.
static TERMINALS: Mutex<BTreeMap<String, AttachStream>> = Mutex::new(BTreeMap::new());

fn terminals() -> MutexGuard<'static, BTreeMap<String, AttachStream>> {
    TERMINALS.lock().unwrap_or_else(PoisonError::into_inner)
}

/// A terminal whose size can be changed as long as this lives.
struct Terminal(String);

impl Terminal {
    fn of(id: &str, stream: &AttachStream) -> Option<Terminal> {
        terminals().insert(id.to_owned(), stream.try_clone().ok()?);
        Some(Terminal(id.to_owned()))
    }
}

impl Drop for Terminal {
    fn drop(&mut self) {
        terminals().remove(&self.0);
    }
}

/// What a client wants to be run.
#[derive(Default, Deserialize)]
#[serde(rename_all = "PascalCase", default)]
struct Settings {
    attach_stdin: bool,
    attach_stdout: bool,
    attach_stderr: bool,
    tty: bool,
    cmd: Option<Vec<String>>,
    env: Option<Vec<String>>,
    user: Option<String>,
    working_dir: Option<String>,
    privileged: bool,
    console_size: Option<[u16; 2]>,
    /// Clients write it in two ways; Go takes any.
    #[serde(alias = "detachKeys")]
    detach_keys: Option<String>,
}

pub(super) async fn create(mut call: Call, name: &str) -> Answer {
    let settings: Settings = call.json().await?;
    let args = settings.cmd.unwrap_or_default();
    if args.is_empty() {
        return Err(Failure::bad_request("No exec command specified"));
    }
    let some = |text: Option<String>| text.filter(|text| !text.is_empty());
    let size = settings.console_size.map(|[rows, columns]| TerminalSize { rows, columns });
    let program = ExecSpec {
        args,
        env: settings.env.unwrap_or_default(),
        user: some(settings.user),
        cwd: some(settings.working_dir).map(Into::into),
        privileged: settings.privileged,
        terminal: settings.tty.then(|| size.unwrap_or(TerminalSize { rows: 0, columns: 0 })),
        detach_keys: settings.detach_keys.unwrap_or_default(),
    };
    DetachKeys::parse(&program.detach_keys)?;
    let attach = AttachRequest {
        stdin: settings.attach_stdin,
        stdout: settings.attach_stdout,
        stderr: settings.attach_stderr,
        paced: true,
        ..AttachRequest::default()
    };
    let id = create_exec(call.store(), call.root(), name, program, attach).await?;
    json_with(StatusCode::CREATED, &json!({ "Id": id }))
}

/// How a client wants it to be run.
#[derive(Default, Deserialize)]
#[serde(rename_all = "PascalCase", default)]
struct Start {
    detach: bool,
    /// Whether the client takes the output as it is; else each piece says of which stream it is, also those of a terminal.
    tty: bool,
    console_size: Option<[u16; 2]>,
}

pub(super) async fn start(mut call: Call, id: &str) -> Answer {
    let start: Start = call.optional_json().await?.unwrap_or_default();
    let InspectedExec { container, record } = inspect_exec(call.root(), id)?;
    if record.pid != 0 || record.exit_code.is_some() {
        return Err(Failure::new(StatusCode::CONFLICT, format!("exec command {id} is already running")));
    }
    if start.detach {
        drop(start_exec(call.store(), call.root(), id, true).await?);
        return empty(StatusCode::OK);
    }
    let framing = Framing::of_terminal(start.tty);
    let keys = record.program.terminal.map(|_| DetachKeys::parse(&record.program.detach_keys)).transpose()?;
    let AttachRequest { stdin, stdout, stderr, .. } = record.attach;
    let part = Part { stdin, stdout, stderr, framing };
    let (engine, id) = (call.engine.clone(), id.to_owned());
    hijacked(&mut call, framing, move |client| async move {
        let mut stream = match start_exec(&engine.store, &engine.root, &id, true).await {
            Ok(stream) => stream,
            Err(error) => {
                // Docker tells it where the program's output would be.
                let text = format!("{error}\r\n");
                let _ = client.output.send(framing.frame(OutputStream::Stdout, text.as_bytes())).await;
                return;
            }
        };
        if let Some([rows, columns]) = start.console_size.filter(|_| keys.is_some()) {
            // Its program would rather run with another size than not.
            let _ = stream.resize(rows, columns);
        }
        let _terminal = keys.as_ref().and_then(|_| Terminal::of(&id, &stream));
        let ended = match converse(stream, part, keys, client).await {
            Ok(Some(code)) => note_exec_end(&engine.store, &container, &id, code).await.map_err(Failure::from),
            Ok(None) => Ok(()),
            Err(failure) => Err(failure),
        };
        if let Err(failure) = ended {
            tracing::debug!(error = failure.message, "a client of a program was cut off");
        }
    })
}

pub(super) fn resize(call: &Call, id: &str) -> Answer {
    let size = terminal_size(&call.query)?;
    inspect_exec(call.root(), id)?;
    let Some(mut terminal) = terminals().get(id).and_then(|stream| stream.try_clone().ok()) else {
        return Err(Failure::new(StatusCode::CONFLICT, format!("exec {id} has no terminal here")));
    };
    let resized = terminal.resize(size.rows, size.columns).map_err(EngineError::from);
    resized?;
    empty(StatusCode::OK)
}

pub(super) fn inspect(call: &Call, id: &str) -> Answer {
    let InspectedExec { container, record } = inspect_exec(call.root(), id)?;
    let program = &record.program;
    let is_running = record.is_running();
    let (entrypoint, arguments) = program.args.split_first().map_or(("", &[][..]), |(first, rest)| (first, rest));
    let exit_code = if is_running { Value::Null } else { json!(record.exit_code) };
    ok(&json!({
        "ID": id,
        "Running": is_running,
        "ExitCode": exit_code,
        "ProcessConfig": {
            "tty": program.terminal.is_some(),
            "entrypoint": entrypoint,
            "arguments": arguments,
            "privileged": program.privileged,
            "user": program.user.clone().unwrap_or_default(),
        },
        "OpenStdin": record.attach.stdin,
        "OpenStderr": record.attach.stderr,
        "OpenStdout": record.attach.stdout,
        "CanRemove": false,
        "ContainerID": container,
        "DetachKeys": program.detach_keys,
        "Pid": record.pid,
    }))
}
