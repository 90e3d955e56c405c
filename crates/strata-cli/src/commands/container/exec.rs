//! `exec`: a further program in a container that runs.

use strata_engine::{
    AttachRequest, EngineError, ExecSpec, RuntimeError, TerminalSize, create_exec, note_exec_end, start_exec,
};

use super::options::environment;
use super::run::ended;
use super::session::{DETACH_KEYS_HELP, End, Session, check_terminal, detach_keys, detached};
use crate::command_line::{Arity, CommandDefinition, FlagKind, Flags, RunsOn};
use crate::context::Context;
use crate::output::terminal_size;
use crate::report::{Failure, Outcome};

pub(super) fn definition() -> CommandDefinition {
    let command = CommandDefinition::new(
        "exec",
        "[OPTIONS] CONTAINER COMMAND [ARG...]",
        "Execute a command in a running container",
        |context, flags| Box::pin(run(context, flags)),
    );
    CommandDefinition { runs_on: RunsOn::WorkersUntilItEnds, ..command }
        .arity(Arity::AtLeast(2))
        .options_first()
        .flag("d/detach", FlagKind::Bool, "Detached mode: run command in the background")
        .flag("detach-keys", FlagKind::Text("string"), DETACH_KEYS_HELP)
        .flag("e/env", FlagKind::Texts("list"), "Set environment variables")
        .flag("env-file", FlagKind::Texts("list"), "Read in a file of environment variables")
        .flag("i/interactive", FlagKind::Bool, "Keep STDIN open even if not attached")
        .flag("privileged", FlagKind::Bool, "Give extended privileges to the command")
        .flag("t/tty", FlagKind::Bool, "Allocate a pseudo-TTY")
        .flag("u/user", FlagKind::Text("string"), "Username or UID (format: \"<name|uid>[:<group|gid>]\")")
        .flag("w/workdir", FlagKind::Text("string"), "Working directory inside the container")
        .examples(&[
            ("exec -it web sh", "A shell beside what runs"),
            ("exec -u postgres -w /tmp database psql -c 'select 1'", "As somebody, and somewhere"),
        ])
}

async fn run(context: &Context<'_>, flags: &Flags<'_>) -> Outcome {
    let mut words = flags.arguments().into_iter();
    let name = words.next().unwrap_or_default();
    let (is_detached, terminal) = (flags.is_set("detach"), flags.is_set("tty"));
    let size = |count: usize| u16::try_from(count).unwrap_or(u16::MAX);
    let screen = terminal_size().map(|(columns, rows)| TerminalSize { rows: size(rows), columns: size(columns) });
    let program = ExecSpec {
        detach_keys: String::new(),
        args: words.collect(),
        env: environment(flags)?,
        user: flags.text("user"),
        cwd: flags.text("workdir").map(Into::into),
        privileged: flags.is_set("privileged"),
        terminal: terminal.then(|| screen.unwrap_or(TerminalSize { rows: 0, columns: 0 })),
    };
    let takes_part = !is_detached;
    let session = Session {
        stdin: takes_part && flags.is_set("interactive"),
        terminal,
        forwards_signals: false,
        detach_keys: detach_keys(context, flags.text("detach-keys"))?,
        redraws: false,
    };
    check_terminal(session.stdin, terminal)?;
    let attach = AttachRequest {
        stdin: session.stdin,
        stdout: takes_part,
        stderr: takes_part,
        paced: takes_part,
        ..AttachRequest::default()
    };
    let (store, root) = (context.store()?, context.root()?);
    let id = create_exec(store, &root, &name, program, attach).await?;
    let stream = start_exec(store, &root, &id, false).await.map_err(not_started)?;
    if is_detached {
        return Ok(());
    }
    match session.run(stream).await? {
        End::Exited(code) => {
            note_exec_end(store, &name, &id, code).await?;
            ended(code)
        }
        End::Detached => Err(detached()),
    }
}

/// What kept a program from running, with docker's exit code.
fn not_started(error: EngineError) -> Failure {
    match error {
        EngineError::Runtime(RuntimeError::Start(error)) => Failure::bare(error.message).with_code(error.exit_code),
        other => other.into(),
    }
}
