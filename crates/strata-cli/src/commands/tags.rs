//! `tags`: what a repository offers.

use strata_engine::{TagInfo, tags};
use strata_format::Value;
use strata_format::formatter::{Format, Formatter};
use strata_format::size::human_size;
use strata_format::template::Struct;

use crate::command_line::{Arity, CommandDefinition, Completes, FlagKind, Flags};
use crate::context::Context;
use crate::output::print;
use crate::report::{Failure, Outcome};

const TABLE: &str = "table {{.Tag}}\\t{{.Digest}}\\t{{.Platform}}\\t{{.Size}}";
const HEADERS: [(&str, &str); 4] = [("Tag", "TAG"), ("Digest", "DIGEST"), ("Platform", "PLATFORM"), ("Size", "SIZE")];

pub(super) fn definition() -> CommandDefinition {
    CommandDefinition::new(
        "tags",
        "[OPTIONS] NAME",
        "List the tags of a repository on its registry, with the size of each platform",
        |context, flags| Box::pin(run(context, flags)),
    )
    .completes(Completes::Repositories)
    .arity(Arity::Exactly(1))
    .on_workers()
    .flag("format", FlagKind::Text("string"), super::images::FORMAT_HELP)
    .flag("no-trunc", FlagKind::Bool, "Don't truncate output")
    .flag("q/quiet", FlagKind::Bool, "Only show tags")
    .examples(&[("tags nginx", "All tags, platforms and compressed sizes")])
}

async fn run(context: &Context<'_>, flags: &Flags<'_>) -> Outcome {
    let reference = context.reference(&flags.argument(0))?;
    if !reference.is_name_only() {
        return Err(Failure::bare("tags are listed of a repository: give a name without tag or digest"));
    }
    if flags.is_set("quiet") {
        let names = strata_engine::all_tags(context.client()?, &reference).await?;
        return print(&names.iter().map(|tag| format!("{tag}\n")).collect::<String>());
    }
    let found = tags(context.client()?, &reference).await?;
    let format = Format::new(flags.text("format").as_deref().unwrap_or("table"), TABLE, None);
    let is_whole = flags.is_set("no-trunc");
    let rows: Vec<Value> = found.iter().flat_map(|info| rows(info, is_whole)).collect();
    print(&Formatter::new(&format, HEADERS)?.render(&rows)?)
}

/// One row for each platform.
fn rows(info: &TagInfo, is_whole: bool) -> Vec<Value> {
    let digest = if is_whole { info.digest.to_string() } else { info.digest.short() };
    let row = |(platform, size): &(Option<strata_model::Platform>, u64)| {
        Struct::row("*formatter.tagContext")
            .field("Tag", info.tag.to_string())
            .field("Digest", digest.as_str())
            .field("Platform", platform.as_ref().map(ToString::to_string).unwrap_or_default())
            .field("Size", human_size(*size as f64))
            .into()
    };
    info.platforms.iter().map(row).collect()
}
