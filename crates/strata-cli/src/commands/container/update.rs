//! `update`: limits and restart policy of containers.

use strata_engine::update_container;

use super::options;
use crate::command_line::{Arity, CommandDefinition, Flags};
use crate::context::Context;
use crate::output::print_line;
use crate::report::{Failure, Failures, Outcome};

const FLAGS: &[&str] = &[
    "blkio-weight",
    "cpu-period",
    "cpu-quota",
    "cpu-shares",
    "cpus",
    "cpuset-cpus",
    "cpuset-mems",
    "memory",
    "memory-reservation",
    "memory-swap",
    "pids-limit",
    "restart",
];

pub(super) fn definition() -> CommandDefinition {
    let command = CommandDefinition::new(
        "update",
        "[OPTIONS] CONTAINER [CONTAINER...]",
        "Update configuration of one or more containers",
        |context, flags| Box::pin(run(context, flags)),
    )
    .arity(Arity::AtLeast(1))
    .on_workers()
    .examples(&[
        ("update --memory 512m --memory-swap 1g web", "Other limits, at once"),
        ("update --restart unless-stopped web", "Another policy"),
    ]);
    options::add_some(command, FLAGS)
}

async fn run(context: &Context<'_>, flags: &Flags<'_>) -> Outcome {
    if !FLAGS.iter().any(|name| flags.is_given(name)) {
        return Err(Failure::bare("you must provide one or more flags when using this command"));
    }
    let change = options::limits(flags)?;
    let (store, root) = (context.store()?, context.root()?);
    let (mut failures, mut warnings) = (Failures::default(), Vec::new());
    for name in flags.arguments() {
        let updated = update_container(store, &root, &name, &change).await;
        if let Some(told) = failures.note(updated.map_err(Failure::from)) {
            print_line(&name)?;
            warnings.extend(told);
        }
    }
    warnings.iter().try_for_each(print_line)?;
    failures.outcome()
}
