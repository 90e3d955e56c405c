//! `push`: from the store to a registry.

use strata_engine::{EngineError, PushRequest, PushTarget, prepare_push, push_target};

use crate::command_line::{Arity, CommandDefinition, Completes, FlagKind, Flags};
use crate::context::Context;
use crate::output::{complain, print_line};
use crate::progress::{Display, LayerProgress, Shown, Words, diff_id_names, topmost_first};
use crate::report::{Failure, Outcome};

pub(super) fn definition() -> CommandDefinition {
    CommandDefinition::new("push", "[OPTIONS] NAME[:TAG]", "Upload an image to a registry", |context, flags| {
        Box::pin(run(context, flags))
    })
    .completes(Completes::Images)
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
    for target in prepare_push(store, &lease, &request).await.map_err(in_stream)? {
        let display = Display::choose(context, is_quiet);
        announce(&target, display)?;
        let shown = Shown::Known(diff_id_names(&target.layers));
        let progress = LayerProgress::new(display, Words::Push, shown, None);
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
