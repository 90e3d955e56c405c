//! `export`: the root file system of an image as a tar.

use std::io;
use std::path::Path;

use strata_engine::export_rootfs;

use super::save::NewFile;
use crate::command_line::{Arity, CommandDefinition, Completes, FlagKind, Flags};
use crate::context::Context;
use crate::output::stdout_is_terminal;
use crate::report::{Failure, Outcome};

pub(super) fn definition() -> CommandDefinition {
    CommandDefinition::new(
        "export",
        "[OPTIONS] IMAGE",
        "Export an image's filesystem as a tar archive",
        |context, flags| Box::pin(run(context, flags)),
    )
    .completes(Completes::FirstImage)
    .arity(Arity::Exactly(1))
    .on_workers()
    .flag("o/output", FlagKind::Text("string"), "Write to a file, instead of STDOUT")
    .flag("platform", FlagKind::Text("string"), "Export the image for this platform")
    .examples(&[("export -o rootfs.tar nginx", "All files of an image, merged")])
}

async fn run(context: &Context<'_>, flags: &Flags<'_>) -> Outcome {
    let (image, platform) = (flags.argument(0), context.platform(flags)?);
    let Some(path) = flags.text("output") else {
        if stdout_is_terminal() {
            return Err(Failure::bare("cowardly refusing to save to a terminal. Use the -o flag or redirect"));
        }
        export_rootfs(context.store()?, &image, platform.as_ref(), io::stdout()).await?;
        return Ok(());
    };
    let failed = |cause: io::Error| Failure::bare(format!("failed to export image: {cause}"));
    let file = NewFile::beside(Path::new(&path)).map_err(failed)?;
    export_rootfs(context.store()?, &image, platform.as_ref(), file.file.try_clone()?).await?;
    file.keep().map_err(failed)
}
