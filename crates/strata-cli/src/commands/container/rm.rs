//! `rm`: containers away.

use strata_engine::{RemoveContainer, remove_container};
use strata_model::ErrorKind;

use crate::command_line::{Arity, CommandDefinition, FlagKind, Flags};
use crate::context::Context;
use crate::output::print_line;
use crate::report::{Failure, Failures, Outcome};

pub(super) fn definition() -> CommandDefinition {
    CommandDefinition::new("rm", "[OPTIONS] CONTAINER [CONTAINER...]", "Remove one or more containers", |c, flags| {
        Box::pin(run(c, flags))
    })
    .arity(Arity::AtLeast(1))
    .with_all_ids()
    .flag("f/force", FlagKind::Bool, "Force the removal of a running container (uses SIGKILL)")
    .flag("v/volumes", FlagKind::Bool, "Remove anonymous volumes associated with the container")
    .examples(&[("rm -fv web", "Also when it runs, with the volumes that were made for it")])
}

async fn run(context: &Context<'_>, flags: &Flags<'_>) -> Outcome {
    let options = RemoveContainer { force: flags.is_set("force"), volumes: flags.is_set("volumes") };
    let mut failures = Failures::default();
    for name in flags.arguments() {
        let name = name.trim_matches('/');
        let removed = remove_container(context.store()?, &context.root()?, name, options).await;
        match removed {
            // With --force it is no failure that there is nothing.
            Err(error) if options.force && error.kind() == ErrorKind::NotFound => {
                Failure::from(error).report();
            }
            Err(error) => drop(failures.note::<()>(Err(error.into()))),
            Ok(()) => print_line(name)?,
        }
    }
    failures.outcome()
}
