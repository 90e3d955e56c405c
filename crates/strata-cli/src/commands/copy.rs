//! `copy`: an image from any place to any other.

use strata_engine::{CopyOptions, ManifestFormat, Place, copy_images};
use strata_format::size::human_size;

use crate::command_line::{Arity, CommandDefinition, FlagKind, Flags};
use crate::context::Context;
use crate::output::print_line;
use crate::progress::{Display, LayerProgress, Shown, Words};
use crate::report::{Failure, Outcome};

pub(super) fn definition() -> CommandDefinition {
    CommandDefinition::new(
        "copy",
        "[OPTIONS] SOURCE DESTINATION",
        "Copy an image between registries, archives, layouts, docker and the store",
        |context, flags| Box::pin(run(context, flags)),
    )
    .arity(Arity::Exactly(2))
    .on_workers()
    .flag("a/all", FlagKind::Bool, "All platforms: an index keeps its digest")
    .flag("docker-host", FlagKind::Text("string"), "Where docker listens, for docker-daemon: (default DOCKER_HOST)")
    .flag(
        "f/format",
        FlagKind::Text("string"),
        "Type of the manifests written: \"oci\"; without it they stay as they are",
    )
    .flag("platform", FlagKind::Text("string"), "The platform to copy of several")
    .flag("preserve-digests", FlagKind::Bool, "Do not compress layers that are kept uncompressed")
    .flag("q/quiet", FlagKind::Bool, "Only print the digest")
    .examples(&[
        ("copy docker://nginx:latest oci:layout:nginx", "From a registry into an OCI layout"),
        ("copy --all docker://a.example.com/app:1 docker://b.example.com/app:1", "Between registries, all platforms"),
        ("copy store:app:1 docker-archive:app.tar:app:1", "From the store into an archive"),
        ("copy docker-daemon:app:1 store:app:1", "From docker into the store"),
    ])
}

async fn run(context: &Context<'_>, flags: &Flags<'_>) -> Outcome {
    let place = |text: String| Place::parse(&text).map_err(|error| Failure::from(error).without_prefix());
    let (from, to) = (place(flags.argument(0))?, place(flags.argument(1))?);
    let format = match flags.text("format").as_deref() {
        None => ManifestFormat::Keep,
        Some("oci") => ManifestFormat::Oci,
        Some(other) => return Err(Failure::bare(format!("unknown format {other:?}: must be oci"))),
    };
    let options = CopyOptions {
        all: flags.is_set("all"),
        platform: context.platform(flags)?,
        limits: context.limits(),
        preserve_digests: flags.is_set("preserve-digests"),
        format,
        docker_host: flags.text("docker-host"),
        view: context.view_policy(),
    };
    let is_quiet = flags.is_set("quiet");
    let display = Display::choose(context, is_quiet);
    let progress = LayerProgress::new(display, Words::Copy, Shown::All, None);
    let report = copy_images(context.store()?, context.client()?, &from, &to, &options, progress.clone()).await;
    progress.finish();
    let report = report.map_err(|error| Failure::from(error).without_prefix())?;
    if is_quiet {
        return print_line(report.digest);
    }
    print_line(format_args!("Digest: {}", report.digest))?;
    print_line(format_args!(
        "Copied {} blobs ({}), {} were there already",
        report.copied,
        human_size(report.transferred as f64),
        report.existed
    ))
}
