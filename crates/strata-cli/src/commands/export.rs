//! `export`: the root file system of a container, or of an image, as a tar.

use std::io::{self, Write};
use std::path::Path;

use strata_engine::{EngineError, export_container, export_rootfs, find_container};
use strata_model::system_words;

use super::save::NewFile;
use crate::command_line::{Arity, CommandDefinition, Completes, FlagKind, Flags};
use crate::context::Context;
use crate::output::stdout_is_terminal;
use crate::report::{Failure, Outcome};

pub(super) fn definition() -> CommandDefinition {
    CommandDefinition::new(
        "export",
        "[OPTIONS] CONTAINER|IMAGE",
        "Export the filesystem of a container or an image as a tar archive",
        |context, flags| Box::pin(run(context, flags)),
    )
    .completes(Completes::FirstImage)
    .arity(Arity::Exactly(1))
    .on_workers()
    .with_all_ids()
    .flag("o/output", FlagKind::Text("string"), "Write to a file, instead of STDOUT")
    .flag("platform", FlagKind::Text("string"), "Export the image for this platform")
    .examples(&[
        ("export web | tar -t", "What a container has"),
        ("export -o rootfs.tar nginx", "All files of an image, merged"),
    ])
}

async fn run(context: &Context<'_>, flags: &Flags<'_>) -> Outcome {
    let Some(path) = flags.text("output") else {
        if stdout_is_terminal() {
            return Err(Failure::bare("cowardly refusing to save to a terminal. Use the -o flag or redirect"));
        }
        return export(context, flags, io::stdout()).await;
    };
    let failed = |cause: io::Error| Failure::bare(format!("failed to export container: {}", system_words(&cause)));
    let file = NewFile::beside(Path::new(&path)).map_err(failed)?;
    export(context, flags, file.file.try_clone()?).await?;
    file.keep().map_err(failed)
}

/// Writes the container of this name, else the image.
async fn export<W: Write + Send + 'static>(context: &Context<'_>, flags: &Flags<'_>, out: W) -> Outcome {
    let (name, platform, store) = (flags.argument(0), context.platform(flags)?, context.store()?);
    let is_container = find_container(&*store.read().await?, &name).await.is_ok();
    if is_container && platform.is_none() {
        return Ok(export_container(store, &context.root()?, &name, out).await?);
    }
    match export_rootfs(store, &name, platform.as_ref(), out).await {
        Ok(_) => Ok(()),
        Err(EngineError::NoSuchImage(_)) => Err(Failure::daemon(format!("No such container: {name}"))),
        Err(error) => Err(error.into()),
    }
}
