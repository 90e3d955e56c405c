//! `image mount` and `image unmount`: the files of an image in a directory.

use std::path::Path;

use strata_engine::{Mounted, mount, unmount};
use strata_format::size::human_size;

use crate::command_line::{Arity, CommandDefinition, Completes, FlagKind, Flags};
use crate::context::Context;
use crate::output::{complain, print_line};
use crate::report::Outcome;

pub(super) fn mount_definition() -> CommandDefinition {
    CommandDefinition::new(
        "mount",
        "[OPTIONS] IMAGE DIRECTORY",
        "Make the files of an image appear in an empty directory",
        |context, flags| Box::pin(run_mount(context, flags)),
    )
    .completes(Completes::FirstImage)
    .arity(Arity::Exactly(2))
    .on_workers()
    .flag("platform", FlagKind::Text("string"), "The image for this platform")
    .examples(&[("image mount nginx /mnt", "Read-only for root; a copy where mounting is not possible")])
}

pub(super) fn unmount_definition() -> CommandDefinition {
    CommandDefinition::new("unmount", "DIRECTORY", "Take away what `image mount` made", |context, flags| {
        Box::pin(run_unmount(context, flags))
    })
    .arity(Arity::Exactly(1))
    .examples(&[("image unmount /mnt", "The directory itself stays")])
}

async fn run_mount(context: &Context<'_>, flags: &Flags<'_>) -> Outcome {
    let (image, directory) = (flags.argument(0), flags.argument(1));
    let platform = context.platform(flags)?;
    let root = context.root()?;
    let mounted = mount(context.store()?, &root, &image, Path::new(&directory), platform.as_ref()).await?;
    match mounted {
        Mounted::Erofs => print_line(format_args!("Mounted {image} at {directory} (read-only)")),
        Mounted::Copied(copied) => {
            if !copied.skipped_devices.is_empty() || copied.skipped_xattrs > 0 {
                complain(&format!(
                    "WARNING: {} devices and {} extended attributes could not be made here",
                    copied.skipped_devices.len(),
                    copied.skipped_xattrs
                ));
            }
            let (names, size) = (copied.names, human_size(copied.bytes as f64));
            print_line(format_args!("Copied {image} to {directory}: {names} files, {size}"))
        }
    }
}

async fn run_unmount(context: &Context<'_>, flags: &Flags<'_>) -> Outcome {
    Ok(unmount(&context.root()?, Path::new(&flags.argument(0)))?)
}
