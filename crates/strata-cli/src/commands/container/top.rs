//! `top`: the processes of a container.

use strata_engine::container_top;

use crate::command_line::{Arity, CommandDefinition, Flags};
use crate::context::Context;
use crate::output::print;
use crate::report::Outcome;

/// Docker's columns here have at least this width, and at least so much space between them.
const WIDTH: usize = 20;
const PADDING: usize = 3;

pub(super) fn definition() -> CommandDefinition {
    CommandDefinition::new(
        "top",
        "CONTAINER [ps OPTIONS]",
        "Display the running processes of a container",
        |context, flags| Box::pin(run(context, flags)),
    )
    .arity(Arity::AtLeast(1))
    .options_first()
    .on_workers()
    .examples(&[("top web -o pid,rss,args", "With the columns of one's own")])
}

async fn run(context: &Context<'_>, flags: &Flags<'_>) -> Outcome {
    let words = flags.arguments();
    let table = container_top(context.store()?, &context.root()?, &words[0], &words[1..]).await?;
    let lines: Vec<&Vec<String>> = std::iter::once(&table.titles).chain(&table.rows).collect();
    let width = |column: usize| {
        let cells = lines.iter().filter_map(|line| line.get(column));
        cells.map(|cell| cell.chars().count() + PADDING).max().unwrap_or(0).max(WIDTH)
    };
    let widths: Vec<usize> = (0..table.titles.len()).map(width).collect();
    let mut text = String::new();
    for line in &lines {
        for (column, cell) in line.iter().enumerate() {
            match column + 1 < line.len() {
                true => text.push_str(&format!("{cell:width$}", width = widths[column])),
                false => text.push_str(cell),
            }
        }
        text.push('\n');
    }
    print(&text)
}
