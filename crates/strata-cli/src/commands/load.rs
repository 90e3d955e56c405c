//! `load`: images from an archive.

use std::fs::File;
use std::io::{self, Read};

use strata_engine::{LoadRequest, load};
use strata_model::system_words;

use crate::command_line::{CommandDefinition, FlagKind, Flags};
use crate::context::Context;
use crate::output::{print, stdout_is_terminal};
use crate::progress::{Display, LayerProgress, Shown, Words};
use crate::prompt::stdin_is_terminal;
use crate::report::{Failure, Outcome};

pub(super) fn definition() -> CommandDefinition {
    CommandDefinition::new("load", "[OPTIONS]", "Load an image from a tar archive or STDIN", |context, flags| {
        Box::pin(run(context, flags))
    })
    .on_workers()
    .flag("i/input", FlagKind::Text("string"), "Read from tar archive file, instead of STDIN")
    .flag(
        "platform",
        FlagKind::Text("string"),
        "Load only the given platform variant. Formatted as \"os[/arch[/variant]]\" (e.g., \"linux/amd64\")",
    )
    .flag("q/quiet", FlagKind::Bool, "Suppress the load output")
    .examples(&[
        ("load -i images.tar.zst", "Compressed in any usual way, or not"),
        ("load < images.tar", "From a pipe"),
    ])
}

async fn run(context: &Context<'_>, flags: &Flags<'_>) -> Outcome {
    let input: Box<dyn Read + Send> = match flags.text("input") {
        Some(path) => Box::new(open(&path)?),
        None if stdin_is_terminal() => {
            return Err(Failure::bare("requested load from stdin, but stdin is empty"));
        }
        None => Box::new(io::stdin()),
    };
    let request = LoadRequest { platform: context.platform(flags)?, view: context.view_policy() };
    let shows = stdout_is_terminal() && !flags.is_set("quiet");
    let display = if shows { Display::choose(context, false) } else { Display::Silent };
    let progress = LayerProgress::new(display, Words::Load, Shown::All, None);
    let loaded = load(context.store()?, input, &request, progress.clone()).await;
    progress.finish();
    // Docker tells what is wrong with an archive within its stream.
    let loaded = loaded.map_err(|error| Failure::from(error).without_prefix())?;
    print(&loaded.told())
}

/// Opens a file for reading; the error is worded as Go does.
pub(super) fn open(path: &str) -> Outcome<File> {
    File::open(path).map_err(|cause| Failure::bare(format!("open {path}: {}", system_words(&cause))))
}
