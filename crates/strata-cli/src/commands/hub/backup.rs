//! `hub backup` and `hub restore`.

use std::path::Path;

use strata_format::size::human_size;

use crate::command_line::{Arity, CommandDefinition, Flags};
use crate::context::Context;
use crate::hub::BackupReport;
use crate::output::print_line;
use crate::report::Outcome;

pub(super) fn backup_definition() -> CommandDefinition {
    CommandDefinition::new(
        "backup",
        "DIRECTORY",
        "Write a copy of everything into a new directory, also while the hub serves",
        |context, flags| Box::pin(backup(context, flags)),
    )
    .arity(Arity::Exactly(1))
    .on_workers()
    .examples(&[(
        "hub backup /backup/hub-2026-11-23",
        "On the same file system it takes no room until files are removed",
    )])
}

pub(super) fn restore_definition() -> CommandDefinition {
    CommandDefinition::new("restore", "DIRECTORY", "Make a hub from a backup, where there is none", |context, flags| {
        Box::pin(restore(context, flags))
    })
    .arity(Arity::Exactly(1))
    .on_workers()
    .examples(&[("hub restore --root /srv/hub /backup/hub-2026-11-23", "Into an empty or new directory")])
}

async fn backup(context: &Context<'_>, flags: &Flags<'_>) -> Outcome {
    let arguments = super::arguments(context, Vec::new())?;
    let target = flags.argument(0);
    let report = context.environment.hub().backup(&arguments, Path::new(&target)).await.map_err(super::failed)?;
    tell("backed up", &report)
}

async fn restore(context: &Context<'_>, flags: &Flags<'_>) -> Outcome {
    let arguments = super::arguments(context, Vec::new())?;
    let source = flags.argument(0);
    let report = context.environment.hub().restore(&arguments, Path::new(&source)).await.map_err(super::failed)?;
    tell("restored", &report)
}

fn tell(done: &str, report: &BackupReport) -> Outcome {
    let size = human_size(report.bytes as f64);
    print_line(format_args!("{done}: {} files, {size}, {} of them shared with the store", report.files, report.linked))
}
