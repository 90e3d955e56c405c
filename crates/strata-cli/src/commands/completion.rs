//! `completion`: scripts for shells.

use clap_complete::Shell;

use crate::command_line::{Arity, CommandDefinition, Flags, clap_tree};
use crate::context::Context;
use crate::output::print;
use crate::report::{Failure, Outcome};

pub(super) fn definition() -> CommandDefinition {
    CommandDefinition::new("completion", "bash|zsh|fish", "Print a completion script for a shell", |context, flags| {
        Box::pin(run(context, flags))
    })
    .arity(Arity::Exactly(1))
    .examples(&[("completion bash > /etc/bash_completion.d/strata", "For all users of bash")])
}

async fn run(context: &Context<'_>, flags: &Flags<'_>) -> Outcome {
    let shell = match flags.argument(0).as_str() {
        "bash" => Shell::Bash,
        "zsh" => Shell::Zsh,
        "fish" => Shell::Fish,
        other => return Err(Failure::bare(format!("unknown shell {other:?}: must be bash, zsh or fish"))),
    };
    let mut command = clap_tree(&context.invocation.tree);
    let mut script = Vec::new();
    clap_complete::generate(shell, &mut command, context.program(), &mut script);
    print(&String::from_utf8_lossy(&script))
}
