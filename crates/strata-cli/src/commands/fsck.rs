//! `fsck`: the check of the store.

use strata_format::size::human_size;
use strata_store::{Depth, FsckReport, Repair};

use crate::command_line::{CommandDefinition, FlagKind, Flags};
use crate::context::Context;
use crate::output::print;
use crate::report::{Failure, Outcome};

pub(super) fn definition() -> CommandDefinition {
    CommandDefinition::new("fsck", "[OPTIONS]", "Check every byte of the store", |context, flags| {
        Box::pin(run(context, flags))
    })
    .on_workers()
    .flag("quick", FlagKind::Bool, "Check that all files are there and as long as they should be, without reading them")
    .flag("repair", FlagKind::Bool, "Mend what can be mended")
    .examples(&[("fsck --repair", "Check and mend; the next pull of an image brings the rest")])
}

async fn run(context: &Context<'_>, flags: &Flags<'_>) -> Outcome {
    let depth = if flags.is_set("quick") { Depth::Quick } else { Depth::Full };
    let repair = if flags.is_set("repair") { Repair::Yes } else { Repair::No };
    let report = context.store()?.fsck(depth, repair).await?;
    print(&render(&report))?;
    if report.is_clean() {
        return Ok(());
    }
    let hint = match repair {
        Repair::No => "`strata fsck --repair` mends what it can; the next `strata pull` of an image fetches the rest",
        Repair::Yes => "the next `strata pull` or `strata load` of an image heals what is left",
    };
    Err(Failure::bare("the store is damaged").with_hint(hint))
}

fn render(report: &FsckReport) -> String {
    let mut text = String::new();
    for problem in &report.problems {
        let state = if problem.repaired { "mended" } else { "damaged" };
        text.push_str(&format!("{state}: {}: {}\n", problem.what, problem.cause));
    }
    let left = report.problems.iter().filter(|problem| !problem.repaired).count();
    let verdict = match (left, report.problems.len()) {
        (0, 0) => "clean".to_owned(),
        (0, mended) => format!("clean, {mended} mended"),
        (left, _) => format!("{left} damaged"),
    };
    text.push_str(&format!(
        "{} objects checked, {} read: {verdict}\n",
        report.checked,
        human_size(report.bytes as f64)
    ));
    text
}
