//! `diff`: what a container changed of its image.

use strata_engine::{PathChangeKind, container_changes};

use crate::command_line::{Arity, CommandDefinition, Flags};
use crate::context::Context;
use crate::output::print;
use crate::report::Outcome;

pub(super) fn definition() -> CommandDefinition {
    CommandDefinition::new(
        "diff",
        "CONTAINER",
        "Inspect changes to files or directories on a container's filesystem",
        |context, flags| Box::pin(run(context, flags)),
    )
    .arity(Arity::Exactly(1))
    .with_all_ids()
    .examples(&[("diff web", "A is added, C changed, D deleted")])
}

async fn run(context: &Context<'_>, flags: &Flags<'_>) -> Outcome {
    let changes = container_changes(context.store()?, &context.root()?, &flags.argument(0)).await?;
    let mut text = String::new();
    for change in changes {
        let letter = match change.kind {
            PathChangeKind::Modified => 'C',
            PathChangeKind::Added => 'A',
            PathChangeKind::Deleted => 'D',
        };
        text.push_str(&format!("{letter} {}\n", String::from_utf8_lossy(&change.path)));
    }
    print(&text)
}
