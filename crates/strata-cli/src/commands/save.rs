//! `save`: images into an archive.

use std::fs::{File, OpenOptions};
use std::io;
use std::os::unix::fs::OpenOptionsExt as _;
use std::path::{Path, PathBuf};

use strata_engine::{SaveFormat, SaveRequest, save};

use crate::command_line::{Arity, CommandDefinition, Completes, FlagKind, Flags};
use crate::context::Context;
use crate::output::stdout_is_terminal;
use crate::progress::{Display, LayerProgress, Shown, Words};
use crate::report::{Failure, Outcome};

pub(super) fn definition() -> CommandDefinition {
    CommandDefinition::new(
        "save",
        "[OPTIONS] IMAGE [IMAGE...]",
        "Save one or more images to a tar archive (streamed to STDOUT by default)",
        |context, flags| Box::pin(run(context, flags)),
    )
    .completes(Completes::Images)
    .arity(Arity::AtLeast(1))
    .on_workers()
    .flag_with_default(
        "format",
        FlagKind::Text("string"),
        "docker",
        "Layout of the archive: \"docker\" (with an OCI layout in it) or \"oci\"",
    )
    .flag("o/output", FlagKind::Text("string"), "Write to a file, instead of STDOUT")
    .flag(
        "platform",
        FlagKind::Text("string"),
        "Save only the given platform variant. Formatted as \"os[/arch[/variant]]\" (e.g., \"linux/amd64\")",
    )
    .examples(&[
        ("save -o images.tar nginx redis", "Two images, shared layers once"),
        ("save nginx | ssh host strata load", "To another machine"),
    ])
}

async fn run(context: &Context<'_>, flags: &Flags<'_>) -> Outcome {
    let format = match flags.text("format").as_deref() {
        None | Some("docker") => SaveFormat::Docker,
        Some("oci") => SaveFormat::Oci,
        Some(other) => return Err(Failure::bare(format!("unknown format {other:?}: must be docker or oci"))),
    };
    let request = SaveRequest { images: flags.arguments(), platform: context.platform(flags)?, format };
    let Some(path) = flags.text("output") else {
        if stdout_is_terminal() {
            return Err(Failure::bare("cowardly refusing to save to a terminal. Use the -o flag or redirect"));
        }
        let silent = LayerProgress::new(Display::Silent, Words::Save, Shown::All, None);
        save(context.store()?, &request, io::stdout(), silent).await?;
        return Ok(());
    };
    let file = NewFile::beside(Path::new(&path)).map_err(|cause| {
        let shown = cause.to_string();
        Failure::bare(format!("failed to save image: {}", shown.as_str()))
    })?;
    let display = if stdout_is_terminal() { Display::choose(context, false) } else { Display::Silent };
    let progress = LayerProgress::new(display, Words::Save, Shown::All, None);
    let out = file.file.try_clone()?;
    let saved = save(context.store()?, &request, out, progress.clone()).await;
    progress.finish();
    saved?;
    file.keep().map_err(|cause| Failure::bare(format!("failed to save image: {cause}")))
}

/// A file that takes its place only when it is complete; until then it lies beside it, readable to its owner alone.
pub(super) struct NewFile {
    pub(super) file: File,
    unfinished: PathBuf,
    target: PathBuf,
    is_kept: bool,
}

impl NewFile {
    pub(super) fn beside(target: &Path) -> io::Result<NewFile> {
        let directory = target.parent().filter(|parent| !parent.as_os_str().is_empty()).unwrap_or(Path::new("."));
        if !directory.is_dir() {
            let message = format!("invalid output path: stat {}: no such file or directory", directory.display());
            return Err(io::Error::new(io::ErrorKind::NotFound, message));
        }
        let name = target.file_name().map(|name| name.to_string_lossy().into_owned()).unwrap_or_default();
        let unfinished = directory.join(format!(".{name}.{}", std::process::id()));
        let file = OpenOptions::new().write(true).create_new(true).mode(0o600).open(&unfinished)?;
        Ok(NewFile { file, unfinished, target: target.to_path_buf(), is_kept: false })
    }

    /// Puts the file in its place.
    pub(super) fn keep(mut self) -> io::Result<()> {
        std::fs::rename(&self.unfinished, &self.target)?;
        self.is_kept = true;
        Ok(())
    }
}

impl Drop for NewFile {
    fn drop(&mut self) {
        if !self.is_kept {
            let _ = std::fs::remove_file(&self.unfinished);
        }
    }
}
