//! `commit`: an image of a container.

use strata_engine::{CommitRequest, commit_container, parse_target};

use crate::command_line::{Arity, CommandDefinition, FlagKind, Flags};
use crate::context::Context;
use crate::output::print_line;
use crate::report::Outcome;

pub(super) fn definition() -> CommandDefinition {
    CommandDefinition::new(
        "commit",
        "[OPTIONS] CONTAINER [REPOSITORY[:TAG]]",
        "Create a new image from a container's changes",
        |context, flags| Box::pin(run(context, flags)),
    )
    .arity(Arity::Between(1, 2))
    .with_all_ids()
    .on_workers()
    .flag("a/author", FlagKind::Text("string"), "Author (e.g., \"John Hannibal Smith <hannibal@a-team.com>\")")
    .flag("c/change", FlagKind::Texts("list"), "Apply Dockerfile instruction to the created image")
    .flag("m/message", FlagKind::Text("string"), "Commit message")
    .flag_with_default("p/pause", FlagKind::Bool, "true", "Pause container during commit")
    .examples(&[("commit -c 'CMD [\"nginx\"]' web me/web:2", "With another command")])
}

async fn run(context: &Context<'_>, flags: &Flags<'_>) -> Outcome {
    let arguments = flags.arguments();
    if let Some(name) = arguments.get(1).filter(|name| !name.is_empty()) {
        context.reference(name)?; // Docker's client refuses it in words of its own.
    }
    let reference = arguments.get(1).filter(|name| !name.is_empty()).map(|name| parse_target(name)).transpose()?;
    let request = CommitRequest {
        config: None,
        reference,
        author: flags.text("author").unwrap_or_default(),
        message: flags.text("message").unwrap_or_default(),
        changes: flags.texts("change"),
        pause: !flags.is_given("pause") || flags.is_set("pause"),
        view: context.view_policy(),
    };
    print_line(commit_container(context.store()?, &context.root()?, &arguments[0], &request).await?)
}
