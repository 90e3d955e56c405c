//! `logout`: credentials forgotten.

use crate::command_line::{Arity, CommandDefinition, Flags};
use crate::context::Context;
use crate::output::print_line;
use crate::report::Outcome;

pub(super) fn definition() -> CommandDefinition {
    CommandDefinition::new("logout", "[SERVER]", "Log out from a registry", |context, flags| {
        Box::pin(run(context, flags))
    })
    .arity(Arity::AtMost(1))
    .examples(&[("logout registry.example.com", "From one registry; without a name, from Docker Hub")])
}

async fn run(context: &Context<'_>, flags: &Flags<'_>) -> Outcome {
    let logout = context.client()?.logout(&flags.arguments().pop().unwrap_or_default()).await?;
    print_line(format_args!("Removing login credentials for {}", logout.key))
}
