//! `tag`: another name for an image.

use crate::command_line::{Arity, CommandDefinition, Completes, Flags};
use crate::context::Context;
use crate::report::{Failure, Outcome};

pub(super) fn definition() -> CommandDefinition {
    CommandDefinition::new(
        "tag",
        "SOURCE_IMAGE[:TAG] TARGET_IMAGE[:TAG]",
        "Create a tag TARGET_IMAGE that refers to SOURCE_IMAGE",
        |context, flags| Box::pin(run(context, flags)),
    )
    .completes(Completes::Images)
    .arity(Arity::Exactly(2))
    .examples(&[("tag app:1.0 registry.example.com/me/app:1.0", "A name under which the image can be pushed")])
}

async fn run(context: &Context<'_>, flags: &Flags<'_>) -> Outcome {
    let (source, target) = (flags.argument(0), flags.argument(1));
    // The target is checked first, and by docker's client: its errors have no prefix.
    strata_engine::parse_target(&target).map_err(|error| Failure::from(error).without_prefix())?;
    Ok(strata_engine::tag(context.store()?, &source, &target).await?)
}
