//! `image prune`: images that nothing uses.

use strata_engine::{PruneRequest, RemoveStep, Removed, mounted_images, prune};
use strata_format::duration;
use strata_format::size::human_size;

use super::rmi::planned_lines;
use crate::command_line::{CommandDefinition, FlagKind, Flags};
use crate::context::Context;
use crate::output::print;
use crate::report::{Failure, Outcome};
use crate::{filters, prompt};

pub(super) fn definition() -> CommandDefinition {
    CommandDefinition::new("prune", "[OPTIONS]", "Remove unused images", |context, flags| Box::pin(run(context, flags)))
        .flag("a/all", FlagKind::Bool, "Remove all unused images, not just dangling ones")
        .flag("dry-run", FlagKind::Bool, "Show what would be removed and freed")
        .flag("filter", FlagKind::Filter, "Provide filter values (e.g. \"until=<timestamp>\", \"reference=me/*\")")
        .flag("f/force", FlagKind::Bool, "Do not prompt for confirmation")
        .flag("keep", FlagKind::Number, "Keep this many newest tags of each repository")
        .flag("unused-for", FlagKind::Text("duration"), "Only what was not used for this long (e.g. \"30d\", \"12h\")")
        .examples(&[
            ("image prune -f", "Images without a tag"),
            ("image prune --keep 3 --unused-for 30d --filter reference='me/*' --dry-run", "See what would go"),
        ])
}

async fn run(context: &Context<'_>, flags: &Flags<'_>) -> Outcome {
    let request = request(context, flags)?;
    if !request.dry_run && !flags.is_set("force") && !prompt::confirm(warning(&request))? {
        return Ok(());
    }
    let removed = prune(context.store()?, &request).await?;
    match request.dry_run {
        true => {
            print(&format!("{}Would reclaim: {}\n", planned_lines(&removed.steps), human_size(removed.freed as f64)))
        }
        false => print(&render(&removed)),
    }
}

fn request(context: &Context<'_>, flags: &Flags<'_>) -> Outcome<PruneRequest> {
    let keep = match flags.number("keep") {
        Some(count) => Some(usize::try_from(count).map_err(|_| Failure::bare("--keep must not be negative"))?),
        None => None,
    };
    let unused_for = flags.text("unused-for").map(|text| duration::parse_with_days(&text)).transpose()?;
    Ok(PruneRequest {
        all: flags.is_set("all"),
        filters: with_configured(context, filters::parse(flags)),
        keep,
        unused_for,
        mounted: mounted_images(&context.root()?)?,
        dry_run: flags.is_set("dry-run"),
    })
}

/// Adds the `pruneFilters` of docker's configuration that the command line does not contradict.
pub(super) fn with_configured(context: &Context<'_>, mut given: Vec<(String, String)>) -> Vec<(String, String)> {
    let configured = context.docker_setting("pruneFilters");
    let configured = configured.iter().filter_map(|value| value.as_array()).flatten();
    for (key, value) in configured.filter_map(|text| filters::split(text.as_str()?)) {
        let opposite = match key.as_str() {
            "label" => "label!",
            "label!" => "label",
            _ => "",
        };
        let is_contradicted = given.iter().any(|(key, other)| key == opposite && *other == value);
        if !value.is_empty() && !is_contradicted {
            given.push((key, value));
        }
    }
    given
}

fn warning(request: &PruneRequest) -> &'static str {
    let chooses = request.keep.is_some()
        || request.unused_for.is_some()
        || request.filters.iter().any(|(key, _)| key == "reference");
    match (chooses, request.all) {
        (true, _) => {
            "WARNING! This will remove all images that the options choose.\nAre you sure you want to continue?"
        }
        (false, true) => {
            "WARNING! This will remove all images without at least one container associated to them.\n\
             Are you sure you want to continue?"
        }
        (false, false) => "WARNING! This will remove all dangling images.\nAre you sure you want to continue?",
    }
}

/// What was removed, in docker's layout.
pub(super) fn render(removed: &Removed) -> String {
    let mut text = String::new();
    if !removed.steps.is_empty() {
        text.push_str("Deleted Images:\n");
        for step in &removed.steps {
            text.push_str(&match step {
                RemoveStep::Untagged(name) => format!("untagged: {name}\n"),
                RemoveStep::Deleted(digest) => format!("deleted: {digest}\n"),
            });
        }
        text.push('\n');
    }
    text.push_str(&format!("Total reclaimed space: {}\n", human_size(removed.freed as f64)));
    text
}

#[cfg(test)]
mod tests {
    use super::*;

    fn golden(name: &str) -> String {
        let folder = concat!(env!("CARGO_MANIFEST_DIR"), "/../../testdata/docker-cli-golden");
        std::fs::read_to_string(format!("{folder}/prune-command-success.{name}.golden")).unwrap()
    }

    fn removed(steps: Vec<RemoveStep>, freed: u64) -> Removed {
        Removed { steps, freed, ..Removed::default() }
    }

    #[test]
    fn what_was_removed() {
        let deleted = removed(vec![RemoveStep::Deleted("image1".into())], 1);
        assert_eq!(render(&deleted), golden("force-deleted"));
        let untagged = removed(vec![RemoveStep::Untagged("image1".into())], 2);
        assert_eq!(render(&untagged), golden("force-untagged"));
        assert_eq!(render(&Removed::default()), golden("label-filter"));
    }

    #[test]
    fn the_question() {
        let request = PruneRequest { all: true, ..PruneRequest::default() };
        let shown = format!("{} [y/N] {}", warning(&request), render(&Removed::default()));
        assert_eq!(shown, golden("all"));
    }
}
