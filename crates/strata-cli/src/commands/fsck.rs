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
    .flag("rebuild", FlagKind::Bool, "Make a lost catalog again from what the store's files tell; the old one is kept")
    .flag("repair", FlagKind::Bool, "Mend what can be mended")
    .examples(&[
        ("fsck --repair", "Check and mend; the next pull of an image brings the rest"),
        ("fsck --rebuild", "When the catalog is lost or damaged"),
    ])
}

async fn run(context: &Context<'_>, flags: &Flags<'_>) -> Outcome {
    if flags.is_set("rebuild") {
        rebuild(context).await?;
    }
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

/// No other process may use the store meanwhile: it would go on with the catalog that was put aside.
async fn rebuild(context: &Context<'_>) -> Outcome {
    let root = context.root()?;
    let aside = context
        .environment
        .set_catalog_aside(&root)
        .map_err(|cause| Failure::bare(format!("putting the catalog in {} aside: {cause}", root.display())))?;
    if let Some(aside) = aside {
        print(&format!("the old catalog is kept as {}\n", aside.display()))?;
    }
    let rebuilt = context.store()?.rebuild().await?;
    print(&format!("rebuilt {} images with {} names from {} layers\n", rebuilt.images, rebuilt.names, rebuilt.layers))
}

pub(super) fn render(report: &FsckReport) -> String {
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
