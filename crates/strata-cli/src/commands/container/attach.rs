//! `attach`: our input, output and errors are those of a container that runs.

use strata_engine::{AttachRequest, ContainerDocument, attach_container, find_container};

use super::run::{ended, remove_after};
use super::session::{DETACH_KEYS_HELP, End, Session, check_terminal, detach_keys, detached};
use crate::command_line::{Arity, CommandDefinition, FlagKind, Flags, RunsOn};
use crate::context::Context;
use crate::report::{Failure, Outcome};

pub(super) fn definition() -> CommandDefinition {
    let command = CommandDefinition::new(
        "attach",
        "[OPTIONS] CONTAINER",
        "Attach local standard input, output, and error streams to a running container",
        |context, flags| Box::pin(run(context, flags)),
    );
    CommandDefinition { runs_on: RunsOn::WorkersUntilItEnds, ..command }
        .arity(Arity::Exactly(1))
        .with_all_ids()
        .flag("detach-keys", FlagKind::Text("string"), DETACH_KEYS_HELP)
        .flag("no-stdin", FlagKind::Bool, "Do not attach STDIN")
        .flag_with_default("sig-proxy", FlagKind::Bool, "true", "Proxy all received signals to the process")
        .examples(&[("attach --no-stdin web", "What it writes; Ctrl-C ends it")])
}

async fn run(context: &Context<'_>, flags: &Flags<'_>) -> Outcome {
    let (store, root, name) = (context.store()?, context.root()?, flags.argument(0));
    let row = find_container(&*store.read().await?, &name).await?;
    let document = ContainerDocument::parse(&row)?;
    let takes_input = !flags.is_set("no-stdin");
    let session = Session {
        stdin: takes_input && document.config.open_stdin,
        terminal: document.config.tty,
        forwards_signals: forwards_signals(flags) && !document.config.tty,
        detach_keys: detach_keys(context, flags.text("detach-keys"))?,
        redraws: true,
    };
    let removes = document.host_config.auto_remove;
    let request = AttachRequest { stdin: session.stdin, stdout: true, stderr: true, paced: true, removes };
    // That it does not run is told before that our input is no terminal, as docker does.
    let stream = attach_container(store, &root, &row.id, request);
    let stream = stream.await.map_err(|error| Failure::from(error).without_prefix())?;
    check_terminal(takes_input, document.config.tty)?;
    match session.run(stream).await? {
        End::Exited(code) => {
            remove_after(context, &row.id, removes).await;
            ended(code)
        }
        End::Detached => Err(detached()),
    }
}

/// Whether signals go to the container: unless `--sig-proxy=false`.
pub(super) fn forwards_signals(flags: &Flags<'_>) -> bool {
    !flags.is_given("sig-proxy") || flags.is_set("sig-proxy")
}
