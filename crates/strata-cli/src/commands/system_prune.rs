//! `system prune`: everything that is not used: containers, volumes, images.

use strata_engine::{PruneRequest, mounted_images, prune};

use super::prune::{render, with_configured};
use crate::command_line::{CommandDefinition, FlagKind, Flags};
use crate::context::Context;
use crate::output::print;
use crate::report::{Failure, Outcome};
use crate::{filters, prompt};

pub(super) fn definition() -> CommandDefinition {
    CommandDefinition::new("prune", "[OPTIONS]", "Remove unused data", |context, flags| Box::pin(run(context, flags)))
        .with_all_ids()
        .flag("a/all", FlagKind::Bool, "Remove all unused images not just dangling ones")
        .flag("filter", FlagKind::Filter, "Provide filter values (e.g. \"label=<key>=<value>\")")
        .flag("f/force", FlagKind::Bool, "Do not prompt for confirmation")
        .flag("volumes", FlagKind::Bool, "Prune anonymous volumes")
        .examples(&[("system prune -a -f", "Everything that is not in use, without a question")])
}

async fn run(context: &Context<'_>, flags: &Flags<'_>) -> Outcome {
    let (all, volumes) = (flags.is_set("all"), flags.is_set("volumes"));
    let filters = with_configured(context, filters::parse(flags));
    if volumes && filters.iter().any(|(key, _)| key == "until") {
        return Err(Failure::bare("ERROR: The \"until\" filter is not supported with \"--volumes\""));
    }
    if !flags.is_set("force") && !prompt::confirm(&warning(all, volumes, &filters))? {
        return Ok(());
    }
    let (containers, mut freed) = super::container::prune_stopped(context, &filters).await?;
    let unused = match volumes {
        true => super::volume::prune_unused(context, &filters).await?,
        false => (String::new(), 0),
    };
    freed += unused.1;
    let mounted = mounted_images(&context.root()?)?;
    let request = PruneRequest { all, filters, mounted, ..PruneRequest::default() };
    let mut removed = prune(context.store()?, &request).await?;
    removed.freed += freed;
    print(&format!("{containers}{}{}", unused.0, render(&removed)))
}

fn warning(all: bool, volumes: bool, filters: &[(String, String)]) -> String {
    let mut items = vec!["all stopped containers", "all networks not used by at least one container"];
    if volumes {
        items.push("all anonymous volumes not used by at least one container");
    }
    match all {
        true => items.extend(["all images without at least one container associated to them", "all build cache"]),
        false => items.extend(["all dangling images", "unused build cache"]),
    }
    let mut text = String::from("WARNING! This will remove:\n");
    for item in items {
        text.push_str(&format!("  - {item}\n"));
    }
    if !filters.is_empty() {
        text.push_str("\n  Items to be pruned will be filtered with:\n");
        for (key, value) in filters {
            text.push_str(&format!("  - {key}={value}\n"));
        }
    }
    text.push_str("\nAre you sure you want to continue?");
    text
}
