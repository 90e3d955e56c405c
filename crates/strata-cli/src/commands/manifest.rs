//! `manifest`: manifests on registries, and manifest lists put together here.

use strata_engine::{Annotation, ManifestInspection, ManifestLists, manifest_inspect, push_list};
use strata_format::go_json::{self, Escape};
use strata_model::Reference;
use strata_transfer::Silent;

use crate::command_line::{Arity, CommandDefinition, FlagKind, Flags};
use crate::context::Context;
use crate::output::print_line;
use crate::report::{Failure, Failures, Outcome};

pub(super) fn definitions() -> [CommandDefinition; 5] {
    [
        CommandDefinition::new(
            "inspect",
            "[OPTIONS] [MANIFEST_LIST] MANIFEST",
            "Display an image manifest, or manifest list",
            |context, flags| Box::pin(inspect(context, flags)),
        )
        .arity(Arity::Between(1, 2))
        .on_workers()
        .flag("insecure", FlagKind::Bool, "Allow communication with an insecure registry")
        .flag("v/verbose", FlagKind::Bool, "Output additional info including layers and platform")
        .examples(&[("manifest inspect nginx", "What a tag points at, without pulling it")]),
        CommandDefinition::new(
            "create",
            "MANIFEST_LIST MANIFEST [MANIFEST...]",
            "Create a local manifest list for annotating and pushing to a registry",
            |context, flags| Box::pin(create(context, flags)),
        )
        .arity(Arity::AtLeast(2))
        .on_workers()
        .flag("a/amend", FlagKind::Bool, "Amend an existing manifest list")
        .flag("insecure", FlagKind::Bool, "Allow communication with an insecure registry")
        .examples(&[("manifest create me/app:1 me/app:1-amd64 me/app:1-arm64", "One tag for two platforms")]),
        CommandDefinition::new(
            "annotate",
            "[OPTIONS] MANIFEST_LIST MANIFEST",
            "Add additional information to a local image manifest",
            |context, flags| Box::pin(annotate(context, flags)),
        )
        .arity(Arity::Exactly(2))
        .flag("arch", FlagKind::Text("string"), "Set architecture")
        .flag("os", FlagKind::Text("string"), "Set operating system")
        .flag("os-features", FlagKind::Texts("strings"), "Set operating system feature")
        .flag("os-version", FlagKind::Text("string"), "Set operating system version")
        .flag("variant", FlagKind::Text("string"), "Set architecture variant")
        .examples(&[("manifest annotate --variant v8 me/app:1 me/app:1-arm64", "Say what an image runs on")]),
        CommandDefinition::new(
            "push",
            "[OPTIONS] MANIFEST_LIST",
            "Push a manifest list to a repository",
            |context, flags| Box::pin(push(context, flags)),
        )
        .arity(Arity::Exactly(1))
        .on_workers()
        .flag("insecure", FlagKind::Bool, "Allow push to an insecure registry")
        .flag("p/purge", FlagKind::Bool, "Remove the local manifest list after push")
        .examples(&[("manifest push --purge me/app:1", "And forget the local list")]),
        CommandDefinition::new(
            "rm",
            "MANIFEST_LIST [MANIFEST_LIST...]",
            "Delete one or more manifest lists from local storage",
            |context, flags| Box::pin(remove(context, flags)),
        )
        .arity(Arity::AtLeast(1))
        .examples(&[("manifest rm me/app:1", "Forget a local list")]),
    ]
}

fn lists(context: &Context<'_>) -> Outcome<ManifestLists> {
    let directory = context.docker_directory().ok_or_else(|| Failure::bare("neither DOCKER_CONFIG nor HOME is set"))?;
    Ok(ManifestLists::new(directory.join("manifests")))
}

/// Docker's client does all of this itself: its errors have no prefix.
fn bare(error: impl Into<Failure>) -> Failure {
    error.into().without_prefix()
}

async fn inspect(context: &Context<'_>, flags: &Flags<'_>) -> Outcome {
    let names: Vec<Reference> = flags.arguments().iter().map(|name| context.reference(name)).collect::<Outcome<_>>()?;
    let is_verbose = flags.is_set("verbose");
    let found = match names.as_slice() {
        [list, manifest] => {
            ManifestInspection::Single(Box::new(lists(context)?.manifest(list, manifest).map_err(bare)?))
        }
        [name] => manifest_inspect(context.client()?, name, is_verbose).await.map_err(bare)?,
        _ => return Ok(()),
    };
    print_line(render(&found, is_verbose)?)
}

fn render(found: &ManifestInspection, is_verbose: bool) -> Outcome<String> {
    if is_verbose {
        return Ok(go_json::to_string_indented(&found.verbose(), "\t", Escape::Minimal));
    }
    let (bytes, indent) = match found {
        ManifestInspection::Single(manifest) => (manifest.manifest.bytes(), "\t"),
        ManifestInspection::List { raw, .. } => (raw, "   "),
    };
    Ok(go_json::indent(&String::from_utf8_lossy(bytes), indent)?)
}

async fn create(context: &Context<'_>, flags: &Flags<'_>) -> Outcome {
    let names: Vec<Reference> = flags.arguments().iter().map(|name| context.reference(name)).collect::<Outcome<_>>()?;
    let Some((list, manifests)) = names.split_first() else { return Ok(()) };
    let created = lists(context)?.create(context.client()?, list, manifests, flags.is_set("amend")).await;
    print_line(format_args!("Created manifest list {}", created.map_err(bare)?))
}

async fn annotate(context: &Context<'_>, flags: &Flags<'_>) -> Outcome {
    let annotation = Annotation {
        os: flags.text("os"),
        architecture: flags.text("arch"),
        os_features: flags.texts("os-features"),
        os_version: flags.text("os-version"),
        variant: flags.text("variant"),
    };
    let (list, manifest) = (context.reference(&flags.argument(0))?, context.reference(&flags.argument(1))?);
    lists(context)?.annotate(&list, &manifest, &annotation).map_err(bare)
}

async fn push(context: &Context<'_>, flags: &Flags<'_>) -> Outcome {
    let (lists, list) = (lists(context)?, context.reference(&flags.argument(0))?);
    let pushed = push_list(context.client()?, &lists, &list, context.limits(), &Silent).await.map_err(bare)?;
    for (reference, digest) in &pushed.copied {
        print_line(format_args!("Pushed ref {reference} with digest: {digest}"))?;
    }
    print_line(pushed.digest)?;
    if flags.is_set("purge") {
        lists.remove(&list).map_err(bare)?;
    }
    Ok(())
}

async fn remove(context: &Context<'_>, flags: &Flags<'_>) -> Outcome {
    let lists = lists(context)?;
    let mut failures = Failures::default();
    for name in flags.arguments() {
        let removed = context.reference(&name).and_then(|list| lists.remove(&list).map_err(bare));
        failures.note(removed);
    }
    failures.outcome()
}
