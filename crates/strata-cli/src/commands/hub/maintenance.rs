//! `hub gc` and `hub fsck`. Both may run while the hub serves.

use strata_format::size::human_size;
use strata_store::{Depth, Repair};

use crate::command_line::{CommandDefinition, FlagKind, Flags};
use crate::commands::fsck;
use crate::context::Context;
use crate::output::{print, print_line};
use crate::report::{Failure, Outcome};

pub(super) fn collect_definition() -> CommandDefinition {
    CommandDefinition::new("gc", "[OPTIONS]", "Remove what no repository needs any more", |context, flags| {
        Box::pin(collect(context, flags))
    })
    .on_workers()
    .flag("now", FlagKind::Bool, "Also what the hub would keep for a while, so that a tag can be set back")
    .examples(&[(
        "hub gc --now",
        "Get the space back at once; a push that is under way may have to send a layer again",
    )])
}

async fn collect(context: &Context<'_>, flags: &Flags<'_>) -> Outcome {
    let arguments = super::arguments(context, Vec::new())?;
    let freed = context.environment.hub().collect(&arguments, flags.is_set("now")).await.map_err(super::failed)?;
    print_line(format_args!("Total reclaimed space: {}", human_size(freed as f64)))
}

pub(super) fn fsck_definition() -> CommandDefinition {
    CommandDefinition::new(
        "fsck",
        "[OPTIONS]",
        "Check every byte of the store, the hub's records, and that every tag leads to an image",
        |context, flags| Box::pin(check(context, flags)),
    )
    .on_workers()
    .flag("quick", FlagKind::Bool, "Check that all files are there and as long as they should be, without reading them")
    .flag("repair", FlagKind::Bool, "Mend what can be mended")
}

async fn check(context: &Context<'_>, flags: &Flags<'_>) -> Outcome {
    let depth = if flags.is_set("quick") { Depth::Quick } else { Depth::Full };
    let repair = if flags.is_set("repair") { Repair::Yes } else { Repair::No };
    let arguments = super::arguments(context, Vec::new())?;
    let report = context.environment.hub().fsck(&arguments, depth, repair).await.map_err(super::failed)?;
    print(&fsck::render(&report))?;
    if report.is_clean() {
        return Ok(());
    }
    Err(Failure::bare("the hub is damaged").with_hint("what is pushed again heals; `strata hub restore` has the rest"))
}
