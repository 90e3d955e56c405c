//! `container revive`: what the unit of a machine's start asks for.

use strata_engine::revive_containers;

use crate::command_line::{CommandDefinition, Flags};
use crate::context::Context;
use crate::output::print_line;
use crate::report::{Failure, Failures, Outcome};

pub(super) fn definition() -> CommandDefinition {
    CommandDefinition::new(
        "revive",
        "",
        "Start the containers whose restart policy wants them to run, after the machine was started",
        |context, flags| Box::pin(run(context, flags)),
    )
    .with_all_ids()
    .on_workers()
    .examples(&[("container revive", "What strata-containers.service does")])
    .hidden()
}

async fn run(context: &Context<'_>, _: &Flags<'_>) -> Outcome {
    let mut failures = Failures::default();
    for (name, started) in revive_containers(context.store()?, &context.root()?).await? {
        if failures.note(started.map_err(|error| Failure::from(error).about(&name))).is_some() {
            print_line(name)?;
        }
    }
    failures.outcome()
}
