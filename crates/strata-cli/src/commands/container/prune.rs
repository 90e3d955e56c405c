//! `container prune`: those that do not run.

use strata_engine::prune_containers;
use strata_format::size::human_size;

use crate::command_line::{CommandDefinition, FlagKind, Flags};
use crate::context::Context;
use crate::output::print;
use crate::report::Outcome;
use crate::{filters, prompt};

const WARNING: &str = "WARNING! This will remove all stopped containers.\nAre you sure you want to continue?";

pub(super) fn definition() -> CommandDefinition {
    CommandDefinition::new("prune", "[OPTIONS]", "Remove all stopped containers", |context, flags| {
        Box::pin(run(context, flags))
    })
    .with_all_ids()
    .flag("filter", FlagKind::Filter, "Provide filter values (e.g. \"until=<timestamp>\")")
    .flag("f/force", FlagKind::Bool, "Do not prompt for confirmation")
    .examples(&[("container prune -f --filter until=24h", "Those that were made more than a day ago")])
}

async fn run(context: &Context<'_>, flags: &Flags<'_>) -> Outcome {
    if !flags.is_set("force") && !prompt::confirm(WARNING)? {
        return Ok(());
    }
    let filters = super::super::prune::with_configured(context, filters::parse(flags));
    let (text, freed) = prune(context, &filters).await?;
    print(&format!("{text}Total reclaimed space: {}\n", human_size(freed as f64)))
}

/// Removes them; what is to be told, and the bytes freed.
pub(in super::super) async fn prune(context: &Context<'_>, filters: &[(String, String)]) -> Outcome<(String, u64)> {
    let pruned = prune_containers(context.store()?, &context.root()?, filters).await?;
    let text = match pruned.ids.is_empty() {
        true => String::new(),
        false => format!("Deleted Containers:\n{}\n\n", pruned.ids.join("\n")),
    };
    Ok((text, pruned.freed))
}
