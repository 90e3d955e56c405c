//! `run` and `start`: a container's program runs.

use strata_engine::{
    AttachRequest, ContainerDocument, EngineError, RemoveContainer, RuntimeError, attach_container, find_container,
    remove_container, start_container,
};
use strata_model::ErrorKind;

use super::attach::forwards_signals;
use super::create::{NOT_STARTED, create, with_creation_flags};
use super::options::{self, AttachedStreams};
use super::session::{DETACH_KEYS_HELP, End, Session, check_terminal, detach_keys};
use crate::command_line::{Arity, CommandDefinition, Completes, FlagKind, Flags};
use crate::context::Context;
use crate::output::{complain, print_line};
use crate::report::{Failure, Outcome};

pub(super) fn run_definition() -> CommandDefinition {
    let command = CommandDefinition::new(
        "run",
        "[OPTIONS] IMAGE [COMMAND] [ARG...]",
        "Create and run a new container from an image",
        |context, flags| Box::pin(run(context, flags)),
    );
    let command = with_creation_flags(options::add(command));
    CommandDefinition { runs_on: crate::command_line::RunsOn::WorkersUntilItEnds, ..command }
        .completes(Completes::FirstImage)
        .arity(Arity::AtLeast(1))
        .flag("d/detach", FlagKind::Bool, "Run container in background and print container ID")
        .flag("detach-keys", FlagKind::Text("string"), DETACH_KEYS_HELP)
        .flag_with_default("sig-proxy", FlagKind::Bool, "true", "Proxy received signals to the process")
        .examples(&[
            ("run --rm -it --network none debian bash", "A shell that is gone afterwards"),
            ("run -d --network host --name web nginx", "In the background"),
        ])
}

pub(super) fn start_definition() -> CommandDefinition {
    let command = CommandDefinition::new(
        "start",
        "[OPTIONS] CONTAINER [CONTAINER...]",
        "Start one or more stopped containers",
        |context, flags| Box::pin(start(context, flags)),
    );
    CommandDefinition { runs_on: crate::command_line::RunsOn::WorkersUntilItEnds, ..command }
        .arity(Arity::AtLeast(1))
        .with_all_ids()
        .flag("a/attach", FlagKind::Bool, "Attach STDOUT/STDERR and forward signals")
        .flag("detach-keys", FlagKind::Text("string"), DETACH_KEYS_HELP)
        .flag("i/interactive", FlagKind::Bool, "Attach container's STDIN")
        .examples(&[("start -ai job", "With its input and output")])
}

async fn run(context: &Context<'_>, flags: &Flags<'_>) -> Outcome {
    let is_detached = flags.is_set("detach");
    if is_detached && flags.is_set("rm") && flags.text("restart").is_some_and(|policy| policy != "no") {
        return Err(Failure::bare("conflicting options: cannot specify both --restart and --rm").with_code(NOT_STARTED));
    }
    let streams = AttachedStreams::of(flags)?;
    let session = Session {
        stdin: streams.stdin && flags.is_set("interactive"),
        terminal: flags.is_set("tty"),
        forwards_signals: forwards_signals(flags),
        detach_keys: detach_keys(context, flags.text("detach-keys"))?,
        redraws: false,
    };
    check_terminal(session.stdin, session.terminal)?;
    let id = create(context, flags).await.map_err(|failure| failed_to_run(context, failure, NOT_STARTED))?;
    if is_detached {
        start_one(context, &id, None).await.map_err(|(failure, code)| failed_to_run(context, failure, code))?;
        return print_line(id);
    }
    let request = AttachRequest {
        stdin: session.stdin,
        stdout: streams.stdout,
        stderr: streams.stderr,
        paced: true,
        removes: flags.is_set("rm"),
    };
    attached(context, &id, session, request).await.map_err(|(failure, code)| failed_to_run(context, failure, code))?
}

/// Docker's frame around what went wrong before a program ran.
fn failed_to_run(context: &Context<'_>, failure: Failure, code: u8) -> Failure {
    let program = context.program();
    let code = if code == NOT_STARTED { told_code(&failure.message) } else { code };
    let message = format!("{program}: {}\n\nRun '{program} run --help' for more information", failure.message);
    Failure { message, ..failure }.with_code(code)
}

/// Docker's client reads the exit code out of its daemon's words.
fn told_code(message: &str) -> u8 {
    let is_told = |words: &[&str]| words.iter().any(|words| message.contains(words));
    match message.starts_with("Error response from daemon: ") {
        true if is_told(&["executable file not found", "no such file or directory"]) => 127,
        true if is_told(&["permission denied", "is a directory"]) => 126,
        _ => NOT_STARTED,
    }
}

/// The exit code of a program as ours.
pub(super) fn ended(code: i32) -> Outcome {
    match u8::try_from(code).unwrap_or(u8::MAX) {
        0 => Ok(()),
        code => Err(Failure::silent(code)),
    }
}

type NotStarted = (Failure, u8);

async fn start_one(
    context: &Context<'_>,
    name: &str,
    attach: Option<AttachRequest>,
) -> Result<Option<strata_engine::AttachStream>, NotStarted> {
    let work = async { Ok::<_, Failure>(start_container(context.store()?, &context.root()?, name, attach).await) };
    match work.await {
        Err(failure) => Err((failure, NOT_STARTED)),
        Ok(Ok(started)) => {
            started.warnings.iter().for_each(|warning| complain(&format!("WARNING: {warning}")));
            Ok(started.stream)
        }
        Ok(Err(EngineError::Runtime(RuntimeError::Start(error)))) => {
            Err((Failure::daemon(&error.message), error.exit_code))
        }
        Ok(Err(error)) => Err((error.into(), NOT_STARTED)),
    }
}

/// Starts a container, or joins one that runs, and takes part until it ends or the user leaves it; the outcome of that.
async fn attached(
    context: &Context<'_>,
    name: &str,
    session: Session,
    request: AttachRequest,
) -> Result<Outcome, NotStarted> {
    let not_started = |failure: Failure| (failure, NOT_STARTED);
    let stream = match start_one(context, name, Some(request)).await? {
        Some(stream) => stream,
        None => {
            let root = context.root().map_err(not_started)?;
            let stream = attach_container(context.store().map_err(not_started)?, &root, name, request).await;
            stream.map_err(|error| not_started(Failure::from(error).without_prefix()))?
        }
    };
    // With the connection's end the supervisor looks whether the container is removed, and removes it itself if it is not.
    let connection = stream.try_clone().map_err(|error| not_started(Failure::bare(error.to_string())))?;
    Ok(match session.run(stream).await {
        Ok(End::Exited(code)) => {
            remove_after(context, name, request.removes).await;
            drop(connection);
            ended(code)
        }
        Ok(End::Detached) => Ok(()),
        Err(failure) => Err(failure),
    })
}

/// What `--rm` says, by the client that saw the end. What it cannot do is left to the supervisor.
pub(super) async fn remove_after(context: &Context<'_>, name: &str, removes: bool) {
    let (Ok(store), Ok(root), true) = (context.store(), context.root(), removes) else { return };
    let options = RemoveContainer { force: false, volumes: true };
    if let Err(error) = remove_container(store, &root, name, options).await
        && error.kind() != ErrorKind::NotFound
    {
        Failure::from(error).report();
    }
}

async fn start(context: &Context<'_>, flags: &Flags<'_>) -> Outcome {
    let names = flags.arguments();
    if flags.is_set("attach") || flags.is_set("interactive") {
        let [name] = names.as_slice() else {
            return Err(Failure::bare("you cannot start and attach multiple containers at once"));
        };
        let row = find_container(&*context.store()?.read().await?, name).await?;
        let document = ContainerDocument::parse(&row)?;
        let session = Session {
            stdin: flags.is_set("interactive") && document.config.open_stdin,
            terminal: document.config.tty,
            forwards_signals: !document.config.tty,
            detach_keys: detach_keys(context, flags.text("detach-keys"))?,
            redraws: false,
        };
        let request = AttachRequest {
            stdin: session.stdin,
            stdout: true,
            stderr: true,
            paced: true,
            removes: document.host_config.auto_remove,
        };
        return attached(context, &row.id, session, request).await.map_err(|(failure, _)| failure)?;
    }
    let mut failed = Vec::new();
    for name in names {
        match start_one(context, &name, None).await {
            Ok(_) => print_line(&name)?,
            Err((failure, _)) => {
                failure.report();
                failed.push(name);
            }
        }
    }
    match failed.is_empty() {
        true => Ok(()),
        false => Err(Failure::bare(format!("Error: failed to start containers: {}", failed.join(", ")))),
    }
}
