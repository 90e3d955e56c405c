//! `rmi`: names away, and images with the last of them.

use strata_engine::{
    EngineError, RemoveOptions, RemoveStep, expand_wildcards, mounted_images, plan_remove, remove_one,
    running_containers,
};
use strata_format::size::human_size;
use strata_model::ErrorKind;

use crate::command_line::{Arity, CommandDefinition, Completes, FlagKind, Flags};
use crate::context::Context;
use crate::output::{print, print_line};
use crate::report::{Failure, Failures, Outcome};

pub(super) fn definition() -> CommandDefinition {
    CommandDefinition::new("rmi", "[OPTIONS] IMAGE [IMAGE...]", "Remove one or more images", |context, flags| {
        Box::pin(run(context, flags))
    })
    .completes(Completes::Images)
    .arity(Arity::AtLeast(1))
    .flag("dry-run", FlagKind::Bool, "Show what would be removed, and what each removal would free")
    .flag("f/force", FlagKind::Bool, "Force removal of the image")
    .flag("no-prune", FlagKind::Bool, "Do not delete untagged parents")
    .flag(
        "platform",
        FlagKind::Text("string"),
        "Remove only the given platform variant. Formatted as \"os[/arch[/variant]]\" (e.g., \"linux/amd64\")",
    )
    .examples(&[
        ("rmi nginx:1.25 706db57fb206", "By name or ID"),
        ("rmi 'test-*' --dry-run", "What a pattern would remove, and free"),
    ])
}

async fn run(context: &Context<'_>, flags: &Flags<'_>) -> Outcome {
    let platform = context.platform(flags)?;
    let (is_forced, is_dry) = (flags.is_set("force"), flags.is_set("dry-run"));
    let mounted = mounted_images(&context.root()?)?;
    let running = running_containers(context.store()?, &context.root()?).await?;
    let options = RemoveOptions { force: is_forced, platform: platform.as_ref(), mounted: &mounted, running: &running };
    let mut failures = Failures::default();
    let mut has_failed = false;
    for argument in flags.arguments() {
        let outcome = remove(context, &argument, &options, is_dry).await;
        // With --force it is no failure that there is nothing.
        has_failed |= matches!(&outcome, Err((_, kind)) if !is_forced || *kind != ErrorKind::NotFound);
        failures.note(outcome.map_err(|(failure, _)| failure));
    }
    match has_failed {
        true => failures.outcome(),
        false => {
            failures.report();
            Ok(())
        }
    }
}

type Refused = (Failure, ErrorKind);

async fn remove(
    context: &Context<'_>,
    argument: &str,
    options: &RemoveOptions<'_>,
    is_dry: bool,
) -> Result<(), Refused> {
    let refused = |error: EngineError| {
        let kind = error.kind();
        (Failure::from(error), kind)
    };
    let other = |failure: Failure| (failure, ErrorKind::Internal);
    let store = context.store().map_err(other)?;
    for text in expand_wildcards(store, argument).await.map_err(refused)? {
        if is_dry {
            let planned = plan_remove(store, &text, options).await.map_err(refused)?;
            let steps = planned_lines(&planned.steps);
            print(&format!("{steps}{text}: would free {}\n", human_size(planned.freed as f64))).map_err(other)?;
        } else {
            let removed = remove_one(store, &text, options).await.map_err(refused)?;
            for step in &removed.steps {
                print_line(match step {
                    RemoveStep::Untagged(name) => format!("Untagged: {name}"),
                    RemoveStep::Deleted(digest) => format!("Deleted: {digest}"),
                })
                .map_err(other)?;
            }
        }
    }
    Ok(())
}

/// The steps of a removal that was not made.
pub(super) fn planned_lines(steps: &[RemoveStep]) -> String {
    steps
        .iter()
        .map(|step| match step {
            RemoveStep::Untagged(name) => format!("Would untag: {name}\n"),
            RemoveStep::Deleted(digest) => format!("Would delete: {digest}\n"),
        })
        .collect()
}
