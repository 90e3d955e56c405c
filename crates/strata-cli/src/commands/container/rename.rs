//! `rename`.

use strata_engine::rename_container;

use crate::command_line::{Arity, CommandDefinition, Flags};
use crate::context::Context;
use crate::report::{Failure, Outcome};

pub(super) fn definition() -> CommandDefinition {
    CommandDefinition::new("rename", "CONTAINER NEW_NAME", "Rename a container", |context, flags| {
        Box::pin(run(context, flags))
    })
    .arity(Arity::Exactly(2))
    .examples(&[("rename web old-web", "Makes room for another one of that name")])
}

async fn run(context: &Context<'_>, flags: &Flags<'_>) -> Outcome {
    let (old, new) = (flags.argument(0), flags.argument(1));
    rename_container(context.store()?, &old, &new).await.map_err(|error| {
        Failure::from(error).report();
        Failure::bare(format!("Error: failed to rename container named {old}"))
    })
}
