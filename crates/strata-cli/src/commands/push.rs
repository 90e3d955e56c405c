//! `push`: from the store to a registry.

use std::collections::{HashMap, HashSet};

use strata_engine::{EngineError, PushRequest, PushTarget, load_documents, prepare_push, push_target};
use strata_model::{Digest, Reference};
use strata_store::Store;

use crate::command_line::{Arity, CommandDefinition, FlagKind, Flags};
use crate::context::Context;
use crate::output::{complain, print_line};
use crate::progress::{Display, LayerProgress, diff_id_names, topmost_first};
use crate::report::{Failure, Outcome};

pub(super) fn definition() -> CommandDefinition {
    CommandDefinition::new("push", "[OPTIONS] NAME[:TAG]", "Upload an image to a registry", |context, flags| {
        Box::pin(run(context, flags))
    })
    .arity(Arity::Exactly(1))
    .on_workers()
    .flag("a/all-tags", FlagKind::Bool, "Push all tags of an image to the repository")
    .flag(
        "platform",
        FlagKind::Text("string"),
        "Push a platform-specific manifest as a single-platform image to the registry.\n'os[/arch[/variant]]': Explicit platform (eg. linux/amd64)",
    )
    .flag("q/quiet", FlagKind::Bool, "Suppress verbose output")
    .ignored_flag("disable-content-trust", FlagKind::Bool)
    .examples(&[
        ("push registry.example.com/me/app:1.0", "To a registry of your own"),
        ("push -a registry.example.com/me/app", "All local tags of the repository"),
    ])
}

async fn run(context: &Context<'_>, flags: &Flags<'_>) -> Outcome {
    let reference = context.reference(&flags.argument(0))?;
    let (all_tags, is_quiet) = (flags.is_set("all-tags"), flags.is_set("quiet"));
    if all_tags && !reference.is_name_only() {
        return Err(Failure::bare("tag can't be used with --all-tags/-a"));
    }
    let platform = context.platform(flags)?;
    if !is_quiet {
        if reference.is_name_only() && !all_tags {
            print_line("Using default tag: latest")?;
        }
        if let Some(platform) = &platform {
            complain(&format!(" Info -> Only the image for {platform} is pushed, as an image of one platform"));
        }
        print_line(format_args!("The push refers to repository [{}]", reference.name()))?;
    }
    let reference = if all_tags { reference } else { reference.with_default_tag() };
    let request = PushRequest { reference: reference.clone(), all_tags, platform, limits: context.limits() };
    let store = context.store()?;
    // From here on docker's answer is a stream, whose errors have no prefix.
    let in_stream = |error: EngineError| Failure::from(error).without_prefix();
    let lease = store.lease("push").await?;
    let origins = mount_origins(store, &reference).await?;
    for target in prepare_push(store, &lease, &request).await.map_err(in_stream)? {
        let display = Display::choose(context, is_quiet);
        announce(&target, display)?;
        let names = diff_id_names(&target.layers);
        let progress = LayerProgress::of_push(display, names, origins.clone());
        let pushed = push_target(store, context.client()?, &request, &target, &*progress).await;
        progress.finish();
        let pushed = pushed.map_err(in_stream)?;
        if !is_quiet {
            print_line(format_args!("{}: digest: {} size: {}", pushed.tag, pushed.digest, pushed.size))?;
        }
    }
    store.release(lease).await?;
    if is_quiet { print_line(&reference) } else { Ok(()) }
}

/// Docker names all layers before it begins with any.
fn announce(target: &PushTarget, display: Display) -> Outcome {
    if display == Display::Plain {
        for (_, diff_id) in topmost_first(&target.layers) {
            print_line(format_args!("{}: Preparing", diff_id.0.short()))?;
        }
    }
    Ok(())
}

/// For each blob of local images that are known from the target's registry: the first of their repositories there, which is
/// where the registry is asked to mount it from.
async fn mount_origins(store: &Store, target: &Reference) -> Outcome<HashMap<Digest, String>> {
    let prefix = format!("{}/", target.host());
    let txn = store.read().await?;
    let mut origins = HashMap::new();
    let mut seen = HashSet::new();
    for row in txn.digest_names().await? {
        let Some(path) = row.repository.strip_prefix(&prefix) else { continue };
        if path == target.repository().as_str() || !seen.insert((row.image, path.to_owned())) {
            continue;
        }
        let Some(image) = txn.image(&row.image).await? else { continue };
        let Ok(documents) = load_documents(&*txn, &image).await else { continue };
        for layer in &documents.image().layers {
            origins.entry(layer.digest).or_insert_with(|| path.to_owned());
        }
    }
    Ok(origins)
}
