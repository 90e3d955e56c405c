//! `cp`: files between a container and this machine.

use std::io;

use strata_engine::{
    CopiedFiles, CopyError, copy_from_container, copy_tar_from_container, copy_tar_to_container, copy_to_container,
};
use strata_format::size::human_size_with_precision;

use crate::command_line::{Arity, CommandDefinition, FlagKind, Flags};
use crate::context::Context;
use crate::output::{complain, stdout_is_terminal};
use crate::report::{Failure, Outcome};

/// Docker's number of digits for the amount that was copied.
const DIGITS: usize = 3;

pub(super) fn definition() -> CommandDefinition {
    CommandDefinition::new(
        "cp",
        "[OPTIONS] CONTAINER:SRC_PATH DEST_PATH|-\n\t{program} cp [OPTIONS] SRC_PATH|- CONTAINER:DEST_PATH",
        "Copy files/folders between a container and the local filesystem",
        |context, flags| Box::pin(run(context, flags)),
    )
    .arity(Arity::Exactly(2))
    .with_all_ids()
    .on_workers()
    .completes(crate::command_line::Completes::Files)
    .flag("a/archive", FlagKind::Bool, "Archive mode (copy all uid/gid information)")
    .flag("L/follow-link", FlagKind::Bool, "Always follow symbol link in SRC_PATH")
    .flag(
        "q/quiet",
        FlagKind::Bool,
        "Suppress progress output during copy. Progress output is automatically suppressed if no terminal is attached",
    )
    .examples(&[
        ("cp web:/etc/nginx/nginx.conf .", "A file of a container"),
        ("cp site/. web:/srv", "What is in a directory"),
        ("cp web:/var/log - | tar -x", "As a tar on standard output; `-` as source reads one"),
    ])
}

impl From<CopyError> for Failure {
    fn from(error: CopyError) -> Failure {
        match error {
            CopyError::Here(message) => Failure::bare(message),
            CopyError::There(error) => error.into(),
        }
    }
}

async fn run(context: &Context<'_>, flags: &Flags<'_>) -> Outcome {
    let arguments = flags.arguments();
    let (source, target) = (&arguments[0], &arguments[1]);
    for (text, side) in [(source, "source"), (target, "destination")] {
        if text.is_empty() {
            return Err(Failure::bare(format!("{side} can not be empty")));
        }
    }
    let (follow, for_user) = (flags.is_set("follow-link"), flags.is_set("archive"));
    let (store, root) = (context.store()?, context.root()?);
    let copied = match (split(source), split(target)) {
        ((Some(_), _), (Some(_), _)) => return Err(Failure::bare("copying between containers is not supported")),
        ((None, _), (None, _)) => return Err(Failure::bare("must specify at least one container source")),
        ((Some(container), path), (None, "-")) => {
            return Ok(copy_tar_from_container(store, &root, container, path, io::stdout(), follow).await?);
        }
        ((None, "-"), (Some(container), path)) => {
            return Ok(copy_tar_to_container(store, &root, io::stdin(), container, path, for_user).await?);
        }
        ((Some(container), path), (None, target)) => {
            copy_from_container(store, &root, container, path, target, follow).await?
        }
        ((None, source), (Some(container), path)) => {
            copy_to_container(store, &root, source, container, path, follow, for_user).await?
        }
    };
    let is_quiet = if flags.is_given("quiet") { flags.is_set("quiet") } else { !stdout_is_terminal() };
    if !is_quiet {
        tell(&copied);
    }
    Ok(())
}

fn tell(copied: &CopiedFiles) {
    let size = human_size_with_precision(copied.bytes as f64, DIGITS);
    complain(&format!("Successfully copied {size} to {}", copied.target));
}

/// Container and path. Paths that begin with a slash or a dot are of this machine, whatever else is in them.
fn split(text: &str) -> (Option<&str>, &str) {
    match text.split_once(':') {
        Some((container, path)) if !container.starts_with(['.', '/']) => (Some(container), path),
        _ => (None, text),
    }
}
