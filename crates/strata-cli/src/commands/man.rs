//! `man`: manual pages, for packagers.

use std::path::Path;

use clap_mangen::Man;

use crate::command_line::{Arity, CommandDefinition, Flags, clap_tree};
use crate::context::Context;
use crate::output::print_line;
use crate::report::{Failure, Outcome};

pub(super) fn definition() -> CommandDefinition {
    CommandDefinition::new("man", "DIRECTORY", "Write manual pages into a directory", |context, flags| {
        Box::pin(run(context, flags))
    })
    .arity(Arity::Exactly(1))
    .hidden()
}

async fn run(context: &Context<'_>, flags: &Flags<'_>) -> Outcome {
    let directory = flags.argument(0);
    let failed = |cause: std::io::Error| Failure::bare(format!("writing manual pages into {directory}: {cause}"));
    std::fs::create_dir_all(&directory).map_err(failed)?;
    let pages = write(clap_tree(&context.invocation.tree), "", Path::new(&directory)).map_err(failed)?;
    print_line(format_args!("{pages} manual pages written into {directory}"))
}

/// Writes the page of a command and those below it; returns their number.
fn write(command: clap::Command, parents: &str, directory: &Path) -> std::io::Result<usize> {
    let name =
        if parents.is_empty() { command.get_name().to_owned() } else { format!("{parents}-{}", command.get_name()) };
    let mut pages = 1;
    for below in command.get_subcommands().filter(|below| !below.is_hide_set()) {
        pages += write(below.clone(), &name, directory)?;
    }
    let mut page = Vec::new();
    Man::new(command.name(name.clone())).render(&mut page)?;
    std::fs::write(directory.join(format!("{name}.1")), page)?;
    Ok(pages)
}
