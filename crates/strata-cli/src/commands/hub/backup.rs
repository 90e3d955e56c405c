//! `hub backup` and `hub restore`.

use std::path::Path;

use strata_format::size::human_size;

use crate::command_line::{Arity, CommandDefinition, Flags};
use crate::context::Context;
use crate::hub::BackupReport;
use crate::output::{complain, print_line, stdout_is_terminal};
use crate::report::{Failure, Outcome};

pub(super) fn backup_definition() -> CommandDefinition {
    CommandDefinition::new(
        "backup",
        "DIRECTORY|FILE.tar|FILE.tar.zst|-",
        "Write a copy of everything into a new directory or archive, also while the hub serves",
        |context, flags| Box::pin(backup(context, flags)),
    )
    .arity(Arity::Exactly(1))
    .on_workers()
    .examples(&[
        ("hub backup /backup/hub-2026-11-23", "On the same file system it takes no room until files are removed"),
        ("hub backup /backup/hub.tar.zst", "One file, compressed"),
        ("hub backup - | ssh elsewhere 'cat > hub.tar'", "A tar on standard output"),
    ])
}

pub(super) fn restore_definition() -> CommandDefinition {
    CommandDefinition::new(
        "restore",
        "DIRECTORY|FILE|-",
        "Make a hub from a backup, where there is none",
        |context, flags| Box::pin(restore(context, flags)),
    )
    .arity(Arity::Exactly(1))
    .on_workers()
    .examples(&[
        ("hub restore --root /srv/hub /backup/hub-2026-11-23", "Into an empty or new directory"),
        ("hub restore --root /srv/hub - < hub.tar.zst", "From standard input"),
    ])
}

async fn backup(context: &Context<'_>, flags: &Flags<'_>) -> Outcome {
    let arguments = super::arguments(context, Vec::new())?;
    let target = flags.argument(0);
    let is_stream = target == "-";
    if is_stream && stdout_is_terminal() {
        return Err(Failure::bare("cowardly refusing to write a backup to a terminal: name a file or redirect"));
    }
    let report = context.environment.hub().backup(&arguments, Path::new(&target)).await.map_err(super::failed)?;
    if is_stream {
        // Standard output is the backup.
        complain(&told("backed up", &report));
        return Ok(());
    }
    print_line(told("backed up", &report))
}

async fn restore(context: &Context<'_>, flags: &Flags<'_>) -> Outcome {
    let arguments = super::arguments(context, Vec::new())?;
    let source = flags.argument(0);
    let report = context.environment.hub().restore(&arguments, Path::new(&source)).await.map_err(super::failed)?;
    print_line(told("restored", &report))
}

fn told(done: &str, report: &BackupReport) -> String {
    let (files, size) = (report.files, human_size(report.bytes as f64));
    match report.linked {
        0 => format!("{done}: {files} files, {size}"),
        linked => format!("{done}: {files} files, {size}, {linked} of them shared with the store"),
    }
}
