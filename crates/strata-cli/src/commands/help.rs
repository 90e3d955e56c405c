//! `help`: the same as `--help`.

use crate::command_line::{Arity, CommandDefinition, Flags, Node, find_node, full_path};
use crate::context::Context;
use crate::output::print;
use crate::report::Outcome;
use crate::{help, usage};

pub(super) fn definition() -> CommandDefinition {
    CommandDefinition::new("help", "[COMMAND]", "Help about the command", |context, flags| {
        Box::pin(run(context, flags))
    })
    .arity(Arity::Any)
    .hidden()
}

async fn run(context: &Context<'_>, flags: &Flags<'_>) -> Outcome {
    let invocation = context.invocation;
    let words = flags.arguments();
    let mut path: Vec<&str> = Vec::new();
    for word in &words {
        path.push(word);
        if find_node(&invocation.tree, &path).is_none() {
            path.pop();
            let group = full_path(context.program(), &path);
            return Err(usage::unknown_command(&group, word, context.program()));
        }
        if let Some(Node::Command(_)) = find_node(&invocation.tree, &path) {
            break;
        }
    }
    print(&help::text(&invocation.tree, context.program(), &path))
}
